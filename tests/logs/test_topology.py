"""Which sequences are joined, and what each sees of its neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology
from hf_trace.logs.sequence import EventSequence


def log_of(*times, ids="0123"):
    """Every event is of the type that its sequence is numbered."""
    return EventLog.from_sequences(
        EventSequence((str(number),) * len(each), tuple(map(float, each)), name)
        for number, (each, name) in enumerate(zip(times, ids, strict=False))
    )


def test_all_sequences_of_a_name_are_joined():
    log = log_of([0], [1], [2], [3], ids=["x", "y", "x", "z"])
    assert Topology.of_log(log, [("y", "x")]).joined.tolist() == [[0, 1], [1, 2]]


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=5).map(sorted), min_size=2, max_size=4),
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1),
)
def test_merged_is_what_each_place_and_its_neighbours_saw(times, pairs):
    log = log_of(*times)
    edges = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1] and max(pair) < len(times)})
    topology = Topology(np.array(edges, dtype=np.int64).reshape(-1, 2), len(times))
    seen, origin = topology.merged(log)
    assert seen.ids == log.ids
    for place in range(len(times)):
        neighbours = [a + b - place for a, b in edges if place in (a, b)]
        # Own events first among those of one time.
        expected = sorted((time, other != place, other) for other in (place, *neighbours) for time in times[other])
        span = slice(seen.offsets[place], seen.offsets[place + 1])
        assert seen.timestamps[span].tolist() == [time for time, *_ in expected]
        found = list(zip(seen.timestamps[span].tolist(), (origin[span] != place).tolist(), strict=True))
        assert found == [(time, is_near) for time, is_near, _ in expected]
        assert [seen.event_types[code] for code in seen.codes[span]] == [str(number) for number in origin[span]]
        assert topology.sizes()[place] == 1 + len(neighbours)
    assert topology.unjoined().tolist() == [place for place in range(len(times)) if topology.sizes()[place] == 1]


@pytest.mark.parametrize(
    ("pairs", "named"),
    [([("pump1", "valve")], "'pump1', 'valve'"), ([("pump-1", "pump-1")], "'pump-1'"), ([], "nothing")],
)
def test_a_topology_of_other_names_is_refused(pairs, named):
    log = log_of([0], [1], ids=["pump-1", "valve-2"])
    with pytest.raises(SettingsError) as caught:
        Topology.of_log(log, pairs)
    assert str(caught.value).startswith(
        f"The topology joins no two sequences of the log: it names {named}, the log has 'pump-1', 'valve-2'. Expected "
        "the names of the log's sequences (its case column) in both columns."
    )
    assert str(caught.value).endswith(" Did you mean 'pump-1'?" if pairs else "in both columns.")


def test_too_large_neighbourhoods_are_refused(monkeypatch):
    monkeypatch.setattr("hf_trace.logs.places.topology._MOST_EVENTS", 3)
    with pytest.raises(SettingsError) as caught:
        Topology(np.array([[0, 1]]), 2).merged(log_of([0], [1]))
    assert str(caught.value) == (
        "Neighbourhoods of this topology hold 4 events, expected at most 3. Join fewer places, or analyse a part of "
        "the log."
    )


def test_a_topology_belongs_to_a_log():
    with pytest.raises(ValueError, match="The topology is of 3 sequences and the log has 1"):
        Topology(np.array([[0, 2]]), 3).merged(log_of([0]))
