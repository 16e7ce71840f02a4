# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Interventional questions from a table and a graph, against exact answers and other libraries.

    python recipes/effects/effects.py --data PATH/TO/BIF --out runs/effects --pgmpy-python PATH --dowhy-python PATH
    python recipes/effects/effects.py --out runs/effects --report

``PATH/TO/BIF`` holds sachs.bif, asia.bif and exact_do_sachs.json, exact_do_asia.json. Each part writes a JSON file; the
report joins them to tables and a figure.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import accuracy
import interventions
import nets
import numpy as np
import refusals
from harness import Metrics, NotMeasured, Recipe, Report, Size, metrics, panels, table
from matplotlib.figure import Figure

PARTS: dict[str, Callable[[Any], Any]] = {
    "networks": accuracy.networks,
    "mistakes": interventions.mistakes,
    "confounded": interventions.confounded,
    "policies": interventions.policies,
    "doses": interventions.doses,
    "refusals": refusals.refusals,
    "speed": accuracy.speed,
    "histories": accuracy.histories,
    "misspecified": accuracy.misspecified,
}


def grouped(lines: list[dict], keys: Sequence[str], values: Sequence[str]) -> list[list[Any]]:
    """Means over whatever the keys leave open."""
    groups: dict[tuple, list[dict]] = {}
    for line in lines:
        groups.setdefault(tuple(line[key] for key in keys), []).append(line)
    rows = []
    for key, members in groups.items():
        means = [float(np.mean([line[value] for line in members])) if value in members[0] else None for value in values]
        rows.append([*key, len(members), *means])
    return rows


def networks_table(lines: list[dict]) -> str:
    """Methods on the networks."""
    rows = grouped(lines, ("network", "method"), ("mean_tv", "largest_tv", "fit_seconds", "query_seconds"))
    columns = ("network", "method", "tables", "mean TV", "largest TV", "fit, s", "all queries, s")
    return table(columns, rows, digits=4)


def picked(lines: list[dict], columns: dict[str, str]) -> str:
    """Some values of every line, by key and title."""
    return table(list(columns.values()), [[line.get(key) for key in columns] for line in lines], digits=4)


def speed_table(found: dict) -> str:
    """Seconds of many questions in one call."""
    asked_in_all = found["queries"]
    rows = [
        [
            *(label, each["seconds"], 1000 * each["seconds"] / asked_in_all),
            *(each["refused"], each["standard_error"], each["mean_tv"]),
        ]
        for label, each in found.items()
        if label != "queries"
    ]
    columns = (f"{asked_in_all} questions", "seconds", "ms each", "refused", "standard error", "mean TV")
    return table(columns, rows, digits=4)


def misspecified_table(lines: list[dict]) -> str:
    """Errors with a wrong graph."""
    rows = grouped(lines, ("change",), ("mean_tv", "largest_tv"))
    worst = {row[0]: max(line["mean_tv"] for line in lines if line["change"] == row[0]) for row in rows}
    columns = ("one edge", "graphs", "mean TV", "mean largest TV", "worst mean TV")
    return table(columns, [[*row, worst[row[0]]] for row in rows], digits=4)


def asked(line: dict) -> str:
    """A question in words."""
    done = [f"do({name} = {value})" for name, value in line.get("do", {}).items()]
    given = [f"{name} = {value}" for name, value in line.get("given", {}).items()]
    return f"p({line['target']} = {line['value']} | {', '.join([*done, *given])})"


def confounded_table(lines: list[dict]) -> str:
    """Effects: how far each estimator is off, and how often its interval holds the truth."""
    groups: dict[tuple, list[dict]] = {}
    for line in lines:
        where = ", ".join(line["given"].values())
        groups.setdefault((line["of"], f"{line['contrast']} {where}".strip()), []).append(line)
    rows = []
    for (of, effect), members in groups.items():
        row: list[Any] = [of, effect, members[0]["exact"], members[0]["seen"] if effect == "ate" else None]
        for name in ("plug_in", "aipw"):
            held = sum(line[f"{name}_low"] <= line["exact"] <= line[f"{name}_high"] for line in members)
            width = float(np.mean([line[f"{name}_high"] - line[f"{name}_low"] for line in members]))
            row += [float(np.mean([line[name] for line in members])), width, f"{held} of {len(members)}"]
        rows.append(row)
    columns = ("", "effect", "exact", "seen", "plug-in", "width", "holds", "AIPW", "width", "holds")
    return table(columns, rows, digits=4)


TABLES: dict[str, Callable[[Any], str]] = {
    "networks": networks_table,
    "mistakes": lambda lines: picked(
        [{**line, "asked": asked(line)} for line in lines],
        {"network": "network", "asked": "question", "exact": "exact", "ours": "hf_trace"}
        | {"standard_error": "Monte Carlo error"},
    ),
    "confounded": confounded_table,
    "policies": lambda lines: picked(
        lines, {"policy": "the drug is given", "exact": "exact p(recovered)", "ours": "hf_trace"}
    ),
    "doses": lambda lines: picked(
        lines,
        {"do": "doses", "history": "history", "exact": "exact", "ours": "hf_trace"}
        | {"standard_error": "Monte Carlo error", "seen": "seen"},
    ),
    "refusals": lambda lines: picked(lines, {"mistake": "mistake", "message": "what is said"}),
    "speed": speed_table,
    "histories": lambda lines: picked(
        lines,
        {"rows": "rows", "history": "history", "order": "order", "mean_tv": "mean TV", "largest_tv": "largest TV"}
        | {"monte_carlo_error": "Monte Carlo error", "fit_seconds": "fit, s", "query_seconds": "66 queries, s"},
    ),
    "misspecified": misspecified_table,
}


