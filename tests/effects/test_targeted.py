"""Targeted estimates: against stratified means, AIPW, an enumeration of populations, and where outcomes are bounded."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.effects.doubly_robust import Rows, aipw_ate, aipw_att
from hf_trace.effects.targeted import overlap_ate, tmle_ate, tmle_att, trimmed
from hf_trace.errors import OverlapError

SHARES = np.array([0.5, 0.3, 0.2])
CHANCES = np.array([0.5, 0.2, 0.06])
EFFECTS = np.array([1.0, 2.0, 4.0])


def drawn(rng, count):
    """Three groups, of which the last is hardly ever treated; outcomes are 0 or exponential."""
    group = rng.choice(3, count, p=SHARES)
    treated = rng.random(count) < CHANCES[group]
    mean = 1.0 + group + EFFECTS[group] * treated
    outcome = np.where(rng.random(count) < 0.5, rng.exponential(2 * mean), 0.0)
    return group, treated, outcome


def rows_of(group, treated, outcome, chances=None, means=None):
    chance = CHANCES[group] if chances is None else chances
    if means is None:
        means = np.stack([1.0 + group + EFFECTS[group], 1.0 + group], axis=1)
    return Rows(treated, ~treated, outcome, np.stack([chance, 1 - chance], axis=1), means)


def stratified(group, treated, outcome):
    """Mean of each arm in each group, and how many are in the group and treated."""
    cells = [[outcome[(group == each) & (treated == arm)].mean() for arm in (True, False)] for each in range(3)]
    return np.array(cells), np.bincount(group), np.bincount(group, treated)


def test_saturated_propensities_give_the_stratified_difference_whatever_the_means():
    group, treated, outcome = drawn(np.random.default_rng(0), 4000)
    cells, counts, of_treated = stratified(group, treated, outcome)
    rows = rows_of(group, treated, outcome, (of_treated / counts)[group], cells[group])
    differences = cells[:, 0] - cells[:, 1]
    assert tmle_ate(rows).value == pytest.approx(np.average(differences, weights=counts))
    assert tmle_att(rows).value == pytest.approx(np.average(differences, weights=of_treated))
    assert tmle_ate(rows).means == pytest.approx(np.average(cells, axis=0, weights=counts))
    variances = counts * (of_treated / counts) * (1 - of_treated / counts)
    assert overlap_ate(rows).value == pytest.approx(np.average(differences, weights=variances))
    assert overlap_ate(rows, targeted=True).value == pytest.approx(np.average(differences, weights=variances))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_aipw_has_nothing_left_to_correct_and_means_stay_in_range(seed):
    rng = np.random.default_rng(seed)
    group, treated, outcome = drawn(rng, 300)
    wrong = rng.uniform(outcome.min(), outcome.max(), (300, 2))
    found = tmle_ate(rows_of(group, treated, outcome, means=wrong))
    assert outcome.min() <= min(found.means) <= max(found.means) <= outcome.max()
    assert found.value == pytest.approx(found.means[0] - found.means[1])
    scaled = tmle_ate(rows_of(group, treated, 7 * outcome, means=7 * wrong))
    assert (scaled.value, scaled.standard_error) == pytest.approx((7 * found.value, 7 * found.standard_error), rel=1e-6)


def test_wild_weights_do_not_lead_out_of_the_range():
    treated = np.arange(100) < 20
    outcome = np.where(treated, 1.0, np.arange(100) % 2)
    rows = Rows(treated, ~treated, outcome, np.tile([0.001, 0.999], (100, 1)), np.full((100, 2), 0.1))
    assert not 0 <= aipw_ate(rows).means[0] <= 1
    assert 0 <= tmle_ate(rows).means[0] <= 1


@pytest.mark.parametrize(
    ("estimator", "truth"),
    [
        (tmle_ate, SHARES @ EFFECTS),
        (tmle_att, np.average(EFFECTS, weights=SHARES * CHANCES)),
        (overlap_ate, np.average(EFFECTS, weights=SHARES * CHANCES * (1 - CHANCES))),
        (lambda rows: overlap_ate(rows, targeted=True), np.average(EFFECTS, weights=SHARES * CHANCES * (1 - CHANCES))),
    ],
)
def test_the_interval_covers_the_truth(estimator, truth):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        group, treated, outcome = drawn(rng, 3000)
        chances = np.bincount(group, treated) / np.bincount(group)
        found.append(estimator(rows_of(group, treated, outcome, chances[group])))
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.91 <= covered <= 0.985
    spread = np.std([each.value for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.15)


def test_one_wrong_model_does_no_harm():
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(200):
        group, treated, outcome = drawn(rng, 2000)
        rows = rows_of(group, treated, outcome, means=np.full((2000, 2), 2.0))
        errors.append([tmle_ate(rows).value - SHARES @ EFFECTS, aipw_att(rows).value - tmle_att(rows).value])
    bias = np.mean(errors, axis=0) / (np.std(errors, axis=0) / np.sqrt(len(errors)))
    assert np.abs(bias[0]) < 4


def test_trimming_keeps_the_largest_set_that_the_rule_allows():
    rng = np.random.default_rng(3)
    chance = rng.beta(0.4, 4, 500)
    kept = trimmed(rows_of(np.zeros(500, dtype=int), rng.random(500) < 0.5, rng.random(500), chance)).weights > 0
    cost = 1 / chance + 1 / (1 - chance)
    allowed = [bound for bound in cost if bound <= 2 * cost[cost <= bound].mean()]  # every bound that rows suggest
    np.testing.assert_array_equal(kept, cost <= max(allowed))


def test_few_treated_rows_are_known_to_tell_little():
    rng = np.random.default_rng(4)
    treated = np.arange(2000) < 12
    outcome = rng.exponential(1.0, 2000)
    found = tmle_ate(rows_of(np.zeros(2000, dtype=int), treated, outcome, np.full(2000, 0.02), np.ones((2000, 2))))
    assert (found.high - found.low) / (2 * found.standard_error) > 2.05


def test_groups_that_are_empty_and_outcomes_that_never_vary():
    group, treated, outcome = drawn(np.random.default_rng(5), 100)
    rows = rows_of(group, treated, outcome)
    for estimator in (tmle_ate, tmle_att, overlap_ate):
        with pytest.raises(OverlapError, match="None of 100 rows is treated"):
            estimator(dataclasses.replace(rows, treated=np.zeros(100, dtype=bool)))
        assert estimator(dataclasses.replace(rows, outcome=np.full(100, 3.0), mean=np.full((100, 2), 3.0))).value == 0
