"""The observed variables of a graph, with an arrow or a latent cause between them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations

import networkx as nx

from hf_trace.effects.identifying.open_paths import with_ancestors


@dataclass(frozen=True, eq=False)
class Projection:
    """What is left of a graph when its latent variables are taken out (latent projection, Verma 1993).

    Attributes:
        order: The observed variables, causes before effects.
        arrows: From cause to effect, directly or through latent variables only.
        joined: Pairs with a common latent cause that acts through latent variables only; edges say which (``latent``).

    Example:
        >>> graph = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "M"), ("M", "Y")])
        >>> projection = Projection.of(graph, ["X", "M", "Y"])
        >>> [sorted(each) for each in projection.districts()], projection.joined.edges["X", "Y"]["latent"]
        ([['X', 'Y'], ['M']], ['U'])
    """

    order: tuple[str, ...]
    arrows: "nx.DiGraph[str]"
    joined: "nx.Graph[str]"

    @classmethod
    def of(cls, graph: "nx.DiGraph[str]", observed: Collection[str]) -> "Projection":
        """The projection of a graph on some of its variables; all others count as latent.

        Args:
            graph: A directed acyclic graph.
            observed: What is kept.
        """
        kept = set(observed)
        whole = list(nx.lexicographical_topological_sort(graph, key=list(graph).index))
        arrows: nx.DiGraph[str] = nx.DiGraph()
        joined: nx.Graph[str] = nx.Graph()
        order = tuple(name for name in whole if name in kept)
        arrows.add_nodes_from(order)
        joined.add_nodes_from(order)
        seen_next: dict[str, list[str]] = {}
        for name in reversed(whole):
            met = dict.fromkeys(
                each for child in graph.successors(name) for each in ([child] if child in kept else seen_next[child])
            )
            seen_next[name] = list(met)
        for name in whole:
            if name in kept:
                arrows.add_edges_from((name, effect) for effect in seen_next[name])
                continue
            for pair in combinations(seen_next[name], 2):
                if not joined.has_edge(*pair):
                    joined.add_edge(*pair, latent=[])
                joined.edges[pair]["latent"].append(name)
        return cls(order, arrows, joined)

    def among(self, names: Collection[str]) -> "Projection":
        """The part between some of the variables."""
        kept = set(names)
        order = tuple(name for name in self.order if name in kept)
        return Projection(order, self.arrows.subgraph(kept), self.joined.subgraph(kept))

    def causes(self, names: Iterable[str]) -> set[str]:
        """The variables themselves and everything that causes them."""
        return with_ancestors(self.arrows, list(names))

    def parents(self, names: Iterable[str]) -> set[str]:
        """The variables themselves and their direct causes."""
        listed = set(names)
        return listed.union(*(self.arrows.predecessors(name) for name in listed))

    def districts(self) -> list[frozenset[str]]:
        """Sets of variables that latent causes join (c-components, Tian and Pearl 2002), by their first variable."""
        place = {name: index for index, name in enumerate(self.order)}
        found = [frozenset(each) for each in nx.connected_components(self.joined)]
        return sorted(found, key=lambda names: min(place[name] for name in names))

    def district(self, name: str) -> frozenset[str]:
        """The district of a variable."""
        return frozenset(nx.node_connected_component(self.joined, name))