def draw(results: dict[str, Any]) -> Figure:
    """Accuracy of the methods on the networks, and of histories by rows."""
    figure, (left, right) = panels(10, 3.6, 1, 2)
    lines = [line for line in results.get("networks", []) if line["network"] == "sachs"]
    methods = list(dict.fromkeys(line["method"] for line in lines))
    for place, method in enumerate(methods):
        values = [line["mean_tv"] for line in lines if line["method"] == method]
        left.plot(values, [place] * len(values), "o", ms=5, alpha=0.7, color="#0072B2" if place == 0 else "#555555")
    left.set_yticks(range(len(methods)), [method.replace(", ", ",\n") for method in methods])
    left.invert_yaxis()
    left.set(xlabel="mean total variation from exact, sachs", xscale="log")
    for history, colour in (("parents fixed", "#0072B2"), ("full fixed", "#D55E00"), ("full random", "#009E73")):
        mine = [line for line in results.get("histories", []) if f"{line['history']} {line['order']}" == history]
        right.plot(
            [line["rows"] for line in mine], [line["mean_tv"] for line in mine], "o-", color=colour, label=history
        )
    right.set(xlabel="rows", xscale="log", yscale="log", ylabel="mean total variation")
    right.legend()
    return figure


def named(results: dict[str, Any]) -> Metrics:
    """What ``expected.json`` holds."""
    means = grouped(results.get("networks", []), ("network", "method"), ("mean_tv",))
    rows = [{"name": f"{network}, {method}", "mean_tv": mean} for network, method, _, mean in means]
    found = {**metrics(rows, lambda row: row["name"], {"mean_tv": ("mean total variation", 0.004)})}
    by_name = {row["name"]: row["mean_tv"] for row in rows}
    pgmpy = by_name.get("sachs, pgmpy, maximum likelihood and exact inference")
    if pgmpy is not None:
        found["sachs: error over that of maximum likelihood"] = (by_name["sachs, hf_trace"] / pgmpy, 0.2)
    for line in results.get("mistakes", []):
        if line["network"] != "drug" and line["ours"] is not None:
            found[f"{line['network']}: {asked(line)}"] = (line["ours"], 0.02)
    for line in results.get("doses", []):
        found[f"doses {line['do']}, {line['history']}"] = (line["ours"], 0.05)
    columns = {"mean_tv": ("mean total variation", 0.01)}
    histories = results.get("histories", [])
    name = "sachs, {rows:,} rows, {history} history, {order} order"
    return {**found, **metrics(histories, lambda row: name.format(**row), columns)}


def made_up(folder: Path) -> None:
    """The sprinkler, under the names of the two networks."""
    folder.mkdir(parents=True, exist_ok=True)
    net, exact = nets.SPRINKLER, []
    for name, value in (("sprinkler", "on"), ("rain", "yes")):
        shares = nets.distribution(net, "grass", {name: value})
        line = {"a": name, "a_value": value, "y": "grass", "y_values": list(shares), "p_do": list(shares.values())}
        exact.append(line)
    for name in ("asia", "sachs"):
        (folder / f"{name}.bif").write_text(nets.as_bif(net), encoding="utf-8")
        (folder / f"exact_do_{name}.json").write_text(json.dumps(exact), encoding="utf-8")


def measure(options: argparse.Namespace) -> Report:
    """Run parts, or join what was run."""
    for name in [] if options.report else options.part:
        started = time.monotonic()
        result = PARTS[name](options)
        (options.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(name, f"{time.monotonic() - started:.0f} s", flush=True)
    paths = {name: options.out / f"{name}.json" for name in PARTS}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
    if not results:
        raise NotMeasured(f"Nothing was measured in {str(options.out)!r} yet. Leave out --report.")
    text = "\n\n".join(f"## {name}\n\n{TABLES[name](result)}" for name, result in results.items())
    figure = draw(results) if {"networks", "histories"} <= set(results) else None
    return Report(results, text, named(results), figure)


RECIPE = Recipe(
    __file__,
    __doc__,
    "What would happen if: how right are the answers of a model trained on a table?",
    measure,
    {
        "part": Size(list(PARTS), list(PARTS)),
        "seeds": Size(5, 1, "tables per network"),
        "rows": Size(10_000, 120, "rows of a table"),
        "sizes": Size([1_000, 10_000, 100_000], [50], "rows of histories"),
        "folds": Size(5, 2, "parts of the rows for cross-fitting"),
        "questions": Size(1_000, 4, "questions in one call"),
        "changes": Size(1_000, 1, "edges of the graph that are dropped, turned or, at most ten, added"),
    },
    data="folder with sachs.bif, asia.bif (bnlearn) and exact_do_sachs.json, exact_do_asia.json",
    tiny_data=made_up,
    peers=("pgmpy", "dowhy"),
    can_report=True,
)

if __name__ == "__main__":
    RECIPE.main()
