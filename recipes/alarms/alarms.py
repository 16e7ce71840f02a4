"""Direct and total effects on 34,838 real alarms, against the known graph of their 18 types.

    python recipes/alarms/alarms.py --out runs/alarms

Oracles differ in their seed; total effects are averaged over them. Nothing is fitted to the known graph, but see the
README for what was seen of it before the settings were written down.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np

from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import TOTAL_STATISTICS, averaged, total_graph
from hf_trace.discovery.total_run import log_total_effects
from hf_trace.graphs.counting import BASELINES
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import score_graph
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log, alarms_truth
from hf_trace.logs.windows import sampled_sequences
from hf_trace.pipelines.discovery_run import load_pipeline, population_run, windows_for
from hf_trace.training.log_training import TrainingSettings, train

# What makes a pair an edge: an effect of some size, the same on every log.
OWN_THRESHOLDS = {
    "kl_to_mixture": "margin:0.05",
    "probability_gain": "fixed:0.05",
    "log_ratio": f"fixed:{np.log(2):.6g}",
    "risk": "fixed:0.1",
}
Fold = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """A log with a known graph, and how it is read.

    Attributes:
        name: Of the recipe.
        log: The events.
        truth: Known edges between what ``fold`` makes of event types.
        fold: Takes scores of pairs of event types to scores of what the truth is about.
        training: How oracles are trained.
        windows: How many windows direct effects are scored in.
        direct: Settings of direct effects.
        horizons: Horizons of total effects.
        follow_seconds: Window of the counting baseline "followed".
    """

    name: str
    log: EventLog
    truth: np.ndarray
    fold: Fold
    training: TrainingSettings
    windows: int
    direct: dict
    horizons: Sequence[str]
    follow_seconds: float


def alarms_task() -> Task:
    """The packaged telecom alarms."""
    log = alarms_log()
    truth = CausalGraph.from_edges(alarms_truth(), events=log.event_types).adjacency()
    direct = {"proposal": "exhaustive", "max_lag": 8}
    training = TrainingSettings(window_length=64)
    return Task("alarms", log, truth, lambda scores: scores, training, 200, direct, ("16", "16,5m", "16,1h"), 3600.0)


def measure(task: Task, out: Path, *, oracles: int, contexts: int) -> list[dict]:
    """Every method on one log."""
    pipes = [load_pipeline(oracle(task, out, seed)) for seed in range(oracles)]
    windows = windows_for(pipes[0], task.log).log
    rows = [*counted(task), *direct_rows(task, pipes[0], windows)]
    for horizon in task.horizons:
        settings = DiscoverySettings(effect="total", horizon=horizon, num_contexts=contexts)
        rows += total_rows(task, pipes, windows, settings)
        print(markdown(rows[-len(TOTAL_STATISTICS) :]), flush=True)
    return rows


def oracle(task: Task, out: Path, seed: int) -> Path:
    """A trained run, made once."""
    folder = out / "oracles" / str(seed)
    if not (folder / "config.json").exists():
        from dataclasses import replace

        trained = train(task.log, folder, replace(task.training, seed=seed))
        print(f"oracle {seed}: {trained.quality}; {trained.metrics['seconds']:.0f} s", flush=True)
    return folder


def counted(task: Task) -> list[dict]:
    """Counting baselines, a pair of types being an edge where the effect follows more often than elsewhere."""
    log, types = task.log, len(task.log.event_types)
    rows = []
    for name, function in BASELINES.items():
        scores = function(log.codes, log.offsets, types, max_lag=task.direct["max_lag"])
        rows.append(row(task, name, "", scores, scores > (1 if name == "lift" else 0), 0.0))
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


def direct_rows(task: Task, pipe: object, windows: EventLog) -> list[dict]:
    """Direct effects of one oracle, at the population graph's own threshold."""
    started = time.perf_counter()
    output = population_run(pipe, sampled_sequences(windows, task.windows, 0), **task.direct)
    graph = CausalGraph.from_dict(output["graph"])
    scores, edges = (by_type(task.log, graph, table) for table in (None, graph.adjacency()))
    return [row(task, "direct", "population", scores, edges, time.perf_counter() - started)]


