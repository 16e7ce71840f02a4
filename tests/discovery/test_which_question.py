"""The rule that says which question a log can answer: closed forms of what an event tells, and logs of both kinds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.discovery.which_question import LEAST_TOLD, check_more_than_one_type, which_question
from hf_trace.errors import EmptyLogError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_worlds import process_world


def log_of(*sequences):
    return EventLog.from_sequences(EventSequence(tuple(events)) for events in sequences)


def walks(stay, *, types=6, length=200, count=100, seed=0):
    """Each event is the next of a circle with probability ``stay``, else any other than the last."""
    generator = np.random.default_rng(seed)
    others = (1 - stay) / (types - 2)
    steps = generator.choice(np.arange(1, types), p=[stay] + [others] * (types - 2), size=(count, length))
    return log_of(*["".join("abcdefgh"[number] for number in walk) for walk in steps.cumsum(axis=1) % types])


@pytest.mark.parametrize("stay", [0.5, 0.8])
def test_what_an_event_tells_by_hand(stay):
    """Of six types, all alike: log 5 nats for any but the last, less the entropy of the step, of log 6."""
    step = -stay * math.log(stay) - (1 - stay) * math.log((1 - stay) / 4)
    assert which_question(walks(stay)).told == pytest.approx((math.log(5) - step) / math.log(6), abs=0.01)


def test_an_order_by_chance_tells_nothing():
    found = which_question(walks(0.2))
    assert found.told < 0.005
    assert found.question == "follows"


def test_repeats_count_once():
    plain = walks(0.8, count=20)
    repeated = log_of(*["".join(2 * event for event in each.events) for each in plain])
    assert which_question(repeated).told == pytest.approx(which_question(plain).told)
    assert which_question(plain).repeats == 0
    assert which_question(repeated).repeats == pytest.approx(200 / 399)


def test_events_at_the_same_time_are_counted():
    log = EventLog.from_sequences([EventSequence(tuple("abca"), (0.0, 1.0, 1.0, 4.0))])
    assert which_question(log).together == pytest.approx(1 / 3)
    assert which_question(log).reason.endswith("33 % come at the same time")
    assert math.isnan(which_question(log_of("abca")).together)


@pytest.mark.parametrize(("name", "question"), [("hawkes", "drives"), ("bursts", "drives"), ("together", "follows")])
def test_worlds_of_both_kinds(name, question):
    assert which_question(simulate_process(process_world(name), 20, seed=0).log).question == question


def test_late_effects_can_only_be_counted():
    spec = process_world("hawkes", delay=300.0)
    assert which_question(simulate_process(spec, 20, seed=0).log).told < LEAST_TOLD


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=6))
def test_a_share_whatever_the_log_or_one_line_why_not(sequences):
    log = log_of(*sequences)
    if all(len(set(each)) == 1 for each in sequences):
        with pytest.raises(EmptyLogError, match="one event type only"):
            check_more_than_one_type(log)
    else:
        assert 0 <= which_question(log).told <= 1 + 1e-9
