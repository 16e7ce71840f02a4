"""Worlds of many places that are joined: what happens at one acts there, at its neighbours, or both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hf_trace.checks import one_of
from hf_trace.errors import SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.places_of_edges import BETWEEN, BOTH, WITHIN
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.options import SEED
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import ProcessEdge, ProcessSpec
from hf_trace.worlds.process_truth import process_truth

# Of what an event causes, the share that happens at its own place.
_OWN_SHARE = {WITHIN: 1.0, BETWEEN: 0.0, BOTH: 0.5}


@dataclass(frozen=True)
class PlaceWorld:
    """The same types and causes at every place of a network.

    Attributes:
        spec: What happens at a place that is alone: types with rates, and edges. All but these is of single places.
        network: Which places are joined; of directed pairs the first acts on the second.
        where: Where an edge acts, by its cause and effect: within a place (as those that are not named), between
            places, or both. Between places its weight is shared equally by those that see the cause; both have a half.

    Raises:
        SettingsError: If an edge is not in the spec, or what it says is not understood.

    Example:
        >>> types = [{"name": "a", "rate": 0.01}, {"name": "b"}]
        >>> spec = ProcessSpec.from_dict({"types": types, "edges": [{"cause": "a", "effect": "b", "weight": 0.8}]})
        >>> world = PlaceWorld(spec, PlaceNetwork((("x", "y"),)), {("a", "b"): "between"})
        >>> [(edge.cause, edge.effect, edge.weight) for edge in world.whole().edges]
        [('0:a', '1:b', 0.8), ('1:a', '0:b', 0.8)]
    """

    spec: ProcessSpec
    network: PlaceNetwork
    where: Mapping[tuple[str, str], str]

    def __post_init__(self) -> None:
        known = [(edge.cause, edge.effect) for edge in self.spec.edges]
        for pair, place in self.where.items():
            if pair not in known:
                raise SettingsError(
                    f"The world has no edge {pair[0]!r} -> {pair[1]!r}, expected one to say where it acts."
                )
            one_of("where", place, _OWN_SHARE)
        if self.spec.flood or self.spec.inhibitions or self.spec.variables or any(e.needs for e in self.spec.edges):
            raise SettingsError(
                "A world of places has types and edges alone. Leave floods, variables and the like out."
            )

    def whole(self) -> ProcessSpec:
        """All places as one process, whose types are called ``NUMBER:TYPE`` by the number of the place."""
        types = (
            replace(kind, name=f"{number}:{kind.name}")
            for number in range(len(self.network.places))
            for kind in self.spec.types
        )
        return ProcessSpec(tuple(types), tuple(self._edges()), duration=self.spec.duration)

    def truth(self) -> CausalGraph:
        """The known graph of types, whose edges say in ``place`` where they act."""
        graph = process_truth(self.spec)
        return graph.with_edges(
            {**edge, "place": self.where.get((edge["cause"], edge["effect"]), WITHIN)} for edge in graph.edges
        )

    def _edges(self) -> Iterator[ProcessEdge]:
        number = {name: index for index, name in enumerate(self.network.places)}
        seers: list[list[int]] = [[] for _ in number]
        for one, other in self.network.seen():
            seers[number[one]].append(number[other])
            if not self.network.directed:
                seers[number[other]].append(number[one])
        for edge in self.spec.edges:
            own = _OWN_SHARE[self.where.get((edge.cause, edge.effect), WITHIN)]
            for here, others in enumerate(seers):
                weights = {
                    here: own * edge.weight,
                    **{there: (1 - own) * edge.weight / len(others) for there in others},
                }
                for there, weight in weights.items():
                    if weight:
                        yield replace(
                            edge, cause=f"{here}:{edge.cause}", effect=f"{there}:{edge.effect}", weight=weight
                        )


def simulate_places(world: PlaceWorld, *, seed: int = SEED.default) -> EventLog:
    """Let a world of places write a log: one sequence for each place, of its own events.

    Args:
        world: The world; ``with_neighbours(log, world.network)`` gives histories with neighbours.
        seed: Seed of the events.

    Raises:
        SettingsError: See ``simulate_process``.
    """
    log = simulate_process(world.whole(), 1, seed=seed).log
    ends = [name.split(":", 1) for name in log.event_types]
    types = sorted({name for _, name in ends})
    place = np.array([int(number) for number, _ in ends])[log.codes]
    codes = np.array([types.index(name) for _, name in ends], dtype=np.int32)[log.codes]
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=len(world.network.places))
    times = None if log.timestamps is None else log.timestamps[order]
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    return EventLog(tuple(types), codes[order], offsets, times, world.network.places).without_empty_sequences()
