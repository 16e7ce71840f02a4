"""Which columns of a table are read, and what those that are not could be: cases, contexts, neighbours, ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.errors import ColumnError, HfTraceError
from hf_trace.logs.columns import ColumnChoice, LogColumns, event_names, find_columns, text_values, unread_times
from hf_trace.logs.diagnosis.findings import Finding
from hf_trace.logs.event_rows import EVENTS_COLUMN, holds_records
from hf_trace.logs.log import count
from hf_trace.logs.times import TimeReader

# A case holds so many events on average, and so many of the rows are in one that has several.
_LEAST_LENGTH, _REPEATED_SHARE, _MIXED_SHARE = 3.0, 0.8, 0.5
_MOST_CONTEXTS = 50
_ENDS_LATER = 0.95
_JOINED_SHARE = 0.8
Names = NDArray[np.object_]


@dataclass(frozen=True)
class ChosenColumn(Finding):
    """A column that is read.

    Attributes:
        role: ``case``, ``event`` or ``time``.
        column: Its name; several are joined by commas, ``""``: there is none.
        reason: Why it was chosen, or what is done without.
    """

    role: str
    column: str
    reason: str

    def lines(self) -> list[str]:
        """The column and the reason."""
        return [f"{self.role}: {self.column!r}, {self.reason}." if self.column else f"no {self.role}: {self.reason}."]


@dataclass(frozen=True)
class PossibleColumn(Finding):
    """A column that is not read and could be of use.

    Attributes:
        use: ``case``, ``context``, ``end`` or ``topology``.
        column: Its name.
        reason: What in it says so.
        option: What to type.
    """

    use: str
    column: str
    reason: str
    option: str

    def lines(self) -> list[str]:
        """What it could be, and the option."""
        return [f"{self.column!r} could be {_USES[self.use]}: {self.reason}. `{self.option}`"]


_USES = {
    "case": "the case",
    "context": "a context, or the outcome of a sequence (`--outcome-column`)",
    "end": "the end of each event, for states (`hf-trace train --states`)",
    "topology": "the neighbours of a sequence (write its pairs into a file)",
}


def read_columns(frame: pd.DataFrame, choice: ColumnChoice) -> LogColumns | None:
    """The columns that are read; None of a table with a row per sequence."""
    return None if holds_records(frame, choice) else find_columns(list(frame.columns), choice)


def chosen_columns(frame: pd.DataFrame, choice: ColumnChoice) -> list[ChosenColumn]:
    """Which columns are read in each role, and why.

    Args:
        frame: A table with one row per event, or per sequence with lists.
        choice: What the user said.

    Raises:
        ColumnError: As ``find_columns``.

    Example:
        >>> frame = pd.DataFrame({"alarm": ["fan"], "machine": ["m1"]})
        >>> [line for each in chosen_columns(frame, ColumnChoice(event="alarm")) for line in each.lines()][:2]
        ["case: 'machine', a usual name.", "event: 'alarm', named by you."]
    """
    columns = read_columns(frame, choice)
    if columns is None:
        event = choice.event if isinstance(choice.event, str) else EVENTS_COLUMN
        return [ChosenColumn("event", event, "a row is a sequence, and holds the list of its events")]
    roles = (
        ("case", (columns.case,) if columns.case else (), choice.case, "every file is one sequence"),
        ("event", columns.event, choice.event, ""),
        ("time", columns.time, choice.time, "the order of the rows counts"),
    )
    return [
        ChosenColumn(role, ",".join(found), _why(named=given is not None) if found else without)
        for role, found, given, without in roles
    ]


def _why(*, named: bool) -> str:
    return "named by you" if named else "a usual name"


def possible_columns(frame: pd.DataFrame, choice: ColumnChoice) -> list[PossibleColumn]:
    """Columns that are not read, and what they could be.

    Args:
        frame: A table; of one with a row per sequence nothing is said.
        choice: What the user said.

    Raises:
        ColumnError: As ``find_columns``.

    Example:
        >>> frame = pd.DataFrame({"id": ["x"] * 4 + ["y"] * 4, "event": list("abcaabca")})
        >>> [(each.use, each.column, each.option) for each in possible_columns(frame, ColumnChoice())]
        [('case', 'id', '--case-column id')]
    """
    columns = read_columns(frame, choice)
    if columns is None:
        return []
    read = {columns.case, choice.outcome, *columns.event, *columns.time, *choice.contexts}
    times = unread_times(frame, LogColumns(columns.case, columns.event, ()), choice)
    free = [name for name in frame.columns if name not in read and name not in times]
    texts = {name: values for name in free if (values := _texts(frame[name])) is not None}
    found: list[PossibleColumn] = []
    if columns.case is None:
        found += case_candidates(frame, texts, columns.event)
    else:
        cases = text_values(frame[columns.case])
        found += _contexts(cases, texts)
        found += _neighbours(columns.case, cases, texts)
    if columns.time:
        taken = read | {each.column for each in found}
        alone = np.zeros(len(frame))
        in_case: NDArray[Any] = alone if columns.case is None else text_values(frame[columns.case])
        changing = [name for name in times if name not in taken] + [name for name in texts if name not in taken]
        changing = [name for name in changing if not _is_constant(in_case, frame[name])]
        found += _ends(frame, changing, columns.time[0], choice)
    return found


def case_candidates(frame: pd.DataFrame, texts: dict[str, pd.Series], event: Sequence[str]) -> list[PossibleColumn]:
    """Columns that cut the log into sequences of some length, the likeliest first, at most three.

    A candidate has at least two values that come three times or more on average; four of five rows share theirs with
    another row; and at least half of its values come with several types of events, so that it does not name the event.
    First come those called ``id`` or ``…id``, then those that make most sequences.

    Args:
        frame: The table.
        texts: Its free columns as texts.
        event: Its event columns.

    Raises:
        ColumnError: If the event column holds lists.
    """
    names = pd.Series(event_names(frame, event), index=frame.index)
    found = []
    for column, values in texts.items():
        sizes = values.value_counts()
        if len(sizes) < 2 or sizes.mean() < _LEAST_LENGTH:
            continue
        if sizes[sizes > 1].sum() / len(values) < _REPEATED_SHARE:
            continue
        if (names.groupby(values).nunique() > 1).mean() < _MIXED_SHARE:
            continue
        is_id = column.lower().endswith("id")
        reason = f"{count(len(sizes), 'value')}, each in {sizes.median():.0f} rows (median)"
        option = f"--case-column {column}"
        found.append(((not is_id, -len(sizes)), PossibleColumn("case", column, reason, option)))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])][:3]


def _texts(column: pd.Series) -> pd.Series | None:
    """A column as texts; None where it holds lists, measurements with fractions, or nothing."""
    try:
        values = pd.Series(text_values(column), index=column.index, dtype=object)
    except ColumnError:
        return None
    numbers = pd.to_numeric(values, errors="coerce")
    if values.isna().all() or (numbers.notna() & (numbers % 1 != 0)).any():
        return None
    return values


def _contexts(cases: Names, texts: dict[str, pd.Series]) -> list[PossibleColumn]:
    """Columns of a few values that do not change within a sequence."""
    found = []
    for column, values in texts.items():
        number = int(values.nunique())
        if 2 <= number <= min(_MOST_CONTEXTS, pd.Series(cases).nunique() / 2) and _is_constant(cases, values):
            reason = f"{number} values, one in each sequence"
            found.append(PossibleColumn("context", column, reason, f"--context-column {column}"))
    return found


def _is_constant(cases: NDArray[Any], values: pd.Series) -> bool:
    return bool((pd.Series(values.to_numpy()).groupby(cases).nunique() <= 1).all())


def _neighbours(case: str, cases: Names, texts: dict[str, pd.Series]) -> list[PossibleColumn]:
    """Columns whose values are names of other sequences."""
    known = set(cases[~pd.isna(cases)].tolist())
    found = []
    for column, values in texts.items():
        given = values.dropna()
        apart = (values.to_numpy() != cases) & values.notna().to_numpy()
        is_number = all(each.isdigit() for each in given.unique()[:100])
        if is_number or not len(given) or given.nunique() < 2:  # small numbers are names of everything
            continue
        if given.isin(known).mean() >= _JOINED_SHARE and apart.mean() >= 0.5:
            reason = f"its values are names in {case!r}"
            found.append(PossibleColumn("topology", column, reason, "--topology FILE"))
    return found


def _ends(frame: pd.DataFrame, names: Sequence[str], time: str, choice: ColumnChoice) -> list[PossibleColumn]:
    """Columns with times that are hardly ever before that of the event."""
    began = _seconds(frame[time], choice.times)
    if began is None:
        return []
    found = []
    for column in names:
        ended = _seconds(frame[column], choice.times) if _speaks_of_end(column) else None
        if ended is None:
            continue
        both = ~np.isnan(began) & ~np.isnan(ended)
        if both.any() and np.mean(ended[both] >= began[both]) >= _ENDS_LATER and np.any(ended[both] > began[both]):
            reason = "times that are not before those of the events"
            found.append(PossibleColumn("end", column, reason, f"--end-column {column}"))
    return found


def _speaks_of_end(column: str) -> bool:
    return any(word in column.lower() for word in ("end", "clear", "finish", "complete", "stop", "until"))


def _seconds(column: pd.Series, reader: Callable[[], TimeReader]) -> NDArray[np.float64] | None:
    try:
        return reader().read(column)
    except HfTraceError:
        return None
