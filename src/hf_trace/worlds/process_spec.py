"""Worlds in continuous time: event types with rates, and what each of their events causes, prevents or repeats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float

from hf_trace.checks import number, one_of, refuse_unknown
from hf_trace.documents import Document
from hf_trace.errors import SettingsError, first_line, preview
from hf_trace.worlds.delays import DELAYS

Part = TypeVar("Part")
# JSON writes whole numbers without a point.
Number: TypeAlias = float | int


@dataclass(frozen=True)
class ProcessType:
    """An event type, and when it happens by itself.

    Attributes:
        name: Its name.
        rate: Events per second that nothing causes.
        repeats: How many times an event is repeated on average (geometric); repeats cause nothing.
        gap: Mean seconds between repeats (exponential).
        period: Mean seconds from one event to the next of a periodic type, or 0.
        jitter: Standard deviation of these seconds, as a share of the period (gamma distributed).
        hidden: Whether it acts but is never recorded.
    """

    name: str
    rate: Number = 0.0
    repeats: Number = 0.0
    gap: Number = 1.0
    period: Number = 0.0
    jitter: Number = 0.05
    hidden: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SettingsError(f"The name of a type is {self.name!r}, expected a text.")
        for name in ("rate", "repeats", "period"):
            number(f"{name} of {self.name!r}", getattr(self, name), least=0)
        for name in ("gap", "jitter"):
            number(f"{name} of {self.name!r}", getattr(self, name), above=0)
        one_of(f"hidden of {self.name!r}", self.hidden, (False, True))
        if self.period and (self.rate or self.repeats):
            raise SettingsError(f"{self.name!r} is periodic and has a rate or repeats, expected one of the two.")


@dataclass(frozen=True)
class ProcessEdge:
    """A cause and what each of its events brings about.

    Attributes:
        cause: Name of a type.
        effect: Name of another type, or of the same.
        weight: Expected number of caused events (Poisson).
        delay: Mean seconds until they happen.
        kernel: How the seconds are distributed: exponential, gamma, shifted or lognormal.
        needs: A type that must have happened within ``window`` before the cause, or nothing is caused.
        window: Seconds.
    """

    cause: str
    effect: str
    weight: Number = 0.5
    delay: Number = 10.0
    kernel: str = "exponential"
    needs: str | None = None
    window: Number = 60.0

    def __post_init__(self) -> None:
        number(f"weight of {self.cause!r} -> {self.effect!r}", self.weight, least=0)
        for name in ("delay", "window"):
            number(f"{name} of {self.cause!r} -> {self.effect!r}", getattr(self, name), above=0)
        one_of("kernel", self.kernel, DELAYS)


@dataclass(frozen=True)
class Inhibition:
    """A cause that makes another type rarer for a while; causes that overlap act as one.

    Attributes:
        cause: Name of a type.
        effect: Name of another type.
        factor: What the rate of the effect is multiplied by, from 0.
        seconds: For how long.
    """

    cause: str
    effect: str
    factor: Number = 0.1
    seconds: Number = 60.0

    def __post_init__(self) -> None:
        number(f"factor of {self.cause!r} -> {self.effect!r}", self.factor, least=0, most=1)
        number(f"seconds of {self.cause!r} -> {self.effect!r}", self.seconds, above=0)


@dataclass(frozen=True)
class Flood:
    """Times in which all types are more frequent than usual, which nothing recorded tells.

    Attributes:
        rate: Floods per second.
        seconds: Mean length of one (exponential).
        factor: What all rates of their own are multiplied by, from 1.
    """

    rate: Number
    seconds: Number = 300.0
    factor: Number = 5.0

    def __post_init__(self) -> None:
        number("rate of the flood", self.rate, least=0)
        number("seconds of the flood", self.seconds, above=0)
        number("factor of the flood", self.factor, least=1)


@dataclass(frozen=True)
class ProcessSpec:
    """Everything that decides which events a world in continuous time writes.

    A linear Hawkes process (Hawkes 1971) with what real logs have beside it. A type's conditional intensity is its own
    rate and what past events add, ``sum_i weight * density(t - t_i)``; inhibition multiplies it, and the value that a
    variable holds already cannot come again.

    Attributes:
        types: The event types.
        edges: What causes what.
        inhibitions: What prevents what.
        variables: Groups of types that are the values of one variable (``pump=off``, ``pump=on``); the first of a
            group holds at the start.
        flood: Times in which everything is more frequent.
        duration: Seconds of a sequence, which starts from an empty past.

    Raises:
        SettingsError: If a value or a name is not understood, or if events would cause ever more events.
    """

    types: tuple[ProcessType, ...]
    edges: tuple[ProcessEdge, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()
    variables: tuple[tuple[str, ...], ...] = ()
    flood: Flood | None = None
    duration: Number = 21_600.0

    def __post_init__(self) -> None:
        number("duration", self.duration, above=0)
        names = self.names
        if len(names) < 2 or len(set(names)) < len(names):
            raise SettingsError(f"The types are {preview(names)}, expected at least two, each with a name of its own.")
        if all(kind.hidden for kind in self.types):
            raise SettingsError("All types are hidden, so that nothing would be recorded. Record at least one.")
        _check_pairs(self)
        _check_variables(self)
        _check_limits(self)
        radius = float(max(abs(np.linalg.eigvals(self.branching()))))
        if radius >= 1:
            raise SettingsError(
                f"Events cause ever more events (the spectral radius of the weights is {radius:.2f}), expected less "
                "than 1. Give the edges smaller weights, or a world by name another `world_seed`."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all types, hidden ones included, in their order."""
        return tuple(kind.name for kind in self.types)

    @property
    def is_exact(self) -> bool:
        """Whether the recorded past tells every rate: no hidden type, no flood, no repeats."""
        return not (self.flood or any(kind.hidden or kind.repeats for kind in self.types))

    def index(self) -> dict[str, int]:
        """The place of every type by its name."""
        return {name: place for place, name in enumerate(self.names)}

    def branching(self) -> Float[np.ndarray, "cause effect"]:
        """Expected number of events that one event causes directly, where it has all that it needs."""
        places, weights = self.index(), np.zeros((len(self.types),) * 2)
        for edge in self.edges:
            weights[places[edge.cause], places[edge.effect]] += edge.weight
        return weights

    def to_dict(self) -> Document:
        """All values by name, without those of a type or an edge that are as by default."""
        parts = {name: [_short(each) for each in getattr(self, name)] for name in ("types", "edges", "inhibitions")}
        flood = None if self.flood is None else _short(self.flood)
        variables = [list(values) for values in self.variables]
        return {**parts, "variables": variables, "flood": flood, "duration": self.duration}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "ProcessSpec":
        """Read what ``to_dict`` gave, or a part of it.

        Raises:
            SettingsError: If a name or a value is not understood.

        Example:
            >>> types = [{"name": "pump", "rate": 0.01}, {"name": "valve"}]
            >>> edges = [{"cause": "pump", "effect": "valve", "weight": 0.8, "delay": 5}]
            >>> ProcessSpec.from_dict({"types": types, "edges": edges}).branching().tolist()
            [[0.0, 0.8], [0.0, 0.0]]
        """
        refuse_unknown(document, [field.name for field in fields(cls)], what="world setting")
        values = dict(document)
        try:
            for name, part in (("types", ProcessType), ("edges", ProcessEdge), ("inhibitions", Inhibition)):
                values[name] = tuple(_part(part, each, name) for each in values.get(name, ()))
            values["variables"] = tuple(map(tuple, values.get("variables", ())))
            if values.get("flood") is not None:
                values["flood"] = _part(Flood, values["flood"], "flood")
            return cls(**values)
        except (TypeError, ValueError) as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"The world cannot be read: {first_line(error)}.") from error


