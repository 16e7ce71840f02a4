"""The surrogate null: what shuffling keeps, and how often nothing is called something."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence


@pytest.fixture(scope="module")
def surrogates(recipe):
    return recipe("calibration", "surrogates")


def test_shuffling_keeps_what_happened_when(surrogates):
    records = [EventSequence(tuple("abcdefgh"), tuple(map(float, range(8)))), EventSequence(("x", "y"), (3.0, 4.0))]
    log = EventLog.from_sequences(records)
    shuffled = surrogates.shuffled
    other = shuffled(log, 1)
    assert [sorted(each.events) for each in other] == [sorted(each.events) for each in log]
    assert [each.timestamps for each in other] == [each.timestamps for each in log]
    assert other[0].events != log[0].events
    assert other[0].events == shuffled(log, 1)[0].events != shuffled(log, 2)[0].events


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).map(np.array), st.integers(1, 5))
def test_bands_follow_frequency(surrogates, counts, bands):
    band = surrogates.frequency_bands(counts, bands)
    assert band.min() >= 0
    assert band.max() < bands
    order = np.argsort(counts, kind="stable")
    assert (np.diff(band[order]) >= 0).all()


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_nothing_is_rarely_called_something(surrogates, level):
    """All hypotheses true: a family has any rejection with chance at most the level."""
    generator = np.random.default_rng(0)
    stratum, null_stratum = np.arange(50) % 3, np.arange(3_000) % 3
    hits = 0
    for _ in range(300):
        null = generator.exponential(1 + null_stratum)
        p = surrogates.p_values(generator.exponential(1 + stratum), stratum, null, null_stratum)
        hits += (false_discovery_control(p) <= level).any()
    assert hits / 300 < level + 3 * np.sqrt(level * (1 - level) / 300)


def test_a_stratum_without_null_scores_proves_nothing(surrogates):
    assert surrogates.p_values(np.array([9.0]), np.array([1]), np.array([0.1]), np.array([0])).tolist() == [1.0]
