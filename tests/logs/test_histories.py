"""Histories of places and their neighbours: what is in them, what is said of them, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.errors import EventNameError, GraphFormatError, SettingsError, TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import crowding_warning, near_types, own_events, topology_notes, with_neighbours
from hf_trace.logs.places.near_names import near_name
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.logs.windows import cut_windows

FRAME = pd.DataFrame(
    [("a", "leak", 0), ("b", "alarm", 1), ("c", "shut", 2), ("a", "stop", 3), ("b", "stop", 4), ("c", "stop", 5)],
    columns=["place", "event", "time"],
)
CHAIN = [("a", "b"), ("b", "c")]


def read(topology=CHAIN, **settings):
    columns = {"case_column": "place", "event_column": "event", "time_column": "time"}
    return read_log(FRAME, **columns, topology=topology, **settings)


def events(log):
    return {sequence.id: " ".join(sequence.events) for sequence in log}


def test_a_place_sees_its_neighbours_until_its_own_last_event():
    assert events(read()) == {
        "a": "leak <near:alarm> stop",
        "b": "<near:leak> alarm <near:shut> <near:stop> stop",
        "c": "<near:alarm> shut <near:stop> stop",
    }


def test_upstream_places_alone_are_near_where_there_is_a_direction():
    assert events(read(topology_directed=True)) == {
        "a": "leak stop",
        "b": "<near:leak> alarm <near:stop> stop",
        "c": "<near:alarm> shut <near:stop> stop",
    }


def test_neighbours_of_neighbours_are_near_by_two_hops():
    assert events(read(hops=2))["a"] == "leak <near:alarm> <near:shut> stop"
    assert (
        events(read(hops=2, topology_directed=True))["c"]
        == "<near:leak> <near:alarm> shut <near:stop> <near:stop> stop"
    )


def test_a_log_without_a_topology_reads_as_before():
    log = read(None)
    assert log.network is None
    assert own_events(log) is log
    assert not near_types(log).any()
    assert topology_notes(log) == []
    assert crowding_warning(log, 2) is None


places = st.lists(
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 9)), min_size=1, max_size=6), min_size=2, max_size=4
)


@given(places, st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3))), st.booleans())
def test_own_events_are_the_log_again_and_near_ones_those_of_neighbours(rows, pairs, directed):
    alone = EventLog.from_sequences(
        EventSequence(tuple(name for name, _ in each), tuple(sorted(float(at) for _, at in each)), str(number))
        for number, each in enumerate(rows)
    )
    joined = {pair for pair in pairs if pair[0] != pair[1] and max(pair) < len(rows)}
    if not joined:
        return
    merged = with_neighbours(alone, [(str(one), str(other)) for one, other in joined], directed=directed)
    assert own_events(merged).to_records() == alone.to_records()
    assert list(merged.event_types) == sorted(merged.event_types)
    for place, history in enumerate(merged):
        own = alone[place]
        others = {a for a, b in joined if b == place} | (set() if directed else {b for a, b in joined if a == place})
        seen = [
            (at, near_name(name))
            for other in others
            for name, at in zip(alone[other].events, alone[other].timestamps, strict=True)
            if at < own.timestamps[-1]
        ]
        near = [
            (at, name) for name, at in zip(history.events, history.timestamps, strict=True) if name.startswith("<near:")
        ]
        assert sorted(near) == sorted(seen)
        assert list(history.timestamps) == sorted(history.timestamps)


def test_labels_of_sequences_are_no_events_of_neighbours():
    frame = FRAME.assign(state="good")
    log = read_log(
        frame, case_column="place", event_column="event", time_column="time", outcome_column="state", topology=CHAIN
    )
    assert [sequence.events[-1] for sequence in log] == ["outcome:state=good"] * 3
    assert not any(name.startswith("<near:outcome") for name in log.event_types)


def test_windows_stay_histories():
    windows = cut_windows(read(), length=2)
    assert windows.network == PlaceNetwork.of(CHAIN)
    assert "<near:leak>" in windows.event_types


@pytest.mark.parametrize(
    ("frame", "topology", "error", "message"),
    [
        (FRAME, [("x", "y")], SettingsError, "The topology joins no two sequences of the log: it names 'x', 'y'"),
        (FRAME, [("a", "a")], SettingsError, "The topology joins no two sequences of the log"),
        (FRAME, np.ones((3, 4)), GraphFormatError, "got a matrix of shape (3, 4), expected a square one"),
        (FRAME, np.ones((4, 4)), GraphFormatError, "got a matrix of 4 places without names, and the log has 3"),
        (FRAME.drop(columns="time"), CHAIN, TimestampError, "The log has no times, expected some with a topology"),
        (FRAME.assign(event="<near:x>"), CHAIN, EventNameError, "The event type '<near:x>' is written as events of"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_a_line(frame, topology, error, message):
    with pytest.raises(error) as caught:
        read_log(frame, case_column="place", event_column="event", topology=topology)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_name_like_those_of_neighbours_is_a_name_without_a_topology():
    log = read_log(FRAME.assign(event="<near:x>"), case_column="place", event_column="event", time_column="time")
    assert log.event_types == ("<near:x>",)
    assert not near_types(log).any()


def test_repeats_and_self_loops_join_nothing_twice_and_unknown_places_are_told():
    log = read([*CHAIN, ("b", "a"), ("a", "a"), ("d", "e"), ("d", "a")])
    assert events(log) == events(read())
    assert topology_notes(log) == [
        "Topology: 4 joined pairs of 5 places; 6 own events, 6 events of neighbours.",
        "2 places of the topology are not in the log: 'd', 'e'",
    ]
    assert topology_notes(read([("a", "b")]))[1:] == ["1 place of the log is not in the topology: 'c'"]


def test_a_neighbourhood_larger_than_a_window_is_told():
    """In 40 of 41 events a quiet place hears its neighbour."""
    busy = EventSequence(("x",) * 40, tuple(map(float, range(40))), "busy")
    log = with_neighbours(EventLog.from_sequences([busy, EventSequence(("y",), (99.0,), "quiet")]), [("busy", "quiet")])
    assert crowding_warning(log, 41) is None
    assert crowding_warning(log, 20) == (
        "In the histories of 1 place of 2 a window of 20 events holds fewer than 4 own events: 'quiet'. Take longer "
        "windows (`--window-length`), or join fewer places."
    )
