"""By-type effects of a log: which oracle scores which sequence, and the graphs that come of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from hf_trace.discovery.by_type.by_type_graph import by_type_graph
from hf_trace.discovery.by_type.by_type_sums import ByTypeEffects, ByTypeSums
from hf_trace.discovery.by_type.combined import combined_graph
from hf_trace.discovery.by_type.comparison import ByTypeScores, by_type_scores
from hf_trace.discovery.by_type.event_variables import Variables, variable_names
from hf_trace.discovery.by_type.taking import Taking
from hf_trace.discovery.population.resampling import resampling_units
from hf_trace.discovery.settings import COMBINED, DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.graphs.counted_graphs import CountingSettings
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.onsets import onset_counts
from hf_trace.graphs.places_of_edges import fold_places
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.processes import Processes

# Onsets are counted in a table of all pairs.
_MOST_COUNTED = 5_000
_ALONE = Processes()
Advance = Callable[[float], None]


def taking_of(model: EventModel, request: DiscoveryRequest) -> Taking:
    """How causes are taken out, for a request to a model."""
    settings, tokenizer = request.settings, model.tokenizer
    return Taking(
        tokenizer,
        model.alphabet,
        Variables.of(tokenizer.event_types, tokenizer.event_ids, settings.variable, tokenizer.is_near),
        settings.proposal,
        settings.num_samples,
        settings.max_lag,
        settings.prefix_length,
        settings.seed,
        model.unknown(request.unknown),
    )


def by_type_effects(
    model: EventModel,
    sequences: Sequence[EventSequence],
    request: DiscoveryRequest,
    *,
    advance: Advance = lambda _: None,
    processes: Processes = _ALONE,
) -> ByTypeEffects:
    """What the events of each variable tell, over all sequences.

    Args:
        model: The run.
        sequences: No longer than the model reads.
        request: How causes are taken out.
        advance: Called with the number of events done.
        processes: What shares the work out, batch by batch; each gets all effects, the same with any number of them.

    Raises:
        UnknownEventError: If an event is not in the vocabulary.
        ContextLengthError: If a sequence is longer than the model reads.
        SettingsError: If a pattern of ``variable`` fits no event type, or makes one variable of all.
    """
    taking, done, size = taking_of(model, request), 0, request.batch_size
    of_event = dict(zip(model.tokenizer.event_types, taking.variables.of_type.tolist(), strict=True))
    units = resampling_units([sequence.id or str(number) for number, sequence in enumerate(sequences)]).tolist()

    def of_batch(start: int) -> tuple[ByTypeSums, int]:
        batch, sums = sequences[start : start + size], ByTypeSums(taking.variables.names, of_event)
        scored = _scored(model, batch, taking, request)
        for unit, (sequence, scores) in zip(units[start : start + size], scored, strict=True):
            sums.add(unit, sequence, scores)
        return sums, sum(map(len, batch))

    total = ByTypeSums(taking.variables.names, of_event)
    for sums, events in processes.in_turn(range(0, len(sequences), size), of_batch):
        total.merge(sums)
        done += events
        advance(done)
    return total.effects()


def _scored(
    model: EventModel, sequences: Iterable[EventSequence], taking: Taking, request: DiscoveryRequest
) -> Iterator[tuple[EventSequence, ByTypeScores]]:
    """What the causes of each sequence tell, by the oracle that the model has for it."""
    for oracle, part in model.oracles_for(sequences):
        yield from by_type_scores(oracle, part, taking, batch_size=request.batch_size)


def by_type_result(
    model: EventModel,
    log: EventLog,
    request: DiscoveryRequest,
    *,
    whole: EventLog | None = None,
    advance: Advance = lambda _: None,
    processes: Processes = _ALONE,
) -> CausalGraph:
    """The population graph; arguments and errors are those of ``by_type_effects``.

    With a statistic of ``COMBINED`` what is counted beside is counted in ``whole``, the log before it was cut into
    windows; see ``combined_graph``.
    """
    settings = request.settings
    _check_knowledge(model, request)
    effects = by_type_effects(model, list(log), request, advance=advance, processes=processes)
    forward = forward_shares(effects, log_of_variables(model, log, request))
    if settings.statistic in COMBINED:
        counted = log_of_variables(model, own_events(log if whole is None else whole), request)
        return combined_graph(effects, forward, counted, request, plain=model.tokenizer.plain_name)
    graph = by_type_graph(
        effects,
        forward,
        parse_threshold(settings.threshold),
        statistic=settings.statistic,
        min_support=request.min_support,
        knowledge=settings.knowledge,
        resamples=request.bootstrap,
        seed=settings.seed,
        plain_name=model.tokenizer.plain_name,
    )
    if not model.tokenizer.reads_neighbours:
        return graph
    return fold_places(graph, occurrences=dict(zip(effects.names, effects.occurrences.tolist(), strict=True)))


def _check_knowledge(model: EventModel, request: DiscoveryRequest) -> None:
    """Refuse rules about names that are no variable."""
    if (knowledge := request.settings.knowledge) is not None:
        names = dict.fromkeys(map(model.tokenizer.plain_name, variable_of_type(model, request).values()))
        knowledge.check_names(list(names))


def forward_shares(effects: ByTypeEffects, log: EventLog) -> Float[np.ndarray, "cause effect"] | None:
    """Direction shares D of onsets, see ``strengths``; None where there are too many types for a table.

    Args:
        effects: Whose variables these are.
        log: The same sequences, by variable.
    """
    if len(effects.names) > _MOST_COUNTED:
        return None
    log = _of_occurring(log)
    counts = onset_counts(log, horizon=CountingSettings().horizon_of(log))
    known = {name: place for place, name in enumerate(log.event_types)}
    seen = [number for number, name in enumerate(effects.names) if name in known]
    index = np.ix_(*[[known[effects.names[number]] for number in seen]] * 2)
    begins, before = counts.begins[index], counts.before[index]
    shares = np.full((len(effects.names),) * 2, 0.5)
    shares[np.ix_(seen, seen)] = (begins + 1) / (begins + before + 2)
    return shares


def _of_occurring(log: EventLog) -> EventLog:
    """The log with the types that occur in it: a large vocabulary has many more."""
    occurring, codes = np.unique(log.codes, return_inverse=True)
    names = tuple(log.event_types[code] for code in occurring)
    return replace(log, event_types=names, codes=codes.astype(log.codes.dtype))


def variable_of_type(model: EventModel, request: DiscoveryRequest) -> dict[str, str]:
    """The variable of every event type, by name; one of neighbours' events is written as their types are."""
    tokenizer = model.tokenizer
    names = variable_names(tokenizer.event_types, request.settings.variable, tokenizer.is_near)
    return dict(zip(tokenizer.event_types, names, strict=True))


