"""What a user may give as a topology, and what of it is remembered."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.errors import GraphFormatError, HfTraceError, SettingsError
from hf_trace.logs.places.place_network import PlaceNetwork

PAIRS = (("pump", "valve"), ("tank", "valve"))
NAMES = ["pump", "tank", "valve"]
MATRIX = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
names = st.sampled_from("abcde")


@pytest.mark.parametrize(
    "source",
    [
        PAIRS,
        list(map(list, PAIRS)),
        iter(PAIRS),
        np.array(PAIRS),
        nx.DiGraph(PAIRS),
        pd.DataFrame(PAIRS, columns=["one", "other"]),
        pd.DataFrame(MATRIX, index=NAMES, columns=NAMES),
        MATRIX,
        MATRIX.astype(bool),
        PlaceNetwork(PAIRS, directed=True),
    ],
    ids=lambda source: type(source).__name__,
)
def test_every_source_says_the_same(source):
    assert PlaceNetwork.of(source, NAMES, directed=True) == PlaceNetwork(PAIRS, directed=True)


def test_places_may_be_numbers():
    assert PlaceNetwork.of([(10, 9), (3, 3)]).pairs == (("10", "9"),)


@given(st.lists(st.tuples(names, names)), st.booleans(), st.integers(1, 4))
def test_what_is_seen_is_within_as_many_steps(pairs, directed, hops):
    network = PlaceNetwork(tuple(pairs), directed, hops)
    kind = nx.DiGraph if directed else nx.Graph
    lengths = dict(nx.all_pairs_shortest_path_length(kind(list(network.pairs))))
    reached = {(one, other) for one in lengths for other in lengths[one] if 0 < lengths[one][other] <= hops}
    assert set(network.seen()) == {pair for pair in reached if directed or pair[0] < pair[1]}
    assert PlaceNetwork.from_dict(network.to_dict()) == network


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3, SettingsError, "The topology is 3, expected a file, pairs of names of places, or a square matrix."),
        ([("a", "b", "c")], SettingsError, "The topology is ('a', 'b', 'c'), expected a file"),
        (["ab"], SettingsError, "The topology is 'ab', expected a file"),
        (pd.DataFrame({"one": ["a"]}), SettingsError, "expected a file"),
        (np.ones((4, 3)), GraphFormatError, "got a matrix of shape (4, 3), expected a square one"),
    ],
)
def test_what_is_no_topology_is_refused(source, error, message):
    with pytest.raises(error) as caught:
        PlaceNetwork.of(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hops_are_counted_from_one():
    with pytest.raises(HfTraceError, match="hops is 0"):
        PlaceNetwork(PAIRS, hops=0)


def test_it_says_what_it_is():
    assert str(PlaceNetwork(PAIRS, directed=True, hops=2)) == "2 joined pairs of 3 places (the first upstream), 2 hops"
