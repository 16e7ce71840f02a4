# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Graphs of logs with known causes, by type and one event at a time, beside counting.

    python recipes/by-type/by_type.py --out runs/by-type --csl PATH/TO/csl_sample --causrca PATH/TO/causrca --vocabulary

Without the two folders only the packaged alarms and worlds are read. Oracles are trained where OUT/oracles/NAME holds
none; what is measured of a log is kept in OUT/parts, so that a run that was stopped goes on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from exact_worlds import GATES, exact_rates, gate
from graph_methods import measured, said
from harness import Recipe, Report, Size, kept, metrics, panels, table
from known_logs import PROCESSES, known_logs
from large_vocabulary import measured_memory
from matplotlib.figure import Figure

SHOWN = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}


def measure(options: argparse.Namespace) -> Report:
    """Every log and method."""
    rows, rates = [], []
    for read in known_logs(options.csl, options.causrca, small=options.smoke).values():
        found = measured(read(), options)
        rows += found["rows"]
        rates += found["rates"]
    parts, memory = options.out / "parts", []
    for name in options.gates:
        rows += kept(parts / f"gate-{name}.json", lambda name=name: list(gate(name, options)))
        print(f"gate {name}: {said(rows[-1])}", flush=True)
    rates += kept(parts / "rates.json", lambda: list(exact_rates(options)))
    if options.vocabulary:
        size = (options.types, options.vocabulary_windows, options.out)
        memory = [kept(parts / "vocabulary.json", lambda: measured_memory(*size))]
    found_metrics = {
        **metrics(
            rows, lambda row: f"{row['log']}, {row['method']}", {key: (name, 0.08) for key, name in SHOWN.items()}
        ),
        **metrics(
            rates, lambda row: f"{row['log']}, {row['threshold']}", {"false": ("false share", 0.1), "f1": ("F1", 0.1)}
        ),
        **metrics(memory, lambda row: f"{row['types']:,} types", {"peak_mb": ("peak memory, MB", 200)}),
    }
    return Report(
        {"graphs": rows, "rates": rates, "vocabulary": memory}, markdown(rows, rates, memory), found_metrics, draw(rows)
    )


def markdown(rows: list[dict], rates: list[dict], memory: list[dict]) -> str:
    """The tables, readable."""
    tables = [
        ("AUROC / AUPRC", crossed(rows, lambda row: f"{dotless(row['auroc'])} / {dotless(row['auprc'])}")),
        ("F1 at the own threshold (edges)", crossed(rows, lambda row: f"{dotless(row['f1'])} ({row['edges']})")),
        ("Seconds", crossed(rows, lambda row: f"{row['seconds']:.1f}", chance=False)),
        ("What thresholds of by-type effects keep: share of false edges, recall, F1 (edges)", rated(rates)),
    ]
    text = "\n\n".join(f"{title}\n\n{found}" for title, found in tables)
    for row in memory:
        before = f"{row['before_mb']:,.0f} MB before, of which the world is {row['weights_mb']:.0f}"
        size = f"{row['types']:,} types, {row['sequences']} sequences"
        text += f"\n\n{size}: {row['seconds']:.0f} s, peak {row['peak_mb']:,.0f} MB ({before})."
    return text


def dotless(value: float | None) -> str:
    """A share, as `.812`."""
    return "–" if value is None else f"{value:.3f}".removeprefix("0") if value < 1 else "1.000"


def crossed(rows: list[dict], shown: Callable[[dict], str], *, chance: bool = True) -> str:
    """A row for each method, a column for each log; with ``chance`` at last what every pair gives."""
    logs = list(dict.fromkeys(row["log"] for row in rows))
    methods = sorted({row["method"]: None for row in rows}, key=by_kind)
    cells = {(row["method"], row["log"]): shown(row) for row in rows}
    lines: list[Sequence[object]] = [[name, *(cells.get((name, log)) for log in logs)] for name in methods]
    if chance:
        of_log = {row["log"]: row for row in rows}
        lines.append(["base rate", *(dotless(of_log[log]["base_rate"]) for log in logs)])
        lines.append(["every pair: F1", *(dotless(of_log[log]["predict_all_f1"]) for log in logs)])
    return table(("method", *logs), lines)


def by_kind(method: str) -> int:
    """Place of a method in a table: what drives, what follows, counting."""
    kinds = ("by-type", "atomic", "total", "follows")
    return next((place for place, kind in enumerate(kinds) if method.startswith(kind)), len(kinds))


def rated(rates: list[dict]) -> str:
    """A row for each log, a column for each threshold."""
    specs = list(dict.fromkeys(row["threshold"] for row in rates))
    cells = {
        (row["log"], row["threshold"]): f"{dotless(row['false'])}, {dotless(row['recall'])}, {dotless(row['f1'])} "
        f"({row['edges']})"
        for row in rates
    }
    logs = list(dict.fromkeys(row["log"] for row in rates))
    return table(("log", *specs), [[log, *(cells.get((log, spec)) for spec in specs)] for log in logs])


def draw(rows: list[dict]) -> Figure:
    """AUPRC of some methods, a group for each log."""
    methods = {"by-type log_ratio": "#0072B2", "atomic": "#56B4E9", "onset": "#D55E00", "hawkes": "#E69F00"}
    logs = [log for log in dict.fromkeys(row["log"] for row in rows) if log not in GATES]
    figure, axes = panels(max(4, 0.9 * len(logs)), 3.4)
    for number, (method, colour) in enumerate(methods.items()):
        values = {row["log"]: row["auprc"] for row in rows if row["method"] == method}
        places = [place + 0.2 * (number - 1.5) for place in range(len(logs))]
        axes.bar(places, [values.get(log, 0) for log in logs], 0.2, label=method, color=colour)
    axes.set_xticks(range(len(logs)), [f"{log}*" if log in PROCESSES else log for log in logs], rotation=30)
    axes.set(ylabel="AUPRC", ylim=(0, 1.02))
    axes.legend(fontsize=7)
    return figure


def add_options(parser: argparse.ArgumentParser) -> None:
    """Data that are not packaged, and what is measured on demand."""
    parser.add_argument("--csl", default="", help="folder of the CSL sample (NeurIPS 2023): alarm.csv, true_graph.npy")
    parser.add_argument("--causrca", default="", help="folder of the data set causRCA")
    parser.add_argument("--vocabulary", action="store_true", help="also time and memory with 29,100 types")


RECIPE = Recipe(
    __file__,
    __doc__,
    "Which graphs of logs are better than counting?",
    measure,
    {
        "windows": Size(200, 2, "windows in which by-type effects are scored, and of the alarms atomic ones"),
        "atomic": Size(20, 2, "windows of other logs in which atomic effects are scored"),
        "replaced": Size(50, 2, "windows in which types are replaced"),
        "draws": Size(4, 2, "draws of the replacements"),
        "contexts": Size(256, 2, "places in which total effects are sampled"),
        "world_contexts": Size(64, 2, "places of worlds"),
        "gates": Size([*GATES], ["small"], "worlds that are read by themselves"),
        "gate_sequences": Size(12, 2, "sequences of each"),
        "gate_draws": Size(4, 2, "draws of the replacements there"),
        "counted": Size(2_000, 20, "sequences in which pairs are counted there"),
        "exact_sequences": Size(200, 3, "sequences of the world whose weights are the truth"),
        "types": Size(29_100, 100, "types of the large vocabulary"),
        "vocabulary_windows": Size(10, 2, "sequences of it"),
    },
    options=add_options,
    more="--csl PATH --causrca PATH --vocabulary",
)

if __name__ == "__main__":
    RECIPE.main()
