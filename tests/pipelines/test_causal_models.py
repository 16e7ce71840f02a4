"""One object from data to answers: the same numbers as the functions below it, and the manners of scikit-learn."""

import json

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from tests.conftest import rule_records

from hf_trace import EventCausalModel, TableCausalModel
from hf_trace.discovery.results import log_result
from hf_trace.errors import EmptyLogError, HfTraceError, ModelLoadError, QueryError, SettingsError
from hf_trace.graphs.counted_graphs import counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.pipelines.discovery_pipeline import load_pipeline

# Those that older versions of scikit-learn have too.
NAMES = (
    *("check_estimator_cloneable", "check_estimator_repr"),
    *("check_get_params_invariance", "check_no_attributes_set_in_init", "check_parameters_default_constructible"),
    *("check_set_params", "check_valid_tag_types"),
)
CHECKS = [getattr(estimator_checks, name) for name in NAMES if hasattr(estimator_checks, name)]


@pytest.fixture(scope="module")
def events(timed_log):
    """A model of a log in which B comes after every A."""
    return EventCausalModel(preset="nano", epochs=1.0).fit(timed_log)


@pytest.fixture(scope="module")
def wetness():
    """Rows of two causes of wet grass."""
    rng = np.random.default_rng(0)
    rain, sprinkler = rng.random((2, 400)) < 0.4
    wet = (rain | sprinkler) ^ (rng.random(400) < 0.1)
    return pd.DataFrame({"rain": rain, "sprinkler": sprinkler, "wet": wet}).replace({True: "yes", False: "no"})


@pytest.fixture(scope="module")
def grass(wetness):
    return TableCausalModel(folds=2).fit(wetness, [("rain", "wet"), ("sprinkler", "wet")])


@pytest.mark.parametrize("kind", [EventCausalModel, TableCausalModel])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_manners_of_scikit_learn(kind, check):
    """Checks that feed arrays of numbers do not apply: these models learn from logs and from tables with a graph."""
    check(kind.__name__, kind())


def test_what_is_not_fitted_says_so(tmp_path):
    asked = [
        *(
            EventCausalModel().graph,
            EventCausalModel().report,
            EventCausalModel().findings,
            EventCausalModel().outcomes,
        ),
        lambda: EventCausalModel().rank("x", outcome="B"),
        lambda: EventCausalModel().on([]),
        lambda: EventCausalModel().save_pretrained(tmp_path),
        lambda: TableCausalModel().ate("wet", {"rain": "yes"}),
        lambda: TableCausalModel().push_to_hub("a/b"),
    ]
    for ask in asked:
        with pytest.raises(NotFittedError):
            ask()


def test_a_log_becomes_a_graph_by_the_functions_below(events, timed_log):
    assert ("A", "B") in events.graph()
    assert events.graph() is events.graph()  # found once
    model, request = events.pipeline_.event_model, events.settings_.requests[0]
    assert events.graph() == log_result(model, model.windows(timed_log).log, request, whole=timed_log).graph
    assert events.graph("counted") == counted_graph(timed_log)
    assert events.graph(threshold="fixed:1000").edges == ()
    assert events.graph("follows", num_contexts=4).metadata["settings"]["question"] == "follows"
    assert events.quality == model.quality
    with pytest.raises(SettingsError, match=r"question is 'folows', expected one of: .*Did you mean 'follows'\?"):
        events.graph("folows")


def test_what_was_chosen_is_told_and_what_was_asked_counts(events, timed_log):
    chosen = {each.option: each for each in events.diagnosis_.suggestions}
    assert chosen["preset"].reason == "as you asked"
    assert events.settings_.training.preset == "nano"
    other = EventCausalModel(preset="nano", question="follows", horizon="60s", seed=3)
    other._look_at(timed_log, "log")
    first = other.settings_.requests[0].settings
    assert (first.question, first.horizon, first.seed, other.settings_.training.seed) == ("follows", "60s", 3, 3)
    with pytest.raises(HfTraceError, match="threshold is 'big'"):
        EventCausalModel(threshold="big").fit(timed_log)


def test_findings_and_report_are_shown_in_a_notebook(events, tmp_path):
    findings, report = events.findings(), events.report()
    assert set(findings.questions) == {"drives", "follows", "counted"}
    assert str(findings) == findings._repr_markdown_() == findings.to_markdown()
    assert repr(findings).startswith("LogFindings('The log: what ")
    assert "\n" not in repr(findings)
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.html
    shown = report._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts allow-downloads"')
    assert shown.count("<script") == 0  # all of it is inside the attribute
    assert repr(report) == f"ReportPage({findings.title!r})"


