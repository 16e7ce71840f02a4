import json
import math

import numpy as np
import pytest

from hf_trace.errors import GraphFormatError, NonFiniteError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import compare_graphs, precision_recall_f1, score_graph, structural_hamming_distance

# Truth a->b, a->c, b->c; predicted a->b and c->b.
TRUTH = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
PREDICTED = np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0]])


def test_hand_computed_scores():
    found = score_graph(TRUTH, PREDICTED)
    assert (found.precision, found.recall) == (1 / 2, 1 / 3)
    assert found.f1 == pytest.approx(0.4)
    assert found.shd == 2  # add a->c, reverse c->b
    assert found.base_rate == 1 / 2
    assert found.predict_all_f1 == pytest.approx(2 / 3)


def test_diagonal_counts_only_on_request():
    loops = PREDICTED + np.eye(3, dtype=int)
    assert score_graph(TRUTH, loops) == score_graph(TRUTH, PREDICTED)
    assert precision_recall_f1(TRUTH, loops, self_loops=True).precision == 1 / 5
    assert structural_hamming_distance(TRUTH, loops, self_loops=True) == 5


@pytest.mark.parametrize(
    ("truth", "predicted", "distance"),
    [("", "", 0), ("ab", "ba", 1), ("ab", "ab ba", 1), ("", "ab ba", 2), ("ab", "", 1), ("ab ba", "ab ba", 0)],
)
def test_structural_hamming_distance_of_one_pair(truth, predicted, distance):
    def matrix(text):
        return np.array([[False, "ab" in text], ["ba" in text, False]])

    assert structural_hamming_distance(matrix(truth), matrix(predicted)) == distance


def test_nothing_predicted():
    none = np.zeros((3, 3))
    assert precision_recall_f1(TRUTH, none) == (0.0, 0.0, 0.0)
    assert precision_recall_f1(none, PREDICTED) == (0.0, 0.0, 0.0)
    assert precision_recall_f1(none, none) == (1.0, 1.0, 1.0)


def test_ranks_by_brute_force():
    rng = np.random.default_rng(0)
    truth, scores = rng.random((6, 6)) < 0.3, rng.integers(0, 4, (6, 6)).astype(float)
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    edges = [scores[p] for p in pairs if truth[p]]
    others = [scores[p] for p in pairs if not truth[p]]
    wins = sum((e > o) + 0.5 * (e == o) for e in edges for o in others)
    found = score_graph(truth, truth, scores)
    assert found.auroc == pytest.approx(wins / (len(edges) * len(others)))
    # Average precision: precision at every score level, weighted by the recall gained there.
    levels = sorted(set(edges), reverse=True)
    precisions = [sum(e >= s for e in edges) / sum(v >= s for v in edges + others) for s in levels]
    gains = [sum(e == s for e in edges) / len(edges) for s in levels]
    assert found.auprc == pytest.approx(sum(p * g for p, g in zip(precisions, gains, strict=True)))


def test_ranks_without_contrast_are_nan():
    for truth in (np.zeros((2, 2)), np.ones((2, 2))):
        found = score_graph(truth, truth)
        assert math.isnan(found.auroc)
        assert math.isnan(found.auprc)


