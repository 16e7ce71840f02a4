"""``DagSchema``: the variables of a known graph, how they cause each other, and orders to write them in."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from os import PathLike
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from hf_trace.checks import near, refuse_unknown
from hf_trace.documents import Document, read_document
from hf_trace.errors import DagFormatError, QueryError
from hf_trace.logs.writing import atomic_path
from hf_trace.tables.variables import Variable, variable_name, variable_parts

FORMAT, VERSION = "hf_trace.dag", 1
_DEFAULTS = {field.name: field.default for field in fields(Variable) if field.init}


@dataclass(frozen=True)
class DagSchema:
    """Variables of a directed acyclic graph, in the order in which the user listed them.

    Attributes:
        variables: Observed and latent ones.

    Raises:
        DagFormatError: If a name is repeated, a parent is unknown, or there is a cycle.

    Example:
        >>> schema = DagSchema((
        ...     Variable("sick", values=("no", "yes")),
        ...     Variable("drug", values=("no", "yes"), parents=("sick",)),
        ... ))
        >>> schema.topological_order, sorted(schema.descendants("sick"))
        (('sick', 'drug'), ['drug'])
    """

    variables: tuple[Variable, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(self.variables))
        if not self.variables:
            raise DagFormatError("The graph has no variables, expected at least one.")
        seen: set[str] = set()
        for variable in self.variables:
            if variable.name in seen:
                raise DagFormatError(f"The variable {variable.name!r} is listed twice, expected each once.")
            seen.add(variable.name)
        for variable in self.variables:
            for parent in variable.parents:
                if parent not in seen:
                    raise DagFormatError(
                        f"{variable.name!r} has the parent {parent!r}, which is not a variable.{near(parent, seen)}"
                    )
        check_acyclic(self.graph)

    @cached_property
    def by_name(self) -> dict[str, Variable]:
        """Variables by their names."""
        return {variable.name: variable for variable in self.variables}

    @cached_property
    def graph(self) -> "nx.DiGraph[str]":
        """The graph with names as nodes, latent variables included."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(variable.name for variable in self.variables)
        graph.add_edges_from((parent, each.name) for each in self.variables for parent in each.parents)
        return graph

    @cached_property
    def latent(self) -> frozenset[str]:
        """Names of the variables that are never observed."""
        return frozenset(variable.name for variable in self.variables if variable.latent)

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """Observed names, causes before effects; among equals as the user listed them."""
        return tuple(name for name in self.full_order if name not in self.latent)

    @cached_property
    def full_order(self) -> tuple[str, ...]:
        """The same with latent names."""
        position = {variable.name: index for index, variable in enumerate(self.variables)}
        return tuple(nx.lexicographical_topological_sort(self.graph, key=position.__getitem__))

    @cached_property
    def observed_graph(self) -> "nx.DiGraph[str]":
        """Which observed variable must come before which: latent ones are replaced by paths through them."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.topological_order)
        for name in self.topological_order:
            graph.add_edges_from((source, name) for source in self._observed_sources(name))
        return graph

    def _observed_sources(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = list(self.graph.predecessors(name))
        while waiting:
            parent = waiting.pop()
            if parent in self.latent:
                waiting.extend(self.graph.predecessors(parent))
            else:
                found.add(parent)
        return found

    def __getitem__(self, name: str) -> Variable:
        """The variable of that name.

        Raises:
            QueryError: If there is none; the message names the nearest.
        """
        if name not in self.by_name:
            raise QueryError(
                f"There is no variable {name!r}, expected one of the {len(self.variables)} of the graph."
                f"{near(name, self.by_name)}"
            )
        return self.by_name[name]

    def observed(self, name: str) -> Variable:
        """The observed variable of that name.

        Raises:
            QueryError: If there is none, or it is latent.
        """
        variable = self[name]
        if variable.latent:
            raise QueryError(
                f"{name!r} is latent: it is in no table, so nothing is known of it. Expected an observed variable."
            )
        return variable

    def check_question(self, target: str, do: Collection[str], given: Collection[str]) -> None:
        """Refuse a question in which a variable has two parts.

        Raises:
            QueryError: If one has, or there is no such observed variable.
        """
        for name in (target, *do, *given):
            self.observed(name)
        for one, other, where in (
            ([target], do, "the target and in `do`"),
            ([target], given, "the target and in `given`"),
            (do, given, "both in `do` and in `given`"),
        ):
            if both := sorted(set(one).intersection(other)):
                raise QueryError(f"{both[0]!r} is {where}, expected one place. Leave it out of the other.")

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """The variables themselves and everything that causes them, latent ones included."""
        found = set(names)
        for name in list(found):
            found |= nx.ancestors(self.graph, name)
        return found

    def descendants(self, name: str) -> set[str]:
        """Everything a variable causes, without itself."""
        return set(nx.descendants(self.graph, name))

    def replace_variables(self, changed: Mapping[str, Variable]) -> "DagSchema":
        """A copy in which some variables are others."""
        return DagSchema(tuple(changed.get(each.name, each) for each in self.variables))

    def to_networkx(self) -> "nx.DiGraph[str]":
        """A copy of the graph; nodes carry ``kind``, ``values`` and ``latent``."""
        graph = self.graph.copy()
        for each in self.variables:
            graph.nodes[each.name].update(kind=each.kind, values=list(each.values), latent=each.latent)
        return graph

    def to_dict(self) -> Document:
        """A document that JSON can hold; ``from_dict`` reads it back."""
        variables: list[Document] = []
        for each in self.variables:
            values = {name: getattr(each, name) for name in _DEFAULTS}
            said = {name: value for name, value in values.items() if name == "kind" or value != _DEFAULTS[name]}
            variables.append({name: _plain(value) for name, value in said.items()})
        return {"format": FORMAT, "version": VERSION, "variables": variables}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "DagSchema":
        """Read what ``to_dict`` wrote.

        Raises:
            DagFormatError: If something is missing or misnamed.
        """
        variables = document.get("variables")
        if not isinstance(variables, list) or not all(isinstance(each, Mapping) for each in variables):
            raise DagFormatError(
                'The document has no list of variables. Expected {"variables": [{"name": …, "values": […], '
                '"parents": […]}, …]}.'
            )
        return cls(tuple(map(_variable, variables)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write a JSON file."""
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "DagSchema":
        """Read what ``save`` wrote.

        Raises:
            DagFormatError: If the file is missing or holds no schema.
        """
        document = read_document(path, "a schema that `save` wrote", error=DagFormatError)
        return cls.from_dict(document if isinstance(document, dict) else {})

    def with_parents(self, parents: Mapping[str, Iterable[str]]) -> "DagSchema":
        """A copy in which some variables have other parents."""
        return self.replace_variables(
            {name: replace(self[name], parents=tuple(listed)) for name, listed in parents.items()}
        )


