# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Events at the same time: what an invented order costs, and what is found without one.

In a world with known edges, two or three events in a row share a timestamp and are listed in any order. The same
trained oracle is asked twice: reading ties as they are listed, and in both orders.

python recipes/ties/ties.py --out runs/ties
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import Metrics, Recipe, Report, Size, metrics, table

from hf_trace.graphs.graph import CausalGraph
from hf_trace.pipelines.discovery_pipeline import load_pipeline
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec

CHAIN = ((0, 1), (1, 2), (3, 4), (3, 5), (6, 7), (8, 7), (9, 10), (10, 11), (12, 13))
# The hand-written world of recipes/robustness.
WORLD = WorldSpec(
    types=16, memory=3, decay=0.7, edges=tuple((cause, effect, 2.5) for cause, effect in CHAIN), length=48
)
OPTIONS: dict[str, Any] = {"max_lag": 6, "proposal": "exhaustive", "level": "population"}


def measure(options: argparse.Namespace) -> Report:
    """Two rows for each number of events in a tie."""
    rows = []
    for ties in options.ties:
        started, world = time.monotonic(), World(replace(WORLD, ties=ties))
        log = simulate(world, options.training, seed=1).log
        fresh = simulate(world, options.tested, seed=2).log
        settings = TrainingSettings(
            preset=options.preset, gaps=False, epochs=options.epochs, batch_tokens=2048, learning_rate=3e-3, bf16=True
        )
        with tempfile.TemporaryDirectory() as folder:
            train(log, Path(folder) / "run", settings)
            discover = load_pipeline(Path(folder) / "run")
            for orders in ("listed", "both"):
                output = discover(fresh, ties=orders, **OPTIONS)
                graph = CausalGraph.from_dict(output["graph"])
                rows.append({"ties": ties, "orders": orders, **judged(graph, log.event_types)})
        rows[-1]["seconds"] = round(time.monotonic() - started)
        print(markdown(rows[-2:]), flush=True)
    return Report(rows, markdown(rows), named(rows))


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


def named(rows: Sequence[dict[str, Any]]) -> Metrics:
    """What ``expected.json`` holds."""
    shares = [{**row, "recall": row["true"] / row["edges"]} for row in rows]
    columns = {
        "recall": ("recall of directed edges", 0.25),
        "reversed": ("reversed edges", 2),
        "other": ("other edges", 2),
    }
    return metrics(shares, lambda row: f"ties of {row['ties']}, {row['orders']}", columns)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, readable."""
    columns = (
        *("events in a tie", "orders read", "true edges, directed", "reversed", "other edges"),
        *("undirected: true, other", "the two orders point the right way"),
    )
    lines = [
        [
            row["ties"],
            row["orders"],
            f"{row['true']} of {row['edges']}",
            row["reversed"],
            row["other"],
            f"{row['undirected_true']}, {row['undirected'] - row['undirected_true']}",
            f"{row['two_orders_right']} of {row['two_orders_decided']}",
        ]
        for row in rows
    ]
    return table(columns, lines)


RECIPE = Recipe(
    __file__,
    __doc__,
    "What does an invented order of simultaneous events cost?",
    measure,
    {
        "ties": Size([2, 3], [2], "events that share a time"),
        "training": Size(2000, 40, "sequences trained on"),
        "tested": Size(40, 6, "fresh sequences in which edges are found"),
        "epochs": Size(2.0, 1.0),
        "preset": Size("tiny", "nano", "size of the model"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
