"""What if through the pipelines and the command line: A is always followed by B, and nothing else brings B."""

import json

import pytest
from transformers import pipeline

from hf_trace.errors import ContextLengthError, PipelineInputError, QueryError, SettingsError, UnknownEventError

EVENTS = ["C", "D", "A", "B", "C", "D"]
RECORD = {"id": "x", "events": EVENTS}
TIMED = {**RECORD, "timestamps": [0.0, 10.0, 20.0, 21.0, 60.0, 90.0]}


def test_the_rule_is_found(discover):
    found = discover.what_if(RECORD, do={2: "C"}, target="B", within="1", num_samples=50)
    assert found["factual"]["value"] == pytest.approx(1, abs=0.1)
    assert found["intervened"]["value"] == pytest.approx(0, abs=0.1)
    assert found["difference"]["value"] == pytest.approx(-1, abs=0.15)
    assert (found["observed"], found["do"], found["position"], found["covered"]) == ("A", "C", 2, 1)


def test_a_removed_cause_is_no_cause(discover):
    found = discover.what_if(RECORD, do={2: "removed"}, target="B", within="1")
    assert found["intervened"]["value"] == pytest.approx(0, abs=0.15)
    assert discover.what_if(RECORD, do={2: None}, target="B", within="1") == found


def test_what_comes_later_is_not_read(discover):
    asked = {"do": {2: "C"}, "target": "B", "within": "2", "num_samples": 20}
    later = {**RECORD, "events": [*EVENTS[:3], "D", "D", "D"]}
    assert discover.what_if(later, **asked) == discover.what_if(RECORD, **asked)


def test_horizons_in_time(discover_timed):
    asked = {"do": {2: "removed"}, "target": "B", "num_samples": 200}
    near, far = (discover_timed.what_if(TIMED, within=within, **asked) for within in ("3,1s", "3,1d"))
    assert near["factual"]["value"] < 0.5 < 0.9 < far["factual"]["value"]
    assert far["covered"] < 1  # three events are soon over, a day is not
    assert discover_timed.what_if(TIMED, within="10s", **asked)["covered"] > 0.3


def test_silence_before_a_removed_event_stays_silence(discover_timed):
    # Nothing happens between 10 and 20 s, so the clock starts at the time of the removed event.
    found = discover_timed.what_if(TIMED, do={2: "removed"}, target="B", within="1,1d", num_samples=50)
    assert found["intervened"]["value"] < 0.2


def test_the_effect_task_takes_event_runs(tiny_run, discover):
    effect = pipeline("causal-effect", model=str(tiny_run))
    question = {**RECORD, "do": {2: "C"}, "target": "B", "within": "1"}
    found = effect(question, num_samples=20)
    assert found == discover.what_if(RECORD, do={2: "C"}, target="B", within="1", num_samples=20)
    assert effect([question], num_samples=20) == [found]
    with pytest.raises(PipelineInputError, match="trained on an event log"):
        effect({"target": "B"})
    with pytest.raises(SettingsError, match="Unknown parameter 'draws'"):
        effect(question, draws=3)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"do": {9: "C"}}, QueryError, "expected a whole number from 0 to 5: the sequence 'x' has 6 events"),
        ({"do": {}}, QueryError, "expected one position and the event to put there"),
        ({"do": {0: "removed"}}, QueryError, "Position 0 cannot be removed"),
        ({"do": {1: 5}}, QueryError, "is 5, expected a name or 'removed'"),
        ({"do": {1: "X"}}, UnknownEventError, "'X' is not among the 4 events of the model. It knows 'A', 'B'"),
        ({"target": "BB"}, UnknownEventError, "Did you mean 'B'"),
        ({"within": "soon"}, SettingsError, "horizon is 'soon'"),
        ({"within": "10s"}, SettingsError, "trained without the time between events"),
        ({"within": "40"}, ContextLengthError, "too few for 40 events ahead"),
        ({"num_samples": 0}, SettingsError, "num_samples is 0"),
    ],
)
def test_what_cannot_be_answered_is_refused(discover, asked, error, message):
    with pytest.raises(error, match=message):
        discover.what_if(RECORD, **{"do": {2: "C"}, "target": "B", "within": "1", **asked})


def test_many_records_are_refused(discover):
    with pytest.raises(PipelineInputError, match="expected one record"):
        discover.what_if([RECORD], do={2: "C"}, target="B")


ASK = ["effect", "timed", "log.csv", "--id", "case3", "--target", "B", "--num-samples", 20]


def test_command_line(place, hf_trace):
    code, out, err = hf_trace(*ASK, "--do", "4=C", "--within", "2", "--json", "--out", "answer.jsonl")
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["id"], answer["do"], answer["num_samples"]) == ("case3", "C", 20)
    assert json.loads((place / "answer.jsonl").read_text()) == answer
    code, out, err = hf_trace(*ASK, "--do", "4=removed", "--within", "300s")
    assert code == 0, err
    assert "p(B within 300s after position 4)" in out
    assert "difference" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*ASK], "`--do` names nothing, expected one"),
        ([*ASK, "--do", "X=3"], "`--do` is 'X=3', and no event of the sequence 'case3' is called 'X'"),
        ([*ASK, "--do", "2=C", "--given", "A=1"], "`--given` is for runs trained on a table"),
        (["effect", "timed", "log.csv", "--do", "2=C", "--target", "B"], "expected one. Choose it: `--id"),
        (["effect", "timed", "log.csv", "--do", "2=C", "--id", "z", "--target", "B"], "No sequence has the id 'z'"),
        (["effect", "timed", "log.csv", "--do", "2=C", "--id", "case3"], "Nothing is asked about"),
        (["effect", "timed", "--do", "2=C", "--target", "A"], "is of events, which are asked about in a sequence"),
    ],
)
def test_mistakes_are_one_line(place, refused, arguments, message):
    assert message in refused(*arguments)
