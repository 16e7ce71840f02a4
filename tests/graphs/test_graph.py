import dataclasses

import numpy as np
import pytest

from hf_trace.errors import EventNameError, GraphFormatError, UnknownEventError
from hf_trace.graphs.graph import CausalGraph

AB = {"cause": "a", "effect": "b"}


@pytest.fixture
def instance():
    edge = AB | {"cause_position": 0, "effect_position": 2, "lag": 2, "cmi": 0.4, "direction": "excites"}
    return CausalGraph("instance", ("a", "a", "b"), (edge,), {"seed": 0})


@pytest.fixture
def summary():
    edges = (AB | {"cmi": 0.2, "lags": [1]}, {"cause": "b", "effect": "c", "cmi": 0.7, "lags": [2]})
    return CausalGraph("summary", ("a", "b", "c"), edges)


def test_nodes_of_each_level(instance, summary):
    assert instance.nodes == (0, 1, 2)
    assert summary.nodes == ("a", "b", "c")
    assert repr(instance) == "CausalGraph(level='instance', nodes=3, edges=1)"


def test_matrices_read_cause_to_effect(instance, summary):
    assert np.argwhere(instance.adjacency()).tolist() == [[0, 2]]
    assert summary.adjacency().tolist() == [[False, True, False], [False, False, True], [False, False, False]]
    assert summary.matrix().tolist() == [[0.0, 0.2, 0.0], [0.0, 0.0, 0.7], [0.0, 0.0, 0.0]]


def test_networkx_keeps_nodes_and_records(instance, summary):
    network = instance.to_networkx()
    assert dict(network.nodes(data="event")) == {0: "a", 1: "a", 2: "b"}
    assert network.edges[0, 2]["cmi"] == 0.4
    assert list(summary.to_networkx().edges) == [("a", "b"), ("b", "c")]


def test_frame_has_a_row_per_edge(summary):
    assert summary.to_frame().to_dict("records") == list(summary.edges)
    assert CausalGraph.from_edges([], ["a"]).to_frame().columns.tolist() == ["cause", "effect"]


def test_strongest_keeps_all_nodes(summary):
    assert [edge["cause"] for edge in summary.strongest(1).edges] == ["b"]
    assert summary.strongest(1).events == summary.events
    assert summary.strongest(9) == summary
    assert len(summary.strongest(0)) == 0


def test_order_of_edges_does_not_matter(summary):
    assert CausalGraph("summary", summary.events, summary.edges[::-1]) == summary


def test_numpy_values_become_plain_and_nan_becomes_none():
    edge = AB | {"cmi": np.float32(0.5), "lags": np.array([1, 2]), "p": float("nan"), "n": np.int64(3)}
    graph = CausalGraph("summary", ("a", "b"), (edge,))
    assert graph.edges == (AB | {"cmi": 0.5, "lags": [1, 2], "p": None, "n": 3},)
    assert type(graph.edges[0]["n"]) is int


def test_dict_is_a_copy(summary):
    document = summary.to_dict()
    document["edges"][0]["lags"].append(9)
    assert summary.edges[0]["lags"] == [1]
    assert (document["format"], document["version"]) == ("hf_trace.causal_graph", 1)


def test_from_edges_counts_repeats_once_and_keeps_lonely_types():
    graph = CausalGraph.from_edges([("b", "a"), ("b", "a")], ["a", "b", "c"])
    assert graph.events == ("a", "b", "c")
    assert len(graph) == 1


def test_is_frozen(summary):
    with pytest.raises(dataclasses.FrozenInstanceError):
        summary.level = "instance"


AT = {"cause_position": 0, "effect_position": 1}


@pytest.mark.parametrize(
    ("level", "events", "edge", "error", "message"),
    [
        (
            "summary", ("a",), AB, UnknownEventError,
            "The effect of the edge 'a' -> 'b' is not one of the 1 events of the graph. "
            "Add it to `events`, or correct the edge.",
        ),
        ("summary", ("a", "b"), {"cause": "a"}, GraphFormatError, "An edge lacks 'effect'; it has 'cause'."),
        (
            "instance", ("a", "b"), AB, GraphFormatError,
            "An edge lacks 'cause_position', 'effect_position'; it has 'cause', 'effect'.",
        ),
        (
            "instance", ("a", "b"), AB | AT | {"effect_position": 2}, GraphFormatError,
            "The edge 'a' -> 'b' has `effect_position` 2. Expected 0 to 1.",
        ),
        (
            "instance", ("a", "a", "b"), AB | AT, GraphFormatError,
            "The edge 'a' -> 'b' has `effect_position` 1, where the event is 'a'.",
        ),
        (
            "instance", ("b", "a"), {"cause": "a", "effect": "b", "cause_position": 1, "effect_position": 0},
            GraphFormatError,
            "The edge 'a' -> 'b' goes from position 1 to 0. Expected the cause before the effect.",
        ),
        (
            "summary", ("a", "b"), AB | {"when": {1}}, GraphFormatError,
            "Got {1} of type set in a graph. Expected numbers, text, lists and mappings.",
        ),
        (
            "summary", ("a", "a"), AB, GraphFormatError,
            "Got event types more than once: 'a'. Expected every type once; "
            'for positions use level="instance".',
        ),
        (
            "summary", ("a", "\ud83d"), AB, EventNameError,
            "Got the event '\\ud83d' at 1, which holds half of a character. Read the log as UTF-8.",
        ),
    ],
)  # fmt: skip
def test_refused(level, events, edge, error, message):
    with pytest.raises(error) as caught:
        CausalGraph(level, events, (edge,))
    assert type(caught.value) is error
    assert str(caught.value) == message


def test_repeated_edge():
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph("summary", ("a", "b"), (AB, AB))
    assert str(caught.value) == (
        "The edge 'a' -> 'b' is given more than once. Expected one record per pair; put several lags in its `lags`."
    )


def test_matrix_of_a_key_that_is_missing():
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph("summary", ("a", "b"), (AB,)).matrix()
    assert str(caught.value) == (
        "The edge 'a' -> 'b' has no number `cmi`; it has 'cause', 'effect'. Name a numeric key, or use `adjacency()`."
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"level": "summary"}, "A causal graph lacks 'events', 'edges'; got 'level'."),
        ({"format": "gexf"}, "Got a document of format 'gexf'. Expected 'hf_trace.causal_graph'."),
        ({"version": 2}, "Got a graph of version 2; this hf_trace reads up to 1. Update hf_trace."),
        (
            {"level": "window", "events": [], "edges": []},
            "level is 'window', expected one of: instance, summary, population.",
        ),
        (
            {"level": "summary", "events": [], "edges": [["a", "b"]]},
            "Got the edge ['a', 'b']. Expected a mapping with `cause` and `effect`; for pairs use `from_edges`.",
        ),
    ],
)
def test_document_refused(document, message):
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph.from_dict(document)
    assert str(caught.value) == message


def test_pair_of_three():
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph.from_edges([("a", "b", "c")])
    assert str(caught.value) == "Got the edge ('a', 'b', 'c'). Expected two names, (cause, effect)."
