"""Effects on numbers that are read in bins: what is said of that error, and estimates that do without bins."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hf_trace
from hf_trace.effects.contrasts import Contrast, row_columns
from hf_trace.effects.doubly_robust import Estimate
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.tables.binning import BINNING

RECIPES = Path(hf_trace.__file__).parents[2] / "recipes"
DAYS = {"target": "days", "do": {"drug": "yes"}, "contrast": "ate"}
PATIENTS = [
    ("severity", "drug"),
    ("severity", "recovered"),
    ("drug", "recovered"),
    ("severity", "days"),
    ("drug", "days"),
]


@pytest.fixture(scope="module")
def counted():
    """Counts of a table in place of a trained model; see recipe ``binning``."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(RECIPES / "binning"))
        yield importlib.import_module("counted").CountedModel


def patients():
    """The table of the tutorial, where the drug takes two days off."""
    rng = np.random.default_rng(0)
    severe = rng.random(4000) < 0.5
    drug = rng.random(4000) < np.where(severe, 0.7, 0.3)
    recovered = rng.random(4000) < 0.8 - 0.4 * severe + 0.1 * drug
    return pd.DataFrame(
        {
            "severity": np.where(severe, "severe", "mild"),
            "drug": np.where(drug, "yes", "no"),
            "recovered": np.where(recovered, "yes", "no"),
            "days": rng.normal(10 + 5 * severe - 2 * drug, 2).round(1),
        }
    )