def test_scores_that_are_not_finite():
    scores = np.array([[0.0, np.nan, np.inf], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    with pytest.raises(NonFiniteError) as caught:
        score_graph(TRUTH, TRUTH, scores)
    assert str(caught.value) == (
        "2 of 6 scores are NaN or infinite. Give every pair a finite score; use the lowest for pairs "
        "that were not tested."
    )


def test_matrices_that_are_not_square():
    with pytest.raises(GraphFormatError) as caught:
        precision_recall_f1(np.zeros((2, 3)), np.zeros((2, 3)))
    assert str(caught.value) == (
        "Got matrices of shape (2, 3) and (2, 3). Expected two square ones of one size, [cause, effect]."
    )


def graph(*edges, events=None, metadata=None):
    records = tuple({"cause": c, "effect": e, "cmi": s} for c, e, s in edges)
    names = events or tuple(dict.fromkeys(n for c, e, _ in edges for n in (c, e)))
    return CausalGraph("summary", names, records, metadata or {})


def test_graphs_are_aligned_by_name():
    predicted = graph(("c", "b", 0.5), ("a", "b", 0.2), events=("c", "b", "a"))
    truth = CausalGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")])
    found = compare_graphs(predicted, truth)
    assert (found.scores.f1, found.scores.shd) == (pytest.approx(0.4), 2)
    assert (found.n_types, found.n_true_edges, found.n_predicted_edges) == (3, 3, 2)
    assert found.ranked_by == "edges"
    # a->b (.2) beats ba and ca, ties none, loses to c->b; a->c and b->c tie ba and ca: (2 + 1 + 1) / 9.
    assert found.scores.auroc == pytest.approx(4 / 9)


def test_types_of_one_graph_only_are_reported():
    found = compare_graphs(graph(("a", "x", 0.5)), CausalGraph.from_edges([("a", "b")]))
    assert (found.n_types, found.only_predicted, found.only_true) == (3, ("x",), ("b",))
    assert found.scores.base_rate == 1 / 6
    assert found.scores.shd == 2


def test_recorded_scores_are_ranked_and_untested_pairs_come_last():
    truth = CausalGraph.from_edges([("a", "b"), ("b", "c")])
    matrix = [[None, 0.4, 0.1], [0.05, None, 0.3], [None, 0.02, None]]
    metadata = {"scores": {"events": ["a", "b", "c"], "matrix": matrix}}
    found = compare_graphs(graph(("a", "b", 0.4), events=("a", "b", "c"), metadata=metadata), truth)
    assert found.ranked_by == "scores"
    assert (found.scores.auroc, found.scores.auprc) == (1.0, 1.0)
    assert found.scores.recall == 0.5


def test_edges_without_strength_rank_as_edges():
    truth = CausalGraph.from_edges([("a", "b")])
    assert compare_graphs(truth, truth).scores.auroc == 1.0
    assert compare_graphs(graph(("a", "b", 0.0)), truth).scores.f1 == 1.0


def test_instance_graphs_compare_as_types():
    edges = tuple(
        {"cause": "a", "effect": "b", "cause_position": p, "effect_position": p + 1, "cmi": 0.1} for p in (0, 2)
    )
    found = compare_graphs(CausalGraph("instance", ("a", "b", "a", "b"), edges), CausalGraph.from_edges([("a", "b")]))
    assert (found.n_types, found.n_predicted_edges, found.scores.f1) == (2, 1, 1.0)


def test_baselines_claim_as_many_edges_as_the_graph():
    predicted = graph(("c", "b", 0.5), ("a", "b", 0.2), events=("c", "b", "a"))
    truth = CausalGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")])
    # In the order c, b, a: the two strongest are b->c and a->b, both true.
    counts = np.array([[9.0, 0.1, 0.2], [0.9, 9.0, 0.3], [0.4, 0.8, 9.0]])
    found = compare_graphs(predicted, truth, baselines={"lift": counts})
    assert found.baselines["lift"].precision == 1.0
    assert found.baselines["lift"].recall == pytest.approx(2 / 3)
    assert found.baselines["lift"].auroc == 1.0
    rows = found.table_rows()
    assert [row["graph"] for row in rows] == ["predicted", "lift", "every edge"]
    assert rows[2]["f1"] == pytest.approx(2 / 3)
    assert rows[2]["shd"] == 3


def test_dict_is_json_without_nan():
    document = compare_graphs(graph(("a", "b", 0.5)), CausalGraph.from_edges([], ["a", "b"])).to_dict()
    assert document["auroc"] is None
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_scores_that_do_not_fit():
    truth = CausalGraph.from_edges([("a", "b")])
    with pytest.raises(GraphFormatError) as caught:
        compare_graphs(truth, truth, baselines={"lift": np.zeros((3, 3))})
    assert str(caught.value) == (
        "The baseline 'lift' is a matrix of shape (3, 3). Expected a row and a column per event type."
    )
    wrong = graph(("a", "b", 1.0), metadata={"scores": {"events": ["a", "z"], "matrix": [[0, 0], [0, 0]]}})
    with pytest.raises(GraphFormatError) as caught:
        compare_graphs(wrong, truth)
    assert str(caught.value) == (
        "The `scores` of the graph is a matrix with events the graphs lack, 'z'. "
        "Expected a row and a column per event type."
    )
