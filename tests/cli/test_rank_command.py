"""``hf-trace rank``: what it takes from the run, and how far it looks ahead."""

import json
from pathlib import Path

import pytest

from hf_trace.questions import ranking
from hf_trace.runs.event_model import EventModel


def test_rare_events_are_unknown_as_in_training(place, hf_trace, tiny_config):
    Path("rare.txt").write_text(Path("plain.txt").read_text() + "\nA once A B C\n")
    training = ("--model", tiny_config, "--epochs", 1, "--min-count", 2)
    assert hf_trace("train", "rare.txt", "--out", "new", *training)[0] == 0
    asked = ("rank", "new", "rare.txt", "--outcome", "B", "--id", 41, "--num-samples", 4)
    code, out, err = hf_trace(*asked, "--json")
    assert (code, json.loads(out)["settings"]["unknown"]) == (0, "map"), err


def test_unknown_events_are_an_error_elsewhere_and_where_it_is_asked_for(place, refused):
    Path("rare.txt").write_text("A once A B C\n")
    for more in ((), ("--unknown", "error")):
        line = refused("rank", "run", "rare.txt", "--outcome", "B", *more)
        assert "vocabulary of 4 types: 'once' (first at position 1)" in line


@pytest.mark.parametrize(("reads", "within", "events"), [(1000, "1h", 64), (100, "1h", 50), (1000, "200,1h", 200)])
def test_a_time_alone_takes_at_most_64_events_ahead(place, hf_trace, monkeypatch, reads, within, events):
    found, horizon_within = [], ranking.horizon_within

    def noted(*arguments, **named):
        found.append(horizon_within(*arguments, **named))
        return type(found[0])(4, found[0].seconds)

    monkeypatch.setattr(ranking, "horizon_within", noted)
    monkeypatch.setattr(EventModel, "most_events", property(lambda _: reads))
    asked = ("rank", "timed", "log.csv", "--outcome", "B", "--id", "case3", "--num-samples", 2)
    code, _, err = hf_trace(*asked, "--within", within)
    assert code == 0, err
    assert [(each.events, each.seconds) for each in found] == [(events, (3600.0,))]
