"""What every amount of a treatment does, doubly robust: a curve with an interval from the rows of a table."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar, nnls
from scipy.stats import gaussian_kde, t
from sklearn.ensemble import HistGradientBoostingRegressor

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.conditionals import Codes, Floats
from hf_trace.effects.contrasts import ArmRows, arm_rows
from hf_trace.effects.dose_response import Dose
from hf_trace.effects.doubly_robust import LEVEL, Numbers
from hf_trace.effects.queries import Force, Query
from hf_trace.effects.quick_effects import features, least_squares
from hf_trace.effects.regimes.policy_values import policy_rows, policy_value
from hf_trace.effects.table_model import TableModel
from hf_trace.errors import QueryError
from hf_trace.tables.variables import Variable

Points = Float[np.ndarray, " point"]
Matrix = Float[np.ndarray, "row column"]
# Parts of the rows where the run has no folds; rows that a bandwidth is chosen on, and that means are taken over.
_PARTS, _TRIED, _AVERAGED = 5, 1_500, 500
_POINTS, _BANDWIDTHS, _LEAST_RATIO = 41, 12, 0.05
_TREES: dict[str, Any] = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}


@dataclass(frozen=True)
class DoseRows:
    """What is known and predicted of rows that each had an amount of a treatment.

    Attributes:
        dose: A, in the unit of the table.
        outcome: Y.
        mean: E[Y | A, x] at the dose of the row, from models fitted on other rows.
        ratio: How much likelier the dose is for the row than for rows at large, p(A | x) / p(A).
        points: Doses at which means over the rows are known, in ascending order.
        averaged: E over rows of E[Y | a, x], at each point.
        spread: Variance of that mean, as which rows were sampled makes it, at each point.
        weights: How much each row counts.
    """

    dose: Numbers
    outcome: Numbers
    mean: Numbers
    ratio: Numbers
    points: Points
    averaged: Points
    spread: Points
    weights: Numbers

    @property
    def pseudo_outcome(self) -> Numbers:
        r"""What the regression on the dose is of: :math:`(Y - m(A, x))\, p(A) / p(A \mid x) + \bar m(A)`."""
        further = (self.outcome - self.mean) / np.maximum(self.ratio, _LEAST_RATIO)
        return np.asarray(further + np.interp(self.dose, self.points, self.averaged))


@dataclass(frozen=True)
class Curve:
    """Means under doses, ``[dose]``, and the ends of their pointwise 95 % intervals."""

    mean: Points
    low: Points
    high: Points


def dose_curve(rows: DoseRows, doses: Points) -> Curve:
    r"""The mean outcome where everybody has a dose, by a local regression of a pseudo-outcome on the dose.

    That averages the curve where either the means or the ratios are right (Kennedy, Ma, McHugh and Small
    2017, doi:10.1111/rssb.12212). The bandwidth is that of a local linear regression, chosen by leaving out one row
    after another; at it a local quadratic one is fitted, whose bias is small beside its error (Calonico, Cattaneo and
    Farrell 2018, doi:10.1080/01621459.2017.1285776). Intervals are pointwise: each dose is held in 95 of 100 tables.

    Args:
        rows: Of a table.
        doses: Where to say it, within the range of the doses of the rows.

    Example:
        >>> dose = np.linspace(0, 1, 201)
        >>> flat = np.zeros(201)
        >>> one = flat + 1  # chance alone gave the doses, and what is said of the means, 0, is wrong
        >>> rows = DoseRows(dose, dose**2, flat, one, dose, flat, flat, one)
        >>> dose_curve(rows, np.array([0.25, 0.5])).mean.round(6).tolist()
        [0.0625, 0.25]
    """
    outcome = rows.pseudo_outcome
    width = _bandwidth(rows, outcome)
    mean, reach = np.empty((2, len(doses)))
    for place, dose in enumerate(doses):
        pulls = _pulls(rows, dose, width)
        fitted = pulls @ outcome
        mean[place] = fitted[0]
        powers = (rows.dose - dose) ** np.arange(3)[:, None]
        # What a row that pulls its own mean along leaves unexplained looks too small (MacKinnon and White 1985, HC3).
        missed = (outcome - fitted @ powers) / np.maximum(1 - (powers * pulls).sum(axis=0), 0.1)
        squares = (pulls[0] * missed) ** 2
        variance = squares.sum()
        # Few rows that count much tell less of the error than their number says, as in other doubly robust estimates.
        spread = (squares**2).sum() - variance**2 / len(squares)
        freedom = max(1.0, 2 * variance**2 / spread) if spread > 0 and variance > 0 else np.inf
        error = np.sqrt(variance + np.interp(dose, rows.points, rows.spread))
        reach[place] = t.ppf((1 + LEVEL) / 2, freedom) * error
    return Curve(mean, mean - reach, mean + reach)


def _pulls(rows: DoseRows, point: float, width: float) -> Float[np.ndarray, "3 row"]:
    """What each row contributes to the coefficients of a quadratic around a point."""
    apart = (rows.dose - point) / width
    kernel = np.exp(-(apart**2) / 2) * rows.weights
    powers = apart ** np.arange(3)[:, None]
    solved = np.linalg.pinv(powers * kernel @ powers.T, hermitian=True) @ (powers * kernel)
    return np.asarray(solved / width ** np.arange(3)[:, None])


def _bandwidth(rows: DoseRows, outcome: Numbers) -> float:
    """The width of the kernel with which rows are predicted best by the others, for as many rows as there are."""
    some = np.random.default_rng(0).permutation(len(rows.dose))[:_TRIED]
    dose, known, weights = rows.dose[some], outcome[some], rows.weights[some]
    apart = dose[:, None] - dose

    def missed(width: float) -> float:
        kernel = np.exp(-((apart / width) ** 2) / 2) * weights
        first, second = ((kernel * apart**power).sum(axis=1, keepdims=True) for power in (1, 2))
        pulls = kernel * (second - apart * first)
        pulls = pulls / np.maximum(pulls.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        own = np.minimum(np.diag(pulls), 1 - 1e-6)
        return float(weights @ ((known - pulls @ known) / (1 - own)) ** 2)

    widths = np.ptp(np.quantile(dose, [0.05, 0.95])) * np.geomspace(0.02, 1.0, _BANDWIDTHS)
    return float(min(widths, key=missed) * (len(some) / len(rows.dose)) ** 0.2)


def doses_on_rows(
    model: TableModel, query: Query, treatment: str, scores: Floats, data: Any, estimator: str, settings: AnswerSettings
) -> list[Dose]:
    """The mean outcome under every value of a treatment, doubly robust: of a number at the mean of each bin.

    Args:
        model: Of the rows.
        query: The question, with any value of the treatment, which is all that is done.
        treatment: Its name; a missing value is no dose.
        scores: What every value of the target counts as.
        data: The training table.
        estimator: ``"aipw"``, or of a treatment without numbers ``"tmle"``.
        settings: See ``AnswerSettings``.

    Raises:
        QueryError: If more is done, there is nothing to adjust by, or the estimator is not one for amounts.
        TableError: If the table is not the one the run was trained on, or no row has what is given.
        OverlapError: If nobody had one of the values.
    """
    variable = model.schema[treatment]
    codes = range(len(variable.values) - variable.has_missing)
    if variable.kind != "numeric" or not variable.means:
        rows = policy_rows(model, query, [Force(code) for code in codes], scores, data, settings)
        found = [policy_value(replace(rows, shares=(share,)), targeted=estimator == "tmle") for share in rows.shares]
        return [
            Dose(
                variable.values[code],
                None if variable.numbers is None else float(variable.numbers[code]),
                each.value,
                float(np.average(chance, weights=rows.weights)),
                each.low,
                each.high,
            )
            for code, each, chance in zip(codes, found, rows.propensity.T, strict=True)
        ]
    if estimator != "aipw":
        raise QueryError(f"{treatment!r} is an amount, and its curve is estimated by 'aipw'. Expected that estimator.")
    arms = arm_rows(model, query, codes, scores, data, settings)
    middles = np.asarray(variable.means[: len(codes)], dtype=float)
    curve = dose_curve(dose_rows(arms, variable), middles)
    chances = np.average(arms.propensity, axis=0, weights=arms.table.weights)
    told = np.stack([middles, curve.mean, chances, curve.low, curve.high], axis=1).tolist()
    return [Dose(variable.values[code], *numbers) for code, numbers in zip(codes, told, strict=True)]


def dose_rows(arms: ArmRows, treatment: Variable) -> DoseRows:
    """Rows whose treatment is a number, with means and densities that have not seen them.

    Means are a mixture: of what the model says of the bins, interpolated between them; of that, moved by a regression
    on what is adjusted for and on the dose; and of boosted trees. Densities are one of the model's shares of bins, even
    within them, and of a regression with residuals that are alike everywhere. Both mixtures are those that predict rows
    best that were left out.

    Args:
        arms: Under each bin of the treatment.
        treatment: With its bins.

    Raises:
        QueryError: If what is adjusted for has no listed values.
    """
    schema = arms.table.schema
    if endless := [name for name in arms.names if not schema[name].is_finite]:
        raise QueryError(f"{endless[0]!r} is adjusted for and has no listed values: expected estimator 'plug-in'.")
    arms = arms.select(np.flatnonzero(np.isfinite(arms.table.numbers[treatment.name])))
    dose, rows = arms.table.numbers[treatment.name], len(arms.table)
    fold = np.random.default_rng(0).permutation(rows) % _PARTS if arms.fold is None else arms.fold
    design = features(arms.table, arms.names)
    points = np.unique(np.quantile(dose, np.linspace(0, 1, _POINTS)))
    some = np.random.default_rng(1).permutation(rows)[:_AVERAGED]
    asked, at = np.append(np.arange(rows), np.tile(some, len(points))), np.append(dose, np.repeat(points, len(some)))
    found = np.empty((len(asked), 3))
    for part in np.unique(fold):
        mine = fold[asked] == part
        found[mine] = _learned(arms, design, treatment, np.flatnonzero(fold != part))(asked[mine], at[mine])
    shares, _ = nnls(found[:rows], arms.outcome)
    expected = found @ (shares / shares.sum() if shares.any() else np.eye(3)[0])
    everywhere, weights = expected[rows:].reshape(len(points), len(some)), arms.table.weights
    return DoseRows(
        dose, arms.outcome, expected[:rows], _ratios(arms, design, treatment, fold), points,
        np.average(everywhere, axis=1, weights=weights[some]), everywhere.var(axis=1) / rows, weights,
    )  # fmt: skip


def _learned(
    arms: ArmRows, design: Matrix, treatment: Variable, seen: Codes
) -> Callable[[Codes, Numbers], Float[np.ndarray, "asked 3"]]:
    """What each way that was learned from some rows says of rows at doses."""
    dose, middles = arms.table.numbers[treatment.name], np.asarray(treatment.means[: len(arms.arms)])
    outcome, weights = arms.outcome[seen], arms.table.weights[seen]

    def columns(rows: Codes, at: Numbers) -> tuple[Floats, Floats, Floats]:
        said = _between(arms.mean[rows], middles, at)
        bends = np.maximum(at[:, None] - middles, 0) / np.ptp(middles)
        return (
            said,
            np.column_stack([design[rows], at / np.ptp(middles), bends]),
            np.column_stack([design[rows], at, said]),
        )

    said, bent, read = columns(seen, dose[seen])
    solved = least_squares(bent, (outcome - said)[:, None], weights)[:, 0]
    trees = HistGradientBoostingRegressor(**_TREES).fit(read, outcome, weights)

    def say(rows: Codes, at: Numbers) -> Float[np.ndarray, "asked 3"]:
        said, bent, read = columns(rows, at)
        return np.column_stack([said, said + bent @ solved, trees.predict(read)])

    return say


def _between(means: Matrix, middles: Points, dose: Numbers) -> Numbers:
    """What is said of bins, between their middles; beyond the outer ones what is said of these."""
    place = np.clip(np.searchsorted(middles, dose) - 1, 0, len(middles) - 2)
    share = np.clip((dose - middles[place]) / (middles[place + 1] - middles[place]), 0, 1)
    rows = np.arange(len(dose))
    return np.asarray((1 - share) * means[rows, place] + share * means[rows, place + 1])


def _ratios(arms: ArmRows, design: Matrix, treatment: Variable, fold: Codes) -> Numbers:
    """How much likelier each row's dose is for it than for rows at large."""
    dose, weights = arms.table.numbers[treatment.name], arms.table.weights
    bins, ends = np.asarray(arms.table.columns[treatment.name]), [dose.min(), *treatment.edges, dose.max()]
    even = arms.propensity / np.maximum(np.diff(ends), np.finfo(float).tiny)
    of_bins = even[np.arange(len(dose)), bins], np.average(even, axis=0, weights=weights)[bins]
    of_residuals = _residual_densities(design, dose, weights, fold)

    def surprise(share: float) -> float:
        mixed = share * of_bins[0] + (1 - share) * of_residuals[0]
        return -float(weights @ np.log(np.maximum(mixed, np.finfo(float).tiny)))

    share = float(minimize_scalar(surprise, bounds=(0.0, 1.0), method="bounded").x)
    own, overall = (share * one + (1 - share) * other for one, other in zip(of_bins, of_residuals, strict=True))
    return np.asarray(own / np.maximum(overall, np.finfo(float).tiny))


def _residual_densities(design: Matrix, dose: Numbers, weights: Numbers, fold: Codes) -> tuple[Numbers, Numbers]:
    """Density of each row's dose by a regression that has not seen it: for the row itself, and for rows at large."""
    expected = np.empty(len(dose))
    for part in np.unique(fold):
        seen = fold != part
        expected[~seen] = (design[~seen] @ least_squares(design[seen], dose[seen, None], weights[seen]))[:, 0]
    residuals = dose - expected
    reach = 1.5 * np.abs(residuals).max()
    places = np.linspace(-reach, reach, 401)
    heights = gaussian_kde(residuals, weights=weights)(places)
    points = np.linspace(dose.min(), dose.max(), 101)
    overall = [np.average(np.interp(point - expected, places, heights, 0, 0), weights=weights) for point in points]
    return np.interp(residuals, places, heights), np.interp(dose, points, overall)
