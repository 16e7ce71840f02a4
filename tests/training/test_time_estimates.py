"""Estimates of time: arithmetic of the clock, and a sample that trains and asks."""

from dataclasses import replace

import pytest

from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import EmptyLogError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.training.time_estimates import StepClock, estimate_times


def clock(begun, length):
    found = StepClock()
    found.begun, found.ended = begun, [each + length for each in begun]
    return found


def test_steps_and_pauses_are_told_apart():
    # Two slow steps, then one a second; after each fourth 3 s for an evaluation.
    begun = [0.0, 9.0, 18.0, 19.0, 23.0, 24.0, 25.0, 26.0, 30.0]
    assert clock(begun, 0.5).step_and_pause(4) == (1.0, 3.0)
    assert clock([0.0], 0.5).step_and_pause(4) == (0.5, 0.0)
    assert clock([0.0, 4.0], 0.5).step_and_pause(1) == (0.5, 3.5)  # an evaluation after each step


@pytest.mark.parametrize("question", ["drives", "follows"])
def test_a_sample_is_measured(timed_log, tiny_settings, question):
    request = DiscoveryRequest(level="population").updated(question=question, num_contexts=16)
    found = estimate_times(timed_log, tiny_settings, request, before=100.0)
    assert 100 < found.training_seconds < found.most_training_seconds
    assert found.discovery_seconds > 100
    assert (found.question, found.steps > 0, found.step_seconds > 0) == (question, True, True)
    assert found.memory_bytes == 0 or found.memory_bytes > 1e8
    assert all("about" in line or "Measured" in line for line in found.lines())


@pytest.mark.parametrize("question", ["drives", "follows"])
def test_types_too_rare_for_the_vocabulary_are_read_as_it_reads_them(timed_log, tiny_settings, question):
    rare = [
        EventSequence((f"rare {number}", *each.events[1:]), each.timestamps) for number, each in enumerate(timed_log)
    ]
    request = DiscoveryRequest(level="population").updated(question=question, num_contexts=8)
    found = estimate_times(EventLog.from_sequences(rare), replace(tiny_settings, min_count=2), request)
    assert found.discovery_seconds > 0


def test_a_log_that_cannot_be_trained_on_is_refused(tiny_settings):
    with pytest.raises(EmptyLogError, match="expected at least 2"):
        estimate_times(EventLog.from_sequences([EventSequence(("a", "b"))]), tiny_settings, DiscoveryRequest())
