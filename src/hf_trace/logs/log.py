"""A whole event log as a few arrays, and what it looks like at a glance."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.documents import Document
from hf_trace.errors import EmptyLogError, TimestampError
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.event_rows import EventRows, encode_names, flatten_records, frame_of_mappings, table_rows
from hf_trace.logs.frames import frame_to_read
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.logs.sequence import Context, EventSequence
from hf_trace.notebooks import table_html

RARE_BELOW = 5  # a type seen less often is hardly learnable
_UNITS = (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


@dataclass(frozen=True, eq=False, repr=False)
class EventLog:
    """Many event sequences, end to end in flat arrays.

    Attributes:
        event_types: Names of the event types in alphabetical order; the index is the code.
        codes: Event type of every event, sequence after sequence.
        offsets: Sequence ``i`` is ``codes[offsets[i]:offsets[i + 1]]``.
        timestamps: Seconds, never decreasing within a sequence, or None when only the order is known.
        ids: Name of every sequence.
        dropped_rows: Rows of the source that were left out because event, time or case was missing.
        contexts: What is known of every sequence beside its events, see ``contexts``; empty if nothing is.
        network: Which places are joined, if the sequences hold what happened at neighbours too, as events of types of
            their own (``<near:X>``); None: they do not.

    Example:
        >>> log = EventLog.from_sequences([EventSequence(("b", "a")), EventSequence(("b",))])
        >>> log.event_types, log.codes.tolist(), log.offsets.tolist()
        (('a', 'b'), [1, 0, 1], [0, 2, 3])
        >>> log
        EventLog(2 sequences, 3 events, 2 event types)
    """

    event_types: tuple[str, ...]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.float64] | None
    ids: tuple[str, ...]
    dropped_rows: int = 0
    contexts: tuple[Context, ...] = ()
    network: PlaceNetwork | None = None

    @classmethod
    def from_sequences(cls, sequences: Iterable[EventSequence]) -> "EventLog":
        """Collect sequences; a sequence without an id is named by its number, from 0.

        Raises:
            TimestampError: If some sequences have times and others not, or another number than events.
            LogFormatError: If an event is not a text.

        Example:
            >>> EventLog.from_sequences([EventSequence(("a",), timestamps=(2.0,), id="x")]).to_records()
            [{'id': 'x', 'events': ['a'], 'timestamps': [2.0]}]
        """
        given = list(sequences)
        times = [None if s.timestamps is None else list(s.timestamps) for s in given]
        timed = any(time is not None for time in times)
        rows = flatten_records(
            pd.Series([list(s.events) for s in given], dtype=object, name="events"),
            pd.Series(times, dtype=object, name="timestamps") if timed else None,
            [str(i) if s.id is None else s.id for i, s in enumerate(given)],
        )
        contexts = [s.context for s in given]
        return cls.from_rows(replace(rows, contexts=contexts if any(contexts) else ()))

    @classmethod
    def from_rows(cls, rows: EventRows) -> "EventLog":
        """Put events in order: by sequence, then by time, then as given.

        Rows with anything missing are left out and counted; sequences may be empty.

        Raises:
            EventNameError: If a name cannot be written as UTF-8.

        Example:
            >>> events, times = np.array(["b", "a", "c"], dtype=object), np.array([2.0, 1.0, np.nan])
            >>> EventLog.from_rows(EventRows(np.zeros(3, np.int64), ["x"], events, times)).to_records()
            [{'id': 'x', 'events': ['a', 'b'], 'timestamps': [1.0, 2.0]}]
        """
        codes, types = encode_names(rows.events)
        whole = (codes >= 0) & (rows.cases >= 0)
        if rows.seconds is not None:
            whole &= ~np.isnan(rows.seconds)
        seconds = None if rows.seconds is None else rows.seconds[whole]
        log = _grouped(rows.cases[whole], rows.ids, types, codes[whole], seconds, int(np.sum(~whole)))
        return replace(log, contexts=tuple(rows.contexts))

    @classmethod
    def from_table(cls, table: pd.DataFrame, choice: ColumnChoice, *, sequence_id: str = "0") -> "EventLog":
        """Read a table whose index says the row numbers shown in errors; no sequence of the log is empty.

        Args:
            table: As for `from_frame`.
            choice: Which columns to read.
            sequence_id: Name of the only sequence when there is no case column.

        Raises:
            HfTraceError: As `from_frame`.

        Example:
            >>> EventLog.from_table(pd.DataFrame({"event": ["a"]}), ColumnChoice(), sequence_id="file").ids
            ('file',)
        """
        rows = table_rows(table, choice, sequence_id=sequence_id)
        return cls.from_rows(rows).without_empty_sequences()

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        case: str | None = None,
        event: str | Sequence[str] | None = None,
        time: str | Sequence[str] | None = None,
        join: str = "=",
        time_unit: str = "s",
        time_format: str | None = None,
        time_required: bool = False,
    ) -> "EventLog":
        """Read a table with one row per event, or one row per sequence with a list in column ``events``.

        Args:
            frame: The table. Rows of one sequence need not be adjacent; they are sorted by time, and rows
                of the same time keep their order.
            case: Column that names the sequence. Columns are recognised by usual names when left out.
            event: Column that names the event, or several whose values are joined.
            time: Column with the time, or several (date and clock).
            join: Text between the values of several event columns.
            time_unit: Unit of numeric times: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
            time_format: Format of the times, as in `read_log`.
            time_required: Whether a table without times is an error.

        Raises:
            ColumnError: If a column is absent or no event column is recognised.
            TimestampError: If times cannot be read, or are required and absent.
            EmptyLogError: If no row has an event.

        Example:
            >>> frame = pd.DataFrame({"case": [7, 7], "activity": ["b", "a"], "time": [5.0, 1.0]})
            >>> EventLog.from_frame(frame)[0]
            EventSequence(events=('a', 'b'), timestamps=(1.0, 5.0), id='7')
        """
        choice = ColumnChoice(case, event, time, join, time_unit, time_required, time_format=time_format)
        return cls.from_table(frame_to_read(frame, choice), choice)

    @classmethod
    def from_dataset(  # noqa: PLR0913 - a log needs as many words
        cls,
        dataset: Iterable[Mapping[str, Any]],
        *,
        case: str | None = None,
        event: str | Sequence[str] | None = None,
        time: str | Sequence[str] | None = None,
        join: str = "=",
        time_unit: str = "s",
        time_format: str | None = None,
        time_required: bool = False,
        outcome: str | None = None,
    ) -> "EventLog":
        """Read a `datasets.Dataset` or a streaming `datasets.IterableDataset`; arguments as `from_frame`.

        Only the columns that are read are kept in memory. Any other iterable of mappings works too. ``outcome``
        names a label of the whole sequence that becomes its last event, as in `read_log`.

        Raises:
            ColumnError: If a column is absent or no event column is recognised.
            TimestampError: If times cannot be read, or are required and absent.
            EmptyLogError: If the dataset has no rows or no row has an event.

        Example:
            >>> EventLog.from_dataset(iter([{"id": "x", "events": ["a", "b"]}])).to_records()
            [{'id': 'x', 'events': ['a', 'b']}]
        """
        choice = ColumnChoice(case, event, time, join, time_unit, time_required, outcome, time_format=time_format)
        return cls.from_table(frame_of_mappings(dataset, choice), choice)

    @classmethod
    def concat(cls, logs: Sequence["EventLog"], *, join_ids: bool = False) -> "EventLog":
        """Put logs one after another.

        Args:
            logs: At least one log.
            join_ids: Whether sequences of the same id are one sequence, sorted by time.

        Raises:
            EmptyLogError: If there is no log.
            TimestampError: If some logs have times and others not.

        Example:
            >>> log = EventLog.from_sequences([EventSequence(("a",), id="x")])
            >>> EventLog.concat([log, log], join_ids=True).to_records()
            [{'id': 'x', 'events': ['a', 'a']}]
        """
        if not logs:
            raise EmptyLogError("No logs to concatenate, expected at least one.")
        types, codes = _shared_codes(logs)
        ids = list(chain.from_iterable(log.ids for log in logs))
        cases = np.repeat(np.arange(len(ids)), np.concatenate([log.sequence_lengths for log in logs]))
        contexts = _joined_contexts(logs)
        if join_ids:
            of_id, unique = pd.factorize(np.array(ids, dtype=object))
            cases, ids = of_id[cases], unique.tolist()
            first = np.unique(of_id, return_index=True)[1]
            contexts = tuple(contexts[i] for i in first) if contexts else ()
        dropped = sum(log.dropped_rows for log in logs)
        log = _grouped(cases, ids, types, codes, _shared_times(logs), dropped)
        return replace(log, contexts=contexts)

    @property
    def sequence_lengths(self) -> NDArray[np.int64]:
        """Number of events of every sequence.

        Example:
            >>> EventLog.from_sequences([EventSequence(("a", "b")), EventSequence(())]).sequence_lengths
            array([2, 0])
        """
        return np.diff(self.offsets)

    def __repr__(self) -> str:
        size, _, _ = self.summary().lines()[0].partition(";")
        return f"EventLog({size})"

    def _repr_html_(self) -> str:
        counts = np.bincount(self.codes, minlength=len(self.event_types))
        table = pd.DataFrame({"event": self.event_types, "count": counts}).sort_values("count", ascending=False)
        return table_html(table, "; ".join(self.summary().lines()))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> EventSequence:
        position = range(len(self))[index]
        span = slice(self.offsets[position], self.offsets[position + 1])
        times = None if self.timestamps is None else tuple(self.timestamps[span].tolist())
        names = tuple(self._names[self.codes[span]].tolist())
        context = self.contexts[position] if self.contexts else ()
        return EventSequence(names, times, self.ids[position], context)

    def __iter__(self) -> Iterator[EventSequence]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def _names(self) -> NDArray[np.object_]:
        return np.array(self.event_types, dtype=object)

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> "EventLog":
        """Keep some sequences, in the given order; the event types and their codes stay.

        Raises:
            IndexError: If an index is out of range.

        Example:
            >>> log = EventLog.from_sequences([EventSequence(("b",)), EventSequence(("a",))])
            >>> log.select([1]).event_types
            ('a', 'b')
        """
        chosen = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]
        log = self.select_spans(self.offsets[chosen], self.offsets[chosen + 1], [self.ids[i] for i in chosen])
        return replace(log, contexts=tuple(self.contexts[i] for i in chosen) if self.contexts else ())

    def select_spans(self, starts: NDArray[np.int64], stops: NDArray[np.int64], ids: Sequence[str]) -> "EventLog":
        """Make a log of the spans ``codes[start:stop]``, one sequence each.

        Example:
            >>> log = EventLog.from_sequences([EventSequence(("a", "b", "c"))])
            >>> log.select_spans(np.array([1]), np.array([3]), ["tail"]).to_records()
            [{'id': 'tail', 'events': ['b', 'c']}]
        """
        lengths = stops - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        times = None if self.timestamps is None else self.timestamps[positions]
        log = replace(self, codes=self.codes[positions], offsets=offsets, timestamps=times, ids=tuple(ids), contexts=())
        # side="right": of sequences that start at the same event, all but the last are empty.
        owners = np.searchsorted(self.offsets, starts, side="right") - 1
        return replace(log, contexts=tuple(self.contexts[i] for i in owners) if self.contexts else ())

    def without_empty_sequences(self) -> "EventLog":
        """Leave out sequences without events.

        Raises:
            EmptyLogError: If none has an event.

        Example:
            >>> log = EventLog.from_sequences([EventSequence(()), EventSequence(("a",))])
            >>> log.without_empty_sequences().ids
            ('1',)
        """
        if not len(self.codes):
            raise EmptyLogError(
                f"Found {len(self):,} sequences but no event with all it needs, {self.dropped_rows:,} rows "
                "were dropped; expected at least one event. Check for empty cells, or name other columns."
            )
        return self.select(np.flatnonzero(self.sequence_lengths))

    def to_records(self) -> list[Document]:
        """List the sequences as the mappings that pipelines and JSON Lines files hold.

        Example:
            >>> EventLog.from_sequences([EventSequence(("a",))]).to_records()
            [{'id': '0', 'events': ['a']}]
        """
        records: list[Document] = []
        for sequence in self:
            record: Document = {"id": sequence.id, "events": list(sequence.events)}
            if sequence.timestamps is not None:
                record["timestamps"] = list(sequence.timestamps)
            if sequence.context:
                record["context"] = dict(sequence.context)
            records.append(record)
        return records

    def summary(self) -> "LogSummary":
        """Count what there is.

        Example:
            >>> print(EventLog.from_sequences([EventSequence(("a", "b"))]).summary().lines()[0])
            1 sequence, 2 events, 2 event types; 2 rare types (< 5 events)
        """
        lengths = self.sequence_lengths
        counts = np.bincount(self.codes, minlength=len(self.event_types))
        return LogSummary(
            sequences=len(self),
            events=len(self.codes),
            event_types=len(self.event_types),
            span_seconds=self._span(),
            tied_events=self._ties(),
            rare_types=int(np.sum(counts < RARE_BELOW)),
            longest=int(lengths.max(initial=0)),
            median_length=float(np.median(lengths)) if len(lengths) else 0.0,
            one_event_sequences=int(np.sum(lengths == 1)),
            dropped_rows=self.dropped_rows,
        )

    def _span(self) -> float | None:
        if self.timestamps is None or not len(self.timestamps):
            return None
        return float(self.timestamps.max() - self.timestamps.min())

    def _ties(self) -> int:
        if self.timestamps is None:
            return 0
        tied = np.diff(self.timestamps, prepend=np.nan) == 0
        tied[self.offsets[:-1][self.sequence_lengths > 0]] = False  # the first event has no predecessor
        return int(tied.sum())


def _grouped(
    cases: NDArray[np.int64],
    ids: Sequence[str],
    types: Sequence[str],
    codes: NDArray[np.int64],
    seconds: NDArray[np.float64] | None,
    dropped: int,
) -> EventLog:
    # Both sorts are stable: events of the same time keep the order of the source.
    order = np.argsort(cases, kind="stable") if seconds is None else np.lexsort((seconds, cases))
    sizes = np.bincount(cases, minlength=len(ids))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    times = None if seconds is None else seconds[order]
    return EventLog(tuple(types), codes[order].astype(np.int32), offsets, times, tuple(ids), dropped)


def _shared_codes(logs: Sequence[EventLog]) -> tuple[list[str], NDArray[np.int64]]:
    types = sorted(set(chain.from_iterable(log.event_types for log in logs)))
    code = {name: index for index, name in enumerate(types)}
    maps = [np.array([code[name] for name in log.event_types], dtype=np.int64) for log in logs]
    return types, np.concatenate([new[log.codes] for new, log in zip(maps, logs, strict=True)])


def _joined_contexts(logs: Sequence[EventLog]) -> tuple[Context, ...]:
    every = tuple(chain.from_iterable(log.contexts or ((),) * len(log) for log in logs))
    return every if any(every) else ()


def _shared_times(logs: Sequence[EventLog]) -> NDArray[np.float64] | None:
    times = [log.timestamps for log in logs if log.timestamps is not None]
    if times and len(times) < len(logs):
        raise TimestampError(
            f"{len(times)} of {len(logs)} logs have times, expected all or none. Read them apart, or name "
            "the time column of each."
        )
    return np.concatenate(times) if times else None


@dataclass(frozen=True)
class LogSummary:
    """Counts that tell whether a log was read as intended.

    Attributes:
        sequences: Number of sequences.
        events: Number of events.
        event_types: Number of different events.
        span_seconds: Seconds from the first to the last event, or None without times.
        tied_events: Events with the same time as their predecessor in the sequence.
        rare_types: Event types seen fewer than 5 times.
        longest: Events in the longest sequence.
        median_length: Median number of events of a sequence.
        one_event_sequences: Sequences with a single event, in which nothing can cause anything.
        dropped_rows: Rows that were left out because event, time or case was missing.

    Example:
        >>> print(LogSummary(2, 100, 3, 7200.0, 5, 1, 60, 50.0))
        2 sequences, 100 events, 3 event types, spanning 2.0 hours; 5 ties (5.0 %), 1 rare type (< 5 events)
        longest sequence 60 events, median 50
    """

    sequences: int
    events: int
    event_types: int
    span_seconds: float | None
    tied_events: int
    rare_types: int
    longest: int
    median_length: float
    one_event_sequences: int = 0
    dropped_rows: int = 0

    def lines(self) -> list[str]:
        """Two lines of text: the size of the log, then the shape of its sequences.

        Example:
            >>> LogSummary(1, 1, 1, None, 0, 0, 1, 1.0, dropped_rows=3).lines()[1]
            'longest sequence 1 event, median 1; 3 rows dropped (event, time or case missing)'
        """
        return [self._size(), self._shape()]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _size(self) -> str:
        counts = [count(self.sequences, "sequence"), count(self.events, "event"), count(self.event_types, "event type")]
        notes = []
        if self.span_seconds is not None:
            counts.append(f"spanning {duration(self.span_seconds)}")
            share = self.tied_events / max(self.events, 1)
            notes.append(f"{count(self.tied_events, 'tie')} ({share:.1%})".replace("%", " %"))
        if self.rare_types:
            notes.append(f"{count(self.rare_types, 'rare type')} (< {RARE_BELOW} events)")
        return "; ".join(filter(None, [", ".join(counts), ", ".join(notes)]))

    def _shape(self) -> str:
        notes = [f"longest sequence {count(self.longest, 'event')}, median {self.median_length:g}"]
        if self.one_event_sequences:
            notes.append(f"{count(self.one_event_sequences, 'sequence')} with a single event")
        if self.dropped_rows:
            notes.append(f"{count(self.dropped_rows, 'row')} dropped (event, time or case missing)")
        return "; ".join(notes)


def count(number: int, noun: str) -> str:
    """Write a number with its noun.

    Example:
        >>> count(1, "event"), count(21348, "event")
        ('1 event', '21,348 events')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Write seconds in the largest unit of which there is more than one.

    Example:
        >>> duration(20_736_000.0), duration(0.5)
        ('240.0 days', '0.5 seconds')
    """
    for unit, length in _UNITS:
        if seconds > length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.3g} second{'' if seconds == 1 else 's'}"
