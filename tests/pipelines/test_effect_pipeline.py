"""``pipeline("causal-effect")`` and ``hf-trace effect`` on a small run, and everything that can be asked wrongly."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, pipeline

from hf_trace.cli import main
from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.asking.answer_documents import missed_effect
from hf_trace.effects.contrasts import Contrast, row_columns
from hf_trace.effects.doubly_robust import aipw_ate
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.table_questions import EffectRequest, answer_questions
from hf_trace.errors import HfTraceError, SettingsError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

SCHEMA = DagSchema(
    (
        Variable("severity", "ordinal", values=("mild", "bad")),
        Variable("drug", values=("no", "yes"), parents=("severity",)),
        Variable("visits", "sequence", values=("home", "ward"), parents=("severity",), max_length=3),
        Variable(
            "days",
            "numeric",
            values=("< 3", "3 to 9", "≥ 9", MISSING),
            edges=(3.0, 9.0),
            means=(1.5, 5.0, 14.0, float("nan")),
            parents=("severity", "drug"),
        ),
        Variable("well", values=("no", "yes"), parents=("drug", "days", "visits")),
    )
)


@pytest.fixture(scope="module", params=["parents", "full"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / request.param
    order = "fixed" if request.param == "parents" else "random"
    tokenizer = DagTokenizer.from_schema(SCHEMA, history=request.param, order=order)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "metrics.json").write_text(json.dumps({"rows": 10_000}))
    (folder / "training.json").write_text(json.dumps({"kind": "table"}))
    return folder


@pytest.fixture(scope="module")
def effect(run):
    return pipeline("causal-effect", model=str(run))


DO = {"target": "well", "do": {"drug": "yes"}}


def test_an_answer_has_probabilities_errors_and_reasons(effect):
    out = effect(DO, num_samples=500, seed=1)
    assert sum(out["distribution"].values()) == pytest.approx(1)
    assert list(out["distribution"]) == ["no", "yes"]
    assert set(out["standard_error"]) == {"no", "yes"}
    assert out["method"] == "sampling"  # visits are too many to enumerate
    assert out["effective_sample_size"] == pytest.approx(500)  # nothing is given
    assert out["order"].index("severity") < out["order"].index("drug") < out["order"].index("well")
    assert "drug" in out["overlap"]
    assert effect(DO, num_samples=500, seed=1) == out


def test_finite_questions_are_enumerated(effect):
    out = effect({"target": "days", "do": {"drug": "yes"}, "given": {"severity": "bad"}})
    assert out["method"] == "enumeration"
    assert out["standard_error"]["< 3"] == 0
    shares = np.array(list(out["distribution"].values()))[:3]
    assert out["expectation"]["mean"] == pytest.approx(shares @ [1.5, 5, 14] / shares.sum())


def test_numbers_fall_into_bins(effect):
    by_number = effect({"target": "drug", "given": {"days": 4.2}})
    assert by_number == effect({"target": "drug", "given": {"days": "3 to 9"}})


def test_many_questions_are_answered_as_alone(effect):
    questions = [{"target": "days", "do": {"drug": drug}} for drug in ("no", "yes")]
    together = effect(questions)
    for one, question in zip(together, questions, strict=True):
        assert one["distribution"] == pytest.approx(effect(question)["distribution"])


def test_sequences_may_be_forced_whole_or_in_part(effect):
    whole = effect({"target": "well", "do": {"visits": ["home", "ward"], "drug": "no"}})
    assert whole["method"] == "enumeration"
    text = effect({"target": "well", "do": {"visits": "home, ward", "drug": "no"}})
    assert text == whole
    begun = effect({"target": "well", "do": {"visits": ["home", "..."], "drug": "no"}}, num_samples=300)
    assert begun["method"] == "sampling"
    begun_as_mapping = effect({"target": "well", "do": {"visits": {"prefix": ["home"]}, "drug": "no"}}, num_samples=300)
    assert begun_as_mapping["distribution"] == begun["distribution"]
    full = effect({"target": "well", "do": {"visits": {"prefix": ["home", "ward"], "length": 2}, "drug": "no"}})
    assert abs(full["distribution"]["no"] - whole["distribution"]["no"]) < 4 * full["standard_error"]["no"]


def test_policies_are_mixtures_of_what_they_mix(effect):
    never, always = (effect({"target": "days", "do": {"drug": drug}})["distribution"]["< 3"] for drug in ("no", "yes"))
    mixed = effect({"target": "days", "do": {"drug": {"no": 0.3, "yes": 0.7}}})
    assert mixed["distribution"]["< 3"] == pytest.approx(0.3 * never + 0.7 * always, abs=1e-6)
    rules = [{"when": {"severity": "bad"}, "then": {"yes": 1.0}}, {"then": {"no": 1.0}}]
    by_rule = effect({"target": "days", "do": {"drug": rules}})

    def policy(known):
        return "yes" if known["severity"] == "bad" else "no"

    by_function = effect({"target": "days", "do": {"drug": policy}})
    assert by_rule["distribution"] == pytest.approx(by_function["distribution"])
    severity = effect({"target": "severity"})["distribution"]
    cases = (("mild", "no"), ("bad", "yes"))
    parts = [
        severity[value]
        * effect({"target": "days", "do": {"drug": drug}, "given": {"severity": value}})["distribution"]["< 3"]
        for value, drug in cases
    ]
    assert by_rule["distribution"]["< 3"] == pytest.approx(sum(parts), abs=1e-6)


def test_contrasts_are_differences(effect):
    out = effect({"target": "days", "do": {"drug": "yes"}, "contrast": "ate"})
    means = [effect({"target": "days", "do": {"drug": drug}})["expectation"]["mean"] for drug in ("yes", "no")]
    assert out["value"] == pytest.approx(means[0] - means[1])
    assert out["of"] == "mean of days"
    part = effect(
        {
            "target": "well",
            "do": {"drug": "yes"},
            "given": {"severity": "bad"},
            "contrast": "cate",
            "versus": {"drug": "no"},
        },
        num_samples=400,
    )
    assert part["of"] == "p(well = yes)"
    assert part["standard_error"] > 0
    treated = effect({"target": "days", "do": {"drug": "yes"}, "contrast": "att"})
    assert treated["means"]["treated"] == pytest.approx(
        effect({"target": "days", "given": {"drug": "yes"}})["expectation"]["mean"], abs=1e-6
    )


def rows(count, seed=0):
    generator = np.random.default_rng(seed)
    severity = generator.choice(["mild", "bad"], count)
    drug = np.where(generator.random(count) < np.where(severity == "bad", 0.7, 0.3), "yes", "no")
    days = generator.exponential(4, count) + 2 * (severity == "bad")
    visits = [" ".join(generator.choice(["home", "ward"], generator.integers(1, 4))) for _ in range(count)]
    well = generator.choice(["no", "yes"], count)
    return pd.DataFrame({"severity": severity, "drug": drug, "days": days, "visits": visits, "well": well})


def test_doubly_robust_estimates_use_the_rows(run, effect):
    data = rows(200)
    out = effect({"target": "days", "do": {"drug": "yes"}, "contrast": "ate"}, estimator="aipw", data=data)
    assert out["low"] < out["value"] < out["high"]
    assert out["rows"] == 200
    assert not out["cross_fitted"]
    arms = {}
    for severity in ("mild", "bad"):
        for drug in ("yes", "no"):
            answer = effect({"target": "days", "do": {"drug": drug}, "given": {"severity": severity}})
            arms[severity, drug] = answer["expectation"]["mean"], answer["overlap"]["drug"]["mean"]
    mean, share = (
        np.array([[arms[severity, drug][part] for drug in ("yes", "no")] for severity in data["severity"]])
        for part in (0, 1)
    )
    model = TableModel.load(run)
    contrast = Contrast("ate", model.reader.query({"target": "days", "do": {"drug": "yes"}}), {"drug": 0})
    found = row_columns(model, contrast, model.schema["days"].numbers, data, AnswerSettings())
    treated = (data["drug"] == "yes").to_numpy()
    assert (found.treated == treated).all()
    # Propensities of a model that was not trained are calibrated by the rows.
    assert found.propensity.sum(axis=1) == pytest.approx(1)
    assert abs(found.propensity[:, 0].mean() - treated.mean()) < 0.05 < abs(share[:, 0].mean() - treated.mean())
    # The days themselves, not the means 1.5, 5 and 14 of their bins; means that hold nothing to learn err no further.
    assert found.outcome.tolist() == data["days"].tolist()
    left = [((found.outcome - each[:, 0])[treated] ** 2).mean() for each in (found.mean, mean)]
    assert left[0] < 1.02 * left[1]
    expected = aipw_ate(found)
    assert out["value"] == pytest.approx(expected.value, abs=1e-6)
    assert out["standard_error"] == pytest.approx(expected.standard_error, abs=1e-6)


def test_targeted_estimates_name_their_population_and_print_their_own_means(effect):
    data, question = rows(200), {"target": "days", "do": {"drug": "yes"}, "contrast": "ate"}
    everybody = effect(question, estimator="tmle", data=data)
    assert everybody["value"] == pytest.approx(everybody["means"]["treated"] - everybody["means"]["control"])
    assert data["days"].min() <= everybody["means"]["control"] <= data["days"].max()
    assert everybody["population"] == "all rows"
    some = effect(question, estimator="tmle", data=data, population="overlap")
    assert some["population"].startswith("all rows, each weighted by")
    with pytest.raises(SettingsError, match="The population is 'overlap', and the plug-in estimator weighs no rows"):
        effect(question, population="overlap")


def test_a_group_that_the_model_misses_is_told_with_every_answer(run):
    model = TableModel.load(run)
    miss = {"variable": "days", "value": "", "parent": "drug", "group": "yes", "rows": 20.0, "observed": 3.0}
    model.__dict__["metrics"] = {"misses": [{**miss, "predicted": 5.0, "standard_error": 0.5}, {"damaged": 1}]}
    told = "Where 'drug' is 'yes' (20 rows), the model says 5 on average of 'days', the rows 3 ± 0.5: more than chance."
    for question in ({"do": {"drug": "yes"}}, {"do": {"drug": "yes"}, "contrast": "ate"}):
        (answer,) = answer_questions(model, [{"target": "days", **question}], EffectRequest())
        assert any(warning.startswith(told) for warning in answer["warnings"])


def test_what_missed_groups_do_to_an_effect(run):
    model = TableModel.load(run)
    common = {"parent": "drug", "rows": 20.0, "standard_error": 0.1}
    misses = [
        {"variable": "days", "value": "", "group": "yes", "predicted": 5.0, "observed": 3.0},
        {"variable": "well", "value": "yes", "group": "no", "predicted": 0.3, "observed": 0.5},
        {"variable": "well", "value": "yes", "group": "yes", "predicted": 0.6, "observed": 0.5},
        {"variable": "well", "value": "no", "group": "yes", "predicted": 0.4, "observed": 0.5},
    ]
    model.__dict__["metrics"] = {"misses": [{**common, **each} for each in misses]}
    to_drug = {"drug": Force(1)}
    numbers = np.asarray(model.schema["days"].numbers)
    assert missed_effect(model, Contrast("ate", Query("days", to_drug), {"drug": 0}), numbers) == 0
    of_well = Contrast("ate", Query("well", to_drug), {"drug": 0})
    assert missed_effect(model, of_well, np.array([0.0, 1.0])) == pytest.approx(0.1 - -0.2)
    half = Contrast("ate", Query("well", to_drug), {"drug": Follow((), lambda codes: np.full((len(codes), 2), 0.5))})
    assert missed_effect(model, half, np.array([0.0, 1.0])) == 0


def test_parameters_of_the_pipeline_count_until_a_call_says_otherwise(run, effect):
    sparing = pipeline("causal-effect", model=str(run), num_samples=40, on_refusal="report", estimator="aipw")
    plain = sparing(DO)
    assert plain["settings"]["num_samples"] == plain["num_samples"] == 40
    for found, expected in (
        (plain, effect(DO, num_samples=40)),
        (sparing(DO, num_samples=50), effect(DO, num_samples=50)),
        (sparing(DO), plain),  # a call leaves nothing behind
    ):
        assert (found["num_samples"], found["settings"]) == (expected["num_samples"], expected["settings"])
        # Products of matrices may differ in the last bits from call to call.
        assert found["distribution"] == pytest.approx(expected["distribution"], abs=1e-7)
    assert "no variable" in sparing({"target": "x"})["error"]
    question = {"target": "days", "do": {"drug": "yes"}, "contrast": "ate"}
    assert sparing(question, data=(data := rows(60))) == effect(question, num_samples=40, estimator="aipw", data=data)
    with pytest.raises(HfTraceError, match=r"Unknown parameter 'num_sample'.*Did you mean 'num_samples'"):
        pipeline("causal-effect", model=str(run), num_sample=3)
    with pytest.raises(HfTraceError, match="seed is -1, expected a whole number of at least 0"):
        pipeline("causal-effect", model=str(run), seed=-1)


def test_parameters_of_an_event_run_count_the_same_way(tiny_run):
    question = {"events": ["C", "D", "A", "B", "C", "D"], "do": {2: "C"}, "target": "B"}
    sparing, usual = (pipeline("causal-effect", model=str(tiny_run), **each) for each in ({"num_samples": 20}, {}))
    assert type(sparing) is type(usual)
    assert sparing(question, within="1") == usual(question, within="1", num_samples=20)
    assert sparing({**question, "within": "1"}, within="2") == sparing(question, within="1")  # the record says more
    with pytest.raises(HfTraceError, match="Unknown parameter 'estimator'"):
        usual(question, estimator="aipw")


def test_tables_are_asked_without_any_pipeline(run, effect):
    model = TableModel.load(run)
    assert answer_questions(model, [DO], EffectRequest(num_samples=40)) == [effect(DO, num_samples=40)]
    assert (model.rows, model.members, model.folds, model.only_read) == (10_000, [], None, frozenset())


@pytest.mark.parametrize(
    ("question", "parameters", "message"),
    [
        ("well", {}, "Got str, expected a question"),
        ([], {}, "Got an empty list"),
        ({"do": {}}, {}, "The question has no target"),
        ({"target": "well", "doo": {}}, {}, "has the key 'doo'.*Did you mean 'do'"),
        ({"target": "well", "do": "drug"}, {}, "'do' is 'drug', expected values by variable"),
        ({"target": "Well"}, {}, "no variable 'Well'.*Did you mean 'well'"),
        ({"target": "visits"}, {}, "The target 'visits' is a sequence"),
        ({"target": "well", "do": {"drug": "maybe"}}, {}, "'drug' has no value 'maybe'"),
        ({"target": "well", "do": {"drug": "Yes"}}, {}, "no value 'Yes'.*Did you mean 'yes'"),
        ({"target": "well", "do": {"drug": "yes"}, "given": {"drug": "no"}}, {}, "both in `do` and in `given`"),
        ({"target": "well", "do": {"well": "yes"}}, {}, "'well' is the target and in `do`"),
        ({"target": "well", "do": {"visits": ["house"]}}, {}, "house"),
        ({"target": "well", "do": {"visits": ["home"] * 4}}, {}, "4 items, expected at most 3"),
        ({"target": "well", "do": {"visits": {"first": []}}}, {}, "has the key 'first'"),
        ({"target": "well", "do": {"visits": {"length": 9}}}, {}, "length of 'visits' is 9"),
        ({"target": "well", "do": {"visits": {"prefix": ["home"], "length": 0}}}, {}, "its prefix has 1 items"),
        ({"target": "well", "do": {"drug": {"yes": 0.5}}}, {}, "add up to 0.5, expected 1"),
        ({"target": "well", "do": {"drug": {"yes": 2}}}, {}, "the probability 2, expected 0 to 1"),
        ({"target": "well", "do": {"drug": ["yes", "no"]}}, {}, "expected one value, probabilities by value"),
        ({"target": "well", "do": {"drug": [{"when": {"days": 1}, "then": {"yes": 1.0}}]}}, {}, "days"),
        ({"target": "well", "do": {"drug": [{"when": {"severity": "bad"}, "then": {"yes": 1.0}}]}}, {}, "No rule"),
        ({**DO, "contrast": "atc"}, {}, "contrast is 'atc', expected one of: ate, att, cate"),
        ({**DO, "contrast": "cate"}, {}, "needs one: expected values given"),
        ({**DO, "contrast": "ate", "versus": {"drug": "yes"}}, {}, "Both interventions are the same"),
        ({"target": "well", "do": {"days": 1}, "contrast": "ate"}, {}, "what 'days' is compared with"),
        ({**DO, "contrast": "ate"}, {"estimator": "aipw"}, "works on rows, but none were given"),
        ({**DO, "contrast": "ate"}, {"estimator": "magic"}, "estimator is 'magic'"),
        (DO, {"num_sample": 3}, "Unknown parameter 'num_sample'"),
        (DO, {"num_samples": 0}, "num_samples is 0"),
        (DO, {"most_states": 0}, "most_states is 0, expected a whole number of at least 1"),
        (DO, {"least_effective": -1.0}, "least_effective is -1.0, expected a number of at least 0"),
        (DO, {"on_refusal": "skip"}, "on_refusal is 'skip', expected one of: raise, report"),
        (DO, {"training_rows": 5}, "Unknown parameter 'training_rows'"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_line(effect, question, parameters, message):
    with pytest.raises(HfTraceError, match=message) as caught:
        effect(question, **parameters)
    assert "\n" not in str(caught.value)


def test_a_run_made_for_events_is_refused(tmp_path):
    from hf_trace.tokenizers.event_tokenizer import EventTokenizer

    tokenizer = EventTokenizer.from_event_types(["a", "b"])
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(HfTraceError, match="holds no graph of variables"):
        pipeline("causal-effect", model=str(tmp_path))


def call(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["hf-trace", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_command_line(run, tmp_path, monkeypatch, capsys):
    code, out, _ = call(
        ["effect", run, "--target", "days", "--do", "drug=yes", "--given", "severity=bad", "--json"],
        monkeypatch,
        capsys,
    )
    assert code == 0
    assert json.loads(out)["method"] == "enumeration"
    code, out, err = call(["effect", run, "--target", "days", "--do", "drug=yes"], monkeypatch, capsys)
    assert code == 0
    assert "p(days | do(drug = yes))" in out
    assert "overlap of drug" in err
    data = tmp_path / "rows.csv"
    rows(60).to_csv(data, index=False)
    arguments = ["effect", run, "--target", "days", "--do", "drug=yes", "--contrast", "ate"]
    code, out, _ = call([*arguments, "--estimator", "aipw", "--data", data], monkeypatch, capsys)
    assert code == 0
    assert "95 % interval" in out
    assert "Monte Carlo error" not in out  # the error is that of the rows
    asked = tmp_path / "questions.jsonl"
    asked.write_text("".join(json.dumps({"target": "days", "do": {"drug": drug}}) + "\n" for drug in ("no", "yes")))
    answered = tmp_path / "answers.jsonl"
    code, _, _ = call(["effect", run, "--queries", asked, "--out", answered], monkeypatch, capsys)
    assert code == 0
    assert len(answered.read_text().splitlines()) == 2


def test_a_monte_carlo_error_is_called_one_and_never_stands_for_all(run, monkeypatch, capsys):
    """Enumerated or drawn with little spread: no bare 0.000 that reads as certainty."""
    code, out, err = call(["effect", run, *ASK], monkeypatch, capsys)
    assert code == 0
    assert ("Monte Carlo error" in out, "standard error" in out, "0.000" in out) == (True, False, False)
    assert "enumerated, no Monte Carlo error; how far the fitted model is off is not known: train with" in err
    assert "± 0" not in err
    assert "How far the mean of 'days' is off because it is read in 3 bins is not known of this run" in " ".join(
        err.split()
    )
    code, out, err = call(["effect", run, *ASK, "--contrast", "ate"], monkeypatch, capsys)
    assert code == 0
    assert ("Monte Carlo error  none, enumerated" in out, "standard error" in out) == (True, False)
    assert "How far the fitted model is off is not known: train with `--folds 5`" in err
    # 'well' follows sequences, which are drawn.
    code, out, err = call(
        ["effect", run, "--target", "well", "--do", "drug=yes", "--contrast", "ate"], monkeypatch, capsys
    )
    assert code == 0
    assert "Monte Carlo error" in out
    assert "standard error" not in out
    code, out, err = call(["effect", run, "--target", "well", "--do", "drug=yes"], monkeypatch, capsys)
    assert "how far the fitted model is off is not known: train with" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no question, expected a JSON document in every line"),
        (b"\n \r\n", "holds no question"),
        ('{"target": "days"}'.encode("utf-16"), "is not UTF-8 (byte 1)"),
        (b'{"target": "d\xe9"}', "is not UTF-8 (byte 14)"),
        (b'{"target": "days"}\n{"target": ', "Line 2 of"),
        (b"[" * 100_000, "Line 1 of"),
        (b'{"target": ' + b"1" * 5_000 + b"}", "whole number of 5,000 digits"),
        (b'{"target": "\\ud800"}', "half of a character"),
        (b"3", "expected a question such as"),
        (b"null", "expected a question such as"),
        (b'{"target": NaN}', "The question has no target"),
    ],
)  # fmt: skip
def test_damaged_questions_are_one_line(run, text, message, tmp_path, monkeypatch, capsys):
    path = tmp_path / "questions.jsonl"
    path.write_bytes(text)
    code, out, err = call(["effect", run, "--queries", path], monkeypatch, capsys)
    assert (code, out) == (1, "")
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1


def test_questions_may_hold_other_ends_of_lines(run, tmp_path, monkeypatch, capsys):
    path = tmp_path / "questions.jsonl"
    path.write_text('\ufeff{"target": "days", "do": {"drug": "a\u2028b"}}\r\n{"target": "days"}\n', encoding="utf-8")
    code, out, _ = call(["effect", run, "--queries", path, "--json"], monkeypatch, capsys)
    assert code == 0
    assert ["error" in each for each in json.loads(out)] == [True, False]


ASK = ["--target", "days", "--do", "drug=yes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing is asked"),
        (["--target", "days", "--do", "drug"], "--do is 'drug', expected VARIABLE=VALUE"),
        (["--target", "days", "--do", "drug=yes", "--do", "drug=no"], "names 'drug' twice"),
        (["--queries", "nothing.jsonl"], "Cannot read or write 'nothing.jsonl'"),
        (["--target", "days", "--do", "drug={yes}"], "no value"),
        ([*ASK, "--within", "16"], "`--within` is for a sequence of a log, but no LOG is named"),
        ([*ASK, "--id", "x"], "`--id` is for a sequence of a log"),
        ([*ASK, "--time-unit", "s"], "`--time-unit` is for a sequence of a log"),
        ([*ASK, "--query", "a > 1"], "`--query` is for a sequence of a log"),
        ([*ASK, "--versus", "drug=no"], "`--versus` is for contrasts, but none is asked for"),
        ([*ASK, "--estimator", "aipw"], "`--estimator` is for contrasts"),
        ([*ASK, "--data", "rows.csv"], "`--data` is not read by the plug-in estimator where no variable is latent"),
        ([*ASK, "--target-value", "< 3"], "`--target-value` is for contrasts"),
        ([*ASK, "--contrast", "ate", "--estimator", "aipw"], "works on rows, but none were given"),
        ([*ASK, "--contrast", "ate", "--data", "rows.csv"], "`--data` is not read by the plug-in estimator"),
        ([*ASK, "--queries", "all.jsonl"], "is for one question, but a file of questions is given"),
        ([*ASK, "--out", "nowhere/answer.jsonl"], "there is no folder 'nowhere'"),
        ([*ASK, "--out", "answer.csv"], "expected a name that ends in .jsonl, .json"),
        (["log.csv", *ASK], "asked about without a log. Leave 'log.csv' out"),
        (["log.csv", *ASK, "--estimator", "aipw"], "`--estimator` is for runs trained on a table"),
    ],
)
def test_command_line_mistakes(run, arguments, message, monkeypatch, capsys):
    code, out, err = call(["effect", run, *arguments], monkeypatch, capsys)
    assert code == 1
    assert message in " ".join(err.split())
    assert not out


ROW = ["--factual", "severity=bad", "--factual", "drug=no", "--factual", "days=12"]


def test_a_single_row_on_the_command_line(run, monkeypatch, capsys):
    asked = ["effect", run, *ASK, *ROW]
    code, out, err = call(asked, monkeypatch, capsys)
    assert code == 0
    assert "p(days | do(drug = yes)) in a row with severity = bad, drug = no, days = 12" in out
    assert ("at least" in out, "everybody" in out) == (True, True)
    assert "Assumes that every variable has noise of its own" in " ".join(err.split())
    code, out, _ = call([*asked, "--monotone", "--json"], monkeypatch, capsys)
    found = json.loads(out)
    assert code == 0
    assert sum(found["distribution"].values()) == pytest.approx(1)
    assert set(found["counterfactual"]) == set(found["distribution"]) == set(SCHEMA["days"].values)
    code, _, err = call([*asked, "--contrast", "ate"], monkeypatch, capsys)
    assert code == 1
    assert "A contrast, rows that were chosen and another population are about averages" in " ".join(err.split())


def test_another_population_on_the_command_line(run, tmp_path, monkeypatch, capsys):
    other = tmp_path / "others.csv"
    pd.DataFrame({"severity": ["bad"] * 3 + ["mild"], "days": [1, 2, 3, 4]}).to_csv(other, index=False)
    code, out, _ = call(["effect", run, *ASK, "--population", other, "--json"], monkeypatch, capsys)
    found = json.loads(out)
    assert code == 0
    assert found["elsewhere"] == {"rows": 4, "covariates": ["severity"], "groups": 2}
    groups = [
        json.loads(call(["effect", run, *ASK, "--given", f"severity={each}", "--json"], monkeypatch, capsys)[1])
        for each in ("bad", "mild")
    ]
    for value, share in found["distribution"].items():
        mixed = [0.75, 0.25] @ np.array([each["distribution"][value] for each in groups])
        assert share == pytest.approx(mixed, abs=1e-6)
    code, _, err = call(["effect", run, *ASK, "--contrast", "ate", "--population", other], monkeypatch, capsys)
    assert code == 0
    assert "The effect is on the 4 rows of the other table." in " ".join(err.split())


def test_a_single_row_in_python(effect):
    row = {"severity": "bad", "drug": "no", "days": 12}
    found = effect({"target": "days", "do": {"drug": "yes"}, "factual": row, "monotone": True})
    frame = found.to_pandas()
    assert list(frame.columns) == ["days", "least", "most", "everybody"]
    assert frame["days"].tolist() == list(SCHEMA["days"].values)
    assert frame["least"].to_numpy() == pytest.approx(list(found["distribution"].values()))
    assert "counterfactual" in repr(found)
