"""What a user's graph says before any table is seen: names, edges, and whatever is known of each variable."""

import difflib
import gzip
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

import networkx as nx
import numpy as np

from hf_trace.errors import DagFormatError, HfTraceError, LogFormatError, preview
from hf_trace.logs.sources import find_files
from hf_trace.tables.schema import DagSchema, check_acyclic
from hf_trace.tables.variables import Kind, Variable, plain_text


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
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DagFormatError(f"'{path.name}' is not UTF-8 text. Save it as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DagFormatError(f"'{path.name}' is not a complete gzip file ({error}). Copy it again.") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DagFormatError(f"'{path.name}' cannot be read ({reason}). Check that you may open it.") from None


_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "")


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


HINTS = tuple(each.name for each in fields(VariableHint))


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
                        f"variables.{did_you_mean(end, known)}"
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
                raise DagFormatError(
                    f"{name!r} is said to be latent, but is not a variable of the graph."
                    f"{did_you_mean(name, self.names)}"
                )
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
        copied = [name for name in HINTS if name != "bins"]
        return cls(
            tuple(each.name for each in schema.variables),
            tuple((parent, each.name) for each in schema.variables for parent in each.parents),
            {each.name: VariableHint(**{key: getattr(each, key) for key in copied}) for each in schema.variables},
        )


def variable_name(value: Any) -> str:
    """The name of a variable: a text, or a whole number as a text.

    Raises:
        DagFormatError: If it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, str | Integral) or value == "":
        raise DagFormatError(f"A variable is named {value!r}, expected a text that is not empty.")
    return str(value)


def read_hint(name: str, document: Mapping[str, Any]) -> VariableHint:
    """Check what a document says of one variable; keys of other things are passed over.

    Raises:
        DagFormatError: If a part is not what it should be.

    Example:
        >>> read_hint("age", {"kind": "numeric", "bins": 4, "colour": "red"}).bins
        4
    """
    said = {key: document[key] for key in HINTS if document.get(key) is not None}
    for key, checked in _CHECKS.items():
        if key in said:
            said[key] = checked(name, key, said[key])
    return VariableHint(**said)


def _kind(name: str, key: str, value: Any) -> Any:
    if value not in get_args(Kind):
        raise DagFormatError(
            f"{name!r} is of kind {value!r}, expected one of: {', '.join(get_args(Kind))}."
            f"{did_you_mean(str(value), get_args(Kind))}"
        )
    return value


def _list(name: str, key: str, value: Any) -> list[Any]:
    """A list; file formats without lists write one as JSON or with commas."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    elif isinstance(value, str):
        value = [each.strip() for each in value.split(",") if each.strip()]
    if not isinstance(value, list | tuple | np.ndarray):
        raise DagFormatError(f"{key} of {name!r} is {value!r}, expected a list such as [1, 2].")
    return list(value)


def _values(name: str, key: str, value: Any) -> tuple[str, ...]:
    listed = _list(name, key, value)
    for each in listed:
        if each is None or isinstance(each, list | dict):
            raise DagFormatError(f"{name!r} has the value {each!r}, expected a text or a number.")
    return tuple(map(plain_text, listed))


def _numbers(name: str, key: str, value: Any) -> tuple[float, ...]:
    listed = _list(name, key, value)
    try:
        return tuple(math.nan if each is None else float(each) for each in listed)
    except (TypeError, ValueError):
        raise DagFormatError(f"{key} of {name!r} is {preview(listed)}, expected numbers.") from None


def _count(name: str, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or value != value // 1 or value < 1:
        raise DagFormatError(f"{key} of {name!r} is {value!r}, expected a whole number of at least 1.")
    return int(value)


def _truth(name: str, key: str, value: Any) -> bool:
    text = plain_text(value).strip().lower()
    if text not in (*_YES, *_NO):
        raise DagFormatError(f"{key} of {name!r} is {value!r}, expected true or false.")
    return text in _YES


_CHECKS: dict[str, Any] = {
    "kind": _kind,
    "values": _values,
    "edges": _numbers,
    "means": _numbers,
    "bins": _count,
    "max_length": _count,
    "latent": _truth,
}


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """A hint at the nearest known name, with a blank before it, or nothing.

    Example:
        >>> did_you_mean("smokes", ["smoke", "lung"])
        " Did you mean 'smoke'?"
    """
    texts = list(map(str, known))
    near = [text for text in texts if text.casefold() == str(name).casefold()]
    near = near or difflib.get_close_matches(str(name), texts, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _repeated(items: Iterable[Any]) -> list[Any]:
    seen: set[Any] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]
