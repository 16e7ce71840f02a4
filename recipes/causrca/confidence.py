"""How far the confidence of a population graph can be believed: a lathe's log against its expert graph (causRCA).

    python recipes/causrca/confidence.py --data PATH/TO/causrca --out runs/causrca

The graph is found by ``hf-trace discover`` with the oracle of ``causrca.py``. Nothing is fitted to the expert graph:
lags and draws are those of ``causrca.py``, the threshold and the rule for frequencies are as the package has them. An
edge between event types is right when the expert graph joins their nodes; a pair of nodes has the largest strength and
the largest share of resamples of its pairs of event types.
"""

import itertools
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "alarms"))

import numpy as np
from alarms import Task, by_type, oracle, row
from causrca import causrca_task

from hf_trace.discovery.population.frequencies import wilson_interval
from hf_trace.errors import HfTraceError
from hf_trace.graphs.graph import CausalGraph

DISCOVER = [
    "--event-column", "node,value", "--query", "type in ['Binary', 'Alarm'] and time_s > 0",
    "--sample", "300", "--max-lag", "8", "--num-samples", "16", "--min-frequency", "adaptive", "--bootstrap", "200",
]  # fmt: skip
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def discovered(task: Task, data: Path, out: Path) -> CausalGraph:
    """The population graph with its page, found once."""
    folder = out / "confidence"
    graph = folder / "population.json"
    if not graph.exists():
        run = oracle(task, out, 0)
        folder.mkdir(parents=True, exist_ok=True)
        files = ["--out", str(graph), "--html", str(folder / "report.html")]
        command = ["discover", str(run), str(data / "real_op"), *DISCOVER, *files]
        subprocess.run([sys.executable, "-m", "hf_trace", *command], check=True, stdout=subprocess.DEVNULL)
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
    place = np.array([sorted(set(nodes)).index(name) for name in nodes])
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
    lines = [
        "| AUROC | AUPRC | precision | recall | F1 | edges | base rate | every pair: F1 |", "|" + "---|" * 8,
        f"| {own['auroc']:.3f} | {own['auprc']:.3f} | {own['precision']:.3f} | {own['recall']:.3f} | {own['f1']:.3f} | "
        f"{own['edges']} | {own['base_rate']:.4f} | {own['predict_all_f1']:.3f} |",
    ]  # fmt: skip
    for level, bins in result["reliability"].items():
        lines += ["", f"| share of resamples | edges of {level} | in the expert graph | share, 95 % interval |"]
        lines += ["|---|---|---|---|"]
        for each in bins:
            share = "–"
            if each["edges"]:
                share = f"{each['share']:.3f} ({each['share_low']:.3f} to {each['share_high']:.3f})"
            span = f"{each['low']:.1f} to {each['high']:.1f}" if each["low"] < 1 else "of these, every one"
            lines.append(f"| {span} | {each['edges']} | {each['right']} | {share} |")
    return "\n".join(lines) + "\n"


def draw(result: dict, path: Path) -> None:
    """Share of right edges against the share of resamples; believed at its word it would be the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="0.7", ls=":", label="if it were the probability of being right")
    for (level, bins), colour, shift in zip(
        result["reliability"].items(), ("#0072B2", "#D55E00"), (-0.01, 0.01), strict=True
    ):
        some = [each for each in bins if each["edges"] and each["low"] < 1]
        middle = [(each["low"] + each["high"]) / 2 + shift for each in some]
        share = np.array([each["share"] for each in some])
        ends = np.array([[each["share_low"] for each in some], [each["share_high"] for each in some]])
        panel.errorbar(
            middle, share, np.abs(ends - share), fmt="o-", color=colour, capsize=3, label=f"edges of {level}"
        )
    panel.axhline(result["agreement"]["base_rate"], color="0.4", ls="--", lw=1, label="any pair of nodes")
    panel.set(xlabel="share of resamples with the edge", ylabel="share in the expert graph", ylim=(0, 1), xlim=(0, 1))
    panel.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and write."""
    parser = ArgumentParser(description="Reliability of the confidence of a population graph.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set (causRCA)")
    parser.add_argument("--out", type=Path, default=Path("runs/causrca"))
    options = parser.parse_args()
    try:
        task = causrca_task(options.data)
        graph = discovered(task, options.data, options.out)
    except (HfTraceError, OSError) as error:
        sys.exit(f"The data set cannot be read: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"The graph was not found: {' '.join(error.cmd[1:4])} ended with {error.returncode}.")
    result = {
        "agreement": agreement(task, graph), "reliability": reliability(task, graph),
        "stability": graph.metadata.get("stability"),
    }  # fmt: skip
    folder = options.out / "confidence"
    (folder / "confidence.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(result, folder / "confidence.png")
    print(markdown(result))


if __name__ == "__main__":
    main()
