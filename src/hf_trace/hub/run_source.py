"""Where the files of a run are: in its folder, or for a Hub id in the local cache, fetched when they are asked for."""

from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import snapshot_download

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DOCUMENTS = ("*.json", "tokenizer*")
_MEMBERS = (*_DOCUMENTS, "members/*")


def local_run(
    name_or_path: str | PathLike[str], *, revision: str | None = None, members: bool = False
) -> Path:
    """The folder with the documents of a run.

    Args:
        name_or_path: A folder, or a Hub id. What is neither is given back as it is.
        revision: Branch, tag or commit on the Hub.
        members: Also fetch the further models of the run.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> local_run(folder) == Path(folder)
        True
    """
    path = Path(name_or_path)
    if path.exists() or path.is_absolute() or len(path.parts) > 2:
        return path
    return _fetched(str(name_or_path), revision, _MEMBERS if members else _DOCUMENTS) or path


@lru_cache(maxsize=64)
def _fetched(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path | None:
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except (OSError, ValueError):  # no such repository, no network, no name of one
        return None


def run_of(model: "PreTrainedModel", *, members: bool = False) -> str:
    """The folder of the run that a model was loaded from, of the very revision; empty where it is from none.

    Args:
        model: As ``from_pretrained`` gave it.
        members: Also fetch the further models of the run.
    """
    name = str(getattr(model.config, "_name_or_path", "") or "")
    revision = getattr(model.config, "_commit_hash", None)
    return str(local_run(name, revision=revision, members=members)) if name else ""
