import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.exact_lm import Rule, rule_lm

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.scoring import joined_windows, sliding_windows
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet


@given(st.data())
def test_every_event_is_tested_once_with_past_and_reach(data):
    length = data.draw(st.integers(4, 40))
    max_lag = data.draw(st.integers(1, length - length // 2 - 1))
    events = data.draw(st.integers(1, 300))
    windows = sliding_windows(events, length=length, max_lag=max_lag)
    assert [event for window in windows for event in range(window.first, window.last)] == list(range(events))
    for window in windows:
        assert window.stop - window.start <= length
        assert window.first - window.start >= min(window.first, length // 2)
        assert window.stop >= min(window.last - 1 + max_lag + 1, events)
        assert window.tested() == range(window.first - window.start, window.last - window.start)


def test_what_fits_is_read_whole():
    (window,) = sliding_windows(40, length=40, max_lag=None)
    assert (window.start, window.stop, window.first, window.last) == (0, 40, 0, 40)
    assert sliding_windows(10**6, length=None, max_lag=None) == sliding_windows(10**6, length=10**6, max_lag=3)


@pytest.mark.parametrize("max_lag", [None, 5, 6])
def test_a_lag_that_leaves_no_past_is_refused(max_lag):
    with pytest.raises(SettingsError, match=r"max_lag is .*, expected less than 5 events: sequences of 11 events"):
        sliding_windows(11, length=10, max_lag=max_lag)


def test_windows_beyond_the_models_memory_change_nothing():
    """A model that remembers 4 tokens scores alike with a past of 8 and with the whole past."""
    types = list(range(4, 24))
    model = rule_lm(types, 24, [Rule(4, 5, 1, 0.45), Rule(5, 6, 4, 0.45)], rate=0.005)
    oracle, alphabet = Oracle(model), Alphabet(torch.tensor(types), torch.ones(20))
    settings = DiscoverySettings(max_lag=5, proposal="exhaustive", prefix_length=2)
    tokens = np.random.default_rng(0).choice([4, 5, 6, 7, 24], 90)

    def encoded(part):
        return EncodedSequence(np.array([1, *part]), np.arange(1, len(part) + 1))

    (whole,) = score_pairs(oracle, [encoded(tokens)], alphabet, settings)
    windows = sliding_windows(90, length=16, max_lag=5)
    parts = score_pairs(
        oracle,
        [encoded(tokens[window.start : window.stop]) for window in windows],
        alphabet,
        settings,
        tested=[window.tested(2) for window in windows],
    )
    slid = joined_windows(list(zip(windows, parts, strict=True)))
    assert (slid.cause_position == whole.cause_position).all()
    assert (slid.effect_position == whole.effect_position).all()
    assert np.abs(slid.cmi - whole.cmi).max() < 1e-6
