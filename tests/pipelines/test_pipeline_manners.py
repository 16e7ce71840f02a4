"""What users of Transformers do without thinking: data sets, tables and paths as inputs, keywords, workers, batches."""

import json
from dataclasses import fields

import datasets
import pandas as pd
import pytest
from tests.pipelines.test_effect_pipeline import run  # noqa: F401 - a fixture
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from hf_trace.discovery.settings import DiscoveryRequest, DiscoverySettings
from hf_trace.errors import ColumnError, ContextLengthError, ModelLoadError, PipelineInputError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.pipelines.call_parameters import LeveledParameters
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
from hf_trace.pipelines.effect_pipeline import CausalEffectPipeline
from hf_trace.pipelines.typed_results import DiscoveryResult, EffectResult, WhatIfResult

QUESTION = {"do": {0: "C"}, "target": "B", "within": "2", "num_samples": 20}


def rows_of(records):
    rows = [(each["id"], event) for each in records for event in each["events"]]
    return pd.DataFrame(rows, columns=["case", "event"])


def edges(results):
    return [[(edge["cause_position"], edge["effect_position"]) for edge in each["edges"]] for each in results]


@pytest.fixture(scope="module")
def what_if(tiny_run):
    return pipeline("causal-effect", model=str(tiny_run))


@pytest.fixture
def effect(run):  # noqa: F811
    return pipeline("causal-effect", model=str(run))


def test_logs_tables_data_sets_and_paths_are_read_alike(discover, records, tmp_path):
    expected = edges(discover(records))
    table = rows_of(records)
    table.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    split = datasets.DatasetDict({"test": datasets.Dataset.from_list(records)})["test"]
    for given in (
        EventLog.from_dataset(iter(records)),
        table,
        datasets.Dataset.from_pandas(table),
        split,
        KeyDataset(split, "events"),
        split["events"],
        str(tmp_path / "log.csv"),
        tmp_path / "log.csv",
        tmp_path / "log.jsonl",
    ):
        found = discover(given, num_workers=2, batch_size=4)
        assert isinstance(found, list)
        assert edges(found) == expected
        assert discover(given, level="population")["sequences"] == len(records)


def test_a_table_is_read_as_the_log_of_the_run_was(tiny_run, tmp_path, records):
    import shutil

    copy = shutil.copytree(tiny_run, tmp_path / "run")
    recipe = json.loads((copy / "training.json").read_text())
    recipe["reading"] = {"case_column": "machine", "event_column": "what", "query": "what != 'x'"}
    (copy / "training.json").write_text(json.dumps(recipe))
    discover = CausalDiscoveryPipeline.from_pretrained(copy)
    table = rows_of(records).rename(columns={"case": "machine", "event": "what"})
    noise = pd.DataFrame({"machine": ["case0"], "what": ["x"]})
    assert edges(discover(pd.concat([noise, table]))) == edges(discover(records))
    with pytest.raises(SettingsError, match=r"'what'.*So the run was trained; .* with `hf_trace.read_log`\."):
        discover(rows_of(records))
    with pytest.raises(ColumnError, match=r"'machine'.*So the run was trained; .* with `hf_trace.read_log`\."):
        discover(rows_of(records).rename(columns={"event": "what"}))


@pytest.mark.parametrize("options", [{}, {"question": "drives"}])
def test_long_sequences_of_a_population_are_cut_as_in_training(discover, options):
    events = list("ABCDABDC" * 8)
    found = discover({"id": "x", "events": events}, level="population", threshold="margin:0.05", **options)
    assert found["sequences"] == 6  # windows of at most 12
    short = [{"id": "y", "events": events[:12]}]
    assert discover([*short, {"id": "x", "events": events}], level="population", **options)["sequences"] == 7
    log = EventLog.from_dataset(iter([{"id": "x", "events": events}]))
    assert discover(log, level="population", **options)["sequences"] == 6
    for inputs in (log, [{"id": "x", "events": events}]):
        with pytest.raises(ContextLengthError, match="has 64 events, the model reads at most 25"):
            discover(inputs)


def test_what_is_read_whole_is_not_cut(discover):
    events = list("ABCD" * 6)  # twice the windows of the training, and shorter than what the model reads
    assert discover(EventLog.from_dataset(iter([{"events": events}])), level="population")["sequences"] == 1


def test_results_are_mappings_short_in_print_and_tables(discover, records):
    one, whole = discover(records[0]), discover(records, level="population")
    assert isinstance(one, DiscoveryResult)
    assert one == json.loads(json.dumps(one))
    assert repr(one) == f"DiscoveryResult(id='case0', level='instance', nodes=12, edges={len(one['edges'])})"
    assert "sequences=6" in repr(whole)
    assert len(repr(whole)) < 120
    assert one.graph == CausalGraph.from_dict(one["graph"])
    pd.testing.assert_frame_equal(whole.to_pandas(), whole.graph.to_pandas())
    assert "<table" in whole._repr_html_()
    rank = discover.rank(records[0], outcome="B", num_samples=4)
    assert rank.to_pandas()["event"].tolist() == [each["event"] for each in rank["causes"]]
    assert repr(rank).startswith("RankResult(id='case0', outcome='B', causes=")
    outcomes = discover.outcomes(records, outcome="B", num_samples=4)
    assert set(outcomes.to_pandas().get("outcome", ["B"])) == {"B"}
    assert repr(outcomes).startswith("OutcomesResult(causes={'B': ")


