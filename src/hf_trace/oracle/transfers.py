"""Tensors on their way to an accelerator and back, while neither side waits for the other."""

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device. The way from a CPU to a GPU is not waited for; on its own device it stays as it is."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Returning:
    """A tensor on its way to the CPU.

    Args:
        tensor: Where a GPU computes it, work may still be going on.

    Example:
        >>> Returning(torch.ones(2)).arrived().tolist()
        [1.0, 1.0]
    """

    def __init__(self, tensor: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._tensor = tensor
        if tensor.is_cuda:
            self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def arrived(self) -> Tensor:
        """The tensor, once it is there."""
        if self._event is not None:
            self._event.synchronize()
        return self._tensor.cpu()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each begun before the one before it is used.

    Example:
        >>> def begun():
        ...     for number in range(3):
        ...         print("begin", number)
        ...         yield number
        >>> for number in one_ahead(begun()):
        ...     print("use", number)
        begin 0
        begin 1
        use 0
        begin 2
        use 1
        use 2
    """
    for held in items:
        for following in items:
            yield held
            held = following
        yield held
