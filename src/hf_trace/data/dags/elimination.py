"""Sums of products of tables over named axes, one axis after the other."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import QueryError

MAX_ENTRIES = 2**26


@dataclass(frozen=True)
class Factor:
    """A table with a name for each axis.

    Attributes:
        names: Of the axes.
        table: Of numbers that are not negative.
    """

    names: tuple[str, ...]
    table: NDArray[np.float64]

    def at(self, name: str, code: int) -> "Factor":
        """The slice at one value of a variable; the factor itself if it says nothing of it.

        Example:
            >>> Factor(("a", "b"), np.eye(2)).at("a", 1).table.tolist()
            [0.0, 1.0]
        """
        if name not in self.names:
            return self
        axis = self.names.index(name)
        rest = self.names[:axis] + self.names[axis + 1 :]
        return Factor(rest, np.asarray(self.table.take(code, axis=axis)))


def marginal(factors: Iterable[Factor], target: str) -> NDArray[np.float64]:
    """The product of all factors, summed over everything but one variable, up to a constant.

    The next axis to go is the one that leaves the smallest table.

    Args:
        factors: At least one of them names the target.
        target: The axis to keep.

    Returns:
        Numbers in proportion to the sums; all zero if the product is zero everywhere.

    Raises:
        QueryError: If a table on the way is too large.

    Example:
        >>> prior = Factor(("a",), np.array([0.8, 0.2]))
        >>> likelihood = Factor(("a", "b"), np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> weights = marginal([prior, likelihood], "b")
        >>> (weights / weights.sum()).round(6).tolist()
        [0.76, 0.24]
    """
    waiting = list(factors)
    hidden = {name for factor in waiting for name in factor.names} - {target}
    while hidden:
        sizes = {
            name: size for each in waiting for name, size in zip(each.names, each.table.shape, strict=True)
        }
        name = min(sorted(hidden), key=lambda each: _entries(_touching(waiting, each), sizes))
        involved = _touching(waiting, name)
        if _entries(involved, sizes) > MAX_ENTRIES:
            raise QueryError(
                f"An exact answer needs a table of {_entries(involved, sizes):.1e} probabilities, expected at most "
                f"{MAX_ENTRIES:.1e}. Ask for it with less evidence, or sample."
            )
        waiting = [each for each in waiting if name not in each.names]
        waiting.append(_summed(reduce(_product, involved), name))
        hidden.remove(name)
    return reduce(_product, waiting).table


def _touching(factors: Iterable[Factor], name: str) -> list[Factor]:
    return [factor for factor in factors if name in factor.names]


def _entries(factors: Iterable[Factor], sizes: dict[str, int]) -> int:
    # Axes of length 1 count too: arrays have few axes.
    return math.prod(max(sizes[name], 2) for name in {name for factor in factors for name in factor.names})


def _product(left: Factor, right: Factor) -> Factor:
    """Scaled, so that many small probabilities stay above the smallest number."""
    names = tuple(dict.fromkeys((*left.names, *right.names)))
    table = _spread(left, names) * _spread(right, names)
    largest = table.max()
    return Factor(names, np.asarray(table / largest if largest > 0 else table))


def _spread(factor: Factor, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The table with its axes in this order, and axes of length 1 for names it lacks."""
    order = [factor.names.index(name) for name in names if name in factor.names]
    lacking = [axis for axis, name in enumerate(names) if name not in factor.names]
    return np.expand_dims(factor.table.transpose(order), tuple(lacking))


def _summed(factor: Factor, name: str) -> Factor:
    axis = factor.names.index(name)
    return Factor(factor.names[:axis] + factor.names[axis + 1 :], np.asarray(factor.table.sum(axis=axis)))
