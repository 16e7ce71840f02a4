"""From a log to a folder of findings: all files, nothing made twice, no folder of somebody else touched."""

import json

import pytest
from tests.conftest import rule_records

from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import OutputError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.explanation import ExplanationSettings, explain_log
from hf_trace.pipelines.log_questions import LogInWords
from hf_trace.training.log_training import TrainingSettings

FILES = ["counted.json", "explain.json", "findings.md", "graph-follows.json", "graph.json", "graph.png", "report.html"]
ABOUT = LogInWords("rule.csv", "Enough to tell", command="hf-trace explain rule.csv")


def rule_log():
    records = rule_records(30, timed=True)
    return EventLog.from_sequences(
        [EventSequence(tuple(each["events"]), tuple(each["timestamps"]), each["id"]) for each in records]
    )


def settings_of(**training):
    plain = DiscoveryRequest(level="population")
    requests = tuple(plain.updated(question=each, num_contexts=8) if each == "follows" else plain.updated(question=each)
                     for each in ("drives", "follows"))  # fmt: skip
    return ExplanationSettings(TrainingSettings(**{"preset": "nano", "epochs": 1.0, **training}), requests)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A folder that is complete, and what was said on the way."""
    folder, said = tmp_path_factory.mktemp("explained") / "rule", []
    return folder, explain_log(rule_log(), folder, settings_of(), ABOUT, say=said.append), said


def test_all_files_are_there_and_named(explained):
    folder, found, said = explained
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == FILES
    assert (folder / "run" / "metrics.json").is_file()
    # Counting needs no training, and so comes first.
    assert [line.rpartition("Wrote ")[2].rpartition("/")[2] for line in said if "Wrote " in line] == [
        *("counted.json", "run", "graph.json", "graph-follows.json", "graph.png", "report.html", "findings.md")
    ]
    assert said[1] == (
        f"It is counted, in seconds and without a model. What the model finds will be in {folder / 'graph.json'}."
    )
    assert set(found.questions) == {"drives", "follows", "counted"}
    text = (folder / "findings.md").read_text()
    assert text.startswith("# rule.csv: what ")
    assert all(sentence.split(":")[0] in text for sentence in found.summary)
    page = (folder / "report.html").read_text()
    assert "hf-trace explain rule.csv" in page
    assert '"what_if":{"removed":' in page.replace(" ", "")


def test_counting_is_read_first_where_the_model_foresees_no_better(explained):
    folder, found, _ = explained
    quality = json.loads((folder / "run" / "metrics.json").read_text())["validation"]
    beats = quality["beats_bigram"] and quality.get("beats_additive", True)
    assert (next(iter(found.questions)) == "counted") == (not beats)


def test_a_log_that_is_learned_quickly_is_said_to_be(explained, tmp_path):
    said = []
    explain_log(rule_log(), tmp_path / "new", settings_of(quick=True), ABOUT, say=said.append)
    assert sum("`--no-quick` takes longer" in line for line in said) == 1
    assert not any("`--no-quick`" in line for line in explained[2])


def test_a_second_call_makes_nothing_twice(explained):
    folder, found, _ = explained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    said = []
    assert explain_log(rule_log(), folder, settings_of(), ABOUT, say=said.append) == found
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path.name for path in before if after[path] != before[path]} <= {"explain.json"}
    assert sum("is there already" in line for line in said) == 3


def test_what_is_missing_is_made_with_the_same_bytes(explained):
    folder, *_ = explained
    graph = folder / "graph.json"
    before = graph.read_bytes()
    graph.unlink()
    (folder / "report.html").unlink()
    explain_log(rule_log(), folder, settings_of(), ABOUT)
    assert graph.read_bytes() == before
    assert (folder / "report.html").is_file()


def test_another_log_or_setting_is_refused(explained):
    folder, *_ = explained
    with pytest.raises(SettingsError, match="begun with training seed 0, now it is 1"):
        explain_log(rule_log(), folder, settings_of(seed=1), ABOUT)
    with pytest.raises(SettingsError, match="begun with another log"):
        explain_log(rule_log().select(range(20)), folder, settings_of(), ABOUT)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is no folder of an explanation"):
            explain_log(rule_log(), tmp_path, settings_of(), ABOUT, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
