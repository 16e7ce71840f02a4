"""Effects of a discrete treatment from a table, robust to one of two wrong models."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import norm, t

from hf_trace.errors import NonFiniteError, OverlapError, QueryError

LEVEL = 0.95
FLOOR = 0.01
# A row counts for twenty at most, unless the rows tell that this moves the effect on everybody.
STEADY = 0.05
Numbers = Float[np.ndarray, " row"]
Pairs = Float[np.ndarray, "row 2"]
Flags = Bool[np.ndarray, " row"]


class PropensityOverlap(NamedTuple):
    """How well both values of the treatment are represented everywhere.

    Attributes:
        smallest: The smallest propensity that an estimate divides by, before any clipping.
        below_floor: Share of rows with one below ``Rows.floor``, as which it then counts.
    """

    smallest: float
    below_floor: float


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: In the unit of the outcome.
        standard_error: Of the value, in the same unit.
        low: Lower end of the interval.
        high: Upper end.
        rows: Rows behind it.
        method: How it was computed, for example ``"aipw"``.
        effective_rows: How many rows of equal weight they are worth: (sum w)² / sum w².
        overlap: Propensities met; None if the method uses none.
        binning_error: How far the value is off because the model reads numbers in bins, as far as that is known; the
            interval reaches as far as it would without.
        means: Outcome under treatment and under control, whose difference the value is; None if the method has none.
    """

    value: float
    standard_error: float
    low: float
    high: float
    rows: int
    method: str
    effective_rows: float
    overlap: PropensityOverlap | None = None
    binning_error: float | None = None
    means: tuple[float, float] | None = None

    def with_binning(self, error: float | None) -> "Estimate":
        """The same value, with an interval that also holds where it would be without an error of binning.

        Args:
            error: The value minus what it would be; None where that is not known.

        Example:
            >>> wider = Estimate(1.5, 0.1, 1.3, 1.7, 100, "plug-in", 100.0).with_binning(-0.5)
            >>> wider.value, wider.low, wider.high
            (1.5, 1.3, 2.2)
        """
        moved = error or 0.0
        low, high = min(self.low, self.low - moved), max(self.high, self.high - moved)
        return replace(self, low=low, high=high, binning_error=error)


@dataclass(frozen=True)
class Rows:
    """What is known and predicted of the rows of a table.

    Attributes:
        treated: Whether the row got a1.
        control: Whether it got a0; rows with neither are of other values of the treatment.
        outcome: Y.
        propensity: p(a1 | x) and p(a0 | x), ``[row, 2]``, from a model fitted on other rows.
        mean: E[Y | a1, x] and E[Y | a0, x], ``[row, 2]``, from a model fitted on other rows.
        weights: How much each row counts; equally by default.
        doubts: How far other predictions are from the means, each times the root of how much it is believed,
            ``[row, 2, prediction]``; none by default.

    Raises:
        NonFiniteError: If a number is NaN or infinite.
        QueryError: If the columns do not fit together.
    """

    treated: Flags
    control: Flags
    outcome: Numbers
    propensity: Pairs
    mean: Pairs
    weights: Numbers = field(default_factory=lambda: np.empty(0))
    doubts: Float[np.ndarray, "row 2 prediction"] = field(default_factory=lambda: np.empty((0, 2, 0)))

    def __post_init__(self) -> None:
        if not len(self.weights):
            object.__setattr__(self, "weights", np.ones(len(self.outcome)))
        if not len(self.doubts):
            object.__setattr__(self, "doubts", np.empty((len(self.outcome), 2, 0)))
        columns = (self.treated, self.control, self.outcome, self.propensity, self.mean, self.weights, self.doubts)
        if len(lengths := {len(column) for column in columns}) > 1:
            raise QueryError(f"The columns have {' and '.join(map(str, sorted(lengths)))} rows, expected one length.")
        _check_finite(*columns)
        if (self.weights < 0).any() or not self.weights.sum() > 0:
            raise QueryError("Weights are negative or all 0, expected at least one above 0 and none below.")

    @property
    def floor(self) -> float:
        r"""What smaller propensities count as: ``FLOOR``, but less where rows are many.

        .. math:: 5 / (\sqrt n \log n)

        of n rows (Gruber et al. 2022, doi:10.1093/aje/kwac087): a treatment that one row in two hundred gets is seen
        often enough in a hundred thousand.
        """
        rows = int((self.weights > 0).sum())
        return min(FLOOR, 5 / (np.sqrt(rows) * np.log(rows))) if rows > 1 else FLOOR

    def only_treated(self) -> "Rows":
        """The rows where only the treated count."""
        return replace(self, weights=self.weights * self.treated)

    def check_compared(self) -> None:
        """Refuse groups that cannot be compared.

        Raises:
            OverlapError: If a group is empty.
            QueryError: If a row is in both.
        """
        if both := int((self.treated & self.control).sum()):
            raise QueryError(
                f"{both} rows are both treated and control, expected none. Compare two different values of the "
                "treatment."
            )
        for name, received in (("treated", self.treated), ("control", self.control)):
            if not self.weights[received].sum() > 0:
                raise OverlapError(
                    f"None of {len(self.outcome)} rows is {name}, expected some of both. "
                    "Compare values of the treatment that occur in the data."
                )

    def overlap(self, *arms: int) -> PropensityOverlap:
        """Of the rows that count, where propensities of these arms (0: a1, 1: a0) are divided by.

        Raises:
            OverlapError: If one is 0.
        """
        counts = self.weights > 0
        smallest = self.propensity[counts][:, arms].min(axis=1)
        if not smallest.min() > 0:
            raise OverlapError(
                f"{int((smallest <= 0).sum())} of {len(smallest)} rows have a propensity of 0, expected more: there "
                "the treatment never takes a value that is compared. Ask about rows where both values occur."
            )
        below = float(np.average(smallest < self.floor, weights=self.weights[counts]))
        return PropensityOverlap(float(smallest.min()), below)


