"""How much fits: memory budgets, and what one token of a micro-batch costs."""

import os
import re

import torch
from transformers import PretrainedConfig

from hf_trace.errors import SettingsError

_UNITS = {"": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}
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
    if memory is None:
        memory = 0.25
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*([0-9.]+)\s*([KMG]?B?)\s*", memory.upper())
        unit = found and {"K": "KB", "M": "MB", "G": "GB", "B": ""}.get(found[2], found[2])
        if not found or unit not in _UNITS:
            raise SettingsError(
                f"memory is {memory!r}, expected a size such as '2GB' or a share such as 0.5."
            )
        return int(float(found[1]) * _UNITS[unit])
    if not 0 < memory <= 1:
        raise SettingsError(f"memory is {memory}, expected a share between 0 and 1 or a size such as '2GB'.")
    return int(memory * free_bytes(device))


def free_bytes(device: torch.device) -> int:
    """Bytes free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2 * 2**30


def token_bytes(config: PretrainedConfig, keys: int) -> int:
    """Rough bytes one tail token needs while a layer runs: activations, scores over ``keys``, its own keys."""
    hidden = getattr(config, "hidden_size", 256)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = getattr(config, "num_attention_heads", 1)
    return 4 * (10 * hidden + 3 * inner + 3 * heads * keys)
