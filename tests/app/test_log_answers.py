"""Answers to questions about a log: figures that can be counted by hand, and every baseline beside its answer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.conftest import units

from hf_trace.app.bounds import Bounds
from hf_trace.app.desk import Desk
from hf_trace.app.log_answers import change_of, comparison_of, graph_of, incident_of, ranking_of, summary_of, what_if_of
from hf_trace.app.sent_logs import SentColumns, read_sent
from hf_trace.app.studies import EXAMPLE, Studies
from hf_trace.app.tools import LogTools
from hf_trace.errors import BusyError, QueryError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence

# In all of 40 cases the alarm begins soon after the leak and never before it: F = n = 40, B = 0.
ONSET = 40 / 40 * (40 + 1) / (40 + 0 + 2)


def test_a_log_is_summarised_with_its_counts(study):
    found = summary_of(study.sent)
    assert [found["answer"][name] for name in ("sequences", "events", "event_types", "rare_types")] == [40, 240, 5, 0]
    assert found["evidence"]["most_frequent"]["leak"] == found["evidence"]["most_frequent"]["alarm"] == 40
    assert found["evidence"]["first_sequence"] == {"id": "unit 0", "events": [*["noise 0"] * 4, "leak", "alarm"]}
    assert found["baseline"]["pairs"] == 5 * 4
    assert found["answer"]["verdict"].startswith("Little")
    json.dumps(found, allow_nan=False)


def test_a_graph_has_its_evidence_and_what_counting_says(study):
    found = graph_of(study, 5)
    first, evidence = found["answer"]["strongest"][0], found["evidence"][0]
    assert (first["cause"], first["effect"], first["direction"]) == ("leak", "alarm", "excites")
    assert "in 100 % of 40 times" in first["finding"]
    example = evidence["examples"][0]
    begin, end = example["times"]
    assert end - begin in (1, 2)
    assert example["events"][-2:] == ["leak", "alarm"]
    ranks = {(each["cause"], each["effect"]): each["onset_rank"] for each in found["baseline"]["ranked_by_counting"]}
    assert ranks["leak", "alarm"] == 1
    assert {"model", "additive in time", "bigram"} <= set(found["baseline"]["nats_per_event"])
    assert found["baseline"]["learned_from"] == "this log"
    json.dumps(found, allow_nan=False)


def test_an_incident_is_ranked_beside_counting(study):
    found = ranking_of(study, "alarm", incident_of(study.sent.log, "alarm", "unit 3"), 3)
    assert (found["answer"]["sequence"], found["answer"]["position"]) == ("unit 3", 5)
    assert len(found["answer"]["causes"]) == len(found["evidence"]) == 3
    beside = found["baseline"]
    assert beside["share_of_all_events"] == pytest.approx(40 / 240, abs=1e-5)
    assert beside["onset_and_direction"]["leak"] == pytest.approx(ONSET, abs=1e-4)
    assert beside["by_counting_alone"][0] == "leak"
    assert all({"effect", "standard_error", "probability"} <= set(each) for each in found["evidence"])


def test_what_if_is_told_beside_what_follows_anyway(study):
    found = what_if_of(study, change_of(study.sent.log, "leak", "removed", "alarm", "unit 3"), "alarm", "5s", 200)
    answer, beside = found["answer"], found["baseline"]
    assert (answer["position"], answer["observed"], answer["do"]) == (4, "leak", "removed")
    gap = answer["intervened"]["value"] - answer["factual"]["value"]
    assert answer["difference"]["value"] == pytest.approx(gap, abs=1e-4)
    assert found["evidence"]["futures"] == 200
    assert (beside["follows_such_an_event"], beside["occurrences"], beside["within"]) == (1.0, 40, "5 seconds")
    assert beside["follows_other_events"] == 0.0  # the last noise of a case is 152 seconds before its leak, or more
    assert "'alarm' follows within 5s with a probability of" in answer["in_words"]


def test_a_horizon_in_events_is_counted_in_events(study):
    found = what_if_of(study, change_of(study.sent.log, "leak", "removed", "alarm", "unit 3"), "alarm", "", 200)
    # Sequences have six events, and the model reads as many: half of them is the usual horizon.
    assert (found["answer"]["within"], found["baseline"]["within"]) == ("3", "3 events")
    # Before its alarm a case has four noises and a leak; of the noises the last two have it within three events.
    assert found["baseline"]["follows_other_events"] == 80 / 160


def test_an_event_is_put_in_place_of_another(study):
    answer = what_if_of(study, change_of(study.sent.log, "leak", "noise 0", "alarm", ""), "alarm", "3", 200)["answer"]
    assert (answer["id"], answer["do"]) == ("unit 0", "noise 0")


def test_model_and_counting_side_by_side(study):
    found = comparison_of(study)
    answer = found["answer"]
    assert ["leak", "alarm"] in answer["both"]
    pairs = [tuple(pair) for name in ("both", "model_alone", "counting_alone") for pair in answer[name]]
    assert len(pairs) == len(set(pairs))
    assert {(each["cause"], each["effect"]) for each in found["evidence"]["model"]} == {
        tuple(pair) for name in ("both", "model_alone") for pair in answer[name]
    }
    counted = {(each["cause"], each["effect"]): each for each in found["evidence"]["counting"]}
    assert counted["leak", "alarm"]["cmi"] == pytest.approx(ONSET, abs=1e-4)
    assert counted["leak", "alarm"]["begins"] == 40


ALONE = EventLog.from_sequences([EventSequence(("a", "b"))])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda log: incident_of(log, "alrm", ""), "is called 'alrm'. Did you mean 'alarm'?"),
        (lambda log: incident_of(log, "alarm", "unit x"), "has no sequence 'unit x', expected an id of one."),
        (lambda _: incident_of(ALONE, "a", ""), "Nothing precedes 'a' in any sequence"),
        (lambda log: change_of(log, "lek", "removed", "alarm", ""), "is called 'lek'. Did you mean 'leak'?"),
        (lambda log: change_of(log, "leak", "removed", "alrm", ""), "is called 'alrm'. Did you mean"),
        (lambda log: change_of(log, "leak", "x", "alarm", ""), "is called 'x'. It has 'alarm', 'leak', "),
        (lambda log: change_of(log, "noise 0", "removed", "alarm", "unit 0"), "comes 4 times in the sequence"),
    ],
)
def test_what_does_not_exist_is_told_in_one_line(study, ask, message):
    with pytest.raises(QueryError) as caught:
        ask(study.sent.log)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_question_that_is_none_is_refused(study):
    with pytest.raises(SettingsError, match="question is 'causes', expected one of: drives, follows, auto"):
        study.graph("causes")
    with pytest.raises(QueryError, match="The log cannot tell what follows, only what drives"):
        replace(study, graphs={"drives": study.graphs["drives"]}).graph("follows")


def test_the_same_log_is_studied_once_and_only_the_latest_are_kept(studies, study, units_csv, monkeypatch):
    assert studies.study(study.sent) is study
    few = Studies(bounds=Bounds(kept=2))
    monkeypatch.setattr(few, "_studied", lambda sent, doing: replace(study, sent=sent))
    logs = [read_sent(units_csv.encode(), f"{number}.csv") for number in range(3)]
    found = [few.study(each) for each in logs]
    assert few.study(logs[2]) is found[2]
    assert few.study(logs[0]) is not found[0]


def test_who_finds_no_place_is_sent_away(studies, study):
    with studies.turn():
        waiting = [studies._studying.queued() for _ in range(studies.bounds.waiting)]
        for each in waiting:
            each.__enter__()
        with pytest.raises(BusyError, match="Ask again in a minute"):
            studies.study(study.sent)
        for each in waiting:
            each.__exit__(None, None, None)


def test_a_run_is_asked_about_logs_that_it_knows_and_no_other(timed_run, timed_records, units_csv):
    studies = Studies(timed_run, Bounds(tokens=20_000))
    known = "\n".join(json.dumps(each) for each in timed_records[:30])
    study = studies.study(studies.read(known.encode(), "log.jsonl", SentColumns()))
    assert not study.is_trained_here
    assert graph_of(study, 3)["baseline"]["learned_from"] == "what the run of this app learned from"
    assert not studies.has_example
    with pytest.raises(SettingsError, match="This app has no example, and no log was sent"):
        LogTools(studies).summarise_log()


def test_runs_of_tables_are_refused(tmp_path):
    (tmp_path / "training.json").write_text('{"kind": "table"}')
    with pytest.raises(SettingsError, match="is of a table or of states, expected one of an event log"):
        Studies(tmp_path)


def test_the_packaged_alarms_are_the_example_of_their_run():
    studies = Studies(Path(__file__).parents[2] / "checkpoints" / "alarms")
    assert studies.has_example
    assert summary_of(studies.example())["answer"]["log"] == EXAMPLE


def test_names_of_events_mean_nothing_to_a_page(study):
    names = ("<img src=x onerror=alert(1)>", "[a](javascript:alert(1)) `${alert(1)}`")
    sent = read_sent(units(names).encode(), "a.csv")
    desk = Desk(Studies())
    text = desk.report(sent)
    assert "<img" not in text
    assert "](javascript" not in text
    assert set(names) <= set(desk.choices(sent).events)
    renamed = replace(study, sent=sent)
    assert "<" not in desk.beside_counting(renamed)[0].replace("&#60;", "")
