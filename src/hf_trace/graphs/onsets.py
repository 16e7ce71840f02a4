r"""Which events begin after others, and not before them: onsets counted with their direction (sequence symmetry).

After Hallas, J. (1996), "Evidence of depression associated with cardiovascular drug treatment: a prescription sequence
symmetry analysis", Epidemiology 7, 478-484: if two events have nothing to do with each other, either comes first as
often. Counted are events u at time t by what is within a horizon H of them,

.. math:: F_{uv} = \#\{u : v \in (t, t+H], v \notin [t-H, t)\}, \quad B_{uv} = \#\{u : v \in [t-H, t)\}, \quad
    P_{uv} = \#\{u : v \in (t, t+H]\}

Times equal to t count on neither side, neither do u itself and what happens together with it.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binom, false_discovery_control

from hf_trace.graphs.near_events import Indexes, Times, event_times, first_place, pairs_in_parts, types_of_table
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology

_FALSE_SHARE = 0.05
# Of sequences, for errors over them.
_GROUPS, _FEWEST_GROUPS = 20, 5
_ADDED = ("begins", "before", "follows", "occurrences")
Table = Float[np.ndarray, "cause effect"]
Counts = Int[np.ndarray, "cause effect"]


@dataclass(frozen=True, eq=False)
class OnsetCounts:
    r"""How often each type begins after each other one, and how often it was there before.

    Attributes:
        begins: F, events of the cause after which the effect begins: it follows, and was not there before.
        before: B, events of the cause before which the effect was there.
        follows: P, events of the cause after which the effect is there, whether or not it was before.
        occurrences: n, events of each type.
        horizon: H, in seconds; in events for a log without times.

    Example:
        >>> begins, before, follows = (np.array([[0, count], [0, 0]]) for count in (3, 1, 3))
        >>> counts = OnsetCounts(begins, before, follows, np.array([4, 3]), 10.0)
        >>> counts.scores()[0].tolist()  # 3/4 * (3 + 1) / (3 + 1 + 2)
        [0.0, 0.5]
    """

    begins: Counts
    before: Counts
    follows: Counts
    occurrences: Int[np.ndarray, " cause"]
    horizon: float

    def confidence(self) -> Table:
        r"""Share of the events of a cause after which the effect begins, :math:`F / n`; 0 where there is none."""
        share: Table = self.begins / np.maximum(self.occurrences, 1)[:, None]
        return share

    def scores(self) -> Table:
        r"""Confidence times direction, :math:`S = \frac{F}{n} \cdot \frac{F + 1}{F + B + 2}`, 0 to 1."""
        scores: Table = self.confidence() * (self.begins + 1) / (self.begins + self.before + 2)
        return scores

    def errors(self) -> Table:
        r"""Standard errors of the scores by the delta method, F and B taken as binomial counts.

        .. math:: \sigma^2 = \Big(\frac{D}{n} + \frac{F}{n} \frac{B + 1}{(F + B + 2)^2}\Big)^2 V_F
            + \Big(\frac{F}{n} \frac{F + 1}{(F + B + 2)^2}\Big)^2 V_B, \quad V_X = (X + 1)(1 - \tfrac{X}{n + 1})

        so that no count is taken as certain, not even 0. In bursts events are not independent, and scores err more.

        Example:
            >>> begins, before = np.array([[0, 0], [0, 0]]), np.array([[0, 0], [0, 0]])
            >>> OnsetCounts(begins, before, begins, np.array([100, 0]), 1.0).errors()[0].tolist()  # (1/2) / 100
            [0.005, 0.005]
        """
        begins, before, events = self.begins, self.before, np.maximum(self.occurrences, 1)[:, None]
        near = begins + before + 2
        by_begins = (begins + 1) / near / events + begins / events * (before + 1) / near**2
        by_before = begins / events * (begins + 1) / near**2
        spread = [(count + 1) * (1 - np.minimum(count / (events + 1), 1)) for count in (begins, before)]
        errors: Table = np.sqrt(by_begins**2 * spread[0] + by_before**2 * spread[1])
        return errors

    def only_before(self) -> Counts:
        r"""Events of the cause before which the effect was there, and after which it is not: :math:`B - (P - F)`."""
        counts: Counts = self.before - (self.follows - self.begins)
        return counts

    def edges(self) -> Bool[np.ndarray, "cause effect"]:
        r"""Pairs that are an edge by a rule that knows no cause.

        The effect begins after the cause more often than after any event, by an exact one-sided binomial test of F
        among n against :math:`\sum_u F_{uv} / \sum_u n_u` with a false discovery rate of 5 % over all pairs (Benjamini
        and Hochberg 1995); and it begins after it more often than it was there only before. The test takes events as
        independent, which in bursts they are not. No type is an edge of itself: its first and its last events of a
        burst are equally many.
        """
        chance = self.begins.sum(axis=0) / max(int(self.occurrences.sum()), 1)
        p_values = binom.sf(self.begins - 1, self.occurrences[:, None], chance)
        tested = ~np.eye(len(p_values), dtype=bool)
        kept = np.zeros_like(tested)
        if tested.any():
            kept[tested] = false_discovery_control(p_values[tested], method="bh") <= _FALSE_SHARE
        found: Bool[np.ndarray, "cause effect"] = kept & (self.begins > self.only_before())
        return found


def onset_counts(log: EventLog, *, horizon: float, topology: Topology | None = None) -> OnsetCounts:
    """Count onsets of all pairs of types.

    Args:
        log: Events with times; without them positions in the sequence are taken as times.
        horizon: How long after a cause its effect may begin, in seconds (in events without times).
        topology: Sequences that are joined: causes are the events of each, effects its own and its neighbours'.

    Raises:
        SettingsError: If there are more than 5,000 event types.
        TimestampError: If there is a topology and no times.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a", "b", "b", "a"), (0.0, 1.0, 2.0, 3.0))])
        >>> counts = onset_counts(log, horizon=1.0)  # b begins after the first a; before the second it was there
        >>> int(counts.begins[0, 1]), int(counts.before[0, 1])
        (1, 1)
    """
    types = types_of_table(log)
    seen = log if topology is None else topology.merged(log)[0]
    effects, times = _Effects.of(seen), event_times(log)
    low, high = log.offsets[effects.sequence], log.offsets[effects.sequence + 1]

    def place(reference: Times, shift: float, *, above: bool) -> Indexes:
        return first_place(times, low, high, reference, shift, above=above)

    def counted(*spans: tuple[Indexes, Indexes]) -> Counts:
        """How many events of each type there are in the spans of each effect."""
        table = np.zeros(types * types, dtype=np.int64)
        for starts, stops in spans:
            for _, effect, cause in pairs_in_parts(starts, stops):
                cells = log.codes[cause].astype(np.int64) * types + effects.code[effect]
                table += np.bincount(cells, minlength=types * types)
        return table.reshape(types, types)

    # Causes after which this v is the first: those from the v before on. It begins after them where the last v is more
    # than H ago, or at their very time and the one before it more than H ago.
    soonest, here = place(effects.time, -horizon, above=False), place(effects.time, 0.0, above=False)
    tied = place(effects.previous, 0.0, above=False), place(effects.previous, 0.0, above=True)
    begins = np.maximum(soonest, place(effects.previous, horizon, above=True)), here
    begins_tied = tied[0], np.where((tied[0] >= soonest) & (effects.since_two > horizon), tied[1], tied[0])
    # Causes before which this v is the last.
    last = np.minimum(place(effects.time, horizon, above=True), place(effects.following, 0.0, above=True))
    return OnsetCounts(
        begins=counted(begins, begins_tied),
        before=counted((place(effects.time, 0.0, above=True), last)),
        follows=counted((np.maximum(soonest, tied[0]), here)),
        occurrences=np.bincount(log.codes, minlength=types),
        horizon=horizon,
    )


def onset_errors(log: EventLog, counts: OnsetCounts) -> Table:
    r"""Standard errors of the scores over sequences, at least those of ``OnsetCounts.errors``.

    Events of a burst are not independent, sequences are: up to 20 groups of them are left out one at a time (the
    jackknife, Quenouille 1956), :math:`\sigma^2 = \frac{G - 1}{G} \sum_g (S_{-g} - \bar S)^2`. With fewer than 5
    sequences the errors are those of independent events.

    Args:
        log: What was counted, without a topology.
        counts: What was found.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> twice = [EventSequence(("a", "b"), (0.0, 1.0), str(number)) for number in range(10)]
        >>> log = EventLog.from_sequences([*twice, *(EventSequence(("b", "a"), (0.0, 1.0), str(n)) for n in range(10))])
        >>> counts = onset_counts(log, horizon=1.0)  # after half of all a
        >>> round(float(counts.scores()[0, 1]), 3), round(float(onset_errors(log, counts)[0, 1]), 3)
        (0.25, 0.109)
    """
    groups = min(len(log), _GROUPS)
    if groups < _FEWEST_GROUPS:
        return counts.errors()
    left_out = []
    for group in range(groups):
        part = onset_counts(log.select(np.arange(group, len(log), groups)), horizon=counts.horizon)
        rest = {name: getattr(counts, name) - getattr(part, name) for name in _ADDED}
        left_out.append(replace(counts, **rest).scores())
    errors: Table = np.maximum(counts.errors(), np.sqrt(groups - 1) * np.std(left_out, axis=0))
    return errors


@dataclass(frozen=True, eq=False)
class _Effects:
    """Different times of every type in every sequence, with the times of the same type around them.

    ``since_two`` is the time between the two before.
    """

    sequence: Indexes
    code: Indexes
    time: Times
    previous: Times
    following: Times
    since_two: Times

    @classmethod
    def of(cls, seen: EventLog) -> "_Effects":
        sequence, code = np.repeat(np.arange(len(seen)), seen.sequence_lengths), seen.codes.astype(np.int64)
        time = event_times(seen)
        order = np.lexsort((time, code, sequence))
        sequence, code, time = sequence[order], code[order], time[order]
        is_new = np.diff(sequence, prepend=-1) != 0
        is_new |= np.diff(code, prepend=-1) != 0
        kept = is_new | (np.diff(time, prepend=-np.inf) != 0)
        sequence, code, time, is_new = sequence[kept], code[kept], time[kept], is_new[kept]
        previous = np.where(is_new, -np.inf, np.roll(time, 1))
        gap = np.where(is_new, np.inf, time - previous)
        following = np.where(np.roll(is_new, -1), np.inf, np.roll(time, -1))
        return cls(sequence, code, time, previous, following, np.roll(gap, 1))
