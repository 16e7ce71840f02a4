"""From total effects to a population graph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from hf_trace.causal.cmi import bernoulli_kl
from hf_trace.causal.graphs import direction
from hf_trace.causal.pairs import PairScores
from hf_trace.causal.thresholds import Threshold
from hf_trace.causal.total import TotalEffects
from hf_trace.data.graph import CausalGraph

Table = Float[np.ndarray, "cause effect"]
# A score for every pair travels with the graph only where the table stays small.
_MOST_SCORED_TYPES = 1_000


def divergence(effects: TotalEffects) -> Table:
    """Bernoulli information of the risk against the baseline, in nats: the default, as for direct effects."""
    risk, baseline = (torch.from_numpy(table).log() for table in (effects.risk, effects.baseline))
    found: Table = bernoulli_kl(risk, baseline).numpy()
    return found


def gain(effects: TotalEffects) -> Table:
    """Risk minus baseline: positive where the cause excites."""
    return effects.gain


def log_ratio(effects: TotalEffects) -> Table:
    """Log of risk over baseline, in nats."""
    found: Table = np.log(effects.risk) - np.log(effects.baseline)
    return found


def risk(effects: TotalEffects) -> Table:
    """P(effect within the horizon | do(cause)): what follows what, common effects first. No contrast, so no sign."""
    return effects.risk


TOTAL_STATISTICS: dict[str, Callable[[TotalEffects], Table]] = {
    "kl_to_mixture": divergence,
    "probability_gain": gain,
    "log_ratio": log_ratio,
    "risk": risk,
}


def divergence_error(effects: TotalEffects) -> Table:
    """Standard error of ``divergence`` over contexts, by the delta method, in nats."""
    inner = effects.baseline * (1 - effects.baseline)
    found: Table = np.abs(effects.gain) / np.maximum(inner, 1e-300) * effects.gain_error
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
        threshold: What makes a pair an edge.
        statistic: Name of a function of ``TOTAL_STATISTICS``.
        self_loops: Whether a type may cause itself.

    Returns:
        Edges with ``cmi`` (the statistic), ``risk``, ``baseline_risk``, ``gain`` with ``gain_error``, ``direction``
        and ``support`` (contexts). ``metadata["scores"]`` holds the statistic of every pair.
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
        metadata["scores"] = {"events": list(names), "matrix": scores.tolist()}
    return CausalGraph("population", tuple(names), edges, metadata)


def _kept(scores: Table, errors: Table, effects: TotalEffects, threshold: Threshold) -> np.ndarray:
    """Ask the threshold about all pairs of types at once, as if of one sequence and one lag."""
    cause = np.indices(scores.shape)[0].ravel()
    pairs = PairScores(
        cause, cause + 1, scores.ravel(), effects.gain.ravel(), errors.ravel()
    )  # fmt: skip
    return threshold.keep(pairs).reshape(scores.shape)