def _plain(value: Any) -> Any:
    """Tuples as lists, NaN as None."""
    return [None if item != item else item for item in value] if isinstance(value, tuple) else value


def check_acyclic(graph: "nx.DiGraph[str]") -> None:
    """Refuse a graph with a cycle.

    Raises:
        DagFormatError: With the cycle spelled out.
    """
    try:
        cycle = [source for source, _ in nx.find_cycle(graph)]
    except nx.NetworkXNoCycle:
        return
    path = " → ".join(map(str, [*cycle, cycle[0]]))
    raise DagFormatError(f"The graph has the cycle {path}, expected none. Remove or turn one of its edges.")


def _variable(document: Mapping[str, Any]) -> Variable:
    name = variable_name(document.get("name"))
    refuse_unknown(document, _DEFAULTS, what=f"key of the variable {name!r}:", error=DagFormatError)
    return Variable(name, parents=parents_in(name, document), **variable_parts(name, document))


def parents_in(name: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The parents that a document lists of a variable; none where it says nothing.

    Raises:
        DagFormatError: If they are not a list of names.
    """
    parents = document.get("parents") or []
    if not isinstance(parents, list | tuple):
        raise DagFormatError(f"parents of {name!r} is {parents!r}, expected a list of names.")
    return tuple(map(variable_name, parents))


def random_order(schema: DagSchema, rng: np.random.Generator) -> tuple[str, ...]:
    """A topological order of the observed variables, drawn step by step from those whose causes have been written.

    Example:
        >>> from hf_trace.tables.variables import Variable
        >>> ends = [Variable(name, values=("0", "1"), parents=("a",)) for name in "bc"]
        >>> schema = DagSchema((Variable("a", values=("0", "1")), *ends))
        >>> sorted({random_order(schema, np.random.default_rng(seed)) for seed in range(9)})
        [('a', 'b', 'c'), ('a', 'c', 'b')]
    """
    names = schema.topological_order
    ranks = random_ranks(required_edges(schema), 1, rng)[0]
    return tuple(names[index] for index in np.argsort(ranks))


def required_edges(schema: DagSchema) -> NDArray[np.bool_]:
    """Which variable must be written before which, ``[earlier, later]`` in topological order."""
    position = {name: index for index, name in enumerate(schema.topological_order)}
    edges = np.zeros((len(position), len(position)), dtype=bool)
    for source, target in schema.observed_graph.edges:
        edges[position[source], position[target]] = True
    return edges


def random_ranks(edges: NDArray[np.bool_], rows: int, rng: np.random.Generator) -> Int[np.ndarray, "row variable"]:
    """Random Kahn, for many rows at once.

    Args:
        edges: See ``required_edges``.
        rows: How many orders to draw.
        rng: Where the draws come from.

    Returns:
        The place of every variable in the order of every row.
    """
    waiting = np.tile(edges.sum(0), (rows, 1))
    placed = np.zeros(waiting.shape, dtype=bool)
    ranks = np.empty(waiting.shape, dtype=np.int64)
    for step in range(len(edges)):
        # The largest of equally distributed numbers is a uniform choice.
        chance = np.where((waiting == 0) & ~placed, rng.random(waiting.shape), -1.0)
        chosen = chance.argmax(1)
        rank_at = (np.arange(rows), chosen)
        ranks[rank_at], placed[rank_at] = step, True
        waiting -= edges[chosen]
    return ranks
