"""Faults put into recordings of normal operation and into worlds, to choose and to check a ranking of states by.

A fault forces one or two variables. In a recording they keep a value that they did not hold, every other one a value
that it never held. Others follow, as in the most similar normal moment with that value, or at random after values never
seen; and up to two that have nothing to do with it change in the last second. In a world a hidden event sets a variable
and keeps it so; what it causes follows by the world's own rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_trace.logs.states.state_histories import Changes, StateHistory
from hf_trace.logs.states.state_log import StateLog
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import Inhibition, ProcessEdge, ProcessSpec, ProcessType
from hf_trace.worlds.process_worlds import process_world

_FEWEST_SECONDS = 150.0


@dataclass(frozen=True, eq=False)
class Fault:
    """A sequence with a fault in it.

    Attributes:
        history: The sequence.
        time: When the alarm comes.
        causes: The variables that were forced; none in a normal moment.
    """

    history: StateHistory
    time: float
    causes: tuple[str, ...]


def _forced(history: StateHistory, name: str, time: float, value: str) -> StateHistory:
    """A history in which a variable takes a value and keeps it."""
    old = history.changes[name]
    keep = int(np.searchsorted(old.times, time))
    if keep and old.values[keep - 1] == value:
        return history
    changed = Changes(np.append(old.times[:keep], time), (*old.values[:keep], value))
    return replace(history, changes={**history.changes, name: changed})


class LatheFaults:
    """Faults in recordings of normal operation.

    Args:
        states: The recordings, snapshots at the beginning of each.
        seconds: How long each variable holds each value in normal operation.
        seed: Of all that is drawn.
    """

    def __init__(self, states: StateLog, seconds: Mapping[str, Mapping[str, float]], seed: int) -> None:
        self.histories = [each for each in states.histories if each.end - each.start > _FEWEST_SECONDS]
        self.rng = np.random.default_rng(seed)
        held = {name: set(each) for name, each in seconds.items()}
        # Switches alone: their other value is known even where it was never seen.
        self.switches = [name for name, values in held.items() if values <= {"True", "False"}]
        self.never = [name for name in self.switches if len(held[name]) == 1]
        self.toggling = [name for name in self.switches if len(held[name]) == 2]
        self.moments = [self._values(each, t) for each in self.histories for t in each.moments(self.rng, 60).tolist()]

    def _values(self, history: StateHistory, time: float) -> dict[str, str]:
        return {name: each.value for name, each in history.at(time).items()}

    def normal(self) -> Fault:
        """A moment without any fault."""
        history = self.histories[int(self.rng.integers(len(self.histories)))]
        return Fault(history, float(self.rng.uniform(history.start + 100, history.end - 1)), ())

    def draw(self) -> Fault:
        """A fault."""
        rng, (history, time) = self.rng, (lambda each: (each.history, each.time))(self.normal())
        lasts = float(np.exp(rng.uniform(np.log(0.5), np.log(60))))
        starts = [time - lasts, *([time - lasts * rng.random()] if rng.random() < 1 / 3 else [])]
        causes: list[str] = []
        follow: list[tuple[float, str, str | None]] = []
        for start in starts:
            pool = self.never if rng.random() < 0.5 and self.never else self.toggling
            name = pool[int(rng.integers(len(pool)))]
            before = history.at(start)
            if name in causes or name not in before:
                continue
            value = _other(before[name].value)
            history = _forced(history, name, start, value)
            causes.append(name)
            follow += [(start + self._lag(time - start), *each) for each in self._followers(history, time, name, value)]
        spare = rng.permutation(self.switches)[: rng.integers(0, 3)].tolist()
        follow += [(max(*starts, starts[0]) + 0.05 if lasts < 1 else time - rng.random(), name, None) for name in spare]
        for when, name, value in sorted(follow, key=lambda each: each[0]):
            held = history.at(when).get(name)
            if name not in causes and held is not None and when < time:
                history = _forced(history, name, when, value or _other(held.value))
        return Fault(history, time, tuple(causes)) if causes else self.draw()

    def _lag(self, longest: float) -> float:
        return float(np.exp(self.rng.uniform(np.log(0.05), np.log(max(0.06, min(10.0, longest))))))

    def _followers(self, history: StateHistory, time: float, name: str, value: str) -> list[tuple[str, str | None]]:
        rng = self.rng
        alike = [each for each in self.moments if each.get(name) == value]
        if not alike:
            return [(other, None) for other in rng.permutation(self.switches)[: rng.poisson(2)].tolist()]
        now = self._values(history, time)
        some = [alike[i] for i in rng.permutation(len(alike))[:400]]
        nearest = min(some, key=lambda each: sum(each.get(key) != now[key] for key in now))
        return [(key, nearest[key]) for key in self.switches
                if key in now and key in nearest and nearest[key] != now[key] and rng.random() < 0.5]  # fmt: skip


def _other(value: str) -> str:
    return "False" if value == "True" else "True"


def world_states(world_seed: int, seed: int) -> StateLog:
    """Normal operation of a world of signals.

    Args:
        world_seed: Which world.
        seed: Of its events.
    """
    return StateLog.of(simulate_process(process_world("signals", world_seed=world_seed), 60, seed=seed).log)


def world_faults(world_seed: int, count: int) -> list[Fault]:
    """Sequences of a world of signals in which one signal is set and kept so.

    Args:
        world_seed: Which world.
        count: How many faults.
    """
    spec = process_world("signals", world_seed=world_seed)
    rng, found = np.random.default_rng(world_seed), list[Fault]()
    names = [off.partition("=")[0] for off, _ in spec.variables]
    for number in range(20 * count):
        place = int(rng.integers(len(names)))
        log = simulate_process(_stuck(spec, place), 1, seed=10_000 + number).log
        history = StateLog.of(log, known=dict.fromkeys(names, ("off", "on"))).histories[0]
        changes = history.changes.get(names[place])
        if changes is None or changes.values[-1] != "on":
            continue
        time = float(changes.times[-1] + rng.uniform(60, 600))
        if changes.times[-1] > history.start + 600 and time < history.end:
            found.append(Fault(history, time, (names[place],)))
        if len(found) == count:
            break
    return found


def _stuck(spec: ProcessSpec, place: int) -> ProcessSpec:
    off, on = spec.variables[place]
    fault = ProcessType("fault", period=0.6 * spec.duration, jitter=0.2, hidden=True)
    edge = ProcessEdge("fault", on, weight=3.0, delay=1.0)
    kept = Inhibition("fault", off, factor=0.0, seconds=spec.duration)
    return replace(
        spec, types=(*spec.types, fault), edges=(*spec.edges, edge), inhibitions=(*spec.inhibitions, kept)
    )  # fmt: skip


def first_found(rankings: Sequence[Sequence[str]], faults: Sequence[Fault]) -> float:
    """Share of faults of which the first of a ranking is a cause."""
    return float(np.mean([ranking[0] in fault.causes for ranking, fault in zip(rankings, faults, strict=True)]))
