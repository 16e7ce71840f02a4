"""How much fits: memory budgets, and what one token of a micro-batch costs."""

import ctypes
import os
import re
from functools import cache

import torch
from transformers import PretrainedConfig

from hf_trace.errors import SettingsError

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# Beyond these a micro-batch gains nothing: its activations leave a CPU's caches, a GPU is full.
MOST_TOKENS = {"cpu": 2048, "cuda": 131072}


def budget_bytes(memory: str | float | None, device: torch.device) -> int:
    """Bytes that scoring may use.

    Args:
        memory: ``"2GB"``, ``"500MB"``, a share of what is free between 0 and 1, or None for a quarter of it.
        device: Where the model lives.

    Raises:
        SettingsError: If ``memory`` is neither a size nor a share.

    Example:
        >>> budget_bytes("2GB", torch.device("cpu"))
        2147483648
    """
    share = 0.25 if memory is None else _number(memory)
    if share is not None and 0 < share <= 1:
        return int(share * free_bytes(device))
    found = re.fullmatch(r"(\d+\.?\d*) *([KMG]?)B?", str(memory).strip().upper())
    if not found or share is not None:
        raise SettingsError(
            f"memory is {memory!r}, expected a size such as '2GB' or a share of what is free such as 0.5."
        )
    return int(float(found[1]) * _UNITS[found[2]])


def _number(memory: str | float) -> float | None:
    """A share given as a number, or as text on the command line."""
    try:
        return float(memory)
    except ValueError:
        return None


def free_bytes(device: torch.device) -> int:
    """Bytes free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2 * 2**30


@cache
def keep_freed_memory() -> None:
    """Let the C library keep large blocks that are freed, up to 256 MB, instead of handing them back at once.

    Every layer frees and takes blocks of some megabytes; handed back, each comes again zeroed, page by page, which
    has cost a third of scoring time on a CPU. Does nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 256 * 2**20)


def token_bytes(config: PretrainedConfig, keys: int) -> int:
    """Rough bytes one tail token needs while a layer runs: activations, scores over ``keys``, its own keys."""
    hidden = getattr(config, "hidden_size", 256)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = getattr(config, "num_attention_heads", 1)
    return 4 * (10 * hidden + 3 * inner + 3 * heads * keys)
