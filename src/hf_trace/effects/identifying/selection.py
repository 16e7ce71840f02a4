"""Rows that were chosen by a variable: what they still tell of everybody."""

from collections.abc import Collection
from dataclasses import dataclass

import networkx as nx

from hf_trace.effects.identifying.estimands import Conditional, Estimand, product_of, ratio_of, total_of
from hf_trace.effects.identifying.factors import Hedge, conditional_factor, cut_out, next_given_earlier
from hf_trace.effects.identifying.projection import Projection


@dataclass(frozen=True)
class SelectionBias:
    """Why rows that were chosen do not tell an answer.

    Attributes:
        selection: Where chosen rows differ from others.
        part: Variables that play a part in the answer and whose distribution, all else forced, the choice has changed.
        path: Along which arrows one of them leads to the choice, or what shares a latent cause with one.
    """

    selection: str
    part: frozenset[str]
    path: tuple[str, ...]

    def refusal(self, query: str) -> str:
        """Why a question has no answer, and what would help, in one line."""
        listed, start = sorted(map(repr, self.part)), self.path[0]
        why = f"{start!r} leads to the choice along {' → '.join(map(repr, self.path))}"
        if start == self.selection:
            why = f"latent causes of {listed[0]} lead to the choice {start!r}"
        elif start not in self.part:
            why += f" and shares latent causes with {listed[0]}"
        return (
            f"No formula of chosen rows is found for {query} of everybody: {why}, so {' and '.join(listed)} can differ "
            "there. Name a table of everybody that has what leads to the choice (`--population TABLE`), or ask given "
            "it."
        )


def recovered_factor(
    part: Projection, wanted: frozenset[str], do: Collection[str], selection: str
) -> Estimand | Hedge | SelectionBias:
    """Q[wanted] of everybody from conditionals of chosen rows (Bareinboim and Tian 2015, algorithm RC).

    A district that nothing in it leads to the choice keeps its mechanisms in the chosen rows, and its factor can be
    read off there. What is left after dividing by all such factors is smaller, and may have more of them.
    What is found is right; with evidence, which is asked for together with the target, a formula may be missed.

    Args:
        part: The graph between observed variables and the one that says which rows were chosen.
        wanted: A district of what causes anything asked once treatments are forced.
        do: Treatments.
        selection: The variable that says which rows were chosen.
    """
    factor: Estimand | None = None
    while True:
        choosing = part.causes([selection])
        part, gone = _kept(part, part.causes(wanted) | choosing)
        order = _choosing_first(part, choosing, selection)
        fair = [each for each in part.districts() if not each & choosing]
        if factor is None:
            factor = product_of(_first_factor(part, order, name, fair) for name in order)
        else:
            factor = total_of(gone, factor)
        for district in fair:
            if wanted <= district:
                own = product_of(next_given_earlier(order, name, factor) for name in order if name in district)
                return cut_out(part, district, own, wanted, do)
        if not fair:
            return _bias(part, wanted, choosing, selection)
        known = [next_given_earlier(order, name, factor) for name in order if any(name in each for each in fair)]
        factor = ratio_of(factor, product_of(known))
        part = part.among(set(part.order).difference(*fair))


def _kept(part: Projection, names: Collection[str]) -> tuple[Projection, tuple[str, ...]]:
    return part.among(names), tuple(name for name in part.order if name not in names)


def _choosing_first(part: Projection, choosing: Collection[str], selection: str) -> tuple[str, ...]:
    """An order of the observed variables in which those that lead to the choice come first."""
    observed = [name for name in part.order if name != selection]
    return tuple(sorted(observed, key=lambda name: name not in choosing))


def _first_factor(part: Projection, order: tuple[str, ...], name: str, fair: Collection[frozenset[str]]) -> Conditional:
    """p(name | all before it) in chosen rows, given only what matters where the choice has changed nothing."""
    if any(name in each for each in fair):
        return conditional_factor(Projection(order, part.arrows, part.joined), name)
    return Conditional((name,), order[: order.index(name)])


def _bias(part: Projection, wanted: frozenset[str], choosing: set[str], selection: str) -> SelectionBias:
    """How what is wanted leads to the choice."""
    district = part.district(next(iter(wanted)))
    start = min(district & choosing, key=lambda name: (name not in wanted, part.order.index(name)))
    return SelectionBias(selection, wanted, tuple(nx.shortest_path(part.arrows, start, selection)))
