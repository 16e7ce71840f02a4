"""Rules for which pairs of event types are population edges: a fixed frequency, or one that adapts to the data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control

from hf_trace.errors import SettingsError

ADAPTIVE = "adaptive"
Counts = NDArray[np.int64]


def wilson_interval(successes: Any, trials: Any, *, z: float = 1.96) -> tuple[NDArray[Any], NDArray[Any]]:
    """95 % interval of a proportion, accurate for few trials (Wilson 1927).

    Example:
        >>> low, high = wilson_interval(0, 10)
        >>> float(low), round(float(high), 3)
        (0.0, 0.278)
    """
    share = np.asarray(successes) / np.asarray(trials)
    weight = z * z / np.asarray(trials)
    centre = share + weight / 2
    spread = np.sqrt(weight * share * (1 - share) + weight * weight / 4)
    low, high = (centre - spread) / (1 + weight), (centre + spread) / (1 + weight)
    return np.where(np.asarray(successes) == 0, 0.0, low), np.where(share == 1, 1.0, high)


class FrequencyRule(ABC):
    """Decides for all pairs of types at once, from the numbers of sequences that carry and that could carry an edge."""

    @abstractmethod
    def keep(self, carried: Counts, support: Counts, effect: Counts) -> NDArray[np.bool_]:
        """Whether each pair is an edge of the population.

        Args:
            carried: Number of sequences in which the pair carries an edge.
            support: Number of sequences in which it was tested; pairs never tested are no edges.
            effect: Number of the effect's type.
        """


@dataclass(frozen=True)
class LeastShare(FrequencyRule):
    """Keeps a pair when the lower end of the Wilson interval of its frequency exceeds a share.

    Attributes:
        share: From 0 to 1.
    """

    share: float

    def keep(self, carried: Counts, support: Counts, effect: Counts) -> NDArray[np.bool_]:
        """Whether the lower end of the interval exceeds the share."""
        low, _ = wilson_interval(carried, np.maximum(support, 1))
        return np.asarray((support > 0) & (low > self.share))


@dataclass(frozen=True)
class AdaptiveShare(FrequencyRule):
    r"""Keeps a pair whose frequency is significantly above the noise level of its effect.

    In the manner of CARGO (arXiv 2509.19112), whose frequency threshold adapts to long-tailed support; the formula
    is not that paper's. The noise level of an effect is the median frequency over all causes tested for it (over all
    pairs if there are fewer than ``fewest``), at least ``floor``. Causes are weighted by their support, up to the
    median support. A pair carried in k of n sequences has the p-value

    .. math:: P(\mathrm{Binomial}(n, noise) \ge k)

    and pairs are kept by the procedure of Benjamini and Hochberg at ``level``. The frequency needed thus falls with
    the support towards the noise level, and rises with the number of pairs tested. The rule assumes that most pairs
    tested for an effect are not causes of it.

    Attributes:
        level: False discovery rate.
        floor: Smallest noise level, as a share of sequences.
        fewest: Number of causes that an effect needs for a noise level of its own.
    """

    level: float = 0.05
    floor: float = 0.01
    fewest: int = 5

    def keep(self, carried: Counts, support: Counts, effect: Counts) -> NDArray[np.bool_]:
        """Whether each frequency is significantly above the noise level."""
        kept = np.zeros(len(support), dtype=np.bool_)
        tested = support > 0
        if not tested.any():
            return kept
        count, trials = carried[tested], support[tested]
        p_values = binom.sf(count - 1, trials, self.noise(count, trials, effect[tested]))
        kept[tested] = false_discovery_control(p_values) <= self.level
        return kept

    def noise(self, carried: Counts, support: Counts, effect: Counts) -> NDArray[np.float64]:
        """The noise level of the effect of each pair; ``support`` must be positive.

        Example:
            >>> carried, support = np.array([0, 1, 9, 2, 0]), np.full(5, 10)
            >>> AdaptiveShare().noise(carried, support, np.zeros(5, np.int64)).tolist()
            [0.1, 0.1, 0.1, 0.1, 0.1]
        """
        share = carried / support
        names, group, causes = np.unique(effect, return_inverse=True, return_counts=True)
        own = _typical(share, support, group, len(names))
        everywhere = _typical(share, support, np.zeros_like(group), 1)
        level = np.where(causes >= self.fewest, own, everywhere)
        return np.asarray(np.maximum(level, self.floor)[group], dtype=np.float64)


def _typical(share: NDArray[np.float64], support: Counts, group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Median share of each group, weighted by support up to the median support."""
    size = support.astype(np.float64)
    usual = _weighted_medians(size, np.ones_like(size), group, groups)
    return _weighted_medians(share, np.minimum(size, usual[group]), group, groups)


def _weighted_medians(
    values: NDArray[np.float64], weights: NDArray[np.float64], group: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """The smallest value of each group at which half of its weight is reached."""
    order = np.lexsort((values, group))
    weight = weights[order]
    total = np.bincount(group, weights, groups)
    start = np.cumsum(total) - total
    reached = weight.cumsum() - start[group[order]] >= total[group[order]] / 2
    first = np.full(groups, len(order))
    np.minimum.at(first, group[order][reached], np.flatnonzero(reached))
    return np.asarray(values[order][first], dtype=np.float64)


def parse_frequency(value: Any) -> FrequencyRule:
    """Read ``adaptive``, or a share as a number or text.

    Raises:
        SettingsError: If it is neither.

    Example:
        >>> parse_frequency("0.05")
        LeastShare(share=0.05)
        >>> parse_frequency("adaptive").level
        0.05
    """
    if value == ADAPTIVE:
        return AdaptiveShare()
    share = value
    if isinstance(value, str):
        try:
            share = float(value)
        except ValueError:
            share = None
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= float(share) <= 1:
        raise SettingsError(f"min_frequency is {value!r}, expected a number from 0 to 1, or '{ADAPTIVE}'.")
    return LeastShare(float(share))
