"""Direct and total effects on a real log with a known graph, beside counting."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from harness import Metrics, Report, metrics, panels, table
from matplotlib.figure import Figure

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import TOTAL_STATISTICS, averaged, total_graph
from hf_trace.discovery.total_run import log_total_effects
from hf_trace.graphs.counted_graphs import BASELINES, IN_TIME, CountingSettings
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import score_graph
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import sampled_sequences
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import TrainingSettings, train

# What makes a pair an edge: an effect of some size, the same on every log.
OWN_THRESHOLDS = {
    "kl_to_mixture": "margin:0.05",
    "probability_gain": "fixed:0.05",
    "log_ratio": f"fixed:{np.log(2):.6g}",
    "risk": "fixed:0.1",
}
SHOWN = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}


@dataclass(frozen=True)
class Task:
    """A log with a known graph, and how it is read.

    Attributes:
        log: The events.
        truth: Known edges between what ``fold`` makes of event types.
        fold: Takes scores of pairs of event types to scores of what the truth is about.
        training: How oracles are trained.
        direct: Settings of direct effects.
        horizons: Horizons of total effects.
        follow_seconds: Window of the counting baseline "followed".
    """

    log: EventLog
    truth: np.ndarray
    fold: Callable[[np.ndarray], np.ndarray]
    training: TrainingSettings
    direct: dict
    horizons: Sequence[str]
    follow_seconds: float

    @property
    def small(self) -> "Task":
        """The same in seconds."""
        training = replace(self.training, preset="nano", window_length=32, epochs=0.2)
        direct = {**self.direct, "max_lag": 2, "num_samples": 2}
        return replace(self, training=training, direct=direct, horizons=self.horizons[:1])


def measured(task: Task, options: argparse.Namespace, title: str) -> Report:
    """Every method on one log."""
    task = task.small if options.smoke else task
    models = [EventModel.load(oracle(task, options.out, seed)) for seed in range(options.oracles)]
    windows = models[0].windows(task.log).log
    rows = [*counted(task), direct_row(task, models[0], sampled_sequences(windows, options.windows, 0))]
    for horizon in task.horizons:
        request = DiscoveryRequest().updated(
            level="population", effect="total", horizon=horizon, num_contexts=options.contexts
        )
        rows += total_rows(task, models, windows, request)
        print(markdown(rows[-len(TOTAL_STATISTICS) :]), flush=True)
    return Report(rows, markdown(rows), named(rows), draw(rows, title))


def oracle(task: Task, out: Path, seed: int) -> Path:
    """A trained run, made once."""
    return made_once(out / "oracles" / str(seed), task.log, replace(task.training, seed=seed))


def made_once(folder: Path, log: EventLog, training: TrainingSettings) -> Path:
    """A trained run; one that is finished is taken as it is."""
    if not (folder / "config.json").exists():
        trained = train(log, folder, training)
        print(f"oracle {folder.name}: {trained.quality}; {trained.metrics['seconds']:.0f} s", flush=True)
    return folder


def counted(task: Task) -> list[dict]:
    """Counting baselines: by order an edge is a pair with any excess, in time what the package's own rule says."""
    log, rows = task.log, []
    settings = CountingSettings(max_lag=task.direct["max_lag"])
    for name, method in BASELINES.items():
        found, is_timed = method(log, settings), name in IN_TIME
        edges = found.edges() if is_timed else found.scores > (1 if name == "lift" else 0)
        horizon = f"{found.parameters['horizon_seconds']:.4g} s" if is_timed else ""
        rows.append(row(task, name, horizon, found.scores, edges, 0.0))
    scores = followed(log, task.follow_seconds)
    rows.append(row(task, "followed", f"{task.follow_seconds:g} s", scores, scores > 0.1, 0.0))
    return rows


def followed(log: EventLog, seconds: float) -> np.ndarray:
    """Share of the events of each type that each type follows within a time: total effect's counting twin."""
    types = len(log.event_types)
    hits = np.zeros((types, types))
    for start, stop in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        codes, times = log.codes[start:stop], log.timestamps[start:stop]
        for effect in np.unique(codes):
            when = times[codes == effect]
            after = np.searchsorted(when, times + seconds, "right") > np.searchsorted(when, times, "right")
            hits[:, effect] += np.bincount(codes, weights=after, minlength=types)
    return hits / np.maximum(np.bincount(log.codes, minlength=types), 1)[:, None]


def direct_row(task: Task, model: EventModel, windows: EventLog) -> dict:
    """Direct effects of one oracle, at the population graph's own threshold."""
    started = time.perf_counter()
    graph = log_result(model, windows, DiscoveryRequest().updated(level="population", **task.direct)).graph
    scores, edges = (by_type(task.log, graph, values) for values in (None, graph.adjacency()))
    return row(task, "direct", "population", scores, edges, time.perf_counter() - started)


