"""Events at the same time: what an invented order costs, and what is found without one.

In a world with known edges, two or three events in a row share a timestamp and are listed in any order. The same
trained oracle is asked twice: reading ties as they are listed, and in both orders.

python recipes/ties/ties.py --out runs/ties
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.graphs.graph import CausalGraph
from hf_trace.pipelines.discovery_run import load_pipeline
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec

CHAIN = ((0, 1), (1, 2), (3, 4), (3, 5), (6, 7), (8, 7), (9, 10), (10, 11), (12, 13))
# The hand-written world of recipes/robustness.
WORLD = WorldSpec(
    types=16, memory=3, decay=0.7, edges=tuple((cause, effect, 2.5) for cause, effect in CHAIN), length=48
)
OPTIONS: dict[str, Any] = {"max_lag": 6, "proposal": "exhaustive", "level": "population"}


@dataclass(frozen=True)
class Size:
    """How much is simulated and trained."""

    training: int
    tested: int
    epochs: float


FULL = Size(training=2000, tested=40, epochs=2.0)
SMALL = Size(training=100, tested=10, epochs=1.0)


def measure(size: Size) -> list[dict[str, Any]]:
    """Two rows for each number of events in a tie."""
    rows = []
    for ties in (2, 3):
        started, world = time.monotonic(), World(replace(WORLD, ties=ties))
        log = simulate(world, size.training, seed=1).log
        fresh = simulate(world, size.tested, seed=2).log
        settings = TrainingSettings(gaps=False, epochs=size.epochs, batch_tokens=2048, learning_rate=3e-3, bf16=True)
        with tempfile.TemporaryDirectory() as folder:
            train(log, Path(folder) / "run", settings)
            discover = load_pipeline(Path(folder) / "run")
            for orders in ("listed", "both"):
                output = discover(fresh, ties=orders, **OPTIONS)
                graph = CausalGraph.from_dict(output["graph"])
                rows.append({"ties": ties, "orders": orders, **judged(graph, log.event_types)})
        rows[-1]["seconds"] = round(time.monotonic() - started)
        print(markdown(rows[-2:]), flush=True)
    return rows


def judged(graph: CausalGraph, names: Sequence[str]) -> dict[str, Any]:
    """What is found of the true edges, with and without direction, and what the two orders would have said."""
    true = {(names[cause], names[effect]) for cause, effect in CHAIN}
    joined = {frozenset(pair) for pair in true}
    directed = {(e["cause"], e["effect"]) for e in graph.edges if not e.get("undirected")}
    undirected = {frozenset((e["cause"], e["effect"])) for e in graph.edges if e.get("undirected")}
    compared = [
        edge
        for edge in graph.edges
        if "order_difference" in edge and frozenset((edge["cause"], edge["effect"])) in joined
    ]
    # Which direction the larger cmi of the two orders points in, where it is larger than chance would have it.
    said = [
        ((edge["cause"], edge["effect"]) in true) == (edge["order_difference"] > 0)
        for edge in compared
        if abs(edge["order_difference"]) > 1.96 * (edge["order_error"] or np.inf)
    ]
    return {
        "directed": len(directed),
        "true": len(directed & true),
        "reversed": len(directed & {(effect, cause) for cause, effect in true}),
        "other": len({pair for pair in directed if frozenset(pair) not in joined}),
        "undirected": len(undirected),
        "undirected_true": len(undirected & joined),
        "found_either_way": len(({frozenset(pair) for pair in directed} | undirected) & joined),
        "two_orders_decided": len(said),
        "two_orders_right": int(sum(said)),
        "edges": len(true),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, readable."""
    lines = [
        "| events in a tie | orders read | true edges, directed | reversed | other edges | undirected: true, other |"
        " the two orders point the right way |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        other = row["undirected"] - row["undirected_true"]
        lines.append(
            f"| {row['ties']} | {row['orders']} | {row['true']} of {row['edges']} | {row['reversed']} | {row['other']} "
            f"| {row['undirected_true']}, {other} | {row['two_orders_right']} of {row['two_orders_decided']} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure ties of two and three events and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ties"))
    parser.add_argument("--smoke", action="store_true", help="everything in small, to see that it runs")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = measure(SMALL if options.smoke else FULL)
    (options.out / "ties.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (options.out / "ties.md").write_text(markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
