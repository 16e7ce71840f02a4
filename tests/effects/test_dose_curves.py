"""Curves of doses: against known ones with one of two models wrong, coverage, and through questions."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import hf_trace
from hf_trace.effects.regimes.dose_curves import DoseRows, dose_curve
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.errors import QueryError

DOSES = np.array([-1.0, 0.0, 1.0])
POINTS = np.linspace(-4, 5, 181)


def curve(dose):
    """E[Y | do(dose)]: 2 sin(dose), and .5 for the mean of x."""
    return 2 * np.sin(dose) + 0.5


def rows(rng, count):
    """A number x of mean .5 and spread .5 moves dose and outcome, both by itself."""
    x = rng.normal(0.5, 0.5, count)
    dose = rng.normal(x, 1)
    outcome = 2 * np.sin(dose) + x + rng.normal(0, 0.5, count)
    # For rows at large the dose is normal around .5 with a variance of 1.25.
    ratio = norm.pdf(dose, x, 1) / norm.pdf(dose, 0.5, np.sqrt(1.25))
    spread = np.full(len(POINTS), 0.25 / count)
    return DoseRows(dose, outcome, 2 * np.sin(dose) + x, ratio, POINTS, curve(POINTS), spread, np.ones(count))


def with_wrong(part, known):
    if part == "means":
        flat = dataclasses.replace(known, mean=known.mean * 0 + 1, averaged=known.averaged * 0 + 1)
        return dataclasses.replace(flat, spread=known.spread * 0)
    return dataclasses.replace(known, ratio=np.ones(len(known.dose))) if part == "ratios" else known


@pytest.mark.parametrize("wrong", ["nothing", "means", "ratios"])
def test_one_wrong_model_does_no_harm(wrong):
    found = dose_curve(with_wrong(wrong, rows(np.random.default_rng(0), 20_000)), DOSES)
    assert found.mean == pytest.approx(curve(DOSES), abs=0.12)
    assert (found.low < curve(DOSES)).all()
    assert (curve(DOSES) < found.high).all()
    both = dataclasses.replace(with_wrong("means", rows(np.random.default_rng(0), 20_000)), ratio=np.ones(20_000))
    assert np.abs(dose_curve(both, DOSES).mean - curve(DOSES)).max() > 0.2  # x is of the dose: .2 a unit


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["nothing", "means"])
def test_intervals_hold_the_curve(wrong):
    rng = np.random.default_rng(1)
    held = []
    for _ in range(150):
        found = dose_curve(with_wrong(wrong, rows(rng, 400)), DOSES)
        held.append((found.low <= curve(DOSES)) & (curve(DOSES) <= found.high))
    assert 0.91 < np.mean(held) < 0.985


def test_a_row_counts_as_often_as_it_weighs():
    known = rows(np.random.default_rng(2), 300)
    counted = np.random.default_rng(3).integers(1, 3, 300)
    twice = {
        each.name: np.repeat(getattr(known, each.name), counted)
        for each in dataclasses.fields(known)
        if each.name not in ("points", "averaged", "spread")
    }
    weighed = dataclasses.replace(known, weights=counted.astype(float))
    repeated = dataclasses.replace(known, **twice)
    near = dose_curve(weighed, DOSES).mean
    assert dose_curve(repeated, DOSES).mean == pytest.approx(near, abs=0.3)  # bandwidths differ, not the rows


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    severe = rng.random(1500) < 0.5
    dose = rng.normal(5 + 2 * severe, 2)
    days = 10 + 4 * severe + np.sin(dose / 2) * 3 + rng.normal(0, 1, 1500)
    kind = np.where(dose > 6, "high", "low")
    return pd.DataFrame(
        {"severe": np.where(severe, "yes", "no"), "dose": dose.round(2), "kind": kind, "days": days.round(2)}
    )


def fitted(table, edges):
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(Path(hf_trace.__file__).parents[2] / "recipes" / "binning"))
        counted = importlib.import_module("counted").CountedModel
    return counted.fitted({"edges": edges}, table, 8, 3)


def test_every_dose_is_asked_about(table):
    model = fitted(table[["severe", "dose", "days"]], [["severe", "dose"], ["severe", "days"], ["dose", "days"]])
    question = {"target": "days", "do": {"dose": "*"}}
    found = answer_questions(model, [question], EffectRequest(estimator="aipw", data=table))[0]["response"]
    numbers, means = (np.array([each[key] for each in found]) for key in ("number", "mean"))
    true = 12 + 3 * np.sin(numbers / 2)
    held = [each["low"] < one < each["high"] for each, one in zip(found, true, strict=True)]
    assert sum(held) >= 7
    assert means[1:-1] == pytest.approx(true[1:-1], abs=0.5)
    with pytest.raises(QueryError, match="is an amount"):
        answer_questions(model, [question], EffectRequest(estimator="tmle", data=table))


@pytest.mark.parametrize("estimator", ["aipw", "tmle"])
def test_names_have_means_too(table, estimator):
    model = fitted(table[["severe", "kind", "days"]], [["severe", "kind"], ["severe", "days"], ["kind", "days"]])
    question = {"target": "days", "do": {"kind": "*"}}
    found = answer_questions(model, [question], EffectRequest(estimator=estimator, data=table))[0]["response"]
    single = {"target": "days", "do": {"kind": {"high": 1}}}
    high = answer_questions(model, [single], EffectRequest(estimator=estimator, data=table))[0]
    assert [each["value"] for each in found] == ["high", "low"]
    assert found[0]["mean"] == pytest.approx(high["value"], abs=0.05)
    assert found[0]["low"] < found[0]["mean"] < found[0]["high"]
