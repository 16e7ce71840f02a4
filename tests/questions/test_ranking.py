"""Root causes through the pipeline and the command line: A is always followed by B, and nothing else brings B."""

import csv
import json

import numpy as np
import pytest

from hf_trace.errors import EmptyLogError, PipelineInputError, QueryError, SettingsError, UnknownEventError
from hf_trace.questions.ranking import earliest_first, stands_out

INCIDENT = {"id": "i", "events": ["C", "D", "D", "A", "B", "C", "D", "A", "B"]}


@pytest.mark.parametrize("by", ["combined", "effect", "pagerank"])
@pytest.mark.parametrize("proposal", ["model", "uniform", "removed"])
def test_the_cause_comes_first(discover, by, proposal):
    found = discover.rank(INCIDENT, outcome="B", within="4", by=by, proposal=proposal, num_samples=64)
    first = found["causes"][0]
    assert (first["event"], first["position"], first["lag"], first["rank"]) == ("A", 3, 1, 1)
    # What is replaced may bring B later, too: four events are enough for that.
    assert first["effect"] == pytest.approx(first["probability"] - first["probability_without"])
    assert first["effect"] > 0.1
    assert first["path"] == [3, 4]
    assert found["position"] == 4
    assert [cause["rank"] for cause in found["causes"]] == list(range(1, len(found["causes"]) + 1))


def test_another_occurrence(discover):
    found = discover.rank(INCIDENT, outcome="B", position=8, within="3", top=1)
    assert [(cause["event"], cause["position"]) for cause in found["causes"]] == [("A", 7)]


def test_excluded_events_are_no_causes(discover):
    found = discover.rank(INCIDENT, outcome="B", exclude=["A", "C*"], within="4", num_samples=4)
    assert {cause["event"] for cause in found["causes"]} == {"D"}


def test_times(discover_timed):
    record = {**INCIDENT, "timestamps": [0.0, 10.0, 20.0, 30.0, 45.0, 60.0, 70.0, 80.0, 99.0]}
    found = discover_timed.rank(record, outcome="B", within="4,30s", num_samples=8)
    assert sorted(cause["position"] for cause in found["causes"]) == [2, 3]
    assert {cause["lag_seconds"] for cause in found["causes"]} == {25.0, 15.0}


def test_an_unheard_outcome_leaves_surprise(discover):
    record = {"events": ["C", "A", "B", "smoke", "D", "fire"]}
    found = discover.rank(record, outcome="fire", unknown="map", num_samples=4)
    assert "has never seen 'fire'" in found["warning"]
    assert found["settings"]["by"] == "surprise"
    first = found["causes"][0]
    assert (first["event"], first["surprise"], first["effect"], first["path"]) == ("smoke", None, None, [])
    json.dumps(found, allow_nan=False)


def test_a_model_of_normal_operation_says_what_was_unexpected(discover, discover_timed):
    record = {"events": ["C", "A", "B", "smoke", "D", "D", "B"], "timestamps": [0.0, 9.0, 18.0, 27.0, 36.0, 45.0, 54.0]}
    asked = {"outcome": "B", "position": 6, "unknown": "map", "num_samples": 4, "within": "5"}
    plain = discover.rank(record, **asked)
    found = discover.rank(record, **asked, reference=discover_timed, by="surprise")
    assert (found["causes"][0]["event"], found["causes"][0]["surprise"]) == ("smoke", None)
    own = discover.rank(record, **asked, reference=discover)
    assert {each["position"]: each["surprise"] for each in own["causes"]} == pytest.approx(
        {each["position"]: each["surprise"] for each in plain["causes"]}
    )
    assert own["causes"][0]["score"] > plain["causes"][0]["score"]


def test_of_events_never_seen_the_earliest_comes_first():
    scores = earliest_first(np.array([0.5, np.inf, 3.0, np.inf]))
    assert np.argsort(-scores).tolist() == [1, 3, 2, 0]


