"""Simulated logs of many kinds, of which a model that reads any log learns; some kinds are left out for the end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "combined"))
from random_worlds import random_signals

from hf_trace.errors import HfTraceError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_worlds import process_world
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec

PROCESSES = ("hawkes", "bursts", "periodic", "signals", "chatter", "hidden")
# Kinds that no training sees.
LEFT_OUT = ("together", "inhibition", "product", "threshold")
KINDS = {**dict.fromkeys(PROCESSES, 0.07), "values": 0.14, "none": 0.05, "relu": 0.09, "workflow": 0.3}
_ATTEMPTS, _FEWEST = 20, 300


def simulated_log(seed: int, kind: str | None = None, events: int = 7_000) -> tuple[str, EventLog]:
    """A log of about so many events at most, and its kind.

    Args:
        seed: Whatever is drawn follows from it.
        kind: See ``KINDS`` and ``LEFT_OUT``; None draws one of ``KINDS``.
        events: About the most events.
    """
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([25, seed, attempt])
        drawn = kind or str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
        with suppress(HfTraceError):
            log = _MAKERS[drawn](rng, drawn, events)
            if len(log.codes) >= _FEWEST and len(log.event_types) >= 2:
                return drawn, log if drawn in ("workflow", "values") else _recorded(rng, log)
    raise ValueError(f"Seed {seed} gives no log.")


def _scale(rng: np.random.Generator, least: float, most: float) -> float:
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def _process(rng: np.random.Generator, kind: str, events: int) -> EventLog:
    """A world in continuous time of other numbers than the named ones."""
    types = int(_scale(rng, 6, 64))
    edges = int(np.clip(types * _scale(rng, 0.5, 3), 6, types * (types - 1) // 4))
    spec = process_world(
        kind, types=types, edges=edges, weight=_scale(rng, 0.15, 0.9), delay=_scale(rng, 3, 600),
        duration=_scale(rng, 3_000, 50_000), world_seed=int(rng.integers(2**31)),
    )  # fmt: skip
    seed = int(rng.integers(2**31))
    found = simulate_process(spec, 1, seed=seed).log
    sequences = int(np.clip(events / max(1, len(found.codes)), 2, 400))
    return simulate_process(spec, sequences, seed=seed + 1).log


def _positions(rng: np.random.Generator, kind: str, events: int) -> EventLog:
    """A world of Eq. 21, without times."""
    length = int(_scale(rng, 16, 128))
    spec = WorldSpec(
        types=int(_scale(rng, 4, 64)), memory=int(rng.integers(1, 9)), decay=float(rng.uniform(0, 1.5)),
        weight=_scale(rng, 1.2, 5), sparsity=float(rng.uniform(0.5, 0.97)), bias=float(rng.uniform(0, 1.5)),
        nonlinearity=kind, noise=float(rng.choice([0, 0, 0.05, 0.2])), length=length, seed=int(rng.integers(2**31)),
    )  # fmt: skip
    log = simulate(World(spec), max(2, events // length), seed=int(rng.integers(2**31))).log
    return replace(log, timestamps=None)


def _workflow(rng: np.random.Generator, kind: str, events: int) -> EventLog:
    """Cases that pass through a tree of steps: in sequence, by choice, side by side, again; with durations."""
    names = iter([f"a{number:02d}" for number in rng.permutation(int(_scale(rng, 4, 50)))])
    loops, skips, noise = (float(rng.uniform(0, most) * (rng.random() < 0.7)) for most in (0.5, 0.3, 0.05))
    habit = loops, _scale(rng, 0.15, 1.5)
    tree = _tree(rng, names, 0, habit)
    while (more := _tree(rng, names, 0, habit)) is not None:
        tree = ("then", [tree, more]) if tree is not None else more
    durations: dict[str, tuple[float, float]] = {}
    is_coarse, is_timed = rng.random() < 0.2, rng.random() < 0.75
    unit = _scale(rng, 0.1, 1e5)
    sequences, written = [], 0
    while written < events:
        steps = [step for step in _walk(rng, tree) if rng.random() > skips * _hash(step)]
        steps = [str(rng.choice(list(durations))) if durations and rng.random() < noise else step for step in steps]
        time, times = 0.0, []
        for step in steps:
            mean, spread = durations.setdefault(step, (unit * _scale(rng, 0.01, 30), float(rng.uniform(0.1, 2.5))))
            wait = mean * float(np.exp(spread * rng.standard_normal()))
            time += 0.0 if rng.random() < 0.1 else round(wait / unit) * unit if is_coarse else wait
            times.append(time)
        if steps:
            sequences.append(EventSequence(tuple(steps), tuple(times) if is_timed else None))
            written += len(steps)
    return EventLog.from_sequences(sequences)


def _hash(step: str) -> float:
    """Whether a step is one that is left out at times."""
    return float(sum(map(ord, step)) % 3 == 0)


def _tree(rng: np.random.Generator, names: Iterator[str], depth: int, habit: tuple[float, float]) -> Any:
    """A part of a workflow, None where all names are used; habits: how much is repeated, how even choices are."""
    shares = [0.3, 0.3, 0.19, 0.15, 0.06] if depth < 4 else [1, 0, 0, 0, 0]
    kind = rng.choice(["step", "then", "choice", "beside", "copies"], p=shares)
    if kind == "step":
        name = next(names, None)
        part = None if name is None else ("step", name)
    elif kind == "copies":
        one = _tree(rng, names, depth + 1, habit)
        part = None if one is None else ("beside", [one] * int(rng.integers(2, 4)), None)
    else:
        parts = [_tree(rng, names, depth + 1, habit) for _ in range(int(rng.integers(2, 5)))]
        parts = [each for each in parts if each is not None]
        weights = rng.dirichlet(np.full(len(parts), habit[1])) if parts else None
        part = (str(kind), parts, weights) if parts else None
    if part is not None and rng.random() < 0.3 * habit[0]:
        return ("again", part, float(rng.uniform(0.1, 0.8)))
    return part


def _walk(rng: np.random.Generator, part: Any) -> list[str]:
    """The steps of one case."""
    kind = part[0]
    if kind == "step":
        return [part[1]]
    if kind == "again":
        found = _walk(rng, part[1])
        while rng.random() < part[2] and len(found) < 60:
            found += _walk(rng, part[1])
        return found
    if kind == "choice":
        return _walk(rng, part[1][int(rng.choice(len(part[1]), p=part[2]))])
    walks = [_walk(rng, each) for each in part[1]]
    if kind == "then":
        return [step for walk in walks for step in walk]
    owners = rng.permutation(np.repeat(np.arange(len(walks)), [len(walk) for walk in walks]))
    return [walks[owner].pop(0) for owner in owners]


def _recorded(rng: np.random.Generator, log: EventLog) -> EventLog:
    """As clocks and recorders keep it: coarse times, events of one time in any order, some of them lost."""
    codes, times = log.codes, log.timestamps
    owners = np.repeat(np.arange(len(log)), log.sequence_lengths)
    kept = rng.random(len(codes)) > (rng.uniform(0, 0.2) if rng.random() < 0.25 else 0)
    if rng.random() < 0.25:  # each sequence is of a device that reports some types and hardly others
        reports = rng.beta(0.5, 0.5, size=(len(log), len(log.event_types)))
        kept &= rng.random(len(codes)) < reports[owners, codes]
    order = np.flatnonzero(kept)
    if times is not None:
        times = times * _scale(rng, 0.01, 100)
        if rng.random() < 0.35:
            inside = np.diff(times)[np.diff(owners) == 0]
            step = np.median(inside) * _scale(rng, 0.05, 2) if len(inside) else 0.0
            times = np.floor(times / step) * step if step > 0 else times
        order = np.lexsort((rng.random(len(codes)), times, owners))
        order = order[kept[order]]
        times = times[order]
    offsets = np.cumsum([0, *np.bincount(owners[order], minlength=len(log))], dtype=np.int64)
    return replace(log, codes=codes[order], timestamps=times, offsets=offsets).without_empty_sequences()


_MAKERS: dict[str, Callable[[np.random.Generator, str, int], EventLog]] = {
    **dict.fromkeys((*PROCESSES, "together", "inhibition"), _process),
    **dict.fromkeys(("none", "relu", "product", "threshold"), _positions),
    "values": lambda rng, kind, events: random_signals(int(rng.integers(2**31))).log,
    "workflow": _workflow,
}
