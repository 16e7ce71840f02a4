"""Total effects of a log: contexts drawn from it, all event types forced after each."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import Horizon, TotalEffects, averaged, parse_horizon, total_effects, total_graph
from hf_trace.errors import ContextLengthError, EmptyLogError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

# Every type is forced after every context: beyond this a table of all pairs is no longer what a user wants.
MOST_TYPES = 2_000
Advance = Callable[[float], None]


def total_effects_graph(
    oracles: Sequence[Oracle],
    tokenizer: EventTokenizer,
    sequences: Iterable[EventSequence],
    settings: DiscoverySettings,
    *,
    unknown: str = "error",
    advance: Advance = lambda _: None,
) -> CausalGraph:
    """The population graph of total effects, averaged over oracles.

    Arguments and errors are those of ``log_total_effects``; of ``settings`` also ``statistic``, ``threshold`` and
    ``self_loops`` count.
    """
    found = log_total_effects(oracles, tokenizer, sequences, settings, unknown=unknown, advance=advance)
    graph = total_graph(
        averaged(found),
        tokenizer.event_types,
        parse_threshold(settings.threshold),
        statistic=settings.statistic,
        self_loops=settings.self_loops,
    )
    graph.metadata["oracles"] = len(oracles)
    return graph


def log_total_effects(
    oracles: Sequence[Oracle],
    tokenizer: EventTokenizer,
    sequences: Iterable[EventSequence],
    settings: DiscoverySettings,
    *,
    unknown: str = "error",
    advance: Advance = lambda _: None,
) -> list[TotalEffects]:
    """Total effects by each oracle, in the same contexts.

    Args:
        oracles: Models of one vocabulary.
        tokenizer: The vocabulary.
        sequences: Where contexts are drawn from, read once.
        settings: ``num_contexts``, ``horizon``, ``prefix_length`` and ``seed`` count.
        unknown: See ``EventTokenizer.encode``.
        advance: Called with the number of contexts done, over all oracles.

    Raises:
        EmptyLogError: If no event has another before it.
        ContextLengthError: If the model reads fewer events than the horizon has.
        SettingsError: If there are more than 2,000 event types, or a time horizon and no times.
    """
    horizon = parse_horizon(settings.horizon)
    slots = event_slots(tokenizer)
    _check(horizon, tokenizer, slots)
    room = _room(oracles[0], slots, horizon)
    contexts = [
        _context(tokenizer, sequence, position, room, unknown)
        for sequence, position in _drawn(sequences, settings.num_contexts, settings.prefix_length, settings.seed)
    ]
    found: list[TotalEffects] = []
    for number, oracle in enumerate(oracles):
        told = partial(_advance_from, advance, number * len(contexts))
        found.append(total_effects(oracle, contexts, slots, horizon, seed=settings.seed, advance=told))
    return found


def _advance_from(advance: Advance, before: int, done: float) -> None:
    advance(before + done)


def event_slots(tokenizer: EventTokenizer) -> Slots:
    """What may stand where in sequences of this tokenizer."""
    return Slots(
        events=torch.from_numpy(tokenizer.event_ids),
        gaps=torch.from_numpy(tokenizer.gap_ids),
        gap_seconds=torch.tensor(tokenizer.gap_seconds, dtype=torch.float32),
    )


def _check(horizon: Horizon, tokenizer: EventTokenizer, slots: Slots) -> None:
    if horizon.seconds and not tokenizer.writes_gaps:
        raise SettingsError(
            "The horizon is a time, but this model was trained without the time between events. Give a number of "
            "events, or train with `--gaps`."
        )
    if len(slots.events) > MOST_TYPES:
        raise SettingsError(
            f"Total effects force every event type after every context, and there are {len(slots.events):,} types, "
            f"expected at most {MOST_TYPES:,}. Use direct effects, or read rare types as unknown (`--min-count`)."
        )


def _room(oracle: Oracle, slots: Slots, horizon: Horizon) -> int | None:
    """Events of context the model can read before the forced one and its future."""
    if oracle.context_length is None:
        return None
    per_event = slots.tokens_per_event
    room = (oracle.context_length - 1) // per_event - horizon.events - 1
    if room < 1:
        raise ContextLengthError(
            f"The model reads {oracle.context_length} tokens, too few for {horizon.events} events ahead of an event "
            "with a past. Shorten the horizon, or train with a longer `--window-length`."
        )
    return room


def _drawn(
    sequences: Iterable[EventSequence], count: int, prefix_length: int, seed: int
) -> list[tuple[EventSequence, int]]:
    """Events drawn without replacement, each alike, from sequences that are read once."""
    generator = np.random.default_rng(seed)
    kept: list[tuple[float, int, EventSequence, int]] = []
    number = 0
    for sequence in sequences:
        first = max(1, prefix_length)
        for position, key in enumerate(generator.random(max(len(sequence) - first, 0)), start=first):
            number += 1
            item = (-float(key), number, sequence, position)
            if len(kept) < count:
                heapq.heappush(kept, item)
            elif item[0] > kept[0][0]:
                heapq.heapreplace(kept, item)
    if not kept:
        raise EmptyLogError("No event has another before it, so there is no context to force an event in.")
    return [(sequence, position) for _, _, sequence, position in sorted(kept, key=lambda item: item[1])]


def _context(
    tokenizer: EventTokenizer, sequence: EventSequence, position: int, room: int | None, unknown: str
) -> NDArray[np.int64]:
    """Tokens before an event, the time since the last event included."""
    start = 0 if room is None else max(0, position - room)
    return tokenizer.encode(sequence.part(start, position + 1), unknown=unknown).input_ids[:-1]
