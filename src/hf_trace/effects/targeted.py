"""Targeted estimates of effects, and the populations that they may speak of."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import expit, logit

from hf_trace.effects.doubly_robust import (
    Estimate,
    Flags,
    Numbers,
    Rows,
    aipw_ate,
    aipw_att,
    arm_scores,
    difference,
    plug_in_ate,
    steadied,
)
from hf_trace.errors import QueryError

ESTIMATORS = ("plug-in", "aipw", "tmle")
POPULATIONS = ("all", "trimmed", "overlap")
# Share of rows without overlap from which on that is worth a warning.
_MANY = 0.01
# On the scale from the smallest outcome to the largest.
_EDGE, _FURTHEST = 1e-5, 40.0


def tmle_ate(rows: Rows) -> Estimate:
    r"""Average treatment effect by targeted maximum likelihood (van der Laan and Rubin 2006).

    The outcome means are moved until nothing is left for AIPW to correct: on their logit if outcomes are of two kinds;
    else by a number that is added to all of an arm, so that what a few small outcomes leave unexplained does not move
    large means by a multiple. None is moved below the smallest outcome seen or above the largest (Gruber and van der
    Laan 2010):

    .. math:: \sum_{A_i = a} \frac{w_i}{e_a(x_i)} (Y_i - m_a^*(x_i)) = 0, \qquad
        \hat\tau = \mathbb{E}_n[m_1^* - m_0^*]

    No mean leaves the range of the outcomes, however small a propensity is. See ``steadied`` for what small
    propensities count as, and for the interval.

    Raises:
        OverlapError: If a group is empty or a propensity is 0.
        QueryError: If a row is in both groups.

    Example:
        >>> treated, outcome = np.array([True, True, False, False]), np.array([3.0, 5.0, 1.0, 1.0])
        >>> found = tmle_ate(Rows(treated, ~treated, outcome, np.full((4, 2), 0.5), np.full((4, 2), 2.0)))
        >>> round(found.value, 6), [round(mean, 6) for mean in found.means]  # one mean for all: that of each group
        (3.0, [4.0, 1.0])
    """
    return replace(steadied(rows, _tmle_from), method="tmle")


def tmle_att(rows: Rows) -> Estimate:
    """Average effect on the treated by targeted maximum likelihood: only means under control are moved.

    Raises:
        OverlapError: If a group is empty or a propensity of the control is 0.
        QueryError: If a row is in both groups.

    Example:
        >>> treated, outcome = np.array([True, True, False, False]), np.array([3.0, 5.0, 1.0, 1.0])
        >>> round(tmle_att(Rows(treated, ~treated, outcome, np.full((4, 2), 0.5), np.full((4, 2), 2.0))).value, 6)
        3.0
    """
    rows.check_compared()
    rows.overlap(1)
    odds = rows.propensity[:, 0] / np.maximum(rows.propensity[:, 1], rows.floor)
    weights = np.stack([np.zeros(len(odds)), rows.control * odds], axis=1)
    return replace(aipw_att(_moved(rows, weights)), method="tmle att")


def _tmle_from(rows: Rows, floor: float) -> Estimate:
    moved = _targeted(rows, floor)
    return difference(*arm_scores(moved, floor), rows.weights, "tmle", rows.overlap(0, 1))


def _targeted(rows: Rows, floor: float) -> Rows:
    received = np.stack([rows.treated, rows.control], axis=1)
    return _moved(rows, received / np.maximum(rows.propensity, floor))


def _moved(rows: Rows, weights: Float[np.ndarray, "row 2"]) -> Rows:
    pulls, counted = rows.weights[:, None] * weights, rows.weights > 0
    arms = [met_means(rows.mean[:, [arm]], rows.outcome, pulls[:, [arm]], counted) for arm in (0, 1)]
    return replace(rows, mean=np.hstack(arms))


def met_means(
    means: Float[np.ndarray, "row arm"], outcome: Numbers, pulls: Float[np.ndarray, "row arm"], counted: Flags
) -> Float[np.ndarray, "row arm"]:
    """Means moved by one number, within the range of outcomes, until outcomes are met on average.

    It moves the logit of their place in that range if outcomes are of two kinds, and the means themselves if not.

    Args:
        means: Predicted.
        outcome: What came.
        pulls: How much each miss counts.
        counted: Rows whose outcomes make the range.

    Example:
        >>> outcome = np.array([1.0, 4.0, 7.0])
        >>> met_means(np.full((3, 1), 2.0), outcome, np.ones((3, 1)), np.full(3, True)).round(6).tolist()
        [[4.0], [4.0], [4.0]]
    """
    low, high = float(outcome[counted].min()), float(outcome[counted].max())
    if low == high:
        return np.full(means.shape, low)
    of_two = np.isin(outcome[counted], (low, high)).all()
    scaled, places = (outcome[:, None] - low) / (high - low), np.clip((means - low) / (high - low), 0.0, 1.0)
    odds = logit(np.clip(places, _EDGE, 1 - _EDGE))
    reach = _FURTHEST if of_two else 1.0

    def moved(shift: float) -> Float[np.ndarray, "row arm"]:
        return np.asarray(expit(odds + shift) if of_two else np.clip(places + shift, 0.0, 1.0))

    def missed(shift: float) -> float:
        return float((pulls * (scaled - moved(shift))).sum())

    if not pulls.any():
        shift = 0.0
    elif missed(-reach) <= 0 or missed(reach) >= 0:  # all outcomes that count lie at one end
        shift = -reach if missed(-reach) <= 0 else reach
    else:
        shift = float(brentq(missed, -reach, reach, xtol=1e-12))
    return low + (high - low) * moved(shift)


def trimmed(rows: Rows) -> Rows:
    r"""Only rows where both values occur often enough that keeping them makes the estimate surer.

    Kept are rows with :math:`1 / e_1 + 1 / e_0 \le g`, for the largest g that is at most twice the mean of the left
    side over the rows that are kept (Crump et al. 2009, doi:10.1093/biomet/asn055). No outcome is looked at.

    Example:
        >>> chance = np.array([0.5, 0.4, 0.3, 0.0001])
        >>> flags = np.array([True, False, True, False])
        >>> trimmed(Rows(flags, ~flags, chance, np.stack([chance, 1 - chance], 1), np.zeros((4, 2)))).weights.tolist()
        [1.0, 1.0, 1.0, 0.0]
    """
    cost = (1 / np.maximum(rows.propensity, np.finfo(float).tiny)).sum(axis=1)
    order = np.argsort(cost)
    weights = rows.weights[order]
    means = np.cumsum(weights * cost[order]) / np.maximum(np.cumsum(weights), np.finfo(float).tiny)
    fits = np.flatnonzero((cost[order] <= 2 * means) & (weights > 0))
    most = cost[order][fits[-1]]
    return replace(rows, weights=rows.weights * (cost <= most))


def overlap_ate(rows: Rows, *, targeted: bool = False) -> Estimate:
    r"""Average effect where both values occur: rows count :math:`h = e_1 e_0 / (e_1 + e_0)`.

    With two values of the treatment that is :math:`e_1 e_0` (Li, Morgan and Zaslavsky 2018,
    doi:10.1080/01621459.2016.1260466), and since h / e is at most 1 propensities count as they are, however small. That
    they are estimated is in the interval:

    .. math:: \phi = h (s - \tau) + \sum_a \frac{\partial h}{\partial e_a} (1\{A = a\} - e_a) (m_1 - m_0 - \tau)

    with the AIPW scores s (Hirano, Imbens and Ridder 2003).

    Args:
        rows: Of the table.
        targeted: By targeted maximum likelihood instead of AIPW.

    Example:
        >>> treated, outcome = np.array([True, True, False, False]), np.array([3.0, 5.0, 1.0, 1.0])
        >>> overlap_ate(Rows(treated, ~treated, outcome, np.full((4, 2), 0.5), np.tile([4.0, 1.0], (4, 1)))).value
        3.0
    """
    rows.check_compared()
    overlap = rows.overlap(0, 1)
    first, second = rows.propensity.T
    share = first * second / (first + second)
    rows = replace(rows, weights=rows.weights * share)
    method, rows = ("tmle", _targeted(rows, floor=0.0)) if targeted else ("aipw", rows)
    scores = arm_scores(rows, floor=0.0)
    effect = np.average(scores[0] - scores[1], weights=rows.weights)
    surprise = second**2 * (rows.treated - first) + first**2 * (rows.control - second)
    further = surprise / (share * (first + second) ** 2) * (rows.mean[:, 0] - rows.mean[:, 1] - effect)
    return difference(scores[0], scores[1], rows.weights, f"{method} overlap", overlap, further)


def estimated(rows: Rows, *, estimator: str, of_treated: bool = False, population: str = POPULATIONS[0]) -> Estimate:
    """The effect that was asked for.

    Args:
        rows: Of the table, or of a group.
        estimator: One of ``ESTIMATORS``.
        of_treated: Whether on the treated alone.
        population: ``"all"`` rows; those that ``trimmed`` keeps; or all, weighted by ``"overlap"``.

    Raises:
        OverlapError: If a group is empty or a propensity that is divided by is 0.
        QueryError: If the effect on the treated is asked of others.
    """
    if population != POPULATIONS[0] and of_treated:
        raise QueryError(
            f"The population is {population!r}, and the effect on the treated is of the treated. Expected the contrast "
            "'ate', or no population."
        )
    if estimator == ESTIMATORS[0]:
        return plug_in_ate(rows.only_treated() if of_treated else rows)
    if population == "overlap":
        return overlap_ate(rows, targeted=estimator == "tmle")
    chosen = trimmed(rows) if population == "trimmed" else rows
    by_kind = {"aipw": (aipw_ate, aipw_att), "tmle": (tmle_ate, tmle_att)}
    return by_kind[estimator][of_treated](chosen)


def population_of(rows: Rows, population: str) -> str:
    """Whom an effect is on, in words.

    Example:
        >>> rows = Rows(np.array([True]), np.array([False]), np.ones(1), np.full((1, 2), 0.5), np.ones((1, 2)))
        >>> population_of(rows, "overlap")
        'all rows, each weighted by how likely it has either value of the treatment'
    """
    if population == "overlap":
        return "all rows, each weighted by how likely it has either value of the treatment"
    if population == "trimmed":
        kept = trimmed(rows)
        least = float(kept.propensity[kept.weights > 0].min())
        return (
            f"{int((kept.weights > 0).sum()):,} of {int((rows.weights > 0).sum()):,} rows: those with a propensity of "
            f"either value above about {least:.2g}"
        )
    return "all rows"


def overlap_warnings(found: Estimate, *, population: str) -> list[str]:
    """What to tell where a share of the rows has hardly a chance of a value of the treatment."""
    overlap = found.overlap
    if overlap is None or overlap.below_floor < _MANY or population == "overlap":
        return []
    return [
        f"{overlap.below_floor:.0%} of the rows that count hardly ever have one of the values compared (propensity "
        f"down to {overlap.smallest:.1g}): what is said of them is a guess, whose error the interval holds as far as "
        "different models disagree. Ask about the treated (`--contrast att`), or about rows where both occur "
        "(`--population overlap`)."
    ]
