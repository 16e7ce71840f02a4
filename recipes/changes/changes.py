# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Two graphs compared: how often something is said to have changed where nothing has, and what has changed is found.

Each world writes a log, and twice as much of it as one graph is made of: every second sequence makes the graph before,
the others the graph after. Then its strongest edge is taken out of the world, which writes the log after once more.

python recipes/changes/changes.py --out runs/changes
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from harness import Metrics, Recipe, Report, Size, metrics, table

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.graphs.counted_graphs import CountingSettings, counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.graph_changes import graph_changes
from hf_trace.logs.log import EventLog
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import ProcessEdge, ProcessSpec
from hf_trace.worlds.process_worlds import process_world

WORLDS = ("hawkes", "bursts", "signals", "chatter", "periodic")
# Worlds whose edges can be taken out one at a time.
CHANGING = ("hawkes", "bursts")
HORIZON = 60.0
# What makes an edge makes a difference: the defaults of `hf-trace discover`, and none where a method counts.
QUESTIONS = {"drives": 0.05, "follows": 0.005}
Making = Callable[[EventLog], dict[str, CausalGraph]]


def measure(options: argparse.Namespace) -> Report:
    """A row for each comparison."""
    rows = []
    for world in options.worlds:
        for seed in range(options.seeds):
            rows += compared(world, seed, options.sequences, counted)
        print(markdown(rows), flush=True)
    for seed in range(options.models):
        rows += compared("hawkes", 100 + seed, options.sequences, lambda log: asked(log, options.epochs))
        print(markdown(rows), flush=True)
    return Report(rows, markdown(rows), named(rows))


def compared(world: str, seed: int, sequences: int, made: Making) -> Iterator[dict[str, Any]]:
    """Two halves of one log, and the first of them beside a log of the world that has changed."""
    spec = process_world(world, types=12, edges=14, world_seed=seed)
    log = simulate_process(spec, 2 * sequences, seed=seed).log
    one, other = (made(log.select(np.arange(half, len(log), 2))) for half in (0, 1))
    for method, graph in one.items():
        found = graph_changes(graph, other[method], least=QUESTIONS.get(method, 0.0))
        yield {"world": world, "method": method, "seed": seed, "changed": False, "flagged": len(found.changed) > 0,
               "inflation": found.inflation, "alone": share_alone(graph, other[method])}  # fmt: skip
    if world not in CHANGING:
        return
    lost = strongest(spec)
    without = replace(spec, edges=tuple(edge for edge in spec.edges if edge != lost))
    after = made(simulate_process(without, sequences, seed=10_000 + seed).log)
    for method, graph in one.items():
        changed = graph_changes(graph, after[method], least=QUESTIONS.get(method, 0.0)).changed
        hit = (changed["cause"] == lost.cause) & (changed["effect"] == lost.effect)
        yield {"world": world, "method": method, "seed": seed, "changed": True, "flagged": bool(hit.any()),
               "others": int((~hit).sum())}  # fmt: skip


def strongest(spec: ProcessSpec) -> ProcessEdge:
    """The edge that brings about most within the horizon."""
    return max(spec.edges, key=lambda edge: edge.weight * np.exp(-edge.delay / HORIZON))


def share_alone(one: CausalGraph, other: CausalGraph) -> float:
    """Of all edges, the share that only one of two graphs has: what comparing edges by eye takes for changes."""
    first, second = ({graph.ends(edge) for edge in graph.edges} for graph in (one, other))
    return len(first ^ second) / max(len(first | second), 1)


def counted(log: EventLog) -> dict[str, CausalGraph]:
    """Graphs by counting."""
    made = CountingSettings(horizon=HORIZON)
    return {method: counted_graph(log, method, made) for method in ("onset", "hawkes")}


def asked(log: EventLog, epochs: float) -> dict[str, CausalGraph]:
    """Graphs of an oracle that has learned from this log alone."""
    with tempfile.TemporaryDirectory() as folder:
        train(log, Path(folder) / "run", TrainingSettings(preset="nano", epochs=epochs))
        model = EventModel.load(Path(folder) / "run")
        windows = model.windows(log).log
        requests = {
            name: DiscoveryRequest(level="population").updated(question=name, num_contexts=128) for name in QUESTIONS
        }
        return {name: log_result(model, windows, each, whole=log).graph for name, each in requests.items()}


def summed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each method and world."""
    found = []
    for (world, method), group in pd.DataFrame(rows).groupby(["world", "method"], sort=False):
        same, changed = group[~group["changed"]], group[group["changed"]]
        found.append({
            "world": world, "method": method, "comparisons": len(same), "false alarms": int(same["flagged"].sum()),
            "alone": float(same["alone"].mean()), "differ": int((same["alone"] > 0).sum()),
            "inflation": float(same["inflation"].mean()),
            "found": int(changed["flagged"].sum()) if len(changed) else None, "of": len(changed),
            "others": float(changed["others"].mean()) if len(changed) else None,
        })  # fmt: skip
    return found


def named(rows: Sequence[dict[str, Any]]) -> Metrics:
    """What ``expected.json`` holds."""
    columns = {"false alarms": ("comparisons in which nothing had changed and something was said to", 3.0)}
    found = dict(metrics(summed(rows), lambda row: f"{row['world']}, {row['method']}", columns))
    powered = [row | {"share": row["found"] / row["of"]} for row in summed(rows) if row["of"]]
    return found | dict(
        metrics(powered, lambda row: f"{row['world']}, {row['method']}", {"share": ("lost edges that are found", 0.25)})
    )


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, readable."""
    columns = (
        *("world", "method", "false alarms", "lists of edges differ", "variance beside that of the errors"),
        *("lost edge found", "other changes beside it"),
    )
    lines = [
        [
            row["world"],
            row["method"],
            f"{row['false alarms']} of {row['comparisons']}",
            f"{row['differ']} of {row['comparisons']} (by {row['alone']:.0%})".replace("%", " %"),
            f"{row['inflation']:.1f}",
            f"{row['found']} of {row['of']}" if row["of"] else None,
            None if row["others"] is None else f"{row['others']:.1f}",
        ]
        for row in summed(rows)
    ]
    return table(columns, lines)


RECIPE = Recipe(
    __file__,
    __doc__,
    "Does a comparison of two graphs raise false alarms, and does it find what changed?",
    measure,
    {
        "worlds": Size(list(WORLDS), ["hawkes"], "kinds of worlds, for graphs by counting"),
        "seeds": Size(20, 1, "simulated worlds of each kind, for graphs by counting"),
        "models": Size(4, 1, "simulated worlds in which oracles are trained"),
        "sequences": Size(40, 6, "sequences that one graph is made of"),
        "epochs": Size(20.0, 1.0),
    },
)

if __name__ == "__main__":
    RECIPE.main()
