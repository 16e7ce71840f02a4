"""Cutting sequences into windows."""

import numpy as np
import pytest

from hf_trace.errors import EmptyLogError, SettingsError, TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows


def log_of(*sequences):
    return EventLog.from_sequences(EventSequence(tuple(events), times, name) for name, events, times in sequences)


def windows(log, **limits):
    return [(window.id, "".join(window.events)) for window in cut_windows(log, **limits)]


def test_even_windows():
    log = log_of(("x", "abcdefghij", None), ("y", "abc", None))
    assert windows(log, length=4) == [("x#0", "abc"), ("x#1", "def"), ("x#2", "ghij"), ("y", "abc")]
    assert windows(log, length=10) == [("x", "abcdefghij"), ("y", "abc")]


def test_silences():
    log = log_of(("x", "abcd", (0.0, 1.0, 9.0, 10.0)), ("y", "ab", (100.0, 105.0)))
    assert windows(log, gap=5.0) == [("x#0", "ab"), ("x#1", "cd"), ("y", "ab")]
    assert windows(log, gap=5.0, length=1, min_length=1)[:2] == [("x#0", "a"), ("x#1", "b")]
    assert windows(log, gap=4.0, min_length=1)[2:] == [("y#0", "a"), ("y#1", "b")]


def test_times_follow():
    log = log_of(("x", "abc", (0.0, 1.0, 9.0)))
    assert cut_windows(log, gap=5.0, min_length=1)[1].timestamps == (9.0,)


def test_short_windows_are_left_out_and_the_others_keep_their_number():
    log = log_of(("x", "abc", (0.0, 9.0, 10.0)), ("y", "a", (0.0,)), ("z", "", ()))
    assert windows(log, gap=5.0) == [("x#1", "bc")]


def test_empty_sequences_between():
    log = log_of(("e", "", None), ("x", "abcd", None), ("f", "", None), ("y", "ab", None), ("g", "", None))
    assert windows(log, length=2) == [("x#0", "ab"), ("x#1", "cd"), ("y", "ab")]


def test_no_limit_changes_nothing():
    log = log_of(("x", "ab", None))
    cut = cut_windows(log)
    assert cut.to_records() == log.to_records()
    assert np.array_equal(cut.offsets, log.offsets)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_length": 0}, r"min_length is 0, expected a whole number of at least 1"),
        ({"length": 1}, r"`length=1` events is less than `min_length=2`, expected at least as many\. Raise"),
        ({"gap": -1.0}, r"gap is -1.0, expected a number of at least 0"),
        ({"gap": float("nan")}, r"gap is nan, expected a number of at least 0"),
    ],
)
def test_limits_out_of_range(limits, message):
    with pytest.raises(SettingsError, match=message):
        cut_windows(log_of(("x", "ab", (0.0, 1.0))), **limits)


def test_silences_need_times():
    with pytest.raises(TimestampError, match=r"`gap=1.0` asks .* no times\. Name its time column .* `length` only"):
        cut_windows(log_of(("x", "ab", None)), gap=1.0)


def test_nothing_left():
    with pytest.raises(EmptyLogError, match=r"None of the 1 windows has 3 events, expected at least one\. Allow"):
        cut_windows(log_of(("x", "ab", None)), min_length=3)
