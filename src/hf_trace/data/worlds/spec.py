"""What defines a simulated world, checked once; the worlds that discovery is measured on, by name."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hf_trace.errors import SettingsError, first_line, preview

NONLINEARITIES = ("none", "relu", "product", "threshold")


def _within(name: str, value: Any, least: float | int, most: int | None) -> None:
    whole = name in ("types", "memory", "ties", "length", "seed")
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least or (most is not None and value > most):
        bound = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise SettingsError(f"{name} is {value!r}, expected a {'whole ' * whole}number {bound}.")


@dataclass(frozen=True)
class WorldSpec:
    """Everything that decides which events a world writes.

    Attributes:
        types: Number of event types.
        memory: How many past events act on the next one (h of Eq. 21).
        decay: How fast the effect of an event fades with its lag (r); 0 is no fading.
        weight: Scale of the random weights (w).
        sparsity: Share of pairs of types that do not act on each other.
        bias: Scale of the types' own random logits (b).
        nonlinearity: ``none``; ``relu`` adds the hidden layer of Eq. 21; ``product`` multiplies the sums over odd
            and even lags, so that causes act only together; ``threshold`` lets a sum act only above ``weight``.
        edges: ``(cause, effect, weight)`` in place of random weights, types by number.
        noise: Share of events that are drawn uniformly, whatever came before.
        drift: Share of its weights that a world replaces on the way from its first sequence to its last.
        ties: Events that share a timestamp, in an order that says nothing; 1 writes none.
        hidden: Types that act but are never recorded.
        length: Events in a sequence, before hidden ones are taken out.
        seed: Seed of the weights.

    Raises:
        SettingsError: If a value is not understood.
    """

    types: int = 100
    memory: int = 6
    decay: float = 1.0
    weight: float = 4.0
    sparsity: float = 0.9
    bias: float = 0.0
    nonlinearity: str = "none"
    edges: tuple[tuple[int, int, float], ...] = ()
    noise: float = 0.0
    drift: float = 0.0
    ties: int = 1
    hidden: tuple[int, ...] = ()
    length: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.nonlinearity not in NONLINEARITIES:
            raise SettingsError(
                f"nonlinearity is {self.nonlinearity!r}, expected one of: {', '.join(NONLINEARITIES)}."
            )
        for name, least in (("types", 2), ("memory", 1), ("ties", 1), ("length", 2), ("seed", 0)):
            _within(name, getattr(self, name), least, None)
        for name in ("sparsity", "noise", "drift"):
            _within(name, getattr(self, name), 0, 1)
        for name in ("decay", "weight", "bias"):
            _within(name, getattr(self, name), 0, None)
        if not all(math.isfinite(edge[2]) for edge in self.edges):
            raise SettingsError("The weight of an edge is not finite, expected a number such as 2.5.")
        named = [*self.hidden, *(end for edge in self.edges for end in edge[:2])]
        outside = [number for number in named if not 0 <= number < self.types]
        if outside:
            raise SettingsError(f"Type {preview(outside)} is not one of the {self.types} types from 0.")
        if len(set(self.hidden)) == self.types:
            raise SettingsError(
                "All types are hidden, so that nothing would be recorded. Leave one out of `hidden`."
            )
        if self.edges and self.drift:
            raise SettingsError(
                "drift replaces random weights, but the world has `edges`. Give one of the two."
            )

    @property
    def is_exact(self) -> bool:
        """Whether what is recorded has a closed form: nothing hidden, drifting or out of order."""
        return not (self.hidden or self.drift or self.ties > 1)

    def to_dict(self) -> dict[str, Any]:
        """All values by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "WorldSpec":
        """Read what ``to_dict`` gave, or a part of it.

        Raises:
            SettingsError: If a name or a value is not understood.

        Example:
            >>> WorldSpec.from_dict({"types": 50}).memory
            6
        """
        known = {field.name for field in fields(cls)}
        wrong = [name for name in document if name not in known]
        if wrong:
            raise SettingsError(
                f"Unknown world setting {preview(wrong)}, expected one of: {', '.join(sorted(known))}."
            )
        values = dict(document)
        try:
            if "edges" in values:
                values["edges"] = tuple((int(a), int(b), float(w)) for a, b, w in values["edges"])
            if "hidden" in values:
                values["hidden"] = tuple(int(number) for number in values["hidden"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"The world cannot be read: {first_line(error)}.") from error


# The worlds of the gates benchmark; recipes/gates measures their redundancy and where their causes lie.
_GATE = WorldSpec(nonlinearity="relu", bias=0.5)
WORLDS: dict[str, WorldSpec] = {
    "steep": replace(_GATE, types=1000, weight=3.2, decay=1.0),
    "medium": replace(_GATE, types=1000, weight=2.6, decay=0.3),
    "flat": replace(_GATE, types=1000, weight=1.7, decay=0.0),
    "small": replace(_GATE, types=100, weight=4.0, decay=1.0),
    "small-medium": replace(_GATE, types=100, weight=3.4, decay=0.5),
}


def load_spec(name_or_path: str | Path) -> WorldSpec:
    """A world by name, or from a JSON file with the fields of ``WorldSpec``.

    Raises:
        SettingsError: If there is neither.

    Example:
        >>> load_spec("steep").types
        1000
    """
    if str(name_or_path) in WORLDS:
        return WORLDS[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        raise SettingsError(
            f"{str(name_or_path)!r} is neither a world ({', '.join(WORLDS)}) nor a file. Write its settings as JSON: "
            '{"types": 50, "memory": 6, "decay": 0.5, "weight": 3.0}.'
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(
            f"{path.name!r} is not JSON ({first_line(error)}), expected world settings."
        ) from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"{path.name!r} holds a {type(document).__name__}, expected an object of settings."
        )
    return WorldSpec.from_dict(document)
