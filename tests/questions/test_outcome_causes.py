"""Causes of outcomes through the pipeline and the command line: what holds an X before a Y goes bad."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from transformers import pipeline

import hf_trace
import hf_trace.questions.outcome_causes as outcome_causes
from hf_trace.errors import EmptyLogError, QueryError, SettingsError, UnknownEventError
from hf_trace.logs.sources import read_log
from hf_trace.questions.outcome_scores import binary_measures, prediction_quality
from hf_trace.training.log_training import train


def labelled(count, *, seed=0, timed=False):
    """Sequences of A, B and C; those with a C go bad, and nothing else does."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(count):
        events = rng.choice(["A", "B"], size=rng.integers(4, 9)).tolist()
        if number % 2:
            events[rng.integers(len(events))] = "C"
        record = {"id": f"s{number}", "events": events, "label": "bad" if "C" in events else "good"}
        if timed:
            record["timestamps"] = np.cumsum(rng.integers(1, 9, len(events))).astype(float).tolist()
        records.append(record)
    return records


@pytest.fixture(scope="module", params=[False, True], ids=["events", "times"])
def timed(request):
    return request.param


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_settings, timed):
    log = read_log(iter(labelled(120, timed=timed)), outcome_column="label")
    settings = replace(tiny_settings, outcome_column="label", ensemble=2, epochs=12.0)
    return train(log, tmp_path_factory.mktemp("outcomes") / "run", settings).folder


@pytest.fixture(scope="module")
def explain(run):
    return pipeline("causal-discovery", model=str(run))


@pytest.fixture
def log(timed):
    return read_log(iter(labelled(20, seed=1, timed=timed)), outcome_column="label")


def test_the_run_knows_its_outcomes(explain):
    assert explain.event_model.outcome_labels == ("outcome:label=bad", "outcome:label=good")
    assert len(explain.event_model.alphabet.token_ids) == 3
    assert len(explain.event_model.members) == 1


def test_the_cause_is_found(explain, log):
    found = explain.outcomes(log)
    bad, good = found["outcomes"]
    assert (bad["outcome"], bad["sequences"], good["sequences"]) == ("outcome:label=bad", 10, 10)
    first = bad["causes"][0]
    assert (first["event"], first["direction"], first["frequency"]) == ("C", "excites", 1.0)
    assert first["gain_low"] > 0.3
    assert [each["event"] for each in bad["causes"]] == ["C"]
    assert bad["probability"] > 0.8
    prediction = found["prediction"]
    assert prediction["sequences"] == 20
    assert prediction["labels"]["outcome:label=bad"]["auroc"] == 1
    assert prediction["log_loss"] < 0.3 < prediction["base_rate_log_loss"]
    assert found["oracle"]["oracles"] == 2


def test_counts_stand_beside(explain, log):
    bad, good = explain.outcomes(log, num_samples=4)["outcomes"]
    (c,) = bad["causes"]
    assert (c["share"], c["share_elsewhere"]) == (1.0, 0.0)
    assert c["p_value"] == pytest.approx(2 / 184_756)  # both tables with all ten on one side, of 20 over 10
    assert all(each["share"] < 1 for each in good["tested"] if each["event"] == "C")


@pytest.mark.parametrize("asked", [{"num_samples": 4}, {"num_samples": 2, "effect": "total", "within": "1"}])
def test_one_outcome_takes_no_effects_of_sequences_with_another(explain, log, monkeypatch, asked):
    few, explained = log.select(np.arange(4)), []
    every = explain.outcomes(few, **asked)
    by_block, by_sequence = outcome_causes.score_outcomes, outcome_causes.score_total_outcomes
    monkeypatch.setattr(outcome_causes, "score_outcomes", lambda *given: explained.extend(given[1]) or by_block(*given))
    monkeypatch.setattr(
        outcome_causes,
        "score_total_outcomes",
        lambda *given, **more: explained.append(given[2]) or by_sequence(*given, **more),
    )
    found = explain.outcomes(few, outcome="bad", **asked)
    assert len(explained) == 2 * 2  # oracles, and sequences that went bad
    assert found["prediction"]["log_loss"] == pytest.approx(every["prediction"]["log_loss"])
    gains, same = ({each["event"]: each["gain"] for each in of["outcomes"][0]["tested"]} for of in (found, every))
    assert gains == pytest.approx(same, abs=1e-5)


