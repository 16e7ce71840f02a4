r"""The true causes in sequences of a world, by TRACE's definition (arXiv 2602.01135, App. E.1).

Event i causes event q where replacing i alone by uniform draws moves the probability of q by more than delta:

.. math:: KL_B(p_q \,\|\, \tfrac1N \textstyle\sum_n r_q^n) > \delta

Computed from the world itself, one past at a time, without any of the scoring engine.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hf_trace.data.worlds.world import World, pasts

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


def structural_pairs(world: World, codes: Int[np.ndarray, " event"]) -> Bool[np.ndarray, "cause lag"]:
    """Which pairs of events have a weight of their own, however small its effect."""
    weight = world.acts()
    length, memory = len(codes), world.spec.memory
    pairs = np.zeros((length, memory), dtype=bool)
    for lag in range(1, min(memory, length - 1) + 1):
        pairs[: length - lag, lag - 1] = weight[codes[:-lag], codes[lag:]] != 0
    return pairs


def _log_probs(
    world: World, past: Int[Tensor, "past lag"], events: Int[Tensor, " past"]
) -> Float[Tensor, " past"]:
    parts = zip(past.split(_PASTS_AT_ONCE), events.split(_PASTS_AT_ONCE), strict=True)
    return torch.cat([world.log_probs(some).gather(1, event[:, None])[:, 0] for some, event in parts])


def _bernoulli_kl(p: Tensor, r: Tensor) -> Tensor:
    p, r = (part.clamp(1e-300, 1 - 1e-12) for part in (p, r))
    return p * (p / r).log() + (1 - p) * ((1 - p) / (1 - r)).log()
