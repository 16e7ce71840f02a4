"""Products with weights in bfloat16 on processors that multiply in it; all else stays in float32.

Automatic mixed precision would also attend in bfloat16, whose backward pass is slower there than in float32, and would
round logits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def multiplies_halves() -> bool:
    """Whether this processor has instructions for products in bfloat16."""
    told: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(told.get(name, False) for name in _INSTRUCTIONS)


@contextmanager
def half_products(model: nn.Module) -> Iterator[None]:
    """Multiply in bfloat16 in the layers of a model; weights and their gradients stay as they are.

    Args:
        model: Its head is left out: it makes the logits.
    """
    layers = [part for name, part in model.named_modules() if ".layers." in f".{name}" and type(part) is nn.Linear]
    for layer in layers:
        layer.forward = partial(_product, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _product(layer: nn.Linear, given: Float[Tensor, "... inner"]) -> Float[Tensor, "... outer"]:
    bias = None if layer.bias is None else layer.bias.bfloat16()
    return linear(given.bfloat16(), layer.weight.bfloat16(), bias).to(given.dtype)