def aipw_ate(rows: Rows) -> Estimate:
    r"""Average treatment effect E[Y | do(a1)] - E[Y | do(a0)] over all rows.

    .. math:: \hat\tau = \mathbb{E}_n\Big[m_1 - m_0 + \frac{1\{A = a_1\}}{e_1} (Y - m_1)
        - \frac{1\{A = a_0\}}{e_0} (Y - m_0)\Big]

    See ``steadied`` for what small propensities count as, and for the interval.

    Raises:
        OverlapError: If a group is empty or a propensity is 0.
        QueryError: If a row is in both groups.

    Example:
        >>> treated, outcome = np.array([True, True, False, False]), np.array([3.0, 5.0, 1.0, 1.0])
        >>> found = aipw_ate(Rows(treated, ~treated, outcome, np.full((4, 2), 0.5), np.tile([4.0, 1.0], (4, 1))))
        >>> found.value, found.overlap  # both means are right: 4 - 1
        (3.0, PropensityOverlap(smallest=0.5, below_floor=0.0))
    """
    return steadied(rows, _aipw_from)


def steadied(rows: Rows, estimate: Callable[[Rows, float], Estimate]) -> Estimate:
    r"""An effect on everybody where some rows hardly ever have one of the values compared.

    Propensities below ``STEADY`` count as that, unless AIPW with all of them as they are differs by more than chance
    (its 95 % interval of the difference excludes 0): a few rows that stand for hundreds add more error than they take
    away. The interval is as long as with all as they are, whose value it reaches to, and longer by what is not known
    where rows say little, the part :math:`1 - e / \max(e, \text{floor})` of every row that only the means speak of:

    .. math:: \sum_a \sum_k s_k \, \mathbb{E}_n\big[(1 - e_a / \max(e_a, \text{floor})) (m_a^k - m_a)\big]^2

    over other predictions k of the means and how much each is believed (Hoeting et al. 1999,
    doi:10.1214/ss/1009212519). Propensities that not one row in the table would have count as one row.

    Args:
        rows: Of the table.
        estimate: Takes rows and what smaller propensities count as.

    Raises:
        OverlapError: If a group is empty or a propensity is 0.
        QueryError: If a row is in both groups.
    """
    rows.check_compared()
    least = min(STEADY, 1 / int((rows.weights > 0).sum()))
    if rows.overlap(0, 1).smallest >= STEADY:
        return estimate(rows, least)
    moved = difference(_everybody(rows, STEADY), _everybody(rows, least), rows.weights, "difference")
    floor = STEADY if moved.low <= 0 <= moved.high else least
    found, whole = estimate(rows, floor), estimate(rows, least)
    doubt = _doubt(rows, floor)
    reach = float(np.hypot(whole.high - whole.value, norm.ppf((1 + LEVEL) / 2) * doubt))
    low, high = sorted((found.value, whole.value))
    error = float(np.hypot(whole.standard_error, doubt))
    return replace(found, standard_error=error, low=low - reach, high=high + reach)


