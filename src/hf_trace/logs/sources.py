"""Event logs from files, folders, tables and datasets: which files to read and what to do with them."""

import glob
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import near
from hf_trace.errors import ColumnError, EmptyLogError, HfTraceError, LogFormatError, SettingsError, TimestampError
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.contexts import PREFIX, derived_values, is_derived
from hf_trace.logs.event_rows import EventRows, frame_of_mappings, needed_columns, table_rows
from hf_trace.logs.formats import (
    LOG_SUFFIXES,
    data_suffix,
    file_stem,
    read_file,
    read_text,
    refuse_repeated_header,
    unpacking,
)
from hf_trace.logs.frames import dataset_frames, frame_of_records, frame_to_read
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import with_neighbours
from hf_trace.logs.times import TimeReader
from hf_trace.options import HOPS, TOPOLOGY_DIRECTED

_QUERY_ERRORS = (
    *(ValueError, TypeError, KeyError, AttributeError, NameError, SyntaxError, NotImplementedError),
    *(IndexError, ArithmeticError, tokenize.TokenError),
)
_QUOTED = re.compile(r"`[^`]*`|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_QUERY_METHODS = frozenset(
    {"str", "contains", "startswith", "endswith", "fullmatch", "lower", "upper", "len"}
    | {"isin", "isna", "notna", "between", "abs"}
)
_EXACT_BELOW = 2**53
_MAYBE_NUMBERS = frozenset({"string", "empty", "integer", "integer-na", "floating", "mixed-integer-float"})


def read_log(  # noqa: PLR0913 - a log needs as many words
    source: Any,
    *,
    case_column: str | None = None,
    event_column: str | Sequence[str] | None = None,
    time_column: str | Sequence[str] | None = None,
    join: str = "=",
    query: str | None = None,
    time_unit: str = "s",
    time_format: str | None = None,
    delimiter: str | None = None,
    outcome_column: str | None = None,
    context_columns: Sequence[str] = (),
    topology: Any = None,
    topology_directed: bool = TOPOLOGY_DIRECTED.default,
    hops: int = HOPS.default,
    max_unpacked: int | str | None = None,
) -> EventLog:
    """Read an event log from wherever it is.

    CSV, TSV, Parquet, JSON Lines and XES are known by their suffix, with ``.gz`` where usual; any other file
    is plain text with one sequence a line, named by its line number. Tables have one row per event, or one
    row per sequence with a list in ``events`` (and ``timestamps``, ``id``). Names are kept exactly.

    Args:
        source: A path, a folder or a glob pattern (files in name order), a list of paths, a
            `pandas.DataFrame`, a `datasets.Dataset`, streaming or not, or records, one per event or per sequence.
        case_column: Column that names the sequence; recognised when left out. Without one, every file is
            one sequence, named after the file.
        event_column: Column that names the event, or several whose values are joined.
        time_column: Column with the time, or several (date and clock). Without one, the order of the file
            counts.
        join: Text between the values of several event columns.
        query: Rows to keep, as a `pandas.DataFrame.query` expression; columns of numbers compare as numbers.
        time_unit: Unit of numeric times: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        time_format: Format of the times, as ``strptime`` reads them; a date alone, such as ``"%d/%m/%Y"``, says the
            order of day and month; ``"excel"`` for days as spreadsheets count them. Recognised when left out.
        delimiter: Text between the columns of a CSV file, or between the events of a line of plain text.
        outcome_column: Column with a label of the whole sequence, such as ``normal`` or ``anomalous``; it becomes
            the last event of the sequence, ``outcome:COLUMN=LABEL``.
        context_columns: Columns with what is known of the whole sequence, such as a site or a firmware; or what
            is computed: ``@year``, ``@month``, ``@week``, ``@day`` of its first event, ``@parts:4`` for the quarter
            of the log that it is in.
        topology: Which places (sequences) are joined: a file, pairs of their names, or a square matrix. The sequence
            of each then holds what happened at its neighbours too, an X as ``<near:X>``; see ``with_neighbours``.
        topology_directed: Whether the first place of a pair is upstream of the second, which alone sees the other.
        hops: How many steps away neighbours may be.
        max_unpacked: Most bytes that a compressed file may unpack to, such as ``"20GB"``; 256 MB or 100 times its
            size, whichever is more, when left out here and in the variable ``HF_TRACE_MAX_UNPACKED``.

    Returns:
        The log, sorted by time within every sequence; `EventLog.summary` says what was found.

    Raises:
        LogFormatError: If a file is absent, or is not what its suffix says.
        ColumnError: If a column is absent or no event column is recognised.
        TimestampError: If times cannot be read, or were asked for and are absent.
        EmptyLogError: If there are no events.
        SettingsError: If `query`, `time_unit` or `time_format` is not understood, or a topology joins no two sequences.
        GraphFormatError: If a topology cannot be read.
        EventNameError: If there is a topology, and an event type is written as those of neighbours are.

    Example:
        >>> frame = pd.DataFrame({"device": ["x", "x"], "alarm": ["fan", "heat"], "level": ["1", "10"]})
        >>> read_log(frame, query="level > 5")[0].events
        ('heat',)
    """
    read = tuple(name for name in context_columns if not is_derived(name))
    choice = ColumnChoice(
        case_column,
        event_column,
        time_column,
        join,
        time_unit,
        time_column is not None,
        outcome_column,
        read,
        time_format,
    )
    with unpacking(max_unpacked):
        log = _read(source, choice, query, delimiter)
    log = with_derived(log, context_columns) if context_columns else log
    if topology is None:
        return log
    return with_neighbours(log, topology, directed=topology_directed, hops=hops)


