"""Event sequences to token ids: one token per event type, optional gap tokens between them."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import (
    ColumnError,
    EmptyLogError,
    EventNameError,
    ModelLoadError,
    TimestampError,
    UnknownEventError,
    preview,
)
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.near_names import is_near_name, plain_name
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.options import UNKNOWN
from hf_trace.tokenizers.event_tokens import (
    Times,
    bin_bounds,
    bin_middles,
    context_token,
    context_tokens,
    gap_bins,
    gap_token,
    known_values,
    log_spaced_edges,
    separator,
)
from hf_trace.tokenizers.stored_tokenizer import BOS, SPECIAL_TOKENS, StoredTokenizer, word_tokenizer


class EventTokenizer(StoredTokenizer):
    """A vocabulary of event types and how sequences are written in it.

    Args:
        tokenizer: A Transformers tokenizer with one token per event type.

    Attributes:
        tokenizer: What ``save_pretrained`` stores.
        event_types: Names of all event types, in the order of their ids.
        event_ids: Their token ids.
        frequencies: Relative frequency of each in the log the vocabulary was built from; uniform if unknown.
        gap_edges: Upper edges of the gap bins in seconds; empty if gaps are not written.
        contexts: Values of each context column, such as ``{"site": ["north", "south"]}``; a token for each column
            stands at the beginning of every sequence. Empty if none is written.
        reads_neighbours: Whether sequences hold what happened at neighbours too.
        is_near: Which event types are of neighbours, ``<near:X>``: of logs without a topology none, whatever their
            names.
        kept_tokens: How many ids are those of a pretrained tokenizer: none.

    Example:
        >>> tokenizer = EventTokenizer.from_event_types(["disk full", "reboot"])
        >>> encoded = tokenizer.encode(EventSequence(("reboot", "disk full")))
        >>> encoded.input_ids.tolist(), encoded.event_positions.tolist()
        ([1, 5, 4], [1, 2])
    """

    kept_tokens: int = 0

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        settings = tokenizer.init_kwargs
        self.gap_edges = _edges(settings.get("gap_edges"))
        self.contexts = _values_of_contexts(settings.get("contexts"))
        reserved = {
            *tokenizer.all_special_tokens,
            *map(gap_token, range(self._gap_tokens)),
            *context_tokens(self.contexts),
        }
        events = sorted((index, name) for name, index in self.vocabulary.items() if name not in reserved)
        self.event_types = tuple(name for _, name in events)
        self.event_ids: NDArray[np.int64] = np.array([index for index, _ in events], dtype=np.int64)
        self.reads_neighbours = bool(settings.get("near"))
        self.is_near: NDArray[np.bool_] = np.array(
            [self.reads_neighbours and is_near_name(name) for name in self.event_types], dtype=bool
        )
        self.frequencies = _relative(settings.get("event_counts"), len(events))
        self._ids = dict(zip(self.event_types, self.event_ids.tolist(), strict=True))
        self.gap_ids = np.array(
            [self.vocabulary[gap_token(index)] for index in range(self._gap_tokens)], dtype=np.int64
        )

    @property
    def _gap_tokens(self) -> int:
        return len(self.gap_edges) + 1 if self.gap_edges else 0

    @property
    def writes_gaps(self) -> bool:
        """Whether the time between events is written as tokens."""
        return bool(self.gap_edges)

    @property
    def gap_seconds(self) -> list[float]:
        """What each gap token stands for: the middle of its bin, in seconds."""
        return bin_middles(self.gap_edges)

    @property
    def gap_bounds(self) -> list[tuple[float, float]]:
        """The shortest and the longest time that each gap token stands for, in seconds."""
        return bin_bounds(self.gap_edges)

    @classmethod
    def from_event_types(
        cls,
        event_types: Iterable[str],
        *,
        counts: Sequence[int] | None = None,
        gap_edges: Sequence[float] = (),
        contexts: Mapping[str, Sequence[str]] | None = None,
        reads_neighbours: bool = False,
    ) -> "EventTokenizer":
        """Build a vocabulary from names.

        Args:
            event_types: Distinct names, in the order in which they get ids.
            counts: How often each was seen, for the ``unigram`` proposal.
            gap_edges: Upper edges of gap bins in seconds; empty writes no gaps.
            contexts: Known values of each context column; none writes no context.
            reads_neighbours: Whether names such as ``<near:X>`` are events of neighbours.

        Raises:
            EventNameError: If a name is empty, repeated or reserved.
        """
        events = list(event_types)
        gaps = [gap_token(index) for index in range(len(gap_edges) + 1)] if len(gap_edges) else []
        values = {name: list(known) for name, known in (contexts or {}).items()}
        about = context_tokens(values)
        _check_names(events, {*SPECIAL_TOKENS, *gaps, *about})
        tokenizer = word_tokenizer(
            [*events, *gaps, *about],
            template=f"{BOS} $A",
            gap_edges=list(gap_edges),
            event_counts=None if counts is None else [int(count) for count in counts],
            **({"contexts": values} if values else {}),
            **({"near": True} if reads_neighbours else {}),
        )
        tokenizer.backend_tokenizer.pre_tokenizer = separator(events)
        return cls(tokenizer)

    @classmethod
    def from_log(cls, log: EventLog, *, min_count: int = 1, gaps: bool | None = None) -> "EventTokenizer":
        """Build the vocabulary of a log.

        Args:
            log: Its event types get ids in their order.
            min_count: Types seen less often are left out and read as unknown.
            gaps: Whether to write gap tokens; by default exactly when the log has timestamps.

        Raises:
            EventNameError: If a name is reserved.
            EmptyLogError: If no type is seen often enough.
            TimestampError: If gaps are asked of a log without timestamps.
        """
        if gaps and log.timestamps is None:
            raise TimestampError(
                "Gap tokens were asked for, but the log has no timestamps. Name their column with "
                "`--time-column`, or leave out `--gaps`."
            )
        counts = np.bincount(log.codes, minlength=len(log.event_types))
        kept = np.flatnonzero(counts >= max(1, min_count))
        if not len(kept):
            raise EmptyLogError(
                f"None of the {len(counts):,} event types was seen {min_count:,} times, expected at least one. Lower "
                "`--min-count`."
            )
        edges: Sequence[float] = ()
        if log.timestamps is not None and gaps is not False:
            inside = np.setdiff1d(np.arange(1, len(log.codes)), log.offsets)
            edges = log_spaced_edges(log.timestamps[inside] - log.timestamps[inside - 1])
        return cls.from_event_types(
            [log.event_types[code] for code in kept],
            counts=counts[kept].tolist(),
            gap_edges=edges,
            contexts=known_values(log.contexts),
            reads_neighbours=log.network is not None,
        )

    @classmethod
    def from_pretrained(cls, name_or_path: str | PathLike[str], **kwargs: Any) -> "EventTokenizer":
        """Load what ``save_pretrained`` or ``AutoTokenizer`` wrote, from a folder or the Hub.

        Raises:
            ModelLoadError: If there is no tokenizer, or a damaged one.
        """
        return cls.read(name_or_path, "hf-trace train", **kwargs)

    @property
    def own_types(self) -> tuple[str, ...]:
        """The event types but those of neighbours."""
        return tuple(name for name, near in zip(self.event_types, self.is_near, strict=True) if not near)

    def plain_name(self, event: str) -> str:
        """What happened, wherever it did: the name of an event without the mark of neighbours, where there are some."""
        return plain_name(event) if self.reads_neighbours else event

    def agrees_with(self, other: Any) -> bool:
        """Whether another tokenizer, such as one ``AutoTokenizer`` made, gives the ids that this one does."""
        events = list(self.event_types[:3])
        ids = other(events, is_split_into_words=True)["input_ids"]
        return ids[-len(events) :] == self._event_ids(events, None).tolist()

    def encode(
        self, sequence: EventSequence, *, unknown: str | None = UNKNOWN.default, end: bool = False
    ) -> EncodedSequence:
        """Write a sequence as token ids.

        Args:
            sequence: Events, with timestamps if this tokenizer writes gaps.
            unknown: ``"map"`` reads events outside the vocabulary as unknown; the model reads those, but they
                are never causes or effects. By default, as with ``"error"``, they are refused.
            end: Whether to close the sequence with the end token.

        Raises:
            UnknownEventError: If an event is not in the vocabulary and is not read as unknown.
            TimestampError: If gaps are written and the sequence has no timestamps.
            ColumnError: If contexts are written and the sequence lacks one; a value that is not known reads as
                unknown.
        """
        ids = self._event_ids(sequence.events, unknown)
        start = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        start = [*start, *self._context_ids(sequence)]
        stop = [self.tokenizer.eos_token_id] if end else []
        return self._written(start, ids, sequence.timestamps, stop)

    def without(self, encoded: EncodedSequence, timestamps: Times | None, taken: NDArray[np.bool_]) -> EncodedSequence:
        """What ``encode`` writes of a sequence as if some of its events had not been.

        Args:
            encoded: The whole sequence, without an end token; of at least one event.
            timestamps: Of all its events.
            taken: Which events are left out.
        """
        kept, start = encoded.event_positions[~taken], encoded.input_ids[: encoded.event_positions[0]]
        times = None if timestamps is None else np.asarray(timestamps, dtype=np.float64)[~taken]
        return self._written(start.tolist(), encoded.input_ids[kept], times)

    def _written(
        self, start: list[int], ids: NDArray[np.int64], timestamps: Times | None, stop: Sequence[int] = ()
    ) -> EncodedSequence:
        body = self._with_gaps(ids, timestamps) if self.writes_gaps else ids
        input_ids = np.concatenate([start, body, stop]).astype(np.int64)
        return EncodedSequence(input_ids, np.arange(len(ids)) * self.tokens_per_event() + len(start))

    def decode(self, encoded: EncodedSequence) -> tuple[str, ...]:
        """Event types of an encoded sequence; unknown events read ``[UNK]``."""
        names = {index: name for name, index in self.vocabulary.items()}
        return tuple(names[int(index)] for index in encoded.input_ids[encoded.event_positions])

    def tokens_per_event(self) -> int:
        """Tokens that one more event costs."""
        return 2 if self.writes_gaps else 1

    def most_events(self, context_length: int) -> int:
        """Number of events of the longest sequence that fits into a context of that many tokens.

        Example:
            >>> EventTokenizer.from_event_types(["a"]).most_events(64)
            63
        """
        per_event = self.tokens_per_event()
        start = len(self.contexts) + (0 if self.tokenizer.bos_token_id is None else 1)
        return (context_length - start + per_event - 1) // per_event

    def _event_ids(self, events: Sequence[str], unknown: str | None) -> NDArray[np.int64]:
        lookup = self._ids
        try:
            return np.array([lookup[event] for event in events], dtype=np.int64)
        except KeyError:
            pass
        missing = [event for event in dict.fromkeys(events) if event not in lookup]
        unk = self.tokenizer.unk_token_id
        if unknown == "map" and unk is not None:
            return np.array([lookup.get(event, unk) for event in events], dtype=np.int64)
        noun = "event is" if len(missing) == 1 else "events are"
        raise UnknownEventError(
            f"{len(missing)} {noun} not in the model's vocabulary of {len(self.event_types)} types: "
            f"{preview(missing)} (first at position {list(events).index(missing[0])}). Train on a log that has "
            'them, or pass unknown="map" (`--unknown map`) to read them as unknown.'
        )

    def _context_ids(self, sequence: EventSequence) -> list[int]:
        given = dict(sequence.context)
        missing = [name for name in self.contexts if name not in given]
        if missing:
            raise ColumnError(
                f"The model was trained with the context {preview(self.contexts)}, and the sequence "
                f"{sequence.id or ''!r} lacks {preview(missing)}. Name its column with `--context-column` (in Python "
                '`context_columns=`, or `"context": {...}` of a record).'
            )
        unknown = self.tokenizer.unk_token_id
        return [self.vocabulary.get(context_token(name, given[name]), unknown) for name in self.contexts]

    def _with_gaps(self, ids: NDArray[np.int64], timestamps: Times | None) -> NDArray[np.int64]:
        if timestamps is None:
            raise TimestampError(
                "The model was trained with the time between events, but the sequence has no timestamps. Pass "
                "`timestamps` (seconds, one per event), or train with `--no-gaps`."
            )
        body = np.empty(max(0, 2 * len(ids) - 1), dtype=np.int64)
        body[::2] = ids
        body[1::2] = self.gap_ids[gap_bins(timestamps, self.gap_edges)]
        return body


def _damaged(name: str, found: Any, expected: str) -> ModelLoadError:
    return ModelLoadError(
        f"`{name}` of the tokenizer is {str(found)[:80]}, expected {expected}. Take the tokenizer_config.json that was "
        "saved with the model."
    )


def _edges(found: Any) -> tuple[float, ...]:
    edges = found or ()
    is_list = isinstance(edges, (list, tuple)) and all(isinstance(edge, (int, float)) for edge in edges)
    if not is_list or not np.isfinite(edges).all() or list(edges) != sorted(edges):
        raise _damaged("gap_edges", found, "a list of seconds, the shortest first")
    return tuple(edges)


def _values_of_contexts(found: Any) -> dict[str, list[str]]:
    contexts = found or {}
    if not isinstance(contexts, Mapping) or not all(isinstance(values, list) for values in contexts.values()):
        raise _damaged("contexts", found, "a list of values for each name")
    return dict(contexts)


def _relative(counts: Any, size: int) -> NDArray[np.float64]:
    if not counts or len(counts) != size:
        return np.full(size, 1 / max(1, size))
    if not all(isinstance(count, int) and count >= 0 for count in counts) or not any(counts):
        raise _damaged("event_counts", counts, "how often each event type was seen")
    return np.asarray(counts, dtype=np.float64) / sum(counts)


def _check_names(events: Sequence[str], reserved: set[str]) -> None:
    clash = [event for event in events if event in reserved]
    if clash:
        raise EventNameError(
            f"The event type {clash[0]!r} has the name of a special token. Expected names other than "
            f"{', '.join(SPECIAL_TOKENS)} and <gap:N>; rename it in the log."
        )
    if "" in events:
        raise EventNameError("An event type has an empty name. Expected a name; fill it in or drop the rows.")
    if len(set(events)) != len(events):
        repeated = next(event for event in events if list(events).count(event) > 1)
        raise EventNameError(f"The event type {repeated!r} is listed twice. Expected distinct names.")


def flat_tokens(
    tokenizer: EventTokenizer, log: EventLog, *, end: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All sequences as ``EventTokenizer.encode`` writes them, end to end; unknown events are read as unknown.

    Args:
        tokenizer: The vocabulary.
        log: Sequences of at least one event.
        end: Whether to close each with the end token.

    Returns:
        Token ids, and offsets: sequence ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.

    Raises:
        TimestampError: If gaps are written and the log has no timestamps.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("b", "a")), EventSequence(("b",))])
        >>> tokens, offsets = flat_tokens(EventTokenizer.from_event_types(["a", "b"]), log)
        >>> tokens.tolist(), offsets.tolist()
        ([1, 5, 4, 1, 5], [0, 3, 5])
    """
    special = tokenizer.tokenizer
    starts = [] if special.bos_token_id is None else [special.bos_token_id]
    known = dict(zip(tokenizer.event_types, tokenizer.event_ids.tolist(), strict=True))
    ids = np.array([known.get(name, special.unk_token_id) for name in log.event_types], dtype=np.int64)
    per_event = tokenizer.tokens_per_event()
    lengths = log.sequence_lengths
    body = per_event * lengths - (per_event - 1)
    offsets = np.concatenate([[0], np.cumsum(body + len(starts) + end)]).astype(np.int64)
    within = np.arange(len(log.codes)) - np.repeat(log.offsets[:-1], lengths)
    places = np.repeat(offsets[:-1] + len(starts), lengths) + per_event * within
    tokens = np.empty(offsets[-1], dtype=np.int64)
    tokens[places] = ids[log.codes]
    if starts:
        tokens[offsets[:-1]] = starts[0]
    if end:
        tokens[offsets[1:] - 1] = special.eos_token_id
    if tokenizer.writes_gaps:
        later = within > 0
        tokens[places[later] - 1] = tokenizer.gap_ids[_bins(tokenizer, log)[later]]
    return tokens, offsets


def _bins(tokenizer: EventTokenizer, log: EventLog) -> NDArray[np.int64]:
    if log.timestamps is None:
        raise TimestampError(
            "The vocabulary has the time between events, but the log has no timestamps. Name their column with "
            "`--time-column`, or leave out `--gaps`."
        )
    gaps = np.diff(log.timestamps, prepend=0.0)
    found: NDArray[np.int64] = np.searchsorted(np.asarray(tokenizer.gap_edges), gaps, side="left")
    return found
