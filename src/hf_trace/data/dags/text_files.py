"""Small text files, compressed or not, with one line for whatever is wrong with them."""

import gzip
import zlib
from pathlib import Path

from hf_trace.data.reading import find_files
from hf_trace.errors import DagFormatError, HfTraceError, LogFormatError


def existing_file(path: Path, error: type[HfTraceError] = DagFormatError) -> Path:
    """The file that a path or a pattern stands for.

    Raises:
        HfTraceError: As ``error`` says, if there is none, or it is a folder.

    Example:
        >>> existing_file(Path("absent.bif"))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        DagFormatError: There is no file 'absent.bif' ...
    """
    path = path.expanduser()
    if path.is_dir():
        raise error(f"'{path}' is a folder, expected a file. Name the file in it.")
    if path.exists():
        return path
    try:
        found = find_files(path)
    except LogFormatError as reason:
        raise error(str(reason)) from None
    if len(found) > 1:
        raise error(f"{len(found)} files match '{path}', expected one. Name it.")
    return found[0]


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file; a name that ends in ``.gz`` is unpacked.

    Raises:
        DagFormatError: If it is missing or holds something else.
    """
    path = existing_file(path)
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DagFormatError(f"'{path.name}' is not UTF-8 text. Save it as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DagFormatError(f"'{path.name}' is not a complete gzip file ({error}). Copy it again.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DagFormatError(
            f"'{path.name}' cannot be read ({reason}). Check that you may open it."
        ) from None
