r"""Interventional questions from a table and a graph, against exact answers and other libraries.

    python recipes/effects/effects.py --data PATH/TO/BIF --out runs/effects \\
        [--pgmpy-python ENV/bin/python] [--dowhy-python ENV/bin/python] [--part networks]
    python recipes/effects/effects.py --out runs/effects --report

``PATH/TO/BIF`` holds sachs.bif, asia.bif and exact_do_sachs.json, exact_do_asia.json. Each part writes a JSON file; the
report joins them to tables and a figure.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import accuracy
import interventions
import numpy as np
import refusals
from transformers.utils import logging

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


def markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(shown, row)) + " |" for row in rows)])


def shown(value: Any) -> str:
    """A cell."""
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")


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


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Every part as text."""
    found = {}
    if "networks" in results:
        values = ("mean_tv", "largest_tv", "fit_seconds", "query_seconds")
        rows = grouped(results["networks"], ("network", "method"), values)
        columns = ("network", "method", "tables", "mean TV", "largest TV", "fit, s", "all queries, s")
        found["networks"] = markdown(columns, rows)
    if "mistakes" in results:
        rows = [
            [line["network"], asked(line), line["exact"], line.get("ours"), line.get("standard_error")]
            for line in results["mistakes"]
        ]
        found["mistakes"] = markdown(("network", "question", "exact", "hf_trace", "Monte Carlo error"), rows)
    if "confounded" in results:
        found["confounded"] = confounded_table(results["confounded"])
    if "policies" in results:
        rows = [[line["policy"], line["exact"], line["ours"]] for line in results["policies"]]
        found["policies"] = markdown(("the drug is given", "exact p(recovered)", "hf_trace"), rows)
    if "doses" in results:
        keys = ("do", "history", "exact", "ours", "standard_error", "seen")
        rows = [[line[key] for key in keys] for line in results["doses"]]
        found["doses"] = markdown(("doses", "history", "exact", "hf_trace", "Monte Carlo error", "seen"), rows)
    if "refusals" in results:
        rows = [[line["mistake"], line["message"]] for line in results["refusals"]]
        found["refusals"] = markdown(("mistake", "what is said"), rows)
    if "speed" in results:
        speed = dict(results["speed"])
        asked_in_all = speed.pop("queries")
        rows = [
            [
                *(label, each["seconds"], 1000 * each["seconds"] / asked_in_all),
                *(each["refused"], each["standard_error"], each["mean_tv"]),
            ]
            for label, each in speed.items()
        ]
        columns = (f"{asked_in_all} questions", "seconds", "ms each", "refused", "standard error", "mean TV")
        found["speed"] = markdown(columns, rows)
    if "histories" in results:
        keys = (
            "rows",
            "history",
            "order",
            "mean_tv",
            "largest_tv",
            "monte_carlo_error",
            "fit_seconds",
            "query_seconds",
        )
        rows = [[line[key] for key in keys] for line in results["histories"]]
        columns = ("rows", "history", "order", "mean TV", "largest TV", "Monte Carlo error", "fit, s", "66 queries, s")
        found["histories"] = markdown(columns, rows)
    if "misspecified" in results:
        rows = grouped(results["misspecified"], ("change",), ("mean_tv", "largest_tv"))
        worst = {
            row[0]: max(line["mean_tv"] for line in results["misspecified"] if line["change"] == row[0]) for row in rows
        }
        columns = ("one edge", "graphs", "mean TV", "mean largest TV", "worst mean TV")
        found["misspecified"] = markdown(columns, [[*row, worst[row[0]]] for row in rows])
    return found


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
    return markdown(columns, rows)


def draw(results: dict[str, Any], path: Path) -> None:
    """Accuracy of the methods on the networks, and of histories by rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
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
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run parts, or join what was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/effects"))
    parser.add_argument("--data", type=Path, help="folder with the networks and their exact answers")
    parser.add_argument("--part", choices=list(PARTS), action="append")
    parser.add_argument("--seeds", type=int, default=5, help="tables per network")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="rows of histories")
    parser.add_argument("--pgmpy-python", help="interpreter of an environment with pgmpy")
    parser.add_argument("--dowhy-python", help="interpreter of an environment with dowhy")
    parser.add_argument("--report", action="store_true", help="only join what was run")
    options = parser.parse_args()
    logging.disable_progress_bar()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [] if options.report else options.part or PARTS:
        started = time.monotonic()
        result = PARTS[name](options)
        (options.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(name, f"{time.monotonic() - started:.0f} s", flush=True)
    results = {
        name: json.loads((options.out / f"{name}.json").read_text())
        for name in PARTS
        if (options.out / f"{name}.json").exists()
    }
    text = "\n\n".join(f"## {name}\n\n{table}" for name, table in tables(results).items())
    (options.out / "effects.md").write_text(text + "\n", encoding="utf-8")
    if {"networks", "histories"} <= set(results):
        draw(results, options.out / "effects.png")
    print(text)


if __name__ == "__main__":
    main()
