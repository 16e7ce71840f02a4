"""Rows of a table as codes of a schema's variables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_trace.data.dags.schema import DagSchema


@dataclass(frozen=True)
class DagTable:
    """Observed rows.

    Attributes:
        schema: What the columns mean.
        columns: For every observed variable: codes of finite ones (``int64``), else one text (kind ``"text"``) or one
            tuple of item codes (kind ``"sequence"``) per row.
        weights: How many rows of the population each row stands for.
    """

    schema: DagSchema
    columns: Mapping[str, NDArray[np.int64] | Sequence[Any]]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.weights)

    def select(self, rows: NDArray[Any]) -> "DagTable":
        """The rows with these indices, or where a mask is true."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        columns = {
            name: column[rows] if isinstance(column, np.ndarray) else [column[int(row)] for row in rows]
            for name, column in self.columns.items()
        }
        return DagTable(self.schema, columns, self.weights[rows])
