"""How strong an effect must be to be told in a log of this size: the power of the exact test of onsets."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from hf_trace.errors import SettingsError
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.graphs.onsets import onset_counts
from hf_trace.logs.diagnosis.findings import Finding, percent
from hf_trace.logs.log import RARE_BELOW, EventLog, count, duration

LEAST_OCCURRENCES, LEVEL, POWER = 10, 0.05, 0.8
# What a pair must reach for a log to be called enough, and what is more than most causes do.
_ENOUGH, _LITTLE = 0.5, 0.9
_POSITIONS = 16
_GRID = np.arange(1, 101) / 100
_ENOUGH_EVENTS = 1_000


@dataclass(frozen=True)
class LogPower(Finding):
    """What can be told in a log of this size.

    Attributes:
        sequences: How many there are.
        events: How many there are.
        event_types: How many there are.
        rare_types: Types of fewer than five events.
        pairs: Ordered pairs of different types.
        supported_pairs: Pairs of which both types come ten times or more.
        counted_edges: Pairs that counting onsets tells apart from chance (``hf-trace count``); NaN: too many types.
        horizon: Of the onsets, in seconds; in events for a log without times.
        in_time: Whether it is in seconds.
        occurrences: Of the type of a median event: half of all events are of types that come at least so often.
        chance: Share of events after which a supported type begins within the horizon anyway (median over types).
        least_share: Share of its occurrences after which such a cause must bring such an effect, to be told with a
            probability of 80 % among all pairs; NaN where nothing can be.
        verdict: ``enough``, ``little`` or ``too little``.
    """

    sequences: int
    events: int
    event_types: int
    rare_types: int
    pairs: int
    supported_pairs: int
    counted_edges: float
    horizon: float
    in_time: bool
    occurrences: int
    chance: float
    least_share: float
    verdict: str

    @classmethod
    def of(cls, log: EventLog) -> "LogPower":
        """Measure it; of a log with neighbours pass the own events alone.

        A log is ``enough`` where a cause of median frequency can be told that is followed by its effect half the time,
        ``little`` where nine times out of ten are needed, else ``too little``; and ``little`` at best below 1,000
        events, from which a model learns hardly more than counting tells.
        """
        occurrences = np.bincount(log.codes, minlength=len(log.event_types))
        frequent = occurrences >= LEAST_OCCURRENCES
        supported = int(frequent.sum()) * (int(frequent.sum()) - 1)
        median = int(np.quantile(occurrences[log.codes], 0.5, method="lower")) if len(log.codes) else 0
        types = len(log.event_types)
        horizon = suggested_horizon(log, positions=_POSITIONS)
        edges, chance = float("nan"), float("nan")
        try:
            counts = onset_counts(log, horizon=horizon)
        except SettingsError:  # too many types for a table
            pass
        else:
            edges = float(counts.edges().sum())
            anyway = counts.begins.sum(axis=0) / max(1, int(counts.occurrences.sum()))
            chance = float(np.median(anyway[frequent])) if frequent.any() else float("nan")
        least = least_share(median, chance, max(1, supported)) if supported and chance == chance else float("nan")
        return cls(
            len(log),
            len(log.codes),
            types,
            int(np.sum(occurrences < RARE_BELOW)),
            types * (types - 1),
            supported,
            edges,
            horizon,
            log.timestamps is not None,
            median,
            chance,
            least,
            _verdict(least, len(log.codes)),
        )

    def lines(self) -> list[str]:
        """The verdict and its figures."""
        reach = duration(self.horizon) if self.in_time else count(round(self.horizon), "event")
        found = [
            f"{_WORDS[self.verdict]}. {count(self.sequences, 'sequence')}, {count(self.events, 'event')}, "
            f"{count(self.event_types, 'type')} ({self.rare_types:,} with fewer than {RARE_BELOW} events).",
            f"{self.supported_pairs:,} of {self.pairs:,} pairs have {LEAST_OCCURRENCES} or more events of either type"
            + (
                "."
                if np.isnan(self.counted_edges)
                else f"; counting alone tells {self.counted_edges:,.0f} from chance."
            ),
        ]
        if not np.isnan(self.least_share):
            found.append(
                f"A cause seen {self.occurrences:,} times, as the type of a median event, is told if its effect begins "
                f"after {percent(self.least_share)} of them within {reach}; by chance one does after "
                f"{percent(self.chance)} (exact test of all pairs, {percent(LEVEL)} in all, power {percent(POWER)})."
            )
        return found


_WORDS = {
    "enough": "Enough to tell common causes",
    "little": "Little: only strong effects of common causes can be told",
    "too little": "Too little: what is found can hardly be told from chance",
}


def least_share(occurrences: int, chance: float, tests: int) -> float:
    """The smallest share of its occurrences after which a cause must bring an effect, to be told.

    The power of the exact one-sided binomial test (Cohen 1988, Statistical Power Analysis, chapter 6) at the level
    5 % / tests (Bonferroni), in steps of .01.

    Args:
        occurrences: Of the cause.
        chance: Share of events after which the effect comes anyway.
        tests: Number of pairs that are looked at.

    Returns:
        The share that is found with a probability of 80 %; NaN where even an effect that always follows is not.

    Example:
        >>> least_share(1, 0.04, 1), least_share(1, 0.06, 1)  # one event: 4 % is below the level, and 6 % is not
        (0.8, nan)
    """
    needed = int(binom.isf(LEVEL / tests, occurrences, chance)) + 1  # P(at least so many by chance) <= level
    powers = binom.sf(needed - 1, occurrences, _GRID)
    told = _GRID[powers >= POWER - 1e-9]
    return float(told[0]) if len(told) and needed <= occurrences else float("nan")


def _verdict(least: float, events: int) -> str:
    if not least <= _LITTLE:
        return "too little"
    return "enough" if least <= _ENOUGH and events >= _ENOUGH_EVENTS else "little"
