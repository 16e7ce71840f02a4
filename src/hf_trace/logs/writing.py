"""Files that appear whole or not at all."""

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_trace.errors import OutputError

_ADVICE = {
    errno.EACCES: "Choose a folder you may write to.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "Choose a folder you may write to.",
    errno.ENOSPC: "Free some space or choose another folder.",
    errno.EDQUOT: "Free some space or choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary name beside ``path`` and rename the file to ``path`` when the block ends well.

    The temporary name keeps the suffix of ``path``, for writers that choose a format by it. When the block
    raises, the temporary file is removed and an earlier file at ``path`` stays as it was.

    Args:
        path: Where the finished file belongs. A link is followed.

    Yields:
        The name to write to, in the same folder.

    Raises:
        OutputError: If the folder does not exist or cannot be written, the disk is full, or ``path`` is a
            folder or a device.

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
    try:
        target = _checked(Path(path))
        unfinished = target.with_name(f".{secrets.token_hex(6)}.part{target.suffix}")
        try:
            yield unfinished
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        advice = _ADVICE.get(error.errno or 0, "Choose another place.")
        raise OutputError(f"Cannot write '{path}': {reason}. {advice}") from error


def _checked(target: Path) -> Path:
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