def log_of_variables(model: EventModel, log: EventLog, request: DiscoveryRequest) -> EventLog:
    """The log with the variable of each event in place of its type."""
    owner = variable_of_type(model, request)
    of_type, names = pd.factorize(np.array([owner.get(name, name) for name in log.event_types], dtype=object))
    return replace(log, event_types=tuple(names), codes=of_type[log.codes].astype(log.codes.dtype))


def by_type_pairs(
    model: EventModel, sequences: Iterable[EventSequence], request: DiscoveryRequest
) -> Iterator[tuple[EventSequence, PairScores]]:
    """Pairs of positions: what all events of a cause together told about each later event, from the last one on."""
    _check_knowledge(model, request)
    taking, knowledge = taking_of(model, request), request.settings.knowledge
    owner, plain = variable_of_type(model, request), model.tokenizer.plain_name
    for sequence, scores in _scored(model, sequences, taking, request):
        pairs = _pairs(scores, request.settings.statistic)
        if knowledge is not None:
            names = [plain(owner.get(event, event)) for event in sequence.events]
            ends = zip(pairs.cause_position.tolist(), pairs.effect_position.tolist(), strict=True)
            pairs = pairs.select(
                np.array([knowledge.allows(names[one], names[other]) for one, other in ends], dtype=bool)
            )
        yield sequence, pairs


def _pairs(scores: ByTypeScores, statistic: str) -> PairScores:
    order = np.lexsort((scores.effect_event, scores.cause_event))
    strength = {"gain": scores.place_gain, "kl": scores.place_kl}.get(statistic, scores.place_log_ratio)
    return PairScores(
        scores.cause_event[order],
        scores.effect_event[order],
        np.abs(strength[order]),
        scores.place_gain[order],
        np.full(len(order), np.nan),
    )
