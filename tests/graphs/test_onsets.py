"""Onsets counted by the definition, event by event, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import SettingsError
from hf_trace.graphs.near_events import first_place, pairs_in_parts
from hf_trace.graphs.onsets import OnsetCounts, onset_counts
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology
from hf_trace.logs.sequence import EventSequence

NAMES = "abc"


def log_of(*sequences):
    return EventLog.from_sequences(
        EventSequence(tuple(events), tuple(map(float, times)), str(number))
        for number, (events, times) in enumerate(sequences)
    )


def counted(log, horizon, neighbours=None):
    """F, B and P by the definition: every cause against every event of its place and the neighbours of it."""
    size = len(log.event_types)
    begins, before, follows = (np.zeros((size, size), int) for _ in range(3))
    owner = np.repeat(np.arange(len(log)), log.sequence_lengths)
    for cause, time, place in zip(log.codes, log.timestamps, owner, strict=True):
        near = np.isin(owner, [place, *(neighbours or {}).get(place, ())])
        for effect in range(size):
            distances = log.timestamps[near & (log.codes == effect)] - time
            later = ((distances > 0) & (distances <= horizon)).any()
            earlier = ((distances < 0) & (distances >= -horizon)).any()
            begins[cause, effect] += later and not earlier
            before[cause, effect] += earlier
            follows[cause, effect] += later
    return begins, before, follows


SEQUENCE = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 12)), max_size=10)


@settings(max_examples=50)
@given(st.lists(SEQUENCE, min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 3.0, 20.0]), st.booleans())
def test_counts_are_those_of_the_definition(sequences, horizon, is_joined):
    ordered = [sorted(sequence, key=lambda pair: pair[1]) for sequence in sequences]
    log = log_of(*(([name for name, _ in each], [time for _, time in each]) for each in ordered))
    joined = is_joined and len(sequences) > 1
    topology = Topology(np.array([[0, 1]]), len(log)) if joined else None
    found = onset_counts(log, horizon=horizon, topology=topology)
    begins, before, follows = counted(log, horizon, {0: [1], 1: [0]} if joined else None)
    np.testing.assert_array_equal(found.begins, begins)
    np.testing.assert_array_equal(found.before, before)
    np.testing.assert_array_equal(found.follows, follows)
    assert (found.only_before() >= 0).all()


def test_a_chain_by_hand():
    log = log_of(("abab", (0, 1, 10, 11)), ("b", (0,)))
    found = onset_counts(log, horizon=1.0)
    assert found.begins.tolist() == [[0, 2], [0, 0]]  # b begins after both a
    assert found.before.tolist() == [[0, 0], [2, 0]]
    assert found.confidence().tolist() == [[0, 1], [0, 0]]
    assert found.scores()[0, 1] == pytest.approx(2 / 2 * 3 / 4)


def test_the_ends_of_the_windows():
    at_the_end = onset_counts(log_of(("ab", (0, 2))), horizon=2.0)
    assert at_the_end.begins[0, 1] == at_the_end.before[1, 0] == 1
    beyond = onset_counts(log_of(("ab", (0, 2.5))), horizon=2.0)
    assert beyond.begins.sum() == beyond.before.sum() == 0
    together = onset_counts(log_of(("ab", (0, 0))), horizon=2.0)
    assert together.follows.sum() == together.before.sum() == 0


def test_rounded_times_end_where_their_difference_says():
    times = (0.1, 0.1 + 0.2)  # 0.30000000000000004 - 0.1 is more than 0.2
    assert onset_counts(log_of(("ab", times)), horizon=0.2).begins.sum() == int(times[1] - times[0] <= 0.2)


def test_an_effect_that_was_there_does_not_begin():
    found = onset_counts(log_of(("bab", (0, 1, 2))), horizon=1.0)
    assert (found.begins[0, 1], found.before[0, 1], found.follows[0, 1]) == (0, 1, 1)


def test_a_type_after_itself_begins_once_in_a_burst():
    found = onset_counts(log_of(("aaa", (0, 1, 2))), horizon=1.0)
    assert (found.begins[0, 0], found.before[0, 0], found.only_before()[0, 0]) == (1, 2, 1)
    assert not found.edges().any()


def test_without_times_positions_are_times():
    log = EventLog.from_sequences([EventSequence(tuple("acb"))])
    assert onset_counts(log, horizon=1.0).begins[0].tolist() == [0, 0, 1]
    assert onset_counts(log, horizon=2.0).begins[0].tolist() == [0, 1, 1]


def test_a_neighbour_is_an_effect_only_with_a_topology():
    log = log_of(("a", (0,)), ("b", (1,)), ("b", (1,)))
    assert onset_counts(log, horizon=2.0).begins.sum() == 0
    joined = Topology(np.array([[0, 1]]), 3)
    assert onset_counts(log, horizon=2.0, topology=joined).begins.tolist() == [[0, 1], [0, 0]]


def test_edges_by_hand():
    """Of 20 a 18 are followed by b, which 20 other events are not; the chance of b after any event is 18/60."""
    begins, before = np.array([[0, 18, 0], [0, 0, 0], [0, 0, 0]]), np.array([[0, 0, 0], [18, 0, 0], [0, 0, 0]])
    counts = OnsetCounts(begins, before, begins, np.array([20, 20, 20]), 1.0)
    assert np.argwhere(counts.edges()).tolist() == [[0, 1]]
    backwards = OnsetCounts(begins, begins + before, begins, np.array([20, 20, 20]), 1.0)
    assert not backwards.edges().any()


def test_too_many_types_are_refused():
    log = EventLog.from_sequences([EventSequence(tuple(map(str, range(5001))))])
    with pytest.raises(SettingsError) as caught:
        onset_counts(log, horizon=1.0)
    assert str(caught.value) == (
        "The log has 5,001 event types, expected at most 5,000, of which all pairs are counted. Name a coarser event "
        "column, or keep fewer rows with a query."
    )


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=4), st.integers(-3, 3), st.booleans())
def test_first_place_is_a_search_in_each_span(spans, shift, above):
    spans = list(map(sorted, spans))
    ends = np.cumsum([0, *map(len, spans)])
    times = np.array([time for span in spans for time in span], dtype=float)
    found = first_place(times, ends[:-1], ends[1:], np.full(len(spans), 5.0), float(shift), above=above)
    side = "right" if above else "left"
    expected = [ends[i] + np.searchsorted(span, 5 + shift, side=side) for i, span in enumerate(spans)]
    assert found.tolist() == expected


def test_pairs_come_in_parts_of_bounded_size(monkeypatch):
    monkeypatch.setattr("hf_trace.graphs.near_events._MOST_PAIRS", 4)
    starts, stops = np.array([0, 5, 2, 9, 1]), np.array([3, 5, 8, 8, 2])
    parts = list(pairs_in_parts(starts, stops))
    assert max(len(rows) for _, rows, _ in parts) == 6  # one row is never cut
    pairs = [pair for _, rows, places in parts for pair in zip(rows.tolist(), places.tolist(), strict=True)]
    assert pairs == [(row, place) for row in range(5) for place in range(starts[row], stops[row])]
    assert [(part.start, part.stop) for part, _, _ in parts][-1][1] == 5
