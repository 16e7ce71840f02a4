"""Whether a question has an answer, by trying everything: subsets of the evidence, and all sets that may be hedges.

It shares no code with ``hf_trace.effects.identifying``: sets are bits of whole numbers, d-separation is that of
networkx, and a hedge is looked for by its definition among all sets (Shpitser and Pearl 2006, definition 6; Huang and
Valtorta 2006 for why nothing else stands in the way).
"""

from itertools import chain, combinations

import networkx as nx


class Searched:
    """A graph with latent variables, as bits.

    Args:
        graph: Acyclic.
        observed: Which of its variables are in a table.
    """

    def __init__(self, graph: nx.DiGraph, observed: set[str]) -> None:
        self.graph, self.names = graph, sorted(observed)
        self.bit = {name: 1 << place for place, name in enumerate(self.names)}
        self.parents = dict.fromkeys(self.bit.values(), 0)
        self.joined = dict.fromkeys(self.bit.values(), 0)
        for name in graph:
            reached = self._next_observed(name)
            if name in observed:
                for other in reached:
                    self.parents[self.bit[other]] |= self.bit[name]
            for one, other in combinations(sorted(reached), 2) if name not in observed else ():
                self.joined[self.bit[one]] |= self.bit[other]
                self.joined[self.bit[other]] |= self.bit[one]

    def _next_observed(self, name: str) -> set[str]:
        """Observed variables at the ends of paths through latent ones."""
        found: set[str] = set()
        for child in self.graph.successors(name):
            found |= {child} if child in self.bit else self._next_observed(child)
        return found

    def bits(self, names: set[str]) -> int:
        """A set of names."""
        return sum(self.bit[name] for name in names)

    def _grown(self, start: int, inside: int, neighbours: dict[int, int]) -> int:
        while True:
            more = start
            for bit, others in neighbours.items():
                more |= others & inside if bit & start else 0
            if more == start:
                return start
            start = more

    def districts(self, inside: int) -> list[int]:
        """Sets that latent causes join."""
        found, left = [], inside
        while left:
            found.append(self._grown(left & -left, inside, self.joined))
            left &= ~found[-1]
        return found

    def causes(self, of: int, inside: int) -> int:
        """What acts on a set within another one."""
        return self._grown(of & inside, inside, self.parents)

    def has_effect(self, asked: set[str], do: set[str]) -> bool:
        """Whether p(asked | do) has a formula: none of its districts is the inner part of a hedge."""
        whole = (1 << len(self.names)) - 1
        wanted = self.causes(self.bits(asked), whole & ~self.bits(do))
        return not any(self._is_hedged(part, whole) for part in self.districts(wanted))

    def _is_hedged(self, part: int, whole: int) -> bool:
        rest = whole & ~part
        more = rest
        while more:  # all sets but the empty one that could be added
            around = part | more
            if self.causes(part, around) == around and len(self.districts(around)) == 1:
                return True
            more = (more - 1) & rest
        return False

    def has_answer(self, target: str, do: set[str], given: set[str]) -> bool:
        """Whether p(target | do, given) has a formula: for some of the evidence that may count as forced."""
        subsets = chain.from_iterable(combinations(sorted(given), size) for size in range(len(given) + 1))
        return any(
            self._is_as_forced(target, do, set(forced), given - set(forced))
            and self.has_effect({target} | given - set(forced), do | set(forced))
            for forced in subsets
        )

    def _is_as_forced(self, target: str, do: set[str], forced: set[str], seen: set[str]) -> bool:
        """Rule 2 of the do-calculus."""
        cut = self.graph.copy()
        cut.remove_edges_from([*self.graph.in_edges(do), *self.graph.out_edges(forced)])
        return not forced or nx.is_d_separator(cut, forced, {target}, do | seen)
