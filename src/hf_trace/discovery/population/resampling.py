"""Population graphs of resampled sequences: intervals for edges, and the stability of the whole graph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hf_trace.discovery.population.frequencies import FrequencyRule
from hf_trace.discovery.population.sums import pair_keys, pair_of_keys

# Of percentile intervals.
COVERAGE = 0.95
_RESAMPLES_AT_ONCE = 16
_FEWEST_CASES = 10


@dataclass(frozen=True)
class UnitSums:
    """Sums of every pair of types (row) in every resampling unit (column).

    Attributes:
        cause: Number of the cause's type of each pair.
        effect: Number of the effect's type.
        support: Number of sequences in which the pair was tested.
        carried: Number of sequences that carry an edge.
        tested: Number of tested pairs of positions.
        cmi: Sum of their cmi, in nats.
    """

    cause: NDArray[np.int64]
    effect: NDArray[np.int64]
    support: csr_matrix
    carried: csr_matrix
    tested: csr_matrix
    cmi: csr_matrix

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.support.shape[1])

    @classmethod
    def of(cls, by_sequence: pd.DataFrame, unit: NDArray[np.int64]) -> "UnitSums":
        """Arrange what ``sums_by_sequence`` returned, with pairs ordered by cause and effect.

        Args:
            by_sequence: All rows.
            unit: The unit of each sequence.
        """
        keys, row = np.unique(pair_keys(by_sequence), return_inverse=True)
        column = unit[by_sequence["sequence"].to_numpy(dtype=np.int64)]
        shape = (len(keys), int(unit.max(initial=-1)) + 1)

        def matrix(values: NDArray[np.float64]) -> csr_matrix:
            return csr_matrix((values, (row, column)), shape=shape)

        edges = by_sequence["edges"].to_numpy() > 0
        return cls(
            *pair_of_keys(keys),
            support=matrix(np.ones(len(by_sequence))),
            carried=matrix(edges.astype(np.float64)),
            tested=matrix(by_sequence["tested"].to_numpy(dtype=np.float64)),
            cmi=matrix(by_sequence["cmi"].to_numpy(dtype=np.float64)),
        )

    def weighted(
        self, weight: NDArray[np.float64], rule: FrequencyRule, min_support: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Support, carrying sequences and edges ``[pair, weighting]`` of weighted units.

        Args:
            weight: How often each unit counts, ``[unit, weighting]``.
            rule: Decides which pairs are edges.
            min_support: Number of sequences in which an edge must have been tested.
        """
        support, carried = (np.rint(part @ weight).astype(np.int64) for part in (self.support, self.carried))
        kept = [rule.keep(carried[:, each], support[:, each], self.effect) for each in range(weight.shape[1])]
        return support, carried, np.stack(kept, axis=1) & (support >= min_support)


@dataclass(frozen=True)
class Resampled:
    """Numbers of some pairs in every resample, ``[pair, resample]``; NaN where a pair is absent.

    Attributes:
        is_edge: Whether the pair is an edge.
        cmi: Mean cmi over tested pairs of positions, in nats.
        frequency: Share of sequences that carry an edge.
    """

    is_edge: NDArray[np.bool_]
    cmi: NDArray[np.float64]
    frequency: NDArray[np.float64]

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Share of resamples in which each pair is an edge, and percentile intervals of its numbers."""
        cmi_low, cmi_high = _interval(self.cmi)
        low, high = _interval(self.frequency)
        return {
            "resampled_share": self.is_edge.mean(axis=1),
            "cmi_low": cmi_low,
            "cmi_high": cmi_high,
            "resampled_frequency_low": low,
            "resampled_frequency_high": high,
        }


def resampling_units(ids: Sequence[str]) -> NDArray[np.int64]:
    """The resampling unit of each sequence: its case, as windows of one case are not independent.

    With fewer than ten cases, every sequence is a unit of its own.

    Example:
        >>> resampling_units(["x#0", "x#1", "y"]).tolist()
        [0, 1, 2]
        >>> resampling_units([f"{case}#{part}" for case in range(10) for part in "01"]).tolist()[:4]
        [0, 0, 1, 1]
    """
    cases = np.array([name.rpartition("#")[0] or name for name in ids], dtype=object)
    numbers, names = pd.factorize(cases)
    return np.asarray(numbers if len(names) >= _FEWEST_CASES else np.arange(len(ids)), dtype=np.int64)


def bootstrap(
    sums: UnitSums, wanted: NDArray[np.bool_], rule: FrequencyRule, *, min_support: int, resamples: int, seed: int
) -> Resampled:
    """Resample the units with replacement, and recompute the edges each time.

    Args:
        sums: Sums of all pairs, as rules may compare pairs.
        wanted: The pairs to return.
        rule: Decides which pairs are edges.
        min_support: Number of sequences in which an edge must have been tested.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    generator = np.random.default_rng(seed)
    shares = np.full(sums.units, 1 / max(1, sums.units))
    weights = (generator.multinomial(sums.units, shares) for _ in range(resamples))
    found = [
        (is_edge[wanted], cmi[wanted], frequency[wanted])
        for is_edge, cmi, frequency in _judged(sums, weights, rule, min_support)
    ]
    is_edge, cmi, frequency = (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
    return Resampled(is_edge, cmi, frequency)


def half_sample_stability(
    sums: UnitSums, rule: FrequencyRule, *, min_support: int, repeats: int = 20, seed: int
) -> NDArray[np.float64]:
    """Similarity of the graphs of two random halves of the sequences.

    Args:
        sums: Sums of all pairs.
        rule: Decides which pairs are edges.
        min_support: Number of sequences of a half in which an edge must have been tested.
        repeats: Number of random splits.
        seed: Seed of the splits.

    Returns:
        Jaccard index of the two sets of edges for each split; 1 if both are empty.
    """
    generator = np.random.default_rng(seed)
    indices = []
    for _ in range(repeats):
        first = np.zeros(sums.units, dtype=np.int64)
        first[generator.permutation(sums.units)[: sums.units // 2]] = 1
        (is_edge, _, _), *_ = _judged(sums, iter([first, 1 - first]), rule, min_support)
        either = int(is_edge.any(axis=1).sum())
        indices.append(int(is_edge.all(axis=1).sum()) / either if either else 1.0)
    return np.array(indices)


def _judged(
    sums: UnitSums, weights: Iterator[NDArray[np.int64]], rule: FrequencyRule, min_support: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]]:
    """Edges, mean cmi and frequency ``[pair, resample]`` for a few weightings of the units at a time."""
    while some := list(islice(weights, _RESAMPLES_AT_ONCE)):
        weight = np.stack(some, axis=1).astype(np.float64)
        support, carried, is_edge = sums.weighted(weight, rule, min_support)
        yield is_edge, _ratio(sums.cmi @ weight, sums.tested @ weight), _ratio(carried, support)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    absent = np.asarray(np.isnan(values).all(axis=1))
    levels = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    filled = np.where(absent[:, None], 0.0, values)
    low, high = np.nanquantile(filled, levels, axis=1) if len(values) else np.empty((2, 0))
    return np.where(absent, np.nan, low), np.where(absent, np.nan, high)
