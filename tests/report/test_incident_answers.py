"""What an incident would have been without one of its events: A is always followed by B, and nothing else brings B."""

import json

import pytest
from tests.incidents import EVENTS, LOG, SEQUENCE, incident_page

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.questions.what_if import WhatIfRequest, answer_what_if
from hf_trace.report.incident_answers import IncidentSettings, with_answers
from hf_trace.report.page import page_text


@pytest.fixture(scope="module")
def document():
    return incident_page()


@pytest.fixture(scope="module")
def answered(document, discover):
    return with_answers(document, discover.event_model, LOG, IncidentSettings(ahead=1, num_samples=64))


def test_without_its_cause_an_event_would_hardly_have_come(answered):
    ((place, before, after),) = answered["incidents"][0]["what_if"]["removed"]["2"]
    assert place == 3
    assert before == pytest.approx(1, abs=0.1)
    assert after == pytest.approx(0, abs=0.15)


def test_every_event_that_has_a_past_is_asked(answered):
    removed = answered["incidents"][0]["what_if"]["removed"]
    assert list(removed) == ["1", "2", "3", "4", "5"]
    assert removed["5"] == []  # nothing comes after it


def test_few_events_are_causes_of_edges_first(document, discover):
    found = with_answers(document, discover.event_model, LOG, IncidentSettings(ahead=1, num_samples=2, most_events=1))
    assert list(found["incidents"][0]["what_if"]["removed"]) == ["2"]


def test_chances_are_those_of_a_single_question(document, discover):
    """Ten times as many futures of another estimator, which forbids the target, agree."""
    model = discover.event_model
    found = with_answers(document, model, LOG, IncidentSettings(ahead=3, num_samples=400))
    answers = {
        (int(at), effect): (before, after)
        for at, changes in found["incidents"][0]["what_if"]["removed"].items()
        for effect, before, after in changes
    }
    assert answers
    for (at, effect), (before, after) in answers.items():
        request = WhatIfRequest({at: "removed"}, EVENTS[effect], within="3", num_samples=4000)
        asked = answer_what_if(model, SEQUENCE, request)
        assert before == pytest.approx(asked["factual"]["value"], abs=0.07)
        assert after == pytest.approx(asked["intervened"]["value"], abs=0.07)
        assert abs(after - before) >= 0.05


def test_changes_are_the_largest_first_and_pages_hold_them(answered):
    for changes in answered["incidents"][0]["what_if"]["removed"].values():
        sizes = [abs(after - before) for _, before, after in changes]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) <= 5
    assert '"what_if":{"removed":' in page_text(answered)
    assert json.loads(json.dumps(answered)) == answered


def test_incidents_of_sequences_that_are_not_there_stay_as_they_are(document, discover):
    other = EventLog.from_sequences([EventSequence(EVENTS, id="y")])
    assert with_answers(document, discover.event_model, other) == document


def test_numbers_out_of_range_are_refused():
    with pytest.raises(SettingsError) as caught:
        IncidentSettings(num_samples=1)
    assert str(caught.value) == "num_samples is 1, expected a whole number of at least 2."
