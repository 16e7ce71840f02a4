"""Independences that a graph implies, and which of them a table contradicts."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from hf_trace.effects.identifying.open_paths import open_path, with_ancestors
from hf_trace.effects.quick_effects import Matrix, features, least_squares
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema

LEVEL = 0.01
_RARE = 5


@dataclass(frozen=True)
class Independence:
    """Two variables that tell nothing of each other once others are known.

    Attributes:
        one: The earlier of the two.
        other: The later.
        given: What is known; nothing in it can be spared.
    """

    one: str
    other: str
    given: tuple[str, ...]

    def __str__(self) -> str:
        """In words."""
        behind = f" given {', '.join(map(repr, self.given))}" if self.given else ""
        return f"{self.one!r} and {self.other!r}{behind}"


def implied_independences(schema: DagSchema, among: Collection[str] | None = None) -> Iterator[Independence]:
    """For every pair of observed variables that some others separate, a smallest such set.

    If any observed variables separate a pair, its observed causes do (Pearl 2009, theorem 1.2.4 and its proof).

    Args:
        schema: The graph, latent variables included.
        among: Which pairs; of all observed variables by default.

    Example:
        >>> from hf_trace.tables.variables import Variable
        >>> values = ("0", "1")
        >>> chain = DagSchema((
        ...     Variable("a", values=values),
        ...     Variable("b", values=values, parents=("a",)),
        ...     Variable("c", values=values, parents=("b",)),
        ... ))
        >>> [str(each) for each in implied_independences(chain)]
        ["'a' and 'c' given 'b'"]
    """
    names = [name for name in schema.topological_order if among is None or name in among]
    for one, other in combinations(names, 2):
        if schema.graph.has_edge(one, other):
            continue
        causes = with_ancestors(schema.graph, [one, other]) - schema.latent
        known = [name for name in schema.topological_order if name in causes - {one, other}]
        if open_path(schema.graph, [one], [other], known):
            continue
        for name in list(known):
            fewer = [each for each in known if each != name]
            if not open_path(schema.graph, [one], [other], fewer):
                known = fewer
        yield Independence(one, other, tuple(known))


@dataclass(frozen=True)
class IndependenceTest:
    """What a table says of an independence.

    Attributes:
        independence: What is tested.
        p_value: How often chance alone makes two variables look as dependent.
        strength: The largest correlation of what is left of their values once the others are known, 0 to 1.
    """

    independence: Independence
    p_value: float
    strength: float


def independence_test(table: DagTable, independence: Independence) -> IndependenceTest:
    r"""Test an independence by what regressions leave unexplained (generalised covariance measure).

    With residuals r of every value of one variable and s of every value of the other, :math:`\sqrt n \, \overline{rs}`
    is normal around 0 (Shah and Peters, Ann. Stat. 48, 2020); the sum of their squares in units of their covariance is
    chi-squared.

    Args:
        table: The rows; the variables are finite.
        independence: What is tested.
    """
    design = features(table, independence.given)
    left, right = (_unexplained(table, name, design) for name in (independence.one, independence.other))
    if not left.shape[1] or not right.shape[1]:
        return IndependenceTest(independence, 1.0, 0.0)
    products = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    mean = products.mean(axis=0)
    covariance = np.atleast_2d(np.cov(products.T, bias=True))
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-9 * max(values.max(), 1e-300)
    statistic = len(left) * float((((vectors.T @ mean)[kept]) ** 2 / values[kept]).sum())
    spread = np.outer(left.std(axis=0), right.std(axis=0)).ravel()
    strength = np.abs(np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0)).max()
    return IndependenceTest(independence, float(chi2.sf(statistic, int(kept.sum()))), float(strength))


def _unexplained(table: DagTable, name: str, design: Matrix) -> Float[np.ndarray, "row value"]:
    """What a regression leaves of the values of a variable, the most frequent and the rare ones aside."""
    variable, codes = table.schema[name], np.asarray(table.columns[name])
    values = np.eye(len(variable.values))[codes]
    counts = values.sum(axis=0)
    kept = counts >= _RARE
    kept[int(counts.argmax())] = False
    values = values[:, kept]
    return np.asarray(values - design @ least_squares(design, values, table.weights))


def contradicted(tests: Collection[IndependenceTest], level: float = LEVEL) -> list[IndependenceTest]:
    """Tests that chance does not explain, strongest first (Holm 1979).

    Args:
        tests: Of independences.
        level: How probable it may be that one of them is listed where all hold.

    Example:
        >>> some = Independence("a", "b", ())
        >>> [each.p_value for each in contradicted([IndependenceTest(some, p, 0.1) for p in (0.002, 0.04, 0.006)])]
        [0.002]
    """
    ordered = sorted(tests, key=lambda test: test.p_value)
    found: list[IndependenceTest] = []
    for place, test in enumerate(ordered):
        if test.p_value * (len(ordered) - place) > level:
            break
        found.append(test)
    return sorted(found, key=lambda test: -test.strength)
