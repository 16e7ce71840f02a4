"""Worlds in continuous time against their closed forms: rates, numbers and delays of effects, what is prevented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hf_trace.errors import SettingsError
from hf_trace.worlds.delays import DELAYS
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import Flood, Inhibition, ProcessEdge, ProcessSpec, ProcessType
from hf_trace.worlds.process_truth import mean_rates
from hf_trace.worlds.process_worlds import PROCESS_WORLDS, process_world

LONG = 100_000.0


def times_by_type(log):
    """Times of the only sequence, by type."""
    events = np.array(log[0].events, dtype=object)
    return {name: log.timestamps[events == name] for name in log.event_types}


def test_rates_of_a_network_with_a_circle_are_those_of_hawkes():
    types = (ProcessType("a", 0.02), ProcessType("b", 0.01), ProcessType("c"))
    edges = (ProcessEdge("a", "b", 0.5), ProcessEdge("b", "c", 0.8, kernel="gamma"), ProcessEdge("c", "a", 0.25))
    spec = ProcessSpec(types, edges, duration=LONG)
    # a = .02 + c / 4, b = .01 + a / 2, c = 4 b / 5, so that a = .022 + a / 10.
    exact = np.array([0.022 / 0.9, 0.01 + 0.011 / 0.9, 0.8 * (0.01 + 0.011 / 0.9)])
    np.testing.assert_allclose(mean_rates(spec), exact)
    log = simulate_process(spec, 1, seed=1).log
    # Clusters make counts vary more than Poisson's, here by less than four times.
    np.testing.assert_allclose(np.bincount(log.codes), exact * LONG, atol=4 * 2 * np.sqrt(exact.max() * LONG))


@pytest.mark.parametrize("kernel", DELAYS)
def test_numbers_and_delays_of_effects(kernel):
    """Causes are so rare that an effect belongs to the last of them."""
    types = (ProcessType("cause", period=1_000), ProcessType("effect"))
    spec = ProcessSpec(types, (ProcessEdge("cause", "effect", 0.7, 8.0, kernel),), duration=1_000_000.0)
    times = times_by_type(simulate_process(spec, 1, seed=2).log)
    causes, effects = times["cause"], times["effect"]
    assert len(effects) == pytest.approx(0.7 * len(causes), abs=4 * np.sqrt(0.7 * len(causes)))
    delays = effects - causes[np.searchsorted(causes, effects) - 1]
    law = DELAYS[kernel].law(8.0)
    assert law.mean() == pytest.approx(8.0)
    assert stats.kstest(delays, law.cdf).pvalue > 0.01


def test_a_periodic_type_keeps_its_period_and_its_jitter():
    spec = ProcessSpec((ProcessType("beat", period=10, jitter=0.1), ProcessType("b", 0.01)), duration=20_000.0)
    gaps = np.diff(times_by_type(simulate_process(spec, 1, seed=3).log)["beat"])
    assert stats.kstest(gaps, stats.gamma(100, scale=0.1).cdf).pvalue > 0.01
    assert gaps.std() == pytest.approx(1.0, rel=0.05)


def test_bursts_have_their_size_and_their_gaps_and_only_their_first_event_causes():
    types = (ProcessType("a", 0.001, repeats=4, gap=0.5), ProcessType("b"))
    spec = ProcessSpec(types, (ProcessEdge("a", "b", 0.5, 100.0, "shifted"),), duration=1_000_000.0)
    times = times_by_type(simulate_process(spec, 1, seed=4).log)
    gaps = np.diff(times["a"])
    bursts = np.sum(gaps > 6) + 1
    assert len(times["a"]) / bursts == pytest.approx(5, rel=0.1)
    assert gaps[gaps <= 6].mean() == pytest.approx(0.5, rel=0.05)
    assert len(times["b"]) == pytest.approx(0.5 * bursts, abs=4 * np.sqrt(0.5 * bursts))
    np.testing.assert_allclose(mean_rates(spec), [0.005, 0.0005])


def test_an_inhibited_rate_is_multiplied_by_its_factor():
    types = (ProcessType("brake", period=200, jitter=0.01), ProcessType("wheel", 0.2))
    spec = ProcessSpec(types, inhibitions=(Inhibition("brake", "wheel", 0.25, 100.0),), duration=LONG)
    times = times_by_type(simulate_process(spec, 1, seed=5).log)
    wheel = times["wheel"][times["wheel"] > times["brake"][0]]
    since = wheel - times["brake"][np.searchsorted(times["brake"], wheel) - 1]
    # A hundred seconds of each kind in every period.
    ratio = np.sum(since <= 100) / np.sum(since > 100)
    assert ratio == pytest.approx(0.25, abs=0.02)


def test_causes_that_need_each_other_cause_nothing_alone():
    types = (ProcessType("a", 0.01), ProcessType("b", 0.005), ProcessType("c"))
    edges = (
        ProcessEdge("a", "c", 0.9, 5.0, needs="b", window=30),
        ProcessEdge("b", "c", 0.9, 5.0, needs="a", window=30),
    )
    times = times_by_type(simulate_process(ProcessSpec(types, edges, duration=LONG), 1, seed=6).log)

    def met(first, second):
        """How many of the second come within half a minute of one of the first."""
        return np.sum(second - np.append(-np.inf, first)[np.searchsorted(first, second)] <= 30)

    expected = 0.9 * (met(times["a"], times["b"]) + met(times["b"], times["a"]))
    assert len(times["c"]) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    alone = ProcessSpec((types[0], ProcessType("b"), types[2]), edges, duration=LONG)
    assert not len(times_by_type(simulate_process(alone, 1).log)["c"])


def test_a_hidden_common_cause_makes_one_type_follow_the_other_without_an_edge():
    types = (ProcessType("a", 0.001), ProcessType("b", 0.001), ProcessType("h", 0.005, hidden=True))
    edges = (ProcessEdge("h", "a", 0.9, 5.0), ProcessEdge("h", "b", 0.9, 25.0, "shifted"))
    written = simulate_process(ProcessSpec(types, edges, duration=LONG), 1, seed=7)
    assert (written.log.event_types, written.truth.edges) == (("a", "b"), ())
    times = times_by_type(written.log)
    followed = np.mean([np.any((times["b"] > t) & (times["b"] < t + 50)) for t in times["a"]])
    by_chance = 1 - np.exp(-50 * len(times["b"]) / LONG)
    assert followed > by_chance + 0.3


def test_floods_raise_all_rates():
    spec = ProcessSpec((ProcessType("a", 0.02), ProcessType("b", 0.01)), flood=Flood(0.001, 100.0, 6.0), duration=LONG)
    # Half of the rates again: a tenth of the time five times more.
    np.testing.assert_allclose(mean_rates(spec), [0.03, 0.015])
    counts = np.bincount(simulate_process(spec, 4, seed=8).log.codes)
    np.testing.assert_allclose(counts, [12_000, 6_000], rtol=0.06)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000), world_seed=st.integers(0, 1_000))
def test_a_variable_never_takes_the_value_that_it_holds(seed, world_seed):
    spec = process_world("signals", duration=2_000, world_seed=world_seed)
    (sequence,) = simulate_process(spec, 1, seed=seed).log
    for off, on in spec.variables:
        changes = [event for event in sequence.events if event in (off, on)]
        assert changes == [(on, off)[place % 2] for place in range(len(changes))]


@pytest.mark.parametrize("name", PROCESS_WORLDS)
def test_the_seed_decides_and_a_sequence_does_not_depend_on_how_many_there_are(name):
    spec = process_world(name, duration=2_000)
    few, many = (simulate_process(spec, count, seed=9).log for count in (2, 3))
    assert few.to_records() == many.to_records()[:2]
    assert simulate_process(spec, 2, seed=10).log.to_records() != few.to_records()
    assert few.event_types == tuple(sorted(kind.name for kind in spec.types if not kind.hidden))
    assert all(np.all(np.diff(sequence.timestamps) >= 0) for sequence in many)
    assert many.timestamps.max() < 2_000


def test_too_many_and_no_events():
    spec = ProcessSpec((ProcessType("a", 1.0), ProcessType("b")), duration=1e6)
    with pytest.raises(
        SettingsError, match=r"^About 1,000,000,000 events are to be expected, more than 100,000,000. Take"
    ):
        simulate_process(spec, 1_000)
    with pytest.raises(
        SettingsError, match=r"^The world wrote no event. Give it higher rates or a longer `duration`.$"
    ):
        simulate_process(ProcessSpec((ProcessType("a"), ProcessType("b"))), 3)
