"""Rows that hold measurements: numbers that hardly ever come again, each of which would be an event type of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from keyword import iskeyword

import pandas as pd

from hf_trace.logs.columns import ColumnChoice, text_values
from hf_trace.logs.diagnosis.findings import Finding, named, percent
from hf_trace.logs.diagnosis.source_columns import read_columns
from hf_trace.logs.log import count

# What has more values is no state that is switched; nearly all of them are numbers.
_MOST_STATES, _NUMBER_SHARE = 50, 0.95


@dataclass(frozen=True)
class Measurements(Finding):
    """Variables whose values are measured rather than switched.

    Attributes:
        column: The event column with the numbers; ``""``: there are no measurements.
        variables: Names in the event column before it whose values are measured.
        values: How many different numbers they have, each an event type.
        share: Of all rows.
        query: Keeps all other rows; ``""`` where no other rows are there.
    """

    column: str = ""
    variables: tuple[str, ...] = ()
    values: int = 0
    share: float = 0.0
    query: str = ""

    @classmethod
    def of(cls, frames: Sequence[pd.DataFrame], choice: ColumnChoice) -> "Measurements":
        """Find them in the last of two event columns, a variable and its value; or in the only one.

        A variable is measured if it has more than 50 values and 95 % of them are numbers. In a single column codes of
        events are numbers too: it is measured only if numbers have fractions.

        Args:
            frames: The tables of a log.
            choice: Which columns are read.

        Raises:
            ColumnError: As ``find_columns``.

        Example:
            >>> rows = [("speed", str(tick)) for tick in range(60)] + [("door", "open"), ("door", "closed")]
            >>> frame = pd.DataFrame(rows, columns=["node", "value"])
            >>> found = Measurements.of([frame], ColumnChoice(event="node,value"))
            >>> found.values, found.query
            (60, "node not in ['speed']")
        """
        columns = read_columns(frames[0], choice) if frames else None
        if columns is None or len(columns.event) > 2:
            return cls()
        rows = pd.concat([_texts(frame, columns.event) for frame in frames], ignore_index=True)
        *variable, column = columns.event
        texts = rows.drop_duplicates().assign(number=lambda each: pd.to_numeric(each[column], errors="coerce"))
        if not variable:
            measured = len(texts) > _MOST_STATES and bool((texts["number"] % 1 > 0).any())
            return cls(column, (), len(texts), 1.0) if measured and _are_numbers(texts["number"]) else cls()
        by_variable = texts.groupby(variable[0])["number"]
        found = [str(name) for name, each in by_variable if len(each) > _MOST_STATES and _are_numbers(each)]
        if not found:
            return cls()
        is_found, is_left = rows[variable[0]].isin(found), texts[variable[0]].isin(found)
        query = "" if is_found.all() else _query(variable[0], found)
        return cls(column, tuple(found), int(is_left.sum()), float(is_found.mean()), query)

    def lines(self) -> list[str]:
        """What is measured, and which option leaves it out."""
        if not self.column:
            return []
        types = count(self.values, "different number")
        of_what = f" of {named(self.variables, 'variable')}" if self.variables else ""
        found = (
            f"{self.column!r} holds measurements{of_what}: {percent(self.share)} of the rows, {types}, each of them an "
            "event type of its own that hardly ever comes again."
        )
        advice = f"Leave them out: `--query {self.query!r}`" if self.query else "Name another event column"
        return [f"{found} {advice}, or write an event where a limit is crossed."]


def _texts(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: text_values(frame[name]) for name in columns}, dtype=object).dropna()


def _are_numbers(numbers: pd.Series) -> bool:
    return bool(numbers.notna().mean() >= _NUMBER_SHARE)


def _query(column: str, names: Sequence[str]) -> str:
    """All but some values of a column; where all of them are numbers, a query compares them as numbers."""
    numbers = pd.to_numeric(pd.Series(names), errors="coerce").dropna()
    is_plain = column.isidentifier() and not iskeyword(column)
    return f"{column if is_plain else f'`{column}`'} not in {[*names, *numbers.tolist()]!r}"