def _everybody(rows: Rows, floor: float) -> Numbers:
    """What each row contributes to the effect on everybody."""
    first, second = arm_scores(rows, floor)
    return np.asarray(first - second)


def _aipw_from(rows: Rows, floor: float) -> Estimate:
    first, second = arm_scores(rows, floor)
    return difference(first, second, rows.weights, "aipw", rows.overlap(0, 1))


def _doubt(rows: Rows, floor: float) -> float:
    unseen = 1 - rows.propensity / np.maximum(rows.propensity, floor)
    return float(np.sqrt((np.average(unseen[:, :, None] * rows.doubts, axis=0, weights=rows.weights) ** 2).sum()))


def arm_scores(rows: Rows, floor: float) -> tuple[Numbers, Numbers]:
    """What every row contributes to the mean under treatment and to that under control, see ``aipw_scores``.

    Args:
        rows: Of the table.
        floor: What smaller propensities count as.
    """
    first, second = (
        aipw_scores(received, rows.outcome, rows.propensity[:, arm], rows.mean[:, arm], floor)
        for arm, received in enumerate((rows.treated, rows.control))
    )
    return first, second


def aipw_scores(received: Flags, outcome: Numbers, propensity: Numbers, mean: Numbers, floor: float = FLOOR) -> Numbers:
    r"""What every row contributes to E[Y | do(a)]: :math:`m_a + 1\{A = a\} (Y - m_a) / e_a`.

    Args:
        received: Whether the row got a.
        outcome: Y.
        propensity: p(a | x).
        mean: E[Y | a, x].
        floor: What smaller propensities count as.

    Example:
        >>> half, received = np.full(2, 0.5), np.array([True, False])
        >>> aipw_scores(received, np.array([3.0, 9.0]), half, np.ones(2)).tolist()  # 1 + (3 - 1) / 0.5
        [5.0, 1.0]
    """
    scores: Numbers = mean + np.where(received, outcome - mean, 0.0) / np.maximum(propensity, floor)
    return scores


def aipw_att(rows: Rows) -> Estimate:
    r"""Average effect on the treated, E[Y(a1) - Y(a0) | A = a1].

    .. math:: \hat\tau = \mathbb{E}_n\Big[\Big(1\{A = a_1\} - 1\{A = a_0\} \frac{e_1}{e_0}\Big)
        (Y - m_0)\Big] \Big/ \mathbb{E}_n[1\{A = a_1\}]

    Raises:
        OverlapError: If a group is empty or a propensity of a0 is 0.
        QueryError: If a row is in both groups.

    Example:
        >>> treated, outcome = np.array([True, True, False, False]), np.array([3.0, 5.0, 1.0, 1.0])
        >>> aipw_att(Rows(treated, ~treated, outcome, np.full((4, 2), 0.5), np.ones((4, 2)))).value  # (2 + 4) / 2
        3.0
    """
    rows.check_compared()
    overlap, weights = rows.overlap(1), rows.weights
    odds = rows.propensity[:, 0] / np.maximum(rows.propensity[:, 1], rows.floor)
    scores = (rows.treated - np.where(rows.control, odds, 0.0)) * (rows.outcome - rows.mean[:, 1])
    share = np.average(rows.treated, weights=weights)
    value = np.average(scores, weights=weights) / share
    found = _estimate(value, (scores - rows.treated * value) / share, weights, "aipw att", overlap)
    treated = float(np.average(rows.outcome, weights=weights * rows.treated))
    return replace(found, means=(treated, treated - found.value))


