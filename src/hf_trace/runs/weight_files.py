"""What the weight files of a model hold by their headers, and a bound on what its config may ask for beside them.

Models are first built without memory, and only as far as the bound goes.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from transformers import PretrainedConfig
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file

from hf_trace.documents import read_document
from hf_trace.errors import ModelLoadError, first_line

# What `cached_file` and `from_pretrained` are told of where a file is.
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
_FLOATS = ("F64", "F32", "F16", "BF16")
# A checkpoint of several processes; Transformers takes it before any other.
_SHARDS = "shard-?????-model-?????-of-?????.safetensors"
_PLAIN_NAME = re.compile(r"[^/\\]+\.safetensors")


class ModelFlaw(Exception):
    """Why a model cannot be used, as part of a sentence; the door makes a ``ModelLoadError`` of it that names it."""


@dataclass(frozen=True)
class HeldTensors:
    """The tensors of weight files.

    Attributes:
        shapes: Of each tensor, by its name in the files.
        dtypes: Of each tensor, as safetensors spells it: ``"F32"``.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)

    @property
    def numbers(self) -> int:
        """Numbers in all of them."""
        return sum(map(prod, self.shapes.values()))

    @property
    def coded(self) -> dict[str, str]:
        """Tensors that are no plain floating point numbers, and what they are."""
        return {name: kind for name, kind in self.dtypes.items() if kind not in _FLOATS}


def file_of(name_or_path: str | PathLike[str], file: str, hub: Mapping[str, Any] | None = None) -> Path | None:
    """A file of a folder or of a repository of the Hub; None where it has none of that name.

    Args:
        name_or_path: The folder or id.
        file: Its name.
        hub: What of ``HUB_OPTIONS`` is known.

    Raises:
        OSError: If there is no such repository, or no way to it.
    """
    found = cached_file(str(name_or_path), file, _raise_exceptions_for_missing_entries=False, **(hub or {}))
    return None if found is None else Path(found)


def held_tensors(
    name_or_path: str | PathLike[str], hub: Mapping[str, Any] | None = None, *, file: str | None = None
) -> HeldTensors:
    """What the weight files of a model hold.

    Args:
        name_or_path: A folder or Hub id.
        hub: What of ``HUB_OPTIONS`` is known.
        file: The only file, or the index, where it has a name of its own.

    Raises:
        ModelFlaw: If there are no files in the safetensors format, one is damaged, or an index names what is no file
            of the model.
        ModelLoadError: If an index is not JSON.
    """
    hub = hub or {}
    folder = Path(name_or_path) / (hub.get("subfolder") or "")
    if folder.is_dir() and (shards := fnmatch.filter((each.name for each in folder.iterdir()), _SHARDS)):
        return tensors_of([folder / name for name in sorted(shards)])
    names = [file] if file is not None else [SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME]
    for name in names:
        path = file_of(name_or_path, name, hub)
        if path is not None:
            paths = _indexed(name_or_path, path, hub) if name.endswith(".index.json") else [path]
            return tensors_of(paths)
    raise ModelFlaw(
        f"it holds no {' or '.join(names)}. Expected weights in the safetensors format; pickled ones are not read"
    )


def _indexed(name_or_path: str | PathLike[str], index: Path, hub: Mapping[str, Any]) -> list[Path]:
    document = read_document(index, "an index of weight files", error=ModelLoadError)
    files = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(files, dict) or not files:
        raise ModelFlaw(f"{index.name} names no weight files, expected a `weight_map` from tensors to files")
    paths = []
    for name in dict.fromkeys(map(str, files.values())):
        # One of another folder would be read from anywhere; one of another format would be unpickled.
        path = file_of(name_or_path, name, hub) if _PLAIN_NAME.fullmatch(name) else None
        if path is None:
            raise ModelFlaw(f"{index.name} names {name!r}, expected a .safetensors file beside it")
        paths.append(path)
    return paths


def tensors_of(paths: list[Path]) -> HeldTensors:
    """What safetensors files hold together.

    Raises:
        ModelFlaw: If one is no such file, or is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    for path in paths:
        if not path.is_file():  # a pipe or a device would never end
            raise ModelFlaw(f"{path.name} is no file, expected one in the safetensors format")
        try:
            with safe_open(path, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                    part = opened.get_slice(name)
                    shapes[name], dtypes[name] = tuple(part.get_shape()), part.get_dtype()
        except (SafetensorError, OSError) as error:
            raise ModelFlaw(
                f"{path.name} is damaged ({first_line(error)}). Expected a whole file in the safetensors format; copy "
                "it again"
            ) from error
    return HeldTensors(shapes, dtypes)


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
        numbers = psutil.virtual_memory().total // 4
        return cls(
            _FURTHER_PARTS,
            numbers,
            numbers,
            f"this machine has memory for {numbers:,} numbers, and a model from scratch may have up to "
            f"{_FURTHER_PARTS:,} parts",
        )


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
