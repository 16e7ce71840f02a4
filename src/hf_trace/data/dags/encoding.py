"""Tables as codes of a schema's variables. Files are opened in ``table_files``."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.data.dags.cells import (
    as_names,
    as_numbers,
    checked_frame,
    counted,
    is_given,
    items_of,
    refuse,
)
from hf_trace.data.dags.schema import DagSchema
from hf_trace.data.dags.source import did_you_mean
from hf_trace.data.dags.table import DagTable
from hf_trace.data.dags.variables import MISSING, Variable, plain_text
from hf_trace.errors import TableError, preview

_UNSEEN = -1


def encode_table(schema: DagSchema, frame: pd.DataFrame, *, weight_column: str | None = None) -> DagTable:
    """Number the values of a table.

    Args:
        schema: Says what the columns mean.
        frame: One row per unit; columns that are no variables are passed over. Cells of sequences are lists, JSON
            lists, or texts with commas or else blanks between the items.
        weight_column: Column that says how many units a row stands for; one each when left out.

    Returns:
        Codes, texts and items, row by row.

    Raises:
        TableError: If a column is missing or holds a value that the schema does not know, or a weight is not a
            positive number.

    Example:
        >>> schema = DagSchema((Variable("smoke", values=("no", "yes")),))
        >>> table = encode_table(schema, pd.DataFrame({"smoke": ["yes", "no"], "n": [3, 5]}), weight_column="n")
        >>> table.columns["smoke"].tolist(), table.weights.tolist()
        ([1, 0], [3.0, 5.0])
    """
    observed = [variable for variable in schema.variables if not variable.latent]
    table = checked_frame(frame, [variable.name for variable in observed])
    columns = {variable.name: _encoded(variable, table[variable.name]) for variable in observed}
    return DagTable(schema, columns, _weights(frame, weight_column))


def _encoded(variable: Variable, column: pd.Series) -> NDArray[np.int64] | list[Any]:
    given = is_given(column)
    if variable.kind == "text":
        # An empty text is a text; only a cell without one is missing.
        there = column.notna()
        return [plain_text(cell) if known else MISSING for cell, known in zip(column, there, strict=True)]
    if not given.all() and not variable.has_missing:
        missing = ~given
        raise TableError(
            f"{variable.name!r} has {counted(missing)} empty, first in row {_first(missing)}, but no missing values "
            f"are known of it. Fill them in, drop these rows, or add {MISSING!r} to its values."
        )
    if variable.kind == "sequence":
        return _sequences(variable, column, given)
    codes = (
        _numeric_codes(variable, column, given) if variable.kind == "numeric" else _codes(variable, column)
    )
    return codes if given.all() else np.where(given, codes, variable.code(MISSING))


def _codes(variable: Variable, column: pd.Series) -> NDArray[np.int64]:
    """Codes of names; whatever stands for empty cells is replaced by the caller."""
    named = as_names(column)
    found = [variable.find(cell) for cell in named.cells]
    known = np.array([_UNSEEN if code is None else code for code in found] + [0], dtype=np.int64)
    codes = known[named.codes]
    _refuse_unseen(variable, column, codes == _UNSEEN)
    return codes


def _numeric_codes(variable: Variable, column: pd.Series, given: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bins of numbers; a bin may also be named by its label."""
    numbers = as_numbers(column)
    named = given & np.isnan(numbers)
    codes = np.searchsorted(variable.edges, numbers, side="right").astype(np.int64)
    if named.any():
        labels = as_names(column[named])
        known = [variable.find(cell) for cell in labels.cells]
        codes[named] = np.array([_UNSEEN if code is None else code for code in known], dtype=np.int64)[
            labels.codes
        ]
    refuse(column, given & (np.isinf(numbers) | (codes == _UNSEEN)))
    return codes


def _sequences(variable: Variable, column: pd.Series, given: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    known = {value: code for code, value in enumerate(variable.values)}
    rows = [items_of(cell) if there else (MISSING,) for cell, there in zip(column, given, strict=True)]
    unseen = np.array([not all(item in known for item in row) for row in rows])
    if unseen.any():
        first = int(np.flatnonzero(unseen)[0])
        item = next(item for item in rows[first] if item not in known)
        _raise_unseen(variable, unseen, item)
    longest = variable.max_length or 0
    long = np.array([len(row) > longest for row in rows])
    if long.any():
        row = int(np.flatnonzero(long)[0])
        raise TableError(
            f"{variable.name!r} has {counted(long)} too long: {len(rows[row])} items first in row {row + 1}, expected "
            f"at most {longest}. Shorten them, or raise `max_length` of the variable."
        )
    return [tuple(known[item] for item in row) for row in rows]


def _refuse_unseen(variable: Variable, column: pd.Series, unseen: NDArray[np.bool_]) -> None:
    if unseen.any():
        _raise_unseen(variable, unseen, plain_text(column.iloc[int(np.flatnonzero(unseen)[0])]))


def _raise_unseen(variable: Variable, unseen: NDArray[np.bool_], first: str) -> None:
    what = "items" if variable.kind == "sequence" else "values"
    raise TableError(
        f"{variable.name!r} has {counted(unseen)} not among its {what}: {first!r} first in row {_first(unseen)}, "
        f"expected one of {preview(variable.values, limit=6)}.{did_you_mean(first, variable.values)} Correct the "
        f"table, or add it to the {what}."
    )


def _first(rows: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(rows)[0]) + 1


def _weights(frame: pd.DataFrame, name: str | None) -> NDArray[np.float64]:
    if name is None:
        return np.ones(len(frame))
    if name not in frame.columns:
        raise TableError(
            f"`weight_column` is {name!r}, which is no column of the table.{did_you_mean(name, frame.columns)}"
        )
    weights = as_numbers(checked_frame(frame, [name])[name])
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        raise TableError(
            f"The weights {name!r} have {counted(wrong)} not a positive number: "
            f"{str(frame[name].iloc[_first(wrong) - 1])!r} first in row {_first(wrong)}. Correct or drop these rows."
        )
    return weights
