# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""What neighbours are worth: alarms of 45 devices, each alone and with those it is joined to, counted and by type.

    python recipes/topology/topology.py --data PATH/TO/csl_sample --out runs/topology

Beside it the seconds for a made-up log of bursts.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from harness import Metrics, Recipe, Report, Size, metrics, table

from hf_trace import TrainingSettings, train
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.edges.joined_places import read_joined_places
from hf_trace.graphs.counted_graphs import BASELINES, IN_TIME, CountingSettings
from hf_trace.graphs.metrics import score_graph
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import with_neighbours
from hf_trace.logs.places.topology import Topology
from hf_trace.logs.windows import sampled_sequences
from hf_trace.runs.event_model import EventModel

SHOWN = {"auroc": ("AUROC", 0.001), "auprc": ("AUPRC", 0.001), "f1": ("F1", 0.001)}
# Trainings on other machines differ.
LEARNED = {"auroc": ("AUROC", 0.02), "auprc": ("AUPRC", 0.05), "f1": ("F1", 0.1), "loss": ("loss", 0.1)}


def measure(options: argparse.Namespace) -> Report:
    """Every method on the log, and its speed."""
    data = Path(options.data)
    frame = pd.read_csv(data / "alarm.csv")
    # Names in the order of the known graph.
    frame["alarm_id"] = [f"{number:04d}" for number in frame["alarm_id"]]
    log = EventLog.from_frame(frame, case="device_id", event="alarm_id", time="start_timestamp")
    truth = np.load(data / "true_graph.npy") > 0
    pairs = read_joined_places(data / "topology.npy")
    joined = CountingSettings(topology=Topology.of_log(log, pairs))
    rows = [row(log, truth, name, "", CountingSettings()) for name in BASELINES]
    rows += [row(log, truth, name, "topology", joined) for name in IN_TIME]
    learned = [by_type(log, truth, "", options), by_type(with_neighbours(log, pairs), truth, "topology", options)]
    bursts = made_up_bursts(options.events)
    speed = [[name, f"{timed(bursts, name)[1]:.1f}"] for name in IN_TIME]
    columns = ("method", "sees", "AUROC", "AUPRC", "F1, own rule", "edges", "seconds")
    shown = ("method", "sees", "auroc", "auprc", "f1", "edges", "seconds")
    lines = [[each[key] for key in shown] for each in (*rows, *learned)]
    chance = f"Base rate {rows[0]['base_rate']:.4f}; every pair: F1 {rows[0]['predict_all_f1']:.3f}."
    seconds = table((f"method, {options.events:,} events of 50 types", "seconds"), speed)
    text = f"{table(columns, lines)}\n\n{chance}\n\n{seconds}"
    found: Metrics = metrics(rows, called, SHOWN) | metrics(learned, called, LEARNED)
    return Report({"graphs": [*rows, *learned], "speed": speed}, text, found)


def called(row: dict) -> str:
    """Name of a line of the table."""
    return f"{row['method']} {row['sees']}".strip()


def row(log: EventLog, truth: np.ndarray, name: str, sees: str, settings: CountingSettings) -> dict:
    """One line of the table."""
    started = time.perf_counter()
    found = BASELINES[name](log, settings)
    edges = found.edges()
    seconds = time.perf_counter() - started
    return scored(truth, edges, found.scores) | {"method": name, "sees": sees, "seconds": round(seconds, 2)}


def by_type(log: EventLog, truth: np.ndarray, sees: str, options: argparse.Namespace) -> dict:
    """The same of a model: trained, and all events of a type taken out of windows that are drawn."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        quality = train(log, f"{folder}/run", TrainingSettings(max_tokens=options.tokens)).quality
        model = EventModel.load(f"{folder}/run")
    windows = sampled_sequences(model.windows(log).log, options.windows, 0)
    asked = DiscoveryRequest().updated(level="population", construction="by-type", max_lag=options.lag)
    graph = log_result(model, windows, asked, whole=log).graph
    place = [int(name) for name in graph.metadata["scores"]["events"]]
    scores, edges = np.zeros(truth.shape), np.zeros(truth.shape, dtype=bool)
    scores[np.ix_(place, place)] = np.nan_to_num(graph.metadata["scores"]["matrix"])
    for edge in graph.edges:
        edges[int(edge["cause"]), int(edge["effect"])] = True
    seconds = round(time.perf_counter() - started)
    return scored(truth, edges, scores) | {
        "method": "by-type", "sees": sees, "seconds": seconds, "loss": quality.loss, "bigram": quality.bigram,
    }  # fmt: skip


def scored(truth: np.ndarray, edges: np.ndarray, scores: np.ndarray) -> dict:
    """What a graph is worth."""
    found = score_graph(truth, edges, scores)
    away = ~np.eye(len(truth), dtype=bool)
    return {
        "auroc": found.auroc, "auprc": found.auprc, "f1": found.f1, "edges": int((edges & away).sum()),
        "base_rate": found.base_rate, "predict_all_f1": found.predict_all_f1,
    }  # fmt: skip


def timed(log: EventLog, name: str) -> tuple[np.ndarray, float]:
    """The edges of a method, and its seconds."""
    started = time.perf_counter()
    edges = BASELINES[name](log, CountingSettings()).edges()
    return edges, time.perf_counter() - started


def made_up_bursts(events: int) -> EventLog:
    """A thousand sequences whose gaps have heavy tails and whose types are unequally frequent."""
    rng = np.random.default_rng(0)
    offsets = np.linspace(0, events, 1001).astype(np.int64)
    codes = (rng.zipf(1.3, events) % 50).astype(np.int32)
    times = np.cumsum(rng.pareto(1.2, events))
    return EventLog(tuple(f"{i:02d}" for i in range(50)), codes, offsets, times, tuple(map(str, range(1000))))


def made_up(folder: Path) -> None:
    """Three devices in a row: an alarm 0 of one brings an alarm 1 of the next."""
    folder.mkdir(parents=True)
    rows = [(kind, device + kind, 100 * hour + kind) for hour in range(30) for device in (0, 1) for kind in (0, 1)]
    pd.DataFrame(rows, columns=["alarm_id", "device_id", "start_timestamp"]).to_csv(folder / "alarm.csv", index=False)
    np.save(folder / "topology.npy", np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
    np.save(folder / "true_graph.npy", np.array([[0, 1], [0, 0]]))


RECIPE = Recipe(
    __file__,
    __doc__,
    "What are neighbours worth?",
    measure,
    {
        "events": Size(1_000_000, 2_000, "events of the log that is made up for the speed"),
        "tokens": Size(4_000_000, 2_000, "tokens that each model is trained on"),
        "windows": Size(400, 4, "windows that events are taken out of"),
        "lag": Size(16, 4, "events after a cause that it may act on"),
    },
    data="the folder of the CSL sample (NeurIPS 2023): alarm.csv, topology.npy, true_graph.npy",
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
