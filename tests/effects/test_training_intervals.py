"""Intervals of plug-in answers against a jackknife by hand and against repeated tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.doubly_robust import jackknife
from hf_trace.effects.training_intervals import intervals_of_answers, training_interval


@given(st.lists(st.floats(0.05, 0.95), min_size=2, max_size=8), st.floats(0, 1))
def test_each_value_has_the_interval_of_the_jackknife(shares, whole):
    left_out = np.stack([shares, 1 - np.array(shares)], axis=1)
    found = training_interval(left_out, np.array([whole, 1 - whole]))
    by_hand = jackknife(np.array(shares), whole)
    assert found.low[0] == pytest.approx(max(by_hand.low, 0), abs=1e-9)
    assert found.high[0] == pytest.approx(min(by_hand.high, 1), abs=1e-9)
    assert ((found.low >= 0) & (found.high <= 1)).all()


def test_a_mean_has_the_interval_of_its_own_jackknife():
    left_out, whole = np.array([[0.2, 0.8, 0.0], [0.4, 0.5, 0.1]]), np.array([0.3, 0.6, 0.1])
    low, high = training_interval(left_out, whole).of_mean(np.array([0.0, 10.0, np.nan]))
    means, reach = np.array([8.0, 5 / 0.9]), t.ppf(0.975, 1)
    error = np.sqrt(((means - means.mean()) ** 2).sum() / 2)  # (k - 1) / k of the sum, k = 2
    assert (low, high) == pytest.approx((6 / 0.9 - reach * error, 6 / 0.9 + reach * error))


def test_shares_counted_without_each_fold_hold_the_truth_as_often_as_they_should():
    rng, held, tables, rows, folds = np.random.default_rng(0), 0, 400, 500, 5
    for _ in range(tables):
        seen = rng.random(rows) < 0.3
        parts = seen.reshape(folds, -1)
        left_out = (seen.sum() - parts.sum(axis=1)) / (rows - rows / folds)
        found = training_interval(np.stack([left_out, 1 - left_out], axis=1), np.array([seen.mean(), 1 - seen.mean()]))
        held += bool(found.low[0] <= 0.3 <= found.high[0])
    assert held / tables == pytest.approx(0.95, abs=0.03)  # three standard errors


def test_without_folds_there_is_none():
    assert intervals_of_answers([], [], AnswerSettings()) == []
