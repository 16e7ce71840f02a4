"""Tables of variables: read from files, as codes of a schema's values, with what looks wrong in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import near
from hf_trace.errors import EmptyLogError, TableError, preview
from hf_trace.logs.formats import data_suffix, explained, first_line_of, header_cells, read_file
from hf_trace.tables.cells import as_names, as_numbers, checked_frame, counted, is_given, items_of, refuse
from hf_trace.tables.dag_source import existing_file
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable, plain_text


@dataclass(frozen=True)
class DagTable:
    """Observed rows.

    Attributes:
        schema: What the columns mean.
        columns: For every observed variable: codes of finite ones (``int64``), else one text (kind ``"text"``) or one
            tuple of item codes (kind ``"sequence"``) per row.
        weights: How many rows of the population each row stands for.
        numbers: For numeric variables the numbers themselves; NaN where a cell is missing or names a bin.
    """

    schema: DagSchema
    columns: Mapping[str, NDArray[np.int64] | Sequence[Any]]
    weights: NDArray[np.float64]
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.weights)

    def select(self, rows: NDArray[Any]) -> "DagTable":
        """The rows with these indices, or where a mask is true."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        columns = {
            name: column[rows] if isinstance(column, np.ndarray) else [column[int(row)] for row in rows]
            for name, column in self.columns.items()
        }
        numbers = {name: column[rows] for name, column in self.numbers.items()}
        return DagTable(self.schema, columns, self.weights[rows], numbers)


def table_notes(table: DagTable) -> list[str]:
    """Say which variables never vary and which values are too rare to learn from.

    Returns:
        One line per problem; empty if there is none.

    Example:
        >>> from hf_trace.tables.schema import DagSchema
        >>> schema = DagSchema((Variable("x", values=("a", "b", "c")),))
        >>> codes = np.array([0, 0, 1])
        >>> table_notes(DagTable(schema, {"x": codes}, np.ones(3)))
        ["'x' is 'b' in one row only: effects of it cannot be learned.", "'x' is never 'c' in the table."]
    """
    notes: list[str] = []
    for variable in table.schema.variables:
        if not variable.latent and variable.is_finite:
            notes += _notes(variable, np.asarray(table.columns[variable.name]))
    return notes


def _notes(variable: Variable, codes: np.ndarray) -> list[str]:
    counts = np.bincount(codes, minlength=len(variable.values))
    values = np.array(variable.values, dtype=object)
    if (counts > 0).sum() == 1:
        only = values[int(counts.argmax())]
        return [f"{variable.name!r} is {only!r} in every row: nothing can be learned of it."]
    notes = []
    if (counts == 1).any():
        once = preview(values[counts == 1])
        notes.append(f"{variable.name!r} is {once} in one row only: effects of it cannot be learned.")
    if (counts == 0).any():
        notes.append(f"{variable.name!r} is never {preview(values[counts == 0])} in the table.")
    return notes


TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")


def read_table(path: str | PathLike[str], delimiter: str | None = None) -> pd.DataFrame:
    r"""Read a table; all cells of CSV and TSV files stay texts, as written, and only empty ones are missing.

    Args:
        path: A CSV or TSV file (``.gz`` if compressed), Parquet, JSON Lines, or a JSON list of records.
        delimiter: Text between the columns of a CSV file; recognised from the header when left out.

    Raises:
        TableError: If the file is missing, empty, of another format, or names a column twice.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "table.csv"
        ...     _ = path.write_text("zip,grade\n007,NA\n012,\n")
        ...     read_table(path).to_numpy().tolist()
        [['007', 'NA'], ['012', None]]
    """
    path = Path(path)
    suffix = data_suffix(path)
    if suffix not in TABLE_SUFFIXES and not path.is_dir():
        raise TableError(
            f"Cannot read a table from '{path}'. Expected a name that ends in {', '.join(TABLE_SUFFIXES)}."
        )
    path = existing_file(path, TableError)
    try:
        with explained(path, TableError):
            frame = read_file(path, delimiter)
    except EmptyLogError:
        raise TableError(
            f"'{path.name}' has no rows, expected a header and one row per unit. Check the file."
        ) from None
    if suffix in (".csv", ".tsv"):
        _refuse_repeats(path, list(frame.columns))
        frame = frame.astype(object).where(frame != "", None)
    return frame.reset_index(drop=True)


