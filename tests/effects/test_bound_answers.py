"""Numbers, refusals, intervals and refutations side by side, as a user asks for them."""

import numpy as np
import pandas as pd
import pytest
from tests.dag_lm import JointConfig, JointLM

import hf_trace
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.errors import NotIdentifiedError, SettingsError
from hf_trace.oracle.engine import Oracle
from hf_trace.tables.encoding import encode_table
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

DRUG = {"target": "well", "do": {"drug": "yes"}}


def names(flags):
    return np.where(flags, "yes", "no")


def model_of(frame, edges, latent):
    """What training would leave if it were perfect: the shares of the table itself."""
    schema = hf_trace.infer_schema({"edges": [list(edge) for edge in edges]}, frame, latent=latent)
    tokenizer = DagTokenizer.from_schema(schema, history="full")
    table, order = encode_table(schema, frame), schema.topological_order
    joint = np.zeros([len(schema[name].values) for name in order])
    np.add.at(joint, tuple(np.asarray(table.columns[name]) for name in order), 1 / len(frame))
    tokens = [tokenizer.variables[name] for name in order]
    return TableModel(Oracle(JointLM(JointConfig(vocab_size=len(tokenizer)), joint, tokens)), tokenizer)


@pytest.fixture(scope="module")
def offers():
    """An offer by lot moves who takes a drug, and so does a mood that is in no table; the drug makes .2 more well."""
    rng = np.random.default_rng(0)
    mood, offer = rng.random(4000) < 0.5, rng.random(4000) < 0.5
    drug = np.where(rng.random(4000) < 0.5, offer, mood)
    well = rng.random(4000) < 0.2 + 0.3 * mood + 0.2 * drug
    frame = pd.DataFrame({"offer": names(offer), "drug": names(drug), "well": names(well)})
    edges = [("offer", "drug"), ("mood", "drug"), ("mood", "well"), ("drug", "well")]
    return model_of(frame, edges, ["mood"])


@pytest.fixture(scope="module")
def patients():
    """How ill somebody is, in no table, shows in a test before and in days lost after; the drug makes .2 more well."""
    rng = np.random.default_rng(1)
    ill = rng.random(20_000) < 0.5
    test = rng.random(20_000) < np.where(ill, 0.85, 0.1)
    drug = rng.random(20_000) < 0.2 + 0.3 * ill + 0.2 * test
    days = rng.random(20_000) < np.where(ill, 0.8, 0.15)
    well = rng.random(20_000) < 0.6 - 0.4 * ill + 0.2 * drug
    frame = pd.DataFrame({"test": names(test), "drug": names(drug), "days": names(days), "well": names(well)})
    edges = [("ill", name) for name in ("test", "drug", "days", "well")] + [("test", "drug"), ("drug", "well")]
    return model_of(frame, edges, ["ill"])


@pytest.fixture(scope="module")
def smokers():
    """Smoking acts through tar, a gene on smoking and cancer; the effect is .5 x .4."""
    rng = np.random.default_rng(0)
    gene = rng.random(8000) < 0.5
    smoking = rng.random(8000) < np.where(gene, 0.8, 0.2)
    tar = rng.random(8000) < np.where(smoking, 0.8, 0.3)
    cancer = rng.random(8000) < 0.1 + 0.4 * gene + 0.4 * tar
    frame = pd.DataFrame({"smoking": names(smoking), "tar": names(tar), "cancer": names(cancer)})
    edges = [("gene", "smoking"), ("gene", "cancer"), ("smoking", "tar"), ("tar", "cancer")]
    return model_of(frame, edges, ["gene"]), frame


def test_without_being_asked_for_an_interval_never_stands_for_a_number(offers):
    with pytest.raises(NotIdentifiedError, match="the latent 'mood' causes both 'drug' and 'well'"):
        answer_questions(offers, [DRUG], EffectRequest())
    refused = answer_questions(offers, [DRUG], EffectRequest(on_refusal="report"))[0]
    assert set(refused) == {"target", "error"}