def test_total_effects_find_the_cause_too(explain, log):
    few = log.select(np.arange(6))
    found = explain.outcomes(few, effect="total", outcome="bad", num_samples=8, within="9")
    (bad,) = found["outcomes"]
    # Any other event in its place leaves the sequence good, and C might have come in place of A or B.
    (first,) = [each for each in bad["causes"] if each["direction"] == "excites"]
    assert first["event"] == "C"
    assert first["gain_low"] > 0.2
    assert found["prediction"]["labels"]["outcome:label=bad"]["auroc"] == 1


def test_total_effects_of_one_sequence_are_of_first_events(explain, log):
    asked = {"effect": "total", "level": "instance", "num_samples": 4, "proposal": "removed", "within": "4"}
    (bad, _) = explain.outcomes(log[1], **asked)["outcomes"]
    assert {cause["event"] for cause in bad["causes"]} <= {"A", "B", "C"}
    places = [cause["position"] for cause in bad["causes"]]
    assert all(log[1].events[place] not in log[1].events[1:place] for place in places)


def test_single_sequences(explain, log):
    record = log[1]
    found = explain.outcomes(record, level="instance", outcome="bad", proposal="exhaustive")
    assert found["observed"] == "outcome:label=bad"
    (asked,) = found["outcomes"]
    first = asked["causes"][0]
    assert (first["event"], first["position"]) == ("C", record.events.index("C"))
    assert first["gain_low"] < first["gain"] < first["gain_high"]
    assert first["carries"]
    assert len(asked["causes"]) == len(record) - 1
    every = explain.outcomes(list(log), level="instance")
    assert [each["id"] for each in every] == list(log.ids)


def test_labels_need_not_be_known(explain, timed):
    records = [
        {name: record[name] for name in record if name != "label"} for record in labelled(6, seed=2, timed=timed)
    ]
    found = explain.outcomes(records, outcome=["good"])
    assert found["prediction"] is None
    assert found["outcomes"][0]["sequences"] == 6
    chance = [each["outcomes"][0]["probability"] for each in explain.outcomes(records, level="instance")]
    assert min(chance[1::2]) > max(chance[::2])


def test_equal_calls_give_equal_results(explain, log):
    assert explain.outcomes(log, num_samples=4) == explain.outcomes(log, num_samples=4)
    assert explain.outcomes(log, num_samples=4, seed=1) != explain.outcomes(log, num_samples=4)


def test_discovery_never_replaces_by_a_label(explain, log):
    output = explain(log[1], proposal="exhaustive", threshold="fixed:0")
    assert {edge["effect"] for edge in output["edges"]} <= {"A", "B", "C"}


def test_an_event_as_outcome(discover, records):
    found = discover.outcomes(records, outcome="B")
    (named,) = found["outcomes"]
    assert named["causes"][0]["event"] == "A"
    assert found["prediction"] is None
    instance = discover.outcomes(records[0], outcome="B", level="instance")
    several = instance if isinstance(instance, list) else [instance]
    assert all(each["observed"] == "B" for each in several)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"outcome": "ugly"}, UnknownEventError, "'ugly' is not among the"),
        ({"outcome": ["bad", "A"]}, QueryError, "expected one kind"),
        ({"level": "all"}, SettingsError, "level is 'all', expected one of: population, instance"),
        ({"proposal": "none"}, SettingsError, "proposal is 'none'"),
        ({"effect": "indirect"}, SettingsError, "effect is 'indirect', expected one of: direct, total"),
        ({"within": "5"}, SettingsError, "only total effects look ahead"),
        ({"effect": "total", "proposal": "exhaustive"}, SettingsError, "proposal is 'exhaustive', expected one of"),
        ({"num_samples": 0}, SettingsError, "num_samples is 0"),
        ({"draws": 1}, SettingsError, "Unknown parameter 'draws'"),
    ],
)
def test_what_cannot_be_asked_is_refused(explain, log, asked, error, message):
    with pytest.raises(error, match=message):
        explain.outcomes(log, **asked)


