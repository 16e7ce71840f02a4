"""Values of policies: against enumeration with one of two models wrong, coverage, and through questions."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hf_trace
from hf_trace.effects.doubly_robust import Rows, aipw_ate
from hf_trace.effects.regimes.policy_values import PolicyRows, policy_value
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.errors import OverlapError, QueryError

# p(x), p(a | x), E[Y | a, x] and two policies, of three kinds of people and three values of a treatment.
PEOPLE = np.array([0.5, 0.3, 0.2])
CHANCE = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])
MEANS = np.array([[1.0, 2.0, 4.0], [0.0, 3.0, 3.0], [5.0, 1.0, 2.0]])
SOME = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.2, 0.2, 0.6]])
NOBODY = np.tile([1.0, 0.0, 0.0], (3, 1))
VALUE = float(PEOPLE @ (SOME * MEANS).sum(axis=1))  # .5 * 3 + .3 * 0 + .2 * 2.4 = 1.98


def enumerated(*policies):
    """A row for each kind of people and value of the treatment, which counts as often as that occurs."""
    x, a = (each.ravel() for each in np.indices((3, 3)))
    received = np.eye(3, dtype=bool)[a]
    shares = tuple(policy[x] for policy in policies)
    return PolicyRows(received, MEANS[x, a], CHANCE[x], MEANS[x], shares, PEOPLE[x] * CHANCE[x, a], 0.01)


def drawn(rng, rows, *policies):
    x = rng.choice(3, size=rows, p=PEOPLE)
    a = (rng.random(rows)[:, None] > CHANCE.cumsum(1)[x]).sum(1)
    outcome = MEANS[x, a] + rng.normal(0, 1, rows)
    shares = tuple(policy[x] for policy in policies)
    return PolicyRows(np.eye(3, dtype=bool)[a], outcome, CHANCE[x], MEANS[x], shares, np.ones(rows), 0.01)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("wrong", ["none", "mean", "propensity"])
def test_one_wrong_model_does_no_harm(targeted, wrong):
    rows = enumerated(SOME)
    if wrong == "mean":
        rows = dataclasses.replace(rows, mean=rows.mean * 0 + 2.0)
    if wrong == "propensity":
        rows = dataclasses.replace(rows, propensity=np.full((9, 3), 1 / 3))
    assert pytest.approx(1.98) == VALUE
    assert policy_value(rows, targeted=targeted).value == pytest.approx(VALUE)


def test_two_policies_are_compared():
    found = policy_value(enumerated(SOME, NOBODY))
    assert found.means == pytest.approx((VALUE, float(PEOPLE @ MEANS[:, 0])))
    assert found.value == pytest.approx(found.means[0] - found.means[1])


def test_two_values_are_the_average_effect():
    rng = np.random.default_rng(0)
    rows = drawn(rng, 300, np.tile([0.0, 1.0, 0.0], (3, 1)), NOBODY)
    rows = dataclasses.replace(rows, mean=rows.mean + rng.normal(0, 1, rows.mean.shape))
    pairs = {name: getattr(rows, name)[:, [1, 0]] for name in ("propensity", "mean")}
    expected = aipw_ate(Rows(rows.received[:, 1], rows.received[:, 0], rows.outcome, **pairs))
    found = policy_value(rows)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("targeted", [False, True])
def test_intervals_hold_the_value(targeted):
    rng = np.random.default_rng(1)
    held = [
        found.low <= VALUE <= found.high
        for _ in range(400)
        for rows in [drawn(rng, 200, SOME)]
        for found in [policy_value(dataclasses.replace(rows, mean=rows.mean * 0.5 + 1), targeted=targeted)]
    ]
    assert 0.92 < np.mean(held) < 0.98


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_targeted_means_stay_among_the_outcomes(seed):
    rng = np.random.default_rng(seed)
    rows = drawn(rng, 40, SOME)
    rows = dataclasses.replace(rows, mean=rng.normal(0, 20, rows.mean.shape))
    found = policy_value(rows, targeted=True)
    assert rows.outcome.min() - 1e-6 <= found.value <= rows.outcome.max() + 1e-6


def test_what_nobody_can_have_is_refused():
    rows = enumerated(SOME)
    with pytest.raises(OverlapError, match="3 of 9 rows have a propensity of 0"):
        policy_value(dataclasses.replace(rows, propensity=rows.propensity * np.array([1, 1, 0])[rows.received.argmax(1)]
                                         [:, None]))  # fmt: skip


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    severe = rng.random(1500) < 0.5
    drug = rng.random(1500) < np.where(severe, 0.7, 0.3)
    days = rng.normal(10 + 5 * severe - 2 * drug, 2).round(1)
    names = np.array(["no", "yes"])
    return pd.DataFrame({"severe": names[severe * 1], "drug": names[drug * 1], "days": days})


@pytest.fixture(scope="module")
def model(table):
    """Counts in place of a trained model; see recipe ``binning``."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(Path(hf_trace.__file__).parents[2] / "recipes" / "binning"))
        counted = importlib.import_module("counted").CountedModel
    edges = {"edges": [["severe", "drug"], ["severe", "days"], ["drug", "days"]]}
    return counted.fitted(edges, table, 4, 3)


TO_THE_SEVERE = [{"when": {"severe": "yes"}, "then": "yes"}, {"then": "no"}]


@pytest.mark.parametrize("estimator", ["aipw", "tmle"])
def test_a_policy_is_asked_about_as_it_is_written(model, table, estimator):
    request = EffectRequest(estimator=estimator, data=table)
    question = {"target": "days", "do": {"drug": TO_THE_SEVERE}}
    value, half, effect, two = answer_questions(
        model,
        [
            question,
            {"target": "days", "do": {"drug": {"yes": 0.5, "no": 0.5}}},
            {**question, "contrast": "ate", "versus": {"drug": "no"}},
            {**question, "contrast": "cate", "given": {"severe": "yes"}, "versus": {"drug": {"yes": 0.5, "no": 0.5}}},
        ],
        request,
    )
    for found, true in ((value, 11.5), (half, 11.5), (effect, -1.0), (two, -1.0)):
        assert abs(found["value"] - true) < 4 * found["standard_error"] < 0.8
        assert found["low"] < found["value"] < found["high"]
        assert found["cross_fitted"]
    assert value["of"] == "mean of days"
    assert effect["means"]["treated"] == pytest.approx(value["value"])
    plug_in = answer_questions(model, [{**question, "contrast": "ate", "versus": {"drug": "no"}}], EffectRequest())[0]
    assert plug_in["value"] == effect["plug_in"]


def test_a_forced_value_has_a_mean_too(model, table):
    question = {"target": "days", "do": {"drug": {"yes": 1.0}}}
    found = answer_questions(model, [question], EffectRequest(estimator="aipw", data=table))[0]
    assert abs(found["value"] - 10.5) < 4 * found["standard_error"]


@pytest.mark.parametrize(
    ("question", "request_", "reason"),
    [
        ({"contrast": "att", "versus": {"drug": "no"}}, {}, "no effect on the treated"),
        ({"contrast": "ate", "versus": {"drug": "no"}}, {"refute": True}, "A policy is no value"),
        ({}, {"population": "overlap"}, "policies are of all rows"),
        ({"do": {"drug": TO_THE_SEVERE, "severe": "no"}}, {}, "There are 2 treatments"),
    ],
)
def test_refusals(model, table, question, request_, reason):
    asked = {"target": "days", "do": {"drug": TO_THE_SEVERE}, **question}
    with pytest.raises(QueryError, match=reason):
        answer_questions(model, [asked], EffectRequest(estimator="aipw", data=table, **request_))
