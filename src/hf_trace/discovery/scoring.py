"""Scores of the pairs of sequences: batch by batch, in windows if they are long, by one oracle or all of a run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
import torch

from hf_trace.discovery.blocks import Allowed, AllowedPairs, OwnEffects
from hf_trace.discovery.by_type.by_type_run import by_type_pairs
from hf_trace.discovery.confidence import pooled
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.ties import BOTH, scored_in_both_orders
from hf_trace.errors import ContextLengthError, SettingsError
from hf_trace.graphs.knowledge import BackgroundKnowledge
from hf_trace.logs.places.near_names import plain_name
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.members import member_seed

ScoredSequence = tuple[EventSequence, PairScores]


@dataclass(frozen=True)
class Window:
    """A part of a sequence that the model reads at once, and the causes tested in it.

    Attributes:
        start: First event read.
        stop: One past the last event read.
        first: First event tested as a cause.
        last: One past the last event tested as a cause.
    """

    start: int
    stop: int
    first: int
    last: int

    def tested(self, prefix_length: int = 0) -> range:
        """Tested causes that are not in the prefix of the sequence, as indices within the window."""
        return range(max(self.first, prefix_length) - self.start, self.last - self.start)


def sliding_windows(events: int, *, length: int | None, max_lag: int | None) -> list[Window]:
    """Overlapping windows over a sequence, in which every event is tested as a cause once.

    Args:
        events: Events in the sequence.
        length: Most events read at once; None for no bound.
        max_lag: Longest lag tested, in events; None for all.

    Raises:
        SettingsError: If windows are needed and ``max_lag`` is half of one or more.

    Example:
        >>> [(w.start, w.stop, w.first, w.last) for w in sliding_windows(14, length=8, max_lag=2)]
        [(0, 8, 0, 6), (2, 10, 6, 8), (4, 12, 8, 10), (6, 14, 10, 14)]
    """
    if length is None or events <= length:
        return [Window(0, events, 0, events)]
    past = length // 2
    if max_lag is None or max_lag >= length - past:
        raise SettingsError(
            f"max_lag is {max_lag}, expected less than {length - past} events: sequences of {events} events are read "
            f"in windows of {length}, half of each for the past. Pass a smaller max_lag or a longer model."
        )
    windows = [Window(0, length, 0, length - max_lag)]
    while windows[-1].stop < events:
        first = windows[-1].last
        stop = min(first - past + length, events)
        windows.append(Window(first - past, stop, first, events if stop == events else stop - max_lag))
    return windows


def joined_windows(parts: Sequence[tuple[Window, PairScores]]) -> PairScores:
    """Scores of a sequence from those of its windows."""
    if len(parts) == 1:
        return parts[0][1]
    return PairScores(
        cause_position=np.concatenate([scores.cause_position + window.start for window, scores in parts]),
        effect_position=np.concatenate([scores.effect_position + window.start for window, scores in parts]),
        cmi=np.concatenate([scores.cmi for _, scores in parts]),
        gain=np.concatenate([scores.gain for _, scores in parts]),
        standard_error=np.concatenate([scores.standard_error for _, scores in parts]),
    )


def scored(
    model: EventModel, sequences: Iterable[EventSequence], request: DiscoveryRequest
) -> Iterator[ScoredSequence]:
    """Lazily give each sequence with the scores of its tested pairs.

    Args:
        model: The run; its members score too if the threshold gives a confidence.
        sequences: Read lazily, ``batch_size`` at a time.
        request: How they are read and scored.

    Raises:
        ContextLengthError: If a sequence is longer than the model reads and ``slide`` is off.
        UnknownEventError: If an event is not in the vocabulary.
    """
    settings = request.settings
    if settings.is_by_type:
        return by_type_pairs(model, sequences, request)
    listed = _scored_as_listed(model, sequences, request)
    if settings.ties != BOTH:
        return listed

    def score(some: Iterator[EventSequence], lag: int) -> Iterator[ScoredSequence]:
        return _scored_as_listed(model, some, request.updated(max_lag=lag))

    return scored_in_both_orders(listed, score, settings.max_lag)


def oracles_asked(model: EventModel, request: DiscoveryRequest) -> int:
    """How many oracles score: all of the run if the threshold gives a confidence, else one."""
    return 1 + len(model.members) if parse_threshold(request.settings.threshold).has_confidence else 1


def _scored_as_listed(
    model: EventModel, sequences: Iterable[EventSequence], request: DiscoveryRequest
) -> Iterator[ScoredSequence]:
    left, allowed = iter(sequences), allowed_pairs(model, request.settings.knowledge)
    while block := list(islice(left, request.batch_size)):
        windows = [_encoded_windows(model, sequence, request) for sequence in block]
        every = list(chain.from_iterable(windows))
        by_oracle = [
            _window_scores(model, number, every, request, allowed) for number in range(oracles_asked(model, request))
        ]
        for sequence, mine in zip(block, windows, strict=True):
            found = [joined_windows([(window, next(scores)) for window, _ in mine]) for scores in by_oracle]
            yield sequence, pooled(found)


def allowed_pairs(model: EventModel, knowledge: BackgroundKnowledge | None = None) -> Allowed | None:
    """Which pairs of tokens may be tested: by what is known, and of histories with neighbours own effects alone.

    Raises:
        UnknownEventError: If a rule names something other than an event type.
    """
    tokenizer, size, known = model.tokenizer, model.oracle.vocab_size, None
    own = ~tokenizer.is_near
    names = [name for name, is_own in zip(tokenizer.event_types, own, strict=True) if is_own]
    ids = torch.from_numpy(tokenizer.event_ids[own])
    if knowledge is not None:
        known = AllowedPairs.of(knowledge, names, ids, size)
    if not tokenizer.reads_neighbours:
        return known
    token = dict(zip(names, ids.tolist(), strict=True))
    near, plain = torch.zeros(size, dtype=torch.bool), torch.arange(size)
    for place in np.flatnonzero(~own).tolist():
        index = int(tokenizer.event_ids[place])
        near[index], plain[index] = True, token.get(plain_name(tokenizer.event_types[place]), index)
    return OwnEffects(near, plain, known)


def _encoded_windows(
    model: EventModel, sequence: EventSequence, request: DiscoveryRequest
) -> list[tuple[Window, EncodedSequence]]:
    """The windows of one sequence, encoded; one window unless it is longer than the model reads."""
    most, unknown = model.most_events, model.unknown(request.unknown)
    if most is not None and len(sequence) > most and not request.slide:
        raise ContextLengthError(
            f"The sequence {sequence.id or ''!r} has {len(sequence)} events, the model reads at most {most}. Cut "
            f"it with `hf_trace.cut_windows(log, length={most})` (`--window-length {most}`), pass slide=True "
            "(`--slide`), or train with a longer window."
        )
    windows = sliding_windows(len(sequence), length=most, max_lag=request.settings.max_lag)
    return [
        (window, model.tokenizer.encode(sequence.part(window.start, window.stop), unknown=unknown))
        for window in windows
    ]


def _window_scores(
    model: EventModel,
    number: int,
    windows: Sequence[tuple[Window, EncodedSequence]],
    request: DiscoveryRequest,
    allowed: Allowed | None,
) -> Iterator[PairScores]:
    """Scores by oracle ``number`` of the run (0 is the model itself), each with draws of its own."""
    oracle = model.oracle if number == 0 else model.members[number - 1]
    settings = replace(request.settings, seed=member_seed(request.settings.seed, number))
    # Long sequences have many windows: batches are formed again, so that memory does not grow with their length.
    for start in range(0, len(windows), request.batch_size):
        block = windows[start : start + request.batch_size]
        tested = [window.tested(settings.prefix_length) for window, _ in block]
        encoded = [part for _, part in block]
        yield from score_pairs(oracle, encoded, model.alphabet, settings, tested=tested, allowed=allowed)
