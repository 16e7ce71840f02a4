"""Folders that appear whole or not at all, and replace only what the same command has written.

While a folder is being written, ``.NAME-unfinished`` lies beside it; what a killed process left there is removed, and
an older folder that it had moved aside is put back, when the same folder is written again.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path

from hf_trace.documents import parse_json
from hf_trace.errors import HfTraceError, OutputError, preview
from hf_trace.logs.writing import LOCK, check_target, hidden_beside, reserved

# In every folder, with what it was made from.
_ABOUT = "training.json"
_MODEL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors"),
    *("model.safetensors.index.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "spiece.model"),
    *("sentencepiece.bpe.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt"),
    *("merges.txt", "chat_template.jinja", "event_tokenizer_backend.py"),
)
_RUN_FILES = (
    *(*_MODEL_FILES, _ABOUT, "metrics.json", "dag.json", "states.json", "folds.json", "members", "members/#"),
    *("adapter", "adapter/adapter_config.json", "adapter/adapter_model*.safetensors*"),
)
_ADVICE = "Choose a new folder for `--out`, or move"
# What renameat2 calls an exchange, and a path that is relative to the working folder.
_EXCHANGE, _HERE = 2, -100
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What only writing can meet.
_OF_WRITING = (*_FULL, errno.EROFS, errno.EIO)
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that a command writes, and may replace.

    Attributes:
        name: What it is called, in messages.
        kinds: What its ``training.json`` says it was made of; None where older ones do not say it.
        always: Files that are in every such folder.
        files: Patterns of all that may be in one; ``#`` stands for a number.
    """

    name: str
    kinds: tuple[str | None, ...]
    always: tuple[str, ...]
    files: tuple[str, ...]

    def is_in(self, folder: Path) -> bool:
        """Whether a folder holds what every one of this kind does, by its own word."""
        if not all((folder / name).is_file() for name in self.always):
            return False
        try:
            about = parse_json((folder / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(about, dict) and about.get("kind") in self.kinds

    def foreign(self, folder: Path) -> list[str]:
        """What is in a folder and was not written by the command."""
        paths = sorted(folder.rglob("*"))
        names = [(path.relative_to(folder).as_posix(), path.is_symlink()) for path in paths]
        strange = [name for name, is_link in names if is_link or not self.may_hold(name)]
        return [name for name in strange if not any(name.startswith(f"{other}/") for other in strange)]

    def may_hold(self, name: str) -> bool:
        """Whether a file or folder of this name, within such a folder, is written by the command.

        Example:
            >>> RUN.may_hold("members/12/config.json"), RUN.may_hold("members/12/notes.txt"), RUN.may_hold("thesis.tex")
            (True, False, False)
        """
        numbered = re.sub(r"(?<=^members/)\d+(?=/|$)", "#", name)
        plain = numbered.removeprefix("members/#/")
        return any(fnmatchcase(plain, each) and plain.count("/") == each.count("/") for each in self.files)


RUN = FolderKind(
    "run", ("log", "table", None), ("config.json", "tokenizer_config.json", _ABOUT, "metrics.json"), _RUN_FILES
)
WORLD = FolderKind(
    "simulated world",
    ("world", None),
    ("events.parquet", "truth.json", _ABOUT),
    (
        *("events.parquet", "truth.json", "true_pairs.parquet", _ABOUT, "README.md", "oracle"),
        *(f"oracle/{name}" for name in _MODEL_FILES),
    ),
)


def owner_of(path: str | PathLike[str]) -> Path | None:
    """The run, simulated world or other model that a file is a part of, or would be; None for a file of no such folder.

    Args:
        path: A file, which need not exist.
    """
    file = Path(os.path.abspath(path))
    for folder in file.parents:
        name = file.relative_to(folder).as_posix()
        is_model = (folder / "config.json").is_file() and any(
            (folder / each).exists() for each in ("tokenizer_config.json", "model.safetensors", _ABOUT)
        )
        if (is_model and RUN.may_hold(name)) or (WORLD.may_hold(name) and WORLD.is_in(folder)):
            return folder
    return None


def check_replaceable(target: str | PathLike[str], kind: FolderKind = RUN, *, overwrite: bool = True) -> None:
    """Refuse to write a folder over anything but an empty one or an older one of its kind with nothing else in it.

    Args:
        target: Where the folder is going to be.
        kind: What is going to be written.
        overwrite: Whether an older one may be replaced.

    Raises:
        OutputError: If there is something else, or an older one that may not be replaced, or the name is a link.
    """
    check_target(target)
    folder, shown = Path(target), str(target)
    if not folder.exists():
        return
    if folder.samefile(os.curdir):
        raise OutputError(f"Cannot write {shown!r}: it is the working folder. Choose a new folder for `--out`.")
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not folder.is_dir() or not kind.is_in(folder):
        raise OutputError(f"{shown!r} exists and is not a run folder. {_ADVICE} it away.")
    if foreign := kind.foreign(folder):
        raise OutputError(
            f"{shown!r} holds more than a {kind.name}, and replacing it would delete {preview(foreign)}. {_ADVICE} "
            f"{'these' if len(foreign) > 1 else 'this'} away."
        )
    if not overwrite:
        raise OutputError(
            f"{shown!r} holds a {kind.name} already. Choose a new folder for `--out`, or replace it with `--overwrite`."
        )


@contextmanager
def new_folder(
    out: str | PathLike[str], kind: FolderKind = RUN, *, overwrite: bool = True, leftovers: Sequence[Path] = ()
) -> Iterator[Path]:
    """A folder that appears under its name only when the block has succeeded.

    An older folder of the same kind is replaced in one step, so that the name always stands for either; any other
    with something in it is refused. A block that removes the folder replaces nothing.

    Args:
        out: Its name.
        kind: What is going to be in it.
        overwrite: Whether an older one may be replaced.
        leftovers: Further folders to remove once the new one has its name.

    Raises:
        OutputError: If the folder cannot be written, another process is writing it, or it holds something else.
    """
    target = Path(os.path.abspath(out))
    check_replaceable(out, kind, overwrite=overwrite)
    with _explained(out):
        target.parent.mkdir(parents=True, exist_ok=True)
    with reserved(target), _explained(out):
        tidy(target)
        unfinished = _unfinished(target)
        unfinished.mkdir()
        try:
            yield unfinished
            if unfinished.exists():
                check_replaceable(out, kind, overwrite=overwrite)  # once more: training takes hours
                _put(unfinished, target)
            for folder in leftovers:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            tidy(target)


def recover(out: str | PathLike[str]) -> None:
    """Clear away what killed processes have left beside a folder, and put back what they had moved aside.

    Raises:
        OutputError: If another process is writing the folder.
    """
    target = Path(os.path.abspath(out))
    if any(path.exists() for path in (hidden_beside(target, LOCK), _unfinished(target), _aside(target))):
        with reserved(out):
            tidy(target)


def tidy(target: Path) -> None:
    """``recover`` for whoever has reserved the folder."""
    aside = _aside(target)
    if aside.exists() and not target.exists():
        aside.rename(target)
    for folder in (aside, _unfinished(target)):
        shutil.rmtree(folder, ignore_errors=True)


def _unfinished(target: Path) -> Path:
    return hidden_beside(target, "-unfinished")


def _aside(target: Path) -> Path:
    return hidden_beside(target, "-replaced")


def _put(unfinished: Path, target: Path) -> None:
    """Give a folder its name; what had it is then under the name of the unfinished one, or aside."""
    if not target.exists():
        unfinished.rename(target)
    elif not _exchanged(unfinished, target):
        target.rename(_aside(target))
        unfinished.rename(target)


def _exchanged(one: Path, other: Path) -> bool:
    """Swap the names of two folders in one step; False where the system cannot."""
    try:
        exchange = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # another system than Linux, or an old one
        return False
    return bool(exchange(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


@contextmanager
def _explained(out: str | PathLike[str]) -> Iterator[None]:
    """What the system says when a folder cannot be written, or the libraries that write into it, as one line."""
    try:
        yield
    except HfTraceError:
        raise
    except Exception as error:
        number, reason = _failure(error)
        if not reason:
            raise
        advice = "Free some space or choose another folder" if number in _FULL else "Choose a folder you can write to"
        raise OutputError(f"Cannot write {str(out)!r}: {reason}. {advice}.") from error


def _failure(error: BaseException) -> tuple[int, str]:
    """Why something could not be written; nothing where an error is about something else."""
    if isinstance(error, FileNotFoundError):  # of something that is read
        return 0, ""
    if isinstance(error, OSError):
        return error.errno or 0, error.strerror or str(error)
    found = _SYSTEM_ERROR.search(str(error))  # as safetensors and tokenizers say it
    if found is not None and int(found[1]) in _OF_WRITING:
        return int(found[1]), os.strerror(int(found[1]))
    if "PytorchStreamWriter" in str(error) or "inline_container" in str(error):  # torch does not say why
        return errno.ENOSPC, "a checkpoint could not be written, as on a full disk"
    return 0, ""
