r"""What if, inside a sequence: the chance that an event follows, as it was and had one event been another.

Both futures are sampled by the oracle with the same random numbers, so that their difference is not luck. With
:math:`q_t` the probability that the next event is the target, a future counts with

.. math:: \sum_{t \le H} q_t \, 1\{\text{target not before } t\}

whose mean is the chance without sampling the target itself (Rao-Blackwell); that of one future may exceed 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.causal.horizons import Horizon
from hf_trace.scoring.futures import Slots, sample_futures
from hf_trace.scoring.oracle import Oracle

_MOST_ROWS = 1024


@dataclass(frozen=True)
class Given:
    """What has happened before a future.

    Attributes:
        context: Tokens read before the last event, the gap before it included.
        last: The last event of each sampled future; they may differ.
        events: Events ahead that count.
        waited: Seconds since the last event in which nothing happened; times count from their end.
        least_gap: Bin of that silence: the next gap is no shorter.
    """

    context: NDArray[np.int64]
    last: NDArray[np.int64]
    events: int
    waited: float = 0.0
    least_gap: int = 0


@dataclass(frozen=True)
class Chances:
    """Chance of the target within the horizon in every sampled future.

    Attributes:
        chance: One number per future, possibly above 1; their mean estimates the probability.
        covered: Whether the future went on to the end of the horizon, or to the target.
    """

    chance: Float[np.ndarray, "given sample"]
    covered: Float[np.ndarray, "given sample"]


def chances(
    oracle: Oracle,
    given: Sequence[Given],
    target: int,
    slots: Slots,
    horizon: Horizon,
    uniforms: Float[np.ndarray, "given sample slot"],
) -> Chances:
    """Continue every history and look for the target.

    Args:
        oracle: The frozen model.
        given: Histories, with as many last events each as there are samples.
        target: Index of an event type of ``slots``.
        slots: What may follow.
        horizon: How far ahead to look, in time; in events ``given`` says it.
        uniforms: Random numbers of every future.
    """
    samples = len(given[0].last)
    at_once = max(1, _MOST_ROWS // samples)
    found = [
        _chances(oracle, given[start : start + at_once], target, slots, horizon, torch.from_numpy(numbers))
        for start in range(0, len(given), at_once)
        if len(numbers := uniforms[start : start + at_once])
    ]
    chance, covered = (
        np.concatenate(parts).reshape(len(given), samples) for parts in zip(*found, strict=True)
    )
    return Chances(chance, covered)


def _chances(
    oracle: Oracle,
    given: Sequence[Given],
    target: int,
    slots: Slots,
    horizon: Horizon,
    uniforms: Float[Tensor, "given sample slot"],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    samples = uniforms.shape[1]
    context, present = padded([each.context for each in given])
    last = torch.from_numpy(np.stack([each.last for each in given]))
    events, waited = (
        torch.tensor([getattr(each, name) for each in given]).repeat_interleave(samples)
        for name in ("events", "waited")
    )
    least_gap = torch.tensor([each.least_gap for each in given])
    ragged = None if bool(present.all()) else present
    length = int(events.max()) * slots.tokens_per_event
    total = torch.zeros(len(events), dtype=torch.float64)
    open_ = torch.ones_like(total)
    steps = sample_futures(
        oracle,
        context,
        last,
        slots,
        uniforms[..., :length],
        present=ragged,
        least_gap=least_gap,
        finished=lambda: open_ == 0,
    )
    for number, step in enumerate(steps):
        row = step.row
        within = horizon.weight((step.seconds - waited[row]).clamp(min=0)) * (number < events[row])
        total[row] += step.probabilities[:, target] * open_[row] * within
        open_[row] *= (within > 0) & (step.event != target)
    covered = torch.ones_like(open_) if not horizon.seconds else 1 - open_
    return total.numpy(), covered.numpy()


def padded(
    contexts: Sequence[NDArray[np.int64]],
) -> tuple[Int[Tensor, "given pos"], Bool[Tensor, "given pos"]]:
    """Contexts of several lengths as one table, and where it holds a token."""
    width = max(map(len, contexts))
    ids = np.zeros((len(contexts), width), dtype=np.int64)
    present = np.zeros((len(contexts), width), dtype=bool)
    for row, context in enumerate(contexts):
        ids[row, : len(context)] = context
        present[row, : len(context)] = True
    return torch.from_numpy(ids), torch.from_numpy(present)


@dataclass(frozen=True)
class Estimate:
    """A mean over sampled futures with its Monte Carlo standard error; NaN from one future.

    Example:
        >>> estimate = Estimate.of(np.array([0.0, 1.0, 1.0, 0.0]))
        >>> estimate.value, round(estimate.standard_error, 3)
        (0.5, 0.289)
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Estimate":
        """Mean of independent values."""
        count = len(values)
        error = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
        return cls(float(values.mean()), error)


@dataclass(frozen=True)
class WhatIf:
    """The chance of a target as it was and after an intervention.

    Attributes:
        factual: With the sequence as observed up to the position.
        intervened: With the event at the position replaced or removed.
        difference: Intervened minus factual, with the error of the pairs of futures.
        num_samples: Futures of each.
        covered: Share of futures that went on to the end of the horizon; below 1 the chances are lower bounds.
    """

    factual: Estimate
    intervened: Estimate
    difference: Estimate
    num_samples: int
    covered: float


def what_if(
    oracle: Oracle,
    factual: Given,
    intervened: Given,
    target: int,
    slots: Slots,
    horizon: Horizon,
    *,
    seed: int = 0,
) -> WhatIf:
    """Compare two histories by what follows them, with common random numbers.

    Args:
        oracle: The frozen model.
        factual: What happened.
        intervened: What would have; as many last events.
        target: Index of an event type of ``slots``.
        slots: What may follow.
        horizon: How far ahead to look, in time.
        seed: Seed of the futures.
    """
    samples, numbers = len(factual.last), factual.events * slots.tokens_per_event
    uniforms = np.random.default_rng(seed).random((samples, numbers))
    most = max(1, _MOST_ROWS // 2)
    pieces = []
    for start in range(0, samples, most):
        part = slice(start, start + most)
        pair = [_cut(factual, part), _cut(intervened, part)]
        pieces.append(chances(oracle, pair, target, slots, horizon, np.stack([uniforms[part]] * 2)))
    chance = np.concatenate([piece.chance for piece in pieces], axis=1)
    covered = np.concatenate([piece.covered for piece in pieces], axis=1)
    return WhatIf(
        factual=Estimate.of(chance[0]),
        intervened=Estimate.of(chance[1]),
        difference=Estimate.of(chance[1] - chance[0]),
        num_samples=samples,
        covered=float(covered.mean()),
    )


def _cut(given: Given, part: slice) -> Given:
    return Given(given.context, given.last[part], given.events, given.waited, given.least_gap)
