"""States of variables: what is recognised, snapshots against a walk through the events, and alarms that last."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.errors import QueryError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.logs.states.state_histories import seconds_held, with_ends
from hf_trace.logs.states.state_log import StateLog
from hf_trace.logs.states.state_names import state_names


def named(*types, **options):
    return [(each.variable, each.value) for each in state_names(types, **options).values()]


def test_values_after_an_equal_sign_pairs_of_words_and_events_by_themselves():
    assert named("pump=on", "a=b=c") == [("pump", "on"), ("a=b", "c")]
    assert named("Leak raised", "Leak cleared") == [("Leak", "raised"), ("Leak", "cleared")]
    assert named("open door", "closed door") == [("door", "open"), ("door", "closed")]
    assert named("Leak raised", "boot") == [("Leak raised", "happened"), ("boot", "happened")]  # without a counterpart
    assert named("region", "regoffion") == [("region", "happened"), ("regoffion", "happened")]  # no words
    assert named("<near:pump=on>", "pump=on") == [("<near:pump>", "on"), ("pump", "on")]


def test_what_the_user_says_comes_before_what_is_recognised():
    assert named("X down", "X restored", pairs=["down|restored"]) == [("X", "down"), ("X", "restored")]
    assert named("mode 1", "mode 2", "mode=3", patterns=["mode*"]) == [("mode", "1"), ("mode", "2"), ("mode", "3")]
    for wrong, message in ((["mode"], "with `\\*`"), (["valve*"], "none of the 1 event types is named so")):
        with pytest.raises(SettingsError, match=message):
            state_names(["mode 1"], wrong)
    for pair in ("down", "down|", "a|b|c", "a|a"):
        with pytest.raises(SettingsError, match="expected two words"):
            state_names(["X"], (), [pair])


def test_what_held_before_the_first_event_is_known_where_it_can_only_be_one_thing():
    events = ("a=x", "pump=off", "boot", "mode=2")
    log = EventLog.from_sequences(
        [
            EventSequence(events, (0.0, 2.0, 3.0, 4.0), "short"),
            EventSequence(("pump=on", "mode=1", "mode=3", "pump=off"), (0.0, 1.0, 1.0, 9.0), "other"),
        ]
    )
    first, other = StateLog.of(log).histories
    assert {name: (each.value, each.since) for name, each in first.at(1.0).items()} == {
        "a": ("x", None),
        "pump": ("on", None),  # the only other value
        "boot": ("not yet", None),
    }  # of three modes nothing is known
    assert first.at(3.0)["boot"].since == 3.0
    assert first.at(3.0, before=True)["boot"].value == "not yet"
    assert other.at(1.0)["mode"].value == "3"  # of changes at the same time the last
    assert seconds_held([first, other])["pump"] == {"on": 2.0 + 9.0, "off": 2.0}


values = st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.integers(0, 20))


@given(st.lists(values, min_size=1, max_size=15), st.integers(0, 20).map(float))
def test_snapshots_are_what_a_walk_through_the_events_leaves(changes, time):
    changes = sorted(changes, key=lambda each: each[2])
    sequence = EventSequence(tuple(f"{v}={x}" for v, x, _ in changes), tuple(float(t) for *_, t in changes))
    history = StateLog.of(EventLog.from_sequences([sequence]), known={"a": "0123", "b": "0123"}).histories[0]
    walked: dict[str, tuple[str, float]] = {}
    for variable, value, when in changes:
        if when <= time and walked.get(variable, ("", 0))[0] != value:
            walked[variable] = (value, float(when))
    found = history.at(time)
    assert {name: each.value for name, each in found.items()} == {name: value for name, (value, _) in walked.items()}
    for name, (_, since) in walked.items():
        assert found[name].since == (since if since > history.start else None)
        assert (history.onsets(name, time) or [None])[-1] == found[name].since
    for shares in seconds_held([history]).values():
        assert all(seconds >= 0 for seconds in shares.values())
        assert sum(shares.values()) <= history.end - history.start + 1e-9


def test_alarms_last_from_their_start_to_their_end():
    rows = {"id": ["x", "x"], "event": ["leak", "heat"], "begin": [1.0, 2.0], "end": [5.0, None]}
    import pandas as pd

    frame = pd.DataFrame(rows)
    starts, ends = (
        read_log(frame, case_column="id", event_column="event", time_column=time) for time in ("begin", "end")
    )
    states = StateLog.of(with_ends(starts, ends))
    held = states.histories[0].at(4.0)
    assert (held["leak"].value, held["heat"].value, held["heat"].since) == ("on", "on", 2.0)
    assert states.histories[0].at(5.0)["leak"].value == "off"


def test_a_log_knows_its_variables_and_when_alarms_first_came():
    log = EventLog.from_sequences([EventSequence(("p=1", "p=0", "A", "A"), (0.0, 3.0, 4.0, 10.0), "x")])
    states = StateLog.of(log)
    assert states.variables()[1] == {"variable": "p", "changes": 1, "shares": {"1": 0.3, "0": 0.7}}
    assert states.raised(0, ["p=0", "A"]) == {"p=0": 3.0, "A": 4.0}
    with pytest.raises(QueryError, match="No event of the log is called 'B'"):
        states.raised(0, ["B"])


def test_without_times_positions_count():
    history = StateLog.of(EventLog.from_sequences([EventSequence(("a", "b", "c"))])).histories[0]
    assert (history.at(1.0)["b"].since, history.end) == (1.0, 2.0)
    assert np.isfinite(history.moments(np.random.default_rng(0), 5)).all()
