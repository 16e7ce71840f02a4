"""How a question is walked: which variables, in which order, and how many completions that makes."""

import math
from dataclasses import dataclass

from hf_trace.causal.conditionals import Conditionals
from hf_trace.causal.identification import Identification, answers_along, identify
from hf_trace.causal.queries import Follow, Force, Query
from hf_trace.errors import QueryError


@dataclass(frozen=True)
class QueryPlan:
    """How a question is walked.

    Attributes:
        order: Variables that must have values, in a causal order.
        identification: Why the walk gives the interventional distribution.
    """

    order: tuple[str, ...]
    identification: Identification


def query_plan(conditionals: Conditionals, query: Query) -> QueryPlan:
    """The order in which the variables of a question are walked.

    Raises:
        NotIdentifiedError: If latent variables leave the question open.
        QueryError: If the model was taught an order that does not suit it.
    """
    schema = conditionals.schema
    # What a policy looks at must come before what it decides, as parents do.
    policies = {
        name: tuple(dict.fromkeys((*schema[name].parents, *each.reads)))
        for name, each in query.do.items()
        if isinstance(each, Follow)
    }
    known = schema.with_parents(policies) if policies else schema
    found = identify(known, target=query.target, do=tuple(query.do), given=tuple(query.given))
    order = found.order
    if conditionals.fixed_order and not conditionals.parents_only:
        last = max(schema.topological_order.index(name) for name in order)
        order = schema.topological_order[: last + 1]
        if not answers_along(known, order, target=query.target, do=tuple(query.do), given=tuple(query.given)):
            raise QueryError(
                "The model was taught one order of the variables, and the question needs another because of latent "
                "variables. Train with random orders (`--order random`)."
            )
    return QueryPlan(order, found)


def completions(conditionals: Conditionals, plan: QueryPlan, query: Query) -> float:
    """Most completions that are held at a time when all are enumerated; infinite if some cannot be."""
    states, most = 1.0, 1.0
    for place, name in enumerate(plan.order):
        if isinstance(query.do.get(name), Force) or name in query.given:
            continue
        if not conditionals.schema[name].is_finite:
            return math.inf
        states *= len(conditionals.tokens[name].values)
        most = max(most, states)
        if conditionals.parents_only:
            for gone in forgotten(conditionals, plan, place, query):
                fixed = isinstance(query.do.get(gone), Force) or gone in query.given
                states /= 1 if fixed else len(conditionals.tokens[gone].values)
    return most


def forgotten(conditionals: Conditionals, plan: QueryPlan, place: int, query: Query) -> list[str]:
    """Variables whose value nobody asks for after a place in the order, but did until then."""
    last = {name: index for index, name in enumerate(plan.order)}
    for index, name in enumerate(plan.order):
        intervention = query.do.get(name)
        reads = intervention.reads if isinstance(intervention, Follow) else ()
        for parent in (*conditionals.schema[name].parents, *reads):
            if parent in last:
                last[parent] = max(last[parent], index)
    return [name for name, index in last.items() if index == place and name != query.target]
