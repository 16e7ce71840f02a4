r"""Total effects: how an event changes what happens later, with everything in between free to follow.

A type u is forced after a context, the oracle continues, and the probability that v occurs within a horizon is
compared with its average over the other types that could have been forced. Where bursts make mediators redundant,
direct effects are small although causes are real; total effects are not.

With q_t the oracle's probability that the next event is v, the first occurrence gives the probability without
sampling v itself:

.. math:: P(v \text{ within } H \mid do(u)) = E\Big[\sum_{t \le H} q_t \, 1\{v \text{ not before } t\}\Big]
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.causal.horizons import Horizon
from hf_trace.scoring.futures import Slots, sample_futures
from hf_trace.scoring.oracle import Oracle

_ROW_ENTRIES = 2**24
_MOST_ROWS = 2048
Context = NDArray[np.int64]


@dataclass(frozen=True)
class TotalEffects:
    """Probabilities of every effect within the horizon after forcing every cause, averaged over contexts.

    Attributes:
        risk: ``risk[u, v]`` = P(v within the horizon | do(u)).
        baseline: The same, averaged over what else could have been forced (v itself left out).
        gain_error: Standard error of ``risk - baseline`` over contexts; NaN with one context.
        contexts: How many.
    """

    risk: Float[np.ndarray, "cause effect"]
    baseline: Float[np.ndarray, "cause effect"]
    gain_error: Float[np.ndarray, "cause effect"]
    contexts: int

    @property
    def gain(self) -> Float[np.ndarray, "cause effect"]:
        """How much more probable the effect is; below 0 where the cause makes it rarer."""
        difference: Float[np.ndarray, "cause effect"] = self.risk - self.baseline
        return difference


def total_effects(
    oracle: Oracle,
    contexts: Sequence[Context],
    slots: Slots,
    horizon: Horizon,
    *,
    seed: int = 0,
    advance: Callable[[float], None] = lambda _: None,
) -> TotalEffects:
    """Force every event type after every context and let the oracle go on.

    All types of a context are continued with the same uniform numbers, so that what differs between them is not luck.

    Args:
        oracle: The frozen model.
        contexts: Tokens up to the place where an event is forced, its gap token included where gaps are written.
        slots: What may stand where.
        horizon: How far ahead to look.
        seed: Seed of the continuations; a context gets the same numbers wherever it stands in the list.
        advance: Called with the number of contexts done.
    """
    types = len(slots.events)
    risk, baseline, squares = (np.zeros((types, types)) for _ in range(3))
    done = 0
    for some, uniforms in _groups(contexts, seed, horizon.events * slots.tokens_per_event, types):
        found = _first_occurrences(oracle, some, slots, horizon, uniforms).numpy()
        others = _mean_of_others(found)
        risk += found.sum(0)
        baseline += others.sum(0)
        squares += ((found - others) ** 2).sum(0)
        done += len(found)
        advance(float(done))
    gain = (risk - baseline) / done
    spread = np.maximum(squares / done - gain**2, 0)
    error = np.sqrt(spread / (done - 1)) if done > 1 else np.full_like(gain, np.nan)
    return TotalEffects(risk / done, baseline / done, error, done)


def _mean_of_others(
    found: Float[np.ndarray, "context cause effect"],
) -> Float[np.ndarray, "context cause effect"]:
    """For each effect v the mean over all forced types but the cause itself and v."""
    types = found.shape[1]
    own = found[:, np.arange(types), np.arange(types)][:, None, :]
    counted = np.full((types, types), max(types - 2, 1))
    counted[np.arange(types), np.arange(types)] = max(types - 1, 1)
    rest = found.sum(1, keepdims=True) - found - own
    rest[:, np.arange(types), np.arange(types)] += found[:, np.arange(types), np.arange(types)]
    mean: Float[np.ndarray, "context cause effect"] = rest / counted
    return mean


def _groups(
    contexts: Sequence[Context], seed: int, numbers: int, types: int
) -> Iterator[tuple[Int[Tensor, "context pos"], Float[Tensor, "context slot"]]]:
    """Contexts of equal length with their random numbers, as many as fit."""
    at_once = max(1, min(_MOST_ROWS // types, _ROW_ENTRIES // types**2))
    generators = [np.random.default_rng([seed, index]) for index in range(len(contexts))]
    order = sorted(range(len(contexts)), key=lambda index: len(contexts[index]))
    for _, same in groupby(order, key=lambda index: len(contexts[index])):
        indices = list(same)
        for start in range(0, len(indices), at_once):
            part = indices[start : start + at_once]
            ids = torch.from_numpy(np.stack([contexts[index] for index in part]))
            yield ids, torch.from_numpy(np.stack([generators[index].random(numbers) for index in part]))


def _first_occurrences(
    oracle: Oracle,
    context: Int[Tensor, "context pos"],
    slots: Slots,
    horizon: Horizon,
    uniforms: Float[Tensor, "context slot"],
) -> Float[Tensor, "context cause effect"]:
    """P(v within the horizon) on each sampled future of each forced type."""
    count, types = len(context), len(slots.events)
    forced = slots.events.expand(count, -1)
    numbers = uniforms[:, None].expand(-1, types, -1)
    total = torch.zeros((count * types, types), dtype=torch.float64)
    not_yet = torch.ones_like(total)
    for step in sample_futures(oracle, context, forced, slots, numbers):
        weight = horizon.weight(step.seconds)[:, None]
        total += step.probabilities * not_yet * weight
        not_yet[torch.arange(len(total)), step.event] = 0
    return total.view(count, types, types)


def averaged(found: Sequence[TotalEffects]) -> TotalEffects:
    """Mean over oracles; its standard error is of the contexts and, with several oracles, of their disagreement."""
    gains = np.stack([each.gain for each in found])
    within = np.mean([each.gain_error**2 for each in found], axis=0)
    between = gains.var(0, ddof=1) / len(found) if len(found) > 1 else 0.0
    return TotalEffects(
        risk=np.mean([each.risk for each in found], axis=0),
        baseline=np.mean([each.baseline for each in found], axis=0),
        gain_error=np.sqrt(within + between),
        contexts=found[0].contexts,
    )
