"""JSON documents: the only place that reads them, so that every damaged one is one clean mistake."""

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

from hf_trace.errors import HfTraceError, first_line

# What JSON holds: names to texts, numbers, truth values, lists and such mappings again.
Document: TypeAlias = dict[str, Any]
# Longer whole numbers do not fit a float.
_MOST_DIGITS = 300
# Whoever walks a document by functions that call themselves needs a few calls for each level.
_MOST_LEVELS = 100


def parse_json(text: str) -> Any:
    r"""What a JSON text holds.

    Raises:
        ValueError: If it is not JSON, is nested too deeply (100 levels), names a key of one mapping twice, or holds a
            number or a text that nothing can take on: a whole number of more than 300 digits, half of a surrogate pair.

    Example:
        >>> parse_json('{"edges": [[1, 2]]}')
        {'edges': [[1, 2]]}
        >>> parse_json('"\\ud800"')
        Traceback (most recent call last):
            ...
        ValueError: it holds half of a character (a lone surrogate)
    """
    try:
        found = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > _MOST_LEVELS:
        _check_levels(found)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half of a character (a lone surrogate)") from None
    return found


def _mapping(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {twice[:80]!r} twice in one place, of which one would be lost")
    return found


def _check_levels(found: Any) -> None:
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(_MOST_LEVELS):
        if not level:
            return
        inner = (each for outer in level for each in (outer.values() if isinstance(outer, dict) else outer))
        level = [each for each in inner if isinstance(each, dict | list)]
    if level:
        raise ValueError("it is nested too deeply")


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it holds a whole number of {len(text):,} digits")
    return int(text)


# Made once: a log has millions of lines.
_DECODER = json.JSONDecoder(parse_int=_whole_number, object_pairs_hook=_mapping)


def read_document(path: str | os.PathLike[str], expected: str, *, error: type[HfTraceError]) -> Any:
    """What a JSON file holds.

    Args:
        path: The file.
        expected: What it should hold, for the message.
        error: The class of the mistake.

    Raises:
        HfTraceError: Of that class, if it cannot be read or is not JSON.

    Example:
        >>> from hf_trace.errors import OutputError
        >>> read_document("absent.json", "a graph", error=OutputError)
        Traceback (most recent call last):
            ...
        hf_trace.errors.OutputError: Cannot read 'absent.json' (no such file or directory), expected a graph.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as wrong:
        reason = (wrong.strerror or str(wrong)).lower()
        raise error(f"Cannot read '{path}' ({reason}), expected {expected}.") from wrong
    except ValueError as wrong:
        raise error(f"'{path}' is not JSON ({first_line(wrong)}), expected {expected}.") from wrong
