"""Pools of many sequences: resampling, adaptive frequencies, and going on from a stored pool."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.discovery.population.frequencies import AdaptiveShare, LeastShare, parse_frequency
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.population.pool_files import load_pool, save_pool
from hf_trace.discovery.population.sums import quantile, two_digits
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.errors import GraphFormatError, SettingsError
from hf_trace.logs.sequence import EventSequence

MARGIN = parse_threshold("margin:0.1")


def one(cmi, *, name="x", events=("a", "b"), times=None):
    """A sequence of two events and the score of its only pair."""
    zero = np.zeros(1)
    scores = PairScores(np.array([0]), np.array([1]), np.array([cmi], dtype=float), zero + 0.1, zero)
    return EventSequence(events, times, name), scores


def random_sequences(count, seed, *, length=8):
    rng = np.random.default_rng(seed)
    for number in range(count):
        events = tuple(rng.choice(list("abcde"), length).tolist())
        cause, effect = np.triu_indices(length, 1)
        cmi = rng.exponential(0.1, len(cause)) / 3
        scores = PairScores(cause.astype(np.int64), effect.astype(np.int64), cmi, cmi - 0.02, np.zeros(len(cause)))
        yield (EventSequence(events, tuple(np.cumsum(rng.exponential(50, length)).tolist()), f"s{number}"), scores)


def pool_of(sequences, **options):
    pool = PopulationPool(MARGIN, **options)
    for sequence, scores in sequences:
        pool.add(sequence, scores)
    return pool


@settings(max_examples=6, deadline=None)
@given(first=st.integers(0, 12), held=st.integers(1, 200), seed=st.integers(0, 1000))
def test_a_stored_pool_goes_on_exactly(tmp_path_factory, first, held, seed):
    from hf_trace.discovery.population import pool as population

    every = list(random_sequences(12, seed))
    whole = pool_of(every, keep_sequences=True)
    usual = population._PAIRS_HELD
    population._PAIRS_HELD = held
    try:
        path = tmp_path_factory.mktemp("pool") / "pool.zip"
        save_pool(pool_of(every[:first], keep_sequences=True).state(), {"seed": 3}, path)
        state, made_by = load_pool(path)
        pool = PopulationPool.from_state(MARGIN, state)
        for sequence, scores in every[first:]:
            pool.add(sequence, scores)
    finally:
        population._PAIRS_HELD = usual
    assert made_by == {"seed": 3}
    options = {"min_frequency": 0.05, "resamples": 20, "seed": 1}
    assert pool.graph(**options).to_dict() == whole.graph(**options).to_dict()
    assert pool.graph().to_dict() == pool_of(every).graph().to_dict()
    assert pool.stability().tolist() == whole.stability().tolist()
    assert pool.state().log().to_records() == whole.state().log().to_records()


def test_bootstrap_of_one_pair_is_binomial():
    """20 sequences, 8 carry an edge: the resampled frequency is Binomial(20, 0.4) / 20."""
    pool = pool_of([one(0.5 if n < 8 else 0.0, name=str(n)) for n in range(20)], keep_sequences=True)
    edge = pool.graph(min_frequency=0.15, resamples=4000, seed=0).edges[0]
    # Percentiles 2.5 and 97.5 of Binomial(20, 0.4) are 4 and 12.
    assert (edge["resampled_frequency_low"], edge["resampled_frequency_high"]) == pytest.approx((0.2, 0.6))
    assert (edge["cmi_low"], edge["cmi_high"]) == pytest.approx((0.1, 0.3))
    # Wilson's lower end exceeds 0.15 from 7 of 20 on (0.181; 6 of 20: 0.1455); P(Binomial >= 7) is 0.75.
    assert edge["resampled_share"] == pytest.approx(0.7500, abs=0.03)


def test_windows_of_a_case_are_drawn_together():
    """Ten cases of two windows each: resampled counts are even."""
    windows = [one(0.5 if case < 5 else 0.0, name=f"{case}#{part}") for case in range(10) for part in (0, 1)]
    sums = pool_of(windows, keep_sequences=True).unit_sums()
    assert sums.units == 10
    assert sums.support.toarray().tolist() == [[2.0] * 10]
    assert sums.carried.toarray().tolist() == [[2.0] * 5 + [0.0] * 5]


def test_the_same_seed_gives_the_same_intervals():
    pool = pool_of(random_sequences(15, 0), keep_sequences=True)
    first, again, other = (pool.graph(resamples=30, seed=seed).to_dict() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_stability_is_1_where_halves_agree_and_less_where_they_do_not():
    sure = pool_of([one(0.5, name=str(n)) for n in range(20)], keep_sequences=True)
    assert sure.stability(repeats=5).tolist() == [1.0] * 5
    # Two sequences with an edge among 20: it is in a half with support of the edge only by chance.
    rare = [one(0.5 if n < 2 else 0.0, name=str(n)) for n in range(20)]
    indices = pool_of(rare, keep_sequences=True).stability(min_frequency=0.02, repeats=200)
    # One in each half: both have it (1.0); both in one half: 0. The chance of the former is 10 / 19.
    assert indices.mean() == pytest.approx(10 / 19, abs=0.12)


def test_without_sequences_there_is_no_resampling():
    pool = pool_of([one(0.5), one(0.5)])
    with pytest.raises(SettingsError, match="keeps no sums of single sequences"):
        pool.graph(resamples=10)
    with pytest.raises(SettingsError, match="keep_sequences=True"):
        pool.state()


def test_an_empty_pool_can_be_resampled_and_stored(tmp_path):
    pool = PopulationPool(MARGIN, keep_sequences=True)
    assert pool.graph(resamples=5).edges == ()
    save_pool(pool.state(), {}, tmp_path / "pool.zip")
    assert PopulationPool.from_state(MARGIN, load_pool(tmp_path / "pool.zip")[0]).sequences == 0


def test_lags_in_seconds_have_quantiles():
    times = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1234.0]
    pool = pool_of([one(0.5, name=str(n), times=(0.0, time)) for n, time in enumerate(times)])
    edge = pool.graph().edges[0]
    assert edge["lag_seconds"] == pytest.approx(sum(times) / 10)
    assert edge["lag_seconds_quantiles"] == {"0.1": 1.0, "0.5": 5.0, "0.9": 9.0}
    assert "lag_seconds_quantiles" not in pool_of([one(0.5), one(0.5)]).graph().edges[0]


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=30))
def test_two_digits_are_near(values):
    exact = np.array(values)
    assert np.all(np.abs(two_digits(exact) - exact) <= 0.0501 * exact)
    # ...and so are quantiles of them.
    rounded, sizes = np.unique(two_digits(exact), return_counts=True)
    middle = np.sort(exact)[int(np.ceil(len(exact) / 2)) - 1]
    assert quantile(rounded, sizes.astype(np.int64), 0.5) == pytest.approx(middle, rel=0.0501)


def test_the_adaptive_share_asks_for_less_where_support_is_larger():
    # Nine causes without effect at 4 % of 100 sequences, one cause to be judged.
    def judged(carried, support):
        counts = np.array([4] * 9 + [carried])
        return AdaptiveShare().keep(counts, np.array([100] * 9 + [support]), np.zeros(10, np.int64))

    # With n = 20, P(Binomial(20, 0.04) >= k) is 0.0074 for 4 and 0.00096 for 5; the best of
    # 10 pairs must be below 0.005.
    assert not judged(4, 20)[-1]
    assert judged(5, 20)[-1]
    # With n = 1,000 a share of 0.07 is too much for noise of 0.04 (25 % of 20 was needed above).
    assert judged(70, 1000)[-1]
    assert not judged(70, 1000)[:-1].any()


def test_false_edges_of_pure_noise_are_rare():
    rng = np.random.default_rng(0)
    effect = np.repeat(np.arange(20), 20)
    kept = [AdaptiveShare().keep(rng.binomial(80, 0.1, 400), np.full(400, 80), effect).any() for _ in range(100)]
    # Benjamini and Hochberg: the chance of any false edge is at most 5 %, if the noise level were known.
    assert np.mean(kept) < 0.15


def test_a_pair_that_was_never_tested_is_no_edge():
    none = np.zeros(3, np.int64)
    for rule in (AdaptiveShare(), LeastShare(0.0)):
        assert not rule.keep(none, none, none).any()


@pytest.mark.parametrize("value", ["often", -0.1, 1.5, True, None, "nan"])
def test_frequencies_that_mean_nothing_are_refused(value):
    with pytest.raises(SettingsError, match="expected a number from 0 to 1, or 'adaptive'"):
        parse_frequency(value)


def test_other_files_are_no_pools(tmp_path):
    path = tmp_path / "pool.zip"
    for content in (b"", b"PK\x03\x04nonsense", b"{}"):
        path.write_bytes(content)
        with pytest.raises(GraphFormatError, match="cannot be read as a population pool"):
            load_pool(path)