def by_type(
    log: EventLog, graph: CausalGraph, values: np.ndarray | None, owners: Sequence[str] | None = None
) -> np.ndarray:
    """A table over a graph's events, or its scores, put in the order of the log's types.

    Args:
        log: The log.
        graph: Its graph.
        values: The table; None for the scores.
        owners: The event of the graph that each type of the log is a value of; None: itself.
    """
    names = list(graph.events)
    if values is None:
        names, values = graph.metadata["scores"]["events"], np.array(graph.metadata["scores"]["matrix"], dtype=float)
        values = np.where(np.isnan(values), np.nanmin(values), values)  # a pair that came nowhere near each other
    place = {name: number for number, name in enumerate(names)}
    places = np.array([place.get(name, -1) for name in owners or log.event_types])
    known = np.flatnonzero(places >= 0)
    wide = np.zeros((len(places),) * 2)
    wide[np.ix_(known, known)] = values[np.ix_(places[known], places[known])]
    return wide


def total_rows(task: Task, models: list[EventModel], windows: EventLog, request: DiscoveryRequest) -> list[dict]:
    """Total effects averaged over oracles, with the spread of single ones."""
    started = time.perf_counter()
    found = log_total_effects(models, windows, request)
    seconds = (time.perf_counter() - started) / len(models)
    rows = []
    for statistic, spec in OWN_THRESHOLDS.items():
        judged = []
        for effects in [*([each] for each in found), found]:
            types, threshold = models[0].tokenizer.event_types, parse_threshold(spec)
            graph = total_graph(averaged(effects), types, threshold, statistic=statistic)
            tables = (by_type(task.log, graph, values) for values in (None, graph.adjacency()))
            judged.append(row(task, f"total {statistic}", request.settings.horizon, *tables, seconds))
        deviation = {}
        if len(found) > 1:
            deviation = {f"{name}_sd": float(np.std([each[name] for each in judged[:-1]], ddof=1)) for name in SHOWN}
        rows.append(judged[-1] | deviation)
    return rows


def row(task: Task, method: str, setting: str, scores: np.ndarray, edges: np.ndarray, seconds: float) -> dict:
    """One line of the table; F1 at the method's own threshold, and with as many edges as are true."""
    scores, edges = task.fold(scores), task.fold(np.asarray(edges, dtype=float)) > 0
    own = score_graph(task.truth, edges, scores)
    away = ~np.eye(len(scores), dtype=bool)
    count = int(task.truth[away].sum())
    best = np.argsort(-scores[away], kind="stable")[:count]
    return {
        "method": method, "setting": setting, "auroc": own.auroc, "auprc": own.auprc, "f1": own.f1,
        "precision": own.precision, "recall": own.recall, "edges": int(edges[away].sum()),
        "f1_as_many_as_true": float(task.truth[away][best].mean()), "seconds": seconds,
        "base_rate": own.base_rate, "predict_all_f1": own.predict_all_f1,
    }  # fmt: skip


def title(row: dict) -> str:
    """Method and setting."""
    return f"{row['method']} ({row['setting']})" if row["setting"] else row["method"]


def named(rows: list[dict]) -> Metrics:
    """What ``expected.json`` holds: counting is sure, trained oracles differ."""
    found: dict[str, tuple[float, float]] = {}
    for each in rows:
        is_trained = each["method"].startswith(("direct", "total"))
        columns = {key: (name, 0.08 if is_trained else 0.01) for key, name in SHOWN.items()}
        found |= metrics([each], title, columns)
    last = rows[-1]
    return {**found, "base rate": (last["base_rate"], 0.001), "every pair: F1": (last["predict_all_f1"], 0.001)}


def markdown(rows: list[dict]) -> str:
    """The table, readable."""
    columns = (
        "method",
        "setting",
        "AUROC",
        "AUPRC",
        "F1, own threshold",
        "edges",
        "F1, as many edges as true",
        "seconds",
    )
    lines = [
        [
            each["method"],
            each["setting"],
            *(f"{each[k]:.3f}" + (f" ± {each[k + '_sd']:.3f}" if f"{k}_sd" in each else "") for k in SHOWN),
            each["edges"],
            each["f1_as_many_as_true"],
            f"{each['seconds']:.0f}",
        ]
        for each in rows
    ]
    last = rows[-1]
    return (
        f"{table(columns, lines)}\n\nBase rate {last['base_rate']:.4f}; every pair: F1 {last['predict_all_f1']:.3f}.\n"
    )


def draw(rows: list[dict], title: str) -> Figure:
    """AUROC and AUPRC of every method."""
    figure, axes = panels(9, 0.28 * len(rows) + 1.2, 1, 2, sharey=True)
    names = [f"{each['method']} {each['setting']}".strip() for each in rows]
    for panel, name, chance in zip(axes, SHOWN, (0.5, rows[0]["base_rate"]), strict=False):
        values, deviation = [each[name] for each in rows], [each.get(f"{name}_sd", 0) for each in rows]
        panel.barh(names, values, xerr=deviation, color="#0072B2")
        panel.axvline(chance, color="#D55E00", ls="--", label="chance")
        panel.set(xlabel=SHOWN[name])
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=7)
    figure.suptitle(title)
    return figure
