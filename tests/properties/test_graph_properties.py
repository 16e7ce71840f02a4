import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import compare_graphs, structural_hamming_distance
from hf_trace.logs.log import EventLog

NAMES = st.text(max_size=8) | st.text(alphabet="\\u0041\r\n\t\x00\x01\x85,\"' ;&<", max_size=8)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "cmi": st.floats(0, 10),
        "lags": st.lists(st.integers(1, 9)),
        "direction": st.sampled_from(["excites", "inhibits"]),
        "note": VALUES,
        "nested": st.dictionaries(NAMES, VALUES, max_size=2),
    },
)


@st.composite
def graph_parts(draw, min_name=0):
    names = draw(st.lists(NAMES.filter(lambda name: len(name) >= min_name), min_size=1, max_size=5, unique=True))
    pairs = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=6, unique=True))
    edges = tuple({"cause": cause, "effect": effect, **draw(EXTRAS)} for cause, effect in pairs)
    level = draw(st.sampled_from(["summary", "population"]))
    # Parts, not graphs: the type checker of the tests uses `random`, which strategies must not.
    return (level, tuple(names), edges, draw(st.dictionaries(NAMES, VALUES, max_size=2)))


def written_and_read(graph, suffix):
    with tempfile.TemporaryDirectory() as folder:
        graph.save(Path(folder) / f"g{suffix}")
        return CausalGraph.load(Path(folder) / f"g{suffix}")


@given(graph_parts())
def test_dict_round_trip(parts):
    graph = CausalGraph(*parts)
    assert CausalGraph.from_dict(graph.to_dict()) == graph


@settings(deadline=None)
@pytest.mark.parametrize("suffix", [".json", ".graphml"])
@given(parts=graph_parts())
def test_files_keep_everything(suffix, parts):
    graph = CausalGraph(*parts)
    assert written_and_read(graph, suffix) == graph


@settings(deadline=None)
@given(graph_parts(min_name=1))
def test_csv_keeps_edges(parts):
    graph = CausalGraph(*parts)
    found = written_and_read(graph, ".csv")
    by_ends = {(edge["cause"], edge["effect"]): edge for edge in found.edges}
    assert by_ends == {(edge["cause"], edge["effect"]): edge for edge in graph.edges}


ADJACENCY = st.integers(0, 2**9 - 1).map(
    lambda bits: np.array([bits >> i & 1 for i in range(9)], dtype=bool).reshape(3, 3)
)


@given(ADJACENCY, ADJACENCY, ADJACENCY)
def test_structural_hamming_distance_is_a_metric(one, two, three):
    def distance(a, b):
        return structural_hamming_distance(a, b, self_loops=True)

    assert (distance(one, two) == 0) == np.array_equal(one, two)
    assert distance(one, two) == distance(two, one)
    assert distance(one, three) <= distance(one, two) + distance(two, three)


@given(ADJACENCY, ADJACENCY, st.permutations(["x", "y", "z"]))
def test_renaming_types_changes_no_score(truth, predicted, new):
    def named(adjacency, names):
        return CausalGraph.from_edges([(names[i], names[j]) for i, j in np.argwhere(adjacency)], sorted(names))

    old = ["x", "y", "z"]
    before = compare_graphs(named(predicted, old), named(truth, old)).to_dict()
    assert compare_graphs(named(predicted, new), named(truth, new)).to_dict() == before


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=5),
    st.permutations(range(4)),
    st.integers(1, 7),
)
@pytest.mark.parametrize("name", BASELINES)
def test_renaming_types_permutes_baselines(name, sequences, new, max_lag):
    codes = np.array([code for sequence in sequences for code in sequence], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, sequences)])
    order = np.array(new, dtype=np.int32)
    before, after = (
        BASELINES[name](
            EventLog(tuple("wxyz"), which, offsets, None, tuple(map(str, range(len(sequences))))),
            CountingSettings(max_lag),
        ).scores
        for which in (codes, order[codes])
    )
    np.testing.assert_allclose(after[np.ix_(order, order)], before, atol=1e-12)
