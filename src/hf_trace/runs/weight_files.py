"""What the weight files of a model hold, read from their headers alone, before anything is built or allocated."""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
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