def test_an_interval_holds_the_truth_and_says_why_it_is_none(offers):
    found = answer_questions(offers, [DRUG], EffectRequest(bounds=True))[0]
    low, high = found["bounds"]["yes"]
    assert low < 0.2 + 0.3 / 2 + 0.2 < high
    assert found["bounds"]["no"] == pytest.approx([1 - high, 1 - low], abs=1e-6)
    assert "distribution" not in found
    assert found["bounds_are_sharp"]
    assert found["contradiction"] < 0.05
    assert found["not_identified"].startswith("p(well | do(drug)) cannot be told from observations")


def test_a_difference_is_bounded_and_the_local_effect_stands_beside_it(offers):
    found = answer_questions(offers, [{**DRUG, "contrast": "ate"}], EffectRequest(bounds=True))[0]
    low, high = found["bounds"]
    assert low < 0.2 < high
    assert "value" not in found
    (local,) = found["local_effects"]
    assert local["instrument"] == "offer"
    assert local["values"] == ["yes", "no"]
    assert local["share"] == pytest.approx(0.5, abs=0.05)
    assert local["value"] == pytest.approx(0.2, abs=0.1)
    assert "monotonicity" in local["assumes"]


def test_two_proxies_stand_beside_the_bounds_with_what_they_assume(patients):
    found = answer_questions(patients, [{**DRUG, "contrast": "ate"}], EffectRequest(bounds=True))[0]
    assert found["bounds"][0] < 0.2 < found["bounds"][1]
    (by,) = found["proxy_effects"]
    assert by["proxies"] == ["test", "days"]
    assert by["value"] == pytest.approx(0.2, abs=0.03)
    assert by["standard_error"] is None  # nothing says how many rows the model learned from
    assert 1 < by["condition"] < 4
    assert by["assumes"] == "'ill' has no more than 2 values, which 'test' and 'days' tell apart (completeness)"
    assert "value" not in found
    plain = answer_questions(patients, [DRUG], EffectRequest(bounds=True))[0]["proxy_effects"][0]
    assert plain["distribution"]["yes"] == pytest.approx(0.6, abs=0.03)
    assert sum(plain["distribution"].values()) == pytest.approx(1, abs=1e-6)


def test_a_question_that_is_told_is_answered_by_a_number_with_its_formula(smokers):
    model, _ = smokers
    question = {"target": "cancer", "do": {"smoking": "yes"}}
    found = answer_questions(model, [question], EffectRequest(bounds=True))[0]
    assert "bounds" not in found
    assert found["distribution"]["yes"] == pytest.approx(0.1 + 0.4 / 2 + 0.4 * 0.8, abs=0.03)
    assert found["formula"] == ("Σ_{tar} p(tar | smoking) Σ_{smoking'} p(smoking') p(cancer | smoking', tar)")
    assert found["latex"].startswith(r"\sum_{\mathrm{tar}} p(\mathrm{tar} \mid \mathrm{smoking})")
    assert found["formula"] in found["identification"]


def test_what_speaks_against_an_effect_stands_beside_it(smokers):
    model, frame = smokers
    question = {"target": "cancer", "do": {"smoking": "yes"}, "contrast": "ate"}
    found = answer_questions(model, [question], EffectRequest(refute=True, data=frame))[0]
    refutation = found["refutation"]
    assert found["value"] == pytest.approx(0.2, abs=0.03)
    assert all(check["holds"] for check in refutation["checks"])
    assert {(each["cause"], each["effect"]) for each in refutation["arrows"] if each["moved"]} == {
        *(("gene", "smoking"), ("gene", "cancer"))
    }
    assert refutation["sensitivity"]["e_value"] > refutation["sensitivity"]["e_value_of_interval"] > 1
    with pytest.raises(SettingsError, match="An effect is refuted by rows, but none were given"):
        EffectRequest(refute=True).check_rows()


def test_formulas_are_not_doubly_robust(smokers):
    model, frame = smokers
    question = {"target": "cancer", "do": {"smoking": "yes"}, "contrast": "ate"}
    with pytest.raises(hf_trace.HfTraceError, match=r"nothing to be doubly robust with\. Expected estimator 'plug-in'"):
        answer_questions(model, [question], EffectRequest(estimator="aipw", data=frame))


