"""One variable of a known graph: its values, how they are numbered, and the tokens it is written with."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hf_trace.checks import near, one_of, whole
from hf_trace.documents import parse_json
from hf_trace.errors import DagFormatError, QueryError, preview

Kind = Literal["categorical", "ordinal", "numeric", "text", "sequence"]
MISSING = "<missing>"
DEFAULT_MAX_LENGTH = 32


@dataclass(frozen=True)
class Variable:
    """A variable, its parents and its values.

    Attributes:
        name: As the user wrote it.
        kind: ``"categorical"``, ``"ordinal"`` (values in order), ``"numeric"`` (read in bins), ``"text"`` (pieces of
            a pretrained tokenizer) or ``"sequence"`` (items of a small alphabet, of any length).
        parents: Names of its direct causes.
        values: Categorical and ordinal: all values. Numeric: labels of the bins. Sequence: all items. A missing
            value is one more of them, ``MISSING``, last.
        edges: Numeric: inner edges of the bins, in the variable's unit; a bin holds its lower edge.
        means: Numeric: mean of the data in every bin, in the variable's unit; NaN for ``MISSING``.
        max_length: Text: most pieces. Sequence: most items.
        latent: Never observed: it has no values and stands in no table.

    Raises:
        DagFormatError: If the parts do not fit together.

    Example:
        >>> age = Variable("age", "numeric", edges=(40.0,), means=(31.0, 62.0), values=("< 40", "≥ 40"))
        >>> age.code(57), age.code("< 40"), age.numbers.tolist()
        (1, 0, [31.0, 62.0])
    """

    name: str
    kind: Kind = "categorical"
    parents: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    max_length: int | None = None
    latent: bool = False
    _codes: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("parents", "values", "edges", "means"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        # One NaN for all, so that equal variables compare equal.
        means = tuple(math.nan if mean != mean else mean for mean in self.means)
        object.__setattr__(self, "means", means)
        self._check()
        if not self.is_finite and self.max_length is None:
            object.__setattr__(self, "max_length", DEFAULT_MAX_LENGTH)
        self._codes.update({value: index for index, value in enumerate(self.values)})

    def _check(self) -> None:
        where = f"The variable {self.name!r}"
        variable_name(self.name)
        _kind(f"kind of {self.name!r}", self.kind)
        if len(set(self.parents)) != len(self.parents):
            raise DagFormatError(f"{where} lists a parent twice, expected each once.")
        if self.name in self.parents:
            raise DagFormatError(f"{where} is its own parent. Expected a graph without cycles.")
        if len(set(self.values)) != len(self.values):
            raise DagFormatError(f"{where} lists a value twice, expected each once.")
        if not self.latent:
            self._check_values(where)

    def _check_values(self, where: str) -> None:
        if self.kind != "text" and not self.values:
            raise DagFormatError(f"{where} has no values. List them, or give a table to read them from.")
        if self.max_length is not None:
            _count(f"max_length of {self.name!r}", self.max_length)
        if self.kind != "numeric":
            return
        bins = len(self.values) - self.has_missing
        if len(self.edges) != bins - 1 or len(self.means) not in (0, len(self.values)):
            raise DagFormatError(
                f"{where} has {bins} bins, {len(self.edges)} inner edges and {len(self.means)} means; expected "
                f"{bins - 1} edges and {len(self.values)} means."
            )
        rising = all(lower < upper for lower, upper in pairwise(self.edges))
        if not rising or not all(math.isfinite(edge) for edge in self.edges):
            raise DagFormatError(f"{where} has the bin edges {list(self.edges)}, expected rising numbers.")

    @property
    def is_finite(self) -> bool:
        """Whether a value is one of a few, rather than a text or a sequence."""
        return self.kind in ("categorical", "ordinal", "numeric")

    @property
    def has_missing(self) -> bool:
        """Whether "missing" is one of the values."""
        return MISSING in self.values

    @cached_property
    def numbers(self) -> NDArray[np.float64] | None:
        """What each value counts as in an expectation, in the variable's unit; None where values are names."""
        if self.kind == "numeric":
            return np.asarray(self.means) if self.means else None
        if not self.is_finite:
            return None
        try:
            return np.array([math.nan if value == MISSING else float(value) for value in self.values])
        except ValueError:
            return None

    def code(self, value: Any) -> int:
        """Number of a value of a finite variable.

        Raises:
            QueryError: If it is not one of the values; the message names the nearest.
        """
        code = self.find(value)
        if code is None:
            raise self.unknown(plain_text(value))
        return code

    def find(self, value: Any) -> int | None:
        """Number of a value of a finite variable, None if it is not one of them.

        A number is also found under another spelling, and in the bin it falls into.

        Example:
            >>> Variable("dose", values=("0.0", "1.0")).find(1), Variable("dose", values=("0", "1")).find(2)
            (1, None)
        """
        text = plain_text(value)
        if text in self._codes:
            return self._codes[text]
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if self.kind == "numeric":
            return int(np.searchsorted(self.edges, number, side="right")) if math.isfinite(number) else None
        if self.numbers is None:
            return None
        same = np.flatnonzero(self.numbers == number)
        return int(same[0]) if len(same) == 1 else None

    def unknown(self, text: str) -> QueryError:
        """The error that says that a text is not one of the values, or items, and which is nearest."""
        what = "item" if self.kind == "sequence" else "value"
        expected = "a number or one of" if self.kind == "numeric" else "one of"
        shown = preview(self.values, limit=8)
        return QueryError(
            f"{self.name!r} has no {what} {text!r}, expected {expected} {shown}.{near(text, self.values)}"
        )