def test_equal_calls_give_equal_results(discover):
    call = {"outcome": "B", "num_samples": 8, "within": "4"}
    assert discover.rank(INCIDENT, **call) == discover.rank(INCIDENT, **call)
    assert discover.rank(INCIDENT, **call, seed=1) != discover.rank(INCIDENT, **call)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"outcome": "X"}, QueryError, "The sequence 'i' has no event 'X'"),
        ({"position": 3}, QueryError, "Position 3 is not 'B', expected one of: 4, 8"),
        ({"outcome": "C", "position": 0}, QueryError, "first event of the sequence"),
        ({"by": "luck"}, SettingsError, "by is 'luck', expected one of: combined"),
        ({"proposal": "none"}, SettingsError, "proposal is 'none'"),
        ({"num_samples": 0}, SettingsError, "num_samples is 0"),
        ({"top": 0}, SettingsError, "top is 0"),
        ({"exclude": "A"}, SettingsError, "expected a list of patterns"),
        ({"exclude": ["*"]}, EmptyLogError, "may be a cause"),
        ({"draws": 1}, SettingsError, "Unknown parameter 'draws'"),
        ({"within": "5s"}, SettingsError, "trained without the time between events"),
    ],
)
def test_what_cannot_be_ranked_is_refused(discover, asked, error, message):
    with pytest.raises(error, match=message):
        discover.rank(INCIDENT, **{"outcome": "B", "num_samples": 2, **asked})


def test_unknown_outcomes_and_lists_are_refused(discover):
    with pytest.raises(UnknownEventError, match="'fire' is not among the 4 events"):
        discover.rank({"events": ["A", "fire"]}, outcome="fire")
    with pytest.raises(PipelineInputError, match="expected one record"):
        discover.rank([INCIDENT], outcome="B")


def test_it_is_said_when_nothing_stands_out(discover):
    # A always brings B, so it stands out; nothing brings C.
    found = discover.rank(INCIDENT, outcome="B", within="4", num_samples=64)
    assert found["causes"][0]["stands_out"]
    assert "note" not in found
    lone = discover.rank({"id": "x", "events": ["D", "C", "D", "C", "D"]}, outcome="D", position=4, num_samples=2)
    assert not any(cause["stands_out"] for cause in lone["causes"])
    assert lone["note"].startswith("Nothing stands out: no effect on 'D' is above 0 by more than its error.")


def test_effects_of_chance_rarely_stand_out():
    generator = np.random.default_rng(0)
    alarms = [stands_out(generator.normal(size=12), np.ones(12)).any() for _ in range(2000)]
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)
    assert stands_out(np.array([0.2]), np.array([0.0])).all()  # known exactly
    assert not stands_out(np.array([0.0]), np.array([0.0])).any()


RANK = ["rank", "run", "plain.txt", "--num-samples", 8, "--within", 4, "--outcome", "B"]


def test_command_line(place, hf_trace):
    code, out, err = hf_trace(*RANK, "--id", "1", "--json", "--top", 2)
    assert code == 0, err
    ranking = json.loads(out)
    assert (ranking["id"], ranking["causes"][0]["event"], len(ranking["causes"])) == ("1", "A", 2)
    code, out, err = hf_trace(*RANK, "--out", "ranks.csv", "--id", "1", "--id", "2")
    assert code == 0, err
    assert "causes of B at position" in out
    with (place / "ranks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {"1", "2"}
    assert rows[0]["event"] == "A"
    assert hf_trace(*RANK, "--id", "1", "--reference", "run", "--by", "surprise")[0] == 0
    for name in ("ranks.json", "ranks.jsonl"):
        assert hf_trace(*RANK, "--out", name, "--id", "1")[0] == 0
    assert json.loads((place / "ranks.json").read_text()) == [json.loads((place / "ranks.jsonl").read_text())]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*RANK[:-1], "BB"], "No event of the log is called 'BB'. Did you mean 'B'?"),
        ([*RANK, "--id", "99"], "No sequence has the id '99'"),
        ([*RANK, "--out", "ranks.xml"], "expected a name that ends in .json, .jsonl, .csv"),
        ([*RANK, "--by", "luck"], "by is 'luck'"),
        (RANK[:-2], "Missing option '--outcome'"),
    ],
)
def test_mistakes_are_one_line(place, refused, arguments, message):
    assert message in refused(*arguments)
