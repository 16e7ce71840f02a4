"""Own and near causes of a type are one edge that says where it acts."""

import numpy as np
import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.places_of_edges import fold_places

EVENTS = ("a", "b", "<near:a>", "<near:b>")


def edge(cause, effect, cmi, **beside):
    return {"cause": cause, "effect": effect, "cmi": cmi, **beside}


def folded(*edges, level="population", **settings):
    return fold_places(CausalGraph(level, EVENTS, edges), **settings)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([edge("a", "b", 0.2)], edge("a", "b", 0.2, place="within", within=0.2)),
        ([edge("<near:a>", "b", 0.2)], edge("a", "b", 0.2, place="between", between=0.2)),
        (
            [edge("a", "b", 0.2, gain=0.3), edge("<near:a>", "b", 0.1, gain=-0.1)],
            edge("a", "b", 0.2, gain=0.3, place="both", within=0.2, between=0.1),
        ),
    ],
)
def test_the_stronger_counts_and_the_parts_are_kept(edges, expected):
    graph = folded(*edges)
    assert graph.events == ("a", "b")
    assert graph.edges == (expected,)
    assert folded(*reversed(edges)).edges == graph.edges


def test_events_of_neighbours_are_no_effects():
    assert folded(edge("a", "<near:b>", 0.9)).edges == ()


def test_a_type_may_act_on_itself_between_places():
    found = edge("<near:a>", "a", 0.5)
    assert folded(found).edges == ()
    assert folded(found, self_loops=True).edges == (edge("a", "a", 0.5, place="between", between=0.5),)


def test_edges_between_positions_all_stay():
    found = [
        edge("a", "a", 0.5, cause_position=0, effect_position=2),
        edge("<near:a>", "a", 0.4, cause_position=1, effect_position=2),
    ]
    graph = fold_places(CausalGraph("instance", ("a", "<near:a>", "a"), tuple(found)))
    assert graph.events == ("a", "a", "a")
    places = [(each["cause"], each["place"]) for each in graph.edges]
    assert places == [("a", "within"), ("a", "between")]


def test_of_all_scores_the_higher_is_kept():
    matrix = np.array([[0, 0.1, 9, 9], [0.2, 0, 9, 9], [0.3, 0.05, 9, 9], [np.nan, np.nan, 9, 9]])
    scores = {"events": list(EVENTS), "matrix": matrix.tolist()}
    graph = fold_places(CausalGraph("population", EVENTS, (), {"scores": scores}))
    found = graph.metadata["scores"]
    assert (found["events"], found["matrix"]) == (["a", "b"], [[0.3, 0.1], [0.2, 0.0]])
    assert (found["within"], found["between"]) == ([[0.0, 0.1], [0.2, 0.0]], [[0.3, 0.05], [None, None]])


def test_a_strength_per_occurrence_is_that_of_all_occurrences():
    scores = {"events": ["a", "b", "<near:a>"], "matrix": [[0, 0.1, 0], [0, 0, 0], [0, 0.3, 0]]}
    given = CausalGraph("population", EVENTS[:3], (edge("<near:a>", "b", 0.3),), {"scores": scores})
    graph = fold_places(given, occurrences={"a": 1.0, "b": 5.0, "<near:a>": 3.0})
    (found,) = graph.edges  # (1 * 0.1 + 3 * 0.3) / 4
    assert found["cmi"] == pytest.approx(0.25)
    assert (found["place"], found["between"]) == ("between", 0.3)
    assert graph.metadata["scores"]["matrix"][0][1] == pytest.approx(0.25)


def test_files_keep_where_an_edge_acts(tmp_path):
    graph = folded(edge("a", "b", 0.2), edge("<near:a>", "b", 0.1))
    for suffix in (".json", ".parquet", ".graphml"):
        graph.save(tmp_path / f"graph{suffix}")
        (found,) = CausalGraph.load(tmp_path / f"graph{suffix}").edges
        assert (found["place"], found["within"], found["between"]) == ("both", 0.2, 0.1)