def test_sequences_are_named_by_id_or_number(events):
    asked = {"do": {2: "removed"}, "target": "B", "within": "2", "num_samples": 8}
    by_number, by_id = events.what_if(3, **asked), events.what_if("case3", **asked)
    assert (
        by_number
        == by_id
        == events.what_if(events.log_[3], **asked)
        == events.pipeline_.what_if(events.log_[3], **asked)
    )
    assert events.rank("case0", outcome="B", num_samples=4)["id"] == "case0"
    assert events.outcomes("B", num_samples=4)["outcomes"][0]["outcome"] == "B"
    with pytest.raises(QueryError, match=r"no sequence 'case99', expected an id or a number from 0 to 39\. Did you"):
        events.what_if("case99", **asked)


def test_a_saved_model_is_asked_about_other_logs(events, timed_log, tmp_path):
    events.save_pretrained(tmp_path / "run")
    assert ("A", "B") in load_pipeline(tmp_path / "run")(list(timed_log), level="population", question="drives").graph
    loaded = EventCausalModel.from_pretrained(tmp_path / "run")
    with pytest.raises(EmptyLogError, match=r"loaded without a log to ask about\. Pass one: `model\.on\(log\)`"):
        loaded.graph()
    assert loaded.on(timed_log).graph() == EventCausalModel.from_pretrained(tmp_path / "run", timed_log).graph()
    other = pd.DataFrame(
        [
            (each["id"], event, time)
            for each in rule_records(12, seed=5, timed=True)
            for event, time in zip(each["events"], each["timestamps"], strict=True)
        ],
        columns=["machine", "alarm", "when"],
    )
    again = events.on(other, case_column="machine", event_column="alarm", time_column="when")
    assert (len(again.log_), len(events.log_)) == (12, 40)
    assert again.graph().metadata["settings"] == events.graph().metadata["settings"]


def test_a_run_remembers_how_its_table_was_read(tmp_path):
    table = pd.DataFrame(
        [(each["id"], event) for each in rule_records(20) for event in each["events"]], columns=["machine", "alarm"]
    )
    model = EventCausalModel(preset="nano", epochs=0.1, folder=tmp_path / "run")
    assert model.fit(table, case_column="machine", event_column="alarm") is model
    recipe = json.loads((tmp_path / "run" / "training.json").read_text())
    assert recipe["reading"] == {"case_column": "machine", "event_column": "alarm"}
    assert len(model.on(table).log_) == 20
    assert clone(model).get_params() == model.get_params()


def test_effects_of_a_table(grass, wetness):
    wet = {rain: wetness[wetness["rain"] == rain] for rain in ("yes", "no")}
    # Nothing causes rain, so that doing is seeing, but for the sprinkler: its share is the same for both.
    shares = wetness["sprinkler"].value_counts(normalize=True)
    expected = {
        rain: sum(share * (each[each["sprinkler"] == on]["wet"] == "yes").mean() for on, share in shares.items())
        for rain, each in wet.items()
    }
    found = {rain: grass.effect("wet", do={"rain": rain})["distribution"]["yes"] for rain in expected}
    assert found == pytest.approx(expected, abs=0.05)
    ate = grass.ate("wet", {"rain": "yes"})
    assert ate["value"] == pytest.approx(found["yes"] - found["no"], abs=1e-6)
    assert grass.ate("wet", {"rain": "no"}, {"rain": "yes"})["value"] == pytest.approx(-ate["value"], abs=1e-6)
    assert grass.att("wet", {"rain": "yes"})["contrast"] == "att"
    dry = grass.cate("wet", {"rain": "yes"}, {"sprinkler": "no"})
    assert dry["value"] > ate["value"]
    doubly = grass.ate("wet", {"rain": "yes"}, estimator="aipw", data=wetness)
    assert doubly["low"] < ate["value"] < doubly["high"]


def variables(model):
    return {each.name: each for each in model.schema_.variables}


def test_a_graph_of_any_kind_is_taken(grass, wetness, tmp_path):
    pairs = [("rain", "wet"), ("sprinkler", "wet")]
    wetness.to_csv(tmp_path / "wet.csv", index=False)
    for graph in (CausalGraph.from_edges(pairs), nx.DiGraph(pairs)):
        model = TableCausalModel(epochs=0.1).fit(tmp_path / "wet.csv", graph)
        assert variables(model) == variables(grass)
    grass.save_pretrained(tmp_path / "run")
    loaded = TableCausalModel.from_pretrained(tmp_path / "run")
    assert variables(loaded) == variables(grass)
    assert loaded.effect("wet", given={"rain": "yes"}) == grass.effect("wet", given={"rain": "yes"})
    with pytest.raises(ModelLoadError, match="trained on a table, expected a run of an event log"):
        EventCausalModel.from_pretrained(tmp_path / "run")


def test_the_run_of_a_log_is_no_table(events, tmp_path):
    events.save_pretrained(tmp_path / "run")
    with pytest.raises(ModelLoadError, match="trained on an event log, expected one of a table"):
        TableCausalModel.from_pretrained(tmp_path / "run")
