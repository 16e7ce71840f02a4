"""The worlds in continuous time that have a name, each drawn from a few numbers, and worlds of both kinds by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hf_trace.checks import near, number, one_of, refuse_unknown, whole
from hf_trace.documents import read_document
from hf_trace.errors import SettingsError
from hf_trace.options import SEED
from hf_trace.worlds.delays import DELAYS
from hf_trace.worlds.process_spec import Flood, Inhibition, Number, ProcessEdge, ProcessSpec, ProcessType
from hf_trace.worlds.simulator import type_names
from hf_trace.worlds.world import WORLDS, WorldSpec, load_spec
from hf_trace.worlds.world_names import NAMED_WORLDS

Pair = tuple[int, int]
# Mean events per second of a type by itself: with 20 types and their effects a few hundred events in six hours.
_RATE = 6e-4


@dataclass(frozen=True)
class ProcessNetwork:
    """The numbers from which a world with a name is drawn.

    Attributes:
        types: Number of event types, before those that a world adds.
        edges: Number of pairs that act on each other in some way.
        weight: Mean number of caused events; that of an edge lies between half and one and a half of it.
        delay: Typical delay in seconds; that of an edge lies between a quarter and four times of it.
        duration: Seconds of a sequence.
        world_seed: Seed of all that is drawn.
    """

    types: int = 20
    edges: int = 30
    weight: Number = 0.4
    delay: Number = 30.0
    duration: Number = 21_600.0
    world_seed: int = SEED.default

    def __post_init__(self) -> None:
        for name, least in (("types", 6), ("edges", 6), ("world_seed", 0)):
            whole(name, getattr(self, name), least=least)
        most = self.types * (self.types - 1) // 4
        if self.edges > most:
            raise SettingsError(f"edges is {self.edges}, expected at most {most} among {self.types} types.")
        number("weight", self.weight, least=0)
        for name in ("delay", "duration"):
            number(name, getattr(self, name), above=0)


class _Drawing:
    """All that worlds draw from the numbers of a network, in the order in which they ask."""

    def __init__(self, network: ProcessNetwork) -> None:
        self.network = network
        self.generator = np.random.default_rng(network.world_seed)
        self.names = type_names(network.types)

    def types(self, faster: float = 1.0) -> tuple[ProcessType, ...]:
        """Types of which few are frequent and most are rare."""
        rates = faster * _RATE * self.generator.lognormal(-0.5, 1.0, len(self.names))
        return tuple(ProcessType(name, float(rate)) for name, rate in zip(self.names, rates, strict=True))

    def pairs(self, count: int, among: int | None = None, *, ordered: bool = False) -> list[Pair]:
        """Different pairs of different types; ``ordered`` ones have no circles."""
        among = len(self.names) if among is None else among
        order = self.generator.permutation(among)
        places = [(a, b) for a in range(among) for b in range(among) if (a < b if ordered else a != b)]
        drawn = self.generator.permutation(len(places))[:count]
        return [(int(order[places[place][0]]), int(order[places[place][1]])) for place in drawn]

    def edge(self, pair: Pair, *, heavier: float = 1.0) -> ProcessEdge:
        network, draw = self.network, self.generator
        weight = heavier * network.weight * draw.uniform(0.5, 1.5)
        delay = network.delay * 4 ** draw.uniform(-1, 1)
        kernel = list(DELAYS)[draw.integers(len(DELAYS))]
        return ProcessEdge(self.names[pair[0]], self.names[pair[1]], float(weight), float(delay), kernel)

    def spec(
        self, types: tuple[ProcessType, ...], edges: list[ProcessEdge], inhibitions: tuple[Inhibition, ...] = ()
    ) -> ProcessSpec:
        return ProcessSpec(types, tuple(edges), inhibitions, duration=self.network.duration)


def _hawkes(draw: _Drawing, faster: float = 1.0) -> ProcessSpec:
    return draw.spec(draw.types(faster), [draw.edge(pair) for pair in draw.pairs(draw.network.edges)])


def _bursts(draw: _Drawing) -> ProcessSpec:
    plain = _hawkes(draw, faster=0.5)
    repeats, gaps = (draw.generator.uniform(least, most, len(plain.types)) for least, most in ((2, 8), (1, 5)))
    types = (
        replace(kind, repeats=float(count), gap=float(gap))
        for kind, count, gap in zip(plain.types, repeats, gaps, strict=True)
    )
    return replace(plain, types=tuple(types))


def _periodic(draw: _Drawing) -> ProcessSpec:
    plain = _hawkes(draw)
    beats = {"heartbeat": (60.0, 0.05), "poll": (150.0, 0.02), "report": (600.0, 0.05), "backup": (3_600.0, 0.02)}
    added = (ProcessType(name, period=period, jitter=jitter) for name, (period, jitter) in beats.items())
    return replace(plain, types=(*plain.types, *added))


def _signals(draw: _Drawing) -> ProcessSpec:
    """A set or a clear hands itself on; a signal clears by itself after some minutes."""
    count = draw.network.types // 2
    variables = tuple((f"{name}=off", f"{name}=on") for name in type_names(count))
    types = []
    for off, on in variables:
        types.append(ProcessType(off, float(draw.generator.uniform(0.5, 1.5) / 300)))
        types.append(ProcessType(on, float(draw.generator.uniform(0.5, 1.5) / 1_200)))
    edges = []
    for cause, effect in draw.pairs(min(draw.network.edges // 2, count * (count - 1) // 2), count, ordered=True):
        for value in (0, 1):
            found = draw.edge((0, 1), heavier=2.0)
            edges.append(replace(found, cause=variables[cause][value], effect=variables[effect][value]))
    return replace(draw.spec(tuple(types), edges), variables=variables)


def _chatter(draw: _Drawing) -> ProcessSpec:
    plain = _hawkes(draw)
    chatters = (ProcessType("chatter0", repeats=25, gap=2), ProcessType("chatter1", _RATE / 2, repeats=15, gap=4))
    caused = replace(draw.edge((0, 1)), cause=draw.names[0], effect="chatter0")
    flood = Flood(rate=1 / 7_200, seconds=300, factor=8)
    return replace(plain, types=(*plain.types, *chatters), edges=(*plain.edges, caused), flood=flood)


def _together(draw: _Drawing) -> ProcessSpec:
    """Half of the pairs act alone; the others, two by two, only when both causes come within two minutes."""
    names, triples = draw.names, draw.network.edges // 4
    pairs = draw.pairs(draw.network.types * (draw.network.types - 1) // 2, ordered=True)
    edges = [draw.edge(pair) for pair in pairs[: draw.network.edges - 2 * triples]]
    rest = pairs[len(edges) :]
    for _ in range(triples):
        first = rest.pop(0)
        second = next((pair for pair in rest if pair[1] == first[1]), None)
        if second is None:
            continue
        rest.remove(second)
        for one, other in ((first, second), (second, first)):
            edges.append(replace(draw.edge(one, heavier=3.0), needs=names[other[0]], window=120.0))
    return draw.spec(draw.types(faster=1.5), edges)


def _inhibition(draw: _Drawing) -> ProcessSpec:
    pairs = draw.pairs(draw.network.edges)
    split = 2 * len(pairs) // 3
    seconds = 4 * draw.network.delay
    prevented = (Inhibition(draw.names[cause], draw.names[effect], 0.1, seconds) for cause, effect in pairs[split:])
    return draw.spec(draw.types(faster=1.5), [draw.edge(pair) for pair in pairs[:split]], tuple(prevented))


def _hidden(draw: _Drawing) -> ProcessSpec:
    """A third of the pairs are not joined: one hidden type drives both, the second of them later."""
    pairs = draw.pairs(draw.network.edges)
    split = 2 * len(pairs) // 3
    edges, apart = [draw.edge(pair) for pair in pairs[:split]], set(pairs[:split])
    added: list[ProcessType] = []
    for pair in pairs[split:]:
        if apart & {pair, pair[::-1]}:
            continue
        apart.add(pair)
        added.append(ProcessType(f"hidden{len(added)}", _RATE, hidden=True))
        for end, later in zip(pair, (0.5, 2.0), strict=True):
            found = draw.edge(pair, heavier=2.0)
            edges.append(replace(found, cause=added[-1].name, effect=draw.names[end], delay=later * draw.network.delay))
    return draw.spec((*draw.types(), *added), edges)


PROCESS_WORLDS: dict[str, Callable[[_Drawing], ProcessSpec]] = {
    "hawkes": _hawkes,
    "bursts": _bursts,
    "periodic": _periodic,
    "signals": _signals,
    "chatter": _chatter,
    "together": _together,
    "inhibition": _inhibition,
    "hidden": _hidden,
}


def process_world(name: str, **parameters: Number) -> ProcessSpec:
    """A world in continuous time by name.

    Args:
        name: One of ``PROCESS_WORLDS``.
        **parameters: Of ``ProcessNetwork``: types, edges, weight, delay, duration, world_seed.

    Raises:
        SettingsError: If the name or a value is not understood.

    Example:
        >>> world = process_world("inhibition", types=12, edges=9)
        >>> len(world.types), len(world.edges), len(world.inhibitions)
        (12, 6, 3)
    """
    one_of("world", name, PROCESS_WORLDS)
    refuse_unknown(parameters, ProcessNetwork.__annotations__, what="parameter of a world")
    return PROCESS_WORLDS[name](_Drawing(ProcessNetwork(**parameters)))  # type: ignore[arg-type]


def load_world(name_or_path: str | Path, **parameters: Number) -> WorldSpec | ProcessSpec:
    """A world of either kind by name, or from a JSON file with the fields of ``WorldSpec`` or ``ProcessSpec``.

    Args:
        name_or_path: A name of ``WORLDS`` or ``PROCESS_WORLDS``, or a file; one with a list of types is a process.
        **parameters: For ``process_world``.

    Raises:
        SettingsError: If there is neither, or parameters are given for another world than one of ``PROCESS_WORLDS``.

    Example:
        >>> load_world("small").types, len(load_world("bursts").types)
        (100, 20)
    """
    name, path = str(name_or_path), Path(name_or_path)
    if name in PROCESS_WORLDS:
        return process_world(name, **parameters)
    if name not in WORLDS and not path.is_file():
        raise SettingsError(
            f"{name!r} is neither a world ({', '.join(NAMED_WORLDS)}) nor a file.{near(name, NAMED_WORLDS)} Write its "
            'settings as JSON: {"types": 50, "memory": 6, "decay": 0.5, "weight": 3.0}, or {"types": [{"name": "a", '
            '"rate": 0.01}, {"name": "b"}], "edges": [{"cause": "a", "effect": "b", "weight": 0.5, "delay": 10}]}.'
        )
    if parameters:
        raise SettingsError(
            f"{next(iter(parameters))} is for the worlds {', '.join(PROCESS_WORLDS)}, not for {name!r}. Leave it out, "
            "or write it into the file of the world."
        )
    if name in WORLDS:
        return load_spec(name)
    document = read_document(path, "world settings", error=SettingsError)
    if isinstance(document, dict) and isinstance(document.get("types"), list):
        return ProcessSpec.from_dict(document)
    return load_spec(path)