def source_frames(source: Any, *, query: str | None = None) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables that ``read_log`` makes a log of, as they are written; files of plain text have none.

    Args:
        source: A path, a folder, a glob pattern or a list of paths.
        query: Rows to keep, as for ``read_log``; tables of which none is kept are left out.

    Yields:
        The name of each file without its suffixes, and its rows.

    Raises:
        LogFormatError: If a file is absent, or is not what its suffix says.
        SettingsError: If the query is not understood.
    """
    for path in find_files(source):
        if data_suffix(path) in LOG_SUFFIXES or data_suffix(path) == ".json":
            with suppress(_NothingKeptError):
                yield file_stem(path), _kept(read_file(path), query)


def with_derived(log: EventLog, columns: Sequence[str]) -> EventLog:
    """Bring the contexts of a log into the order of ``columns``, adding those that are computed from it.

    Args:
        log: Its contexts have the columns that are read.
        columns: As ``context_columns`` of ``read_log``.

    Raises:
        SettingsError: If a name is not understood.
        TimestampError: If a calendar is asked of a log without times.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a",), (86_400.0 * day,)) for day in (0, 40)])
        >>> [sequence.context for sequence in with_derived(log, ["@month"])]
        [(('@month', '1970-01'),), (('@month', '1970-02'),)]
    """
    starts = None
    if log.timestamps is not None:
        starts = np.where(log.sequence_lengths > 0, np.append(log.timestamps, np.nan)[log.offsets[:-1]], np.nan)
    computed = {name: derived_values(name, starts, len(log)) for name in columns if is_derived(name)}
    known = [dict(context) for context in log.contexts] or [{}] * len(log)
    contexts = (
        tuple((name, computed[name][index] if name in computed else own[name]) for name in columns)
        for index, own in enumerate(known)
    )
    return replace(log, contexts=tuple(contexts))


def _read(source: Any, choice: ColumnChoice, query: str | None, delimiter: str | None) -> EventLog:
    if isinstance(source, list | tuple) and source and isinstance(source[0], Mapping):
        source = _frame_of(source)
    if isinstance(source, pd.DataFrame):
        return EventLog.from_table(_kept(frame_to_read(source, choice), query), choice)
    if not isinstance(source, str | Path | list | tuple):
        return _from_dataset(source, choice, query)
    paths = find_files(source)
    if len(paths) == 1:
        return EventLog.from_rows(_file_rows(paths[0], choice, query, delimiter)).without_empty_sequences()
    return _from_files(paths, choice, query, delimiter)


def _frame_of(records: Sequence[Any]) -> pd.DataFrame:
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise LogFormatError(
                f"Record {number} is {record!r} ({type(record).__name__}), expected a dict as the first one is."
            )
    return frame_of_records(records)


def find_files(source: Any) -> list[Path]:
    """List the files that a path, a folder, a glob pattern or a list of them stands for.

    Of a folder, hidden files are left out, and when it holds files with a suffix of a log, so are all others.

    Raises:
        LogFormatError: If nothing is there.

    Example:
        >>> find_files("absent.csv")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        LogFormatError: There is no file 'absent.csv' ...
    """
    if isinstance(source, list | tuple):
        if not source:
            raise LogFormatError("The list of paths is empty, expected at least one. Pass a path.")
        return [path for item in source for path in find_files(item)]
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            return _files_of_folder(path)
        if path.exists():
            return [path]
        return _files_of_pattern(path)
    raise LogFormatError(f"Got a {type(source).__name__}, expected a path. Pass text or a `pathlib.Path`.")


def _files_of_folder(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    files = [path for path in files if data_suffix(path) in LOG_SUFFIXES] or _plain_texts(files)
    if not files:
        raise LogFormatError(
            f"Folder '{folder}' holds no file that can be read as a log, expected one of "
            f"{', '.join(sorted(LOG_SUFFIXES))} or plain text. Name the files, or a pattern such as "
            f"'{folder}/*/*.csv'."
        )
    return files


def _plain_texts(files: Iterable[Path]) -> list[Path]:
    texts = {"", ".txt", ".log"}
    about = ("readme", "license", "licence", "citation", "notice")
    return [p for p in files if data_suffix(p) in texts and not p.name.lower().startswith(about)]


def _files_of_pattern(pattern: Path) -> list[Path]:
    matches = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
    files = [path for path in matches if path.is_file() and not path.name.startswith(".")]
    if files:
        return files
    if glob.has_magic(str(pattern)):
        raise LogFormatError(f"No file matches '{pattern}', expected at least one. Check the pattern.")
    raise LogFormatError(_no_file(pattern))


def _no_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no file '{path}', nor a folder '{path.parent}'. Check the path."
    names = [p.name for p in path.parent.iterdir()]
    return f"There is no file '{path}'." + (
        near(path.name, names) or f" '{path.parent}' holds {len(names)} other files."
    )


def _from_files(paths: Sequence[Path], choice: ColumnChoice, query: str | None, delimiter: str | None) -> EventLog:
    times = choice.times()
    parts = _parts(paths, choice, query, delimiter, times)
    if times.revised:  # the dates of a later file say how those before it are read
        times.again()
        parts = _parts(paths, choice, query, delimiter, times)
    times.tell()
    if not parts:
        raise EmptyLogError(f"`query={query!r}` keeps no row of the {len(paths)} files. Loosen it.")
    joined = all(part.has_cases for part in parts)
    log = EventLog.concat([EventLog.from_rows(part) for part in parts], join_ids=joined)
    if choice.outcome is not None and joined:
        _refuse_two_outcomes(log)
    return log.without_empty_sequences()


def _parts(
    paths: Sequence[Path], choice: ColumnChoice, query: str | None, delimiter: str | None, times: TimeReader
) -> list[EventRows]:
    parts = []
    for path in paths:
        times.part = repr(path.name)
        try:
            parts.append(_file_rows(path, choice, query, delimiter, times))
        except _NothingKeptError:
            continue  # the query may well concern only some of the files
        except HfTraceError as error:
            raise type(error)(f"{path.name}: {error}") from None
    return parts


def _refuse_two_outcomes(log: EventLog) -> None:
    is_outcome = np.array([name.startswith(PREFIX) for name in log.event_types], dtype=np.int64)
    twice = np.add.reduceat(is_outcome[log.codes], log.offsets[:-1]) > 1
    if twice.any():
        name = log.ids[int(np.argmax(twice))]
        raise ColumnError(
            f"The sequence {name!r} is spread over several files and has an outcome in each, expected one. Put its "
            "rows into one file."
        )


def _file_rows(
    path: Path, choice: ColumnChoice, query: str | None, delimiter: str | None, times: TimeReader | None = None
) -> EventRows:
    if data_suffix(path) in LOG_SUFFIXES or data_suffix(path) == ".json":
        frame = read_file(path, delimiter)
        if data_suffix(path) in (".csv", ".tsv"):
            refuse_repeated_header(path, needed_columns(frame, choice), delimiter)
        return table_rows(_kept(frame, query), choice, sequence_id=file_stem(path), reader=times)
    _refuse_columns(path, choice, query)
    return read_text(path, delimiter)


def _refuse_columns(path: Path, choice: ColumnChoice, query: str | None) -> None:
    columns = (choice.case, choice.event, choice.outcome, *choice.contexts)
    refusals: tuple[tuple[bool, type[HfTraceError], str], ...] = (
        (choice.time is not None, TimestampError, f"times, but `time_column={choice.time!r}` asks for them"),
        (any(name is not None for name in columns), ColumnError, "columns, but one was named"),
        (query is not None, SettingsError, "columns for `query`"),
    )
    for asked, error, lacks in refusals:
        if asked:
            raise error(
                f"'{path.name}' is read as plain text, which has no {lacks}. Leave it out, or "
                "rename the file to .csv if it is a table."
            )


def _from_dataset(source: Any, choice: ColumnChoice, query: str | None) -> EventLog:
    if hasattr(source, "keys"):
        splits = ", ".join(repr(str(key)) for key in source)
        raise LogFormatError(f"Got a mapping of {splits}, expected one dataset. Pass one, such as `log['train']`.")
    if not hasattr(source, "__iter__"):
        raise LogFormatError(
            f"Got a {type(source).__name__}, expected a path, a DataFrame or a dataset. Pass one of them."
        )
    if query is not None:
        parts = list(dataset_frames(source)) or [pd.DataFrame()]
        source = pd.concat(parts, ignore_index=True)
        return EventLog.from_table(_kept(frame_to_read(source, choice), query), choice)
    return EventLog.from_table(frame_of_mappings(source, choice), choice)


class _NothingKeptError(EmptyLogError):
    """A query keeps no row of a table."""


def _kept(frame: pd.DataFrame, query: str | None) -> pd.DataFrame:
    if query is None or not len(frame):
        return frame
    _refuse_code(query)
    positions = _query_positions(_numbers_as_numbers(frame), query)
    if not len(positions):
        raise _NothingKeptError(f"`query={query!r}` keeps none of the {len(frame):,} rows. Loosen it.")
    return frame.iloc[positions]


def _refuse_code(query: str) -> None:
    """A query may come with a shared recipe: it compares values, it does not call into Python."""
    bare = _QUOTED.sub("", query)
    found = [name for name in re.findall(r"\.\s*([^\W\d]\w*)", bare) if name not in _QUERY_METHODS]
    if found or "@" in bare:
        raise SettingsError(
            f"`query={query!r}` uses {found[0] if found else '@'!r}, expected comparisons of columns with "
            f"values, or one of the methods {', '.join(sorted(_QUERY_METHODS))}. Rewrite it."
        )


def _query_positions(frame: pd.DataFrame, query: str) -> NDArray[np.int64]:
    table = frame.reset_index(drop=True)
    try:
        kept = table.query(query, engine="python", local_dict={}, global_dict={})
    except _QUERY_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        columns = ", ".join(map(repr, list(frame.columns)[:6]))
        raise SettingsError(
            f"`query={query!r}` cannot be evaluated ({reason[:120]}), expected a condition on the columns "
            f"{columns}. Write for example \"level == 'error'\", with backticks around a column name that "
            "has spaces."
        ) from None
    return kept.index.to_numpy(dtype=np.int64)


def _numbers_as_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert columns of texts that are numbers throughout, for comparisons only."""
    return pd.DataFrame({name: _as_numbers(frame[name]) for name in frame.columns}, index=frame.index)


def _as_numbers(column: pd.Series) -> pd.Series:
    if pd.api.types.infer_dtype(column, skipna=True) not in _MAYBE_NUMBERS:
        return column
    given = column.notna() & (column.astype(object) != "").fillna(False)
    numbers = pd.to_numeric(column[given], errors="coerce")
    if numbers.isna().any() or not len(numbers):
        return column
    if pd.api.types.is_integer_dtype(numbers) and numbers.abs().max() >= _EXACT_BELOW:
        numbers = numbers.astype(object)  # as floats, beside missing ones, neighbours would be equal
    return numbers.reindex(column.index)
