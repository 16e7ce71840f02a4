"""What an event model is given of a sequence, what it does with unknown events, and the kinds of runs."""

import json
from dataclasses import replace

import pytest

from hf_trace.errors import ContextLengthError
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import run_kind


@pytest.fixture(scope="module")
def model(tiny_run):
    return EventModel.load(tiny_run)


def sequence(length):
    return EventSequence(tuple("ABCD"[number % 4] for number in range(length)), id="long")


@pytest.mark.parametrize("ahead", [0, 1, 5])
@pytest.mark.parametrize("position", [1, 9, 79])
def test_history_fills_what_is_left_beside_the_events_ahead(model, ahead, position):
    most = model.most_events
    found = model.history(sequence(80), position, ahead=ahead, unknown="error")
    given = position - found.start + 1
    # All of the past where it fits, else as much as leaves room for the events ahead.
    assert given == min(position + 1, most - ahead)
    assert len(found.encoded.event_positions) == given
    assert found.last == model.tokenizer.event_ids[model.tokenizer.event_types.index(sequence(80).events[position])]
    assert found.context.tolist() == found.encoded.input_ids.tolist()[:-1]


def test_a_horizon_without_room_for_a_past_is_refused(model):
    with pytest.raises(ContextLengthError, match=f"The model reads {model.most_events} events, too few for"):
        model.history(sequence(9), 8, ahead=model.most_events - 1, unknown="error")


def test_unknown_events_follow_how_the_run_was_trained(model):
    rare = replace(model, recipe={"min_count": 2})
    assert [each.unknown(None) for each in (model, rare)] == ["error", "map"]
    assert [each.unknown("error") for each in (model, rare)] == ["error", "error"]


@pytest.mark.parametrize(
    ("recipe", "files", "kind"),
    [
        ({"kind": "log"}, (), "log"),
        ({"kind": "table"}, (), "table"),
        ({"kind": "world"}, (), "world"),
        # Runs from before they said it.
        ({"window_length": 64}, (), "log"),
        ({"history": "parents"}, ("dag.json",), "table"),
        ({"world": {}}, (), "world"),
        (None, (), "model"),
    ],
)
def test_a_run_says_its_kind(tmp_path, recipe, files, kind):
    if recipe is not None:
        (tmp_path / "training.json").write_text(json.dumps(recipe))
    for name in files:
        (tmp_path / name).write_text("{}")
    assert run_kind(tmp_path) == kind


def test_new_runs_say_their_kind(tiny_run):
    assert json.loads((tiny_run / "training.json").read_text())["kind"] == "log"
    assert EventModel.load(tiny_run).recipe["kind"] == "log"
