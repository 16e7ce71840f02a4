"""Which rows of a table belong to which fold; what a run with members remembers of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import SettingsError, TableError
from hf_trace.hub.runs import read_json

FOLDS_FILE = "folds.json"


@dataclass(frozen=True)
class Folds:
    """Equal parts of the rows of a table, at random.

    Attributes:
        folds: How many parts.
        seed: Which random parts.
        rows: Rows of the table.

    Raises:
        SettingsError: If there are fewer than two parts, or fewer rows than parts.

    Example:
        >>> Folds(2, 0, 4).of_rows(4).tolist()
        [1, 0, 0, 1]
    """

    folds: int
    seed: int
    rows: int

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise SettingsError(f"folds is {self.folds}, expected at least 2.")
        if self.rows < self.folds:
            raise SettingsError(
                f"folds is {self.folds}, but the table has {self.rows} rows. Expected fewer folds."
            )

    def of_rows(self, rows: int) -> NDArray[np.int64]:
        """The fold of every row, from 0.

        Raises:
            TableError: If the table has another number of rows than the one the run was trained on.
        """
        if rows != self.rows:
            raise TableError(
                f"The table has {rows:,} rows, the run was trained on {self.rows:,}. Expected that very table, "
                "so that each row is judged by a model that has not seen it."
            )
        order = np.random.default_rng(self.seed).permutation(rows)
        fold = np.empty(rows, dtype=np.int64)
        fold[order] = np.arange(rows) % self.folds
        return fold

    def to_dict(self) -> dict[str, Any]:
        """What ``folds.json`` holds."""
        return asdict(self)

    @classmethod
    def of_run(cls, run: str | PathLike[str]) -> "Folds | None":
        """The folds of a run; None where it has none."""
        document: Mapping[str, Any] = read_json(run, FOLDS_FILE)
        return cls(**document) if document else None
