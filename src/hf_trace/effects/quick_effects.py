"""Effects from rows without a language model, in milliseconds: regressions, or counts where a formula is asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from hf_trace.effects.doubly_robust import Estimate, Rows, aipw_ate, aipw_att
from hf_trace.effects.identification import Identification
from hf_trace.effects.identifying.estimands import evaluated, variables_of
from hf_trace.errors import OverlapError, QueryError
from hf_trace.options import SEED
from hf_trace.tables.encoding import DagTable

_MOST_CELLS = 64
_ROWS_A_CELL = 30
_MOST_COUNTED = 1_000_000
Numbers = Float[np.ndarray, " row"]
Flags = Bool[np.ndarray, " row"]
Matrix = Float[np.ndarray, "row column"]
Extra = Float[np.ndarray, "row extra"]


@dataclass(frozen=True)
class Compared:
    """Rows in which two values of a treatment are compared.

    Attributes:
        table: The rows.
        target: The variable that the outcome is of.
        treatment: The treatment.
        arms: Codes of its values, treated first.
        scores: What every value of the target counts as.
        outcome: What the target counts as in every row.
        kind: ``"ate"`` or ``"att"``.
        extra: Further columns to adjust for, ``[row, column]``.
        everyone: All rows of the table, where these are some of them, such as a group; None where they are all.
    """

    table: DagTable
    target: str
    treatment: str
    arms: tuple[int, int]
    scores: Float[np.ndarray, " value"]
    outcome: Numbers
    kind: str = "ate"
    extra: Extra | None = None
    everyone: DagTable | None = None

    @property
    def received(self) -> NDArray[np.int64]:
        """The treatment of every row."""
        return np.asarray(self.table.columns[self.treatment])

    def select(self, rows: NDArray[np.int64]) -> "Compared":
        """Some of the rows."""
        extra = None if self.extra is None else self.extra[rows]
        return replace(self, table=self.table.select(rows), outcome=self.outcome[rows], extra=extra)

    def with_treatment(self, codes: NDArray[np.int64]) -> "Compared":
        """The same rows with other treatments."""
        columns = {**self.table.columns, self.treatment: codes}
        return replace(self, table=replace(self.table, columns=columns))


def features(table: DagTable, names: Sequence[str], extra: Extra | None = None) -> Matrix:
    """Columns that regressions adjust for variables by: their combinations where these are few, else one by one.

    Args:
        table: The rows.
        names: Finite variables; numbers stand with their squares beside their bins.
        extra: Further columns.

    Returns:
        Columns, the first of them 1.

    Example:
        >>> from hf_trace.tables.schema import DagSchema
        >>> from hf_trace.tables.variables import Variable
        >>> schema = DagSchema((Variable("x", values=("a", "b")),))
        >>> features(DagTable(schema, {"x": np.array([0, 1])}, np.ones(2)), ["x"]).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    codes = [np.asarray(table.columns[name]) for name in names]
    sizes = [len(table.schema[name].values) for name in names]
    parts = [np.ones((len(table), 1))]
    if math.prod(sizes) <= min(_MOST_CELLS, len(table) / _ROWS_A_CELL) and names:
        codes, sizes = [np.ravel_multi_index(codes, sizes)], [math.prod(sizes)]
    parts += [np.eye(size)[code][:, 1:] for code, size in zip(codes, sizes, strict=True)]
    for name in names:
        if name in table.numbers:
            number = table.numbers[name]
            number = np.nan_to_num((number - np.nanmean(number)) / (np.nanstd(number) or 1.0))
            parts.append(np.stack([number, number**2], axis=1))
    return np.concatenate([*parts, *([] if extra is None else [extra])], axis=1)


def least_squares(
    design: Matrix, outcomes: Float[np.ndarray, "row outcome"], weights: Numbers, penalty: float = 1.0
) -> Float[np.ndarray, "column outcome"]:
    """Coefficients of several outcomes; each is drawn to 0 as ``penalty`` rows would, except the first.

    Example:
        >>> least_squares(np.ones((2, 1)), np.array([[1.0], [3.0]]), np.ones(2)).round(6).tolist()
        [[2.0]]
    """
    ridge = penalty * np.eye(design.shape[1])
    ridge[0, 0] = 0.0
    weighted = design * weights[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ design + ridge, weighted.T @ outcomes))


