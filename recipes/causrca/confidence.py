# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How far the confidence of a population graph can be believed: a lathe's log against its expert graph (causRCA).

    python recipes/causrca/confidence.py --data PATH/TO/causrca --out runs/causrca

The graph is found by ``hf-trace discover`` with the oracle of ``causrca.py``. Nothing is fitted to the expert graph:
lags and draws are those of ``causrca.py``, the threshold and the rule for frequencies are as the package has them. An
edge between event types is right when the expert graph joins their nodes; a pair of nodes has the largest strength and
the largest share of resamples of its pairs of event types.
"""

import argparse
import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from causrca import causrca_task
from harness import NotMeasured, Recipe, Report, panels, table
from known_graph import Task, by_type, oracle, row
from lathe import KEPT, WHERE, made_up
from matplotlib.figure import Figure

from hf_trace.discovery.population.frequencies import wilson_interval
from hf_trace.graphs.graph import CausalGraph

DISCOVER = [
    "--event-column", "node,value", "--query", KEPT,
    "--max-lag", "8", "--num-samples", "16", "--min-frequency", "adaptive",
]  # fmt: skip
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def discovered(task: Task, options: argparse.Namespace) -> CausalGraph:
    """The population graph with its page, found once."""
    folder = options.out / "confidence"
    graph = folder / "population.json"
    if not graph.exists():
        run = oracle(task, options.out, 0)
        folder.mkdir(parents=True, exist_ok=True)
        sizes = (
            ["--sample", "300", "--bootstrap", "200"] if not options.smoke else ["--sample", "3", "--bootstrap", "5"]
        )
        files = ["--out", str(graph), "--html", str(folder / "report.html")]
        command = ["discover", str(run), str(Path(options.data) / "real_op"), *DISCOVER, *sizes, *files]
        try:
            subprocess.run([sys.executable, "-m", "hf_trace", *command], check=True, stdout=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            raise NotMeasured(f"The graph was not found: hf-trace discover ended with {error.returncode}.") from error
    return CausalGraph.load(graph)


def directed(graph: CausalGraph, types: Sequence[str], key: str) -> np.ndarray:
    """A number of every edge ``[cause, effect]``, 0 elsewhere; an edge without direction stands both ways."""
    table = np.zeros((len(types),) * 2)
    number = {name: index for index, name in enumerate(types)}
    for edge in graph.edges:
        ends = number[edge["cause"]], number[edge["effect"]]
        found = 1.0 if key == "edge" else float(edge.get(key, 0.0))
        for place in (ends, ends[::-1]) if edge.get("undirected") else (ends,):
            table[place] = max(table[place], found)
    return table


def agreement(task: Task, graph: CausalGraph) -> dict:
    """Agreement with the expert graph: ranking by strength, and the edges that the method itself decided on."""
    edges = directed(graph, task.log.event_types, "edge")
    found = row(task, "direct", "population, adaptive", by_type(task.log, graph, None), edges, 0.0)
    del found["seconds"]
    return found


def reliability(task: Task, graph: CausalGraph) -> dict[str, list[dict]]:
    """Share of right edges by their share of resamples, of event types and of nodes."""
    types = task.log.event_types
    edges, share = directed(graph, types, "edge") > 0, directed(graph, types, "resampled_share")
    node_edges, node_share = task.fold(edges.astype(float)) > 0, task.fold(share)
    away = ~np.eye(len(task.truth), dtype=bool)
    nodes = [name.rpartition("=")[0] for name in types]
    place = np.unique(nodes, return_inverse=True)[1]
    right, apart = task.truth[place[:, None], place], place[:, None] != place
    return {
        "event types": binned(share[edges & apart], right[edges & apart]),
        "nodes": binned(node_share[node_edges & away], task.truth[node_edges & away]),
    }


def binned(share: np.ndarray, right: np.ndarray) -> list[dict]:
    """Count what is right in every bin; a share on a border belongs to the bin below. The last row: all resamples."""
    number = np.clip(np.searchsorted(BINS, share, side="left") - 1, 0, len(BINS) - 2)
    rows = [
        {"low": low, "high": high, **counted(right[number == index])}
        for index, (low, high) in enumerate(itertools.pairwise(BINS))
    ]
    return [*rows, {"low": 1.0, "high": 1.0, **counted(right[share == 1])}]


def counted(right: np.ndarray) -> dict:
    """How many edges are right, with the Wilson interval of their share."""
    found: dict = {"edges": len(right), "right": int(right.sum())}
    if len(right):
        low, high = wilson_interval(found["right"], found["edges"])
        found |= {"share": float(right.mean()), "share_low": float(low), "share_high": float(high)}
    return found


def markdown(result: dict) -> str:
    """The tables, readable."""
    own = result["agreement"]
    keys = ("auroc", "auprc", "precision", "recall", "f1", "edges", "base_rate", "predict_all_f1")
    columns = ("AUROC", "AUPRC", "precision", "recall", "F1", "edges", "base rate", "every pair: F1")
    shown = [f"{own[key]:.4f}" if key == "base_rate" else own[key] for key in keys]
    parts = [table(columns, [shown])]
    for level, bins in result["reliability"].items():
        rows = []
        for each in bins:
            share = None
            if each["edges"]:
                share = f"{each['share']:.3f} ({each['share_low']:.3f} to {each['share_high']:.3f})"
            span = f"{each['low']:.1f} to {each['high']:.1f}" if each["low"] < 1 else "of these, every one"
            rows.append([span, each["edges"], each["right"], share])
        columns = ("share of resamples", f"edges of {level}", "in the expert graph", "share, 95 % interval")
        parts.append(table(columns, rows))
    return "\n\n".join(parts)


def draw(result: dict) -> Figure:
    """Share of right edges against the share of resamples; believed at its word it would be the diagonal."""
    figure, panel = panels(5, 3.6)
    panel.plot([0, 1], [0, 1], color="0.7", ls=":", label="if it were the probability of being right")
    styles = zip(("#0072B2", "#D55E00"), (-0.01, 0.01), strict=True)
    for (level, bins), (colour, shift) in zip(result["reliability"].items(), styles, strict=True):
        some = [each for each in bins if each["edges"] and each["low"] < 1]
        middle = [(each["low"] + each["high"]) / 2 + shift for each in some]
        share = np.array([each["share"] for each in some])
        error = np.abs(np.array([[each[end] for each in some] for end in ("share_low", "share_high")]) - share)
        panel.errorbar(middle, share, error, fmt="o-", color=colour, capsize=3, label=f"edges of {level}")
    panel.axhline(result["agreement"]["base_rate"], color="0.4", ls="--", lw=1, label="any pair of nodes")
    panel.set(xlabel="share of resamples with the edge", ylabel="share in the expert graph", ylim=(0, 1), xlim=(0, 1))
    panel.legend(fontsize=7, frameon=False)
    return figure


def measure(options: argparse.Namespace) -> Report:
    """Find the graph and judge it."""
    task = causrca_task(Path(options.data))
    graph = discovered(task.small if options.smoke else task, options)
    result = {
        "agreement": agreement(task, graph), "reliability": reliability(task, graph),
        "stability": graph.metadata.get("stability"),
    }  # fmt: skip
    return Report(result, markdown(result), figure=draw(result))


RECIPE = Recipe(__file__, __doc__, "How sure is an edge, and is it right?", measure, data=WHERE, tiny_data=made_up)

if __name__ == "__main__":
    RECIPE.main()
