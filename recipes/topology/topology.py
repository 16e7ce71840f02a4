"""What neighbours are worth: counting on alarms of 45 devices, each alone and with the devices it is joined to.

    python recipes/topology/topology.py --data PATH/TO/csl_sample --out runs/topology

Beside it the seconds for a made-up log of bursts.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from harness import Metrics, Recipe, Report, Size, metrics, table

from hf_trace.edges.joined_places import read_joined_places
from hf_trace.graphs.counted_graphs import BASELINES, IN_TIME, CountingSettings
from hf_trace.graphs.metrics import score_graph
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology

SHOWN = {"auroc": ("AUROC", 0.001), "auprc": ("AUPRC", 0.001), "f1": ("F1", 0.001)}


def measure(options: argparse.Namespace) -> Report:
    """Every method on the log, and its speed."""
    data = Path(options.data)
    frame = pd.read_csv(data / "alarm.csv")
    # Names in the order of the known graph.
    frame["alarm_id"] = [f"{number:04d}" for number in frame["alarm_id"]]
    log = EventLog.from_frame(frame, case="device_id", event="alarm_id", time="start_timestamp")
    truth = np.load(data / "true_graph.npy") > 0
    joined = CountingSettings(topology=Topology.of_log(log, read_joined_places(data / "topology.npy")))
    rows = [row(log, truth, name, "", CountingSettings()) for name in BASELINES]
    rows += [row(log, truth, name, "topology", joined) for name in IN_TIME]
    bursts = made_up_bursts(options.events)
    speed = [[name, f"{timed(bursts, name)[1]:.1f}"] for name in IN_TIME]
    columns = ("method", "sees", "AUROC", "AUPRC", "F1, own rule", "edges", "seconds")
    lines = [[each[key] for key in ("method", "sees", "auroc", "auprc", "f1", "edges", "seconds")] for each in rows]
    chance = f"Base rate {rows[0]['base_rate']:.4f}; every pair: F1 {rows[0]['predict_all_f1']:.3f}."
    seconds = table((f"method, {options.events:,} events of 50 types", "seconds"), speed)
    text = f"{table(columns, lines)}\n\n{chance}\n\n{seconds}"
    found: Metrics = metrics(rows, lambda row: f"{row['method']} {row['sees']}".strip(), SHOWN)
    return Report({"graphs": rows, "speed": speed}, text, found)


def row(log: EventLog, truth: np.ndarray, name: str, sees: str, settings: CountingSettings) -> dict:
    """One line of the table."""
    started = time.perf_counter()
    found = BASELINES[name](log, settings)
    edges = found.edges()
    seconds = time.perf_counter() - started
    scores = score_graph(truth, edges, found.scores)
    away = ~np.eye(len(truth), dtype=bool)
    return {
        "method": name, "sees": sees, "auroc": scores.auroc, "auprc": scores.auprc, "f1": scores.f1,
        "edges": int((edges & away).sum()), "seconds": round(seconds, 2), "base_rate": scores.base_rate,
        "predict_all_f1": scores.predict_all_f1,
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
    {"events": Size(1_000_000, 2_000, "events of the log that is made up for the speed")},
    data="the folder of the CSL sample (NeurIPS 2023): alarm.csv, topology.npy, true_graph.npy",
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
