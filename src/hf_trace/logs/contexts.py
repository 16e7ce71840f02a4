"""What is known of whole sequences beside their events: a site, a month; or a label, written as their last event."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.errors import ColumnError, SettingsError, TimestampError
from hf_trace.logs.columns import text_values
from hf_trace.logs.sequence import Context

# Value of a sequence for which a column says nothing.
UNKNOWN = ""
_CALENDAR = {"@year": "%Y", "@month": "%Y-%m", "@week": "%G-W%V", "@day": "%Y-%m-%d"}
_CALENDAR_SECONDS = (-62_135_596_800.0, 253_402_300_800.0)  # years 1 to 9999
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
    by_column = [(str(column.name), _one_per_sequence(cases, ids, column, "context")) for column in columns]
    return [tuple((name, values.get(case, UNKNOWN)) for name, values in by_column) for case in range(len(ids))]


def _one_per_sequence(cases: NDArray[np.int64], ids: Sequence[str], column: pd.Series, role: str) -> dict[int, str]:
    """The value that a column has in every sequence, for those where it has one."""
    table = pd.DataFrame({"case": cases, "value": text_values(column)})
    table = table[(table["case"] >= 0) & ~pd.isna(table["value"])].drop_duplicates()
    several = table["case"].duplicated(keep=False)
    if several.any():
        case = int(table.loc[several, "case"].iloc[0])
        found = table.loc[table["case"] == case, "value"].tolist()
        raise ColumnError(
            f"Column {str(column.name)!r} changes within the sequence {ids[case]!r}: {found[0]!r} and {found[1]!r}; "
            f"expected one value per sequence. Name another column with `--{role}-column`."
        )
    return dict(zip(table["case"].tolist(), table["value"].tolist(), strict=True))


def derived_values(name: str, starts: NDArray[np.float64] | None, count: int) -> list[str]:
    """A computed context of every sequence of a log.

    Args:
        name: ``@year``, ``@month``, ``@week`` or ``@day`` of its first event (UTC); ``@parts:N``, the part of the log
            in order of time (of the log, where there are no times).
        starts: Time of its first event, in seconds; NaN where it has none.
        count: Number of sequences.

    Raises:
        TimestampError: If a calendar is asked of a log without times, or of times beyond it.

    Example:
        >>> derived_values("@month", np.array([0.0, 40 * 86_400.0]), 2), derived_values("@parts:3", None, 6)
        (['1970-01', '1970-02'], ['1', '1', '2', '2', '3', '3'])
    """
    if parts := _PARTS.fullmatch(name):
        number = int(parts[1])
        order = np.arange(count) if starts is None else np.argsort(starts, kind="stable")
        rank = np.empty(count, dtype=np.int64)
        rank[order] = np.arange(count)
        return [f"{part:0{len(str(number))}d}" for part in (rank * number // max(1, count) + 1).tolist()]
    if starts is None:
        raise TimestampError(
            f"`--context-column {name}` is read off times, and the log has none. Name its time column, or take "
            "@parts:4, which needs none."
        )
    known = np.isfinite(starts)
    if np.any((starts[known] < _CALENDAR_SECONDS[0]) | (starts[known] >= _CALENDAR_SECONDS[1])):
        wrong = starts[known][np.argmax(np.abs(starts[known]))]
        raise TimestampError(
            f"`--context-column {name}` is read off times, and a sequence begins {wrong:g} seconds after 1970, beyond "
            "the years 1 to 9999. If its times are not seconds, say their unit with `--time-unit`."
        )
    dates = pd.Series(np.where(known, np.floor(starts), 0.0).astype("datetime64[s]"))
    return [
        text if is_known else UNKNOWN for text, is_known in zip(dates.dt.strftime(_CALENDAR[name]), known, strict=True)
    ]


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
    found = _one_per_sequence(cases, ids, labels, "outcome")
    column = str(labels.name)
    if not found:
        raise ColumnError(
            f"The outcome is missing in all {len(cases):,} rows (column {column!r}), expected a label of at least one "
            "sequence. Name another column with `--outcome-column`."
        )
    names = [outcome_event(column, value) for value in found.values()]
    return pd.Series(names, index=np.array(list(found), dtype=np.int64), dtype=object)
