"""Causal questions about the variables of a known graph, in codes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hf_trace.data.dags.schema import DagSchema
from hf_trace.data.dags.tokens import Content
from hf_trace.errors import QueryError

Codes = NDArray[np.int64]


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
    probabilities: Callable[[Codes], NDArray[np.float64]]


Intervention = Force | Continue | Follow


@dataclass(frozen=True)
class Query:
    """p(target | do, given), or what the target would be for those who had another treatment.

    Attributes:
        target: A finite variable.
        do: What is done to variables.
        given: Values that are known, of variables before or after what is done.
        treated: Values that forced variables had of themselves: the average then runs over those with that value
            (effects of treatment on the treated).
    """

    target: str
    do: Mapping[str, Intervention] = field(default_factory=dict)
    given: Mapping[str, int] = field(default_factory=dict)
    treated: Mapping[str, int] = field(default_factory=dict)

    @property
    def signature(self) -> tuple[object, ...]:
        """Queries of one signature differ in values alone, and are answered together."""
        kinds = tuple(
            (name, Force if isinstance(each, Force) else id(each)) for name, each in sorted(self.do.items())
        )
        return self.target, kinds, tuple(sorted(self.given)), tuple(sorted(self.treated))


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
    for name in (*query.do, *query.given, *query.treated):
        schema.observed(name)
    if query.target in query.do:
        raise QueryError(
            f"The target {query.target!r} is intervened on. Expected another target, or leave it out of do."
        )
    if query.target in query.given:
        raise QueryError(
            f"The target {query.target!r} is given already. Expected another target, or leave it out of given."
        )
    if both := [name for name in query.do if name in query.given]:
        raise QueryError(
            f"{both[0]!r} is both intervened on and given. Expected one of the two: do sets it, given observes it."
        )
    if loose := [name for name in query.treated if not isinstance(query.do.get(name), Force)]:
        raise QueryError(f"{loose[0]!r} is named as treated but not forced. Expected a value in do as well.")
    for name, each in query.do.items():
        _check_intervention(schema, name, each)


def _check_intervention(schema: DagSchema, name: str, intervention: Intervention) -> None:
    variable = schema[name]
    if isinstance(intervention, Continue) and variable.is_finite:
        raise QueryError(
            f"{name!r} is {variable.kind}, expected a sequence where only its beginning is forced."
        )
    if isinstance(intervention, Follow):
        if not variable.is_finite:
            raise QueryError(
                f"{name!r} is a {variable.kind}, expected a variable with a few values for a policy."
            )
        after = schema.descendants(name) | {name}
        if wrong := [read for read in intervention.reads if read in after]:
            raise QueryError(
                f"The policy of {name!r} looks at {wrong[0]!r}, which {name!r} causes. Expected variables before it."
            )
