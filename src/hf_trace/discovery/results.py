"""Results of discovery: graphs of scored sequences, with what is needed to judge and to reproduce them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hf_trace.discovery.by_type.by_type_run import by_type_result, log_of_variables
from hf_trace.discovery.follows import following_graph, resolved_horizon
from hf_trace.discovery.pair_graphs import instance_graph, strongest_scores, summary_graph
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.scoring import ScoredSequence, oracles_asked, scored
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_run import total_effects_graph
from hf_trace.discovery.which_question import check_more_than_one_type
from hf_trace.documents import Document
from hf_trace.graphs.counted_graphs import IN_TIME, CountingSettings, baseline_tables
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import with_required
from hf_trace.graphs.places_of_edges import fold_places
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.places.topology import topology_of
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import QUESTIONS
from hf_trace.oracle.quality import quality_warning
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.members import confidence_warning
from hf_trace.runs.processes import Processes

_SCORES = ("cause_position", "effect_position", "cmi", "gain", "standard_error")
Advance = Callable[[float], None]
_ALONE = Processes()
Observe = Callable[[EventSequence, PairScores], None]


@dataclass(frozen=True)
class Discovered:
    """A graph with its context.

    Attributes:
        graph: The requested graph; its metadata repeat ``settings`` and ``oracle``.
        edges: Edges between positions for a single sequence, else those of the graph.
        oracle: Quality of the model.
        settings: Parameters that reproduce the result.
        beside: Further entries by name: ``id`` and ``summary`` of a sequence, the number of pooled ``sequences``,
            ``scores`` if requested, ``validation`` of a chosen threshold.
    """

    graph: CausalGraph
    edges: Sequence[Document]
    oracle: Document
    settings: Document
    beside: Mapping[str, Any]

    def with_metadata(self, **more: Any) -> "Discovered":
        """The same result with more metadata of the graph."""
        return replace(self, graph=self.graph.with_metadata(**more))

    def with_validation(self, validation: Document | None) -> "Discovered":
        """The same result with how its threshold was chosen; unchanged for None."""
        if validation is None:
            return self
        beside = {**self.beside, "validation": validation}
        return replace(self.with_metadata(validation=validation), beside=beside)

    def to_dict(self) -> Document:
        """The result as the pipeline returns it."""
        first = {"id": self.beside["id"]} if "id" in self.beside else {}
        early = {name: self.beside[name] for name in ("summary", "sequences") if name in self.beside}
        late = {name: self.beside[name] for name in ("scores", "validation") if name in self.beside}
        graph = {"graph": self.graph.to_dict(), "oracle": self.oracle, "settings": self.settings}
        return {**first, "edges": list(self.edges), **early, **graph, **late}


def sequence_result(model: EventModel, item: ScoredSequence, request: DiscoveryRequest) -> Discovered:
    """The graph of one scored sequence, over its positions or its types."""
    (sequence, scores), settings = item, request.settings
    instance = instance_graph(sequence, scores, parse_threshold(settings.threshold))
    summary = summary_graph(instance, self_loops=settings.self_loops)
    if model.tokenizer.reads_neighbours:
        instance, summary = fold_places(instance), fold_places(summary, self_loops=settings.self_loops)
    if settings.knowledge is not None:
        required = settings.knowledge.required_among(summary.events)
        summary = with_required(summary, settings.knowledge, strongest_scores(sequence, scores, required))
    beside: Document = {"id": sequence.id, "summary": list(summary.edges)}
    if request.return_scores:
        beside["scores"] = {name: getattr(scores, name) for name in _SCORES}
    return _result(model, instance if request.level == "instance" else summary, request, instance.edges, beside)


def sequence_results(
    model: EventModel, items: Iterable[ScoredSequence], request: DiscoveryRequest
) -> Iterator[Discovered]:
    """One result per sequence, lazily."""
    return (sequence_result(model, item, request) for item in items)


def new_pool(request: DiscoveryRequest) -> PopulationPool:
    """An empty pool that keeps what ``request`` needs."""
    keep = request.bootstrap > 0 or bool(request.compare)
    threshold = parse_threshold(request.settings.threshold)
    return PopulationPool(threshold, self_loops=request.settings.self_loops, keep_sequences=keep)


def pool_result(model: EventModel, pool: PopulationPool, request: DiscoveryRequest) -> Discovered:
    """The graph of all sequences in a pool."""
    settings = request.settings
    graph = pool.graph(
        min_frequency=request.min_frequency,
        min_support=request.min_support,
        knowledge=settings.knowledge,
        resamples=request.bootstrap,
        compare=request.compare,
        seed=settings.seed,
    )
    if request.bootstrap:
        found = pool.stability(min_frequency=request.min_frequency, min_support=request.min_support, seed=settings.seed)
        measured = {"mean": float(found.mean()), "least": float(found.min()), "halvings": len(found)}
        graph = graph.with_metadata(stability=measured)
    return _pooled_result(model, graph, request, {"sequences": pool.sequences})


def population_result(
    model: EventModel,
    sequences: Iterable[EventSequence],
    request: DiscoveryRequest,
    *,
    advance: Advance = lambda _: None,
    whole: EventLog | None = None,
    processes: Processes = _ALONE,
) -> Discovered:
    """One graph of all sequences.

    Args:
        model: The scoring model.
        sequences: Read once.
        request: With level ``"population"``.
        advance: Called with the number of contexts done, for total effects, or of events, for by-type effects.
        whole: The log before it was cut into windows; what follows, and what stands beside by-type effects in one
            score (statistic ``combined``), is counted in it.
        processes: What shares out total effects and by-type effects; each of them gets the result. Alone by default.

    Raises:
        EmptyLogError: If all sequences hold one event type each, so that nothing can be told.
    """
    if request.settings.question == "follows":
        log = _as_log(sequences)
        check_more_than_one_type(log)
        request = request.updated(horizon=resolved_horizon(model, whole or log, request.settings.horizon))
        graph = following_graph(model, log, request, whole=whole, advance=advance, processes=processes)
        return _pooled_result(model, graph, request, {"sequences": len(log)})
    if request.is_total:
        graph = total_effects_graph([model], sequences, request, advance=advance, processes=processes)
        return _pooled_result(model, graph, request, {})
    if request.is_pooled_by_type:
        log = _as_log(sequences)
        check_more_than_one_type(log_of_variables(model, log, request))
        graph = by_type_result(model, log, request, whole=whole, advance=advance, processes=processes)
        return _result(model, graph, request, graph.edges, {"sequences": len(log)})
    pool = new_pool(request)
    for sequence, scores in scored(model, sequences, request):
        pool.add(sequence, scores)
    return pool_result(model, pool, request)


def _as_log(sequences: Iterable[EventSequence]) -> EventLog:
    return sequences if isinstance(sequences, EventLog) else EventLog.from_sequences(sequences)


def log_result(  # noqa: PLR0913 - each is a choice of its own
    model: EventModel,
    log: EventLog,
    request: DiscoveryRequest,
    *,
    advance: Advance = lambda _: None,
    observe: Observe | None = None,
    items: Iterable[ScoredSequence] | None = None,
    pool: PopulationPool | None = None,
    whole: EventLog | None = None,
    processes: Processes = _ALONE,
) -> Discovered:
    """One graph of a log, with counting baselines of the same log in its metadata.

    Args:
        model: The scoring model.
        log: Sequences no longer than the model reads.
        request: Its level becomes ``"population"``.
        advance: Called with the number of events done; for total effects, of contexts.
        observe: Called with every sequence and its scores; never for total effects, which score no pairs of positions.
        items: The log with its scores, if they are computed elsewhere.
        pool: An earlier pool to add to; graph and baselines are then of everything in it.
        whole: See ``population_result``.
        processes: See ``population_result``; scores of pairs are shared out by ``LongRun``, and come as ``items``.
    """
    request = request.updated(level="population")
    if request.is_total or request.is_pooled_by_type:
        found = population_result(model, log, request, advance=advance, whole=whole, processes=processes)
        counted = _counted(log, whole)
        counted = log_of_variables(model, counted, request) if request.is_pooled_by_type else counted
        return _with_baselines(found, counted, request)
    is_continued = pool is not None
    pool = pool or new_pool(request)
    done = 0
    for sequence, scores in scored(model, log, request) if items is None else items:
        pool.add(sequence, scores)
        if observe is not None:
            observe(sequence, scores)
        done += len(sequence)
        advance(done)
    if not is_continued:
        return _with_baselines(pool_result(model, pool, request), _counted(log, whole), request)
    # A pool keeps the order of events, not their times.
    without = () if log.timestamps is None else IN_TIME
    return _with_baselines(pool_result(model, pool, request), pool.state().log(), request, without=without)


def _pooled_result(
    model: EventModel, graph: CausalGraph, request: DiscoveryRequest, beside: Mapping[str, Any]
) -> Discovered:
    """The same for a graph of types of all sequences."""
    if model.tokenizer.reads_neighbours:
        graph = fold_places(graph, self_loops=request.settings.self_loops)
    return _result(model, graph, request, graph.edges, beside)


def _result(
    model: EventModel,
    graph: CausalGraph,
    request: DiscoveryRequest,
    edges: Sequence[Document],
    beside: Mapping[str, Any],
) -> Discovered:
    """A graph with what is needed to judge and to reproduce it."""
    settings = request.settings.to_dict() | {"level": request.level}
    if request.level == "population":
        settings |= request.pooling
    oracle = model.description
    warnings = [quality_warning(dict(model.quality))]
    if parse_threshold(request.settings.threshold).has_confidence:
        oracle["oracles"] = oracles_asked(model, request)
        warnings.append(confidence_warning(model.model, oracle["oracles"]))
    if any(warnings):
        oracle["warning"] = " ".join(filter(None, warnings))
    if request.level == "population":
        graph = graph.with_metadata(question=QUESTIONS[request.settings.answers])
    found = Discovered(graph, edges, oracle, settings, beside)
    return found.with_metadata(settings=settings, oracle=oracle)


def _counted(windows: EventLog, whole: EventLog | None) -> EventLog:
    """What is counted beside a graph: windows, or of histories with neighbours the places themselves."""
    return windows if whole is None or whole.network is None else whole


def _with_baselines(
    found: Discovered, log: EventLog, request: DiscoveryRequest, *, without: Sequence[str] = ()
) -> Discovered:
    """The same with the scores of counting baselines for all pairs of types, in the order of the graph's events."""
    settings = CountingSettings(request.settings.max_lag or int(log.sequence_lengths.max()))
    log, settings = own_events(log), replace(settings, topology=topology_of(log))
    # Total effects are of all types of the model, of which the log may lack some.
    tables = baseline_tables(log, found.graph.events, settings)
    tables = {name: table for name, table in tables.items() if name not in without}
    return found.with_metadata(baselines=tables) if tables else found
