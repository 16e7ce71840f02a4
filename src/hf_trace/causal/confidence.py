r"""How sure it is that the effect of a pair exceeds a margin, and which pairs to believe at a false discovery rate.

An effect is measured on the scale of the signed root :math:`d = \pm\sqrt{cmi}`, with the sign of the gain: near no
effect ``cmi`` is close to :math:`(p - r)^2 / (2 r (1 - r))`, so that noise in p or r adds to ``d`` whereas it can only
raise ``cmi``. With :math:`\hat d_i \sim N(d_i, v_i)`:

* v is what is known of the noise: with one oracle the Monte Carlo variance; with several also their disagreement
  (``spread``).
* Pairs are selected because they score high, so their scores regress to the mean. True effects are given the prior
  :math:`\sum_k w_k N(0, \tau_k^2)`, its weights fitted to the pairs of the sequence (adaptive shrinkage, Stephens
  2017).
* Confidence is the posterior chance of :math:`d_i^2 > margin`. The hypothesis that an edge rejects is "the effect is
  at most the margin", not "there is no effect".
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import norm

from hf_trace.causal.pairs import PairScores
from hf_trace.causal.spread import ensemble_errors, signed_root

# Standard deviations of true effects, on the scale of d: the first is "none", d = 2 is 4 nats.
_PRIOR_SCALES = np.concatenate([[0.0], np.geomspace(0.01, 2.0, 14)])
_FIT_STEPS = 200
# One pair's worth of prior weight, spread evenly: a sequence of few pairs must not be too sure of its prior.
_PSEUDO_PAIRS = 1.0
_LEAST_ERROR = 1e-4


def confidence(scores: PairScores, margin: float) -> Float[np.ndarray, " pair"]:
    """Chance, for every pair, that its effect exceeds the margin.

    Args:
        scores: Divergences with their Monte Carlo error, of one sequence; those of several oracles where
            ``by_oracle`` has them.
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
    """Posterior chance that the size of an effect exceeds a bound, under a prior fitted to all effects given.

    Args:
        effect: Measured effects, of either sign.
        error: Standard errors that each may have, all equally likely before it is seen.
        bound: A size, at least 0.
    """
    noise = np.maximum(error, _LEAST_ERROR)[:, :, None] ** 2
    total = noise + _PRIOR_SCALES**2
    log_likelihood = -0.5 * (effect[:, None, None] ** 2 / total + np.log(total))
    likelihood = np.exp(log_likelihood - log_likelihood.max((1, 2), keepdims=True))
    joint = likelihood * _prior_weights(likelihood.mean(1))
    shrink = (
        _PRIOR_SCALES[1:] ** 2 / total[..., 1:]
    )  # without the first scale, where no effect exceeds anything
    mean, spread = effect[:, None, None] * shrink, np.sqrt(shrink * noise)
    exceeds = norm.sf((bound - mean) / spread) + norm.cdf((-bound - mean) / spread)
    chance: NDArray[np.float64] = (joint[..., 1:] * exceeds).sum((1, 2)) / joint.sum((1, 2))
    return chance.clip(0, 1)


def _prior_weights(likelihood: Float[np.ndarray, "pair scale"]) -> Float[np.ndarray, " scale"]:
    """How common each prior scale is, by expectation maximisation."""
    scales = likelihood.shape[1]
    weights = np.full(scales, 1 / scales)
    for _ in range(_FIT_STEPS):
        shares = weights * (likelihood / (likelihood @ weights)[:, None]).sum(0)
        weights = (shares + _PSEUDO_PAIRS / scales) / (len(likelihood) + _PSEUDO_PAIRS)
    return weights


def largest_set(confidence: Float[np.ndarray, " pair"], level: float) -> Bool[np.ndarray, " pair"]:
    """The surest pairs, as many as keep the mean of ``1 - confidence`` at most at a level.

    Pairs of equal confidence are kept together or not at all.

    Args:
        confidence: Chance that a pair is true.
        level: The false discovery rate allowed.

    Example:
        >>> largest_set(np.array([0.99, 0.6, 0.95, 0.0]), 0.16).tolist()  # (0.01 + 0.05 + 0.4) / 3 = 0.153
        [True, True, True, False]
    """
    doubt = np.sort(1 - confidence)
    allowed = np.cumsum(doubt) <= level * np.arange(1, len(doubt) + 1) + 1e-12
    last_of_its_kind = np.append(np.diff(doubt) > 0, True)[: len(doubt)]
    fitting = np.flatnonzero(allowed & last_of_its_kind)
    if not len(fitting):
        return np.zeros(len(doubt), dtype=np.bool_)
    kept: NDArray[np.bool_] = 1 - confidence <= doubt[fitting[-1]]
    return kept