def plain_text(value: Any) -> str:
    """How a value of a table is named: whole numbers without ``.0``, truth values as ``True`` and ``False``.

    Example:
        >>> plain_text(3.0), plain_text(True), plain_text(0.5), plain_text("3.0")
        ('3', 'True', '0.5', '3.0')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def variable_name(value: Any) -> str:
    """The name of a variable: a text, or a whole number as a text.

    Raises:
        DagFormatError: If it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, str | Integral) or value == "":
        raise DagFormatError(f"A variable is named {value!r}, expected a text that is not empty.")
    return str(value)


def variable_parts(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a document says of one variable; other keys are ignored.

    Args:
        name: Of the variable, for messages.
        document: Any of ``PARTS``; None stands for nothing.

    Raises:
        DagFormatError: If a part is not what it should be.

    Example:
        >>> variable_parts("age", {"kind": "numeric", "bins": 4, "colour": "red"})
        {'kind': 'numeric', 'bins': 4}
    """
    return {key: _READERS[key](f"{key} of {name!r}", document[key]) for key in PARTS if document.get(key) is not None}


def listed(what: str, value: Any, expected: str = "a list such as [1, 2]") -> list[Any]:
    """A list; file formats without lists write one as JSON or with commas.

    Raises:
        DagFormatError: If it is none.

    Example:
        >>> listed("values", "[1, 2]"), listed("values", "a, b")
        ([1, 2], ['a', 'b'])
    """
    found = value
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            found = parse_json(value)
        except ValueError:
            found = None
    elif isinstance(value, str):
        found = [each.strip() for each in value.split(",") if each.strip()]
    if not isinstance(found, list | tuple | np.ndarray):
        raise DagFormatError(f"{what} is {value!r}, expected {expected}.")
    return list(found)


def _kind(what: str, value: Any) -> Any:
    return one_of(what, value, get_args(Kind), error=DagFormatError)


def _texts(what: str, value: Any) -> tuple[str, ...]:
    for each in (found := listed(what, value)):
        if each is None or isinstance(each, list | dict):
            raise DagFormatError(f"{what} hold {each!r}, expected texts or numbers.")
    return tuple(map(plain_text, found))


def _numbers(what: str, value: Any) -> tuple[float, ...]:
    found = listed(what, value)
    try:
        return tuple(math.nan if each is None else float(each) for each in found)
    except (TypeError, ValueError, OverflowError):
        raise DagFormatError(f"{what} are {preview(found)}, expected numbers.") from None


def _count(what: str, value: Any) -> int:
    # GraphML and others write whole numbers as floats.
    return whole(what, int(value) if isinstance(value, float) and value.is_integer() else value, error=DagFormatError)


def _truth(what: str, value: Any) -> bool:
    text = plain_text(value).strip().lower()
    if text not in (*_YES, *_NO):
        raise DagFormatError(f"{what} is {value!r}, expected true or false.")
    return text in _YES


_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "")
_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "kind": _kind,
    "values": _texts,
    "edges": _numbers,
    "means": _numbers,
    "bins": _count,
    "max_length": _count,
    "latent": _truth,
}
PARTS = tuple(_READERS)


@dataclass(frozen=True)
class VariableTokens:
    """Token ids of one variable.

    Attributes:
        start: The token that announces it.
        values: Finite variables: one token per value, in the order of their codes. Others: every token that an
            item or a piece of text may be.
        end: Others: the token that ends the value; None for finite variables, whose value is one token.
        max_length: Others: most tokens before ``end``.
    """

    start: int
    values: NDArray[np.int64]
    end: int | None = None
    max_length: int = 1

    @property
    def is_finite(self) -> bool:
        """Whether a value is a single token."""
        return self.end is None

    @property
    def allowed(self) -> NDArray[np.int64]:
        """Everything that may follow ``start`` and the tokens of an unfinished value; ``end`` is last."""
        return self.values if self.end is None else np.append(self.values, self.end)


Content = tuple[int, ...]
"""Token ids of one value, the ending token included."""
