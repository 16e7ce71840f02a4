"""F1 of summary graphs and recall by lag, counted by hand."""

import numpy as np
import pytest

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.threshold_choice import LabelledPairs, best_threshold, mean_f1, recall_by_lag


def labelled(*rows):
    """Rows (cause, effect, lag, score, whether true)."""
    columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.empty(0)] * 5
    kinds = (np.int64, np.int64, np.int64, np.float64, bool)
    return LabelledPairs(*(column.astype(kind) for column, kind in zip(columns, kinds, strict=True)))


ONE = labelled(
    (0, 1, 1, 0.9, True),
    (0, 1, 3, 0.1, True),  # the same pair of types again
    (1, 2, 1, 0.8, False),
    (2, 3, 2, 0.2, True),
    (3, 3, 1, 0.95, True),  # a self-loop
)


@pytest.mark.parametrize(
    ("threshold", "found", "right"), [(0.95, 0, 0), (0.85, 1, 1), (0.5, 2, 1), (0.15, 3, 2), (-np.inf, 3, 2)]
)
def test_f1_counts_pairs_of_types_once_and_no_self_loops(threshold, found, right):
    assert ONE.f1(ONE.score > threshold) == pytest.approx(2 * right / (found + 2))


def test_nothing_to_find():
    quiet = labelled((0, 1, 1, 0.3, False), (2, 2, 1, 0.9, True))
    assert quiet.f1(quiet.score > 0.5) == 1.0
    assert quiet.f1(quiet.score > 0.1) == 0.0
    assert labelled().f1(np.empty(0, dtype=bool)) == 1.0


def test_the_mean_is_over_sequences():
    wrong = labelled((0, 1, 1, 0.9, False))
    assert mean_f1([ONE, wrong], 0.85) == pytest.approx((2 / 3 + 0) / 2)


def test_the_best_threshold_gives_the_best_f1():
    other = labelled((0, 2, 1, 0.7, True), (1, 2, 1, 0.6, False), (2, 0, 1, np.nan, False))
    chosen = best_threshold([ONE, other])
    steps = np.unique(np.concatenate([ONE.score, other.score]))
    assert mean_f1([ONE, other], chosen) == max(mean_f1([ONE, other], value) for value in steps)
    assert mean_f1([ONE, other], chosen) > mean_f1([ONE, other], -np.inf)


def test_the_best_threshold_can_be_to_find_nothing():
    silent = labelled((0, 1, 1, 0.9, False), (1, 0, 2, 0.5, False))
    assert mean_f1([silent], best_threshold([silent])) == 1.0


def test_no_threshold_without_scores():
    with pytest.raises(ValueError, match="No pair has a finite score"):
        best_threshold([labelled((0, 1, 1, np.nan, True))])


def test_recall_by_lag_is_over_pairs_of_positions():
    found = recall_by_lag([ONE, labelled((4, 5, 1, 0.1, True))], 0.15, 4)
    assert found[:3].tolist() == pytest.approx([2 / 3, 1.0, 0.0])
    assert np.isnan(found[3])


def test_scores_meet_their_truth_and_nothing_is_true_beyond_it():
    cause, effect = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 2, 3, 2, 3, 3])
    score = np.linspace(0.1, 0.6, 6)
    truth = np.array([[True, False], [False, True], [True, False], [False, False]])
    pairs = LabelledPairs.of(np.array([7, 8, 9, 7]), PairScores(cause, effect, score, score, score), truth)
    assert pairs.cause.tolist() == [7, 7, 7, 8, 8, 9]
    assert pairs.effect.tolist() == [8, 9, 7, 9, 7, 7]
    assert pairs.lag.tolist() == [1, 2, 3, 1, 2, 1]
    assert pairs.is_true.tolist() == [True, False, False, False, True, True]
    assert pairs.score.tolist() == score.tolist()
