"""Total effects: how forcing an event changes what happens later, with everything in between left to the oracle."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.pair_graphs import direction
from hf_trace.discovery.statistics import PairScores, bernoulli_kl
from hf_trace.discovery.thresholds import Threshold
from hf_trace.errors import SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.score_tables import score_table
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots, sample_futures
from hf_trace.runs.processes import Processes

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EVENTS_PER_TIME = 16
_ALONE = Processes()


@dataclass(frozen=True)
class Horizon:
    """How far ahead an effect may follow.

    Attributes:
        events: Number of events ahead.
        seconds: Times ahead; an effect counts by the share of them that it is within. Empty for no limit.
    """

    events: int
    seconds: tuple[float, ...] = ()

    def within(self, elapsed: Float[Tensor, " row"]) -> Bool[Tensor, "row time"]:
        """Whether ``elapsed`` seconds are within each horizon in time; one column where there is none."""
        limits = torch.tensor(self.seconds or (torch.inf,))
        return elapsed[:, None] <= limits


def parse_horizon(spec: str) -> Horizon:
    """Read a horizon: ``16`` (events), ``1h`` (time, within 16 events), ``20,1h`` (both).

    Raises:
        SettingsError: If it is none of these.

    Example:
        >>> parse_horizon("20,90s")
        Horizon(events=20, seconds=(90.0,))
    """
    events: list[int] = []
    seconds: list[float] = []
    for part in str(spec).split(","):
        found = re.fullmatch(r"(\d+\.?\d*)([smhd]?)", part.strip())
        if not found or not float(found[1]) or (not found[2] and ("." in found[1] or events)):
            raise SettingsError(
                f"horizon is {spec!r}, expected a number of events such as '16', a time such as '90s', '10m', '1h' "
                "or '2d', or both: '20,1h'."
            )
        if found[2]:
            seconds.append(float(found[1]) * _SECONDS[found[2]])
        else:
            events.append(int(found[1]))
    return Horizon(events[0] if events else _EVENTS_PER_TIME, tuple(seconds))


_ROW_ENTRIES = 2**24
_MOST_ROWS = 2048
Context = NDArray[np.int64]


@dataclass(frozen=True)
class TotalEffects:
    """Probability of every effect within the horizon after forcing every cause, averaged over contexts.

    Attributes:
        risk: ``risk[u, v]`` = P(v within the horizon | do(u)); NaN for types that are not forced.
        baseline: The mean risk over the other types that could be forced, without v itself; NaN where there is none.
        gain_error: Standard error of ``risk - baseline`` over contexts, to first order; NaN with one context.
        contexts: Number of contexts.
    """

    risk: Float[np.ndarray, "cause effect"]
    baseline: Float[np.ndarray, "cause effect"]
    gain_error: Float[np.ndarray, "cause effect"]
    contexts: int

    @property
    def gain(self) -> Float[np.ndarray, "cause effect"]:
        """Risk minus baseline: positive where the cause makes the effect more likely."""
        difference: Float[np.ndarray, "cause effect"] = self.risk - self.baseline
        return difference


def total_effects(
    oracle: Oracle,
    contexts: Sequence[Context],
    slots: Slots,
    horizon: Horizon,
    *,
    seed: int,
    advance: Callable[[float], None] = lambda _: None,
    processes: Processes = _ALONE,
) -> TotalEffects:
    """Force every event type after every context, and let the oracle continue.

    Types that end a sequence are not forced, as nothing follows them: their risk is NaN, and no part of a baseline.

    All types of a context are continued with common random numbers, so that their differences have less variance.

    Args:
        oracle: The frozen model.
        contexts: Tokens before each forced event, including its gap token if the vocabulary has gaps.
        slots: Tokens of events and gaps.
        horizon: How far ahead to look.
        seed: Seed of the continuations; context i always gets the same numbers.
        advance: Called with the number of contexts done.
        processes: What shares the contexts out; each gets all effects, the same with any number of them.
    """
    types = len(slots.events)
    causes = forced_types(slots)
    hazard, occurred, mean, squares = (np.zeros((types, types)) for _ in range(4))
    done = 0

    def occur(group: tuple[Tensor, Tensor]) -> list[NDArray[np.float64]]:
        return [each.numpy() for each in _first_occurrences(oracle, group[0], slots, horizon, group[1])]

    groups = _groups(contexts, seed, horizon.events * slots.tokens_per_event, types)
    for hazards, occurrences in processes.in_turn(groups, occur):
        hazard += hazards.sum(0)
        occurred += occurrences.sum(0)
        done += len(hazards)
        # What each context moves the risk by, to first order, about the risk as it is known so far.
        risk = risk_of(hazard, occurred, done)
        moved = (1 - risk) * hazards + risk * occurrences
        moved -= _mean_at_same_place(moved, causes, slots)
        mean += moved.sum(0)
        squares += (moved**2).sum(0)
        advance(float(done))
    spread = np.maximum(squares / done - (mean / done) ** 2, 0)
    error = np.sqrt(spread / (done - 1)) if done > 1 else np.full_like(spread, np.nan)
    risk = risk_of(hazard, occurred, done)
    baseline = _mean_at_same_place(risk[None], causes, slots)[0]
    risk[~causes] = np.nan
    if slots.is_near is not None:  # what happens at neighbours is an effect there
        risk[:, slots.is_near.numpy()] = np.nan
    return TotalEffects(risk, baseline, error, done)


def risk_of(
    hazard: Float[np.ndarray, "*pair"], occurred: Float[np.ndarray, "*pair"], count: int
) -> Float[np.ndarray, "*pair"]:
    """Probability that the effect occurs within the horizon, from sampled futures; never outside [0, 1].

    Args:
        hazard: Sum over futures of the probabilities of the effect at every step until it occurs.
        occurred: In how many futures it occurs.
        count: Number of futures.

    Both sums have the mean count times that probability. Hazards err less where it is small, occurrences where it is
    large, and hazard / (hazard + futures without) takes from each in that proportion. Its bias is that of a ratio, of
    the order of 1 / count.

    Example:
        >>> risk_of(np.array([1.2]), np.array([1.0]), 2)
        array([0.54545455])
    """
    weight = hazard + (count - occurred)
    found: Float[np.ndarray, "*pair"] = np.divide(hazard, weight, out=np.ones_like(weight), where=weight > 0)
    return found


def forced_types(slots: Slots) -> Bool[np.ndarray, " type"]:
    """Which types are forced: all but those that end a sequence."""
    found: Bool[np.ndarray, " type"] = ~torch.isin(torch.arange(len(slots.events)), slots.ends).numpy()
    return found


def others_to_compare(causes: Bool[np.ndarray, " cause"]) -> Int[np.ndarray, "cause effect"]:
    """How many causes there are beside this one and the effect.

    Example:
        >>> others_to_compare(np.array([True, True, False]))  # the last one is a label
        array([[1, 0, 1],
               [0, 1, 1],
               [1, 1, 2]])
    """
    others: Int[np.ndarray, "cause effect"] = causes.sum() - causes[:, None].astype(int) - causes
    others[np.diag_indices_from(others)] += causes
    return others


def _mean_of_others(
    found: Float[np.ndarray, "context cause effect"], causes: Bool[np.ndarray, " cause"]
) -> Float[np.ndarray, "context cause effect"]:
    """For each effect v, the mean over all causes except this one and v; NaN where there are none."""
    types = np.arange(len(causes))
    counted = found * causes[:, None]
    own = counted[:, types, types][:, None, :]
    rest = counted.sum(1, keepdims=True) - counted - own
    rest[:, types, types] += own[:, 0]
    others = others_to_compare(causes)
    mean: Float[np.ndarray, "context cause effect"] = np.where(others > 0, rest / np.maximum(others, 1), np.nan)
    return mean


def _mean_at_same_place(
    found: Float[np.ndarray, "context cause effect"], causes: Bool[np.ndarray, " cause"], slots: Slots
) -> Float[np.ndarray, "context cause effect"]:
    """The same over own causes for own ones, and over near causes for near ones."""
    if slots.is_near is None:
        return _mean_of_others(found, causes)
    near = slots.is_near.numpy()
    own_mean, near_mean = (_mean_of_others(found, causes & kind) for kind in (~near, near))
    mean: Float[np.ndarray, "context cause effect"] = np.where(near[:, None], near_mean, own_mean)
    return mean


def _groups(
    contexts: Sequence[Context], seed: int, numbers: int, types: int
) -> Iterator[tuple[Int[Tensor, "context pos"], Float[Tensor, "context slot"]]]:
    """Batches of contexts of equal length, with their random numbers."""
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
) -> tuple[Float[Tensor, "context cause effect"], Float[Tensor, "context cause effect"]]:
    """Of one sampled future after each forced type: hazards of v summed until it occurs, and whether it does.

    Both count by the share of the horizons in time that they are within.
    """
    count, types = len(context), len(slots.events)
    forced = slots.events.expand(count, -1)
    numbers = uniforms[:, None].expand(-1, types, -1)
    hazard = torch.zeros((count * types, types), dtype=torch.float64)
    occurred, not_yet = torch.zeros_like(hazard), torch.ones_like(hazard)
    rows = torch.arange(len(hazard))
    for step in sample_futures(oracle, context, forced, slots, numbers):
        weight = horizon.within(step.seconds).double().mean(1)
        hazard += step.probabilities * not_yet * weight[:, None]
        is_possible = step.probabilities[rows, step.event] > 0
        occurred[rows, step.event] += not_yet[rows, step.event] * weight * is_possible
        not_yet[rows, step.event] = 0
    return hazard.view(count, types, types), occurred.view(count, types, types)


def averaged(found: Sequence[TotalEffects]) -> TotalEffects:
    """Mean over oracles; the standard error combines contexts and, with several oracles, their spread."""
    gains = np.stack([each.gain for each in found])
    within = np.mean([each.gain_error**2 for each in found], axis=0)
    between = gains.var(0, ddof=1) / len(found) if len(found) > 1 else 0.0
    return TotalEffects(
        risk=np.mean([each.risk for each in found], axis=0),
        baseline=np.mean([each.baseline for each in found], axis=0),
        gain_error=np.sqrt(within + between),
        contexts=found[0].contexts,
    )


Table = Float[np.ndarray, "cause effect"]
# With more types, a table of all pairs would dwarf the graph.
_MOST_SCORED_TYPES = 1_000
_NEAREST = 1e-9


def divergence_of(chance: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bernoulli KL divergence of estimated probabilities, in nats; finite, as none counts as within 1e-9 of 0 or 1.

    Example:
        >>> divergence_of(np.array([0.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.0])).round(2)
        array([0.  , 0.  , 9.67])
    """
    logs = (torch.from_numpy(_inside(each)).log() for each in (chance, other))
    found: NDArray[np.float64] = bernoulli_kl(*logs).numpy()
    return found


