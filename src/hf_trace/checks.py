"""What users pass, checked in one line that says what was found and what was expected; and the only "did you mean"."""

import datetime
import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import Any, TypeVar

from hf_trace.errors import HfTraceError, SettingsError, preview

Given = TypeVar("Given")
_SHOWN = 20


def _some(known: Sequence[Any]) -> str:
    """Names for a message, cut where there are many."""
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return ", ".join(map(str, known[:_SHOWN])) + more


def near(name: Any, known: Iterable[Any], *, cutoff: float = 0.6) -> str:
    """A hint at the nearest known name, with a blank before it, or nothing.

    Example:
        >>> near("smokes", ["smoke", "lung"]), near("Smoke", ["smoke"]), near("x", ["smoke"])
        (" Did you mean 'smoke'?", " Did you mean 'smoke'?", '')
    """
    folded = {str(each).casefold(): str(each) for each in reversed(list(known))}
    found = difflib.get_close_matches(str(name).casefold(), list(folded), n=1, cutoff=cutoff)
    return f" Did you mean {folded[found[0]]!r}?" if found else ""


def one_of(name: str, value: Given, known: Iterable[Any], *, error: type[HfTraceError] = SettingsError) -> Given:
    """A value that is among those known.

    Args:
        name: What the user calls it.
        value: What was passed.
        known: What may be.
        error: The class of the mistake.

    Example:
        >>> one_of("level", "sumary", ("instance", "summary"))
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: level is 'sumary', expected one of: instance, summary. Did you mean 'summary'?
    """
    known = list(known)
    if value not in known:
        hint = near(value, known)
        raise error(f"{name} is {value!r}, expected one of: {_some(known)}.{hint}")
    return value


def whole(
    name: str, value: Any, *, least: int = 1, most: int | None = None, error: type[HfTraceError] = SettingsError
) -> int:
    """A whole number within bounds; truth values are none.

    Example:
        >>> whole("top", 0)
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: top is 0, expected a whole number of at least 1.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        expected = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise error(f"{name} is {value!r}, expected a whole number {expected}.")
    return int(value)


def number(
    name: str,
    value: Any,
    *,
    above: float | int | None = None,
    least: float | int | None = None,
    most: float | int | None = None,
    expected: str | None = None,
    error: type[HfTraceError] = SettingsError,
) -> float:
    """A finite number, above or from a bound, and up to another.

    Example:
        >>> number("epochs", -1.0, above=0)
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: epochs is -1.0, expected a number above 0.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    low = -math.inf if least is None else least
    if (
        not is_number
        or (above is not None and value <= above)
        or not low <= value <= (math.inf if most is None else most)
    ):
        bounds = [(" above", above), (" from" if most is not None else " of at least", least), (" to", most)]
        text = "a number" + "".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        raise error(f"{name} is {value!r}, expected {expected or text}.")
    return float(value)


def share(name: str, value: Any) -> float:
    """A part of a whole, neither nothing nor all of it.

    Example:
        >>> share("validation_share", 0.1)
        0.1
    """
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    if not is_real or not 0 < value < 1:
        raise SettingsError(f"{name} is {value!r}, expected between 0 and 1.")
    return float(value)


def byte_count(name: str, value: Any) -> int:
    """A number of bytes, also as text: 500MB, 20 GB.

    Example:
        >>> byte_count("max_unpacked", "1.5GB")
        1500000000
        >>> byte_count("max_unpacked", "much")
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: max_unpacked is 'much', expected a number of bytes such as 500MB or 20GB.
    """
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([kMGT]?)i?B?\s*", str(value), re.IGNORECASE)
    if found is None or isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}, expected a number of bytes such as 500MB or 20GB.")
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " "))


def time_span(name: str, value: Any) -> float:
    """A time in seconds, also as text: 90, 90s, 10m, 1.5h, 2d.

    Example:
        >>> time_span("horizon", "10m")
        600.0
        >>> time_span("horizon", "soon")
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: horizon is 'soon', expected a time above 0 such as 90 (seconds), 10m, 1.5h or 2d.
    """
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?|\.\d{1,18})\s*([smhd]?)\s*", str(value))
    if found is None or isinstance(value, bool) or not float(found[1]):
        raise SettingsError(f"{name} is {value!r}, expected a time above 0 such as 90 (seconds), 10m, 1.5h or 2d.")
    return float(found[1]) * {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}[found[2]]


def refuse_unknown(
    given: Iterable[str], known: Iterable[str], *, what: str = "parameter", error: type[HfTraceError] = SettingsError
) -> None:
    """Refuse names that nobody asks for.

    Args:
        given: What was passed.
        known: What there is.
        what: What the names are of.
        error: The class of the mistake.

    Example:
        >>> refuse_unknown(["sead"], ["seed", "top"])
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: Unknown parameter 'sead', expected one of: seed, top. Did you mean 'seed'?
    """
    known = list(known)
    if wrong := [name for name in given if name not in known]:
        hint = near(wrong[0], known)
        raise error(f"Unknown {what} {preview(wrong)}, expected one of: {_some(known)}.{hint}")


def updated(request: Given, **parameters: Any) -> Given:
    """A frozen dataclass with some fields given another value; it checks them as it always does.

    Raises:
        SettingsError: If a name is none of its fields.
    """
    refuse_unknown(parameters, [each.name for each in fields(request)])  # type: ignore[arg-type]
    return replace(request, **parameters)  # type: ignore[type-var]


def strptime_format(
    name: str, value: Any, *, words: Sequence[str] = (), error: type[HfTraceError] = SettingsError
) -> str:
    """A format of dates that ``strptime`` knows, or one of some words.

    Example:
        >>> strptime_format("time_format", "%d/%m/%Y")
        '%d/%m/%Y'
        >>> strptime_format("time_format", "dd/mm/yyyy")
        Traceback (most recent call last):
            ...
        hf_trace.errors.SettingsError: time_format is 'dd/mm/yyyy', expected a format such as '%d/%m/%Y %H:%M:%S'.
    """
    good = isinstance(value, str) and ("%" in value or value in words)
    if good and value not in words:
        try:
            datetime.datetime.strptime("", value)
        except (ValueError, IndexError, re.error) as reason:
            good = "does not match format" in str(reason)
    if not good:
        others = "".join(f", or {word}" for word in words)
        raise error(f"{name} is {value!r}, expected a format such as '%d/%m/%Y %H:%M:%S'{others}.")
    return str(value)
