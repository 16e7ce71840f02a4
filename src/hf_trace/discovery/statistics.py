"""How much the probability of an event changes when an earlier event is replaced, and the scores of all such pairs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Observed = Float[Tensor, "cause effect"]
Replaced = Float[Tensor, "cause sample effect"]
LogWeights = Float[Tensor, "cause sample"]
# A log-probability in float32 is no closer to 0 than this; below it 1 - p is rounding.
_CLOSEST_TO_ONE = -1e-12


def bernoulli_kl(log_p: Float[Tensor, "*shape"], log_r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Kullback-Leibler divergence of two Bernoulli variables, in nats, from log-probabilities.

    .. math:: p \ln\frac{p}{r} + (1-p) \ln\frac{1-p}{1-r}

    Example:
        >>> p, r = torch.tensor([0.5]), torch.tensor([0.25])
        >>> round(bernoulli_kl(p.log(), r.log()).item(), 6)  # 0.5 ln 2 + 0.5 ln (2/3)
        0.143841
    """
    log_p = log_p.double().clamp(max=_CLOSEST_TO_ONE)
    log_r = log_r.double().clamp(max=_CLOSEST_TO_ONE)
    happens = log_p.exp() * (log_p - log_r)
    fails = -torch.expm1(log_p) * (log1m_exp(log_p) - log1m_exp(log_r))
    return (happens + fails).clamp(min=0)