def _inside(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(chance, _NEAREST, 1 - _NEAREST)


def divergence(effects: TotalEffects) -> Table:
    """Bernoulli KL divergence of the risk from the baseline, in nats: the default, as for direct effects."""
    return divergence_of(effects.risk, effects.baseline)


def gain(effects: TotalEffects) -> Table:
    """Risk minus baseline."""
    return effects.gain


def total_log_ratio(effects: TotalEffects) -> Table:
    """Log of risk over baseline, in nats."""
    found: Table = np.log(_inside(effects.risk)) - np.log(_inside(effects.baseline))
    return found


def risk(effects: TotalEffects) -> Table:
    """P(effect within the horizon | do(cause)), without a contrast: common effects rank first."""
    return effects.risk


TOTAL_STATISTICS: dict[str, Callable[[TotalEffects], Table]] = {
    "kl_to_mixture": divergence,
    "probability_gain": gain,
    "log_ratio": total_log_ratio,
    "risk": risk,
}
# Those that compare the risk with a baseline.
COMPARED = tuple(name for name in TOTAL_STATISTICS if name != "risk")


def divergence_error(effects: TotalEffects) -> Table:
    """Standard error of ``divergence`` over contexts, by the delta method, in nats."""
    baseline = _inside(effects.baseline)
    found: Table = np.abs(effects.gain) / (baseline * (1 - baseline)) * effects.gain_error
    return found


def total_graph(
    effects: TotalEffects,
    names: Sequence[str],
    threshold: Threshold,
    *,
    statistic: str = "kl_to_mixture",
    self_loops: bool = False,
) -> CausalGraph:
    """The population graph of total effects.

    Args:
        effects: Risks of all pairs of types.
        names: The types, in the order of the tables.
        threshold: Decides which pairs are edges.
        statistic: Name of a function of ``TOTAL_STATISTICS``.
        self_loops: Whether to keep edges from a type to itself.

    Returns:
        Edges with ``cmi`` (the statistic), ``risk``, ``baseline_risk``, ``gain`` with ``gain_error``, ``direction``
        and ``support`` (contexts). ``metadata["scores"]`` holds the statistic of every pair, NaN (no edge) where the
        statistic is a comparison and there is nothing to compare with.
    """
    scores = TOTAL_STATISTICS[statistic](effects)
    errors = divergence_error(effects) if statistic == "kl_to_mixture" else np.full_like(scores, np.nan)
    kept = _kept(scores, errors, effects, threshold)
    if not self_loops:
        np.fill_diagonal(kept, False)
    edges = tuple(
        {
            "cause": names[cause],
            "effect": names[effect],
            "cmi": float(scores[cause, effect]),
            "standard_error": float(errors[cause, effect]),
            "risk": float(effects.risk[cause, effect]),
            "baseline_risk": float(effects.baseline[cause, effect]),
            "gain": float(effects.gain[cause, effect]),
            "gain_error": float(effects.gain_error[cause, effect]),
            "direction": direction(float(effects.gain[cause, effect])),
            "support": effects.contexts,
        }
        for cause, effect in zip(*kept.nonzero(), strict=True)
    )
    metadata: dict[str, Any] = {"contexts": effects.contexts}
    if len(names) <= _MOST_SCORED_TYPES:
        metadata["scores"] = score_table(names, scores, errors)
    return CausalGraph("population", tuple(names), edges, metadata)


def _kept(scores: Table, errors: Table, effects: TotalEffects, threshold: Threshold) -> np.ndarray:
    """Apply the threshold to all pairs of types with a score, as if they were pairs of one sequence at lag 1."""
    kept, scored = np.zeros(scores.shape, dtype=np.bool_), np.isfinite(scores)
    cause = scored.nonzero()[0]
    kept[scored] = threshold.keep(PairScores(cause, cause + 1, scores[scored], effects.gain[scored], errors[scored]))
    return kept
