"""Would what followed have come all the same: closed forms, a rule, and all ways in which chance may decide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from hf_trace.errors import QueryError, UnknownEventError
from hf_trace.logs.sequence import EventSequence
from hf_trace.questions.necessity import necessity, would_have_come
from hf_trace.runs.event_model import EventModel

SEQUENCE = EventSequence(("C", "D", "A", "B", "C", "D"), id="x")


@pytest.fixture(scope="module")
def model(tiny_run):
    return EventModel.load(tiny_run)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_bounds_are_those_of_all_couplings(seed):
    """Of three types: every joint distribution of what comes with the event and what would have come without."""
    rng = np.random.default_rng(seed)
    with_event, without = rng.dirichlet(np.ones(3), size=2)
    other = np.array([0, 1, 1, 0, 0, 0, 0, 0, 0]) / with_event[0]
    margins = np.concatenate([np.kron(np.eye(3), np.ones(3)), np.kron(np.ones(3), np.eye(3))])
    totals = np.concatenate([with_event, without])
    ends = [sign * linprog(sign * other, A_eq=margins, b_eq=totals).fun for sign in (1, -1)]
    found = necessity(float(with_event[0]), float(without[0]))
    assert [found.least, found.most] == pytest.approx(ends, abs=1e-7)


def test_what_the_event_brought_would_not_have_come(model):
    found = would_have_come(model, SEQUENCE, {2: "removed"})
    assert [(each["position"], each["event"]) for each in found] == [(3, "B"), (4, "C"), (5, "D")]
    assert found[0]["least"] > 0.8  # A is always followed by B, and nothing else brings B
    assert found[2]["least"] < 0.3
    assert all(0 <= each["least"] <= each["most"] <= 1 for each in found)
    assert would_have_come(model, SEQUENCE, {2: "C"})[0]["least"] > 0.8


def test_an_event_that_stays_as_it_was_changes_nothing(model):
    for each in would_have_come(model, SEQUENCE, {2: "A"}):
        assert each["with_event"] == pytest.approx(each["without"], abs=1e-6)
        assert each["least"] == pytest.approx(0, abs=1e-5)


def test_only_so_many_events_are_asked_about(model):
    assert len(would_have_come(model, SEQUENCE, {2: "removed"}, ahead=2)) == 2
    assert would_have_come(model, SEQUENCE, {5: "removed"}) == []


def test_refusals(model):
    with pytest.raises(QueryError, match="The position is 9"):
        would_have_come(model, SEQUENCE, {9: "removed"})
    with pytest.raises(UnknownEventError, match="'Z' is not among"):
        would_have_come(model, SEQUENCE, {2: "Z"})
