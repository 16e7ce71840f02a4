"""Whether observations tell what an intervention does, and in which order to walk the variables to compute it."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, pairwise

import networkx as nx

from hf_trace.errors import NotIdentifiedError, QueryError
from hf_trace.tables.schema import DagSchema

# A name, and whether the path came to it against an arrow (from a child) rather than along one.
_Step = tuple[str, bool]


def open_path(
    graph: "nx.DiGraph[str]", sources: Collection[str], targets: Collection[str], given: Collection[str]
) -> tuple[str, ...]:
    """A shortest path between two sets that observing a third leaves open; empty if they are d-separated.

    Bayes ball (Shachter 1998; Koller and Friedman 2009, algorithm 3.1): a chain or a fork is open unless its middle is
    observed, a collider is open only if it or one of its descendants is observed.

    Args:
        graph: A directed acyclic graph.
        sources: Where paths start.
        targets: Where they end.
        given: What is observed; none of the sources and targets.

    Returns:
        Names along the path, from a source to a target.

    Example:
        >>> graph = nx.DiGraph([("X", "Z"), ("Y", "Z"), ("Z", "W")])
        >>> open_path(graph, ["X"], ["Y"], []), open_path(graph, ["X"], ["Y"], ["W"])
        ((), ('X', 'Z', 'Y'))
    """
    opens_collider = with_ancestors(graph, given)
    came_from: dict[_Step, _Step | None] = {(source, True): None for source in sources}
    waiting = deque(came_from)
    while waiting:
        step = waiting.popleft()
        if step[0] in targets:
            path = [step]
            while (before := came_from[path[-1]]) is not None:
                path.append(before)
            return tuple(name for name, _ in reversed(path))
        for following in _onwards(graph, step, step[0] in given, step[0] in opens_collider):
            if following not in came_from:
                came_from[following] = step
                waiting.append(following)
    return ()


def with_ancestors(graph: "nx.DiGraph[str]", names: Collection[str]) -> set[str]:
    """The names themselves and everything that causes them.

    Example:
        >>> sorted(with_ancestors(nx.DiGraph([("X", "Z"), ("Y", "Z"), ("Z", "W")]), ["Z"]))
        ['X', 'Y', 'Z']
    """
    return set(chain.from_iterable(nx.bfs_layers(graph.reverse(copy=False), list(names))))


def _onwards(graph: "nx.DiGraph[str]", step: _Step, is_given: bool, opens_collider: bool) -> list[_Step]:
    name, from_child = step
    steps: list[_Step] = []
    if not is_given:
        steps += [(child, False) for child in graph.successors(name)]
    if opens_collider if not from_child else not is_given:
        steps += [(parent, True) for parent in graph.predecessors(name)]
    return steps


def spelled(graph: "nx.DiGraph[str]", path: Collection[str]) -> str:
    """A path with its arrows.

    Example:
        >>> spelled(nx.DiGraph([("X", "Z"), ("Y", "Z")]), ("X", "Z", "Y"))
        "'X' → 'Z' ← 'Y'"
    """
    names = list(path)
    arrows = ["→" if graph.has_edge(one, other) else "←" for one, other in pairwise(names)]
    return " ".join([repr(names[0]), *(f"{arrow} {name!r}" for arrow, name in zip(arrows, names[1:], strict=True))])


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
    """

    target: str
    do: tuple[str, ...]
    given: tuple[str, ...]
    order: tuple[str, ...]
    adjustment: Mapping[str, tuple[str, ...]] = field(compare=False)
    latent: tuple[str, ...] = ()

    @property
    def explanation(self) -> str:
        """Why the answer is right, in one sentence."""
        query = _spelled_query(self.target, self.do, self.given)
        if not self.latent:
            return f"{query} follows from the conditionals of the observed variables: no latent one plays a part."
        parts = [
            f"{name!r} with {', '.join(map(repr, known)) if known else 'nothing'}"
            for name, known in self.adjustment.items()
        ]
        return f"{query} follows from back-door adjustment: {'; '.join(parts) or 'there is no treatment'}."


