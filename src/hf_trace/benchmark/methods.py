"""The methods of the package, each with its defaults, as what they say of all pairs of event types of one log."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hf_trace.benchmark.additive_effects import additive_effects
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import BY_TYPE, DiscoveryRequest
from hf_trace.documents import Document
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.score_tables import table_of
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import sampled_sequences
from hf_trace.logs.writing import atomic_path
from hf_trace.options import SEED
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import TrainingSettings, train

Advance = Callable[[float], None]
_WINDOW_LENGTH = 64
# The smallest that the package's own checkpoints are: eleven logs in minutes.
PRESET = "nano"


class PairsFound(NamedTuple):
    """What a method says of all pairs of types of a log.

    Attributes:
        scores: By which pairs are ranked, ``[cause, effect]``; all finite.
        edges: Pairs that are edges by the method's own rule; None where it has none.
        seconds: What it took.
    """

    scores: Float[np.ndarray, "cause effect"]
    edges: Bool[np.ndarray, "cause effect"] | None
    seconds: float

    def write(self, path: Path) -> None:
        """Write an ``.npz``, whole or not at all."""
        tables: Document = {} if self.edges is None else {"edges": self.edges}
        with atomic_path(path) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, scores=self.scores, seconds=self.seconds, **tables)

    @classmethod
    def read(cls, path: Path) -> "PairsFound":
        """Read what ``write`` wrote, or ``method_worker``."""
        with np.load(path) as found:
            return cls(found["scores"], found.get("edges"), float(found["seconds"]))


@dataclass(frozen=True)
class LogStudy:
    """One log, and the language model of it that methods share; the known causes are not here.

    Attributes:
        log: The events.
        run: Where the model is, or is going to be.
        seed: Of training, windows and draws.
        small: Whether everything is done in seconds.
        preset: Size of the model.
    """

    log: EventLog
    run: Path
    seed: int = SEED.default
    small: bool = False
    preset: str = PRESET

    @cached_property
    def model(self) -> EventModel:
        """The trained model."""
        return EventModel.load(self.run)

    @property
    def is_trained(self) -> bool:
        """Whether the model is there."""
        return (self.run / "config.json").exists()

    def train(self, callbacks: Any = ()) -> None:
        """Train the model on windows of at most 64 events, in all else with the defaults of the package.

        A training that was stopped goes on.
        """
        settings = TrainingSettings(preset=self.preset, window_length=_WINDOW_LENGTH, seed=self.seed)
        if self.small:
            settings = replace(settings, preset="pico", window_length=32, epochs=0.5)
        train(self.log, self.run, settings, resume=True, callbacks=callbacks)

    def windows(self, most: int) -> EventLog:
        """So many windows of the log, drawn at random."""
        return sampled_sequences(self.model.windows(self.log).log, 2 if self.small else most, self.seed)


@dataclass(frozen=True)
class Method:
    """A method of the package.

    Attributes:
        name: Short name.
        about: What it does, in a line.
        ask: Gives scores and edges of a study, and reports the share that is done.
        needs_model: Whether it asks a trained model.
    """

    name: str
    about: str
    ask: Callable[[LogStudy, Advance], tuple[np.ndarray, np.ndarray | None]]
    needs_model: bool = False

    def answer(self, study: LogStudy, advance: Advance = lambda _: None) -> PairsFound:
        """What the method says, timed; training of the model is not counted."""
        if self.needs_model:
            study.model  # noqa: B018 - loaded before the clock starts
        started = time.perf_counter()
        scores, edges = self.ask(study, advance)
        return PairsFound(scores, edges, time.perf_counter() - started)


def _asked(study: LogStudy, advance: Advance, windows: int | None, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """A graph of the log by its model, as ``hf-trace discover`` gives it."""
    request = DiscoveryRequest().updated(level="population", seed=study.seed, **settings)
    if study.small:
        request = request.updated(max_lag=2, num_contexts=2)
    log = study.model.windows(study.log).log if windows is None else study.windows(windows)
    total = len(log.codes) if windows else request.settings.num_contexts
    graph = log_result(study.model, log, request, whole=study.log, advance=lambda done: advance(done / total)).graph
    return _tables(graph, study.log.event_types)


def _tables(graph: CausalGraph, event_types: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and edges in the order of the types of a log; pairs that never met come last."""
    scores = table_of(graph.metadata["scores"], "matrix", event_types)
    known = np.isfinite(scores)
    edges = CausalGraph.from_edges([graph.ends(edge) for edge in graph.edges], events=event_types).adjacency()
    return np.where(known, scores, scores[known].min(initial=0.0)), edges


def _counted(study: LogStudy, advance: Advance, method: str) -> tuple[np.ndarray, np.ndarray]:
    del advance
    found = BASELINES[method](study.log, CountingSettings())
    return found.scores, found.edges()


def _additive(study: LogStudy, advance: Advance) -> tuple[np.ndarray, None]:
    return additive_effects(study.log, seed=study.seed, advance=advance), None


def _frequency(study: LogStudy, advance: Advance) -> tuple[np.ndarray, None]:
    del advance
    counts = np.bincount(study.log.codes, minlength=len(study.log.event_types))
    return np.tile(counts / counts.sum(), (len(counts), 1)), None


def _by_model(name: str, about: str, windows: int | None, **settings: Any) -> Method:
    return Method(name, about, partial(_asked, windows=windows, **settings), needs_model=True)


def _by_counting(name: str, about: str) -> Method:
    return Method(name, about, partial(_counted, method=name))


_MANY, _SOME, _FEW, _PLACES = 200, 20, 5, 64
OWN_METHODS: Mapping[str, Method] = {
    each.name: each
    for each in (
        _by_model("drives", "all events of a type taken out at once, 200 windows", _MANY, question="drives"),
        _by_model(
            "combined",
            "one probability of all evidence, learned in other worlds, 200 windows",
            _MANY,
            construction=BY_TYPE,
            statistic="combined",
        ),
        _by_model(
            "follows", "a type forced, onsets counted, 64 places", None, question="follows", num_contexts=_PLACES
        ),
        _by_model("total", "a type forced, the future sampled, 64 places", None, effect="total", num_contexts=_PLACES),
        _by_model("atomic", "one event replaced, 20 windows", _SOME, construction="atomic"),
        _by_model("staircase", "all later events replaced, 5 windows", _FEW, construction="staircase"),
        _by_model("saliency", "input x gradient, 20 windows", _SOME, construction="saliency"),
        _by_model("attention", "attention rollout, 20 windows", _SOME, construction="attention"),
        Method("additive", "an additive model in time, all events of a type taken out", _additive),
        _by_counting("onset", "counted onsets and their direction (S)"),
        _by_counting("hawkes", "a Hawkes process by expectation maximization"),
        _by_counting("cooccurrence", "share followed within 16 events, less that after any event"),
        _by_counting("lift", "share followed within 16 events, over that after any event"),
        _by_counting("bigram", "share of next events, less that of all"),
        Method("frequency", "how frequent the effect is, whatever the cause: a trivial baseline", _frequency),
    )
}
