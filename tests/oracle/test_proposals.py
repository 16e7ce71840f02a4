import pytest
import torch

from hf_trace.oracle.proposals import PROPOSALS, Alphabet, enumerate_types, invert, merge_draws


def test_merged_draws_keep_every_share():
    drawn = torch.tensor([[4, 4, 9, 4], [7, 7, 7, 7], [5, 6, 8, 9]])
    draws = merge_draws(drawn, torch.tensor([9, 7, 3]))
    shares = [
        dict(zip(ids[:n].tolist(), weights[:n].exp().tolist(), strict=True))
        for ids, weights, n in zip(draws.token_ids, draws.log_weights, draws.samples, strict=True)
    ]
    assert shares == [{4: 0.75}, {}, {5: 0.25, 6: 0.25, 8: 0.25, 9: 0.25}]
    assert draws.observed_log_weight.exp().tolist() == [0.25, 1.0, 0.0]
    assert draws.num_samples == 4
    assert draws.log_weights[0, 1:].tolist() == [-torch.inf] * 3


def test_enumeration_has_every_other_type_once_and_no_monte_carlo_error():
    alphabet = Alphabet(torch.tensor([4, 5, 6]), torch.tensor([0.5, 0.3, 0.2]))
    weights = PROPOSALS["unigram"](alphabet, lambda: torch.empty(0))
    draws = enumerate_types(alphabet.token_ids, weights, torch.tensor([5, 4]))
    assert draws.token_ids[:, :2].tolist() == [[4, 6], [5, 6]]
    torch.testing.assert_close(
        draws.log_weights[:, :2].exp(), torch.tensor([[0.5, 0.2], [0.3, 0.2]]).double(), rtol=0, atol=1e-7
    )
    assert draws.observed_log_weight.exp().tolist() == pytest.approx([0.3, 0.5])
    assert draws.num_samples == 0


def test_inversion_follows_the_distribution():
    """The share of a fine grid of uniforms that falls on a type is its probability."""
    probabilities = torch.tensor([[0.1, 0.0, 0.65, 0.25]])
    grid = ((torch.arange(1000) + 0.5) / 1000)[None]
    counts = torch.bincount(invert(probabilities, grid)[0], minlength=4)
    assert counts.tolist() == [100, 0, 650, 250]


def test_inversion_at_the_ends():
    probabilities = torch.tensor([[0.0, 0.5, 0.5, 0.0]])
    assert invert(probabilities, torch.tensor([[0.0, 1 - 1e-12]], dtype=torch.float64)).tolist() == [[1, 2]]


def test_the_model_proposal_is_the_models_own_distribution_over_events():
    alphabet = Alphabet(torch.tensor([1, 3]), torch.tensor([0.5, 0.5]))
    log_probs = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert PROPOSALS["model"](alphabet, lambda: log_probs)[0].tolist() == pytest.approx([0.75, 0.25])


def test_uniform_is_over_event_types_alone():
    alphabet = Alphabet(torch.tensor([4, 5, 6, 9]), torch.ones(4))
    assert PROPOSALS["uniform"](alphabet, lambda: torch.empty(0)).tolist() == [[0.25] * 4]
