"""Further models of a run, each trained on another sample or without a fold: how sure the run can be."""

from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hf_trace.checks import whole
from hf_trace.documents import Document
from hf_trace.errors import ModelLoadError, SettingsError, TableError, preview
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.doors import trusts
from hf_trace.runs.folders import load_model, read_json, run_of
from hf_trace.runs.world_model import WorldModel

MEMBERS = "members"
FOLDS_FILE = "folds.json"
_FURTHEST_SEED = 2**31


def member_seed(seed: int, number: int) -> int:
    """Seed of a further oracle: of its sample, its weights and its order; 0 is the run itself.

    Example:
        >>> member_seed(7, 0), member_seed(7, 1) == member_seed(7, 2)
        (7, False)
    """
    return seed if number == 0 else int(np.random.default_rng([seed, number]).integers(_FURTHEST_SEED))


def member_folders(run: str | PathLike[str]) -> list[Path]:
    """Folders of the further oracles of a run, by number; none where it has only one."""
    found = [path for path in (Path(run) / MEMBERS).glob("*") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def load_members(model: PreTrainedModel, *, memory: str | float | None = None, compiled: bool = False) -> list[Oracle]:
    """The further oracles of the run a model was loaded from, in its precision and on its device."""
    run, trust = run_of(model, members=True), trusts(model)
    folders = member_folders(run) if run else []
    loaded = [load_model(folder, device=model.device, trust_remote_code=trust) for folder in folders]
    return [Oracle(member.to(model.dtype), memory=memory, compiled=compiled) for member in loaded]


def confidence_warning(model: PreTrainedModel, oracles: int) -> str | None:
    """What to tell a user about confidence from a single trained oracle; None where it can be believed."""
    if oracles > 1 or isinstance(model, WorldModel):
        return None
    return (
        "Confidence counts the error of the draws alone: this run has one oracle, and how far training misled it is "
        "not known. Expect more false edges than asked for, or train with `--ensemble 5`."
    )


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
        whole("folds", self.folds, least=2)
        if self.rows < self.folds:
            raise SettingsError(f"folds is {self.folds}, but the table has {self.rows} rows. Expected fewer folds.")

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

    def to_dict(self) -> Document:
        """What ``folds.json`` holds."""
        return asdict(self)

    @classmethod
    def of_run(cls, run: str | PathLike[str]) -> "Folds | None":
        """The folds of a run; None where it has none.

        Raises:
            ModelLoadError: If its ``folds.json`` is damaged.
        """
        document = read_json(run, FOLDS_FILE)
        if document and set(document) != {"folds", "seed", "rows"}:
            raise ModelLoadError(
                f"{FOLDS_FILE} of the run '{run}' holds {preview(document)}, expected folds, seed, rows."
            )
        return cls(**document) if document else None
