"""Layers of models as compiled kernels: what stands between two matrix products becomes one pass over memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

Layers = Mapping[nn.Module, Callable[..., object]]


def compiled_layers(body: nn.Module) -> Layers:
    """The layers of a model's body, each with its forward as one program for any number of rows and tokens.

    They share it: nothing is compiled before the first of them runs, and once for all. A layer whose forward somebody
    has replaced, as where a model is spread over several devices, is left alone.
    """
    own = (layer for layer in _layers(body) if "forward" not in vars(layer))
    return {layer: torch.compile(layer.forward, dynamic=True) for layer in own}


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else _layers(child)


@contextmanager
def lent(layers: Layers) -> Iterator[None]:
    """Let layers run compiled; what the model's user calls elsewhere stays as it is."""
    for layer, forward in layers.items():
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def log_normalizer(logits: Float[Tensor, "token type"]) -> Float[Tensor, " token"]:
    """Logarithm of the sum of exponentials, in float32."""
    return logits.float().logsumexp(-1)


@cache
def compiled_log_normalizer() -> Callable[[Tensor], Tensor]:
    """The same without a copy in float32."""
    return torch.compile(log_normalizer, dynamic=True)
