"""Tables of variables in files: CSV, TSV, Parquet, JSON. What columns mean is decided in ``inference``."""

import csv
import gzip
from os import PathLike
from pathlib import Path

import pandas as pd


from hf_trace.data.dags.text_files import existing_file
from hf_trace.data.formats import data_suffix
from hf_trace.data.formats import read_table as read_file
from hf_trace.errors import EmptyLogError, LogFormatError, TableError

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
        frame = read_file(path, delimiter)
    except EmptyLogError:
        raise TableError(
            f"'{path.name}' has no rows, expected a header and one row per unit. Check the file."
        ) from None
    except LogFormatError as error:
        raise TableError(str(error)) from None
    if suffix in (".csv", ".tsv"):
        _refuse_repeats(path, list(frame.columns))
        frame = frame.astype(object).where(frame != "", None)
    return frame.reset_index(drop=True)


def _refuse_repeats(path: Path, columns: list[str]) -> None:
    """A name that stands twice in the header was numbered by pandas: look at the header itself."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
        line = stream.readline()
    for delimiter in (",", ";", "\t", "|"):
        header = next(csv.reader([line], delimiter=delimiter), [])
        if len(header) == len(columns):
            twice = [name for name in header if header.count(name) > 1 and name]
            if twice:
                raise TableError(
                    f"'{path.name}' has the column {twice[0]!r} twice, expected it once. Rename one."
                )
