"""Random logs whose edges are known, as different as logs can be: what a classifier of edges learns from.

Speed, size, hubs, delays, bursts, floods, hidden causes, clocks, places and losses are drawn for each log anew. What is
drawn, and in which order, decides what a seed gives.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from labelled_logs import LabelledLog

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.worlds.delays import DELAYS
from hf_trace.worlds.place_worlds import PlaceWorld, simulate_places
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import Flood, Inhibition, ProcessEdge, ProcessSpec, ProcessType

# A log of one process, of places with a topology, and of places whose topology is not told, with how often each is.
_KINDS = {"single": 0.65, "places": 0.2, "devices": 0.15}
_EVENTS = (1_500, 40_000)
_ATTEMPTS = 50
# Of a type that happens only when something causes it.
_HARDLY_EVER = 1e-9
Edges = list[ProcessEdge]


def random_world(seed: int) -> LabelledLog:
    """A log of one process, or of places that are joined."""
    draw = _Draws([18, seed])
    kind = str(draw.generator.choice(list(_KINDS), p=list(_KINDS.values())))
    events = int(draw.scale(2_500, 20_000))
    for _ in range(_ATTEMPTS):
        with suppress(SettingsError):
            process = _Process(draw, is_plain=kind != "single")
            spec = process.spec()
            rate = _events_per_second(spec, process.delay, seed)
            network = None
            if kind == "single":
                log = _simulated(draw, spec, events, rate, seed, sequences=(5, 150, 40))
            else:
                network = _network(draw)
                if len(network.pairs) < 4:
                    continue
                duration = events / len(network.places) / rate
                log = simulate_places(_at_places(draw, replace(spec, duration=duration), network), seed=seed)
            if _EVENTS[0] <= len(log.codes) <= _EVENTS[1]:
                edges = _weighted(spec) | {(each.cause, each.effect): 0.0 for each in spec.inhibitions}
                seen = network if kind == "places" else None
                return LabelledLog(kind, _recorded(draw, log, process.delay), edges, seen)
    raise SettingsError(f"Seed {seed} gives no world of {_EVENTS[0]:,} to {_EVENTS[1]:,} events. Take another.")


def random_signals(seed: int) -> LabelledLog:
    """A log of variables that hold values: two seeds in three ask for edges between variables, one between values."""
    draw = _Draws([19, seed])
    events = int(draw.scale(3_000, 20_000))
    for _ in range(_ATTEMPTS):
        with suppress(SettingsError):
            signals = _Signals(draw)
            spec = signals.spec()
            rate = _events_per_second(spec, signals.delay, seed)
            log = _simulated(draw, spec, events, rate, seed, sequences=(3, 100, 60))
            if _EVENTS[0] <= len(log.codes) <= _EVENTS[1]:
                kind, variable = ("variables", ("*=*",)) if seed % 3 else ("values", ())
                return LabelledLog(kind, _recorded(draw, log, signals.delay), _weighted(spec), variable=variable)
    raise SettingsError(f"Seed {seed} gives no world of {_EVENTS[0]:,} to {_EVENTS[1]:,} events. Take another.")


def _weighted(spec: ProcessSpec) -> dict[tuple[str, str], float]:
    """Expected number of effects of each event of a cause, by edge."""
    found: dict[tuple[str, str], float] = {}
    for edge in spec.edges:
        ends = edge.cause, edge.effect
        found[ends] = found.get(ends, 0.0) + edge.weight
    return found


class _Draws:
    """The random numbers of one world."""

    def __init__(self, seed: Sequence[int]) -> None:
        self.generator = np.random.default_rng(seed)

    def scale(self, least: float, most: float) -> float:
        """A number whose logarithm is uniform."""
        return float(np.exp(self.generator.uniform(np.log(least), np.log(most))))

    def number(self, least: float, most: float) -> float:
        return float(self.generator.uniform(least, most))

    def chance(self, share: float) -> bool:
        return bool(self.generator.random() < share)

    def whole(self, least: int, below: int) -> int:
        return int(self.generator.integers(least, below))

    def some(self, among: int, count: int, p: np.ndarray | None = None) -> list[int]:
        """Different numbers below ``among``."""
        return self.generator.choice(among, count, replace=False, p=p).tolist()

    def kernel(self) -> str:
        return list(DELAYS)[self.whole(0, len(DELAYS))]


class _Process:
    """Types that act on each other, and what disturbs them.

    Args:
        draw: Whatever is drawn comes from here, in this order.
        is_plain: Without what a world of places cannot have: inhibition, beats, floods, causes that act together.
    """

    def __init__(self, draw: _Draws, *, is_plain: bool) -> None:
        self.draw, self.is_plain = draw, is_plain
        self.size = size = draw.whole(8, 31 if is_plain else 41)
        self.names = [f"t{number:02d}" for number in range(size)]
        wanted = int(np.clip(size * draw.scale(0.6, 3.0), 3, size * (size - 1) / 4))
        self.weight, self.delay = draw.scale(0.08, 0.8), draw.scale(5, 600)
        self.spread = draw.scale(1.5, 12)
        self.pairs = self._pairs(wanted)
        rates = self._rates()
        one, kernel = draw.chance(0.3), draw.kernel()
        self.kernel: Callable[[], str] = (lambda: kernel) if one else draw.kernel
        self.types = self._types(rates)

    def spec(self) -> ProcessSpec:
        pairs, inhibitions = self._inhibitions()
        edges = self._together([self._edge(pair) for pair in pairs])
        self._hide(edges)
        self._beat()
        self._chatter(edges)
        flood = None
        if not self.is_plain and self.draw.chance(0.4):
            rate, seconds = 1 / (self.delay * self.draw.scale(50, 500)), self.delay * self.draw.scale(3, 30)
            flood = Flood(rate, seconds, self.draw.scale(2, 12))
        return _stable(
            lambda edges: ProcessSpec(
                tuple(self.types), tuple(edges), tuple(inhibitions), flood=flood, duration=self.delay * 3_000
            ),
            edges,
            0.8,
        )

    def _pairs(self, wanted: int) -> list[tuple[int, int]]:
        """What acts on what: often without circles, and a few types on many."""
        draw, size = self.draw, self.size
        is_acyclic = draw.chance(0.6)
        order = draw.generator.permutation(size)
        places = [(a, b) for a in range(size) for b in range(size) if (a < b if is_acyclic else a != b)]
        busy = draw.generator.gamma(draw.scale(0.5, 5), size=size) + 0.05
        weight = busy[[a for a, _ in places]]
        chosen = draw.some(len(places), min(wanted, len(places)), weight / weight.sum())
        return [(int(order[places[each][0]]), int(order[places[each][1]])) for each in chosen]

    def _rates(self) -> list[float]:
        """Events of each type by itself, per second: over all types one in several delays."""
        draw, size = self.draw, self.size
        deviation = draw.number(0.3, 1.6)
        self.rate = 1 / (self.delay * draw.scale(3, 60))
        rates = self.rate * draw.generator.lognormal(0, deviation, size) * 3 / size
        is_own = draw.generator.random(size) < draw.generator.choice([1.0, 0.7, 0.4])
        if not is_own.any():
            is_own[0] = True
        return np.where(is_own, rates, _HARDLY_EVER).tolist()

    def _types(self, rates: list[float]) -> list[ProcessType]:
        """Each by itself, or in bursts."""
        draw, types = self.draw, []
        are_bursts, share = draw.chance(0.5), draw.number(0.1, 0.8)
        for name, rate in zip(self.names, rates, strict=True):
            kind = ProcessType(name, rate)
            if are_bursts and draw.chance(share):
                repeats, gap = draw.scale(0.3, 8), self.delay * draw.scale(0.01, 1)
                kind = ProcessType(name, rate / 2, repeats=repeats, gap=gap)
            types.append(kind)
        return types

    def _apart(self) -> float:
        """A delay."""
        return float(self.delay * self.spread ** self.draw.generator.uniform(-1, 1))

    def _edge(self, pair: tuple[int, int]) -> ProcessEdge:
        cause, effect = (self.names[end] for end in pair)
        return ProcessEdge(cause, effect, self.weight * self.draw.number(0.3, 1.7), self._apart(), self.kernel())

    def _inhibitions(self) -> tuple[list[tuple[int, int]], list[Inhibition]]:
        """Pairs of which one causes the other, and those of which it prevents it."""
        if self.is_plain or not self.draw.chance(0.2):
            return self.pairs, []
        cut = int(len(self.pairs) * 0.75)
        return self.pairs[:cut], [
            Inhibition(self.names[a], self.names[b], self.draw.number(0, 0.4), 4 * self.delay)
            for a, b in self.pairs[cut:]
        ]

    def _together(self, edges: Edges) -> Edges:
        """Some of which act only where another type was before."""
        if self.is_plain or not self.draw.chance(0.15):
            return edges
        found = []
        for edge in edges:
            if self.draw.chance(0.3):
                needs = self.names[self.draw.whole(0, self.size)]
                if needs not in (edge.cause, edge.effect):
                    edge = replace(edge, needs=needs, window=4 * self.delay, weight=min(2.0, 2.5 * edge.weight))
            found.append(edge)
        return found

    def _hide(self, edges: Edges) -> None:
        """Causes that are never recorded."""
        draw = self.draw
        if not draw.chance(0.35):
            return
        for number in range(draw.whole(1, max(2, self.size // 5))):
            name, rate = f"hidden{number}", self.rate * draw.scale(0.3, 3) * 3 / self.size
            self.types.append(ProcessType(name, rate, hidden=True))
            for effect in draw.some(self.size, draw.whole(2, 6)):
                edges.append(ProcessEdge(name, self.names[effect], draw.scale(0.3, 1.2), self._apart(), draw.kernel()))

    def _beat(self) -> None:
        """Types that come like a clock."""
        if self.is_plain or not self.draw.chance(0.25):
            return
        for number in range(self.draw.whole(1, 4)):
            period, jitter = self.delay * self.draw.scale(3, 60), self.draw.scale(0.005, 0.2)
            self.types.append(ProcessType(f"tick{number}", period=period, jitter=jitter))

    def _chatter(self, edges: Edges) -> None:
        """A type that repeats itself again and again."""
        draw = self.draw
        if not draw.chance(0.3):
            return
        repeats, gap = draw.scale(5, 30), self.delay * draw.scale(0.01, 0.5)
        self.types.append(ProcessType("chatter", self.rate * 3 / self.size / 2, repeats=repeats, gap=gap))
        if draw.chance(0.5):
            cause = self.names[draw.whole(0, self.size)]
            edges.append(ProcessEdge(cause, "chatter", draw.scale(0.05, 0.3), self.delay))


class _Signals:
    """Variables of two values that hand themselves on, some of them driven by a cycle, beside plain events."""

    def __init__(self, draw: _Draws) -> None:
        self.draw = draw
        self.size, self.plain = draw.whole(6, 26), draw.whole(0, 8)
        self.delay, self.spread = draw.scale(0.5, 120), draw.scale(1.5, 6)
        self.rate = 1 / (self.delay * draw.scale(5, 80)) / self.size
        self.variables = tuple((f"s{number:02d}=0", f"s{number:02d}=1") for number in range(self.size))
        self.order = draw.generator.permutation(self.size)
        self.types, self.edges = self._values(), list[ProcessEdge]()

    def spec(self) -> ProcessSpec:
        self._hand_on()
        self._drive()
        for number in range(self.plain):
            self._event(f"e{number}")
        types, variables, duration = tuple(self.types), self.variables, self.delay * 3_000
        return _stable(
            lambda edges: ProcessSpec(types, tuple(edges), variables=variables, duration=duration), self.edges, 0.85
        )

    def _values(self) -> list[ProcessType]:
        """How often a variable is set and cleared by itself."""
        draw, types = self.draw, []
        is_own = draw.generator.random(self.size) < draw.generator.choice([1.0, 0.6, 0.3])
        is_own[self.order[0]] = True
        clears = draw.generator.random(self.size) < draw.generator.uniform(0.2, 1)
        for number, (off, on) in enumerate(self.variables):
            rate = self.rate * draw.generator.lognormal(0, draw.number(0.3, 1.2)) * 3
            cleared = rate * draw.scale(1, 20) if clears[number] else rate * 0.05
            types += [ProcessType(off, cleared), ProcessType(on, rate if is_own[number] else rate * 0.02)]
        return types

    def _edge(self, cause: str, effect: str, weight: float) -> None:
        delay = float(self.delay * self.spread ** self.draw.generator.uniform(-1, 1))
        self.edges.append(ProcessEdge(cause, effect, weight, delay, self.draw.kernel()))

    def _hand_on(self) -> None:
        """A value of one variable brings a value of another, the same or the opposite."""
        draw, size = self.draw, self.size
        wanted = int(np.clip(size * draw.scale(0.5, 1.8), 3, size * (size - 1) / 2))
        places = [(a, b) for a in range(size) for b in range(a + 1, size)]
        is_sure = draw.chance(0.5)
        for chosen in draw.some(len(places), min(wanted, len(places))):
            cause, effect = (self.variables[self.order[end]] for end in places[chosen])
            flips = draw.chance(0.25)
            for value in (0, 1):
                if value or draw.chance(0.8):
                    self._edge(cause[value], effect[value ^ flips], draw.number(0.7 if is_sure else 0.2, 1.0))

    def _drive(self) -> None:
        """A cycle sets some variables."""
        draw = self.draw
        if not draw.chance(0.5):
            return
        period, jitter = self.delay * draw.scale(10, 80), draw.scale(0.01, 0.3)
        self.types.append(ProcessType("cycle", period=period, jitter=jitter))
        for number in draw.some(self.size, draw.whole(1, max(2, self.size // 3))):
            self._edge("cycle", self.variables[number][1], draw.number(0.5, 1))

    def _event(self, name: str) -> None:
        """An event without values, which some variable brings, or which sets one."""
        draw = self.draw
        self.types.append(ProcessType(name, self.rate * draw.scale(0.1, 2)))
        if not draw.chance(0.6):
            return
        variable, value = self.variables[draw.whole(0, self.size)], draw.whole(0, 2)
        if draw.chance(0.5):
            self.edges.append(ProcessEdge(variable[value], name, draw.number(0.1, 0.9), self.delay))
        else:
            self.edges.append(ProcessEdge(name, variable[1], draw.number(0.2, 0.9), self.delay))


def _stable(make: Callable[[Edges], ProcessSpec], edges: Edges, lighter: float) -> ProcessSpec:
    """A world that does not explode: all edges are made lighter until each event causes less than one in the end."""
    for _ in range(30):
        try:
            return make(edges)
        except SettingsError as error:
            if "spectral" not in str(error):
                raise
            edges = [replace(edge, weight=lighter * edge.weight) for edge in edges]
    raise SettingsError("However light its edges, this world explodes. Take another seed.")


def _events_per_second(spec: ProcessSpec, delay: float, seed: int) -> float:
    """Measured, because what is caused comes on top of the rates."""
    seconds = 300 * delay
    return max(len(simulate_process(replace(spec, duration=seconds), 1, seed=seed).log.codes), 5) / seconds


def _simulated(
    draw: _Draws, spec: ProcessSpec, events: int, rate: float, seed: int, *, sequences: tuple[int, int, int]
) -> EventLog:
    """About so many events, in a number of sequences from least to most, none of fewer events than the last number."""
    least, most, shortest = sequences
    count = int(np.clip(draw.scale(least, most), least, events / shortest))
    return simulate_process(replace(spec, duration=events / count / rate), count, seed=seed).log


def _network(draw: _Draws) -> PlaceNetwork:
    """Places of which any two may be joined."""
    size = draw.whole(12, 40)
    share, is_directed = draw.number(1.5, 5) / size, draw.chance(0.3)
    names = [f"p{number:02d}" for number in range(size)]
    pairs = [(a, b) for a in names for b in names if (a != b if is_directed else a < b) and draw.chance(share)]
    return PlaceNetwork.of(pairs, directed=is_directed)


def _at_places(draw: _Draws, spec: ProcessSpec, network: PlaceNetwork) -> PlaceWorld:
    """The same causes at every place; each acts there, at the neighbours, or at both."""
    shares = draw.generator.dirichlet([1, 1, 1])
    places = ["within", "between", "both"]
    where = {(edge.cause, edge.effect): str(draw.generator.choice(places, p=shares)) for edge in spec.edges}
    return PlaceWorld(spec, network, where)


def _recorded(draw: _Draws, log: EventLog, delay: float) -> EventLog:
    """What a monitoring system keeps of a log: some events are lost, and clocks are coarse or off."""
    generator, codes, times = draw.generator, log.codes, log.timestamps
    kept = np.ones(len(codes), dtype=bool)
    if draw.chance(0.3):
        found = generator.random(len(codes))
        lost = draw.number(0, 0.3) * (generator.random(len(log.event_types)) < 0.6)
        kept = found > lost[codes]
    if draw.chance(0.3):
        step = delay * draw.scale(0.02, 0.5)
        times = np.floor(times / step) * step
    if draw.chance(0.2):
        times = times + generator.normal(0, delay * 0.05, len(codes))
    sequence = np.repeat(np.arange(len(log)), log.sequence_lengths)
    # Of one time, in any order.
    order = np.lexsort((generator.random(len(codes)), times, sequence))
    order = order[kept[order]]
    lengths = np.bincount(sequence[order], minlength=len(log))
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    return replace(log, codes=codes[order], timestamps=times[order], offsets=offsets).without_empty_sequences()
