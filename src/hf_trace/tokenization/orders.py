"""Orders in which the variables of a graph can be written, causes before effects."""

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from hf_trace.data.dags.schema import DagSchema


def random_order(schema: DagSchema, rng: np.random.Generator) -> tuple[str, ...]:
    """A topological order of the observed variables, drawn step by step from those whose causes have been written.

    Example:
        >>> from hf_trace.data.dags.variables import Variable
        >>> ends = [Variable(name, values=("0", "1"), parents=("a",)) for name in "bc"]
        >>> schema = DagSchema((Variable("a", values=("0", "1")), *ends))
        >>> sorted({random_order(schema, np.random.default_rng(seed)) for seed in range(9)})
        [('a', 'b', 'c'), ('a', 'c', 'b')]
    """
    names = schema.topological_order
    ranks = random_ranks(required_edges(schema), 1, rng)[0]
    return tuple(names[index] for index in np.argsort(ranks))


def required_edges(schema: DagSchema) -> NDArray[np.bool_]:
    """Which variable must be written before which, ``[earlier, later]`` in topological order."""
    position = {name: index for index, name in enumerate(schema.topological_order)}
    edges = np.zeros((len(position), len(position)), dtype=bool)
    for source, target in schema.observed_graph.edges:
        edges[position[source], position[target]] = True
    return edges


def random_ranks(
    edges: NDArray[np.bool_], rows: int, rng: np.random.Generator
) -> Int[np.ndarray, "row variable"]:
    """Random Kahn, for many rows at once.

    Args:
        edges: See ``required_edges``.
        rows: How many orders to draw.
        rng: Where the draws come from.

    Returns:
        The place of every variable in the order of every row.
    """
    waiting = np.tile(edges.sum(0), (rows, 1))
    placed = np.zeros(waiting.shape, dtype=bool)
    ranks = np.empty(waiting.shape, dtype=np.int64)
    for step in range(len(edges)):
        # The largest of equally distributed numbers is a uniform choice.
        chance = np.where((waiting == 0) & ~placed, rng.random(waiting.shape), -1.0)
        chosen = chance.argmax(1)
        rank_at = (np.arange(rows), chosen)
        ranks[rank_at], placed[rank_at] = step, True
        waiting -= edges[chosen]
    return ranks
