"""How much is scored at once: a budget of bytes, and smaller pieces where memory runs out all the same."""

import ctypes
import logging
import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PretrainedConfig

from hf_trace.errors import SettingsError

_UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# Beyond these a micro-batch gains nothing: its activations leave a CPU's caches, a GPU is full.
MOST_TOKENS = {"cpu": 2048, "cuda": 131072}
_EXHAUSTED = ("can't allocate memory", "_ALLOC_FAILED")  # a CPU; cuBLAS and cuDNN

Scored = TypeVar("Scored")
logger = logging.getLogger(__name__)


def budget_bytes(memory: str | float | None, device: torch.device) -> int:
    """Bytes that scoring may use.

    Args:
        memory: ``"2GB"``, ``"500MB"``, a share of free memory between 0 and 1, or None for a quarter of it.
        device: Where the model is.

    Raises:
        SettingsError: If ``memory`` is neither a size nor a share.

    Example:
        >>> budget_bytes("2GB", torch.device("cpu"))
        2147483648
    """
    text = "0.25" if memory is None else str(memory).strip().upper()
    if found := re.fullmatch(r"(\d+\.?\d*) *([KMG]?)(B?)", text):
        amount, unit = float(found[1]), found[2] or found[3]
        if unit:
            return int(amount * _UNITS[unit])
        if 0 < amount <= 1:
            return int(amount * free_bytes(device))
    raise SettingsError(f"memory is {memory!r}, expected a size such as '2GB' or a share of free memory such as 0.5.")


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2 * 2**30


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed blocks of up to 256 MB instead of returning them to the system at once.

    Every layer frees and takes blocks of some megabytes. Once returned, each comes back page by page and zeroed, which
    has cost a third of the scoring time on a CPU. Does nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 256 * 2**20)


def token_bytes(config: PretrainedConfig, keys: int) -> int:
    """Rough number of bytes one token needs while a layer runs: activations, scores over ``keys``, its own keys."""
    hidden = getattr(config, "hidden_size", 256)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = getattr(config, "num_attention_heads", 1)
    return 4 * (10 * hidden + 3 * inner + 3 * heads * keys)


class Memory:
    """What scoring may use, and what has turned out to be too much.

    Args:
        memory: See ``budget_bytes``.
        device: Where the model is.
    """

    def __init__(self, memory: str | float | None, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.budget = budget_bytes(memory, device)
        self.most_tokens = MOST_TOKENS.get(device.type, MOST_TOKENS["cpu"])
        self._fitting: dict[str, int] = {}

    def tokens(self, cost: int) -> int:
        """Tokens of a micro-batch where each costs ``cost`` bytes; at least 1."""
        return max(1, min(self.most_tokens, self.budget // cost))

    def in_pieces(
        self,
        doing: str,
        score: Callable[..., Scored],
        *parts: Tensor,
        axes: int = 1,
        join: Callable[[list[Any], int], Any] = torch.cat,
    ) -> Scored:
        """``score(*parts)``, halved again and again where memory runs out.

        Args:
            doing: What is being done, for the log; a size that was too much is not tried again under the same name.
            score: Must score every entry independently of the others.
            parts: Tensors whose first axes run over the same entries.
            axes: Number of those axes; the first that has several entries is halved.
            join: Puts scored pieces together along an axis.

        Raises:
            torch.OutOfMemoryError: If not even one entry fits.
        """
        size = parts[0].numel()
        fitting = self._fitting.get(doing, size)
        axis = next((axis for axis in range(axes) if parts[0].shape[axis] > 1), None)
        if axis is None or size <= fitting:
            try:
                return score(*parts)
            except RuntimeError as error:
                if axis is None or not _is_out_of_memory(error):
                    raise
            # Goes on outside `except`: the error's traceback keeps all tensors of the failed attempt alive.
            logger.warning("Out of memory while %s: half as much at once from now on.", doing)
        halves = list(zip(*(part.tensor_split(2, axis) for part in parts), strict=True))
        self._fitting[doing] = min(fitting, halves[0][0].numel())
        return join([self.in_pieces(doing, score, *half, axes=axes, join=join) for half in halves], axis)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _EXHAUSTED)
