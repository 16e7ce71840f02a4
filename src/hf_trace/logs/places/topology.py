"""Which sequences of a log are joined: devices that are neighbours, services that call each other."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import near
from hf_trace.errors import SettingsError, TimestampError, preview
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork

_MOST_EVENTS = 50_000_000


@dataclass(frozen=True, eq=False)
class Topology:
    """Pairs of sequences that are joined: what happens in one may act in the other.

    Attributes:
        joined: Indexes of two sequences of a log, the smaller first (of directed pairs the one upstream), every pair
            once, in rising order.
        sequences: Number of sequences of that log.
        directed: Whether only the second of a pair sees the first.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a",), id=name) for name in ("x", "y", "z")])
        >>> Topology.of_log(log, [("z", "x"), ("x", "z"), ("y", "y"), ("y", "elsewhere")]).joined.tolist()
        [[0, 2]]
    """

    joined: NDArray[np.int64]
    sequences: int
    directed: bool = False

    @classmethod
    def of_network(cls, log: EventLog, network: PlaceNetwork) -> "Topology":
        """Find the sequences that a network of places joins, over as many hops as it says.

        Raises:
            SettingsError: If it joins no two sequences of the log.
        """
        return cls.of_log(log, network.seen(), directed=network.directed)

    @classmethod
    def of_log(cls, log: EventLog, pairs: Iterable[tuple[str, str]], *, directed: bool = False) -> "Topology":
        """Find the sequences that pairs of names join; repeats and unknown names do not count.

        Args:
            log: Its ``ids`` are the names. All sequences of one name are joined with those of the other.
            pairs: Names of two places that are joined.
            directed: Whether the first of a pair is upstream of the second; else their order does not count.

        Raises:
            SettingsError: If no pair joins two sequences of the log.
        """
        named = pd.DataFrame(list(pairs), columns=["one", "other"]).drop_duplicates()
        for end in ("one", "other"):
            known = pd.DataFrame({end: list(log.ids), f"{end}_index": np.arange(len(log))})
            named = named.merge(known, on=end)
        both = named[["one_index", "other_index"]].to_numpy(dtype=np.int64)
        both = both[both[:, 0] != both[:, 1]]
        both = np.unique(both if directed else np.sort(both, axis=1), axis=0)
        if not len(both):
            raise _joins_nothing(log, pairs)
        return cls(both, len(log), directed)

    def _sights(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A sequence and one that it sees, for all that see another."""
        one, other = self.joined.T
        if self.directed:
            return other, one
        return np.concatenate([one, other]), np.concatenate([other, one])

    def sizes(self) -> NDArray[np.int64]:
        """How many sequences each one sees: itself and its neighbours.

        Example:
            >>> Topology(np.array([[0, 1], [0, 2]]), 4).sizes()
            array([3, 2, 2, 1])
        """
        return 1 + np.bincount(self._sights()[0], minlength=self.sequences)

    def reached(self) -> NDArray[np.int64]:
        """How many sequences the events of each one may act in: its own and those that see it.

        Example:
            >>> Topology(np.array([[0, 1], [0, 2]]), 3, directed=True).reached()
            array([3, 1, 1])
        """
        return 1 + np.bincount(self._sights()[1], minlength=self.sequences)

    def unjoined(self) -> NDArray[np.int64]:
        """Indexes of the sequences that have no neighbour.

        Example:
            >>> Topology(np.array([[0, 2]]), 4).unjoined()
            array([1, 3])
        """
        return np.setdiff1d(np.arange(self.sequences), self.joined)

    def merged(self, log: EventLog) -> tuple[EventLog, NDArray[np.int64]]:
        """Every sequence together with its neighbours, in the order of time.

        Events of one time keep their order within a sequence, the sequence's own first.

        Args:
            log: The log whose sequences are joined.

        Returns:
            A log of as many sequences, and the index of the sequence that each of its events is of.

        Raises:
            TimestampError: If the log has no times, without which the order is unknown.
            SettingsError: If the neighbourhoods hold more than 50 million events.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> log = EventLog.from_sequences([EventSequence(("a", "b"), (0.0, 2.0)), EventSequence(("c",), (1.0,))])
            >>> seen, origin = Topology(np.array([[0, 1]]), 2).merged(log)
            >>> seen[0].events, origin.tolist()
            (('a', 'c', 'b'), [0, 1, 0, 0, 1, 0])
        """
        if len(log) != self.sequences:
            raise ValueError(f"The topology is of {self.sequences} sequences and the log has {len(log)}.")
        if log.timestamps is None:
            raise TimestampError(
                "The log has no times, expected some with a topology: they say in which order events of neighbours "
                "happened. Name the time column, or leave the topology out."
            )
        places, others = (np.concatenate([np.arange(len(log)), seen]) for seen in self._sights())
        lengths = log.sequence_lengths[others]
        if lengths.sum() > _MOST_EVENTS:
            raise SettingsError(
                f"Neighbourhoods of this topology hold {lengths.sum():,} events, expected at most {_MOST_EVENTS:,}. "
                "Join fewer places, or analyse a part of the log."
            )
        side_by_side = log.select_spans(log.offsets[others], log.offsets[others + 1], [log.ids[i] for i in others])
        place, origin = np.repeat(places, lengths), np.repeat(others, lengths)
        times = np.asarray(side_by_side.timestamps)
        order = np.lexsort((place != origin, times, place))
        sizes = np.bincount(place, minlength=len(log))
        seen = EventLog(
            log.event_types,
            side_by_side.codes[order],
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            times[order],
            log.ids,
            log.dropped_rows,
            log.contexts,
        )
        return seen, origin[order]


def topology_of(log: EventLog) -> Topology | None:
    """What joins the sequences of a log; None where nothing does."""
    with suppress(SettingsError):
        return None if log.network is None else Topology.of_network(log, log.network)
    return None


def _joins_nothing(log: EventLog, pairs: Iterable[tuple[str, str]]) -> SettingsError:
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    hint = near(names[0], log.ids) if names else ""
    return SettingsError(
        f"The topology joins no two sequences of the log: it names {preview(names) if names else 'nothing'}, the log "
        f"has {preview(log.ids)}. Expected the names of the log's sequences (its case column) in both columns.{hint}"
    )
