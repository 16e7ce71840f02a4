"""How long training and discovery will take on this machine, told from a few steps and a few windows."""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.logs.diagnosis.findings import Finding
from hf_trace.logs.log import EventLog, count, duration
from hf_trace.logs.windows import cut_windows
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.training_samples import split_windows
from hf_trace.training.log_training import LogData, TrainingSettings, measured, prepared
from hf_trace.training.loop import Loop

# Steps that are made, of which the first are slower than the others, with one evaluation among them.
_STEPS, _WARM_UP, _EVERY, _MOST_SECONDS = 72, 3, 24, 40.0
# Training stops when the held-out loss has not fallen for four evaluations: between half of the passes and all.
_USUAL_SHARE = 0.75
_CONTEXTS, _FIRST_EVENTS, _MORE = (4, 24), 1_000, 6


@dataclass(frozen=True)
class TimeEstimate(Finding):
    """What training and discovery will cost on this machine, as it is loaded now.

    Attributes:
        training_seconds: Of three quarters of the passes; training stops by itself between a half and all of them.
        most_training_seconds: Of all passes.
        discovery_seconds: Of the question that was asked.
        question: Which.
        memory_bytes: The most that this process has taken so far, samples of both among it; 0: not known.
        steps: Optimizer steps of all passes.
        step_seconds: Of one.
        sample_seconds: How long measuring took.
    """

    training_seconds: float
    most_training_seconds: float
    discovery_seconds: float
    question: str
    memory_bytes: int
    steps: int
    step_seconds: float
    sample_seconds: float

    def lines(self) -> list[str]:
        """Times in words."""
        memory = f"; memory so far {self.memory_bytes / 1e9:.1f} GB, which both need about" if self.memory_bytes else ""
        return [
            f"training about {duration(self.training_seconds)}, at most {duration(self.most_training_seconds)} "
            f"({count(self.steps, 'step')} of {self.step_seconds:.2g} s, fewer where the held-out loss falls no more).",
            f"discovery (--question {self.question}) about {duration(self.discovery_seconds)}.",
            f"Measured in {self.sample_seconds:.0f} s on this machine as it is loaded now{memory}.",
        ]


class StepClock(TrainerCallback):
    """Notes when steps begin and end; stops a training that takes too long.

    Attributes:
        begun: When each step began.
        ended: When each step ended.
    """

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self.begun.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self.ended.append(time.perf_counter())
        if len(self.ended) > _EVERY + _WARM_UP and self.ended[-1] - self.begun[0] > _MOST_SECONDS:
            control.should_training_stop = True

    def step_and_pause(self, every: int) -> tuple[float, float]:
        """Seconds of a step, and of an evaluation and checkpoint, which come after each ``every`` steps.

        Example:
            >>> clock = StepClock()
            >>> clock.begun, clock.ended = [0.0, 4.0, 5.0, 8.0, 9.0], [3.0, 4.5, 5.5, 8.5, 9.5]
            >>> clock.step_and_pause(3)  # steps begin a second apart, but after the third 3 s, of which 2 are a pause
            (1.0, 2.0)
        """
        turns = np.diff(self.begun)
        pauses = (np.arange(len(turns)) + 1) % every == 0
        warm = np.arange(len(turns)) >= min(_WARM_UP, max(0, len(turns) // 2)) if len(turns) > 1 else pauses | True
        usual = turns[warm & ~pauses] if np.any(warm & ~pauses) else np.array(self.ended) - np.array(self.begun)
        step = float(np.mean(usual))
        return step, max(0.0, float(np.mean(turns[pauses])) - step) if pauses.any() else 0.0


def estimate_times(
    log: EventLog, settings: TrainingSettings, request: DiscoveryRequest, *, before: float = 0.0
) -> TimeEstimate:
    """Train for a few steps, discover in a few windows, and tell from that what all will take.

    Args:
        log: As it would be trained on.
        settings: As it would be trained with.
        request: What would be asked, of a population, with a question.
        before: Seconds that both commands take for what is not measured here: imports, reading the log.

    Raises:
        EmptyLogError: If there are too few sequences to train on.
    """
    started = time.perf_counter()
    tokenizer, settings = prepared(log, settings)
    windows = cut_windows(log, length=settings.window_length, gap=settings.window_gap)
    training, validation = split_windows(windows, settings.validation_share, settings.seed)
    data, clock = LogData(tokenizer, training, validation, settings), StepClock()
    schedule = data.schedule
    steps, every = int(np.ceil(schedule.steps)), min(_EVERY, schedule.every)
    data.schedule = replace(schedule, epochs=None, stop=min(steps, _STEPS), every=every, patience=None)
    with tempfile.TemporaryDirectory(prefix="hf-trace-") as folder:
        loop = Loop(Path(folder) / "run", Path(folder) / "run", [clock], resume=False, overwrite=True)
        loop.begin(settings, log="sample")
        fitted = loop.fit(data, settings)
        step, pause = clock.step_and_pause(every)
        last = _seconds(lambda: measured(fitted, tokenizer, training, validation))
    recipe = {"min_count": settings.min_count, "outcome_column": settings.outcome_column}
    model = EventModel(Oracle(fitted.model), tokenizer, {}, recipe)
    discovery = discovery_seconds(model, log, windows, request.updated(level="population"))
    passes = steps * step + steps // schedule.every * pause
    return TimeEstimate(
        before + _USUAL_SHARE * passes + last,
        before + passes + last,
        before + discovery,
        str(request.settings.question),
        _peak_memory(),
        steps,
        step,
        time.perf_counter() - started,
    )


def discovery_seconds(model: EventModel, log: EventLog, windows: EventLog, request: DiscoveryRequest) -> float:
    """How long a question takes, by a line through two samples: of contexts where events are forced, else of windows.

    Args:
        model: That is asked.
        log: Whole.
        windows: Of the log, all that would be asked about.
        request: What would be asked, of a population.
    """
    if request.is_total:
        sizes = tuple(map(float, _CONTEXTS))
        whole = float(min(request.settings.num_contexts, max(1, len(log.codes) - len(log))))
        asked = [request.updated(num_contexts=number) for number in _CONTEXTS]
        taken = [_seconds(lambda each=each: log_result(model, windows, each, whole=log)) for each in asked]  # type: ignore[misc]
    else:
        parts = [_some(windows, events) for events in (_FIRST_EVENTS, _FIRST_EVENTS * (1 + _MORE))]
        sizes, whole = tuple(float(len(part.codes)) for part in parts), float(len(windows.codes))
        taken = [_seconds(lambda part=part: log_result(model, part, request)) for part in parts]  # type: ignore[misc]
    if sizes[1] <= sizes[0]:
        return taken[1] * max(1.0, whole / max(1.0, sizes[1]))
    slope = max(0.0, (taken[1] - taken[0]) / (sizes[1] - sizes[0]))
    return taken[1] + slope * max(0.0, whole - sizes[1])


def _some(windows: EventLog, events: int) -> EventLog:
    """Windows drawn at random with at least so many events, or all."""
    order = np.random.default_rng(0).permutation(len(windows))
    reached = np.cumsum(windows.sequence_lengths[order])
    return windows.select(np.sort(order[: int(np.searchsorted(reached, events)) + 1]))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)
