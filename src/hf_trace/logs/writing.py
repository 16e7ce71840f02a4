"""Files that appear whole or not at all, written by one process at a time."""

import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_trace.errors import OutputError

try:
    import fcntl
except ImportError:  # where there are no such locks, nothing is locked
    fcntl = None  # type: ignore[assignment]

_ADVICE = {
    errno.EACCES: "Choose a folder you may write to.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "Choose a folder you may write to.",
    errno.ENOSPC: "Free some space or choose another folder.",
    errno.EDQUOT: "Free some space or choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
LOCK = ".lock"
# Another process may hold a lock for the moment in which it looks whether it could.
_ATTEMPTS, _PAUSE_SECONDS = 10, 0.02


def hidden_beside(path: str | os.PathLike[str], what: str) -> Path:
    """The hidden name beside a file or folder under which something about it is kept.

    Example:
        >>> hidden_beside("/runs/alarms", "-checkpoints").as_posix()
        '/runs/.alarms-checkpoints'
    """
    target = Path(os.path.abspath(path))
    return target.with_name(f".{target.name}{what}") if target.name else target / f".root{what}"


def check_target(path: str | os.PathLike[str]) -> None:
    r"""Refuse a name that not everything can write to: a link, which leads elsewhere, or one that is not text.

    Raises:
        OutputError: If it is one.

    Example:
        >>> check_target("graph\udcff.json")
        Traceback (most recent call last):
            ...
        hf_trace.errors.OutputError: Cannot write 'graph\udcff.json': the name is not UTF-8. Choose another name.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise OutputError(f"Cannot write {str(path)!r}: the name is not UTF-8. Choose another name.") from None
    if os.path.islink(path):
        raise OutputError(f"Cannot write {str(path)!r}: it is a link to {os.readlink(path)!r}. Name that itself.")


@contextmanager
def reserved(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from writing a file or folder until the block ends.

    The lock is a hidden file beside it, ``.NAME.lock``; the system lets go of that of a process that was killed.

    Args:
        path: Where something is going to be written; its folder exists.

    Raises:
        OutputError: If another process has reserved it, or its folder cannot be written.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "graph.json"
        >>> with reserved(out), reserved(out):
        ...     pass
        Traceback (most recent call last):
            ...
        hf_trace.errors.OutputError: Another process is writing '...graph.json'. Wait until it has ended, or choose ...
    """
    lock = hidden_beside(path, LOCK)
    with _explained(path):
        file = _locked(lock)
    if file is None:
        raise OutputError(f"Another process is writing {str(path)!r}. Wait until it has ended, or choose another name.")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(file)


def _locked(lock: Path) -> int | None:
    """The file at ``lock``, made where there is none and locked; None where another process keeps it locked."""
    for _ in range(_ATTEMPTS):
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if _try_lock(file) is False:
            time.sleep(_PAUSE_SECONDS)
        elif _is_at(file, lock):
            return file
        os.close(file)  # the process that held it has removed it meanwhile
    return None


def _try_lock(file: int) -> bool | None:
    """Whether an open file could be locked; None where the system has no locks for it."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the system says when a file cannot be written, as one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(_unwritten(path, error.errno or 0, error.strerror or str(error))) from error


def _unwritten(path: str | os.PathLike[str], number: int, reason: str) -> str:
    return f"Cannot write {str(path)!r}: {reason.lower()}. {_ADVICE.get(number, 'Choose another place.')}"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary name beside ``path`` and rename the file to ``path`` when the block ends well.

    The temporary name keeps the suffix of ``path``, for writers that choose a format by it. When the block
    raises, the temporary file is removed and an earlier file at ``path`` stays as it was; what a killed process left
    is removed when the same file is written again.

    Args:
        path: Where the finished file belongs.

    Yields:
        The name to write to, in the same folder.

    Raises:
        OutputError: If the folder does not exist or cannot be written, the disk is full, or ``path`` is a
            folder, a device or a link.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "edges.csv"
        >>> with atomic_path(target) as unfinished:
        ...     _ = unfinished.write_text("cause,effect")
        ...     target.exists()
        False
        >>> target.read_text()
        'cause,effect'
    """
    with _explained(path):
        target = _checked(Path(path))
        begins = f".{hashlib.blake2b(os.fsencode(target.name), digest_size=4).hexdigest()}-"
        for each in target.parent.glob(f"{begins}*"):
            _remove_abandoned(each)
        unfinished = target.with_name(f"{begins}{secrets.token_hex(6)}.part{target.suffix}")
        # The lock tells other processes that somebody is still at it.
        file = _locked(unfinished)
        try:
            yield unfinished
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
            if file is not None:
                os.close(file)


def _remove_abandoned(path: Path) -> None:
    """Remove an unfinished file that no process works at."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:  # another process has just finished it, or it is somebody else's
        return
    try:
        if _try_lock(file):
            path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _checked(target: Path) -> Path:
    check_target(target)
    if not target.parent.is_dir():
        raise OutputError(
            f"Cannot write '{target}': there is no folder '{target.parent}'. Create it, or choose another place."
        )
    if target.is_dir():
        raise OutputError(f"Cannot write '{target}': it is a folder. Give the name of a file.")
    # A rename would replace the device itself.
    if target.exists() and not target.is_file():
        raise OutputError(f"Cannot write '{target}': it is not a regular file. Give the name of a file.")
    return target.resolve()


def write_json_lines(path: str | os.PathLike[str], documents: Iterable[Any]) -> None:
    """Write one JSON document per line, the whole file or nothing.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_path(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(document, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """Arrays as lists."""
    return value.tolist()
