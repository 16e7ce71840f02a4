"""One discovery run over a log: windows, scores, the graph, and counting baselines beside it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from hf_trace.discovery.pairs import PairScores
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.errors import EmptyLogError
from hf_trace.graphs.counting import BASELINES
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, ScoredSequence
from hf_trace.runs.folders import TRAINING_FILE, load_model, read_json, run_of

# Tables over all pairs of types travel with a graph only where they stay small.
_MOST_COUNTED_TYPES = 1_000
Advance = Callable[[float], None]
Observe = Callable[[EventSequence, PairScores], None]


@dataclass(frozen=True)
class LogWindows:
    """A log cut to what a model reads.

    Attributes:
        log: The windows.
        length: Longest window in events.
        was_cut: Whether any sequence was longer.
    """

    log: EventLog
    length: int
    was_cut: bool


def load_pipeline(
    run: str | PathLike[str], *, dtype: str = "float32", memory: str | None = None, device_map: str | None = None
) -> CausalDiscoveryPipeline:
    """The discovery pipeline of a run folder or Hub id.

    Args:
        run: The folder or id.
        dtype: See ``load_model``.
        memory: What scoring may use, see ``Oracle``.
        device_map: How to spread a model that is larger than one accelerator, see ``load_model``.

    Raises:
        ModelLoadError: If there is no model or tokenizer.
        VocabularyMismatchError: If they do not belong together.
    """
    return CausalDiscoveryPipeline(model=load_model(run, dtype=dtype, device_map=device_map), memory=memory)


def windows_for(
    discover: CausalDiscoveryPipeline,
    log: EventLog,
    *,
    length: int | None = None,
    gap: float | None = None,
    slide: bool = False,
) -> LogWindows:
    """Cut a log as the model was trained on, unless told otherwise.

    Args:
        discover: Its model bounds the length.
        log: The sequences.
        length: Longest window in events.
        gap: Also cut where nothing happened for so many seconds.
        slide: Leave sequences whole, to be read with a sliding context.

    Raises:
        EmptyLogError: If no sequence has two events.
    """
    trained = read_json(run_of(discover.model) or ".", TRAINING_FILE)
    limit = discover.oracle.context_length
    most = None if limit is None else discover.events.most_events(limit)
    if slide:
        length = int(log.sequence_lengths.max())
    elif length is None:
        length = trained.get("window_length") or most or int(log.sequence_lengths.max())
    windows = cut_windows(log, length=length, gap=gap if gap is not None else trained.get("window_gap"))
    usable = np.flatnonzero(windows.sequence_lengths >= 2)
    if not len(usable):
        raise EmptyLogError(
            "No sequence has two or more events, so nothing can cause anything. Name the case column, or leave it "
            "out to read the log as one stream."
        )
    return LogWindows(windows.select(usable), length, len(windows) > len(log))


def population_run(
    discover: CausalDiscoveryPipeline,
    log: EventLog,
    *,
    advance: Advance = lambda _: None,
    observe: Observe | None = None,
    scored: Iterable[ScoredSequence] | None = None,
    pool: PopulationPool | None = None,
    **parameters: Any,
) -> dict[str, Any]:
    """A population graph, with counting baselines of the same log in its metadata.

    Args:
        discover: The pipeline.
        log: Sequences no longer than the model reads.
        advance: Called with the number of events done.
        observe: Called with every sequence and its scores; not for total effects, which score none.
        scored: The log with its scores, where they have been computed already.
        pool: Goes on from here; the graph, and the baselines, are of everything in it.
        parameters: Call parameters of the pipeline.
    """
    parameters["level"] = "population"
    preprocess, _, options = discover._sanitize_parameters(**parameters)
    settings = options["settings"]
    if settings.effect == "total":
        output = discover.total_output(iter(log), preprocess["unknown"], advance=advance, **options)
        return _with_baselines(output, log, settings.max_lag)
    pooled = pool is not None
    pool = pool or discover.new_pool(**options)
    done = 0
    for sequence, scores in discover.scored(iter(log), **parameters) if scored is None else scored:
        pool.add(sequence, scores)
        if observe is not None:
            observe(sequence, scores)
        done += len(sequence)
        advance(done)
    everything = pool.state().log() if pooled else log
    return _with_baselines(discover.population_output(pool, **options), everything, settings.max_lag)


def _with_baselines(output: dict[str, Any], log: EventLog, max_lag: int | None) -> dict[str, Any]:
    graph = CausalGraph.from_dict(output["graph"])
    counted = _counted(log, graph, max_lag or int(log.sequence_lengths.max()))
    return {**output, "graph": replace(graph, metadata={**graph.metadata, **counted}).to_dict()}


def record_run(
    discover: CausalDiscoveryPipeline, scored: Iterable[ScoredSequence], **parameters: Any
) -> Iterator[dict[str, Any]]:
    """One output per sequence, lazily; see ``CausalDiscoveryPipeline``."""
    _, _, options = discover._merged_parameters(parameters)
    return (discover.postprocess(item, **options) for item in scored)


def _counted(log: EventLog, graph: CausalGraph, max_lag: int) -> dict[str, Any]:
    """Baseline scores of all pairs of types, ordered as the graph's events."""
    if len(log.event_types) > _MOST_COUNTED_TYPES:
        return {}
    index = {name: code for code, name in enumerate(log.event_types)}
    order = [index[name] for name in graph.events]
    tables = {
        name: score(log.codes, log.offsets, len(log.event_types), max_lag=max_lag)[np.ix_(order, order)]
        for name, score in BASELINES.items()
    }
    return {"baselines": {name: table.tolist() for name, table in tables.items()}}
