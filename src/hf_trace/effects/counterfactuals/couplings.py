"""One variable twice, with the same noise: what its value under some causes says of its value under others."""

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]


def at_most(seen: int, under: Shares, instead: Shares) -> Shares:
    """How probable each value can be under other causes, once a value was seen.

    No more of those with the seen value can have another one than there are (Fréchet); any shares below these limits
    that add up to one are those of some mechanism.

    Args:
        seen: The value.
        under: Probabilities of values under the causes that it was seen with.
        instead: The same under the other causes.

    Returns:
        A limit for each value.

    Example:
        >>> at_most(1, np.array([0.5, 0.5]), np.array([0.75, 0.25])).tolist()
        [1.0, 0.5]
    """
    return np.asarray(np.minimum(1.0, instead / under[seen]))


def extremes(limits: Shares, least: Shares, most: Shares) -> tuple[float, float]:
    """The least and the most that a mean can be when shares of values are limited.

    Args:
        limits: At most how probable each value is; together at least 1.
        least: What each value counts as in the least mean.
        most: The same in the largest.

    Example:
        >>> worth = np.array([0.0, 1.0])
        >>> extremes(np.array([0.75, 0.5]), worth, worth)
        (0.25, 0.5)
    """
    return _filled(limits, least), -_filled(limits, -most)


def _filled(limits: Shares, worth: Shares) -> float:
    """The least mean: cheap values as far as they go."""
    order = np.argsort(worth, kind="stable")
    filled = np.minimum(np.cumsum(limits[order]), 1.0)
    return float(np.diff(filled, prepend=0.0) @ worth[order])


def same_rank(seen: int, under: Shares, instead: Shares) -> Shares:
    """Shares of values under other causes, once a value was seen, where values keep their rank (monotone noise).

    The noise is one number from 0 to 1, and the larger it is the larger is the value, whatever the causes. With two
    values that says that nobody answers to the causes the other way than most.

    Args:
        seen: The value.
        under: Probabilities of values, in order, under the causes that it was seen with.
        instead: The same under the other causes.

    Returns:
        A probability for each value.

    Example:
        >>> same_rank(1, np.array([0.5, 0.5]), np.array([0.75, 0.25])).tolist()
        [0.5, 0.5]
    """
    low, high = under[:seen].sum(), under[: seen + 1].sum()
    ends = np.clip(np.concatenate([[0.0], np.cumsum(instead)]), low, high)
    ends[-1] = high  # rounding must not leave noise over
    return np.asarray(np.diff(ends) / (high - low))
