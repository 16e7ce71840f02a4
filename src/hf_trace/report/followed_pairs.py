"""What a log itself says of a pair of event types: how often one follows the other, how soon, and what is usual."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from hf_trace.logs.log import EventLog

_LEVELS = (0.1, 0.5, 0.9)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_ROUND_SECONDS = np.array([
    *(1e-3, 1e-2, 0.1, 1, 2, 5, 10, 30), *(_MINUTE * each for each in (1, 2, 5, 10, 30)),
    *(_HOUR * each for each in (1, 2, 4, 8)), *(_DAY * each for each in (1, 2, 7, 14, 30, 90, 365)),
])  # fmt: skip
_USUAL, _TWICE = 0.5, 2.0
_LONGEST_ROUTE = 16


@dataclass(frozen=True)
class FollowedPair:
    """How often an effect follows a cause, counted.

    Attributes:
        occurrences: Events of the cause.
        sequences: Sequences with the cause.
        followed: Share of the events of the cause after which the effect comes within ``within``.
        otherwise: The same share of all events that are neither; NaN where there are none.
        carrying: Sequences in which the effect comes so after the cause.
        preceded: Share of the events of the effect before which the cause came so.
        within: Seconds; events of a log without times.
        in_time: Whether it is in seconds.
        delays: The 10, 50 and 90 % quantiles from a cause to the first effect after it; None where it never follows.
        together: Share of these at the very time of the cause.
        with_effect: Ids of the first sequences that carry the pair.
        without_effect: Ids of the first sequences with the cause in which the effect never follows.
    """

    occurrences: int
    sequences: int
    followed: float
    otherwise: float
    carrying: int
    preceded: float
    within: float
    in_time: bool
    delays: tuple[float, float, float] | None
    together: float
    with_effect: tuple[str, ...]
    without_effect: tuple[str, ...]


class PairCounter:
    """Counts single pairs in one log.

    Args:
        log: Whole sequences, not windows of them.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b", "c", "a"), (0.0, 3.0, 5.0, 9.0), "x")])
        >>> found = PairCounter(log).count("a", "b", within=5.0)
        >>> found.followed, found.otherwise, found.delays, found.preceded  # one of two a; not after c
        (0.5, 0.0, (3.0, 3.0, 3.0), 1.0)
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._place = {name: code for code, name in enumerate(log.event_types)}
        self._sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
        self._positions = np.arange(len(log.codes), dtype=np.float64)
        self._times = self._positions if log.timestamps is None else log.timestamps

    def count(self, cause: str, effect: str, *, within: float = np.inf) -> FollowedPair:
        """Count one pair.

        Args:
            cause: Its event type.
            effect: Its event type.
            within: How soon it follows, in seconds; in events for a log without times; by default ever.
        """
        log, codes = self._log, self._log.codes
        is_cause, is_effect = (codes == self._place.get(name, -1) for name in (cause, effect))
        follows, delay = self._next(is_effect, within)
        carrying = follows & is_cause
        other = ~is_cause & ~is_effect
        found = delay[carrying]
        with_cause, with_pair = (np.unique(self._sequence[each]) for each in (is_cause, carrying))
        return FollowedPair(
            occurrences=int(is_cause.sum()),
            sequences=len(with_cause),
            followed=_share(follows, is_cause),
            otherwise=_share(follows, other),
            carrying=len(with_pair),
            preceded=_share(self._last(is_cause, within), is_effect),
            within=within,
            in_time=log.timestamps is not None,
            delays=tuple(np.quantile(found, _LEVELS, method="lower").tolist()) if len(found) else None,
            together=float(np.mean(found == 0)) if len(found) and log.timestamps is not None else 0.0,
            with_effect=self._names(with_pair),
            without_effect=self._names(np.setdiff1d(with_cause, with_pair)),
        )

    def _next(self, wanted: Bool[np.ndarray, " event"], within: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Whether one of some events comes soon after each event of its sequence, and how soon the first one does."""
        at = np.flatnonzero(wanted)
        place = np.searchsorted(at, np.arange(len(wanted)), side="right")
        return self._near(at, place, place < len(at), within)

    def _last(self, wanted: Bool[np.ndarray, " event"], within: float) -> NDArray[np.bool_]:
        """Whether one of some events came soon before each event of its sequence."""
        at = np.flatnonzero(wanted)
        place = np.searchsorted(at, np.arange(len(wanted)), side="left") - 1
        return self._near(at, place, place >= 0, within)[0]

    def _near(
        self, at: NDArray[np.int64], place: NDArray[np.int64], exists: NDArray[np.bool_], within: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        near, delay = np.zeros(len(exists), dtype=bool), np.full(len(exists), np.inf)
        rows = np.flatnonzero(exists)
        other = at[place[rows]]
        delay[rows] = np.abs(self._times[other] - self._times[rows])
        near[rows] = (self._sequence[other] == self._sequence[rows]) & (delay[rows] <= within)
        return near, delay

    def _names(self, sequences: NDArray[np.int64]) -> tuple[str, ...]:
        return tuple(self._log.ids[number] for number in sequences[:3].tolist())


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(np.mean(of[among])) if among.any() else float("nan")


def round_horizon(seconds: float) -> float:
    """A time as people name it, at least so long.

    Example:
        >>> round_horizon(37.0), round_horizon(3_000.0)
        (60.0, 3600.0)
    """
    place = int(np.searchsorted(_ROUND_SECONDS, seconds))
    return float(_ROUND_SECONDS[min(place, len(_ROUND_SECONDS) - 1)])


@dataclass(frozen=True, eq=False)
class UsualSteps:
    """What usually comes next: the most frequent successor of every event type.

    Attributes:
        names: Event types.
        successor: Number of the most frequent next type of each, -1 where nothing follows.
        share: How often it is the next one; where a sequence ends, nothing is.
        predicts: Share of all steps that are the usual ones, repeats left out.
        per_sequence: How often a type comes in a sequence that has it; the median over types.
    """

    names: tuple[str, ...]
    successor: Int[np.ndarray, " type"]
    share: Float[np.ndarray, " type"]
    predicts: float
    per_sequence: float

    @classmethod
    def of(cls, log: EventLog) -> "UsualSteps":
        """Count them; an event that repeats the one before it is no step.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> usual = UsualSteps.of(EventLog.from_sequences([EventSequence(("a", "b", "c"))] * 3))
            >>> usual.route("a"), usual.predicts
            (('b', 'c'), 1.0)
        """
        types = len(log.event_types)
        sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
        steps = (np.diff(sequence) == 0) & (np.diff(log.codes) != 0)
        table = np.zeros((types, types), dtype=np.int64)
        np.add.at(table, (log.codes[:-1][steps], log.codes[1:][steps]), 1)
        last = log.codes[log.offsets[1:][log.sequence_lengths > 0] - 1]
        ends, total, most = np.bincount(last, minlength=types), table.sum(axis=1), table.max(axis=1, initial=0)
        in_sequence = pd.DataFrame({"sequence": sequence, "code": log.codes}).value_counts()
        best = table.argmax(axis=1) if types else np.zeros(0, dtype=np.int64)
        return cls(
            log.event_types,
            np.where(total > 0, best, -1),
            most / np.maximum(total + ends, 1),
            float(most.sum() / max(1, total.sum())),
            float(in_sequence.groupby("code").mean().median()) if types else 0.0,
        )

    @property
    def is_workflow(self) -> bool:
        """Whether cases run alike: most steps are the usual ones, and a type seldom comes twice."""
        return self.predicts > _USUAL and self.per_sequence < _TWICE

    def next_of(self, name: str) -> tuple[str, float] | None:
        """What usually comes after an event type, and how often; None where nothing comes in half of the cases."""
        code = self.names.index(name) if name in self.names else -1
        if code < 0 or self.successor[code] < 0 or self.share[code] < _USUAL:
            return None
        return self.names[int(self.successor[code])], float(self.share[code])

    def route(self, name: str) -> tuple[str, ...]:
        """What usually comes after an event type, step by step, until nothing is usual or it returns."""
        found: list[str] = []
        while (step := self.next_of(found[-1] if found else name)) and len(found) < _LONGEST_ROUTE:
            if step[0] in (name, *found):
                break
            found.append(step[0])
        return tuple(found)
