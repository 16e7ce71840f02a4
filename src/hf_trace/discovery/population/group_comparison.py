"""Whether edges hold, equally strong, in all groups of sequences, such as sites, products or months."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import false_discovery_control

from hf_trace.discovery.population.frequencies import FrequencyRule
from hf_trace.discovery.population.resampling import UnitSums
from hf_trace.graphs.graph import CausalGraph

# Differences of the mean cmi up to this are negligible, in nats; `margin:0.05` is the same for effects.
LEAST = 0.05
# Cases of a group in which a pair must have been tested for the group to be compared.
FEWEST_CASES = 10
LEVEL = 0.05
_BY_GROUP = ("cmi", "frequency", "support")
# Pairs that carry an edge in a smaller share of the sequences are not compared.
_LEAST_CARRIED = 0.01


@dataclass(frozen=True)
class GroupComparison:
    """Comparison of the groups of one column for every pair of types, ``[pair]`` and ``[pair, group]``.

    Attributes:
        column: The context column that defines the groups, such as ``site``.
        groups: Their names.
        pairs: Numbers of the two types, cause first, ``[pair, 2]``.
        cmi: Mean cmi over the cases of the group, in nats; NaN where the pair was never tested.
        frequency: Share of sequences that carry an edge; NaN likewise.
        support: Number of sequences of the group in which the pair was tested.
        is_edge: Whether the pair is an edge of the group on its own.
        p_value: For the hypothesis that no two groups differ by more than 0.05 nats; NaN where fewer than two groups
            can be compared, or hardly any sequence carries the pair.
        q_value: The same, adjusted for the number of pairs (Benjamini-Hochberg).
        differs: Whether the strength differs: a q-value of at most 0.05.
    """

    column: str
    groups: tuple[str, ...]
    pairs: NDArray[np.int64]
    cmi: NDArray[np.float64]
    frequency: NDArray[np.float64]
    support: NDArray[np.int64]
    is_edge: NDArray[np.bool_]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    differs: NDArray[np.bool_]

    def record(self, pair: int) -> dict[str, Any]:
        """The comparison of one pair, as it is written with an edge."""
        return {
            "differs": bool(self.differs[pair]),
            "p": float(self.p_value[pair]),
            "q": float(self.q_value[pair]),
            "holds_in": [name for name, edge in zip(self.groups, self.is_edge[pair], strict=True) if edge],
            **{name: dict(zip(self.groups, getattr(self, name)[pair].tolist(), strict=True)) for name in _BY_GROUP},
        }


def compare_groups(
    sums: UnitSums, column: str, values: Sequence[str], rule: FrequencyRule, *, min_support: int
) -> GroupComparison:
    """Compare the strength of every pair of types between groups of cases.

    Args:
        sums: Sums of all pairs.
        column: The context column that defines the groups.
        values: The group of each unit of ``sums``.
        rule: Decides which pairs are edges of a group.
        min_support: Number of sequences of a group in which its edges must have been tested.
    """
    number, names = pd.factorize(np.asarray(values, dtype=object), sort=True)
    member = np.zeros((sums.units, len(names)))
    member[np.arange(sums.units), number] = 1.0
    support, carried, is_edge = sums.weighted(member, rule, min_support)
    count, mean, variance = _moments(sums, member)
    total = carried.sum(axis=1)
    candidate: NDArray[np.bool_] = (total >= min_support) & (total >= _LEAST_CARRIED * support.sum(axis=1))
    p_value = np.where(candidate, welch_p_values(count, mean, variance, least=LEAST), np.nan)
    q_value = np.full(len(p_value), np.nan)
    known = ~np.isnan(p_value)
    if known.any():
        q_value[known] = false_discovery_control(p_value[known])
    return GroupComparison(
        column,
        tuple(map(str, names)),
        pairs=np.stack([sums.cause, sums.effect], axis=1),
        cmi=np.where(count > 0, mean, np.nan),
        frequency=np.where(support > 0, carried / np.maximum(support, 1), np.nan),
        support=support,
        is_edge=is_edge,
        p_value=p_value,
        q_value=q_value,
        differs=np.nan_to_num(q_value, nan=1.0) <= LEVEL,
    )


def group_table(graph: CausalGraph) -> pd.DataFrame:
    """One row per edge, context column and group, from a graph whose groups were compared.

    Example:
        >>> found = {"differs": True, "p": 0.001, "q": 0.01, "holds_in": ["n"], "cmi": {"n": 0.4}}
        >>> found |= {"frequency": {"n": 0.9}, "support": {"n": 30}}
        >>> edge = {"cause": "a", "effect": "b", "groups": {"site": found}}
        >>> group_table(CausalGraph("population", ("a", "b"), (edge,))).to_dict("records")[0]["is_edge"]
        True
    """
    rows = [
        {
            **{"cause": edge["cause"], "effect": edge["effect"], "column": column, "group": name},
            **{measure: found[measure][name] for measure in _BY_GROUP},
            "is_edge": name in found["holds_in"],
            **{test: found[test] for test in ("differs", "p", "q")},
        }
        for edge in graph.edges
        for column, found in edge.get("groups", {}).items()
        for name in found["cmi"]
    ]
    columns = ["cause", "effect", "column", "group", *_BY_GROUP, "is_edge", "differs", "p", "q"]
    return pd.DataFrame(rows, columns=columns)


def _moments(
    sums: UnitSums, member: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Number, mean and variance of the mean cmi of the cases in which a pair was tested, ``[pair, group]``."""
    # `tested` is at least 1 at the entries stored, which are the same for both matrices.
    means = sums.cmi.copy()
    means.data = sums.cmi.data / sums.tested.data
    tested = sums.tested.copy()
    tested.data = np.ones_like(tested.data)
    count, total = np.asarray(tested @ member), np.asarray(means @ member)
    mean = total / np.maximum(count, 1)
    # Squares about the mean of the pair avoid cancellation.
    centre = total.sum(axis=1) / np.maximum(count.sum(axis=1), 1)
    rows = np.repeat(np.arange(means.shape[0]), np.diff(means.indptr))
    centred = means.copy()
    centred.data = (means.data - centre[rows]) ** 2
    squares = np.asarray(centred @ member) - count * (mean - centre[:, None]) ** 2
    return count, mean, np.maximum(squares, 0.0) / np.maximum(count - 1, 1)


