# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How large a log with a topology may be: seconds and memory of reading, of training and of discovery on a sample.

    python recipes/topology/large_topology.py --out runs/topology

The log is made up: bursts of 50 types on places that are joined at random, in heavy-tailed times.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import networkx as nx
import numpy as np
import pandas as pd
from harness import Recipe, Report, Size, table

from hf_trace import TrainingSettings, read_log, train
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.logs.windows import sampled_sequences
from hf_trace.runs.event_model import EventModel

_TYPES = 50
_MEGABYTE = 1024


def measure(options: argparse.Namespace) -> Report:
    """Every step, in its order: memory is the most that the process has held until then."""
    rows: list[list[Any]] = []

    def step(name: str, work: Callable[[], Any], of: Callable[[Any], str]) -> Any:
        started, spent = time.perf_counter(), time.process_time()
        found = work()
        seconds = [round(time.perf_counter() - started, 1), round(time.process_time() - spent, 1)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MEGABYTE
        rows.append([name, of(found), *seconds, memory])
        return found

    with tempfile.TemporaryDirectory() as folder:
        log, joined, run = Path(folder) / "log.csv", Path(folder) / "joined.csv", Path(folder) / "run"
        write(log, joined, options.events, options.places)
        step("read without a topology", lambda: read_log(log, case_column="place"), events)
        seen = step("read with a topology", lambda: read_log(log, case_column="place", topology=joined), events)
        settings = TrainingSettings(preset="nano", epochs=options.passes, validation_share=options.held_out)
        step(
            "train a nano model",
            lambda: train(seen, run, settings),
            lambda trained: f"{trained.metrics['epochs']:.2f} passes, {trained.quality.loss:.3f} nats per own event",
        )
        model = EventModel.load(run)
        windows = sampled_sequences(model.windows(seen).log, options.windows, 0)
        request = DiscoveryRequest().updated(level="population", construction="by-type")
        step(
            f"by-type, {len(windows):,} windows",
            lambda: log_result(model, windows, request).graph,
            lambda graph: f"{len(graph.edges):,} edges",
        )
    columns = ("step", "what", "seconds", "of a processor", "MB at most")
    return Report({"steps": rows}, table(columns, rows))


def events(log: Any) -> str:
    """How large a log is."""
    return f"{len(log.codes):,} events in {len(log):,} sequences"


def write(log: Path, joined: Path, events: int, places: int) -> None:
    """A log of events at places, and which of them are joined: four neighbours each, at random."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "place": rng.integers(places, size=events),
            "event": [f"alarm {code:02d}" for code in rng.zipf(1.3, events) % _TYPES],
            "time": np.cumsum(rng.pareto(1.2, events)),
        }
    )
    frame.to_csv(log, index=False)
    network = nx.random_regular_graph(4, places, seed=0)
    pd.DataFrame(list(network.edges()), columns=["one", "other"]).to_csv(joined, index=False)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How large may a log with a topology be?",
    measure,
    {
        "events": Size(1_000_000, 600, "events of the log"),
        "places": Size(1_000, 12, "places, each joined to four others"),
        "passes": Size(0.1, 0.1, "passes of the training over the log"),
        "held_out": Size(0.005, 0.1, "share of the places that are held out"),
        "windows": Size(200, 4, "windows that are analysed"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
