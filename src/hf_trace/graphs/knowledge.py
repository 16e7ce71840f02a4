"""What is known before any data are seen: which event types may cause which, and which do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from os import PathLike
from typing import Any

from hf_trace.checks import near, refuse_unknown
from hf_trace.documents import Document, read_document
from hf_trace.errors import SettingsError, UnknownEventError, preview
from hf_trace.graphs.graph import CausalGraph

ANY = "*"
# Stands for every type that the knowledge does not name.
_ANY_OTHER = "\0"
Pair = tuple[str, str]


@dataclass(frozen=True)
class BackgroundKnowledge:
    """Rules about pairs of event types; a pair is allowed where no rule is against it.

    Attributes:
        forbidden: ``(cause, effect)`` pairs that are not edges; ``*`` stands for any type.
        required: ``(cause, effect)`` pairs that are edges, found or not; ``*`` stands for any other type.
        tiers: Types in the order in which they can act: a type of a later tier never causes one of an earlier tier.
        groups: Types by group, for example by device: a type causes only types of its own group or of neighbouring
            ones. Tiers and groups say nothing about types they do not name.
        neighbours: Pairs of names of groups that act on each other, in both directions.

    Raises:
        SettingsError: If rules contradict each other.

    Example:
        >>> known = BackgroundKnowledge(forbidden=(("ticket", "*"),), tiers=(("alarm",), ("repair",)))
        >>> known.allows("alarm", "repair"), known.allows("repair", "alarm"), known.allows("ticket", "alarm")
        (True, False, False)
    """

    forbidden: tuple[Pair, ...] = ()
    required: tuple[Pair, ...] = ()
    tiers: tuple[tuple[str, ...], ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    neighbours: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        _check_once("tiers", self.tiers)
        _check_once("groups", self.groups.values())
        named = (name for pair in self.neighbours for name in pair)
        refuse_unknown(named, self.groups, what="group among `neighbours` of the background knowledge:")
        if (ANY, ANY) in self.required:
            raise SettingsError(
                f"The background knowledge requires {ANY!r} -> {ANY!r}, expected a type on one side at least. Name it."
            )
        for cause, effect in self._required_of([*self.names, _ANY_OTHER]):
            reason = self._refusal(cause, effect)
            if reason:
                ends = " -> ".join("any type" if end == _ANY_OTHER else repr(end) for end in (cause, effect))
                raise SettingsError(
                    f"The background knowledge requires {ends} and forbids it: {reason}. Expected one of the two; "
                    "remove the other."
                )

    @classmethod
    def from_dict(cls, document: Any) -> "BackgroundKnowledge":
        """Read a mapping with any of the attributes, as JSON gives it.

        Raises:
            SettingsError: If a key or a value is not understood, or rules contradict each other.

        Example:
            >>> BackgroundKnowledge.from_dict({"required": [["disk full", "reboot"]]}).required
            (('disk full', 'reboot'),)
        """
        if not isinstance(document, Mapping):
            raise SettingsError(
                f"The background knowledge is of type {type(document).__name__}, expected a mapping with "
                f"{', '.join(_KEYS)}."
            )
        refuse_unknown(document, _KEYS, what="key of the background knowledge:")
        groups = document.get("groups", {})
        if not isinstance(groups, Mapping):
            raise SettingsError(
                f"`groups` of the background knowledge is {repr(groups)[:80]}, expected a mapping from names of groups "
                "to lists of event types."
            )
        return cls(
            forbidden=_pairs("forbidden", document),
            required=_pairs("required", document),
            tiers=tuple(_names("tiers", tier) for tier in _listed("tiers", document.get("tiers", ()))),
            groups={str(name): _names("groups", types) for name, types in groups.items()},
            neighbours=_pairs("neighbours", document),
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "BackgroundKnowledge":
        """Read a JSON file with what ``from_dict`` reads.

        Raises:
            SettingsError: If there is no such file or it cannot be read.
        """
        return cls.from_dict(read_document(path, f"background knowledge such as {_SHAPE}", error=SettingsError))

    def to_dict(self) -> Document:
        """What ``from_dict`` reads.

        Example:
            >>> BackgroundKnowledge(tiers=(("a",), ("b",))).to_dict()["tiers"]
            [['a'], ['b']]
        """
        lists = {key: [list(item) for item in getattr(self, key)] for key in _KEYS if key != "groups"}
        return lists | {"groups": {name: list(types) for name, types in self.groups.items()}}

    def allows(self, cause: str, effect: str) -> bool:
        """Whether one type may cause another."""
        return self._refusal(cause, effect) is None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All event types named by a rule."""
        pairs = (name for pair in (*self.forbidden, *self.required) for name in pair if name != ANY)
        listed = (name for types in (*self.tiers, *self.groups.values()) for name in types)
        return tuple(dict.fromkeys((*pairs, *listed)))

    def check_names(self, event_types: Sequence[str]) -> None:
        """Refuse names that are not event types.

        Raises:
            UnknownEventError: If there are any; it says which type comes closest to the first.
        """
        known = set(event_types)
        wrong = [name for name in self.names if name not in known]
        if wrong:
            noun = "name" if len(wrong) == 1 else "names"
            raise UnknownEventError(
                f"The background knowledge has {len(wrong)} {noun} that the model does not know: {preview(wrong)}. "
                f"Expected some of its {len(known)} event types; correct them.{near(wrong[0], event_types)}"
            )

    def required_among(self, event_types: Sequence[str]) -> set[Pair]:
        """Required pairs of which both ends are among the given types."""
        return set(self._required_of(event_types))

    def _required_of(self, event_types: Sequence[str]) -> Iterator[Pair]:
        known = dict.fromkeys(event_types)
        for cause, effect in self.required:
            causes = known if cause == ANY else [cause] if cause in known else []
            effects = known if effect == ANY else [effect] if effect in known else []
            is_rule = ANY in (cause, effect)
            yield from ((one, other) for one in causes for other in effects if not (is_rule and one == other))

    def _refusal(self, cause: str, effect: str) -> str | None:
        """Why a pair is not allowed; None where it is."""
        for pair in ((cause, effect), (cause, ANY), (ANY, effect), (ANY, ANY)):
            if pair in self._forbidden:
                return f"{pair[0]!r} -> {pair[1]!r} is among `forbidden`"
        if self._tier.get(cause, -1) > self._tier.get(effect, len(self.tiers)):
            return f"{cause!r} is in a later tier"
        one, other = self._group.get(cause), self._group.get(effect)
        if one is None or other is None or one == other or (one, other) in self._linked:
            return None
        return f"their groups {one!r} and {other!r} are not neighbours"

    @cached_property
    def _forbidden(self) -> frozenset[Pair]:
        return frozenset(self.forbidden)

    @cached_property
    def _tier(self) -> dict[str, int]:
        return {name: number for number, tier in enumerate(self.tiers) for name in tier}

    @cached_property
    def _group(self) -> dict[str, str]:
        return {name: group for group, types in self.groups.items() for name in types}

    @cached_property
    def _linked(self) -> frozenset[Pair]:
        return frozenset(link for one, other in self.neighbours for link in ((one, other), (other, one)))


