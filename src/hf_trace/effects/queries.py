"""Causal questions about the variables of a known graph, in codes, and how they are walked."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.identification import Identification, answers_along, identify
from hf_trace.errors import QueryError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Content


@dataclass(frozen=True)
class Force:
    """The variable is given this value: do(A = a).

    Attributes:
        code: The value.
    """

    code: int


@dataclass(frozen=True)
class Continue:
    """The first items of a sequence are forced, the model goes on as it saw others do: a partial intervention.

    Attributes:
        prefix: Tokens forced first.
        length: Items in all; None leaves the length to the model.
    """

    prefix: Content = ()
    length: int | None = None


@dataclass(frozen=True)
class Follow:
    """The variable is drawn from a policy.

    Attributes:
        reads: Variables the policy looks at; none of them may be caused by the variable.
        probabilities: From their codes, ``[row, variable]``, to probabilities of the values, ``[row, value]``.
    """

    reads: tuple[str, ...]
    probabilities: Callable[[Codes], Floats]


Intervention = Force | Continue | Follow


@dataclass(frozen=True)
class Query:
    """p(target | do, given), or what the target would be for those who had another treatment.

    Attributes:
        target: A finite variable.
        do: What is done to variables.
        given: Values that are known, of variables before or after what is done.
        treated: Values that forced variables took by themselves: the average then runs over rows with that value
            (effects of treatment on the treated).
        selection: By which latent variable the rows of the table were chosen, if they were.
    """

    target: str
    do: Mapping[str, Intervention] = field(default_factory=dict)
    given: Mapping[str, int] = field(default_factory=dict)
    treated: Mapping[str, int] = field(default_factory=dict)
    selection: str | None = None

    @property
    def signature(self) -> tuple[object, ...]:
        """Queries of one signature differ only in values, and are answered together."""
        kinds = tuple((name, Force if isinstance(each, Force) else id(each)) for name, each in sorted(self.do.items()))
        return self.target, kinds, tuple(sorted(self.given)), tuple(sorted(self.treated)), self.selection


def check_query(schema: DagSchema, query: Query) -> None:
    """Refuse a question that contradicts itself.

    Raises:
        QueryError: If a variable does not exist, is latent, or has two roles.
    """
    target = schema.observed(query.target)
    if not target.is_finite:
        raise QueryError(
            f"The target {target.name!r} is a {target.kind}, expected a variable with a few values. Ask about one."
        )
    schema.check_question(query.target, query.do, query.given)
    if loose := [name for name in query.treated if not isinstance(query.do.get(name), Force)]:
        raise QueryError(f"{loose[0]!r} is named as treated but not forced. Expected a value in do as well.")
    for name, each in query.do.items():
        _check_intervention(schema, name, each)


def _check_intervention(schema: DagSchema, name: str, intervention: Intervention) -> None:
    variable = schema[name]
    if isinstance(intervention, Continue) and variable.is_finite:
        raise QueryError(f"{name!r} is {variable.kind}, expected a sequence where only its beginning is forced.")
    if isinstance(intervention, Follow):
        if not variable.is_finite:
            raise QueryError(f"{name!r} is a {variable.kind}, expected a variable with a few values for a policy.")
        after = schema.descendants(name) | {name}
        if wrong := [read for read in intervention.reads if read in after]:
            raise QueryError(
                f"The policy of {name!r} looks at {wrong[0]!r}, which {name!r} causes. Expected variables before it."
            )


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
    found = identify(
        known, target=query.target, do=tuple(query.do), given=tuple(query.given), selection=query.selection
    )
    order = found.order
    if conditionals.fixed_order and not conditionals.parents_only:
        last = max(schema.topological_order.index(name) for name in order)
        order = schema.topological_order[: last + 1]
        by_formula = found.estimand is not None  # of the joint distribution, which any order gives
        if not by_formula and not answers_along(
            known, order, target=query.target, do=tuple(query.do), given=tuple(query.given)
        ):
            raise QueryError(
                "The model was taught one order of the variables, and the question needs another because of latent "
                "variables. Train with random orders (`--order random`)."
            )
    return QueryPlan(order, found)


def formula_plan(conditionals: Conditionals, query: Query, most_states: int) -> QueryPlan | None:
    """A plan by a formula, for a question that a walk answers too: rows can then be counted, see ``towards_rows``.

    Args:
        conditionals: The model.
        query: The question.
        most_states: Most values of all variables together that are enumerated.

    Returns:
        None where only the walk answers: what is done is no value, it is about the treated, or values are many.
    """
    if query.treated or not all(isinstance(each, Force) for each in query.do.values()):
        return None
    schema = conditionals.schema
    found = identify(schema, target=query.target, do=tuple(query.do), given=tuple(query.given), by_formula=True)
    order = found.order
    if conditionals.fixed_order and not conditionals.parents_only:
        order = schema.topological_order[: max(map(schema.topological_order.index, order)) + 1]
    is_finite = all(schema[name].is_finite for name in order)
    few = is_finite and math.prod(len(conditionals.tokens[name].values) for name in order) <= most_states
    return QueryPlan(order, found) if few else None


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
    """Variables whose value is asked for up to a place in the order and not after it."""
    last = {name: index for index, name in enumerate(plan.order)}
    for index, name in enumerate(plan.order):
        intervention = query.do.get(name)
        reads = intervention.reads if isinstance(intervention, Follow) else ()
        for parent in (*conditionals.schema[name].parents, *reads):
            if parent in last:
                last[parent] = max(last[parent], index)
    return [name for name, index in last.items() if index == place and name != query.target]
