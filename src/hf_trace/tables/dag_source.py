"""What a user's graph says before any table is seen: names, edges, and whatever is known of each variable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import networkx as nx

from hf_trace.checks import near
from hf_trace.errors import DagFormatError, HfTraceError, LogFormatError
from hf_trace.logs.formats import explained, open_text, refuse_bomb
from hf_trace.logs.sources import find_files
from hf_trace.tables.schema import DagSchema, check_acyclic
from hf_trace.tables.variables import PARTS, Kind, Variable


def existing_file(path: Path, error: type[HfTraceError] = DagFormatError) -> Path:
    """The file that a path or a pattern stands for.

    Raises:
        HfTraceError: As ``error`` says, if there is none, or it is a folder.

    Example:
        >>> existing_file(Path("absent.bif"))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        DagFormatError: There is no file 'absent.bif' ...
    """
    path = path.expanduser()
    if path.is_dir():
        raise error(f"'{path}' is a folder, expected a file. Name the file in it.")
    if path.exists():
        return path
    try:
        found = find_files(path)
    except LogFormatError as reason:
        raise error(str(reason)) from None
    if len(found) > 1:
        raise error(f"{len(found)} files match '{path}', expected one. Name it.")
    return found[0]


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file; a name that ends in ``.gz`` is unpacked.

    Raises:
        DagFormatError: If it is missing or holds something else.
    """
    path = existing_file(path)
    with explained(path, DagFormatError):
        refuse_bomb(path)
        with open_text(path) as stream:
            return stream.read()


@dataclass(frozen=True)
class VariableHint:
    """What is known of one variable; what is left out is read from a table.

    Attributes:
        kind: As in ``Variable``.
        values: All values, in order, or the items of a sequence.
        edges: Numeric: inner edges of the bins, in the variable's unit.
        means: Numeric: mean of every bin, in the variable's unit.
        bins: Numeric: how many bins to make.
        max_length: Text: most pieces. Sequence: most items.
        latent: Whether it is never observed.
    """

    kind: Kind | None = None
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    bins: int | None = None
    max_length: int | None = None
    latent: bool = False


@dataclass(frozen=True)
class DagSource:
    """A directed acyclic graph of named variables.

    Attributes:
        names: In the order in which they were listed.
        edges: Pairs, cause first.
        hints: What is known of some of them.

    Raises:
        DagFormatError: If there is no variable, a name or an edge is repeated, an edge names something else, or
            there is a cycle.

    Example:
        >>> DagSource(("rain", "wet"), (("rain", "wet"),)).parents("wet")
        ('rain',)
    """

    names: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    hints: Mapping[str, VariableHint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.names:
            raise DagFormatError("The graph has no variables, expected at least one. Add edges or nodes.")
        for repeated in _repeated(self.names):
            raise DagFormatError(f"The variable {repeated!r} is listed twice, expected each once.")
        for cause, effect in _repeated(self.edges):
            raise DagFormatError(f"The edge {cause} → {effect} is listed twice, expected each once. Remove one.")
        self._check_names()
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_edges_from(self.edges)
        check_acyclic(graph)

    def _check_names(self) -> None:
        known = dict.fromkeys(self.names)
        for name in known:
            if not isinstance(name, str) or not name:
                raise DagFormatError(f"A variable is named {name!r}, expected a text that is not empty.")
        for edge in self.edges:
            for end in edge:
                if end not in known:
                    raise DagFormatError(
                        f"The edge {edge[0]} → {edge[1]} names {end!r}, which is not a variable. Add it to the "
                        f"variables.{near(end, known)}"
                    )

    def hint(self, name: str) -> VariableHint:
        """What is known of a variable."""
        return self.hints.get(name, VariableHint())

    def parents(self, name: str) -> tuple[str, ...]:
        """Direct causes of a variable, in the order of the edges."""
        return tuple(cause for cause, effect in self.edges if effect == name)

    @property
    def latent(self) -> frozenset[str]:
        """Names of the variables that are marked as never observed."""
        return frozenset(name for name, hint in self.hints.items() if hint.latent)

    def with_latent(self, names: Iterable[str]) -> "DagSource":
        """A copy in which more variables are latent.

        Raises:
            DagFormatError: If one is not a variable.
        """
        hints = dict(self.hints)
        for name in names:
            if name not in self.names:
                hint = near(name, self.names)
                raise DagFormatError(f"{name!r} is said to be latent, but is not a variable of the graph.{hint}")
            hints[name] = replace(self.hint(name), latent=True)
        return replace(self, hints=hints)

    def to_schema(self) -> DagSchema:
        """The schema, of a graph that says everything.

        Raises:
            DagFormatError: If something is left open.
        """
        return DagSchema(tuple(self._variable(name) for name in self.names))

    def _variable(self, name: str) -> Variable:
        hint = self.hint(name)
        parts = {key: getattr(hint, key) for key in ("values", "edges", "means", "max_length", "latent")}
        return Variable(name, hint.kind or "categorical", self.parents(name), **parts)

    @classmethod
    def from_schema(cls, schema: DagSchema) -> "DagSource":
        """What a schema says.

        Example:
            >>> DagSource.from_schema(DagSchema((Variable("x", values=("0", "1")),))).hint("x").values
            ('0', '1')
        """
        copied = [name for name in PARTS if name != "bins"]
        return cls(
            tuple(each.name for each in schema.variables),
            tuple((parent, each.name) for each in schema.variables for parent in each.parents),
            {each.name: VariableHint(**{key: getattr(each, key) for key in copied}) for each in schema.variables},
        )


def _repeated(items: Iterable[Any]) -> list[Any]:
    seen: set[Any] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]
