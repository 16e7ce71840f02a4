"""Confidence and the false discovery rate: closed forms, and realised rates on effects that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from hf_trace.discovery.confidence import confidence, largest_set, moderated, pooled, possible_errors, posterior_exceeds
from hf_trace.discovery.pair_graphs import instance_graph, summary_graph
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Fdr, parse_threshold
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EventSequence

MARGIN = 0.05
CHANCES = st.lists(st.floats(0, 1), min_size=0, max_size=40).map(np.array)


def scored(effect, error):
    """Scores whose signed roots are the effects given."""
    effect, error = np.asarray(effect, float), np.broadcast_to(np.asarray(error, float), np.shape(effect))
    position = np.arange(len(effect))
    return PairScores(np.zeros_like(position), position + 1, effect**2, np.sign(effect), 2 * np.abs(effect) * error)


def synthetic(generator, pairs=2_000, share=0.2, spread=0.4):
    """True effects: most are none."""
    return np.where(generator.random(pairs) < share, generator.normal(0, spread, pairs), 0.0)


def realised(kept, effect):
    return np.sum(kept & (effect**2 <= MARGIN)), np.sum(kept)


def test_without_error_confidence_is_certain():
    chances = confidence(scored([0.5, -0.5, 0.1, 0.0], 0.0), MARGIN)
    assert chances.round(6).tolist() == [1, 1, 0, 0]


def test_no_pairs():
    none = scored([], [])
    assert Fdr(0.1).keep(none).tolist() == Fdr(0.1).confidence(none).tolist() == []


def test_a_wide_prior_gives_the_normal_tail():
    """Many large effects: the prior says little, and confidence is one tail of the error around the estimate."""
    generator = np.random.default_rng(0)
    effect = np.append(generator.normal(0, 2, 5_000), MARGIN**0.5 + 0.1)
    chance = posterior_exceeds(effect, np.full((len(effect), 1), 0.1), MARGIN**0.5)[-1]
    assert chance == pytest.approx(norm.cdf(1.0), abs=0.03)


def test_one_surprise_among_nothing_is_doubted():
    """The same estimate is believed less where nearly all others are noise."""
    generator = np.random.default_rng(1)
    alone = np.append(generator.normal(0, 0.15, 3_000), 0.4)
    among = np.append(generator.normal(0, 1.0, 3_000), 0.4)
    doubtful, sure = (
        posterior_exceeds(each, np.full((len(each), 1), 0.15), MARGIN**0.5)[-1] for each in (alone, among)
    )
    assert doubtful < 0.5 < 0.8 < sure


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2])
def test_one_oracle_holds_its_rate(level):
    """Within three binomial standard errors, pooled over 20 sequences, at several sizes of error."""
    false = found = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        effect = synthetic(generator)
        error = generator.uniform(0.02, 0.2, len(effect))
        kept = Fdr(level).keep(scored(effect + generator.normal(0, error), error))
        more_false, more_found = realised(kept, effect)
        false, found = false + more_false, found + more_found
    assert abs(false / found - level) < 3 * np.sqrt(level * (1 - level) / found) + 0.01
    assert found > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("oracles", [3, 5])
def test_several_oracles_hold_their_rate(oracles):
    """Every oracle, the truth's own place among them included, misses by the same unknown error."""
    false = found = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        effect = synthetic(generator)
        error = generator.uniform(0.05, 0.15, len(effect))
        centre = effect + generator.normal(0, error)
        members = [scored(centre + generator.normal(0, error), 0.0) for _ in range(oracles)]
        more_false, more_found = realised(Fdr(0.1).keep(pooled(members)), effect)
        false, found = false + more_false, found + more_found
    assert 0.05 < false / found < 0.115
    assert found > 1_000


def test_pooled_scores():
    agree, differ = pooled([scored([0.3, 0.3], 0.1), scored([0.5, -0.3], 0.1)]).cmi
    assert agree == pytest.approx(0.16)
    # Oracles that disagree on the sign say nothing together, although each alone sees 0.09 nats.
    assert differ == pytest.approx(0)
    alone = scored([0.3], 0.1)
    assert pooled([alone]) is alone


def test_pooled_errors_shrink_with_the_oracles():
    four = pooled([scored([0.4], 0.1)] * 4)
    assert four.standard_error == pytest.approx(scored([0.4], 0.1).standard_error / 2)


