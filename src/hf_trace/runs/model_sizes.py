"""A bound on what a config may ask for: models are first built without memory, and only as far as it goes."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from transformers import PretrainedConfig

from hf_trace.runs.weight_files import HeldTensors, ModelFlaw

# Lists are made of these while a config is read, before any model is built.
_COUNTS = re.compile(r"(layers?|blocks?|experts|labels|heads)$")
_MOST_OF_A_KIND = 20_000
# Beside what the files hold: heads that start anew, biases that are tied, and parts without weights.
_FURTHER_PARTS, _FURTHER_NUMBERS, _FURTHER_CACHED = 10_000, 2**26, 2**30
_TIMES = 4


@dataclass(frozen=True)
class SizeBound:
    """What a model may have at most.

    Attributes:
        parts: Layers and tensors, each by itself.
        numbers: Weights.
        cached: Numbers that are computed rather than stored, such as masks and tables of sines.
        reason: Why not more, for the message.
    """

    parts: int
    numbers: int
    cached: int
    reason: str

    @classmethod
    def of_files(cls, held: HeldTensors) -> "SizeBound":
        """What may be asked for where files hold the weights."""
        count, numbers = len(held.shapes), held.numbers
        return cls(
            _TIMES * count + _FURTHER_PARTS,
            _TIMES * numbers + _FURTHER_NUMBERS,
            _TIMES * numbers + _FURTHER_CACHED,
            f"its files hold {count:,} tensors of {numbers:,} numbers",
        )

    @classmethod
    def of_machine(cls) -> "SizeBound":
        """What may be asked for where a model starts from scratch: as many numbers as fit into memory."""
        memory = _memory_bytes()
        return cls(
            _FURTHER_PARTS,
            memory // 4,
            memory // 4,
            f"this machine has memory for {memory // 4:,} numbers, and a model from scratch may have up to "
            f"{_FURTHER_PARTS:,} parts",
        )


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**36


class _TooLarge(Exception):
    """A model that is being built has passed its bound."""


def check_counts(document: Mapping[str, Any]) -> None:
    """Refuse a config that asks for more layers, heads or experts than any model has.

    Args:
        document: What ``config.json`` holds.

    Raises:
        ModelFlaw: With the first of them.

    Example:
        >>> check_counts({"num_hidden_layers": 1_000_000})
        Traceback (most recent call last):
            ...
        hf_trace.runs.weight_files.ModelFlaw: its config asks for num_hidden_layers=1000000, expected at most 20000
    """
    for name, value in document.items():
        if isinstance(value, Mapping):
            check_counts(value)
        elif isinstance(value, (int, float)) and value > _MOST_OF_A_KIND and _COUNTS.search(name):
            raise ModelFlaw(f"its config asks for {name}={value}, expected at most {_MOST_OF_A_KIND}")


def check_size(config: PretrainedConfig, bound: SizeBound) -> dict[str, Tensor]:
    """Refuse a config that asks for more than may be; nothing is allocated.

    Args:
        config: Of a type that Transformers or this package knows.
        bound: What may be.

    Returns:
        The weights that the model has, by name and without values; nothing where it cannot be built for another
        reason, which is met again, and told, when it is built in earnest.

    Raises:
        ModelFlaw: If it asks for more.
    """
    try:
        with _counted(bound), torch.random.fork_rng(devices=[]), torch.device("meta"):
            built = transformers.AutoModelForCausalLM.from_config(config)
            return dict(built.state_dict())
    except _TooLarge as error:
        raise ModelFlaw(
            f"its config asks for more than {error}, but {bound.reason}. Take the config.json that was saved with the "
            "weights, or one of a smaller model"
        ) from None
    except Exception:  # noqa: BLE001 (told when it is built in earnest)
        return {}


@contextmanager
def _counted(bound: SizeBound) -> Iterator[None]:
    found = {"parts": 0, "tensors": 0, "numbers": 0, "cached": 0}

    def count(kind: str, amount: int, most: int) -> None:
        found[kind] += amount
        if found[kind] > most:
            named = "computed numbers" if kind == "cached" else kind.replace("numbers", "weights")
            raise _TooLarge(f"{most:,} {named}")

    def count_parameter(_: Any, __: str, parameter: Any) -> None:
        count("tensors", 1, bound.parts)
        count("numbers", 0 if parameter is None else parameter.numel(), bound.numbers)

    def count_buffer(_: Any, __: str, buffer: Any) -> None:
        count("cached", 0 if buffer is None else buffer.numel(), bound.cached)

    hooks = [
        register_module_module_registration_hook(lambda *_: count("parts", 1, bound.parts)),
        register_module_parameter_registration_hook(count_parameter),
        register_module_buffer_registration_hook(count_buffer),
    ]
    try:
        yield
    except RuntimeError as error:
        if "overflow" in str(error):  # the bytes of a single tensor are beyond counting
            raise _TooLarge(f"{bound.numbers:,} weights") from None
        raise
    finally:
        for hook in hooks:
            hook.remove()
