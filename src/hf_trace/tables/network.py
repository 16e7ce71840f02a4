"""``Network``: a known graph with the probabilities of every variable given its parents, and exact sums over them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import refuse_unknown, whole
from hf_trace.errors import DagFormatError, QueryError, preview
from hf_trace.options import SEED
from hf_trace.tables.schema import DagSchema

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
        sizes = {name: size for each in waiting for name, size in zip(each.names, each.table.shape, strict=True)}
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


TOLERANCE = 1e-2  # published networks are rounded to as few as two decimals


@dataclass(frozen=True)
class Network:
    """A Bayesian network.

    Attributes:
        schema: The variables; all are finite.
        tables: For every variable, latent ones included, ``[*parents, value]``: probabilities of its values given its
            parents, in the order in which the schema lists parents and values. Rows are made to sum to one.

    Raises:
        DagFormatError: If a table is missing, has another shape, or a row does not sum to one.

    Example:
        >>> from hf_trace.tables.variables import Variable
        >>> sick = Variable("sick", values=("no", "yes"))
        >>> drug = Variable("drug", values=("no", "yes"), parents=("sick",))
        >>> tables = {"sick": np.array([0.9, 0.1]), "drug": np.array([[1.0, 0.0], [0.5, 0.5]])}
        >>> network = Network(DagSchema((sick, drug)), tables)
        >>> network.distribution("sick", given={"drug": "yes"})
        {'no': 0.0, 'yes': 1.0}
        >>> network.distribution("sick", do={"drug": "yes"})
        {'no': 0.9, 'yes': 0.1}
    """

    schema: DagSchema
    tables: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        refuse_unknown(self.tables, self.schema.by_name, what="variable with probabilities:", error=DagFormatError)
        tables = {each.name: self._checked(each.name) for each in self.schema.variables}
        object.__setattr__(self, "tables", tables)

    def _checked(self, name: str) -> NDArray[np.float64]:
        variable = self.schema[name]
        if name not in self.tables:
            raise DagFormatError(f"{name!r} has no probabilities, expected a table for every variable.")
        if not variable.is_finite or not variable.values:
            raise DagFormatError(f"{name!r} is of kind {variable.kind!r}, expected a variable with listed values.")
        shape = tuple(len(self.schema[each].values) for each in (*variable.parents, name))
        table = np.array(self.tables[name], dtype=np.float64)
        if table.shape != shape:
            raise DagFormatError(
                f"The probabilities of {name!r} have the shape {table.shape}, expected {shape}: the values of "
                f"{preview((*variable.parents, name), limit=6)}."
            )
        return self._normalised(name, table)

    def _normalised(self, name: str, table: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = table.sum(axis=-1)
        wrong = ~(np.abs(sums - 1) <= TOLERANCE) | ~(table >= 0).all(axis=-1)
        if wrong.any():
            row = tuple(int(code) for code in np.argwhere(wrong)[0])
            parents = self.schema[name].parents
            at = ", ".join(f"{each}={self.schema[each].values[code]}" for each, code in zip(parents, row, strict=True))
            raise DagFormatError(
                f"The probabilities of {name!r}{' at ' * bool(at)}{at} are {table[row].tolist()}, expected none "
                "below 0 and a sum of 1."
            )
        return np.asarray(table / sums[..., None])

    def sample(self, rows: int, seed: int = SEED.default) -> pd.DataFrame:
        """Draw rows of the observed variables, as names of values.

        Raises:
            SettingsError: If ``rows`` is negative.

        Example:
            >>> from hf_trace.tables.variables import Variable
            >>> coin = DagSchema((Variable("coin", values=("heads", "tails")),))
            >>> Network(coin, {"coin": np.array([0.0, 1.0])}).sample(2)["coin"].tolist()
            ['tails', 'tails']
        """
        whole("rows", rows, least=0)
        generator = np.random.default_rng(seed)
        codes: dict[str, NDArray[np.int64]] = {}
        for name in self.schema.full_order:
            parents = tuple(codes[each] for each in self.schema[name].parents)
            codes[name] = _draws(self.tables[name][parents], generator.random(rows))
        return pd.DataFrame(
            {
                each.name: np.array(each.values, dtype=object)[codes[each.name]]
                for each in self.schema.variables
                if not each.latent
            },
            index=range(rows),
        )

    def distribution(
        self, target: str, do: Mapping[str, Any] | None = None, given: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """Exact p(target | do, given), by variable elimination in the mutilated network.

        Args:
            target: An observed variable.
            do: Values that are forced.
            given: Values that are seen, of causes or of effects of what is forced.

        Returns:
            Probability of every value of the target.

        Raises:
            QueryError: If a name or a value is unknown, the target is forced or given, a variable is both forced and
                given, or what is given cannot happen.
        """
        forced, seen = self._codes(do or {}), self._codes(given or {})
        self.schema.check_question(target, forced, seen)
        factors = self._factors(target, forced, seen)
        weights = marginal(factors, target)
        if not weights.sum() > 0:
            shown = preview(f"{name}={self.schema[name].values[code]}" for name, code in seen.items())
            raise QueryError(
                f"What is given ({shown}) has probability 0, so nothing follows from it. Give values that occur."
            )
        shares = weights / weights.sum()
        return dict(zip(self.schema[target].values, shares.tolist(), strict=True))

    def _codes(self, values: Mapping[str, Any]) -> dict[str, int]:
        return {name: self.schema.observed(name).code(value) for name, value in values.items()}

    def _factors(self, target: str, forced: Mapping[str, int], seen: Mapping[str, int]) -> list[Factor]:
        """Tables of what the answer depends on, sliced where a value is fixed."""
        graph = self.schema.graph.copy()
        graph.remove_edges_from([edge for edge in graph.edges if edge[1] in forced])
        relevant = {target, *seen}.union(*(nx.ancestors(graph, name) for name in (target, *seen)))
        factors = []
        for name in sorted(relevant - set(forced)):
            factor = Factor((*self.schema[name].parents, name), self.tables[name])
            for fixed, code in (*forced.items(), *seen.items()):
                factor = factor.at(fixed, code)
            factors.append(factor)
        return factors


def _draws(rows: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """One value per row of probabilities; all rows are the same where a variable has no parents."""
    cumulative = np.cumsum(rows, axis=-1)
    cumulative = cumulative / cumulative[..., -1:]
    draws = (uniforms[:, None] >= cumulative[..., :-1]).sum(axis=-1)
    return np.asarray(draws, dtype=np.int64)