def plug_in_ate(rows: Rows) -> Estimate:
    """Average treatment effect by only the outcome model (g-computation).

    Right only if the outcome model is. The interval counts which rows were sampled, not the error of the model:
    it is too short.

    Example:
        >>> treated, half = np.array([True, False]), np.full((2, 2), 0.5)
        >>> plug_in_ate(Rows(treated, ~treated, half[:, 0], half, np.array([[3.0, 1.0], [5.0, 1.0]]))).value
        3.0
    """
    return difference(rows.mean[:, 0], rows.mean[:, 1], rows.weights, "plug-in", None)


def jackknife(
    estimates: Float[np.ndarray, " fold"], whole: float, *, rows: int = 0, method: str = "jackknife"
) -> Estimate:
    r"""Interval of any estimate from its values without each fold (delete-a-group jackknife, Wolter 2007).

    .. math:: \hat v = \frac{k - 1}{k} \sum_j (\hat\theta_{(j)} - \bar\theta)^2

    Args:
        estimates: The estimate from all rows but those of one fold, per fold; folds of equal size, drawn at random.
        whole: The estimate from all rows.
        rows: How many rows that are.
        method: What the estimate is called.

    Returns:
        The estimate from all rows; its interval uses Student's t with one degree of freedom fewer than folds.

    Raises:
        QueryError: If there are fewer than two folds.
        NonFiniteError: If an estimate is NaN or infinite.

    Example:
        >>> data = np.array([1.0, 2.0, 6.0])
        >>> round(jackknife((data.sum() - data) / 2, data.mean()).standard_error ** 2, 6)  # var / n = 7 / 3
        2.333333
    """
    folds = len(estimates)
    if folds < 2:
        raise QueryError(f"Got the estimates without each of {folds} folds, expected at least 2. Use more folds.")
    _check_finite(np.append(estimates, whole))
    error = float(np.sqrt((folds - 1) * np.var(estimates)))
    reach = float(t.ppf((1 + LEVEL) / 2, folds - 1)) * error
    return Estimate(float(whole), error, float(whole - reach), float(whole + reach), rows, method, float(rows))


def difference(
    treated: Numbers,
    control: Numbers,
    weights: Numbers,
    method: str,
    overlap: PropensityOverlap | None = None,
    further: Numbers | float = 0.0,
) -> Estimate:
    """The difference of two weighted means.

    Args:
        treated: What every row contributes to the mean under treatment.
        control: What it contributes to the mean under control.
        weights: How much each row counts.
        method: What the estimate is called.
        overlap: Propensities met, if any.
        further: What else pulls the difference in every row, 0 on average: an influence of what weights depend on.
    """
    means = tuple(float(np.average(scores, weights=weights)) for scores in (treated, control))
    value = means[0] - means[1]
    found = _estimate(value, treated - control - value + further, weights, method, overlap)
    return replace(found, means=(means[0], means[1]))


def _estimate(
    value: float, influence: Numbers, weights: Numbers, method: str, overlap: PropensityOverlap | None
) -> Estimate:
    """Interval from every row's influence, which averages 0.

    Student's t, with as many degrees of freedom as the error is known to: a few treated rows, or a long tail, tell less
    of it than their number says (its variance is that of a fourth moment; Box and Andersen 1955).
    """
    shares = weights / weights.sum()
    effective = float(1 / (shares**2).sum())
    pulls = (shares * influence) ** 2
    variance = pulls.sum()
    # As with the variance of a sample, one degree of freedom goes to the mean; of one row nothing is known.
    error = float(np.sqrt(variance * effective / (effective - 1))) if effective > 1 + 1e-9 else float("inf")
    value, rows = float(value), int((weights > 0).sum())
    spread = float((pulls**2).sum() - variance**2 / rows)
    freedom = max(1.0, 2 * variance**2 / spread) if spread > 0 and variance > 0 else float("inf")
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Estimate(value, error, value - reach, value + reach, rows, method, effective, overlap)


def _check_finite(*columns: NDArray[Any]) -> None:
    wrong = sum(int((~np.isfinite(column)).sum()) for column in columns)
    if wrong:
        raise NonFiniteError(f"{wrong} numbers are NaN or infinite, expected none. Leave out rows with missing values.")