def _part(kind: type[Part], document: Any, name: str) -> Part:
    if not isinstance(document, Mapping):
        raise SettingsError(f"{name} of the world holds {document!r}, expected an object of settings.")
    refuse_unknown(document, [field.name for field in fields(kind)], what=f"setting of {name}")  # type: ignore[arg-type]
    return kind(**document)


def _short(part: Any) -> Document:
    return {field.name: value for field in fields(part) if (value := getattr(part, field.name)) != field.default}


def _check_pairs(spec: ProcessSpec) -> None:
    """Ends of edges are types, each pair is named once, and no hidden type has a cause."""
    hidden = {kind.name for kind in spec.types if kind.hidden}
    for pairs in (spec.edges, spec.inhibitions):
        for each in pairs:
            one_of("cause", each.cause, spec.names)
            one_of("effect", each.effect, spec.names)
            if each.effect in hidden:
                raise SettingsError(f"{each.effect!r} is hidden and an effect, expected hidden types without a cause.")
        ends = [(each.cause, each.effect) for each in pairs]
        if twice := _twice(ends):
            raise SettingsError(f"The edge {twice[0]!r} -> {twice[1]!r} is there twice, expected each pair once.")
    for edge in spec.edges:
        if edge.needs is not None:
            one_of("needs", edge.needs, spec.names)
            if edge.needs in (edge.cause, edge.effect):
                raise SettingsError(f"{edge.cause!r} -> {edge.effect!r} needs one of the two, expected a third type.")
    for each in spec.inhibitions:
        if each.cause == each.effect:
            raise SettingsError(f"{each.cause!r} prevents itself, expected two types.")


def _twice(things: Sequence[Any]) -> Any:
    return next((thing for thing in things if things.count(thing) > 1), None)


def _check_variables(spec: ProcessSpec) -> None:
    """A variable has two values or more, each a type, and a type is the value of one variable."""
    values = [name for variable in spec.variables for name in variable]
    for name in values:
        one_of("value of a variable", name, spec.names)
    alone = [variable for variable in spec.variables if len(variable) < 2]
    if alone:
        raise SettingsError(f"A variable has the values {list(alone[0])}, expected at least two.")
    if twice := _twice(values):
        raise SettingsError(f"{twice!r} is a value of two variables, expected one.")
    named = [name_of_values(variable) for variable in spec.variables]
    if twice := _twice(named):
        raise SettingsError(f"Two variables are called {twice!r}, expected names of values such as 'pump=on'.")


def _check_limits(spec: ProcessSpec) -> None:
    """Periodic types and values of variables have no more than their intensity has a place for."""
    ends: Iterable[Any] = (*spec.edges, *spec.inhibitions)
    changed = {each.effect for each in ends} | {name for variable in spec.variables for name in variable}
    values = {name for variable in spec.variables for name in variable}
    for kind in spec.types:
        if kind.period and kind.name in changed:
            raise SettingsError(f"{kind.name!r} is periodic and an effect or a value, expected neither.")
        if kind.name in values and (kind.repeats or kind.hidden):
            raise SettingsError(f"{kind.name!r} is a value and repeated or hidden, expected neither.")


def name_of_values(values: Sequence[str]) -> str:
    """What a variable is called: what its values have in common before ``=``, else its first value.

    Example:
        >>> name_of_values(("pump=off", "pump=on")), name_of_values(("low", "high"))
        ('pump', 'low')
    """
    stems = {value.partition("=")[0] for value in values}
    return stems.pop() if len(stems) == 1 else values[0]