def test_what_ifs_may_be_asked_by_keywords(what_if, records):
    question = {**records[0], **QUESTION}
    options = {"num_samples": question.pop("num_samples")}
    expected = what_if(question, **options)
    assert isinstance(expected, WhatIfResult)
    assert what_if(events=records[0]["events"], id="case0", **QUESTION) == expected
    assert what_if(records[0], **QUESTION) == expected
    every = what_if(EventLog.from_dataset(iter(records)), **QUESTION)
    assert every[0] == expected
    assert every == what_if(rows_of(records), batch_size=2, num_workers=1, **QUESTION)
    column = KeyDataset(datasets.Dataset.from_list(records), "events")
    assert [each["factual"] for each in what_if(column, **QUESTION)] == [each["factual"] for each in every]
    assert expected.to_pandas()["case"].tolist() == ["factual", "intervened", "difference"]
    assert repr(expected).startswith("WhatIfResult(target='B', do={0: 'C'}, factual=")


def test_effects_may_be_asked_by_keywords(effect):
    question = {"target": "days", "do": {"drug": "yes"}, "given": {"severity": "bad"}}
    expected = effect(question)
    assert isinstance(expected, EffectResult)
    assert effect(**question) == effect({"target": "days"}, do=question["do"], given=question["given"]) == expected
    assert effect({"target": "days"}, target="well", do={"drug": "yes"})["target"] == "days"  # the record says more
    many = [{**question, "do": {"drug": value}} for value in ("yes", "no", "yes")]
    together = effect(many)
    for found in (
        effect(many, batch_size=1, num_workers=2),
        effect(KeyDataset([{"q": each} for each in many], "q")),
        pipeline("causal-effect", model=effect.model, batch_size=2)(many),
    ):
        for one, other in zip(found, together, strict=True):
            assert one["distribution"] == pytest.approx(other["distribution"])
    table = expected.to_pandas()
    assert table["probability"].sum() == pytest.approx(1)
    assert table.columns.tolist() == ["days", "probability", "standard_error"]
    ate = effect(target="days", do={"drug": "yes"}, contrast="ate")
    assert ate.to_pandas()[["treated", "control"]].values.tolist() == [list(ate["means"].values())]
    assert repr(ate).startswith("EffectResult(target='days', contrast='ate', value=")
    refused = effect(target="days", do={"drug": "maybe"}, on_refusal="report")
    assert "has no value 'maybe'" in repr(refused)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, r"^Got no question\. Pass one, or say it by keywords: `target=…, do=\{…\}`\.$"),
        ({"targt": "days"}, r"^Unknown parameter 'targt', expected one of: .*Did you mean 'target'\?$"),
        ({"target": "days", "batch_size": 0}, "^batch_size is 0, expected a whole number of at least 1"),
        ({"target": "days", "num_workers": -1}, "^num_workers is -1, expected a whole number of at least 0"),
    ],
)
def test_bad_questions_by_keywords(effect, parameters, message):
    with pytest.raises((PipelineInputError, SettingsError), match=message):
        effect(**parameters)


def test_a_run_of_the_wrong_kind_and_no_run_are_told_in_one_line(run, tiny_run):  # noqa: F811
    wrong = [
        (CausalDiscoveryPipeline, run, "was trained on a table, expected a run of an event log. Ask it for effects: "),
        (CausalDiscoveryPipeline, "nowhere/at/all", "which is no folder here"),
        (CausalEffectPipeline, "nowhere/at/all", "which is no folder here"),
    ]
    for kind, folder, message in wrong:
        with pytest.raises(ModelLoadError, match=message) as caught:
            kind.from_pretrained(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelLoadError, match="was trained on a table"):
        pipeline("causal-discovery", model=str(run))
    with pytest.raises(PipelineInputError, match="this run was trained on an event log"):
        CausalEffectPipeline.from_pretrained(tiny_run)({"target": "a", "do": {"b": "c"}})
    for task in ("causal-discovery", "causal-effect"):
        with pytest.raises(ModelLoadError) as caught:
            pipeline(task)
        assert str(caught.value) == (
            f"The task {task!r} was given no model, expected a run: no model knows the events of every log. Pass one, "
            'such as `model="runs/alarms"`, written by `hf-trace train`.'
        )


def test_editors_know_every_parameter():
    """The types of a call are those of the fields that it sets."""
    known = {each.name for kind in (DiscoverySettings, DiscoveryRequest) for each in fields(kind)} - {"settings"}
    assert set(LeveledParameters.__annotations__) == known | {"num_workers"}
    documented = CausalDiscoveryPipeline.__call__.__doc__
    assert [name for name in known if f"``{name}``" not in documented] == []


def test_a_log_says_what_is_in_it(tiny_log):
    assert repr(tiny_log) == "EventLog(40 sequences, 480 events, 4 event types)"
    shown = tiny_log._repr_html_()
    assert "480 events, 4 event types; longest sequence 12 events, median 12" in shown
    assert shown.index("<td>B</td>") < shown.index("</table>")
    hostile = EventLog.from_dataset(iter([{"events": ["<script>alert(1)</script>", "a"]}]))
    assert "<script" not in hostile._repr_html_()
