"""The first command of a new user: real alarms in, causal graph out, beside the known one."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_trace.causal.evaluation import evaluate_graph
from hf_trace.causal.metrics import GraphComparison
from hf_trace.data.graph import CausalGraph
from hf_trace.data.samples import alarms_log, alarms_truth
from hf_trace.data.writing import atomic_path
from hf_trace.hub.discovery_run import load_pipeline, population_run, sampled, windows_for
from hf_trace.hub.training import TrainingSettings, train
from hf_trace.hub.training_progress import ProgressCallback
from hf_trace.report.figure import draw_graph

WINDOW_LENGTH = 64
WINDOWS_SCORED = 200
MAX_LAG = 8

Say = Callable[[str], None]
Progress = Callable[[str, float | None], AbstractContextManager[Callable[[float], None]]]


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        graph: The population graph.
        comparison: It and the baselines against the known graph.
        seconds: Wall time of the whole demo.
    """

    graph: CausalGraph
    comparison: GraphComparison
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Everything that JSON can hold."""
        return {
            "graph": self.graph.to_dict(),
            "comparison": self.comparison.to_dict(),
            "seconds": self.seconds,
        }


def run_demo(out: Path, *, seed: int = 0, say: Say, progress: Progress) -> DemoResult:
    """Train on the packaged telecom alarms, discover, draw and compare.

    Args:
        out: Folder for ``run/``, ``graph.json`` and ``graph.png``.
        seed: Seed of everything random.
        say: Called with a line to show.
        progress: Gives a progress bar.
    """
    started = time.monotonic()
    log = alarms_log()
    for line in log.summary().lines():
        say(line)
    out.mkdir(parents=True, exist_ok=True)
    with progress("training (%)", 100) as advance:
        settings = TrainingSettings(window_length=WINDOW_LENGTH, seed=seed)
        trained = train(log, out / "run", settings, callbacks=[ProgressCallback(advance)])
    say(f"Trained in {trained.metrics['seconds']:.0f} s: {trained.quality}.")

    discover = load_pipeline(out / "run")
    windows = sampled(windows_for(discover, log).log, WINDOWS_SCORED, seed)
    with progress("discovering", len(windows.codes)) as advance:
        output = population_run(
            discover, windows, advance=advance, proposal="exhaustive", max_lag=MAX_LAG, seed=seed
        )
    graph = CausalGraph.from_dict(output["graph"])
    truth = CausalGraph.from_edges(alarms_truth(), events=log.event_types)
    graph.save(out / "graph.json")
    with atomic_path(out / "graph.png") as unfinished:
        draw_graph(graph, unfinished, truth=truth, title="Telecom alarms: what causes what")
    return DemoResult(graph, evaluate_graph(graph, truth), time.monotonic() - started)
