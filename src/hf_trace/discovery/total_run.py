"""Total effects of a log: every event type is forced after each of a sample of contexts."""

import heapq
import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import (
    COMPARED,
    TotalEffects,
    averaged,
    forced_types,
    others_to_compare,
    parse_horizon,
    total_effects,
    total_graph,
)
from hf_trace.errors import EmptyLogError, SettingsError, preview
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.processes import Processes

# Every type is forced after every context, and every pair of types is in a table.
MOST_TYPES = 2_000
_ALONE = Processes()
logger = logging.getLogger(__name__)
Advance = Callable[[float], None]


def total_effects_graph(
    models: Sequence[EventModel],
    sequences: Iterable[EventSequence],
    request: DiscoveryRequest,
    *,
    advance: Advance = lambda _: None,
    processes: Processes = _ALONE,
) -> CausalGraph:
    """The population graph of total effects, averaged over models of one vocabulary.

    Arguments and errors are those of ``log_total_effects``; ``statistic``, ``threshold`` and ``self_loops`` of the
    settings decide the edges. A statistic that compares is refused where no pair has a third type to compare with.
    """
    settings = request.settings
    if settings.statistic in COMPARED:
        _check_comparable(models[0], self_loops=settings.self_loops)
    graph = total_graph(
        averaged(log_total_effects(models, sequences, request, advance=advance, processes=processes)),
        models[0].tokenizer.event_types,
        parse_threshold(settings.threshold),
        statistic=settings.statistic,
        self_loops=settings.self_loops,
    )
    graph.metadata["oracles"] = len(models)
    return graph


def _check_comparable(model: EventModel, *, self_loops: bool) -> None:
    """Say what few event types leave nothing to compare with; refuse if that is every pair.

    Types that end a sequence are not forced, so they are effects alone.
    """
    causes, types = forced_types(model.slots), model.tokenizer.event_types
    comparable = (others_to_compare(causes) > 0) & causes[:, None]
    if not self_loops:
        np.fill_diagonal(comparable, val=False)
    forced = [name for name, is_cause in zip(types, causes, strict=True) if is_cause]
    advice = "Use direct effects, or the statistic 'risk', which compares with nothing."
    if not comparable.any():
        raise SettingsError(
            "Total effects compare what follows an event type with what follows the others, leaving out the effect, "
            f"and the model can force {preview(forced)} alone, expected at least 3 types. {advice}"
        )
    if len(forced) < 3:
        left = [name for name, is_effect in zip(types, comparable.any(0), strict=True) if is_effect]
        logger.warning(
            "Between %s there is no third type to compare with: edges can lead to %s only. %s",
            preview(forced),
            preview(left),
            advice,
        )


def log_total_effects(
    models: Sequence[EventModel],
    sequences: Iterable[EventSequence],
    request: DiscoveryRequest,
    *,
    advance: Advance = lambda _: None,
    processes: Processes = _ALONE,
) -> list[TotalEffects]:
    """Total effects by each model, in the same contexts.

    Args:
        models: Models of one vocabulary.
        sequences: Source of the contexts, read once.
        request: Its ``num_contexts``, ``horizon``, ``prefix_length``, ``seed`` and ``unknown`` are used.
        advance: Called with the number of contexts done, over all models.
        processes: See ``total_effects``.

    Raises:
        EmptyLogError: If no event has another before it.
        ContextLengthError: If the model reads fewer events than the horizon has.
        SettingsError: If there are more than 2,000 event types, or the horizon is a time and the model knows no times.
    """
    first, settings = models[0], request.settings
    horizon = parse_horizon(settings.horizon)
    if horizon.seconds and not first.tokenizer.writes_gaps:
        raise SettingsError(
            "The horizon is a time, but this model was trained without the time between events. Give a number of "
            "events, or train with `--gaps`."
        )
    if len(first.slots.events) > MOST_TYPES:
        raise SettingsError(
            f"Total effects force every event type after every context, and there are {len(first.slots.events):,} "
            f"types, expected at most {MOST_TYPES:,}. Use direct effects, or read rare types as unknown "
            "(`--min-count`)."
        )
    unknown = first.unknown(request.unknown)
    contexts = [
        first.history(sequence, position, ahead=horizon.events + 1, unknown=unknown).context
        for sequence, position in _drawn(sequences, settings.num_contexts, settings.prefix_length, settings.seed)
    ]
    found: list[TotalEffects] = []
    for number, model in enumerate(models):
        before = number * len(contexts)
        found.append(
            total_effects(
                model.oracle,
                contexts,
                model.slots,
                horizon,
                seed=settings.seed,
                advance=lambda done, before=before: advance(before + done),  # type: ignore[misc]
                processes=processes,
            )
        )
    return found


def _drawn(
    sequences: Iterable[EventSequence], count: int, prefix_length: int, seed: int
) -> list[tuple[EventSequence, int]]:
    """A uniform sample of events, without replacement, from sequences that are read once.

    Every event gets a random key, and those with the smallest keys are kept, in the order of the sequences.
    """
    generator, first = np.random.default_rng(seed), max(1, prefix_length)
    keyed = (
        (float(key), sequence, position)
        for sequence in sequences
        for position, key in enumerate(generator.random(max(len(sequence) - first, 0)), start=first)
    )
    kept = heapq.nsmallest(count, enumerate(keyed), key=lambda item: item[1][0])
    if not kept:
        raise EmptyLogError("No event has another before it, so there is no context to force an event in.")
    return [(sequence, position) for _, (_, sequence, position) in sorted(kept, key=lambda item: item[0])]
