"""What an event log looks like at a glance. The numbers are counted in ``log``."""

from dataclasses import dataclass

RARE_BELOW = 5  # a type seen less often is hardly learnable
_UNITS = (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


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
    return f"{seconds:.3g} seconds"