def quick_effect(rows: Compared, found: Identification, seed: int = SEED.default, *, resampled: int = 40) -> Estimate:
    """The effect of a treatment by what identifies it: adjustment by two regressions, or a formula by counts.

    Adjustment is doubly robust (AIPW), each half of the rows with regressions fitted on the other. A formula is
    evaluated on the shares of all combinations of values, and its error is that of rows drawn anew.

    Args:
        rows: What is compared.
        found: How the effect is identified.
        seed: Of the halves and of the rows drawn anew.
        resampled: How often these are drawn; below 2 the error of a formula is not told.

    Raises:
        OverlapError: If a group is empty.
        QueryError: If what is adjusted for is not finite, or has too many combinations for a formula.
    """
    if found.estimand is not None:
        return _counted(rows, found, seed, resampled)
    names = found.adjustment.get(rows.treatment, ())
    if endless := [name for name in names if not rows.table.schema[name].is_finite]:
        raise QueryError(f"{endless[0]!r} is adjusted for and has no listed values: there is no quick estimate.")
    received, weights = rows.received, rows.table.weights
    arms = [received == code for code in rows.arms]
    design = features(rows.table, names, rows.extra)
    half = np.random.default_rng(seed).permutation(len(received)) % 2
    propensity, mean = np.empty((len(received), 2)), np.empty((len(received), 2))
    for number in range(2):
        mine, others = half == number, half != number
        for arm, flags in enumerate(arms):
            fitted = others & flags
            if not fitted.any():
                raise OverlapError("A half of the rows has none that is treated, or none that is not.")
            solved = least_squares(design[fitted], rows.outcome[fitted, None], weights[fitted])
            mean[mine, arm] = (design[mine] @ solved)[:, 0]
            if arm and (arms[0] | flags).all():  # no third value
                propensity[mine, 1] = 1.0 - propensity[mine, 0]
            else:
                propensity[mine, arm] = _shares(design, flags, weights, others)[mine]
    prepared = Rows(arms[0], arms[1], rows.outcome, np.maximum(propensity, 1e-6), mean, weights)
    return (aipw_att if rows.kind == "att" else aipw_ate)(prepared)


def _shares(design: Matrix, flags: Flags, weights: Numbers, fitted: Flags) -> Numbers:
    """How probable a value of the treatment is in every row, by a logistic regression on the fitted ones."""
    if design.shape[1] == 1 or flags[fitted].all():
        return np.full(len(design), np.average(flags[fitted], weights=weights[fitted]))
    model = LogisticRegression(max_iter=500).fit(design[fitted][:, 1:], flags[fitted], weights[fitted])
    return np.asarray(model.predict_proba(design[:, 1:])[:, 1])


def _counted(rows: Compared, found: Identification, seed: int, resampled: int) -> Estimate:
    if found.estimand is None or rows.kind != "ate":
        raise QueryError("By a formula only effects over everybody (ate) are estimated quickly.")
    involved = variables_of(found.estimand) | {rows.target, rows.treatment}
    names = [name for name in found.order if name in involved]
    sizes = [len(rows.table.schema[name].values) for name in names]
    if math.prod(sizes) > _MOST_COUNTED or not all(sizes):
        raise QueryError(f"The formula has {math.prod(sizes):.1e} combinations of values: too many to count.")
    cells = np.ravel_multi_index([np.asarray(rows.table.columns[name]) for name in names], sizes)
    counts = np.bincount(cells, rows.table.weights, minlength=math.prod(sizes))
    value = _of_shares(rows, found, names, counts.reshape(sizes))
    total, generator = len(rows.outcome), np.random.default_rng(seed)
    drawn = generator.multinomial(total, counts / counts.sum(), size=resampled).reshape(-1, *sizes)
    again = [_of_shares(rows, found, names, each) for each in drawn]
    error = float(np.std(again, ddof=1)) if resampled > 1 else math.nan
    return Estimate(value, error, value - 1.96 * error, value + 1.96 * error, total, "counts", float(total))


def _of_shares(rows: Compared, found: Identification, names: list[str], counts: NDArray[Any]) -> float:
    if found.estimand is None:
        raise ValueError("There is no formula, expected one.")
    values = evaluated(found.estimand, counts / counts.sum(), names)
    shape = [
        size if name in (rows.target, rows.treatment) else 1 for name, size in zip(names, counts.shape, strict=True)
    ]
    table = np.broadcast_to(values, shape).squeeze(tuple(axis for axis, size in enumerate(shape) if size == 1))
    table = table if names.index(rows.treatment) < names.index(rows.target) else table.T
    means = table @ rows.scores / np.maximum(table.sum(axis=1), 1e-300)
    return float(means[rows.arms[0]] - means[rows.arms[1]])


def effect_given(found: Identification, rows: Compared, flags: Sequence[Flags], seed: int = SEED.default) -> float:
    """The effect within groups of rows, averaged with how many rows they have.

    Args:
        found: How the effect is identified.
        rows: All rows.
        flags: The rows of each group.
        seed: See ``quick_effect``.
    """
    parts = [quick_effect(rows.select(np.flatnonzero(each)), found, seed, resampled=0) for each in flags]
    shares = np.array([each.sum() for each in flags]) / len(rows.outcome)
    return float(shares @ [each.value for each in parts])
