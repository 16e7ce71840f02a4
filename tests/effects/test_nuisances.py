"""What a model says of rows is moved by other rows: never by the row itself, and only where that predicts better."""

import numpy as np
import pandas as pd
import pytest

from hf_trace.effects.doubly_robust import Rows, aipw_ate
from hf_trace.effects.nuisances import corrected
from hf_trace.effects.targeted import estimated, overlap_warnings, population_of
from hf_trace.errors import QueryError
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.inference import infer_schema

EDGES = [("x", "a"), ("x", "y"), ("a", "y")]


def drawn(count, seed=0, effect=2.0):
    """A number that treatment and outcome depend on; a treated share of about one in five."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, count).round(3)
    chance = 1 / (1 + np.exp(2 - 1.5 * x))
    treated = rng.random(count) < chance
    y = (3 * x + effect * treated + rng.normal(0, 1, count)).round(3)
    frame = pd.DataFrame({"x": x, "a": np.where(treated, "yes", "no"), "y": y})
    table = encode_table(infer_schema(EDGES, frame), frame)
    return table, x, chance, treated, y


def blind(treated, outcome):
    """What a model that has learned nothing says."""
    count = len(outcome)
    return Rows(treated, ~treated, outcome, np.full((count, 2), 0.5), np.full((count, 2), outcome.mean()))


def test_a_model_that_knows_nothing_is_put_right_by_the_rows():
    table, x, chance, treated, y = drawn(800)
    rows = blind(treated, y)
    found = corrected(rows, table, ["x"])
    assert np.abs(found.propensity[:, 0] - chance).mean() < 0.04
    assert found.propensity.sum(axis=1) == pytest.approx(1)
    assert found.propensity[:, 0].mean() == pytest.approx(treated.mean(), abs=0.02)
    assert np.abs(found.mean - np.stack([3 * x + 2, 3 * x], axis=1)).mean() < 0.5
    assert abs(aipw_ate(rows).value - 2) > 1
    right = aipw_ate(found)
    assert right.low < 2 < right.high


def test_a_model_that_knows_all_is_left_as_it_is():
    table, x, chance, treated, y = drawn(800, seed=1)
    means = np.stack([3 * x + 2, 3 * x], axis=1)
    rows = Rows(treated, ~treated, y, np.stack([chance, 1 - chance], axis=1), means)
    found = corrected(rows, table, ["x"])
    assert np.abs(found.mean - means).mean() < 0.15
    assert np.abs(found.propensity - rows.propensity).mean() < 0.03


def test_too_few_rows_leave_what_the_model_says():
    table, *_, y = drawn(40, seed=3)
    few = np.zeros(40, dtype=bool)
    few[:3] = True
    found = corrected(blind(few, y), table, ["x"])
    assert found.propensity[:, 0] == pytest.approx(0.5)
    assert found.mean[:, 0] == pytest.approx(y.mean())


def test_few_treated_rows_are_read_in_the_light_of_the_others():
    rng = np.random.default_rng(5)
    table, x, _, _, _ = drawn(2000, seed=5)
    few = (x < -1) & (rng.random(2000) < 0.15)  # the treated tell nothing of most values of x
    y = 3 * x + 2 * few + rng.normal(0, 1, 2000)
    frame = pd.DataFrame({"x": x, "a": np.where(few, "yes", "no"), "y": y.round(3)})
    table = encode_table(infer_schema(EDGES, frame), frame)
    found = corrected(blind(few, y), table, ["x"])
    assert 20 < few.sum() < 60
    assert abs((found.mean[:, 0] - found.mean[:, 1]).mean() - 2) < 1
    assert np.abs(found.mean[:, 0] - (3 * x + 2))[x > 1].mean() < 2  # a model of the treated alone would say about -2
    # What each prediction says, weighted by how much it is believed, is the mean.
    assert found.doubts.shape == (2000, 2, 4)


def test_populations_and_warnings_are_told_in_words():
    rng = np.random.default_rng(4)
    chance = np.where(np.arange(1000) < 300, 1e-4, 0.4)
    treated = rng.random(1000) < chance
    rows = Rows(treated, ~treated, rng.random(1000), np.stack([chance, 1 - chance], axis=1), np.full((1000, 2), 0.5))
    (told,) = overlap_warnings(estimated(rows, estimator="tmle"), population="all")
    assert told.startswith("30% of the rows that count hardly ever have one of the values compared (propensity down to")
    assert overlap_warnings(estimated(rows, estimator="aipw", population="overlap"), population="overlap") == []
    assert population_of(rows, "trimmed").startswith("700 of 1,000 rows: those with a propensity of either value above")
    assert estimated(rows, estimator="tmle", population="trimmed").rows == 700
    with pytest.raises(QueryError, match="The population is 'trimmed', and the effect on the treated is of"):
        estimated(rows, estimator="tmle", of_treated=True, population="trimmed")