def identify(schema: DagSchema, *, target: str, do: Collection[str], given: Collection[str] = ()) -> Identification:
    """Find an order that answers p(target | do, given) from observations, or say why there is none.

    What it returns is right for every distribution that fits the graph (the theorem above). It refuses some questions
    that other criteria answer: the front-door, or evidence that matters only through a ratio. For a given order of the
    treatments the search is complete for the criterion: if any history serves, so does the ancestral one that is tried
    (Pearl 2009, theorem 4.4.6).

    Args:
        schema: The graph, latent variables included.
        target: What is asked about.
        do: Treatments. A mapping to their values will do.
        given: Evidence.

    Raises:
        QueryError: If a name is unknown, latent or has two parts in the question.
        NotIdentifiedError: If a latent variable leaves a path open; the message names both.

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
    found = _search(question)
    if isinstance(found, _OpenPath):
        raise NotIdentifiedError(found.message(question))
    return found


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


@dataclass(frozen=True)
class _OpenPath:
    """Why a question is refused."""

    treatment: str
    path: tuple[str, ...]

    def message(self, question: _Question) -> str:
        query = _spelled_query(question.target, question.sorted(question.do), question.sorted(question.given))
        latent = [name for name in dict.fromkeys(self.path) if name in question.schema.latent]
        named = " and ".join(map(repr, latent))
        if len(self.path) == 3:
            ends = f"{self.path[0]!r} and {self.path[-1]!r}"
            why = f"the latent {named} causes both {ends}, and nothing observed blocks it"
        else:
            shown = spelled(question.schema.graph, self.path)
            why = f"the path {shown} through the latent {named} stays open whatever is adjusted for"
        remedy = _remedy(question) or (
            f"Measure {' or '.join(map(repr, latent))}, or a variable between it and {self.path[-1]!r} "
            f"that {self.treatment!r} does not cause"
        )
        return (
            f"{query} cannot be told from observations: {why}. {remedy}. "
            "(Only back-door adjustment was tried, not the front-door or other criteria.)"
        )


def _checked(schema: DagSchema, names: Collection[str], part: str) -> frozenset[str]:
    if isinstance(names, str):
        raise QueryError(f"`{part}` is the text {names!r}, expected a list of names. Pass [{names!r}].")
    return frozenset(schema.observed(name).name for name in names)


def _search(question: _Question) -> Identification | _OpenPath:
    """An order that meets the criterion, or the path that the first order of the treatments leaves open."""
    order = question.arranged(question.causes - question.schema.latent)
    if _meets_criterion(question, order):
        return _identification(question, order)
    refusal: _OpenPath | None = None
    for treatments in question.treatment_orders():
        found = _sequential_order(question, treatments)
        if not isinstance(found, _OpenPath):
            return _identification(question, found)
        refusal = refusal or found
    if refusal is None:
        raise ValueError("There is no order of the treatments, expected at least one.")
    return refusal


def _meets_criterion(question: _Question, order: Sequence[str]) -> bool:
    return not any(
        question.open_back_door(name, order[:index]) for index, name in enumerate(order) if name in question.do
    )


def _sequential_order(question: _Question, treatments: list[str]) -> list[str] | _OpenPath:
    """An order around treatments in a given order, each after the ancestral history that Pearl and Robins name."""
    order: list[str] = []
    for index, treatment in enumerate(treatments):
        history = _history(question, treatments, index, order)
        path = question.open_back_door(treatment, history)
        if path:
            return _OpenPath(treatment, path)
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


def _remedy(question: _Question) -> str:
    """A question with the same answer that is identified, if leaving something out makes one."""
    graph = nx.DiGraph(question.schema.graph)
    graph.remove_edges_from(list(graph.in_edges(question.do)))
    idle = question.do - with_ancestors(graph, question.asked)
    if idle and _answers(question, question.do - idle, question.given):
        names = ", ".join(map(repr, question.sorted(idle)))
        return f"Leave {names} out of `do`, which changes nothing once the other treatments are set"
    for name in question.sorted(question.given):
        others = question.given - {name}
        if open_path(graph, [name], [question.target], others | question.do):
            continue
        if _answers(question, question.do, others):
            return f"Leave {name!r} out of `given`, which tells nothing more about {question.target!r}"
    return ""


def _answers(question: _Question, do: frozenset[str], given: frozenset[str]) -> bool:
    smaller = _Question(question.schema, question.target, do, given)
    return isinstance(_search(smaller), Identification)


def _spelled_query(target: str, do: tuple[str, ...], given: tuple[str, ...]) -> str:
    behind = ([f"do({', '.join(do)})"] if do else []) + list(given)
    return f"p({target} | {', '.join(behind)})" if behind else f"p({target})"
