"""Complete identification: a formula of observed conditionals for any question that has one, else the hedge."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from hf_trace.effects.identifying.estimands import Conditional, Estimand, product_of, ratio_of, total_of, variables_of
from hf_trace.effects.identifying.factors import Hedge, district_factor
from hf_trace.effects.identifying.open_paths import open_path, spelled
from hf_trace.effects.identifying.projection import Projection
from hf_trace.effects.identifying.selection import SelectionBias, recovered_factor

Refusal = Hedge | SelectionBias


@dataclass(frozen=True, eq=False)
class CompleteQuestion:
    """p(targets | do, given) on a graph with latent variables.

    Attributes:
        graph: A directed acyclic graph, latent variables included.
        observed: Which variables are in a table.
        targets: What is asked about.
        do: Treatments.
        given: Evidence.
        selection: The variable by which the rows of the table were chosen, if they were; it causes nothing.
    """

    graph: "nx.DiGraph[str]"
    observed: frozenset[str]
    targets: frozenset[str]
    do: frozenset[str]
    given: frozenset[str] = frozenset()
    selection: str | None = None

    def formula(self) -> Estimand | Refusal:
        """A formula of observed conditionals, or why there is none.

        Algorithm IDC (Shpitser and Pearl, UAI 2006, figure 6) around the algorithm of Tian and Pearl (2002) for
        unconditional effects, which is complete as well (Huang and Valtorta 2006). Where rows were chosen it is a
        formula of what is seen in those, for everybody (Bareinboim and Tian 2015).

        Returns:
            A formula whose value depends on targets, treatments and evidence only.

        Example:
            >>> front_door = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "M"), ("M", "Y")])
            >>> from hf_trace.effects.identifying.estimands import as_text
            >>> asked = CompleteQuestion(front_door, frozenset("XMY"), frozenset("Y"), frozenset("X"))
            >>> as_text(asked.formula())
            "Σ_{M} p(M | X) Σ_{X'} p(X') p(Y | X', M)"
        """
        if self.selection and not self.do and not open_path(self.graph, [self.selection], self.targets, self.given):
            return Conditional(self._sorted(self.targets), self._sorted(self.given))
        do, given = self.do, self.given
        while idle := next((name for name in sorted(given) if self._acts_as_forced(name, do, given)), None):
            do, given = do | {idle}, given - {idle}
        asked = self.targets | given
        found = self._effect(asked, do)
        if isinstance(found, Refusal) or not given:
            return found
        return ratio_of(found, total_of(self._sorted(self.targets), found))

    def simplest(self) -> Estimand | Refusal:
        """A formula with as few variables as are needed: none can be left out, those asked about aside."""
        found = self.formula()
        if isinstance(found, Refusal):
            return found
        question, asked = self, self.targets | self.do | self.given
        for name in self._sorted(self.observed - asked):
            if name not in variables_of(found):
                question = question._with(question.observed - {name})
                continue
            smaller = question._with(question.observed - {name})
            formula = smaller.formula()
            if not isinstance(formula, Refusal):
                question, found = smaller, formula
        return found

    def _with(self, observed: frozenset[str]) -> "CompleteQuestion":
        return replace(self, observed=observed)

    def suffices(self, measured: Collection[str]) -> bool:
        """Whether there is a formula once some latent variables are measured."""
        return not isinstance(self._with(self.observed | set(measured)).formula(), Refusal)

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

    def _effect(self, asked: frozenset[str], do: frozenset[str]) -> Estimand | Refusal:
        """p(asked | do), whose value may not depend on anything else."""
        part = self.projection.among(self.projection.causes(asked))
        rest = part.among(set(part.order) - do)
        wanted = rest.among(rest.causes(asked))
        factors = []
        for district in wanted.districts():
            factor = self._factor(part, district, do)
            if isinstance(factor, Refusal):
                return factor
            factors.append(factor)
        found = total_of([name for name in wanted.order if name not in asked], product_of(factors))
        # Any values of what else stands in the formula give the same: they are averaged.
        loose = self._sorted(found.free - asked - do)
        return total_of(loose, product_of([Conditional(loose), found])) if loose else found

    def _factor(self, part: Projection, district: frozenset[str], do: frozenset[str]) -> Estimand | Refusal:
        """Q[district], from all rows or from chosen ones."""
        if self.selection is None:
            return district_factor(part, district, do)
        whole = Projection.of(self.graph, self.observed | {self.selection})
        return recovered_factor(whole, district, do, self.selection)


def refusal_of(query: str, question: CompleteQuestion, refusal: Refusal) -> str:
    """Why a question has no answer, and what would have to be measured, in one line.

    Args:
        query: The question, spelled out.
        question: The same.
        refusal: What identification found.
    """
    return refusal.refusal(query) if isinstance(refusal, SelectionBias) else _hedged(query, question, refusal)


def _hedged(query: str, question: CompleteQuestion, hedge: Hedge) -> str:
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
