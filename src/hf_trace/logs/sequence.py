"""One observed sequence of events, as names and as integers."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# What is known of a whole sequence: a value for each column, such as ``("site", "north")``.
Context: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EventSequence:
    """Events in the order in which they happened.

    Attributes:
        events: Event types, exactly as the user named them.
        timestamps: Seconds, one per event and never decreasing, or None when only the order is known.
        id: Name of the sequence (a case, a device, a session), or None.
        context: What is known of the whole sequence, as pairs of a column and a value.

    Example:
        >>> EventSequence(("disk full", "reboot"), timestamps=(0.0, 1.5)).events[1]
        'reboot'
    """

    events: tuple[str, ...]
    timestamps: tuple[float, ...] | None = None
    id: str | None = None
    context: Context = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.events)

    def part(self, start: int, stop: int) -> "EventSequence":
        """Events from ``start`` up to, not including, ``stop``; the whole sequence is returned as it is."""
        if (start, stop) == (0, len(self)):
            return self
        times = None if self.timestamps is None else self.timestamps[start:stop]
        return EventSequence(self.events[start:stop], times, self.id, self.context)

    def without(self, taken: NDArray[np.bool_]) -> "EventSequence":
        """The sequence as if some of its events had not been."""
        kept = np.flatnonzero(~taken).tolist()
        times = None if self.timestamps is None else tuple(self.timestamps[index] for index in kept)
        return EventSequence(tuple(self.events[index] for index in kept), times, self.id, self.context)


@dataclass(frozen=True)
class EncodedSequence:
    """An event sequence as the token ids a model reads.

    Attributes:
        input_ids: All tokens, with the start token and any gap tokens between events.
        event_positions: Index into ``input_ids`` of every event, in order.
    """

    input_ids: NDArray[np.int64]
    event_positions: NDArray[np.int64]