def by_type(log: EventLog, graph: CausalGraph, table: np.ndarray | None) -> np.ndarray:
    """A table over a graph's events, put in the order of the log's types."""
    names, values = list(graph.events), table
    if values is None:
        names, values = graph.metadata["scores"]["events"], np.array(graph.metadata["scores"]["matrix"])
    wide = np.zeros((len(log.event_types),) * 2)
    places = [log.event_types.index(name) for name in names]
    wide[np.ix_(places, places)] = values
    return wide


def total_rows(task: Task, pipes: list, windows: EventLog, settings: DiscoverySettings) -> list[dict]:
    """Total effects averaged over oracles, with the spread of single ones."""
    started = time.perf_counter()
    found = log_total_effects([pipe.oracle for pipe in pipes], pipes[0].events, windows, settings)
    seconds = (time.perf_counter() - started) / len(pipes)
    rows = []
    for statistic, spec in OWN_THRESHOLDS.items():
        judged = []
        for effects in [*([each] for each in found), found]:
            types, threshold = pipes[0].events.event_types, parse_threshold(spec)
            graph = total_graph(averaged(effects), types, threshold, statistic=statistic)
            tables = (by_type(task.log, graph, table) for table in (None, graph.adjacency()))
            judged.append(row(task, f"total {statistic}", settings.horizon, *tables, seconds))
        spread = {}
        if len(found) > 1:
            names = ("auroc", "auprc", "f1")
            spread = {f"{name}_sd": float(np.std([each[name] for each in judged[:-1]], ddof=1)) for name in names}
        rows.append(judged[-1] | spread)
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


def markdown(rows: list[dict]) -> str:
    """The table, readable."""
    lines = [
        "| method | setting | AUROC | AUPRC | F1, own threshold | edges | F1, as many edges as true | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in rows:
        shown = {
            name: f"{each[name]:.3f}" + (f" ± {each[name + '_sd']:.3f}" if f"{name}_sd" in each else "")
            for name in ("auroc", "auprc", "f1")
        }
        lines.append(
            f"| {each['method']} | {each['setting']} | {shown['auroc']} | {shown['auprc']} | {shown['f1']} | "
            f"{each['edges']} | {each['f1_as_many_as_true']:.3f} | {each['seconds']:.0f} |"
        )
    last = rows[-1]
    lines.append(f"\nBase rate {last['base_rate']:.4f}; every pair: F1 {last['predict_all_f1']:.3f}.")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict], title: str, path: Path) -> None:
    """AUROC and AUPRC of every method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.28 * len(rows) + 1.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = [f"{each['method']} {each['setting']}".strip() for each in rows]
    for panel, name, chance in ((panels[0], "auroc", 0.5), (panels[1], "auprc", rows[0]["base_rate"])):
        values, spread = [each[name] for each in rows], [each.get(f"{name}_sd", 0) for each in rows]
        panel.barh(names, values, xerr=spread, color="#0072B2")
        panel.axvline(chance, color="#D55E00", ls="--", label="chance")
        panel.set(xlabel=name.upper())
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=7)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def arguments(default: str, description: str | None) -> argparse.Namespace:
    """Options of this recipe and of those like it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(default))
    parser.add_argument("--data", type=Path, help="folder of the data set, where it is not packaged")
    parser.add_argument("--oracles", type=int, default=5)
    parser.add_argument("--contexts", type=int, default=256)
    return parser.parse_args()


def write(rows: list[dict], name: str, title: str, out: Path) -> None:
    """JSON, Markdown and a figure."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(markdown(rows), encoding="utf-8")
    draw(rows, title, out / f"{name}.png")
    print(markdown(rows))


def main() -> None:
    """Measure and write."""
    options = arguments("runs/alarms", __doc__)
    task = alarms_task()
    rows = measure(task, options.out, oracles=options.oracles, contexts=options.contexts)
    write(rows, task.name, "Telecom alarms against the known graph", options.out)


if __name__ == "__main__":
    main()