def _refuse_repeats(path: Path, columns: list[str]) -> None:
    """A name that stands twice in the header was numbered by pandas: look at the header itself."""
    line = first_line_of(path)
    for delimiter in (",", ";", "\t", "|"):
        header = header_cells(line, delimiter)
        if len(header) == len(columns):
            twice = [name for name in header if header.count(name) > 1 and name]
            if twice:
                raise TableError(f"'{path.name}' has the column {twice[0]!r} twice, expected it once. Rename one.")


_UNSEEN = -1


def encode_table(schema: DagSchema, frame: pd.DataFrame, *, weight_column: str | None = None) -> DagTable:
    """Number the values of a table.

    Args:
        schema: Says what the columns mean.
        frame: One row per unit; columns that are not variables are ignored. Cells of sequences are lists, JSON
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
    numbers = {variable.name: as_numbers(table[variable.name]) for variable in observed if variable.kind == "numeric"}
    return DagTable(schema, columns, _weights(frame, weight_column), numbers)


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
    codes = _numeric_codes(variable, column, given) if variable.kind == "numeric" else _codes(variable, column)
    return codes if given.all() else np.where(given, codes, variable.code(MISSING))


def _codes(variable: Variable, column: pd.Series) -> NDArray[np.int64]:
    """Codes of names; whatever stands for empty cells is replaced by the caller."""
    codes = _found(variable, column)
    unseen = codes == _UNSEEN
    if unseen.any():
        _raise_unseen(variable, unseen, plain_text(column.iloc[_first(unseen) - 1]))
    return codes


def _found(variable: Variable, column: pd.Series) -> NDArray[np.int64]:
    """Codes of names, ``_UNSEEN`` for those that are no value, 0 for empty cells."""
    named = as_names(column)
    found = [variable.find(cell) for cell in named.cells]
    return np.array([_UNSEEN if code is None else code for code in found] + [0], dtype=np.int64)[named.codes]


def _numeric_codes(variable: Variable, column: pd.Series, given: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bins of numbers; a bin may also be named by its label."""
    numbers = as_numbers(column)
    named = given & np.isnan(numbers)
    codes = np.searchsorted(variable.edges, numbers, side="right").astype(np.int64)
    if named.any():
        codes[named] = _found(variable, column[named])
    refuse(column, given & (np.isinf(numbers) | (codes == _UNSEEN)))
    return codes


def _sequences(variable: Variable, column: pd.Series, given: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    known = {value: code for code, value in enumerate(variable.values)}
    rows = [items_of(cell) if there else (MISSING,) for cell, there in zip(column, given, strict=True)]
    unseen = np.array([not all(item in known for item in row) for row in rows])
    if unseen.any():
        _raise_unseen(variable, unseen, next(item for item in rows[_first(unseen) - 1] if item not in known))
    longest = variable.max_length or 0
    long = np.array([len(row) > longest for row in rows])
    if long.any():
        row = _first(long)
        raise TableError(
            f"{variable.name!r} has {counted(long)} too long: {len(rows[row - 1])} items first in row {row}, expected "
            f"at most {longest}. Shorten them, or raise `max_length` of the variable."
        )
    return [tuple(known[item] for item in row) for row in rows]


def _raise_unseen(variable: Variable, unseen: NDArray[np.bool_], first: str) -> None:
    what = "items" if variable.kind == "sequence" else "values"
    raise TableError(
        f"{variable.name!r} has {counted(unseen)} not among its {what}: {first!r} first in row {_first(unseen)}, "
        f"expected one of {preview(variable.values, limit=6)}.{near(first, variable.values)} Correct the "
        f"table, or add it to the {what}."
    )


def _first(rows: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(rows)[0]) + 1


def _weights(frame: pd.DataFrame, name: str | None) -> NDArray[np.float64]:
    if name is None:
        return np.ones(len(frame))
    if name not in frame.columns:
        raise TableError(f"`weight_column` is {name!r}, which is not a column of the table.{near(name, frame.columns)}")
    weights = as_numbers(checked_frame(frame, [name])[name])
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        raise TableError(
            f"The weights {name!r} have {counted(wrong)} not a positive number: "
            f"{str(frame[name].iloc[_first(wrong) - 1])!r} first in row {_first(wrong)}. Correct or drop these rows."
        )
    return weights
