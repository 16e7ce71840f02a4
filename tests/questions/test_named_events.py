"""What ``--do`` speaks of: a position, an event that comes once, or one of several of a name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.errors import QueryError
from hf_trace.logs.sequence import EventSequence
from hf_trace.questions.named_events import listed_events, placed

TWICE = EventSequence(("T06", "T07", "T06", "pump=on", "a#1", "7"), id="x")
TYPES = ("T06", "T07", "pump=on", "pump=off", "a#1", "7")


@pytest.mark.parametrize(
    ("text", "position", "event"),
    [
        ("1=T06", 1, "T06"),
        ("1", 1, "removed"),
        (" 1 =T06", 1, "T06"),
        ("T07", 1, "removed"),
        ("T07=removed", 1, "removed"),
        ("T06#2=T07", 2, "T07"),
        ("T06#1", 0, "removed"),
        ("T07#1=7", 1, "7"),
        ("pump=on", 3, "removed"),
        ("pump=on=pump=off", 3, "pump=off"),
        ("pump=on=unheard=of", 3, "unheard=of"),
        ("a#1=T06", 4, "T06"),  # a name of its own, not the first a
        ("7=T06", 7, "T06"),  # a number is a position
    ],
)
def test_which_event_is_meant(text, position, event):
    assert placed(text, TWICE, TYPES) == {position: event}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("T06=T07", "'T06' comes 2 times in the sequence 'x' (positions 0, 2). Say which: 'T06#1' to 'T06#2'."),
        ("T06#3", "'T06' comes 2 times in the sequence 'x' (positions 0, 2). Say which: 'T06#1' to 'T06#2'."),
        ("T70=T06", "no event of the sequence 'x' is called 'T70'. Did you mean 'T07'? `--list-events` shows them "),
        ("T08#2", "no event of the sequence 'x' is called 'T08#2'. Did you mean 'T07'?"),
        ("=T06", "no event of the sequence 'x' is called ''."),
    ],
)
def test_what_is_not_clear_is_refused(text, message):
    with pytest.raises(QueryError) as caught:
        placed(text, TWICE, TYPES)
    assert str(caught.value).startswith(f"`--do` is {text!r}, and {message}")


@given(st.lists(st.sampled_from(["a", "b", "c=d", "a=removed", "e#f", "a#1", "7", "7#2"]), min_size=1, max_size=8))
def test_every_listed_name_stands_for_its_position(events):
    sequence = EventSequence(tuple(events))
    for row in listed_events(sequence):
        assert placed(f"{row['name']}=b", sequence, events) == {row["position"]: "b"}
        assert placed(str(row["position"]), sequence, events) == {row["position"]: "removed"}


def test_events_of_a_sequence_are_listed(place, hf_trace):
    code, out, _ = hf_trace("effect", "timed", "log.csv", "--id", "case3", "--list-events")
    assert code == 0
    code, listed, _ = hf_trace("effect", "timed", "log.csv", "--id", "case3", "--list-events", "--json")
    rows = json.loads(listed)
    assert [row["position"] for row in rows] == list(range(12))
    assert len({row["name"] for row in rows}) == 12
    assert all(row["name"] in out for row in rows)
    last = rows[-1]
    asked = ["effect", "timed", "log.csv", "--id", "case3", "--target", "B", "--num-samples", 20, "--json"]
    by_name, by_position = (
        json.loads(hf_trace(*asked, "--within", "2", "--do", which)[1]) for which in (last["name"], last["position"])
    )
    assert by_name == by_position
    assert (by_name["position"], by_name["do"]) == (11, "removed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--id", "cas3", "--list-events"], "Did you mean 'case3'?"),
        (["--id", "case3", "--do", "1=BB", "--target", "A"], "Did you mean 'B'?"),
        (["--id", "case3", "--do", "1=B", "--target", "AA"], "Did you mean 'A'?"),
        (["--id", "case3", "--id", "case4", "--list-events"], "`--id` names 2 sequences, expected one."),
        (["--list-events"], "The log has 40 sequences, expected one. Choose it: `--id case0`."),
    ],
)
def test_near_names_are_suggested(place, refused, arguments, message):
    assert message in refused("effect", "timed", "log.csv", *arguments)


@pytest.mark.parametrize("command", ["outcomes", "rank"])
def test_near_outcomes_are_suggested(place, refused, command):
    assert "Did you mean 'B'?" in refused(command, "run", "plain.txt", "--outcome", "BB")
