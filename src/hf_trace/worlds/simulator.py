"""Event logs written by a world, and the true causes in them (arXiv 2602.01135, App. E.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hf_trace.logs.log import EventLog
from hf_trace.options import SEED
from hf_trace.worlds.world import World, WorldSpec, pasts

_SEQUENCES_AT_ONCE = 1024
# A drifting world changes between, not within, so many parts of its log.
_DRIFT_STEPS = 50


@dataclass(frozen=True)
class Simulation:
    """What a world wrote.

    Attributes:
        log: The events that were recorded.
        codes: All events, hidden ones included, in the order in which they happened.
        entropy: Mean entropy of the next event given its past, in nats: no model can have a lower loss.
    """

    log: EventLog
    codes: Int[np.ndarray, "sequence event"]
    entropy: float


def type_names(types: int) -> tuple[str, ...]:
    """Names of a world's types, in the order of their codes.

    Example:
        >>> type_names(11)[-1]
        'e10'
    """
    width = len(str(types - 1))
    return tuple(f"e{number:0{width}d}" for number in range(types))


def simulate(
    world: World, sequences: int, *, seed: int = SEED.default, advance: Callable[[float], None] = lambda _: None
) -> Simulation:
    """Let a world write sequences, each from an empty past.

    Args:
        world: The world.
        sequences: How many.
        seed: Seed of the events; the weights have a seed of their own.
        advance: Called with the number of sequences done.

    Returns:
        The log, with the position of an event as its time in seconds.
    """
    generator = torch.Generator().manual_seed(seed)
    codes, entropies = [], []
    at_once = _SEQUENCES_AT_ONCE
    if world.spec.drift:
        at_once = min(at_once, -(-sequences // _DRIFT_STEPS))
    for start in range(0, sequences, at_once):
        count = min(at_once, sequences - start)
        share = world.spec.drift * (start + count / 2) / sequences
        written, entropy = _write(world.drifted(share), count, generator)
        codes.append(written)
        entropies.append(entropy)
        advance(start + count)
    table = torch.cat(codes)
    return Simulation(_record(world.spec, table, generator), table.numpy(), float(torch.cat(entropies).mean()))


def _write(
    world: World, sequences: int, generator: torch.Generator
) -> tuple[Int[Tensor, "sequence event"], Float[Tensor, " sequence"]]:
    spec = world.spec
    past = torch.full((sequences, spec.memory), world.nothing)
    codes = torch.empty((sequences, spec.length), dtype=torch.long)
    entropy = torch.zeros(sequences, dtype=torch.float64)
    for step in range(spec.length):
        log_probs = world.log_probs(past).double()
        probabilities = log_probs.exp()
        entropy -= (probabilities * log_probs).sum(-1) / spec.length
        event = torch.multinomial(probabilities, 1, generator=generator)
        codes[:, step] = event[:, 0]
        past = torch.cat([event, past[:, :-1]], dim=1)
    return codes, entropy


def _record(spec: WorldSpec, codes: Int[Tensor, "sequence event"], generator: torch.Generator) -> EventLog:
    """Write down what happened: hidden types left out, ties in any order."""
    times = torch.arange(spec.length).expand(codes.shape)
    if spec.ties > 1:
        times = times // spec.ties * spec.ties
        shuffled = (times + torch.rand(codes.shape, generator=generator) * 0.5).argsort(dim=1)
        codes, times = codes.gather(1, shuffled), times.gather(1, shuffled)
    seen = ~torch.isin(codes, torch.tensor(spec.hidden, dtype=torch.long))
    offsets = np.concatenate([[0], seen.sum(1).cumsum(0).numpy()])
    return EventLog(
        event_types=type_names(spec.types),
        codes=codes[seen].numpy().astype(np.int32),
        offsets=offsets.astype(np.int64),
        timestamps=times[seen].numpy().astype(np.float64),
        ids=tuple(str(number) for number in range(len(codes))),
    )


DELTA = 0.05
_PASTS_AT_ONCE = 8192


def replacement_scores(
    world: World, codes: Int[np.ndarray, " event"], *, num_samples: int, seed: int
) -> Float[np.ndarray, "cause lag"]:
    """How far each event moves each of the ``memory`` events after it, in nats.

    Args:
        world: The world that wrote the sequence.
        codes: One sequence, all events of it.
        num_samples: Uniform draws per event; the paper takes 10.
        seed: Seed of the draws.

    Returns:
        ``scores[i, k - 1]`` for cause i and effect i + k; NaN beyond the end.
    """
    events = torch.from_numpy(np.asarray(codes, dtype=np.int64))
    memory, length = world.spec.memory, len(events)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(world.spec.types, (length, num_samples), generator=generator)
    past = pasts(events[None], memory, world.nothing)[0]
    observed = _log_probs(world, past, events).double()
    scores = torch.full((length, memory), torch.nan, dtype=torch.float64)
    for lag in range(1, min(memory, length - 1) + 1):
        edited = past[lag:, None].repeat(1, num_samples, 1)
        edited[:, :, lag - 1] = draws[: length - lag]
        targets = events[lag:, None].expand(-1, num_samples)
        replaced = _log_probs(world, edited.flatten(0, 1), targets.flatten()).view(targets.shape)
        mean = replaced.double().exp().mean(1)
        scores[: length - lag, lag - 1] = _bernoulli_kl(observed[lag:].exp(), mean)
    return scores.numpy()


def _log_probs(world: World, past: Int[Tensor, "past lag"], events: Int[Tensor, " past"]) -> Float[Tensor, " past"]:
    parts = zip(past.split(_PASTS_AT_ONCE), events.split(_PASTS_AT_ONCE), strict=True)
    return torch.cat([world.log_probs(some).gather(1, event[:, None])[:, 0] for some, event in parts])


def _bernoulli_kl(p: Tensor, r: Tensor) -> Tensor:
    p, r = (part.clamp(1e-300, 1 - 1e-12) for part in (p, r))
    return p * (p / r).log() + (1 - p) * ((1 - p) / (1 - r)).log()
