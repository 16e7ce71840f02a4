"""The Hawkes process against a plain loop of the same rounds, and against simulated logs of known weights."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import SettingsError
from hf_trace.graphs.hawkes import fit_hawkes
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology
from hf_trace.logs.sequence import EventSequence

WEIGHTS = np.array([[0.0, 0.6, 0.0], [0.0, 0.2, 0.5], [0.0, 0.0, 0.0]])
RATES = np.array([0.02, 0.005, 0.01])
HORIZON = 3.0


def log_of(sequences):
    return EventLog.from_sequences(
        EventSequence(tuple(events), tuple(map(float, times)), str(number))
        for number, (events, times) in enumerate(sequences)
    )


def simulated(rng, length, spread=1):
    """Events of ``spread`` places side by side: each gives birth at a random one of them."""
    waiting = [
        (time, kind, int(rng.integers(spread)))
        for kind, rate in enumerate(RATES)
        for time in rng.uniform(0, length, rng.poisson(rate * length))
    ]
    events = []
    while waiting:
        time, kind, place = waiting.pop()
        events.append((time, kind, place))
        for child, weight in enumerate(WEIGHTS[kind]):
            # Exponential of mean H/3, cut at H.
            delays = -np.log1p(-rng.random(rng.poisson(weight)) * -math.expm1(-3)) * HORIZON / 3
            waiting += [(time + delay, child, int(rng.integers(spread))) for delay in delays]
    parts = [sorted((time, "abc"[kind]) for time, kind, where in events if where == place) for place in range(spread)]
    return log_of(([name for _, name in part], [time for time, _ in part]) for part in parts)


def looped(log, horizon, rounds, neighbours):
    """Rounds of expectation and maximisation over all pairs of events, one after another."""
    size, codes, times = len(log.event_types), log.codes, log.timestamps
    owner = np.repeat(np.arange(len(log)), log.sequence_lengths)
    counts = np.bincount(codes, minlength=size)
    watched = sum(np.ptp(times[owner == place]) for place in set(owner))

    def reached(place):
        return 1 + len(neighbours.get(place, ()))

    pairs = [
        (i, j, math.exp(-(times[j] - times[i]) * 3 / horizon) / (horizon / 3 * (1 - math.exp(-3))) / reached(owner[i]))
        for i in range(len(codes))
        for j in range(len(codes))
        if 0 < times[j] - times[i] <= horizon and owner[i] in (owner[j], *neighbours.get(owner[j], ()))
    ]
    weights, rates = np.full((size, size), 0.5 / size), 0.5 * counts / watched
    for _ in range(rounds):
        total = rates[codes].copy()
        for i, j, kernel in pairs:
            total[j] += weights[codes[i], codes[j]] * kernel
        shares = [weights[codes[i], codes[j]] * kernel / total[j] for i, j, kernel in pairs]
        alone = rates[codes] / total
        weights, rates = np.zeros((size, size)), np.zeros(size)
        for (i, j, _), share in zip(pairs, shares, strict=True):
            weights[codes[i], codes[j]] += share / counts[codes[i]]
        for j, left in enumerate(alone):
            rates[codes[j]] += left / watched
    return weights, rates


SEQUENCE = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), max_size=8)


@settings(max_examples=40)
@given(st.lists(SEQUENCE, min_size=2, max_size=3), st.sampled_from([1.0, 4.0]), st.booleans())
def test_fit_is_the_loop(sequences, horizon, is_joined):
    ordered = [sorted(each, key=lambda pair: pair[1]) for each in [*sequences, [("a", 0), ("a", 20)]]]
    log = log_of(([name for name, _ in each], [time for _, time in each]) for each in ordered)
    topology = Topology(np.array([[0, 1]]), len(log)) if is_joined else None
    found = fit_hawkes(log, horizon=horizon, topology=topology, rounds=3)
    weights, rates = looped(log, horizon, 3, {0: [1], 1: [0]} if is_joined else {})
    np.testing.assert_allclose(found.weights, weights, atol=1e-12)
    np.testing.assert_allclose(found.rates, rates, atol=1e-12)


def test_one_round_by_hand():
    log = log_of([("ab", (0, 1))])
    found = fit_hawkes(log, horizon=3.0, rounds=1)
    kernel = math.exp(-1) / (1 - math.exp(-3))
    share = 0.25 * kernel / (0.5 + 0.25 * kernel)  # weight 1/4, and one b in 1 s halved
    assert found.weights.tolist() == [[0.0, pytest.approx(share)], [0.0, 0.0]]
    assert found.rates.tolist() == [1.0, pytest.approx(1 - share)]
    rate = 1 - share + share * kernel
    assert found.nats[0, 1] == pytest.approx(
        math.log(rate / (1 - share + share))
    )  # one b in 1 s comes at a steady rate


@pytest.mark.parametrize("spread", [1, 3])
def test_known_weights_are_found(spread):
    log = simulated(np.random.default_rng(0), 60_000, spread)
    topology = None if spread == 1 else Topology(np.array([[0, 1], [0, 2], [1, 2]]), 3)
    found = fit_hawkes(log, horizon=HORIZON, topology=topology)
    np.testing.assert_allclose(found.weights, WEIGHTS, atol=0.06)
    np.testing.assert_allclose(found.rates * spread, RATES, atol=0.003)
    np.testing.assert_array_equal(found.edges(), WEIGHTS > 0)


def test_events_of_one_time_do_not_act_on_each_other():
    assert not fit_hawkes(log_of([("abab", (0, 0, 9, 9))]), horizon=3.0).weights.any()


def test_where_no_time_passes_nothing_is_explained():
    found = fit_hawkes(log_of([("a", (0,)), ("b", (1,))]), horizon=3.0, topology=Topology(np.array([[0, 1]]), 2))
    assert not found.weights.any()
    assert np.isfinite(found.nats).all()


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr("hf_trace.graphs.hawkes._MOST_ENTRIES", 3)
    with pytest.raises(SettingsError) as caught:
        fit_hawkes(log_of([("abab", (0, 1, 2, 3))]), horizon=9.0)
    assert str(caught.value) == (
        "A horizon of 9 seconds has more than 3 types soon before events, which is too many for the Hawkes process. "
        "Choose a shorter horizon, or another method."
    )
