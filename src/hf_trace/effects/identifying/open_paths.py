"""Paths of a causal graph that stay open when some variables are known."""

from collections import deque
from collections.abc import Collection
from itertools import chain, pairwise

import networkx as nx

# A name, and whether the path came to it against an arrow (from a child) rather than along one.
_Step = tuple[str, bool]


def open_path(
    graph: "nx.DiGraph[str]", sources: Collection[str], targets: Collection[str], given: Collection[str]
) -> tuple[str, ...]:
    """A shortest path between two sets that observing a third leaves open; empty if they are d-separated.

    Bayes ball (Shachter 1998; Koller and Friedman 2009, algorithm 3.1): a chain or a fork is open unless its middle is
    observed, a collider is open only if it or one of its descendants is observed.

    Args:
        graph: A directed acyclic graph.
        sources: Where paths start.
        targets: Where they end.
        given: What is observed; none of the sources and targets.

    Returns:
        Names along the path, from a source to a target.

    Example:
        >>> graph = nx.DiGraph([("X", "Z"), ("Y", "Z"), ("Z", "W")])
        >>> open_path(graph, ["X"], ["Y"], []), open_path(graph, ["X"], ["Y"], ["W"])
        ((), ('X', 'Z', 'Y'))
    """
    opens_collider = with_ancestors(graph, given)
    came_from: dict[_Step, _Step | None] = {(source, True): None for source in sources}
    waiting = deque(came_from)
    while waiting:
        step = waiting.popleft()
        if step[0] in targets:
            path = [step]
            while (before := came_from[path[-1]]) is not None:
                path.append(before)
            return tuple(name for name, _ in reversed(path))
        for following in _onwards(graph, step, step[0] in given, step[0] in opens_collider):
            if following not in came_from:
                came_from[following] = step
                waiting.append(following)
    return ()


def with_ancestors(graph: "nx.DiGraph[str]", names: Collection[str]) -> set[str]:
    """The names themselves and everything that causes them.

    Example:
        >>> sorted(with_ancestors(nx.DiGraph([("X", "Z"), ("Y", "Z"), ("Z", "W")]), ["Z"]))
        ['X', 'Y', 'Z']
    """
    return set(chain.from_iterable(nx.bfs_layers(graph.reverse(copy=False), list(names))))


def _onwards(graph: "nx.DiGraph[str]", step: _Step, is_given: bool, opens_collider: bool) -> list[_Step]:
    name, from_child = step
    steps: list[_Step] = []
    if not is_given:
        steps += [(child, False) for child in graph.successors(name)]
    if opens_collider if not from_child else not is_given:
        steps += [(parent, True) for parent in graph.predecessors(name)]
    return steps


def spelled(graph: "nx.DiGraph[str]", path: Collection[str]) -> str:
    """A path with its arrows.

    Example:
        >>> spelled(nx.DiGraph([("X", "Z"), ("Y", "Z")]), ("X", "Z", "Y"))
        "'X' → 'Z' ← 'Y'"
    """
    names = list(path)
    arrows = ["→" if graph.has_edge(one, other) else "←" for one, other in pairwise(names)]
    return " ".join([repr(names[0]), *(f"{arrow} {name!r}" for arrow, name in zip(arrows, names[1:], strict=True))])