def welch_p_values(
    count: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64], *, least: float = 0.0
) -> NDArray[np.float64]:
    """Welch's analysis of variance for many pairs at once, ``[pair, group]`` to ``[pair]``.

    Args:
        count: Number of cases of each group; groups with fewer than ``FEWEST_CASES`` are left out.
        mean: Their means.
        variance: Their variances.
        least: Differences up to this are part of the null hypothesis.

    Returns:
        P-values; NaN where fewer than two groups remain.

    Example:
        >>> count, mean = np.full((1, 2), 50.0), np.array([[0.1, 0.3]])
        >>> bool(welch_p_values(count, mean, np.full((1, 2), 0.01))[0] < 1e-9)
        True
    """
    used = count >= FEWEST_CASES
    groups = used.sum(axis=1)
    size = np.where(used, count, 2.0)
    # Equal values have no variance: a bound from rounding error keeps the weights finite.
    narrow = np.maximum(1e-12 * np.where(used, mean**2, 0).max(axis=1, initial=0), 1e-24)
    weight = np.where(used, size / np.maximum(variance, narrow[:, None]), 0.0)
    whole = np.maximum(weight.sum(axis=1), 1e-300)
    several = np.maximum(groups, 2)
    between = _outside(weight, mean, least) / (several - 1)
    lost = np.where(used, (1 - weight / whole[:, None]) ** 2 / (size - 1), 0.0).sum(axis=1)
    ratio = between / (1 + 2 * (several - 2) / (several**2 - 1) * lost)
    freedom = (several**2 - 1) / (3 * np.maximum(lost, 1e-300))
    return np.where(groups >= 2, f_distribution.sf(ratio, several - 1, freedom), np.nan)


def _outside(weight: NDArray[np.float64], mean: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Weighted squared distances of means from an interval of some width, minimized over its place, ``[pair]``."""

    def distance(middle: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean - np.clip(mean, middle[:, None] - width / 2, middle[:, None] + width / 2)

    # The sum is convex in the middle, with the weighted distance as its negative slope: bisect for the sign change.
    low, high = mean.min(axis=1, initial=0.0), mean.max(axis=1, initial=0.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = (weight * distance(middle)).sum(axis=1) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((weight * distance((low + high) / 2) ** 2).sum(axis=1))
