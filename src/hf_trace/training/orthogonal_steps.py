"""The optimizer of models that are trained from scratch on logs: it needs a third of the passes that AdamW needs."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

# How a step's root mean square compares with one of AdamW at the same rate, and how much is remembered of gradients.
_SIZE, _MOMENTUM = 0.2, 0.95
# Of the table of an additive model, which begins at 0 and gets no further than the sum of its rates, in learning rates.
_FURTHER = 3.0
# Each round takes a singular value s to a s + b s^3 + c s^5, as near to 1 as can be for all that the rounds before have
# made of those from 1/50 to 1 (as Amsel et al. 2025 choose them): at the end no more than .093 away.
_ROUNDS = ((7.7110, -22.1138, 16.2487), (3.2153, -2.4112, 0.5013), (2.2183, -1.5940, 0.4107))


class OrthogonalSteps(AdamW):
    """Muon for the matrices between layers (Jordan et al. 2024), AdamW for all else: embeddings, heads, norms.

    A matrix moves along its momentum with all singular values made about 1, so that directions which gradients seldom
    point to are learned as fast as the others. Steps are as large as those of AdamW (Liu et al. 2025), so that rates
    and weight decay mean the same for both.

    Args:
        model: To be trained; matrices are those in its layers, between embeddings and head.
        rate: Learning rate of what AdamW trains.
        matrix_rate: Learning rate of matrices.
        weight_decay: Of all but norms and biases.
    """

    def __init__(self, model: nn.Module, rate: float, matrix_rate: float, weight_decay: float) -> None:
        parts = defaultdict[str, list[nn.Parameter]](list)
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                parts[_part(name, weight)].append(weight)
        groups: list[dict[str, Any]] = [
            {"params": parts["matrices"], "lr": matrix_rate, "is_matrices": True},
            {"params": parts["tables"], "is_matrices": False},
            {"params": parts["sums"], "lr": _FURTHER * rate, "is_matrices": False},
            {"params": parts["vectors"], "is_matrices": False, "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], lr=rate, weight_decay=weight_decay, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of everything that has a gradient; those of matrices are used up."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["is_matrices"]:
                self._step_matrices(group)
        super().step()
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        """Matrices of one shape together, each lying so that it is wider than high."""
        directions = defaultdict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]](list)
        for weight in group["params"]:
            if weight.grad is None:
                continue
            directions[min(weight.shape), max(weight.shape)].append((weight, self._direction(weight)))
            weight.grad = None  # AdamW passes over it
        for (_, wide), found in directions.items():
            lying = torch.stack([step if step.shape[1] == wide else step.mT for _, step in found])
            for (weight, _), step in zip(found, orthogonalized(lying), strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step if weight.shape[1] == wide else step.mT, alpha=-group["lr"] * _SIZE * wide**0.5)

    def _direction(self, weight: nn.Parameter) -> Tensor:
        """The gradient and those before it, as Nesterov weighs them."""
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None  # noqa: S101 - looked at by the caller
        if not state:
            state["step"], state["momentum"] = torch.tensor(0.0), torch.zeros_like(weight)
        state["step"] += 1
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM)


def _part(name: str, weight: nn.Parameter) -> str:
    if weight.ndim != 2:
        return "vectors"
    if ".additive." in f".{name}":
        return "sums"
    return "matrices" if ".layers." in f".{name}" else "tables"


def orthogonalized(matrices: Float[Tensor, "matrix high wide"]) -> Float[Tensor, "matrix high wide"]:
    r"""Matrices with the same singular vectors and singular values of about 1, but for the smallest of them.

    .. math:: X \leftarrow (a I + b A + c A^2) X, \qquad A = X X^\top

    three times, beginning with a matrix of norm 1. All factors are polynomials of the first :math:`A` and so commute:
    they are multiplied first, and the matrix, which is wider, last.

    Args:
        matrices: None of them higher than wide.

    Example:
        >>> turned = orthogonalized(torch.diag(torch.tensor([4.0, 0.5, 0.1]))[None])
        >>> bool(((turned[0].diagonal() - 1).abs() < 0.094).all()), turned[0, 0, 1].item()
        (True, 0.0)
    """
    unit = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=torch.finfo(matrices.dtype).tiny)
    gram = unit @ unit.mT
    factors = _factor(gram, *_ROUNDS[0])
    last = factors
    for round_ in _ROUNDS[1:]:
        gram = last @ gram @ last
        last = _factor(gram, *round_)
        factors = last @ factors
    return factors @ unit


def _factor(gram: Float[Tensor, "matrix high high"], first: float, third: float, fifth: float) -> Tensor:
    factor = torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth)
    factor.diagonal(dim1=-2, dim2=-1).add_(first)
    return factor
