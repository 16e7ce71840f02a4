"""Probability that the effect of a pair exceeds a margin, from Monte Carlo error and the spread of several oracles."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from scipy.stats import chi2, norm

from hf_trace.discovery.statistics import PairScores

# Quantiles that represent the uncertainty of an estimated standard error.
_NODES = 12
_LEAST_VARIANCE = 1e-8
# Fewer pairs cannot fit the six coefficients of a trend.
_LEAST_PAIRS = 60


def signed_root(scores: PairScores) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """The effect d of every pair, its cmi's root with the sign of its gain, and the Monte Carlo error of d."""
    root = np.sqrt(np.maximum(scores.cmi, 0))
    error = scores.standard_error / (2 * np.maximum(root, 1e-9))
    return np.where(scores.gain < 0, -root, root), error


def ensemble_errors(
    by_oracle: tuple[PairScores, ...],
) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, "pair node"]]:
    r"""Mean effect over oracles, and equally likely values of its standard error.

    The variance S over K oracles includes that of their draws, M, which are independent and average out. The error of
    training on one log need not: oracles trained on bootstrap samples differ from each other as much as the oracle of
    one log differs from the truth, so the truth is treated as one more of them.

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
    r"""Terms that explain the variance of an effect: its strength and its event, quadratic in both logs.

    For small effects :math:`gain^2 / (2 cmi)` is the variance :math:`r (1 - r)` of the event.
    """
    cmi, gain = (np.stack([getattr(scores, name) for scores in by_oracle]) for name in ("cmi", "gain"))
    ones = np.ones((cmi.shape[1], 1))
    if len(ones) < _LEAST_PAIRS:
        return ones
    strength = np.log(cmi.mean(0) + 1e-6)
    event = np.log(np.clip((gain**2).sum(0) / (2 * cmi.sum(0) + 1e-12), 1e-6, 0.25))
    return np.column_stack([ones, strength, event, strength**2, event**2, strength * event])


def possible_errors(variance: Float[np.ndarray, " pair"], freedom: float) -> Float[np.ndarray, "pair node"]:
    """Equally likely standard errors given an estimated variance; normal errors mixed over them are Student's t.

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
    """Sample variances shrunk towards a trend (empirical Bayes, Smyth 2004).

    Args:
        variance: Of each pair over oracles.
        freedom: Degrees of freedom of each.
        trend: Regressors of the log variance; a column of ones for a common value.

    Returns:
        The shrunken variances and their degrees of freedom; infinite if the variances scatter no more about the trend
        than chance explains.

    Example:
        >>> spread, freedom = moderated(np.array([0.5, 1.0, 2.0]), 1, np.ones((3, 1)))
        >>> len(set(spread.round(9))), freedom
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
    """Inverse of the trigamma function for positive values (Newton's method, Smyth 2004, appendix).

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


def pooled(by_oracle: Sequence[PairScores]) -> PairScores:
    """One score for every pair from several oracles.

    Args:
        by_oracle: Divergences of the same pairs of one sequence, from draws that are independent between oracles.

    Returns:
        ``cmi`` is the square of the mean signed root, as a mean divergence would stay large where oracles disagree on
        the sign of an effect. ``gain`` is the mean, ``standard_error`` is of the draws only. The scores of a single
        oracle are returned unchanged.
    """
    first = by_oracle[0]
    if len(by_oracle) == 1:
        return first
    effects, errors = (np.stack(each) for each in zip(*map(signed_root, by_oracle), strict=True))
    effect = effects.mean(0)
    return PairScores(
        cause_position=first.cause_position,
        effect_position=first.effect_position,
        cmi=effect**2,
        gain=np.mean([scores.gain for scores in by_oracle], axis=0),
        standard_error=2 * np.abs(effect) * np.sqrt((errors**2).sum(0)) / len(by_oracle),
        by_oracle=tuple(by_oracle),
    )


# Scale mixture of normal priors on d: standard deviations, the first one "no effect"; d = 2 is 4 nats.
_PRIOR_SCALES = np.concatenate([[0.0], np.geomspace(0.01, 2.0, 14)])
_FIT_STEPS = 200
# One pair's worth of even weight, so that a sequence of few pairs does not overfit its prior.
_PSEUDO_PAIRS = 1.0
_LEAST_ERROR = 1e-4


def confidence(scores: PairScores, margin: float) -> Float[np.ndarray, " pair"]:
    """Posterior probability that the effect of each pair exceeds a margin.

    Args:
        scores: Divergences of one sequence with their Monte Carlo error; ``by_oracle`` is used if it is there.
        margin: An effect size, in nats.

    Example:
        >>> zeros, ones = np.zeros(2), np.ones(2)
        >>> sure = PairScores(np.array([0, 0]), np.array([1, 2]), np.array([0.3, 0.01]), ones, zeros)
        >>> confidence(sure, 0.05).round(3).tolist()
        [1.0, 0.0]
    """
    if not len(scores):
        return np.empty(0)
    if not scores.by_oracle:
        effect, error = signed_root(scores)
        return posterior_exceeds(effect, error[:, None], margin**0.5)
    effect, errors = ensemble_errors(scores.by_oracle)
    return posterior_exceeds(effect, errors, margin**0.5)


def posterior_exceeds(
    effect: Float[np.ndarray, " pair"], error: Float[np.ndarray, "pair node"], bound: float
) -> Float[np.ndarray, " pair"]:
    """Posterior probability that the size of an effect exceeds a bound, under a prior fitted to all effects given.

    Args:
        effect: Measured effects, of either sign.
        error: Equally likely standard errors of each.
        bound: A size, at least 0.
    """
    noise = np.maximum(error, _LEAST_ERROR)[:, :, None] ** 2
    total = noise + _PRIOR_SCALES**2
    log_likelihood = -0.5 * (effect[:, None, None] ** 2 / total + np.log(total))
    likelihood = np.exp(log_likelihood - log_likelihood.max((1, 2), keepdims=True))
    joint = likelihood * _prior_weights(likelihood.mean(1))
    shrink = _PRIOR_SCALES[1:] ** 2 / total[..., 1:]  # the first scale is 0: no effect exceeds the bound
    mean, spread = effect[:, None, None] * shrink, np.sqrt(shrink * noise)
    exceeds = norm.sf((bound - mean) / spread) + norm.cdf((-bound - mean) / spread)
    chance: NDArray[np.float64] = (joint[..., 1:] * exceeds).sum((1, 2)) / joint.sum((1, 2))
    return chance.clip(0, 1)


def _prior_weights(likelihood: Float[np.ndarray, "pair scale"]) -> Float[np.ndarray, " scale"]:
    """Mixture weights of the prior scales, by expectation maximization."""
    scales = likelihood.shape[1]
    weights = np.full(scales, 1 / scales)
    for _ in range(_FIT_STEPS):
        shares = weights * (likelihood / (likelihood @ weights)[:, None]).sum(0)
        weights = (shares + _PSEUDO_PAIRS / scales) / (len(likelihood) + _PSEUDO_PAIRS)
    return weights


def largest_set(confidence: Float[np.ndarray, " pair"], level: float) -> Bool[np.ndarray, " pair"]:
    """The largest set of the surest pairs whose mean ``1 - confidence`` is at most a level.

    Pairs of equal confidence are kept together or not at all.

    Args:
        confidence: Probability that each pair is true.
        level: The false discovery rate allowed.

    Example:
        >>> largest_set(np.array([0.99, 0.6, 0.95, 0.0]), 0.16).tolist()  # (0.01 + 0.05 + 0.4) / 3 = 0.153
        [True, True, True, False]
    """
    false = np.sort(1 - confidence)
    allowed = np.cumsum(false) <= level * np.arange(1, len(false) + 1) + 1e-12
    last_of_equals = np.append(np.diff(false) > 0, True)[: len(false)]
    fitting = np.flatnonzero(allowed & last_of_equals)
    if not len(fitting):
        return np.zeros(len(false), dtype=np.bool_)
    kept: NDArray[np.bool_] = 1 - confidence <= false[fitting[-1]]
    return kept
