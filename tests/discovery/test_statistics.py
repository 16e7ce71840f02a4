import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.discovery.statistics import (
    STATISTICS,
    bernoulli_divergence,
    bernoulli_kl,
    kl_to_mixture,
    kl_to_mixture_error,
    log1m_exp,
    log_mixture,
    log_ratio,
    mean_of_kl,
    probability_gain,
)

probability = st.floats(1e-6, 1 - 1e-6)


def log_of(p: float) -> torch.Tensor:
    return torch.tensor([math.log(p)], dtype=torch.float64)


def closed_form(p: float, r: float) -> float:
    return p * math.log(p / r) + (1 - p) * math.log((1 - p) / (1 - r))


@given(probability, probability)
def test_bernoulli_kl_is_the_closed_form(p, r):
    found = bernoulli_kl(log_of(p), log_of(r))
    assert found.item() == pytest.approx(closed_form(p, r), abs=1e-9)


@given(st.floats(0, 1), st.floats(1e-30, 1))
def test_divergences_of_probabilities_and_of_their_logarithms_are_the_same(p, r):
    expected = bernoulli_kl(*(torch.tensor([max(each, 1e-30)], dtype=torch.float64).log() for each in (p, r)))
    for dtype, near in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        # In float32 1 - r is off by 6e-8, its logarithm by as many parts of it.
        near = near if dtype is torch.float64 or r < 0.99 else math.inf
        found = bernoulli_divergence(*(torch.tensor([each], dtype=dtype) for each in (p, r)))
        assert found.isfinite().all()
        assert found.item() == pytest.approx(expected.item(), abs=near, rel=near)


@given(probability, probability)
def test_it_is_nonnegative_and_zero_only_for_equals(p, r):
    log_p, log_r = log_of(p), log_of(r)
    assert bernoulli_kl(log_p, log_r).item() >= 0
    assert bernoulli_kl(log_p, log_p).item() == 0


def test_it_is_finite_at_certainty():
    certain, never = torch.tensor([0.0]), torch.tensor([-80.0])
    assert bernoulli_kl(certain, never).item() == pytest.approx(80, rel=1e-6)
    assert torch.isfinite(bernoulli_kl(never, certain)).all()
    assert bernoulli_kl(certain, certain).item() == 0


@pytest.mark.parametrize("p", [1e-12, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-9])
def test_log_of_the_complement(p):
    found = log1m_exp(log_of(p)).item()
    assert found == pytest.approx(math.log1p(-p), rel=1e-6)


# One cause, three replacements with weights 1/2, 1/4, 1/4 and one unused slot, two effects.
OBSERVED = torch.tensor([[0.8, 0.1]]).log()
REPLACED = torch.tensor([[[0.2, 0.1], [0.4, 0.1], [0.8, 0.1], [float("nan")] * 2]]).log()
WEIGHTS = torch.tensor([[0.5, 0.25, 0.25, 0.0]]).double().log()
MEAN = 0.5 * 0.2 + 0.25 * 0.4 + 0.25 * 0.8


def test_the_mixture_is_the_weighted_mean_and_ignores_unused_slots():
    assert log_mixture(REPLACED, WEIGHTS).exp()[0].tolist() == pytest.approx([MEAN, 0.1])


def test_statistics_by_hand():
    assert kl_to_mixture(OBSERVED, REPLACED, WEIGHTS)[0].tolist() == pytest.approx(
        [closed_form(0.8, MEAN), 0], abs=1e-7
    )
    expected = 0.5 * closed_form(0.2, 0.8) + 0.25 * closed_form(0.4, 0.8)
    assert mean_of_kl(OBSERVED, REPLACED, WEIGHTS)[0].tolist() == pytest.approx([expected, 0], abs=1e-6)
    assert probability_gain(OBSERVED, REPLACED, WEIGHTS)[0].tolist() == pytest.approx([0.8 - MEAN, 0], abs=1e-7)
    assert log_ratio(OBSERVED, REPLACED, WEIGHTS)[0].tolist() == pytest.approx([math.log(0.8 / MEAN), 0], abs=1e-6)


def test_every_statistic_is_zero_where_nothing_changes():
    same = OBSERVED[:, None].expand(1, 4, 2)
    for statistic in STATISTICS.values():
        assert statistic(OBSERVED, same, WEIGHTS)[0].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_merged_draws_weigh_as_much_as_repeated_ones():
    repeated = torch.tensor([[[0.2], [0.2], [0.6], [0.2]]]).log()
    merged = torch.tensor([[[0.2], [0.6]]]).log()
    one = kl_to_mixture(OBSERVED[:, :1], repeated, torch.full((1, 4), 0.25).double().log())
    other = kl_to_mixture(OBSERVED[:, :1], merged, torch.tensor([[0.75, 0.25]]).double().log())
    assert one.item() == pytest.approx(other.item(), abs=1e-12)


def test_the_standard_error_is_the_spread_over_repeats():
    """2,000 repeats of 64 draws from a population of replacement probabilities."""
    generator = torch.Generator().manual_seed(0)
    population = 0.1 + 0.5 * torch.rand(1000, generator=generator).double()
    observed = torch.tensor([[math.log(0.8)]]).double()
    values, errors = [], []
    for _ in range(2000):
        drawn = population[torch.randint(1000, (64,), generator=generator)]
        replaced, weights = drawn.log()[None, :, None], torch.full((1, 64), 1 / 64).double().log()
        values.append(kl_to_mixture(observed, replaced, weights).item())
        errors.append(kl_to_mixture_error(observed, replaced, weights, 64).item())
    spread, claimed = torch.tensor(values).std().item(), torch.tensor(errors).mean().item()
    assert claimed == pytest.approx(spread, rel=0.1)


def test_enumeration_has_no_error_and_one_draw_an_unknown_one():
    assert kl_to_mixture_error(OBSERVED, REPLACED, WEIGHTS, 0).tolist() == [[0, 0]]
    assert kl_to_mixture_error(OBSERVED, REPLACED, WEIGHTS, 1).isnan().all()
