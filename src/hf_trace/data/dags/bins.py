"""Bins of a numeric variable: edges at quantiles, labels a person can read, means."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ANY_NUMBER = "any number"


def quantile_edges(numbers: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Inner edges of bins with about as many rows each, none of them empty.

    Edges lie between different numbers, at the roundest number there: a value that is frequent can only fill
    its bin, not be split, so there may be fewer bins.

    Args:
        numbers: Finite data, in the variable's unit.
        bins: Most bins.

    Example:
        >>> quantile_edges(np.array([0.0, 0.0, 0.0, 1.13, 1.94, 3.2]), 3)
        (0.6, 1.5)
    """
    distinct, counts = np.unique(numbers, return_counts=True)
    if len(distinct) < 2:
        return ()
    below = np.cumsum(counts)[:-1]
    targets = len(numbers) * np.arange(1, bins) / bins
    gaps = np.unique(np.abs(below[None, :] - targets[:, None]).argmin(axis=1))
    return tuple(_round_between(float(distinct[gap]), float(distinct[gap + 1])) for gap in gaps)


def _round_between(lower: float, upper: float) -> float:
    """The number with the fewest digits near the middle that is above ``lower`` and at most ``upper``."""
    if upper.is_integer() and upper - lower <= 1:
        return upper
    middle = lower / 2 + upper / 2
    candidates = (float(f"{number:.{digits}g}") for digits in range(1, 17) for number in (middle, upper))
    return next((number for number in candidates if lower < number <= upper), upper)


def bin_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """One label per bin.

    Example:
        >>> bin_labels((1.5, 3.0))
        ('< 1.5', '[1.5, 3)', '≥ 3')
    """
    if not edges:
        return (ANY_NUMBER,)
    shown = [_shown(edge) for edge in edges]
    inner = [f"[{lower}, {upper})" for lower, upper in pairwise(shown)]
    return (f"< {shown[0]}", *inner, f"≥ {shown[-1]}")


def _shown(edge: float) -> str:
    return str(int(edge)) if edge.is_integer() and abs(edge) < 1e15 else repr(edge)


def bin_means(numbers: NDArray[np.float64], edges: tuple[float, ...]) -> tuple[float, ...]:
    """Mean of the data in every bin; of an empty bin its middle, or its only edge.

    Example:
        >>> bin_means(np.array([1.0, 2.0, 7.0]), (5.0, 10.0))
        (1.5, 7.0, 10.0)
    """
    codes = np.searchsorted(edges, numbers, side="right")
    counts = np.bincount(codes, minlength=len(edges) + 1)
    sums = np.bincount(codes, weights=numbers, minlength=len(edges) + 1)
    bounds = [edges[0], *edges, edges[-1]] if edges else [math.nan, math.nan]
    middles = [lower / 2 + upper / 2 for lower, upper in pairwise(bounds)]
    return tuple(
        float(total / count) if count else middle
        for total, count, middle in zip(sums, counts, middles, strict=True)
    )
