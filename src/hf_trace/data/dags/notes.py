"""What is doubtful about a table, in words a user can act on. Nothing here refuses anything."""

import numpy as np

from hf_trace.data.dags.table import DagTable
from hf_trace.data.dags.variables import Variable
from hf_trace.errors import preview


def table_notes(table: DagTable) -> list[str]:
    """Say which variables never vary and which values are too rare to learn from.

    Returns:
        One line per doubt; empty if there is none.

    Example:
        >>> from hf_trace.data.dags.schema import DagSchema
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
