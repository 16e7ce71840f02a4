"""What is known of whole sequences beside their events: a site, a month; or a label, written as their last event."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.errors import ColumnError, SettingsError, TimestampError
from hf_trace.logs.columns import text_values

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog

Context: TypeAlias = tuple[tuple[str, str], ...]
# Value of a sequence for which a column says nothing.
UNKNOWN = ""
_CALENDAR = {"@year": "%Y", "@month": "%Y-%m", "@week": "%G-W%V", "@day": "%Y-%m-%d"}
_PARTS = re.compile(r"@parts:(\d+)")


def is_derived(column: str) -> bool:
    """Whether a context is computed from the log instead of read from a column.

    Raises:
        SettingsError: If it begins like one but is none.

    Example:
        >>> is_derived("@month"), is_derived("@parts:4"), is_derived("site")
        (True, True, False)
    """
    if not column.startswith("@"):
        return False
    found = _PARTS.fullmatch(column)
    if column in _CALENDAR or (found and int(found[1]) >= 2):
        return True
    raise SettingsError(
        f"`--context-column {column}` is not understood, expected the name of a column, one of "
        f"{', '.join(_CALENDAR)}, or @parts:N for N parts of the log of equal size (N at least 2)."
    )


def read_contexts(cases: NDArray[np.int64], ids: Sequence[str], columns: Sequence[pd.Series]) -> list[Context]:
    """The context of every sequence.

    Args:
        cases: The sequence of each row, as an index into ``ids``; negative where it is missing.
        ids: Names of the sequences.
        columns: Values of the rows; their names are those of the columns.

    Raises:
        ColumnError: If the values of a sequence differ.

    Example:
        >>> site = pd.Series(["north", "north", None], name="site")
        >>> read_contexts(np.array([0, 0, 1]), ["x", "y"], [site])
        [(('site', 'north'),), (('site', ''),)]
    """
    by_column = [(str(column.name), _values(cases, ids, column)) for column in columns]
    return [tuple((name, values[case]) for name, values in by_column) for case in range(len(ids))]


def _values(cases: NDArray[np.int64], ids: Sequence[str], column: pd.Series) -> list[str]:
    table = pd.DataFrame({"case": cases, "value": text_values(column)})
    table = table[(table["case"] >= 0) & ~pd.isna(table["value"])].drop_duplicates()
    several = table["case"].duplicated(keep=False)
    if several.any():
        case = int(table.loc[several, "case"].iloc[0])
        found = table.loc[table["case"] == case, "value"].tolist()
        raise ColumnError(
            f"Column {str(column.name)!r} changes within the sequence {ids[case]!r}: {found[0]!r} and {found[1]!r}; "
            "expected one value per sequence. Name another column with `--context-column`."
        )
    known = dict(zip(table["case"].tolist(), table["value"].tolist(), strict=True))
    return [known.get(case, UNKNOWN) for case in range(len(ids))]


def with_derived(log: "EventLog", columns: Sequence[str]) -> "EventLog":
    """Bring the contexts of a log into the order of ``columns``, adding those that are computed.

    Args:
        log: Its contexts have the columns that are read.
        columns: Names of columns; ``@year``, ``@month``, ``@week``, ``@day`` of the first event (UTC); ``@parts:N``,
            the part of the log in order of time (of the log, where there are no times).

    Raises:
        SettingsError: If a name is not understood.
        TimestampError: If a calendar is asked of a log without times.

    Example:
        >>> from hf_trace.logs.log import EventLog
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("a",), (86_400.0 * day,)) for day in (0, 40)])
        >>> [sequence.context for sequence in with_derived(log, ["@month"])]
        [(('@month', '1970-01'),), (('@month', '1970-02'),)]
    """
    computed = {name: _derived(log, name) for name in columns if is_derived(name)}
    contexts = []
    for index in range(len(log)):
        known = dict(log.contexts[index]) if log.contexts else {}
        contexts.append(tuple((name, computed[name][index] if name in computed else known[name]) for name in columns))
    return replace(log, contexts=tuple(contexts))


def _derived(log: "EventLog", name: str) -> list[str]:
    parts = _PARTS.fullmatch(name)
    starts = None if log.timestamps is None else _starts(log)
    if parts is not None:
        count = int(parts[1])
        order = np.arange(len(log)) if starts is None else np.argsort(starts, kind="stable")
        rank = np.empty(len(log), dtype=np.int64)
        rank[order] = np.arange(len(log))
        width = len(str(count))
        return [f"{part:0{width}d}" for part in (rank * count // max(1, len(log)) + 1).tolist()]
    if starts is None:
        raise TimestampError(
            f"`--context-column {name}` is read off times, and the log has none. Name its time column, or take "
            "@parts:4, which needs none."
        )
    dates = pd.to_datetime(pd.Series(starts), unit="s")
    return dates.dt.strftime(_CALENDAR[name]).fillna(UNKNOWN).tolist()


def _starts(log: "EventLog") -> NDArray[np.float64]:
    """Time of the first event of every sequence; not a number for an empty one."""
    times = np.append(log.timestamps if log.timestamps is not None else [], np.nan)
    return np.where(log.sequence_lengths > 0, times[log.offsets[:-1]], np.nan)


PREFIX = "outcome:"


def outcome_event(column: str, value: str) -> str:
    """Name of the event that says how a sequence ended.

    Example:
        >>> outcome_event("label", "anomalous")
        'outcome:label=anomalous'
    """
    return f"{PREFIX}{column}={value}"


def outcome_value(event: str) -> str:
    """The label that an outcome event stands for.

    Example:
        >>> outcome_value("outcome:label=anomalous")
        'anomalous'
    """
    return event.removeprefix(PREFIX).partition("=")[2]


def outcomes_of(cases: NDArray[np.int64], ids: Sequence[str], labels: pd.Series) -> pd.Series:
    """The outcome event of every sequence that has a label.

    Args:
        cases: The sequence of each event, as an index into ``ids``; negative where it is missing.
        ids: Names of the sequences.
        labels: The label of the sequence of each event, missing where it is not known; its name is the column's.

    Returns:
        Outcome events by sequence.

    Raises:
        ColumnError: If the labels of a sequence differ, or there are none.

    Example:
        >>> labels = pd.Series(["ok", "ok", None], name="label")
        >>> outcomes_of(np.array([0, 0, 1]), ["x", "y"], labels).to_dict()
        {0: 'outcome:label=ok'}
    """
    column = str(labels.name)
    table = pd.DataFrame({"case": cases, "label": text_values(labels)})
    table = table[(table["case"] >= 0) & ~pd.isna(table["label"])].drop_duplicates()
    if table.empty:
        raise ColumnError(
            f"The outcome is missing in all {len(cases):,} rows (column {column!r}), expected a label of at least one "
            "sequence. Name another column with `--outcome-column`."
        )
    several = table["case"].duplicated(keep=False)
    if several.any():
        case = int(table.loc[several, "case"].iloc[0])
        values = table.loc[table["case"] == case, "label"].tolist()
        raise ColumnError(
            f"Column {column!r} changes within the sequence {ids[case]!r}: {values[0]!r} and {values[1]!r}; expected "
            "one label per sequence. Name another column with `--outcome-column`."
        )
    names = [outcome_event(column, value) for value in table["label"]]
    return pd.Series(names, index=table["case"].to_numpy(dtype=np.int64), dtype=object)
