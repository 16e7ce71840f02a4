"""The loss of runs with an outcome column: the label of a sequence weighs as much as all its events together.

A label is one token among many. With equal weights training stops when the events are learned, long before the label.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

_IGNORED = -100


def weighted_loss(
    logits: Float[Tensor, "row pos vocab"],
    labels: Int[Tensor, "row pos"],
    outcomes: Int[Tensor, " outcome"],
    weight: float,
) -> Float[Tensor, ""]:
    """Mean loss of the next token, in nats, where outcomes count more.

    Args:
        logits: Of the token after each position.
        labels: The tokens themselves; -100 for padding.
        outcomes: Tokens of outcomes.
        weight: What an outcome counts; other tokens count 1.

    Example:
        >>> logits, labels = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 3]])
        >>> round(weighted_loss(logits, labels, torch.tensor([3]), 9.0).item(), 4)  # ln 4 whatever the weights
        1.3863
    """
    after = labels[:, 1:]
    losses = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), after.flatten(), ignore_index=_IGNORED, reduction="none"
    )
    weights = torch.where(torch.isin(after, outcomes), weight, 1.0) * (after != _IGNORED)
    return (losses * weights.flatten()).sum() / weights.sum()