def test_rows_beside_the_model_give_an_interval(smokers):
    model, frame = smokers
    question = {"target": "cancer", "do": {"smoking": "yes"}}
    plain = answer_questions(model, [question], EffectRequest(data=frame))[0]
    assert plain["interval_of"] == "rows"
    low, high = plain["interval"]["yes"]
    assert low < plain["distribution"]["yes"] < high
    assert 0.015 < high - low < 0.05  # tables drawn anew scatter by .007
    found = answer_questions(model, [{**question, "contrast": "ate"}], EffectRequest(data=frame))[0]
    assert found["interval"]["low"] < found["value"] < found["interval"]["high"]
    assert found["standard_error"] == pytest.approx(found["interval"]["standard_error"])
    assert found["standard_error_of"] == "rows"


def test_everybody_from_chosen_rows_and_a_table_of_a_covariate():
    """Half of the old are missing among the treated; a table says how many are old."""
    rng = np.random.default_rng(2)
    old, chance = rng.random(40_000) < 0.4, rng.random(40_000)
    drug = rng.random(40_000) < np.where(old, 0.7, 0.3)
    well = rng.random(40_000) < 0.3 + 0.2 * drug + 0.1 * old + 0.3 * (drug & old)
    chosen = chance < np.where(old & drug, 0.2, 0.8)
    frame = pd.DataFrame({"old": names(old), "drug": names(drug), "well": names(well)})
    edges = [("old", "drug"), ("old", "well"), ("drug", "well"), ("old", "chosen"), ("drug", "chosen")]
    model = model_of(frame[chosen].reset_index(drop=True), edges, ["chosen"])
    question = {**DRUG, "contrast": "ate", "selection": "chosen"}
    with pytest.raises(NotIdentifiedError, match=r"No formula of chosen rows is found for p.*`--population TABLE`"):
        answer_questions(model, [question], EffectRequest())
    with pytest.raises(NotIdentifiedError, match="No formula of chosen rows"):
        answer_questions(model, [question], EffectRequest(bounds=True))
    everybody = EffectRequest(elsewhere=frame[["old"]])
    found = answer_questions(model, [question], everybody)[0]
    assert found["value"] == pytest.approx(0.2 + 0.3 * 0.4, abs=0.03)
    assert found["elsewhere"] == {"rows": 40_000, "covariates": ["old"], "groups": 2}
    plain = answer_questions(model, [{**DRUG, "selection": "chosen"}], everybody)[0]
    assert plain["distribution"]["yes"] == pytest.approx(0.5 + 0.4 * 0.4, abs=0.03)
    with pytest.raises(hf_trace.HfTraceError, match="Rows were chosen, and only the plug-in estimator"):
        answer_questions(model, [question], EffectRequest(refute=True, data=frame))
    with pytest.raises(SettingsError, match="Answers for another population are the model's"):
        EffectRequest(elsewhere=frame, refute=True, data=frame)


def test_a_single_row_is_asked_as_others_are(offers):
    question = {"target": "drug", "do": {"offer": "no"}, "factual": {"offer": "yes", "drug": "yes"}}
    found = answer_questions(offers, [question], EffectRequest())[0]
    # An offer raises the share from .25 to .75: of those who took it with one, a third to .25 / .75 would have, anyhow.
    assert found["counterfactual"]["yes"] == pytest.approx([0.0, 1 / 3], abs=0.03)
    certain = answer_questions(offers, [{**question, "monotone": True}], EffectRequest())[0]
    assert certain["distribution"]["yes"] == pytest.approx(1 / 3, abs=0.03)
    hidden = {**DRUG, "factual": {"drug": "no", "well": "no"}}
    with pytest.raises(NotIdentifiedError, match="the latent 'mood' causes both 'drug' and 'well'"):
        answer_questions(offers, [hidden], EffectRequest())
    with pytest.raises(hf_trace.HfTraceError, match="A contrast, rows that were chosen and another population"):
        answer_questions(offers, [{**question, "contrast": "ate"}], EffectRequest())