def test_variances_that_differ_keep_most_of_their_own():
    generator = np.random.default_rng(0)
    true = np.repeat([0.01, 1.0], 500)
    sample = true * generator.chisquare(20, 1_000) / 20
    shrunk, freedom = moderated(sample, 20, np.ones((1_000, 1)))
    assert 20 < freedom < 30
    assert np.corrcoef(np.log(shrunk), np.log(true))[0, 1] > 0.97
    assert np.std(np.log(shrunk[:500])) < np.std(np.log(sample[:500]))


def test_variances_on_a_trend_are_the_trend():
    generator = np.random.default_rng(0)
    level = generator.normal(0, 1, 1_000)
    trend = np.column_stack([np.ones(1_000), level])
    shrunk, freedom = moderated(np.exp(level) * generator.chisquare(3, 1_000) / 3, 3, trend)
    assert freedom > 30
    assert np.abs(np.log(shrunk) - level).max() < 0.5


def test_uncertain_errors_make_student():
    """Two degrees of freedom: P(|t| > 3) is 0.095, where a normal error of the same variance says 0.003."""
    errors = possible_errors(np.ones(1), 2.0)[0]
    assert np.mean(2 * norm.sf(3 / errors)) == pytest.approx(0.095, abs=0.02)


@given(CHANCES, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_rate_keeps_a_superset(chances, first, second):
    low, high = sorted((first, second))
    assert np.all(largest_set(chances, low) <= largest_set(chances, high))


@given(CHANCES, st.floats(0, 1))
def test_the_mean_doubt_is_at_most_the_rate(chances, level):
    kept = largest_set(chances, level)
    if kept.any():
        assert np.mean(1 - chances[kept]) <= level + 1e-9
        assert chances[kept].min() > chances[~kept].max(initial=-1)
    if not kept.all():
        doubt = 1 - chances  # where chances of 0 and 1e-90 are equal
        more = kept | (doubt == doubt[~kept].min())
        assert np.mean(1 - chances[more]) > level - 1e-9


@given(st.integers(0, 30), st.floats(0, 1))
def test_certain_pairs_are_all_kept(pairs, level):
    assert largest_set(np.ones(pairs), level).all()


@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=30).map(np.array))
def test_a_rate_of_zero_keeps_no_doubtful_pair(chances):
    assert not largest_set(chances, 0.0).any()


def test_edges_carry_their_confidence():
    scores = scored([0.5, 0.02, 0.6], 0.01)
    sequence = EventSequence(("a", "b", "c", "b"))
    instance = instance_graph(sequence, scores, parse_threshold("fdr:0.1"))
    assert [edge["effect_position"] for edge in instance.edges] == [1, 3]
    assert all(0.99 < edge["confidence"] <= 1 for edge in instance.edges)
    (edge,) = summary_graph(instance).edges
    assert edge["confidence"] == max(each["confidence"] for each in instance.edges)
    assert "confidence" not in instance_graph(sequence, scores, parse_threshold("margin:0.1")).edges[0]


def test_specs():
    assert parse_threshold("fdr:0.1") == Fdr(0.1, 0.05)
    assert str(parse_threshold("fdr:.1,0.2")) == "fdr:0.1,0.2"
    for spec in ("fdr:2", "fdr:", "fdr:0.1,", "fdr:0.1,-1", "fdr:nan", "fdr:0.1,0.2,0.3"):
        with pytest.raises(SettingsError) as refused:
            parse_threshold(spec)
        assert str(refused.value) == (
            f"threshold is {spec!r}, expected a false discovery rate from 0 to 1 such as 'fdr:0.1', and after a comma "
            "the smallest effect of interest, in nats ('fdr:0.1,0.05')."
        )


def test_confidence_needs_a_known_error():
    with pytest.raises(SettingsError) as refused:
        DiscoverySettings(threshold="fdr:0.1", statistic="log_ratio")
    assert str(refused.value) == (
        "threshold is 'fdr:0.1' with direct effects, construction 'atomic' and statistic 'log_ratio', expected direct "
        "effects, 'atomic' and 'kl_to_mixture', whose error is known. Use margin:0.05 with the others."
    )
    with pytest.raises(SettingsError, match=r"^num_samples is 1 and threshold 'fdr:0\.1', expected at least 2 draws"):
        DiscoverySettings(threshold="fdr:0.1", num_samples=1)