def stays(rows=3000, seed=0):
    """A table whose cause of both is a number: the drug takes two days off, and mends .1 more."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 15, rows)
    drug = rng.random(rows) < 1 / (1 + np.exp(-(age - 50) / 15))
    days = rng.normal(10 + 0.2 * (age - 50) - 2 * drug, 2)
    well = rng.random(rows) < np.clip(0.5 - 0.01 * (age - 50) + 0.1 * drug, 0, 1)
    columns = {"age": age, "drug": np.where(drug, "yes", "no"), "days": days, "well": np.where(well, "yes", "no")}
    return pd.DataFrame(columns)


STAYS = [("age", "drug"), ("age", "days"), ("drug", "days"), ("age", "well"), ("drug", "well")]


def graph(edges):
    return {"edges": [list(edge) for edge in edges]}


def ask(model, question, **request):
    return answer_questions(model, [question], EffectRequest(**request))[0]


@pytest.mark.parametrize("bins", [4, 8])
def test_intervals_of_the_tutorial_hold_the_truth(counted, bins):
    frame = patients()
    model = counted.fitted(graph(PATIENTS), frame, bins, 3)
    plug_in, aipw = ask(model, DAYS), ask(model, DAYS, estimator="aipw", data=frame)
    assert plug_in["interval"]["low"] < -2 < plug_in["interval"]["high"]
    assert plug_in["value"] - plug_in["binning_error"] == pytest.approx(-2, abs=0.1)
    assert plug_in["interval"]["binning_error"] == plug_in["binning_error"]
    assert plug_in["binning_error"] > 0.1
    assert aipw["low"] < -2 < aipw["high"]
    assert aipw["value"] == pytest.approx(-2, abs=0.1)
    assert aipw["plug_in"] == plug_in["value"]
    assert (plug_in["standard_error_of"], aipw["standard_error_of"]) == ("draws", "rows")


def test_means_say_how_far_they_are_off(counted):
    frame = patients()
    model = counted.fitted(graph(PATIENTS), frame, 4, 3)
    for drug, days in (("yes", 10.5), ("no", 12.5)):
        mean = ask(model, {"target": "days", "do": {"drug": drug}})["expectation"]
        assert mean["mean"] - mean["binning_error"] == pytest.approx(days, abs=0.15)
    treated = ask(model, {**DAYS, "contrast": "att"})
    assert treated["value"] - treated["binning_error"] == pytest.approx(-2, abs=0.15)
    share = ask(model, DAYS, target_value="< 9.4")
    assert "binning_error" not in share
    assert "binning_error" not in ask(model, {**DAYS, "target": "recovered"})


@pytest.mark.parametrize("contrast", ["ate", "att"])
@pytest.mark.parametrize(("target", "truth"), [("days", -2.0), ("well", 0.1)])
def test_a_cause_read_in_bins_is_counted_or_adjusted_for(counted, contrast, target, truth):
    frame = stays()
    model = counted.fitted(graph(STAYS), frame, 4, 5)
    question = {**DAYS, "target": target, "contrast": contrast}
    plug_in, aipw = ask(model, question), ask(model, question, estimator="aipw", data=frame)
    assert plug_in["interval"]["low"] < truth < plug_in["interval"]["high"]
    corrected = plug_in["value"] - plug_in["binning_error"]
    assert corrected == pytest.approx(truth, abs=0.25 if target == "days" else 0.05)
    assert aipw["low"] < truth < aipw["high"]
    assert not plug_in["warnings"]


def test_what_is_not_known_is_said(counted):
    frame = stays()
    model = counted.fitted(graph(STAYS), frame, 4, 5)
    vars(model)["metrics"] = {key: each for key, each in model.metrics.items() if key != BINNING}
    old = ask(model, DAYS)
    assert old["binning_error"] is None
    assert old["interval"]["low"] > -2  # as before: the interval leaves it out
    assert ["not known of this run" in each for each in old["warnings"]] == [True, False]
    assert "'age' is adjusted for in 4 bins" in old["warnings"][1]
    assert ask(model, {"target": "days", "do": {"drug": "yes"}})["warnings"] == old["warnings"]
    aipw = ask(model, DAYS, estimator="aipw", data=frame)
    assert aipw["low"] < -2 < aipw["high"]
    assert not aipw["warnings"]


def test_a_cause_on_a_longer_way_is_warned_of(counted):
    frame = stays().assign(ward=lambda table: np.where(table["age"] > 55, "a", "b"))
    edges = [("age", "drug"), ("age", "ward"), ("drug", "days"), ("ward", "days"), ("drug", "ward")]
    model = counted.fitted(graph(edges), frame[["age", "drug", "ward", "days"]], 4, 3)
    warnings = ask(model, DAYS)["warnings"]
    assert len(warnings) == 1
    assert "'age' is adjusted for in 4 bins" in warnings[0]


def test_rows_without_an_own_number_count_as_their_bin(counted):
    frame = patients()
    model = counted.fitted(graph(PATIENTS), frame, 4, 2)
    named = frame.assign(days=[model.schema["days"].values[code] for code in model.table.columns["days"]])
    contrast = Contrast("ate", model.reader.query(DAYS), {"drug": 0})
    means = model.schema["days"].numbers
    rows = [row_columns(model, contrast, means, data, EffectRequest().settings(4000)) for data in (frame, named)]
    assert rows[0].outcome.tolist() == frame["days"].tolist()
    assert rows[1].outcome.tolist() == means[model.table.columns["days"]].tolist()


def test_means_of_either_model_may_be_wrong(counted):
    """Propensities that say nothing do no harm: outcome means are right though they come from bins."""
    frame = stays()
    model = counted.fitted(graph(STAYS), frame, 4, 5)
    contrast = Contrast("ate", model.reader.query(DAYS), {"drug": 0})
    rows = row_columns(model, contrast, model.schema["days"].numbers, frame, EffectRequest().settings(3000))
    assert (rows.mean[:, 0] - rows.mean[:, 1]).mean() == pytest.approx(-2, abs=0.2)


def test_an_interval_reaches_to_both_ends():
    found = Estimate(1.0, 0.1, 0.8, 1.2, 100, "plug-in", 100.0)
    for error, low, high in ((0.5, 0.3, 1.2), (-0.5, 0.8, 1.7), (0.0, 0.8, 1.2), (None, 0.8, 1.2)):
        reached = found.with_binning(error)
        assert (reached.low, reached.high) == pytest.approx((low, high))
        assert (reached.value, reached.binning_error) == (1.0, error)


def test_intervals_reach_to_where_missed_groups_are_met(counted):
    frame = patients()
    recovered = {**DAYS, "target": "recovered"}
    before = ask(counted.fitted(graph(PATIENTS), frame, 4, 3), recovered)["interval"]
    miss = {"variable": "recovered", "value": "yes", "parent": "drug", "group": "yes", "rows": 9.0}
    model = counted.fitted(graph(PATIENTS), frame, 4, 3)
    misses = [{**miss, "predicted": 0.5, "observed": 0.6, "standard_error": 0.01}]
    model.__dict__["metrics"] = {**model.metrics, "misses": misses}
    after = ask(model, recovered)["interval"]
    # Of the treated a tenth fewer were said to recover than did: without, the effect would be a tenth more.
    assert (after["value"], after["low"]) == pytest.approx((before["value"], before["low"]))
    assert after["high"] == pytest.approx(before["high"] + 0.1)
