"""d-separation in a directed acyclic graph, and the path that is open where there is none.

What is to be separated from what, and in which graph, is decided by the caller.
"""

from collections import deque
from collections.abc import Collection, Iterable
from itertools import pairwise

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
            return _retraced(step, came_from)
        for following in _onwards(graph, step, step[0] in given, step[0] in opens_collider):
            if following not in came_from:
                came_from[following] = step
                waiting.append(following)
    return ()


def with_ancestors(graph: "nx.DiGraph[str]", names: Iterable[str]) -> set[str]:
    """The names themselves and everything that causes them.

    Example:
        >>> sorted(with_ancestors(nx.DiGraph([("X", "Z"), ("Y", "Z"), ("Z", "W")]), ["Z"]))
        ['X', 'Y', 'Z']
    """
    found = set(names)
    waiting = list(found)
    while waiting:
        new = set(graph.predecessors(waiting.pop())) - found
        found |= new
        waiting.extend(new)
    return found


def _onwards(graph: "nx.DiGraph[str]", step: _Step, is_given: bool, opens_collider: bool) -> list[_Step]:
    name, from_child = step
    steps: list[_Step] = []
    if not is_given:
        steps += [(child, False) for child in graph.successors(name)]
    if opens_collider if not from_child else not is_given:
        steps += [(parent, True) for parent in graph.predecessors(name)]
    return steps


def _retraced(step: _Step, came_from: dict[_Step, _Step | None]) -> tuple[str, ...]:
    path = [step[0]]
    while (before := came_from[step]) is not None:
        path.append(before[0])
        step = before
    return tuple(reversed(path))


def spelled(graph: "nx.DiGraph[str]", path: Collection[str]) -> str:
    """A path with its arrows.

    Example:
        >>> spelled(nx.DiGraph([("X", "Z"), ("Y", "Z")]), ("X", "Z", "Y"))
        "'X' → 'Z' ← 'Y'"
    """
    names = list(path)
    arrows = ["→" if graph.has_edge(one, other) else "←" for one, other in pairwise(names)]
    return " ".join(
        [repr(names[0]), *(f"{arrow} {name!r}" for arrow, name in zip(arrows, names[1:], strict=True))]
    )
