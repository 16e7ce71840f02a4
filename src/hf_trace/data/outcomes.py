"""Labels of whole sequences, written as one more event at their end: ``outcome:label=anomalous``.

Written so, an outcome is learned and asked about like any other event.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.data.columns import text_values
from hf_trace.errors import ColumnError

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
