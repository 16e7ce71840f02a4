"""Factors of districts: what one of them does while everything else is forced, or the hedge that hides it."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import networkx as nx

from hf_trace.effects.identifying.estimands import Conditional, Estimand, product_of, ratio_of, total_of
from hf_trace.effects.identifying.projection import Projection


@dataclass(frozen=True)
class Hedge:
    """Why no formula exists (Shpitser and Pearl 2006, definition 6).

    Latent causes join all variables of ``whole``, and those of ``part`` among themselves; everything in ``whole`` acts
    on ``part`` within it. Then two models agree in all that is observed and differ in what the treatments do.

    Attributes:
        projection: The graph between observed variables.
        whole: Variables with treatments among them.
        part: Those of them without treatments.
        treatment: A treatment in ``whole``.
    """

    projection: Projection
    whole: frozenset[str]
    part: frozenset[str]
    treatment: str

    @cached_property
    def confounding(self) -> tuple[str, ...]:
        """Observed and latent variables in turn, from the treatment to the part that it acts on."""
        path = self._joined_path
        steps = [name for pair in pairwise(path) for name in (pair[0], self.latent_of(pair)[0])]
        return (*steps, path[-1])

    @cached_property
    def _joined_path(self) -> list[str]:
        joined = self.projection.among(self.whole).joined
        return nx.multi_source_dijkstra_path(joined, set(self.part))[self.treatment][::-1]

    def latent_of(self, pair: tuple[str, str]) -> list[str]:
        """The latent variables that join two of the observed ones."""
        latent: list[str] = self.projection.joined.edges[pair]["latent"]
        return latent

    @cached_property
    def acting(self) -> tuple[str, ...]:
        """Along which arrows the treatment acts on that part."""
        arrows = self.projection.among(self.whole).arrows
        paths = nx.single_source_shortest_path(arrows, self.treatment)
        return min((tuple(path) for end, path in paths.items() if end in self.part), key=len)

    @property
    def latent(self) -> tuple[str, ...]:
        """All latent variables that join neighbours along ``confounding``."""
        return tuple(dict.fromkeys(name for pair in pairwise(self._joined_path) for name in self.latent_of(pair)))


def district_factor(part: Projection, wanted: frozenset[str], do: Collection[str]) -> Estimand | Hedge:
    """Q[wanted]: p(wanted | everything else forced), from conditionals (Tian and Pearl 2002, figure 7)."""
    whole = part.district(next(iter(wanted)))
    factor = product_of(conditional_factor(part, name) for name in part.order if name in whole)
    return cut_out(part, whole, factor, wanted, do)


def cut_out(
    part: Projection, whole: frozenset[str], factor: Estimand, wanted: frozenset[str], do: Collection[str]
) -> Estimand | Hedge:
    """Q[wanted] from Q[whole].

    Args:
        part: The graph between observed variables.
        whole: A district of it.
        factor: Its factor.
        wanted: Some of its variables, which latent causes join among themselves.
        do: Treatments, of which a hedge names one.
    """
    while True:
        inside = part.among(whole)
        acting = inside.causes(wanted)
        factor = total_of([name for name in inside.order if name not in acting], factor)
        if acting == wanted:
            return factor
        if acting == whole:
            treatment = next(name for name in inside.order if name in do)
            return Hedge(part, whole, wanted, treatment)
        inside = inside.among(acting)
        whole = inside.district(next(iter(wanted)))
        factor = product_of(next_given_earlier(inside.order, name, factor) for name in inside.order if name in whole)


def conditional_factor(part: Projection, name: str) -> Conditional:
    """p(name | all before it), given only those that matter: its district so far, and their causes."""
    earlier = part.among(part.order[: part.order.index(name) + 1])
    known = earlier.parents(earlier.district(name)) - {name}
    return Conditional((name,), tuple(each for each in earlier.order if each in known))


def next_given_earlier(order: tuple[str, ...], name: str, factor: Estimand) -> Estimand:
    """Q[up to a name] / Q[before it] of a factor over all of an order (Tian and Pearl 2002, lemma 4)."""
    place = order.index(name)
    return ratio_of(total_of(order[place + 1 :], factor), total_of(order[place:], factor))
