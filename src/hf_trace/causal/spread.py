r"""How far the mean of several oracles may be from the truth, from how far they are from each other.

Four or five oracles say little about the variance of one pair, and much about that of pairs like it. Variances are
therefore moderated (limma: Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004): those of all pairs of a sequence follow a
trend in what decides the noise of an effect, and each is drawn towards it as far as pairs differ from the trend no
more than chance makes them. What is left unknown of a variance makes the error Student's instead of normal.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from scipy.stats import chi2

from hf_trace.causal.pairs import PairScores

# Standard errors that stand for the uncertainty of an estimated one.
_NODES = 12
_LEAST_VARIANCE = 1e-8
# Fewer pairs than this are too few to fit the six coefficients of a trend.
_LEAST_PAIRS = 60


def signed_root(scores: PairScores) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """The effect ``d`` of every pair, and its Monte Carlo standard error."""
    root = np.sqrt(np.maximum(scores.cmi, 0))
    error = scores.standard_error / (2 * np.maximum(root, 1e-9))
    return np.where(scores.gain < 0, -root, root), error


def ensemble_errors(
    by_oracle: tuple[PairScores, ...],
) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, "pair node"]]:
    r"""Mean effect over oracles, and equally likely standard errors of it.

    The variance S over K oracles is of their training and of their draws M. Draws are independent between oracles and
    average out. What training on one log does wrong need not: oracles trained on bootstrap samples differ from each
    other as much as one log's oracle differs from the truth, so that the truth is taken to be one more of them.

    .. math:: v = (S - M) (1 + \tfrac1K) + \tfrac{M}{K}, \quad \text{at least } \tfrac{S}{K}

    Args:
        by_oracle: Scores of the same pairs of one sequence, two or more.
    """
    count = len(by_oracle)
    effects, errors = (np.stack(each) for each in zip(*map(signed_root, by_oracle), strict=True))
    spread, freedom = moderated(effects.var(0, ddof=1), count - 1, noise_trend(by_oracle))
    variance = np.maximum(spread * (1 + 1 / count) - (errors**2).mean(0), spread / count)
    return effects.mean(0), possible_errors(variance, freedom)


def noise_trend(by_oracle: tuple[PairScores, ...]) -> Float[np.ndarray, "pair term"]:
    r"""Terms that the variance of an effect follows: how strong it is, and how uncertain its event is by itself.

    Near no effect :math:`gain^2 / (2 cmi)` is the variance :math:`r (1 - r)` of the event. Quadratic in both logs.
    """
    cmi, gain = (np.stack([getattr(scores, name) for scores in by_oracle]) for name in ("cmi", "gain"))
    ones = np.ones((cmi.shape[1], 1))
    if len(ones) < _LEAST_PAIRS:
        return ones
    strength = np.log(cmi.mean(0) + 1e-6)
    event = np.log(np.clip((gain**2).sum(0) / (2 * cmi.sum(0) + 1e-12), 1e-6, 0.25))
    return np.column_stack([ones, strength, event, strength**2, event**2, strength * event])


def possible_errors(variance: Float[np.ndarray, " pair"], freedom: float) -> Float[np.ndarray, "pair node"]:
    """Equally likely standard errors behind an estimated variance: a normal error of each makes Student's t.

    Example:
        >>> possible_errors(np.array([4.0]), np.inf)[0].round(3).tolist()
        [2.0]
    """
    ratios = np.ones(1)
    if np.isfinite(freedom):
        ratios = chi2.ppf((np.arange(_NODES) + 0.5) / _NODES, freedom) / freedom
    errors: NDArray[np.float64] = np.sqrt(variance[:, None] / ratios)
    return errors


def moderated(
    variance: Float[np.ndarray, " pair"], freedom: int, trend: Float[np.ndarray, "pair term"]
) -> tuple[Float[np.ndarray, " pair"], float]:
    """Sample variances drawn towards a trend, as far as they differ from it no more than chance makes them.

    Args:
        variance: Of each pair over oracles.
        freedom: Degrees of freedom behind each.
        trend: Terms of which the log variance is a sum; a column of ones for a common value.

    Returns:
        The variances, and the degrees of freedom behind them now; infinitely many where all are on the trend.

    Example:
        >>> spread, freedom = moderated(np.array([0.5, 1.0, 2.0]), 1, np.ones((3, 1)))
        >>> len(set(spread.round(9))), freedom  # differ less than chance would make them
        (1, inf)
    """
    variance = np.maximum(variance, _LEAST_VARIANCE)
    logs = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    fitted = trend @ np.linalg.lstsq(trend, logs, rcond=None)[0]
    left = len(logs) - trend.shape[1]
    excess = ((logs - fitted) ** 2).sum() / left - polygamma(1, freedom / 2) if left > 0 else 0.0
    if excess <= 0:
        return np.exp(fitted), np.inf
    prior = 2 * inverse_trigamma(float(excess))
    centre = np.exp(fitted + digamma(prior / 2) - np.log(prior / 2))
    return (prior * centre + freedom * variance) / (prior + freedom), float(prior + freedom)


def inverse_trigamma(value: float) -> float:
    """Where trigamma takes a value above 0 (Newton's method, Smyth 2004, appendix).

    Example:
        >>> round(inverse_trigamma(float(polygamma(1, 2.5))), 6)
        2.5
    """
    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, found))
        found += step
        if abs(step) < 1e-10 * found:
            break
    return found
