"""Tables of a network from counts that contexts share: by main effects, by subsets of parents, by several ways."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, log_softmax, logsumexp

Counts = np.ndarray  # an axis per parent, and one of the values
Smoothing = Callable[[Counts], np.ndarray]
# Rows that each value counts as before any were seen, of which the counts choose.
_BEFORE = (0.1, 0.5, 1.0, 3.0)
_PENALTY, _PARTS, _ROUNDS = 1.0, 5, 100


def main_effects(counts: Counts) -> np.ndarray:
    """A multinomial logistic regression on the values of each parent, without interactions, drawn to 0 by a ridge."""
    sizes, values = counts.shape[:-1], counts.shape[-1]
    cells, places = counts.reshape(-1, values), np.indices(sizes).reshape(len(sizes), int(np.prod(sizes)))
    columns = [np.ones((len(cells), 1)), *(np.eye(size)[place] for size, place in zip(sizes, places, strict=True))]
    design, ridge = np.hstack(columns), np.full((sum(sizes) + 1, 1), _PENALTY)
    ridge[0] = 1e-3

    def missed(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, values)
        logs = log_softmax(design @ weights, axis=1)
        pull = design.T @ (np.exp(logs) * cells.sum(1, keepdims=True) - cells) + ridge * weights
        return float((ridge * weights**2).sum() / 2 - (cells * logs).sum()), pull.ravel()

    best = minimize(missed, np.zeros(design.shape[1] * values), jac=True, method="L-BFGS-B").x
    return np.exp(log_softmax(design @ best.reshape(-1, values), axis=1)).reshape(counts.shape)


def averaged(counts: Counts) -> np.ndarray:
    """The mean over all subsets of parents, and rows before any were seen, by how probable each makes the counts.

    Bayesian model averaging over which parents matter (Buntine 1991; Hoeting et al. 1999).
    """
    found, evidence = zip(*_subsets(counts), strict=True)
    shares = np.exp(np.array(evidence) - logsumexp(evidence))
    return sum(share * each for share, each in zip(shares, found, strict=True))


def _subsets(counts: Counts) -> Iterator[tuple[np.ndarray, float]]:
    parents, values = counts.ndim - 1, counts.shape[-1]
    for left_out in (each for size in range(parents + 1) for each in combinations(range(parents), size)):
        cells = counts.sum(axis=left_out, keepdims=True)
        total = cells.sum(-1, keepdims=True)
        for before in _BEFORE:
            rows = before * values
            evidence = (gammaln(rows) - gammaln(rows + total)).sum() + (gammaln(before + cells) - gammaln(before)).sum()
            yield np.broadcast_to((cells + before) / (total + rows), counts.shape), float(evidence)


def stacked(ways: Sequence[Smoothing], counts: Counts) -> np.ndarray:
    """The mixture of ways that predicts rows best that were left out, for each variable (Wolpert 1992)."""
    parts = _parted(counts, np.random.default_rng(0))
    seen = [np.stack([way(counts - part)[part > 0] for way in ways], axis=1) for part in parts]
    chances, weights = np.concatenate(seen), np.concatenate([part[part > 0] for part in parts])
    shares = np.full(len(ways), 1 / len(ways))
    for _ in range(_ROUNDS):
        owned = chances * shares
        shares = (weights / weights.sum()) @ (owned / owned.sum(axis=1, keepdims=True))
    return sum(share * way(counts) for share, way in zip(shares, ways, strict=True))


def _parted(counts: Counts, rng: np.random.Generator) -> list[np.ndarray]:
    left, parts = counts.astype(int), []
    for remaining in range(_PARTS, 0, -1):
        parts.append(rng.binomial(left, 1 / remaining))
        left = left - parts[-1]
    return parts