def test_runs_without_labels_need_a_name(discover, records):
    with pytest.raises(QueryError, match="trained without an outcome column"):
        discover.outcomes(records)
    with pytest.raises(EmptyLogError, match="No sequence has 'B' after an event"):
        discover.outcomes([{"events": ["A", "C"]}], outcome="B")


def test_predictions_by_hand():
    assert prediction_quality([], [], ["a", "b"]) is None
    predicted = [np.array([chance, 1 - chance]) for chance in (0.9, 0.4, 0.3)]
    summary = prediction_quality(["a", "b", "a"], predicted, ["a", "b"])
    assert summary["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.3]).mean())
    assert summary["base_rate_log_loss"] == pytest.approx(-(2 / 3 * np.log(2 / 3) + np.log(1 / 3) / 3))
    assert summary["labels"]["a"]["auroc"] == pytest.approx(1 / 2)
    assert summary["accuracy"] == pytest.approx(2 / 3)
    assert binary_measures(np.array([True, True]), np.array([0.5, 0.5]))["auroc"] is None


@pytest.fixture
def folder(tmp_path, monkeypatch, run, timed):
    monkeypatch.chdir(tmp_path)
    records = labelled(12, seed=3, timed=timed)
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    for record in records:
        del record["label"]
    (tmp_path / "bare.jsonl").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "run").symlink_to(run)
    return tmp_path


def command(capsys, monkeypatch, *arguments):
    from hf_trace.cli import main

    monkeypatch.setattr("sys.argv", ["hf-trace", *map(str, arguments)])
    with pytest.raises(SystemExit) as exited:
        main()
    return exited.value.code, *capsys.readouterr()


def test_command_line(folder, capsys, monkeypatch):
    ask = ["outcomes", "run", "log.jsonl", "--num-samples", 8]
    code, out, err = command(capsys, monkeypatch, *ask, "--json", "--out", "found.json")
    assert code == 0, err
    found = json.loads(out)
    assert found["outcomes"][0]["causes"][0]["event"] == "C"
    assert json.loads((folder / "found.json").read_text())["prediction"] == found["prediction"]
    code, out, err = command(capsys, monkeypatch, *ask, "--outcome", "bad", "--out", "found.csv")
    assert code == 0, err
    assert "causes of outcome:label=bad in 6 sequences: 1" in out
    with (folder / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["event"]: row["is_cause"] for row in rows}["C"] == "True"
    code, out, err = command(capsys, monkeypatch, *ask, "--level", "instance", "--id", "s1", "--out", "one.csv")
    assert code == 0, err
    assert "in sequence s1: probability" in out
    code, out, err = command(capsys, monkeypatch, "outcomes", "run", "bare.jsonl", "--num-samples", 2)
    assert code == 0, err
    assert "outcomes are predicted, not known" in err


def test_mistakes_are_one_line(folder, capsys, monkeypatch):
    for arguments, message in (
        (["--outcome", "ugly"], "'ugly' is not among the"),
        (["--outcome-column", "labl"], "`outcome_column='labl'` is not one of the keys"),
        (["--out", "x.xml"], "expected a name that ends in .json, .jsonl, .csv"),
    ):
        code, out, err = command(capsys, monkeypatch, "outcomes", "run", "log.jsonl", *arguments)
        assert (code, out) == (1, "")
        assert message in err.splitlines()[-1]
        assert "Traceback" not in err


def test_training_from_the_command_line(folder, capsys, monkeypatch, tiny_config):
    train_log = ["train", "log.jsonl", "--outcome-column", "label", "--out", "new", "--model", tiny_config]
    code, _, err = command(capsys, monkeypatch, *train_log, "--epochs", 1, "--no-gaps")
    assert code == 0, err
    assert json.loads((folder / "new" / "training.json").read_text())["outcome_column"] == "label"
    discover = pipeline("causal-discovery", model="new")
    assert discover.event_model.outcome_labels == ("outcome:label=bad", "outcome:label=good")
    assert hf_trace.__version__
