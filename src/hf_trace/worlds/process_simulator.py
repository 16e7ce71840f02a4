"""Event logs written by a world in continuous time: clusters of causes and effects, thinned by what prevents them."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from hf_trace.checks import whole
from hf_trace.errors import SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.options import SEED
from hf_trace.worlds.delays import DELAYS, Delay
from hf_trace.worlds.process_spec import Number, ProcessEdge, ProcessSpec, ProcessType
from hf_trace.worlds.process_truth import mean_rates, process_truth, variable_truth

_MOST_EVENTS = 100_000_000


@dataclass(frozen=True)
class ProcessSimulation:
    """What a world in continuous time wrote.

    Attributes:
        log: The events that were recorded.
        truth: Which types cause which.
        variables: Which variables cause which, where the world has variables.
    """

    log: EventLog
    truth: CausalGraph
    variables: CausalGraph | None


def simulate_process(
    spec: ProcessSpec,
    sequences: int = 60,
    *,
    seed: int = SEED.default,
    advance: Callable[[float], None] = lambda _: None,
) -> ProcessSimulation:
    """Let a world write sequences, each from an empty past.

    Every event has its Poisson number of effects (the cluster representation, Hawkes and Oakes 1974), which are taken
    in the order of time and kept with the probability that what came before leaves them (thinning, Ogata 1981): the
    factors of what inhibits them, 0 for the value that a variable already holds. Sequence ``i`` depends on the seed and
    on ``i``, not on how many there are.

    Args:
        spec: The world.
        sequences: How many.
        seed: Seed of the events.
        advance: Called with the number of sequences done.

    Raises:
        SettingsError: If nothing happens, or more than 100 million events are to be expected.

    Example:
        >>> from hf_trace.worlds.process_worlds import process_world
        >>> written = simulate_process(process_world("hawkes"), 2, seed=1)
        >>> len(written.log), len(written.log.event_types), len(written.truth)
        (2, 20, 30)
    """
    whole("sequences", sequences)
    whole("seed", seed, least=0)
    expected = sequences * spec.duration * float(mean_rates(spec).sum())
    if expected > _MOST_EVENTS:
        raise SettingsError(
            f"About {expected:,.0f} events are to be expected, more than {_MOST_EVENTS:,}. Take fewer `sequences`, a "
            "shorter `duration` or lower rates."
        )
    plan, parts = _Plan.of(spec), []
    for number in range(sequences):
        parts.append(_write(spec, plan, np.random.default_rng((seed, number))))
        advance(number + 1)
    return ProcessSimulation(_record(spec, parts), process_truth(spec), variable_truth(spec))


class _Effect(NamedTuple):
    """What an event of some type causes."""

    code: int
    weight: Number
    delay: Number
    kernel: Delay
    needs: int | None
    window: Number


class _Plan(NamedTuple):
    """A spec by the places of its types."""

    effects: list[list[_Effect]]
    inhibited_by: list[list[tuple[int, Number, Number]]]
    variable_of: list[int]
    first_values: list[int]

    @classmethod
    def of(cls, spec: ProcessSpec) -> "_Plan":
        places, count = spec.index(), len(spec.types)
        plan = cls([[] for _ in range(count)], [[] for _ in range(count)], [-1] * count, [])
        for edge in spec.edges:
            plan.effects[places[edge.cause]].append(_effect(edge, places))
        for each in spec.inhibitions:
            plan.inhibited_by[places[each.effect]].append((places[each.cause], each.seconds, each.factor))
        for number, values in enumerate(spec.variables):
            plan.first_values.append(places[values[0]])
            for name in values:
                plan.variable_of[places[name]] = number
        return plan


def _effect(edge: ProcessEdge, places: dict[str, int]) -> _Effect:
    needs = None if edge.needs is None else places[edge.needs]
    return _Effect(places[edge.effect], edge.weight, edge.delay, DELAYS[edge.kernel], needs, edge.window)


Event = tuple[float, int, bool]


def _write(spec: ProcessSpec, plan: _Plan, generator: np.random.Generator) -> list[tuple[float, int]]:
    """Times and types of one sequence, hidden ones included."""
    waiting = _roots(spec, generator)
    heapify(waiting)
    written: list[tuple[float, int]] = []
    last, held = [-np.inf] * len(spec.types), list(plan.first_values)
    while waiting:
        time, code, is_repeat = heappop(waiting)
        if not is_repeat:
            if not _happens(plan, time, code, last, held, generator):
                continue
            for event in _caused(spec, plan, time, code, last, generator):
                if event[0] < spec.duration:
                    heappush(waiting, event)
        if plan.variable_of[code] >= 0:
            held[plan.variable_of[code]] = code
        last[code] = time
        written.append((time, code))
    return written


def _happens(
    plan: _Plan, time: float, code: int, last: list[float], held: list[int], generator: np.random.Generator
) -> bool:
    variable, chance = plan.variable_of[code], 1.0
    if variable >= 0 and held[variable] == code:
        return False
    for cause, seconds, factor in plan.inhibited_by[code]:
        if time - last[cause] <= seconds:
            chance *= factor
    return chance == 1 or generator.random() < chance


def _caused(
    spec: ProcessSpec, plan: _Plan, time: float, code: int, last: list[float], generator: np.random.Generator
) -> list[Event]:
    """Effects and repeats of an event, those beyond the end included."""
    events: list[Event] = []
    for effect in plan.effects[code]:
        if effect.needs is None or time - last[effect.needs] <= effect.window:
            for _ in range(generator.poisson(effect.weight)):
                events.append((time + effect.kernel.draw(generator, effect.delay), effect.code, False))
    kind = spec.types[code]
    if kind.repeats:
        again = time
        for _ in range(generator.geometric(1 / (1 + kind.repeats)) - 1):
            again += generator.exponential(kind.gap)
            events.append((again, code, True))
    return events


def _roots(spec: ProcessSpec, generator: np.random.Generator) -> list[Event]:
    """All that happens by itself."""
    rates = np.array([kind.rate for kind in spec.types])
    spans = [(0.0, float(spec.duration), 1.0), *_floods(spec, generator)]
    events: list[Event] = []
    for start, stop, factor in spans:
        counts = generator.poisson(rates * factor * (stop - start))
        times = generator.uniform(start, stop, counts.sum())
        codes = np.repeat(np.arange(len(rates)), counts)
        events += zip(times.tolist(), codes.tolist(), [False] * len(codes), strict=True)
    for code, kind in enumerate(spec.types):
        if kind.period:
            events += [(time, code, False) for time in _ticks(kind, float(spec.duration), generator)]
    return events


def _floods(spec: ProcessSpec, generator: np.random.Generator) -> list[tuple[float, float, float]]:
    """Start, end and what is added to a factor of 1; floods that overlap add up."""
    if spec.flood is None:
        return []
    starts = generator.uniform(0, spec.duration, generator.poisson(spec.flood.rate * spec.duration))
    stops = np.minimum(starts + generator.exponential(spec.flood.seconds, len(starts)), float(spec.duration))
    return [(*span, spec.flood.factor - 1.0) for span in zip(starts.tolist(), stops.tolist(), strict=True)]


def _ticks(kind: ProcessType, duration: float, generator: np.random.Generator) -> list[float]:
    """Times of a periodic type: the first anywhere in a period, then a renewal process."""
    time, times = generator.uniform(0, kind.period), []
    shape = kind.jitter**-2
    while time < duration:
        times.append(time)
        time += generator.gamma(shape, kind.period / shape)
    return times


def _record(spec: ProcessSpec, parts: list[list[tuple[float, int]]]) -> EventLog:
    """What was recorded, types in the order of their names."""
    names = sorted(kind.name for kind in spec.types if not kind.hidden)
    codes = np.array([names.index(kind.name) if not kind.hidden else -1 for kind in spec.types], dtype=np.int32)
    kept = [[(time, codes[code]) for time, code in part if codes[code] >= 0] for part in parts]
    if not any(kept):
        raise SettingsError("The world wrote no event. Give it higher rates or a longer `duration`.")
    flat = np.array([event for part in kept for event in part])
    return EventLog(
        event_types=tuple(names),
        codes=flat[:, 1].astype(np.int32),
        offsets=np.cumsum([0, *map(len, kept)], dtype=np.int64),
        timestamps=flat[:, 0],
        ids=tuple(map(str, range(len(parts)))),
    ).without_empty_sequences()
