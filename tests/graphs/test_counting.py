from itertools import pairwise

import numpy as np
import pytest

from hf_trace.errors import SettingsError, UnknownEventError
from hf_trace.graphs.counting import bigram_adjacency, cooccurrence_lift, windowed_cooccurrence

N_TYPES = 5
IN_ORDER = (bigram_adjacency, windowed_cooccurrence, cooccurrence_lift)


@pytest.fixture(params=range(4))
def sequences(request):
    rng = np.random.default_rng(request.param)
    # Type 4 never occurs; some sequences are empty or have one event.
    return [rng.integers(0, 4, length).tolist() for length in (0, 1, 7, 30, 2, 0)]


def columns(sequences):
    codes = np.array([code for sequence in sequences for code in sequence], dtype=np.int64)
    return codes, np.cumsum([0, *map(len, sequences)])


def loop_bigram(sequences, u, v):
    events = [code for sequence in sequences for code in sequence]
    after = [b for sequence in sequences for a, b in pairwise(sequence) if a == u]
    return after.count(v) / len(after) - events.count(v) / len(events) if after else 0.0


def loop_windows(sequences, u, v, max_lag):
    """Share of occurrences of u, and of all events, that v follows within max_lag events."""
    seen = [
        (event, v in sequence[t + 1 : t + 1 + max_lag]) for sequence in sequences for t, event in enumerate(sequence)
    ]
    after_u = [found for event, found in seen if event == u]
    return (sum(after_u) / len(after_u) if after_u else None), sum(found for _, found in seen) / len(seen)


def test_bigram_is_the_loop(sequences):
    found = bigram_adjacency(*columns(sequences), N_TYPES, max_lag=3)
    expected = [[loop_bigram(sequences, u, v) for v in range(N_TYPES)] for u in range(N_TYPES)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("max_lag", [1, 3, 100])
def test_windows_are_the_loop(sequences, max_lag):
    difference = windowed_cooccurrence(*columns(sequences), N_TYPES, max_lag=max_lag)
    lift = cooccurrence_lift(*columns(sequences), N_TYPES, max_lag=max_lag)
    for u in range(N_TYPES):
        for v in range(N_TYPES):
            after_u, after_any = loop_windows(sequences, u, v, max_lag)
            assert difference[u, v] == pytest.approx(0.0 if after_u is None else after_u - after_any)
            expected = 1.0 if after_u is None or after_any == 0 else after_u / after_any
            assert lift[u, v] == pytest.approx(expected)


@pytest.mark.parametrize("score", IN_ORDER)
def test_refused(score):
    codes, offsets = np.array([0, 3]), np.array([0, 2])
    with pytest.raises(SettingsError) as caught:
        score(codes, offsets, 4, max_lag=0)
    assert str(caught.value) == "max_lag is 0, expected a whole number of at least 1."
    with pytest.raises(UnknownEventError) as caught_code:
        score(codes, offsets, 3, max_lag=1)
    assert str(caught_code.value) == "Event code 3 is out of range, expected 0 to 2."
    with pytest.raises(ValueError, match="`offsets` must rise from 0 to the number of events, 2"):
        score(codes, np.array([0, 1]), 4, max_lag=1)
