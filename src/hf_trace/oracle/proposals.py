"""What an event is replaced by: weighted draws from a proposal distribution over event tokens."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Probabilities = Float[Tensor, "_ type"]  # one row per cause, or one for all


@dataclass(frozen=True)
class Draws:
    """Distinct replacements of each cause and their weights.

    Attributes:
        token_ids: Replacements; the used slots of a cause come first.
        log_weights: Log of the share of draws each stands for; -inf marks an unused slot.
        observed_log_weight: The same for draws that hit the observed token, which need no row.
        samples: Used slots of each cause.
        num_samples: Independent draws behind the weights; 0 where all types were enumerated.
    """

    token_ids: Int[Tensor, "cause sample"]
    log_weights: Float[Tensor, "cause sample"]
    observed_log_weight: Float[Tensor, " cause"]
    samples: Int[Tensor, " cause"]
    num_samples: int


def merge_draws(drawn: Int[Tensor, "cause sample"], observed: Int[Tensor, " cause"]) -> Draws:
    """Merge equal draws of a cause and set aside those that equal what was observed.

    Example:
        >>> draws = merge_draws(torch.tensor([[7, 5, 7, 3]]), torch.tensor([3]))
        >>> draws.token_ids[0, :2].tolist(), draws.log_weights[0, :2].exp().tolist()
        ([5, 7], [0.25, 0.5])
        >>> draws.observed_log_weight.exp().item()
        0.25
    """
    ids, _ = drawn.sort(dim=1)
    starts = torch.ones_like(ids, dtype=torch.bool)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    run = starts.cumsum(1) - 1
    ones = torch.ones(ids.shape, dtype=torch.float64)
    share = torch.zeros_like(ones).scatter_add_(1, run, ones).gather(1, run) / ids.shape[1]
    kept = starts & (ids != observed[:, None])
    return _compact(ids, share, kept, (ids == observed[:, None]).double().mean(1), ids.shape[1])


def enumerate_types(
    candidates: Int[Tensor, " type"], probabilities: Probabilities, observed: Int[Tensor, " cause"]
) -> Draws:
    """Every event type once, weighted: no Monte Carlo error."""
    ids = candidates.expand(len(observed), -1)
    same = ids == observed[:, None]
    weights = probabilities.double().expand(len(observed), -1)
    return _compact(ids, weights, ~same & (weights > 0), (weights * same).sum(1), 0)


def _compact(ids: Tensor, weights: Tensor, kept: Tensor, observed_weight: Tensor, num_samples: int) -> Draws:
    """Move the kept slots of every cause to the front and drop unused columns."""
    order = kept.logical_not().sort(dim=1, stable=True).indices
    samples = kept.sum(1)
    width = max(1, int(samples.max())) if len(samples) else 1
    log_weights = weights.log().masked_fill(~kept, -torch.inf).gather(1, order)[:, :width]
    return Draws(ids.gather(1, order)[:, :width], log_weights, observed_weight.log(), samples, num_samples)


def invert(probabilities: Probabilities, uniforms: Float[Tensor, "cause sample"]) -> Int[Tensor, "cause sample"]:
    """Index of the type each uniform number in [0, 1) falls on.

    Example:
        >>> invert(torch.tensor([[0.5, 0.0, 0.5]]), torch.tensor([[0.1, 0.6]])).tolist()
        [[0, 2]]
    """
    cumulative = probabilities.double().cumsum(1)
    cumulative = cumulative / cumulative[:, -1:]
    if len(cumulative) == 1:  # one distribution for all causes
        cumulative = cumulative[0]
    found = torch.searchsorted(cumulative, uniforms.double().contiguous(), right=True)
    return found.clamp(max=probabilities.shape[1] - 1)


@dataclass(frozen=True)
class Alphabet:
    """The event types a replacement may take.

    Attributes:
        token_ids: Token of every event type; special and gap tokens are not among them.
        frequencies: Relative frequency of each in the data; uniform if unknown.
        is_near: Which are events of neighbours; None where a sequence holds those of one place alone.
    """

    token_ids: Int[Tensor, " type"]
    frequencies: Float[Tensor, " type"]
    is_near: Bool[Tensor, " type"] | None = None

    def at_same_place(self, probabilities: Probabilities, observed: Int[Tensor, " cause"]) -> Probabilities:
        """Probabilities of what happened where the observed did: own events for own ones, near for near.

        Args:
            probabilities: Of every type; one row per cause, or one for all.
            observed: Token of each cause.

        Example:
            >>> alphabet = Alphabet(torch.tensor([4, 5, 6]), torch.ones(3), torch.tensor([False, False, True]))
            >>> alphabet.at_same_place(torch.full((1, 3), 1 / 3), torch.tensor([5, 6])).tolist()
            [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
        """
        if self.is_near is None:
            return probabilities
        near = torch.isin(observed, self.token_ids[self.is_near])
        kept = probabilities.expand(len(observed), -1) * (self.is_near == near[:, None])
        return kept / kept.sum(1, keepdim=True)


# Distribution of one cause over the alphabet; the second argument gives log P(type | past of the cause).
Proposal = Callable[[Alphabet, Callable[[], Float[Tensor, "cause vocab"]]], Probabilities]


def uniform(alphabet: Alphabet, next_log_probs: Callable[[], Tensor]) -> Probabilities:
    """Every event type with the same probability: the paper's choice."""
    size = len(alphabet.token_ids)
    return torch.full((1, size), 1 / size, dtype=torch.float64)


def unigram(alphabet: Alphabet, next_log_probs: Callable[[], Tensor]) -> Probabilities:
    """Event types as frequent as in the data."""
    return (alphabet.frequencies / alphabet.frequencies.sum()).double()[None]


def model(alphabet: Alphabet, next_log_probs: Callable[[], Tensor]) -> Probabilities:
    """The oracle's own distribution of the replaced event given its past: stays in distribution."""
    return next_log_probs()[:, alphabet.token_ids].double().softmax(1)


PROPOSALS: dict[str, Proposal] = {"uniform": uniform, "unigram": unigram, "model": model}
