"""Cells of a table: which are missing, which are numbers, how they are named, what items they hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import near
from hf_trace.documents import parse_json
from hf_trace.errors import TableError, preview
from hf_trace.tables.variables import MISSING, plain_text


@dataclass(frozen=True)
class NamedCells:
    """The different cells of a column, and where they stand.

    Attributes:
        codes: Index into ``cells`` for every row; -1 where there is no value.
        cells: Different cells, in the order in which they appear.
    """

    codes: NDArray[np.int64]
    cells: tuple[Any, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The cells, as ``plain_text`` writes them."""
        return tuple(map(plain_text, self.cells))


def checked_frame(frame: pd.DataFrame, needed: Iterable[str]) -> pd.DataFrame:
    """The needed columns of a table, with texts as column names.

    Raises:
        TableError: If the table has no rows, or a column is missing or there twice.

    Example:
        >>> checked_frame(pd.DataFrame({"x": [1], "id": [7], 0: [2]}), ["x", "0"]).columns.tolist()
        ['x', '0']
    """
    if not isinstance(frame, pd.DataFrame):
        raise TableError(f"The table is a {type(frame).__name__}, expected a `pandas.DataFrame`. Pass one.")
    if not len(frame):
        raise TableError("The table has no rows, expected at least one. Check how it was read.")
    frame = frame.set_axis([plain_text(name) for name in frame.columns], axis="columns")
    wanted = list(needed)
    twice = frame.columns[frame.columns.duplicated()]
    if both := [name for name in wanted if name in twice]:
        raise TableError(f"The table has the column {both[0]!r} twice, expected it once. Rename or drop one.")
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        raise TableError(
            f"The table has no column {preview(absent)}, which the graph names; it has "
            f"{preview(frame.columns, limit=6)}.{near(absent[0], frame.columns)} Rename the column, or mark "
            "the variable as latent."
        )
    return frame[wanted]


def is_given(column: pd.Series) -> NDArray[np.bool_]:
    """Where a column has a value: neither missing nor an empty text.

    Example:
        >>> is_given(pd.Series(["a", "", None, "NA"])).tolist()
        [True, False, False, True]
    """
    given = np.asarray(column.notna(), dtype=bool)
    if isinstance(column.dtype, pd.StringDtype):
        return np.asarray(given & (column != "").fillna(False).to_numpy(dtype=bool))
    if column.dtype != object:
        return given
    empty: NDArray[np.bool_] = np.fromiter(
        (isinstance(cell, str) and cell == "" for cell in column), dtype=bool, count=len(column)
    )
    return np.asarray(given & ~empty)


def is_list(cell: Any) -> bool:
    """Whether a cell holds several items."""
    return isinstance(cell, list | tuple | np.ndarray)


def holds_lists(column: pd.Series) -> bool:
    """Whether any cell of a column holds several items."""
    return column.dtype == object and any(map(is_list, column))


def as_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Cells as numbers, NaN where they are none; times are none.

    Example:
        >>> as_numbers(pd.Series(["1.5", "12a", None, " 7"])).tolist()
        [1.5, nan, nan, 7.0]
    """
    if column.dtype.kind in "mM":
        return np.full(len(column), np.nan)
    if column.dtype.kind in "biuf" and isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=np.float64)
    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    return np.asarray(pd.Series(numbers).to_numpy(dtype=np.float64, na_value=np.nan))


def refuse(column: pd.Series, wrong: NDArray[np.bool_], advice: str = "Correct it") -> None:
    """Refuse a column in which some cells are not numbers.

    Raises:
        TableError: If any are; the message names the first.
    """
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    raise TableError(
        f"{column.name!r} has {counted(wrong)} not a finite number: {_shown(column.iloc[first])} first in row "
        f"{first + 1}. {advice}, or leave the cell empty if the value is missing."
    )


def counted(rows: NDArray[np.bool_]) -> str:
    """How many cells of a column are meant, as the start of a claim.

    Example:
        >>> counted(np.array([True, False, True]))
        '2 cells of 3 that are'
    """
    number = int(rows.sum())
    return f"{number:,} cell{'s' * (number != 1)} of {len(rows):,} that {'are' if number != 1 else 'is'}"


def as_names(column: pd.Series) -> NamedCells:
    """The different cells of a column.

    Raises:
        TableError: If a cell holds a list or something else that cannot be a name.

    Example:
        >>> as_names(pd.Series(["b", None, "a", "b"]))
        NamedCells(codes=array([ 0, -1,  1,  0]), cells=('b', 'a'))
    """
    try:
        codes, cells = pd.factorize(column.astype(object))
    except TypeError:
        kinds = {type(cell).__name__ for cell in column if not isinstance(cell, str | int | float)}
        raise TableError(
            f"{column.name!r} holds cells of type {', '.join(sorted(kinds))}, expected one value in each. Pass "
            f"`kinds` with {{{str(column.name)!r}: 'sequence'}} if cells are lists of items."
        ) from None
    codes = np.asarray(codes, dtype=np.int64)
    empty = [index for index, cell in enumerate(cells) if isinstance(cell, str) and cell == ""]
    codes = np.where(np.isin(codes, empty), -1, codes)
    return NamedCells(codes, tuple(cells))


def items_of(cell: Any) -> tuple[str, ...]:
    """Items of a cell: of a list, of a JSON list, or of a text with commas or else blanks between them.

    Example:
        >>> items_of(["a", 1]), items_of('["a", "b c"]'), items_of("a, b c"), items_of("a b")
        (('a', '1'), ('a', 'b c'), ('a', 'b c'), ('a', 'b'))
    """
    if isinstance(cell, str):
        listed = json_items(cell)
        if listed is None:
            listed = [part.strip() for part in cell.split(",")] if "," in cell else cell.split()
            listed = [part for part in listed if part]
    else:
        listed = list(cell) if is_list(cell) else [cell]
    return tuple(MISSING if _is_missing(item) else plain_text(item) for item in listed)


def json_items(text: str) -> list[Any] | None:
    """Items of a text that is a JSON list of texts and numbers; None if it is none.

    Example:
        >>> json_items("[1, 2]"), json_items("a b")
        ([1, 2], None)
    """
    if not text.lstrip().startswith("["):
        return None
    try:
        listed = parse_json(text)
    except ValueError:
        return None
    nested = any(isinstance(item, list | dict) for item in listed)
    return None if nested else listed


def _is_missing(item: Any) -> bool:
    return item is None or item is pd.NA or (isinstance(item, float) and item != item)


def _shown(cell: Any) -> str:
    text = repr(cell) if isinstance(cell, str) else str(cell)
    return text if len(text) <= 40 else f"{text[:40]}…"