_KEYS = tuple(field.name for field in fields(BackgroundKnowledge))
_SHAPE = '{"forbidden": [["ticket", "*"]], "required": [["disk full", "reboot"]]}'


def as_knowledge(value: Any) -> BackgroundKnowledge | None:
    """Background knowledge from what a caller may pass: nothing, the object, a mapping or a JSON file.

    Raises:
        SettingsError: If it is anything else, or cannot be read.
    """
    if value is None or isinstance(value, BackgroundKnowledge):
        return value
    if isinstance(value, (str, PathLike)):
        return BackgroundKnowledge.load(value)
    return BackgroundKnowledge.from_dict(value)


def _check_once(key: str, parts: Iterable[Sequence[str]]) -> None:
    """Refuse a type that is in two tiers or in two groups."""
    seen: set[str] = set()
    for part in parts:
        twice = [name for name in part if name in seen]
        if twice:
            raise SettingsError(
                f"`{key}` of the background knowledge has {preview(twice)} more than once, expected each type in one "
                f"of the {key} at most."
            )
        seen.update(part)


def _listed(key: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SettingsError(f"`{key}` of the background knowledge is {repr(value)[:80]}, expected a list.")
    return value


def _names(key: str, value: Any) -> tuple[str, ...]:
    names = tuple(_listed(key, value))
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise SettingsError(
            f"`{key}` of the background knowledge holds {repr(wrong)[:80]}, expected names of event types."
        )
    return names


def _pairs(key: str, document: Mapping[str, Any]) -> tuple[Pair, ...]:
    pairs = [_names(key, item) for item in _listed(key, document.get(key, ()))]
    if wrong := [list(names) for names in pairs if len(names) != 2]:
        raise SettingsError(
            f"`{key}` of the background knowledge holds {repr(wrong[0])[:80]}, expected pairs of two names."
        )
    return tuple((cause, effect) for cause, effect in pairs)


def with_required(graph: CausalGraph, knowledge: BackgroundKnowledge, measured: Mapping[Pair, float]) -> CausalGraph:
    """Mark the required edges of a graph over event types ``"required": true``; add those it lacks.

    Args:
        graph: A summary or population graph. A required pair is added where both ends are among its types.
        knowledge: What is required.
        measured: ``cmi`` of edges to add, in nats; 0 where nothing could be measured.

    Example:
        >>> known = BackgroundKnowledge(required=(("a", "b"),))
        >>> with_required(CausalGraph("summary", ("a", "b")), known, {}).edges[0]["support"]
        0
    """
    required = knowledge.required_among(graph.events)
    found = {(edge["cause"], edge["effect"]) for edge in graph.edges}
    marked = (
        {**edge, "required": True} if (edge["cause"], edge["effect"]) in required else edge for edge in graph.edges
    )
    blank = {"lags": [], "support": 0, "required": True}
    added = (
        {"cause": cause, "effect": effect, "cmi": measured.get((cause, effect), 0.0), **blank}
        for cause, effect in required - found
    )
    return graph.with_edges([*marked, *added])
