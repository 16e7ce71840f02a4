"""What is counted of single pairs, against loops over all events."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.report.followed_pairs import PairCounter, UsualSteps, round_horizon

GAPS = st.sampled_from([0.0, 1.0, 2.0, 5.0])
SEQUENCES = st.lists(st.lists(st.tuples(st.sampled_from("abc"), GAPS), min_size=1, max_size=8), min_size=1, max_size=4)


def log_of(sequences, *, timed=True):
    records = []
    for number, rows in enumerate(sequences):
        times = tuple(np.cumsum([gap for _, gap in rows]).tolist()) if timed else None
        records.append(EventSequence(tuple(name for name, _ in rows), times, str(number)))
    return EventLog.from_sequences(records)


def by_loops(log, cause, effect, within):
    """Shares, delays and sequences, one event after the other."""
    after, others, before, delays, carrying = [], [], [], [], set()
    for sequence in log:
        times = sequence.timestamps or range(len(sequence))
        for here, name in enumerate(sequence.events):
            later = [times[k] - times[here] for k in range(here + 1, len(sequence)) if sequence.events[k] == effect]
            follows = bool(later) and later[0] <= within
            if name == cause:
                after.append(follows)
                if follows:
                    delays.append(later[0])
                    carrying.add(sequence.id)
            elif name != effect:
                others.append(follows)
            if name == effect:
                earlier = [times[here] - times[k] for k in range(here) if sequence.events[k] == cause]
                before.append(bool(earlier) and earlier[-1] <= within)
    return after, others, before, sorted(delays), carrying


@given(SEQUENCES, st.sampled_from([0.0, 1.0, 4.0]), st.booleans())
def test_counts_are_those_of_loops(sequences, within, timed):
    log = log_of(sequences, timed=timed)
    found = PairCounter(log).count("a", "b", within=within)
    after, others, before, delays, carrying = by_loops(log, "a", "b", within)
    assert found.occurrences == len(after)
    for value, expected in ((found.followed, after), (found.otherwise, others), (found.preceded, before)):
        assert value == pytest.approx(np.mean(expected)) if expected else math.isnan(value)
    assert found.carrying == len(carrying)
    assert set(found.with_effect) <= carrying
    assert carrying.isdisjoint(found.without_effect)
    assert (found.delays is None) == (not delays)
    if delays:
        assert found.delays[0] == delays[int(0.1 * (len(delays) - 1))]
        assert found.delays[1] == delays[(len(delays) - 1) // 2]


def test_a_type_that_the_log_lacks_is_never_there():
    found = PairCounter(log_of([[("a", 0.0), ("b", 1.0)]])).count("z", "b", within=1.0)
    assert (found.occurrences, found.sequences, found.carrying, found.delays) == (0, 0, 0, None)


@given(st.floats(0, 1e9))
def test_a_named_time_is_no_shorter(seconds):
    assert round_horizon(seconds) >= min(seconds, 365 * 86_400)


def test_usual_steps_leave_repeats_out_and_end_where_they_return():
    rows = [[(name, 1.0) for name in "aabca"], [(name, 1.0) for name in "abd"]]
    usual = UsualSteps.of(log_of(rows))
    assert usual.next_of("a") == ("b", 2 / 3)
    assert usual.next_of("d") is None
    assert usual.next_of("elsewhere") is None
    assert usual.route("a") == ("b", "c")  # c or d after b, c first by name; then back to a
    assert usual.share.tolist() == [2 / 3, 0.5, 1.0, 0.0]  # one a is the last event
    # Steps: a b, b c, c a, a b, b d; all but the last are the usual ones.
    assert usual.predicts == pytest.approx(4 / 5)
    assert usual.is_workflow
