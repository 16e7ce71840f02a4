"""Whether observations tell what an intervention does, and in which order to walk the variables to compute it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import networkx as nx

from hf_trace.effects.identifying.estimands import Estimand, as_text, variables_of
from hf_trace.effects.identifying.formulas import CompleteQuestion, Refusal, refusal_of
from hf_trace.effects.identifying.open_paths import open_path, with_ancestors
from hf_trace.errors import NotIdentifiedError, QueryError
from hf_trace.tables.schema import DagSchema

_MOST_TREATMENT_ORDERS = 24


@dataclass(frozen=True)
class Identification:
    """A question that observations answer, and how.

    Attributes:
        target: What is asked about.
        do: Treatments, in the order in which they are forced.
        given: Evidence, in the order of the graph.
        order: Observed variables: ``target``, ``do``, ``given`` and all their observed ancestors, causes before
            effects, so that everything before any place is closed under observed ancestors. Let a walk force the
            treatments and draw every other variable v from the *observational* p(v | all variables earlier in the
            order, at the values that they have in this walk, forced ones included). Then its draws of
            (target, given) follow p(target, given | do). Conditioning them on ``given`` gives
            p(target | do, given): evidence is forced as well and the walk weighted by its conditionals.
            Treatments and evidence stand as early as that allows, and the target as late.
        adjustment: For every treatment, the earlier variables that its back-door paths need: none can be spared
            while earlier treatments and earlier evidence, which always count as known, are kept.
        latent: The latent variables that cause anything in the order; empty if they play no part.
        estimand: Where no walk answers, a formula of conditionals of variables in the order that does: the order is
            then only one in which their joint distribution can be written, and nothing is adjusted for.
        selection: By which variable the rows were chosen whose conditionals these are; None where they were not.
    """

    target: str
    do: tuple[str, ...]
    given: tuple[str, ...]
    order: tuple[str, ...]
    adjustment: Mapping[str, tuple[str, ...]] = field(compare=False)
    latent: tuple[str, ...] = ()
    estimand: Estimand | None = None
    selection: str | None = None

    @property
    def explanation(self) -> str:
        """Why the answer is right, in one sentence."""
        query = _spelled_query(self.target, self.do, self.given)
        if self.estimand is not None:
            seen = (
                f"as in rows that {self.selection!r} chose" if self.selection else "observed (complete identification)"
            )
            return f"{query} = {as_text(self.estimand)}: all of it is {seen}."
        if not self.latent:
            return f"{query} follows from the conditionals of the observed variables: no latent one plays a part."
        parts = [
            f"{name!r} with {', '.join(map(repr, known)) if known else 'nothing'}"
            for name, known in self.adjustment.items()
        ]
        return f"{query} follows from back-door adjustment: {'; '.join(parts) or 'there is no treatment'}."


def identify(
    schema: DagSchema,
    *,
    target: str,
    do: Collection[str],
    given: Collection[str] = (),
    selection: str | None = None,
    by_formula: bool = False,
) -> Identification:
    """Find an order or a formula that answers p(target | do, given) from observations, or say why there is none.

    What it returns is right for every distribution that fits the graph (the theorem above). For a given order of the
    treatments the search is complete for the sequential back-door criterion: if any history serves, so does the
    ancestral one that is tried (Pearl 2009, theorem 4.4.6). Where no order serves, a formula may: the front-door, or
    evidence that matters only through a ratio. That search is complete, so what is refused has no answer at all.

    Args:
        schema: The graph, latent variables included.
        target: What is asked about.
        do: Treatments. A mapping to their values will do.
        given: Evidence.
        selection: The latent variable by which the rows of the table were chosen, if they were. The answer is for
            everybody, from what is seen in chosen rows (Bareinboim and Tian 2015).
        by_formula: Whether a formula is asked for even where an order serves.

    Raises:
        QueryError: If a name is unknown, latent or has two parts in the question, or rows cannot be chosen so.
        NotIdentifiedError: If there is none; the message names latent variables, a path and what to measure.

    Example:
        >>> from hf_trace.tables.variables import Variable
        >>> values = ("no", "yes")
        >>> schema = DagSchema((
        ...     Variable("age", values=values),
        ...     Variable("drug", values=values, parents=("age",)),
        ...     Variable("cured", values=values, parents=("age", "drug")),
        ... ))
        >>> found = identify(schema, target="cured", do={"drug": "yes"})
        >>> found.order, found.adjustment
        (('age', 'drug', 'cured'), {'drug': ('age',)})
    """
    question = _Question.of(schema, target, do, given)
    if selection is not None:
        _check_selection(schema, selection)
        return _by_formula(question, selection)
    order = None if by_formula else _search(question)
    return _by_formula(question) if order is None else _identification(question, order)


def answers_along(
    schema: DagSchema, order: Sequence[str], *, target: str, do: Collection[str], given: Collection[str] = ()
) -> bool:
    """Whether walking *another* order of observed variables, as ``Identification.order`` says, is right as well.

    More variables than are needed do no harm without latent ones, but may open a path between latent ones.

    Args:
        schema: The graph, latent variables included.
        order: Distinct observed variables, with the target, the treatments and the evidence.
        target: What is asked about.
        do: Treatments.
        given: Evidence.

    Returns:
        Whether the order puts causes before effects, has all observed causes of what is in it and meets the
        criterion. False does not mean that the answer would be wrong, but nothing says that it is right.

    Raises:
        QueryError: If a name is unknown, latent or has two parts in the question.

    Example:
        >>> from hf_trace.tables.variables import Variable
        >>> first, second = Variable("first", latent=True), Variable("second", latent=True)
        >>> schema = DagSchema((
        ...     first, second, Variable("both", values=("0", "1"), parents=("first", "second")),
        ...     Variable("drug", values=("0", "1"), parents=("first",)),
        ...     Variable("cured", values=("0", "1"), parents=("second", "drug")),
        ... ))
        >>> answers_along(schema, ["drug", "cured"], target="cured", do=["drug"])
        True
        >>> answers_along(schema, ["both", "drug", "cured"], target="cured", do=["drug"])
        False
    """
    question = _Question.of(schema, target, do, given)
    names = _checked(schema, order, "order")
    closed = schema.ancestors(names) - schema.latent == names
    rising = all(not schema.descendants(name) & set(order[:index]) for index, name in enumerate(order))
    complete = question.asked | question.do <= names and len(order) == len(names)
    return closed and rising and complete and _meets_criterion(question, order)


@dataclass(frozen=True)
class _Question:
    """A target, treatments and evidence of a graph, and what is read off it."""

    schema: DagSchema
    target: str
    do: frozenset[str]
    given: frozenset[str]

    @classmethod
    def of(cls, schema: DagSchema, target: str, do: Collection[str], given: Collection[str]) -> "_Question":
        """A question that makes sense."""
        question = cls(schema, target, _checked(schema, do, "do"), _checked(schema, given, "given"))
        schema.check_question(target, question.do, question.given)
        return question

    @cached_property
    def asked(self) -> frozenset[str]:
        return self.given | {self.target}

    @cached_property
    def causes(self) -> set[str]:
        """Everything that plays a part, latent or not."""
        return with_ancestors(self.schema.graph, self.asked | self.do)

    @cached_property
    def position(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.schema.topological_order)}

    @cached_property
    def below_target(self) -> frozenset[str]:
        """The target and everything that it causes."""
        return frozenset(self.schema.descendants(self.target) | {self.target})

    def sorted(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(sorted(names, key=self.position.__getitem__))

    def treatment_orders(self) -> Iterator[list[str]]:
        """Orders of the treatments, causes first."""
        precedence: nx.DiGraph[str] = nx.DiGraph()
        precedence.add_nodes_from(self.sorted(self.do))
        precedence.add_edges_from((cause, name) for name in self.do for cause in self._causes(name) & self.do)
        yield from islice(nx.all_topological_sorts(precedence), _MOST_TREATMENT_ORDERS)

    def _causes(self, name: str) -> set[str]:
        return nx.ancestors(self.schema.graph, name)

    def arranged(self, pool: Collection[str]) -> list[str]:
        """Causes before effects, treatments and evidence as early as possible, the target as late as possible.

        What causes the variables of the pool must be in it, or stand earlier.
        """
        below = self.below_target.intersection(pool)
        target = [self.target] if self.target in below else []
        return [*self._forced_first(set(pool) - below), *target, *self._forced_first(set(below) - {self.target})]

    def _forced_first(self, waiting: set[str]) -> list[str]:
        order: list[str] = []
        missing = {name: self._causes(name) & waiting for name in self.sorted(waiting & (self.do | self.given))}
        while missing:
            nearest = min(missing, key=lambda name: len(missing[name]))
            closure = missing[nearest] | {nearest}
            order += self.sorted(closure)
            waiting = waiting - closure
            missing = {name: causes & waiting for name, causes in missing.items() if name in waiting}
        return [*order, *self.sorted(waiting)]

    def back_door_graph(self, treatment: str, later: Collection[str]) -> "nx.DiGraph[str]":
        """The graph without the arrows out of a treatment and without those into later ones."""
        graph = nx.DiGraph(self.schema.graph)
        graph.remove_edges_from(list(graph.out_edges(treatment)))
        graph.remove_edges_from(list(graph.in_edges(later)))
        return graph

    def open_back_door(self, treatment: str, history: Collection[str]) -> "tuple[str, ...]":
        """A path that makes a treatment and what is asked dependent for another reason than its effect."""
        graph = self.back_door_graph(treatment, self.do - {treatment, *history})
        return open_path(graph, [treatment], self.asked - set(history), history)


def _checked(schema: DagSchema, names: Collection[str], part: str) -> frozenset[str]:
    if isinstance(names, str):
        raise QueryError(f"`{part}` is the text {names!r}, expected a list of names. Pass [{names!r}].")
    return frozenset(schema.observed(name).name for name in names)


def _check_selection(schema: DagSchema, selection: str) -> None:
    """Refuse what no rows can have been chosen by."""
    if not schema[selection].latent:
        raise QueryError(
            f"{selection!r} is observed, so the table has rows of all its values, expected a latent variable that says "
            "which rows are in it. Condition on it instead (`given`)."
        )
    if effects := sorted(schema.descendants(selection)):
        raise QueryError(
            f"Rows were chosen by {selection!r}, which causes {effects[0]!r}. Expected a variable that causes nothing."
        )


def _search(question: _Question) -> list[str] | None:
    """An order that meets the criterion, if there is one."""
    order = question.arranged(question.causes - question.schema.latent)
    if _meets_criterion(question, order):
        return order
    orders = (_sequential_order(question, treatments) for treatments in question.treatment_orders())
    return next((found for found in orders if found is not None), None)


def _meets_criterion(question: _Question, order: Sequence[str]) -> bool:
    return not any(
        question.open_back_door(name, order[:index]) for index, name in enumerate(order) if name in question.do
    )


def _sequential_order(question: _Question, treatments: list[str]) -> list[str] | None:
    """An order around treatments in a given order, each after the ancestral history that Pearl and Robins name."""
    order: list[str] = []
    for index, treatment in enumerate(treatments):
        history = _history(question, treatments, index, order)
        if question.open_back_door(treatment, history):
            return None
        # Where the treatment changes only evidence, the target may come first, but it need not if this serves, too.
        without_target = history - (question.below_target - set(order))
        if question.target not in question.schema.ancestors([treatment]):
            history = history if question.open_back_door(treatment, without_target) else without_target
        order += [*question.arranged(history - set(order)), treatment]
    return order + question.arranged(question.causes - question.schema.latent - set(order))


def _history(question: _Question, treatments: list[str], index: int, order: list[str]) -> set[str]:
    """What may be known before a treatment, of what causes it, the known or anything asked."""
    treatment, later = treatments[index], treatments[index + 1 :]
    graph = question.back_door_graph(treatment, later)
    causes = with_ancestors(graph, {treatment, *order} | question.asked)
    effects = {treatment, *later}.union(*(question.schema.descendants(name) for name in [treatment, *later]))
    return causes - effects - question.schema.latent


def _identification(question: _Question, order: list[str]) -> Identification:
    treatments = tuple(name for name in order if name in question.do)
    return Identification(
        target=question.target,
        do=treatments,
        given=question.sorted(question.given),
        order=tuple(order),
        adjustment={name: _needed(question, name, order[: order.index(name)]) for name in treatments},
        latent=tuple(
            each.name for each in question.schema.variables if each.name in question.causes & question.schema.latent
        ),
    )


def _by_formula(question: _Question, selection: str | None = None) -> Identification:
    """What complete identification finds.

    Raises:
        NotIdentifiedError: If it finds that there is nothing.
    """
    asked = CompleteQuestion(
        question.schema.graph,
        frozenset(question.schema.topological_order),
        frozenset([question.target]),
        question.do,
        question.given,
        selection,
    )
    found = asked.simplest()
    if isinstance(found, Refusal):
        query = _spelled_query(question.target, question.sorted(question.do), question.sorted(question.given))
        raise NotIdentifiedError(refusal_of(query, asked, found))
    involved = question.asked | question.do | variables_of(found)
    order = question.sorted(question.schema.ancestors(involved) - question.schema.latent)
    latent = tuple(name for name in question.schema.full_order if name in question.causes & question.schema.latent)
    do, given = question.sorted(question.do), question.sorted(question.given)
    return Identification(question.target, do, given, order, {}, latent, found, selection)


def _needed(question: _Question, treatment: str, history: list[str]) -> tuple[str, ...]:
    """A part of a history that blocks every back-door path and has no part that does."""
    graph = question.back_door_graph(treatment, question.do - {treatment, *history})
    asked = question.asked - set(history)
    known = set(history) & (question.do | question.given)
    # Variables that cause neither the treatment nor anything asked or known block nothing.
    kept = with_ancestors(graph, {treatment} | asked | known) & set(history) - known
    if open_path(graph, [treatment], asked, known | kept):
        kept = set(history) - known
    for name in question.sorted(kept):
        if not open_path(graph, [treatment], asked, known | kept - {name}):
            kept = kept - {name}
    return question.sorted(kept)


def _spelled_query(target: str, do: tuple[str, ...], given: tuple[str, ...]) -> str:
    behind = ([f"do({', '.join(do)})"] if do else []) + list(given)
    return f"p({target} | {', '.join(behind)})" if behind else f"p({target})"
