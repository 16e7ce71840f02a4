"""How sure an effect is: intervals from models that left a part of the rows out, and doubly robust estimates.

Members of a run have each seen all rows but those of a fold. Their disagreement gives an interval to what the run
says (delete-a-group jackknife); on rows they have not seen they give doubly robust estimates (cross-fitting).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.causal.conditionals import Conditionals
from hf_trace.causal.contrasts import Contrast, adjusted_for, differences, row_predictions
from hf_trace.causal.doubly_robust import Estimate, aipw_ate, aipw_att, jackknife, plug_in_ate
from hf_trace.causal.effects import AnswerSettings
from hf_trace.causal.queries import Force
from hf_trace.data.dags.encoding import encode_table
from hf_trace.data.dags.table import DagTable
from hf_trace.data.dags.table_files import read_table
from hf_trace.errors import QueryError, TableError
from hf_trace.hub.dag_folds import Folds
from hf_trace.tokenization.dag_tokenizer import DagTokenizer

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def with_jackknife(
    members: Sequence[Conditionals],
    contrast: Contrast,
    scores: Floats,
    whole: float,
    settings: AnswerSettings,
) -> Estimate | None:
    """The plug-in estimate with an interval; None where the run has fewer than two members."""
    if len(members) < 2:
        return None
    left_out = [differences(member, [contrast], [scores], settings)[0].value for member in members]
    return jackknife(np.array(left_out), whole, rows=settings.training_rows or 0, method="plug-in")


@dataclass(frozen=True)
class RowColumns:
    """What is known and predicted of the rows of a table, one number per row.

    Attributes:
        contrast: What is compared.
        treated: Whether the row got the treatment.
        control: Whether it got the control.
        outcome: The score of its target.
        propensity: Probability of the treatment and of the control, ``[row, 2]``.
        mean: Mean score under each, ``[row, 2]``.
        weights: How much the row counts.
        is_cross_fitted: Whether every row was predicted by a model that has not seen it.
    """

    contrast: Contrast
    treated: NDArray[np.bool_]
    control: NDArray[np.bool_]
    outcome: Floats
    propensity: Floats
    mean: Floats
    weights: Floats
    is_cross_fitted: bool

    @property
    def counted(self) -> Floats:
        """How much each row counts in an average: for effects on the treated only they do."""
        return self.weights * self.treated if self.contrast.kind == "att" else self.weights

    def means(self) -> tuple[float, float]:
        """The outcome model's means under treatment and under control."""
        treated, control = np.average(self.mean, axis=0, weights=self.counted).tolist()
        return treated, control

    def plug_in(self) -> Estimate:
        """The outcome model alone, averaged over the rows, or over the treated ones."""
        return plug_in_ate(self.mean[:, 0], self.mean[:, 1], self.counted)

    def aipw(self) -> Estimate:
        """Right if either propensities or outcome means are."""
        shared = (self.treated, self.control, self.outcome, self.propensity[:, 0], self.propensity[:, 1])
        if self.contrast.kind == "att":
            return aipw_att(*shared, self.mean[:, 1], self.weights)
        return aipw_ate(*shared, self.mean[:, 0], self.mean[:, 1], self.weights)


def row_columns(
    tokenizer: DagTokenizer,
    models: Sequence[Conditionals],
    folds: Folds | None,
    contrast: Contrast,
    scores: Floats,
    data: pd.DataFrame | str | PathLike[str],
    settings: AnswerSettings,
) -> RowColumns:
    """What models say of the rows of a table.

    Args:
        tokenizer: How values are written.
        models: One per fold, or the run's own model alone.
        folds: Which rows each model has not seen; None where one model has seen all.
        contrast: Of one treatment; with ``cate`` the rows are those with what is given.
        scores: What every value of the target counts as; rows where that is NaN are left out.
        data: The training table.
        settings: See ``AnswerSettings``.

    Raises:
        TableError: If the table is not the one the run was trained on, or no row has what is given.
    """
    frame = data if isinstance(data, pd.DataFrame) else read_table(data)
    table = encode_table(tokenizer.schema, frame)
    fold = np.zeros(len(table), dtype=np.int64) if folds is None else folds.of_rows(len(table))
    kept = _rows_that_count(table, tokenizer, models[0], contrast, scores)
    table, fold = table.select(kept), fold[kept]
    (treatment,) = contrast.query.do
    propensity, mean = np.empty((len(table), 2)), np.empty((len(table), 2))
    for number, model in enumerate(models):
        mine = fold == number
        if mine.any():
            names = adjusted_for(model, contrast)
            columns = {name: coded(tokenizer, model, table.select(mine), name) for name in names}
            found = row_predictions(model, columns, contrast, scores, settings)
            propensity[mine], mean[mine] = found.propensity, found.mean
    received = np.asarray(table.columns[treatment])
    arm = contrast.query.do[treatment]
    return RowColumns(
        contrast,
        treated=received == (arm.code if isinstance(arm, Force) else -1),
        control=received == contrast.control[treatment],
        outcome=scores[np.asarray(table.columns[contrast.query.target])],
        propensity=propensity,
        mean=mean,
        weights=table.weights,
        is_cross_fitted=folds is not None,
    )


def coded(tokenizer: DagTokenizer, conditionals: Conditionals, table: DagTable, name: str) -> Codes:
    """Codes of a column as a model counts its values."""
    if tokenizer.variables[name].is_finite:
        return np.asarray(table.columns[name])
    contents = tokenizer.contents(table, name)
    return np.array([conditionals.code(name, tuple(content)) for content in contents], dtype=np.int64)


def _rows_that_count(
    table: DagTable, tokenizer: DagTokenizer, model: Conditionals, contrast: Contrast, scores: Floats
) -> NDArray[np.bool_]:
    """Rows with an outcome and, for subgroups, with what is given."""
    kept = ~np.isnan(scores[np.asarray(table.columns[contrast.query.target])])
    before = set(adjusted_for(model, contrast))
    for name, code in contrast.query.given.items():
        if name not in before:
            raise QueryError(
                f"{name!r} does not come before the treatment, so it defines no subgroup for a doubly robust estimate. "
                "Expected a variable before it, or estimator 'plug-in'."
            )
        kept &= coded(tokenizer, model, table, name) == code
    if not kept.any():
        raise TableError("No row of the table has what is given. Expected at least one; give less.")
    return np.asarray(kept)


def shown_estimate(estimate: Estimate) -> dict[str, Any]:
    """An estimate as a mapping; what is not known is left out."""
    return {name: value for name, value in asdict(estimate).items() if value is not None}