def bernoulli_divergence(p: Float[Tensor, "*shape"], r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``bernoulli_kl`` from probabilities and in their own precision: off by its rounding where both are near 1.

    Example:
        >>> round(bernoulli_divergence(torch.tensor([0.5]), torch.tensor([0.25])).item(), 6)
        0.143841
    """
    tiny, least = torch.finfo(p.dtype).tiny, math.log(-_CLOSEST_TO_ONE)
    happens = p * (p.clamp(min=tiny).log() - r.clamp(min=tiny).log())
    fails = (1 - p) * (torch.log1p(-p).clamp(min=least) - torch.log1p(-r).clamp(min=least))
    return (happens + fails).clamp(min=0)


def log1m_exp(log_p: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 - p) from log p, exact near 0 and near 1."""
    return torch.where(log_p > -0.693, torch.log(-torch.expm1(log_p)), torch.log1p(-log_p.exp()))


def log_mixture(replaced: Replaced, log_weights: LogWeights) -> Observed:
    """Log of the weighted mean probability over replacements; unused slots may hold NaN."""
    used = log_weights[..., None].double().isfinite()
    terms = (replaced.double() + log_weights[..., None].double()).masked_fill(~used, -torch.inf)
    return terms.logsumexp(dim=1)


def kl_to_mixture(observed: Observed, replaced: Replaced, log_weights: LogWeights) -> Observed:
    r"""KL of the event given its past to the event after replacement, averaged over replacements first.

    .. math:: KL_B(p_q \,\|\, \textstyle\sum_n w_n r_q^n)

    The functional by which TRACE (arXiv 2602.01135, App. E.1) defines a true edge. ``[c, e]`` is how much cause c
    informs effect e, in nats.
    """
    return bernoulli_kl(observed, log_mixture(replaced, log_weights))


def mean_of_kl(observed: Observed, replaced: Replaced, log_weights: LogWeights) -> Observed:
    r"""Mean over replacements of their KL from the event given its past, :math:`\sum_n w_n KL_B(r_q^n \| p_q)`."""
    used = log_weights[..., None].isfinite()
    divergence = bernoulli_kl(replaced, observed[:, None].expand_as(replaced))
    return (divergence * log_weights[..., None].double().exp()).masked_fill(~used, 0).sum(1)


def probability_gain(observed: Observed, replaced: Replaced, log_weights: LogWeights) -> Observed:
    """The difference p minus the mean of r: positive where the cause makes the effect more likely (excites)."""
    return observed.double().exp() - log_mixture(replaced, log_weights).exp()


def log_ratio(observed: Observed, replaced: Replaced, log_weights: LogWeights) -> Observed:
    """Log ratio of p to the mean of r, in nats: positive where the cause excites; the Granger reading."""
    return observed.double() - log_mixture(replaced, log_weights)


Statistic = Callable[[Observed, Replaced, LogWeights], Observed]
STATISTICS: dict[str, Statistic] = {
    "kl_to_mixture": kl_to_mixture,
    "mean_of_kl": mean_of_kl,
    "probability_gain": probability_gain,
    "log_ratio": log_ratio,
}


def kl_to_mixture_error(observed: Observed, replaced: Replaced, log_weights: LogWeights, num_samples: int) -> Observed:
    r"""Monte Carlo standard error of ``kl_to_mixture`` over independent draws, by the delta method.

    .. math:: \left|\frac{\bar r - p}{\bar r (1 - \bar r)}\right| \sqrt{\frac{\mathrm{Var}(r)}{N - 1}}

    ``num_samples`` is the number of independent draws behind the weights; 0 (enumeration) gives 0, 1 gives NaN.
    """
    if num_samples == 0:
        return torch.zeros_like(observed, dtype=torch.float64)
    mean = log_mixture(replaced, log_weights).exp()
    weights = log_weights[..., None].double().exp()
    squares = ((replaced.double().exp() - mean[:, None]) ** 2 * weights).masked_fill(weights == 0, 0)
    error = (squares.sum(1) / max(num_samples - 1, 0)).sqrt() if num_samples > 1 else mean * torch.nan
    slope = (mean - observed.double().exp()) / (mean * (1 - mean)).clamp(min=1e-300)
    return slope.abs() * error


# The staircase: probabilities of one event under each draw, with the cause observed and with it replaced.
Draws = Float[Tensor, "pair sample"]


def library(with_cause: Draws, without: Draws) -> Float[Tensor, " pair"]:
    r"""Mean over draws of :math:`KL_B(q_n \| p_n)`, as the authors' library computes it."""
    return bernoulli_kl(with_cause, without).mean(1)


def paper(with_cause: Draws, without: Draws) -> Float[Tensor, " pair"]:
    r""":math:`KL_B(\bar p \| \bar q)` of the means over draws, row j - 1 first, as the paper prints it."""
    return bernoulli_kl(_log_mean(without), _log_mean(with_cause))


def _log_mean(rows: Draws) -> Float[Tensor, " pair"]:
    return rows.double().logsumexp(1) - math.log(rows.shape[1])


STAIRCASE_STATISTICS: dict[str, Callable[[Draws, Draws], Float[Tensor, " pair"]]] = {"library": library, "paper": paper}
# Attributions: what a cause contributes to the log-probability of an effect, by gradient or Shapley value.
Contribution = Float[Tensor, " pair"]


def absolute(contribution: Contribution) -> Contribution:
    """Magnitude of a contribution."""
    return contribution.abs()


def signed(contribution: Contribution) -> Contribution:
    """The contribution itself: positive where the cause makes the effect more likely."""
    return contribution


ATTRIBUTION_STATISTICS: dict[str, Callable[[Contribution], Contribution]] = {"absolute": absolute, "signed": signed}


@dataclass(frozen=True)
class PairScores:
    """Every tested pair of positions of one sequence, as parallel arrays ordered by cause, then effect.

    Attributes:
        cause_position: Index of the cause among the events of the sequence.
        effect_position: Index of the effect; always later.
        cmi: The statistic of the run, in nats for the divergences.
        gain: p minus the mean probability after replacement; its sign is the direction.
        standard_error: Monte Carlo standard error of ``cmi``, in nats; 0 if nothing was sampled, NaN if unknown.
        by_oracle: Scores of the same pairs by each oracle, if there are several.
        order_difference: For events at the same time, scored in both orders: the cmi in the order listed minus the
            cmi in the other order, in nats; NaN for all other pairs. None if ties were read as listed.
        order_error: Monte Carlo standard error of ``order_difference``.
    """

    cause_position: NDArray[np.int64]
    effect_position: NDArray[np.int64]
    cmi: NDArray[np.float64]
    gain: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    by_oracle: "tuple[PairScores, ...]" = ()
    order_difference: NDArray[np.float64] | None = None
    order_error: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.cmi)

    def select(self, kept: NDArray[np.bool_]) -> "PairScores":
        """Some of the pairs, scored by one oracle in one order."""
        return PairScores(
            self.cause_position[kept],
            self.effect_position[kept],
            self.cmi[kept],
            self.gain[kept],
            self.standard_error[kept],
        )

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Whether each pair was scored in both orders."""
        if self.order_difference is None:
            return np.zeros(len(self), dtype=np.bool_)
        return ~np.isnan(self.order_difference)

    @property
    def lag(self) -> NDArray[np.int64]:
        """Distance from cause to effect, in events."""
        return self.effect_position - self.cause_position
