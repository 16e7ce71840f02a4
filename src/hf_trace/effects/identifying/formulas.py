"""Complete identification: a formula of observed conditionals for any question that has one, else the hedge."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import networkx as nx

from hf_trace.effects.identifying.estimands import Conditional, Estimand, product_of, ratio_of, total_of, variables_of
from hf_trace.effects.identifying.open_paths import open_path, spelled
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


@dataclass(frozen=True, eq=False)
class CompleteQuestion:
    """p(targets | do, given) on a graph with latent variables.

    Attributes:
        graph: A directed acyclic graph, latent variables included.
        observed: Which variables are in a table.
        targets: What is asked about.
        do: Treatments.
        given: Evidence.
    """

    graph: "nx.DiGraph[str]"
    observed: frozenset[str]
    targets: frozenset[str]
    do: frozenset[str]
    given: frozenset[str] = frozenset()

    def formula(self) -> Estimand | Hedge:
        """A formula of observed conditionals, or why there is none.

        Algorithm IDC (Shpitser and Pearl, UAI 2006, figure 6) around the algorithm of Tian and Pearl (2002) for
        unconditional effects, which is complete as well (Huang and Valtorta 2006).

        Returns:
            A formula whose value depends on targets, treatments and evidence only.

        Example:
            >>> front_door = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "M"), ("M", "Y")])
            >>> from hf_trace.effects.identifying.estimands import as_text
            >>> asked = CompleteQuestion(front_door, frozenset("XMY"), frozenset("Y"), frozenset("X"))
            >>> as_text(asked.formula())
            "Σ_{M} p(M | X) Σ_{X'} p(X') p(Y | X', M)"
        """
        do, given = self.do, self.given
        while idle := next((name for name in sorted(given) if self._acts_as_forced(name, do, given)), None):
            do, given = do | {idle}, given - {idle}
        asked = self.targets | given
        found = self._effect(asked, do)
        if isinstance(found, Hedge) or not given:
            return found
        return ratio_of(found, total_of(self._sorted(self.targets), found))

    def simplest(self) -> Estimand | Hedge:
        """A formula with as few variables as are needed: none can be left out, those asked about aside."""
        found = self.formula()
        if isinstance(found, Hedge):
            return found
        question, asked = self, self.targets | self.do | self.given
        for name in self._sorted(self.observed - asked):
            if name not in variables_of(found):
                question = question._with(question.observed - {name})
                continue
            smaller = question._with(question.observed - {name})
            formula = smaller.formula()
            if not isinstance(formula, Hedge):
                question, found = smaller, formula
        return found

    def _with(self, observed: frozenset[str]) -> "CompleteQuestion":
        return CompleteQuestion(self.graph, observed, self.targets, self.do, self.given)

    def suffices(self, measured: Collection[str]) -> bool:
        """Whether there is a formula once some latent variables are measured."""
        return not isinstance(self._with(self.observed | set(measured)).formula(), Hedge)

    @cached_property
    def projection(self) -> Projection:
        """The graph between observed variables."""
        return Projection.of(self.graph, self.observed)

    def _sorted(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self.projection.order if name in names)

    def _acts_as_forced(self, name: str, do: frozenset[str], given: frozenset[str]) -> bool:
        """Rule 2 of the do-calculus: seeing a variable is as good as forcing it."""
        cut = nx.DiGraph(self.graph)
        cut.remove_edges_from([*cut.in_edges(do), *cut.out_edges(name)])
        return not open_path(cut, [name], self.targets, do | given - {name})

    def _effect(self, asked: frozenset[str], do: frozenset[str]) -> Estimand | Hedge:
        """p(asked | do), whose value may not depend on anything else."""
        part = self.projection.among(self.projection.causes(asked))
        rest = part.among(set(part.order) - do)
        wanted = rest.among(rest.causes(asked))
        factors = []
        for district in wanted.districts():
            factor = district_factor(part, district, do)
            if isinstance(factor, Hedge):
                return factor
            factors.append(factor)
        found = total_of([name for name in wanted.order if name not in asked], product_of(factors))
        # Any values of what else stands in the formula give the same: they are averaged.
        loose = self._sorted(found.free - asked - do)
        return total_of(loose, product_of([Conditional(loose), found])) if loose else found


def district_factor(part: Projection, wanted: frozenset[str], do: frozenset[str]) -> Estimand | Hedge:
    """Q[wanted]: p(wanted | everything else forced), from conditionals (Tian and Pearl 2002, figure 7)."""
    whole = part.district(next(iter(wanted)))
    factor = product_of(conditional_factor(part, name) for name in part.order if name in whole)
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
        factor = product_of(_next_given_earlier(inside.order, name, factor) for name in inside.order if name in whole)


def conditional_factor(part: Projection, name: str) -> Conditional:
    """p(name | all before it), given only those that matter: its district so far, and their causes."""
    earlier = part.among(part.order[: part.order.index(name) + 1])
    known = earlier.parents(earlier.district(name)) - {name}
    return Conditional((name,), tuple(each for each in earlier.order if each in known))


def _next_given_earlier(order: tuple[str, ...], name: str, factor: Estimand) -> Estimand:
    """Q[up to name] / Q[before name] of a factor over all of ``order`` (Tian and Pearl 2002, lemma 4)."""
    place = order.index(name)
    return ratio_of(total_of(order[place + 1 :], factor), total_of(order[place:], factor))


def refusal_of(query: str, question: CompleteQuestion, hedge: Hedge) -> str:
    """Why a question has no answer, and what would have to be measured, in one line.

    Args:
        query: The question, spelled out.
        question: The same.
        hedge: What identification found.
    """
    treatment, end = hedge.confounding[0], hedge.confounding[-1]
    target = next(iter(question.targets))
    named = " and ".join(map(repr, hedge.latent))
    acting = spelled(hedge.projection.arrows, hedge.acting)
    if len(hedge.confounding) == 3:
        verb = "causes" if len(hedge.latent) == 1 else "cause"
        why = f"the latent {named} {verb} both {treatment!r} and {end!r}, and nothing observed blocks it"
    else:
        path = spelled(_arrows_of(hedge.confounding), hedge.confounding)
        why = f"the path {path} through the latent {named} stays open whatever is known"
    if end != target or len(hedge.acting) > 2:
        why += f", while {treatment!r} acts along {acting}"
    return (
        f"{query} cannot be told from observations: {why}. {_remedy(question, hedge)}. (No formula of observed "
        "quantities gives it: the search for one is complete. `--bounds` says how far the answer may lie.)"
    )


def _remedy(question: CompleteQuestion, hedge: Hedge) -> str:
    """What to measure: one latent variable that is enough, else those of the path, else all that join the hedge."""
    # The hedge stays one while nothing that joins its variables is measured.
    inside = hedge.projection.among(hedge.whole).joined
    candidates = dict.fromkeys(hedge.latent)
    for one, other in inside.edges:
        candidates |= dict.fromkeys(hedge.latent_of((one, other)))
    if alone := [name for name in candidates if question.suffices([name])]:
        between = ""
        if hedge.latent == tuple(alone):
            between = (
                f", or a variable between it and {hedge.confounding[-1]!r} that {hedge.treatment!r} does not cause"
            )
        return f"Measure {' or '.join(map(repr, alone[:3]))}{between}"
    if question.suffices(hedge.latent):
        return f"Measure {' and '.join(map(repr, hedge.latent))}"
    rest = "" if question.suffices(candidates) else ", which is not enough: ask again then"
    return f"Measure {' and '.join(map(repr, candidates))}{rest}"


def _arrows_of(path: Sequence[str]) -> "nx.DiGraph[str]":
    """A path whose every second name causes its neighbours."""
    return nx.DiGraph(
        (latent, name)
        for place in range(1, len(path), 2)
        for latent, name in ((path[place], path[place - 1]), (path[place], path[place + 1]))
    )
