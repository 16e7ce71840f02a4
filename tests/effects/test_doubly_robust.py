"""Doubly robust estimates: closed forms, coverage, robustness to one wrong model, and what must not change them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from hf_trace.effects.doubly_robust import (
    STEADY,
    Rows,
    aipw_ate,
    aipw_att,
    aipw_scores,
    arm_scores,
    difference,
    jackknife,
    plug_in_ate,
)
from hf_trace.errors import NonFiniteError, OverlapError, QueryError

ATE = ("treated", "control", "outcome", "propensity_treated", "propensity_control", "mean_treated", "mean_control")
SEEDS = st.integers(0, 2**32 - 1)


def world(rng, rows):
    """Three values of a treatment, a confounder of four values; the effect of a1 against a0 is 1 + x / 2."""
    x = rng.integers(0, 4, rows)
    chances = np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [0.25, 0.5, 0.25], [0.2, 0.6, 0.2]])
    value = (rng.random(rows)[:, None] > chances.cumsum(1)[x]).sum(1)
    mean_control, effect = x.astype(float), 1 + x / 2
    outcome = mean_control + np.choose(value, [0 * effect, effect, 5 + 0 * effect]) + rng.normal(0, 1, rows)
    return {
        "x": x,
        "treated": value == 1,
        "control": value == 0,
        "outcome": outcome,
        "propensity_treated": chances[x, 1],
        "propensity_control": chances[x, 0],
        "mean_treated": mean_control + effect,
        "mean_control": mean_control,
    }


TRUE_ATE = 1 + 1.5 / 2
TRUE_ATT = float(np.average(1 + np.arange(4) / 2, weights=[0.3, 0.3, 0.5, 0.6]))


def rows_of(columns, **changed):
    columns = columns | changed
    pairs = {
        name: np.stack([columns[f"{name}_{arm}"] for arm in ("treated", "control")], axis=1)
        for name in ("propensity", "mean")
    }
    more = {"weights": columns["weights"]} if "weights" in columns else {}
    return Rows(columns["treated"], columns["control"], columns["outcome"], **pairs, **more)


def ate(columns, **changed):
    return aipw_ate(rows_of(columns, **changed))


def att(columns, **changed):
    return aipw_att(rows_of(columns, **changed))


def plug_in(columns):
    return plug_in_ate(rows_of(columns))


def by_group(columns):
    """Effects where x has each of its values: effects in a subgroup are those of its rows."""
    return {x: ate({name: each[columns["x"] == x] for name, each in columns.items()}) for x in range(4)}


def fitted(columns, rng):
    """The two models, as shares and means in the cells of x of another half of the rows."""
    half = rng.random(len(columns["x"])) < 0.5
    models = {name: np.empty(len(half)) for name in ATE[3:]}
    for here, other in ((half, ~half), (~half, half)):
        for x in range(4):
            cell, place = other & (columns["x"] == x), here & (columns["x"] == x)
            for arm in ("treated", "control"):
                models[f"propensity_{arm}"][place] = columns[arm][cell].mean()
                models[f"mean_{arm}"][place] = columns["outcome"][cell & columns[arm]].mean()
    return columns | models


def test_saturated_models_give_the_stratified_difference():
    rng = np.random.default_rng(0)
    columns = world(rng, 2_000)
    differences, shares, treated = [], [], []
    for x in range(4):
        cell = columns["x"] == x
        for arm in ("treated", "control"):
            columns[f"propensity_{arm}"][cell] = columns[arm][cell].mean()
            columns[f"mean_{arm}"][cell] = columns["outcome"][cell & columns[arm]].mean()
        differences.append(columns["mean_treated"][cell][0] - columns["mean_control"][cell][0])
        shares.append(cell.mean())
        treated.append((cell & columns["treated"]).sum())
    assert ate(columns).value == pytest.approx(np.dot(differences, shares))
    assert plug_in(columns).value == pytest.approx(np.dot(differences, shares))
    assert att(columns).value == pytest.approx(np.average(differences, weights=treated))
    for x, found in by_group(columns).items():
        assert found.value == pytest.approx(differences[x])


def test_a_randomized_trial_without_models_is_the_difference_of_two_weighted_means():
    rng = np.random.default_rng(1)
    treated = np.arange(200) < 80
    outcome = rng.normal(0, 1, 200) + treated
    trial = Rows(treated, ~treated, outcome, np.tile([0.4, 0.6], (200, 1)), np.zeros((200, 2)))
    assert aipw_ate(trial).value == pytest.approx((outcome * treated / 0.4 - outcome * ~treated / 0.6).mean())


def test_equal_weights_give_the_standard_error_of_a_mean():
    rng = np.random.default_rng(2)
    columns = world(rng, 300)
    scores = aipw_scores(*(columns[name] for name in ("treated", "outcome", "propensity_treated", "mean_treated")))
    scores -= aipw_scores(*(columns[name] for name in ("control", "outcome", "propensity_control", "mean_control")))
    found = ate(columns)
    assert found.value == pytest.approx(scores.mean())
    assert found.standard_error == pytest.approx(scores.std(ddof=1) / np.sqrt(300))
    assert (found.rows, found.effective_rows, found.method) == (300, pytest.approx(300), "aipw")
    squares = (scores - scores.mean()) ** 2
    kurtosis = (squares**2).mean() / squares.mean() ** 2
    reach = t.ppf(0.975, 2 * 300 / (kurtosis - 1))  # twice the squared variance of a variance of such a kurtosis
    assert found.high - found.low == pytest.approx(2 * reach * found.standard_error)
    assert 1.96 < reach < 1.98


@pytest.mark.parametrize(("estimator", "truth"), [(ate, TRUE_ATE), (att, TRUE_ATT)])
def test_the_interval_covers_the_truth(estimator, truth):
    rng = np.random.default_rng(3)
    found = [estimator(fitted(world(rng, 800), rng)) for _ in range(500)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.92 <= covered <= 0.98
    spread = np.std([each.value for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.1)


def test_the_interval_covers_the_truth_of_every_group_and_with_weights():
    rng = np.random.default_rng(4)
    covered, weighted = [], []
    for _ in range(500):
        columns = world(rng, 800)
        groups = by_group(columns)
        covered += [found.low <= 1 + x / 2 <= found.high for x, found in groups.items()]
        # The population that the weights stand for has x in proportion to 1 : 2 : 3 : 4.
        found = ate(columns, weights=columns["x"] + 1.0)
        weighted.append(found.low <= 1 + np.average(np.arange(4), weights=[1, 2, 3, 4]) / 2 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert 0.92 <= np.mean(weighted) <= 0.98


def wrong_means(columns):
    return columns | {"mean_treated": np.full(len(columns["x"]), 2.0), "mean_control": 3.0 - columns["x"]}


def wrong_propensities(columns):
    flat = np.full(len(columns["x"]), 1 / 3)
    return columns | {"propensity_treated": flat, "propensity_control": flat}


@pytest.mark.parametrize(("estimator", "truth"), [(ate, TRUE_ATE), (att, TRUE_ATT)])
def test_one_wrong_model_does_no_harm_but_two_do(estimator, truth):
    rng = np.random.default_rng(5)
    samples = [world(rng, 1_000) for _ in range(300)]

    def bias(change):
        values = np.array([estimator(change(columns)).value for columns in samples])
        return abs(values.mean() - truth) / (values.std() / np.sqrt(len(values)))

    assert bias(wrong_means) < 4
    assert bias(wrong_propensities) < 4
    assert bias(lambda columns: wrong_means(wrong_propensities(columns))) > 20


def test_single_models_fail_where_they_are_wrong():
    columns = world(np.random.default_rng(6), 20_000)
    bad = wrong_means(wrong_propensities(columns))
    assert abs(plug_in(bad).value - TRUE_ATE) > 0.2
    assert plug_in(columns).value == pytest.approx(TRUE_ATE, abs=0.02)


def numbers(found):
    return np.array([found.value, found.standard_error, found.low, found.high])


@given(SEEDS, st.sampled_from([ate, att]))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_and_the_scale_of_weights_do_not_matter(seed, estimator):
    rng = np.random.default_rng(seed)
    columns, weights = world(rng, 80), rng.uniform(0.1, 2, 80)
    found, shuffle = estimator(columns, weights=weights), rng.permutation(80)
    shuffled = estimator({name: column[shuffle] for name, column in columns.items()}, weights=weights[shuffle])
    np.testing.assert_allclose(numbers(shuffled), numbers(found), atol=1e-9)
    np.testing.assert_allclose(numbers(estimator(columns, weights=7 * weights)), numbers(found), atol=1e-9)
    np.testing.assert_allclose(
        numbers(estimator(columns)), numbers(estimator(columns, weights=np.ones(80))), atol=1e-12
    )


@given(SEEDS, st.sampled_from([ate, att]), st.floats(-100, 100), st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_effects_move_with_the_unit_of_the_outcome(seed, estimator, shift, scale):
    columns = world(np.random.default_rng(seed), 80)
    moved = {name: scale * columns[name] + shift for name in ("outcome", "mean_treated", "mean_control")}
    found = numbers(estimator(columns | moved))
    np.testing.assert_allclose(found, scale * numbers(estimator(columns)), rtol=1e-6, atol=1e-7 * (1 + abs(shift)))


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_exchanging_the_two_values_turns_the_sign(seed):
    columns = world(np.random.default_rng(seed), 80)
    turned = {
        name: columns[name.replace("treated", "?").replace("control", "treated").replace("?", "control")]
        for name in ATE
    }
    found, other = ate(columns), ate(turned)
    np.testing.assert_allclose([other.value, other.low], [-found.value, -found.high])
    assert other.standard_error == pytest.approx(found.standard_error)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_rows_of_weight_zero_are_not_there(seed):
    columns = world(np.random.default_rng(seed), 120)
    weights = np.repeat([1.0, 0.0], 60)
    kept = {name: column[:60] for name, column in columns.items()}
    for estimator in (ate, att):
        found, alone = estimator(columns, weights=weights), estimator(kept)
        np.testing.assert_allclose(numbers(found), numbers(alone))
        assert (found.rows, found.overlap) == (60, alone.overlap)


def test_small_propensities_are_reported():
    columns = world(np.random.default_rng(7), 100)
    columns["propensity_treated"][:10] = 1e-5
    assert ate(columns).overlap == (1e-5, 0.1)
    assert plug_in(columns).overlap is None


def rarely_treated(rng, count, means):
    """One row in ten has a chance of 1 % of being treated, the others one half; the treatment adds 10 there, else 1."""
    rare = np.arange(count) % 10 == 0
    chance = np.where(rare, 0.01, 0.5)
    treated = rng.random(count) < chance
    outcome = np.where(rare, 10.0, 1.0) * treated + rng.normal(0, 1, count)
    pairs = np.stack([chance, 1 - chance], axis=1), np.stack([means(rare), np.zeros(count)], axis=1)
    return Rows(treated, ~treated, outcome, *pairs)


def test_rows_that_stand_for_many_count_as_twenty_unless_that_moves_the_effect():
    rng = np.random.default_rng(8)
    right = rarely_treated(rng, 4000, lambda rare: np.where(rare, 10.0, 1.0))
    scores = [arm_scores(right, floor) for floor in (STEADY, 1 / 4000)]
    steady, whole = (float((first - second).mean()) for first, second in scores)
    found = aipw_ate(right)
    assert found.value == pytest.approx(steady) != pytest.approx(whole)
    plain = difference(*scores[1], right.weights, "aipw")
    assert found.low == pytest.approx(min(steady, whole) - (plain.high - plain.value))
    assert found.high == pytest.approx(max(steady, whole) + (plain.high - plain.value))
    wrong = rarely_treated(rng, 200_000, lambda rare: np.ones(len(rare)))  # off by 9, a fifth of it corrected at 0.05
    assert aipw_ate(wrong).value == pytest.approx(1.9, abs=0.1)
    assert float((np.subtract(*arm_scores(wrong, STEADY))).mean()) == pytest.approx(1.9 - 0.8 * 0.9, abs=0.1)


def test_what_only_the_means_speak_of_is_as_sure_as_predictions_agree():
    right = rarely_treated(np.random.default_rng(9), 2000, lambda rare: np.where(rare, 10.0, 1.0))
    doubts = np.zeros((2000, 2, 2))
    doubts[:, 0, 0], doubts[:, 0, 1], doubts[:, 1, 0] = 3.0, -4.0, 7.0
    found, sure = aipw_ate(dataclasses.replace(right, doubts=doubts)), aipw_ate(right)
    assert found.value == sure.value
    unseen = 0.1 * (1 - 0.01 / STEADY)  # one row in ten, and of the control, which has .5 and .99, none
    assert found.standard_error**2 - sure.standard_error**2 == pytest.approx(unseen**2 * (3.0**2 + 4.0**2))
    assert found.high - found.low > sure.high - sure.low
    everywhere = world(np.random.default_rng(9), 2000)
    assert ate(everywhere).low == aipw_ate(dataclasses.replace(rows_of(everywhere), doubts=doubts)).low


@pytest.mark.parametrize("estimator", [ate, att])
def test_questions_that_the_rows_cannot_answer(estimator):
    columns = world(np.random.default_rng(8), 50)
    with pytest.raises(OverlapError, match=r"None of 50 rows is treated, expected some of both\."):
        estimator(columns | {"treated": np.zeros(50, dtype=bool)})
    with pytest.raises(OverlapError, match=r"None of 50 rows is control, expected some of both\."):
        estimator(columns | {"control": np.zeros(50, dtype=bool)})
    none = np.where(np.arange(50) < 3, 0.0, columns["propensity_control"])
    with pytest.raises(OverlapError, match="3 of 50 rows have a propensity of 0, expected more: there the treatment"):
        estimator(columns | {"propensity_control": none})
    with pytest.raises(QueryError, match=r"rows are both treated and control, expected none\. Compare two different"):
        estimator(columns | {"control": columns["treated"]})
    with pytest.raises(NonFiniteError, match=r"1 numbers are NaN or infinite, expected none\. Leave out rows"):
        estimator(columns | {"outcome": np.append(columns["outcome"][1:], np.nan)})


@pytest.mark.parametrize("weights", [np.zeros(50), np.full(50, -1.0)])
def test_weights_that_mean_nothing(weights):
    with pytest.raises(QueryError, match="Weights are negative or all 0, expected at least one above 0"):
        ate(world(np.random.default_rng(10), 50), weights=weights)


def test_an_estimate_from_one_row_is_not_sure_of_anything():
    one = np.array([True])
    assert plug_in_ate(Rows(one, ~one, np.ones(1), np.full((1, 2), 0.5), np.array([[2.0, 1.0]]))).high == np.inf


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=30))
def test_the_jackknife_of_a_mean_is_its_standard_error(values):
    data = np.array(values)
    found = jackknife((data.sum() - data) / (len(data) - 1), float(data.mean()), rows=len(data))
    error = data.std(ddof=1) / np.sqrt(len(data))
    assert found.standard_error == pytest.approx(error, abs=1e-9)
    assert found.high == pytest.approx(data.mean() + t.ppf(0.975, len(data) - 1) * error, abs=1e-6)
    assert dataclasses.asdict(found)["rows"] == len(data)


def test_the_jackknife_interval_covers_the_truth():
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(500):
        folds = rng.exponential(1.0, (10, 40))
        sums = folds.sum(1)
        # A ratio of two means, as an estimate that is not itself a mean.
        others = folds[:, :20].sum(1)
        found = jackknife((others.sum() - others) / (sums.sum() - sums), float(others.sum() / sums.sum()))
        covered += found.low <= 0.5 <= found.high
    assert 0.92 <= covered / 500 <= 0.98


def test_the_jackknife_refuses_what_it_cannot_use():
    with pytest.raises(QueryError, match=r"Got the estimates without each of 1 folds, expected at least 2\."):
        jackknife(np.ones(1), 1.0)
    with pytest.raises(NonFiniteError, match="1 numbers are NaN or infinite"):
        jackknife(np.array([1.0, np.nan]), 1.0)
