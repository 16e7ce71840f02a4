"""The population graph of by-type effects: which question it answers, its strengths, and which pairs are edges."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm

from hf_trace.discovery.by_type.by_type_sums import PAIR, ByTypeEffects
from hf_trace.discovery.pair_graphs import DELAY_LEVELS
from hf_trace.discovery.population.sums import quantile
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Fdr, Threshold
from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import BackgroundKnowledge, with_required
from hf_trace.graphs.score_tables import score_table

# For each statistic: what speaks for more of the effect, and what for less; of one column, its sign decides.
STATISTIC_PARTS = {
    "log_ratio": ("told", "rarer"),
    "gain": ("gain", "gain"),
    "kl": ("kl", "rarer"),
    "association": ("told", "rarer"),
}
_STRENGTHS = {
    "log_ratio": "nats per cause",
    "gain": "expected events per cause",
    "kl": "nats per cause",
    "association": "nats, shared by causes and effects",
}
_LEVEL = 0.95
# With more types, a table of all pairs would dwarf the graph.
_MOST_SCORED = 1_000


def strengths(
    effects: ByTypeEffects, forward: Float[np.ndarray, "cause effect"] | None, statistic: str
) -> pd.DataFrame:
    r"""Strength of every pair that moves.

    With the direction share D = P(u before v | u and v near each other), which a common cause of both does not raise,

    .. math:: D \, E_{uv} + (1 - D) \, I_{uv}

    where E is what speaks for u making v likelier, and I for rarer. For ``log_ratio``, the default, E is the mean log
    ratio of the v that happened, per u, or 0 if that is negative; I the divergence at places where v became rarer;
    ``gain``: expected events per u; ``kl``: the divergence of all predictions of v; ``association``: as ``log_ratio``,
    times :math:`\sqrt{n_u / n_v}`, so that frequent effects count no more than rare ones.

    Args:
        effects: Sums of all sequences.
        forward: D of all pairs; None: 1/2, as if direction said nothing.
        statistic: Name in ``STATISTIC_PARTS``.

    Returns:
        ``effects.pairs`` with ``cmi`` (the strength), ``standard_error`` over sequences (of D taken as known), and
        ``inhibits``.
    """
    pairs = effects.pairs
    cause, effect = pairs["cause"].to_numpy(), pairs["effect"].to_numpy()
    share = np.full(len(pairs), 0.5) if forward is None else forward[cause, effect]
    more, less = (pairs[name].to_numpy() for name in STATISTIC_PARTS[statistic])
    if statistic == "gain":
        less = np.maximum(-less, 0)
    if statistic == "kl":
        more = more - less
    more = np.maximum(more, 0)
    errors = [pairs[f"{name}_error"].to_numpy() for name in STATISTIC_PARTS[statistic]]
    scale = np.ones(len(pairs))
    if statistic == "association":
        counts = np.maximum(effects.occurrences, 1)
        scale = np.sqrt(counts[cause] / counts[effect])
    return pairs.assign(
        cmi=scale * (share * more + (1 - share) * less),
        standard_error=scale * np.hypot(share * errors[0], (1 - share) * errors[1]),
        inhibits=share * more < (1 - share) * less,
        forward=share,
    )


def by_type_graph(  # noqa: PLR0913 - each is a choice of its own
    effects: ByTypeEffects,
    forward: Float[np.ndarray, "cause effect"] | None,
    threshold: Threshold,
    *,
    statistic: str,
    min_support: int,
    knowledge: BackgroundKnowledge | None,
    resamples: int,
    seed: int,
    plain_name: Callable[[str], str] = str,
) -> CausalGraph:
    """The graph of what drives what.

    Args:
        effects: Sums of all sequences.
        forward: See ``strengths``.
        threshold: ``margin`` and ``fixed``: of the strength. ``quantile``: of all pairs. ``fdr:Q,DELTA``: pairs whose
            strength exceeds DELTA by more than its error over sequences explains, at a false discovery rate Q over
            all pairs (Benjamini and Hochberg 1995). It says nothing about errors that the oracle makes everywhere.
        statistic: See ``strengths``.
        min_support: Number of sequences in which the cause must have been.
        knowledge: Pairs that are ruled out or in.
        resamples: Bootstrap resamples of the cases, for intervals of edges; 0 for none.
        seed: Of the resamples.
        plain_name: What is known of an event is known by this name.

    Returns:
        Edges with ``cmi`` (the strength), ``standard_error``, ``gain`` (expected events per occurrence) with
        ``gain_error``, ``log_ratio`` and ``kl`` (nats per occurrence), ``forward`` (D), ``direction``, ``support``
        (sequences), ``occurrences``, ``lags`` (the three at which the effect became likelier most), and with times
        ``lag_seconds_quantiles``. ``metadata["scores"]`` holds the strength of every pair and its error.
    """
    found = strengths(effects, forward, statistic)
    cause = found["cause"].to_numpy()
    kept = _kept(found, threshold) & (effects.support[cause] >= min_support)
    named = [
        (effects.names[one], effects.names[other]) for one, other in zip(cause, found["effect"].to_numpy(), strict=True)
    ]
    if knowledge is not None:
        kept = kept & np.array([knowledge.allows(*map(plain_name, pair)) for pair in named], dtype=bool)
    chosen = found[kept].copy()
    if resamples:
        told = effects.resampled(resamples, seed)[:, kept]
        low, high = np.nanquantile(told, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
        chosen = chosen.assign(log_ratio_low=low, log_ratio_high=high, resampled_share=np.nanmean(told > 0, axis=0))
    delays = dict(iter(effects.delays.groupby(PAIR)))
    edges = tuple(_edge(effects, row, delays.get((row["cause"], row["effect"]))) for row in chosen.to_dict("records"))
    metadata: Document = {"strength": _STRENGTHS[statistic]}
    if len(effects.names) <= _MOST_SCORED:
        matrix, errors = np.zeros((len(effects.names),) * 2), np.full((len(effects.names),) * 2, np.nan)
        matrix[cause, found["effect"]], errors[cause, found["effect"]] = found["cmi"], found["standard_error"]
        metadata["scores"] = score_table(effects.names, matrix, errors)
    graph = CausalGraph("population", effects.names, edges, metadata)
    if knowledge is None:
        return graph
    return with_required(graph, knowledge, dict(zip(named, found["cmi"].tolist(), strict=True)))


def _kept(found: pd.DataFrame, threshold: Threshold) -> NDArray[np.bool_]:
    if not isinstance(threshold, Fdr):
        score, index = found["cmi"].to_numpy(), np.arange(len(found))
        return threshold.keep(PairScores(index, index + 1, score, score, found["standard_error"].to_numpy()))
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = (found["cmi"] - threshold.margin) / found["standard_error"]
    p_values = norm.sf(np.nan_to_num(excess.to_numpy(), nan=-np.inf))
    kept: NDArray[np.bool_] = false_discovery_control(p_values) <= threshold.level if len(p_values) else p_values > 0
    return kept


def _edge(effects: ByTypeEffects, row: Mapping[Any, Any], delays: pd.DataFrame | None) -> Document:
    cause, effect = int(row["cause"]), int(row["effect"])
    edge: Document = {
        "cause": effects.names[cause],
        "effect": effects.names[effect],
        "cmi": row["cmi"],
        "standard_error": row["standard_error"],
        "gain": row["gain"],
        "gain_error": row["gain_error"],
        "log_ratio": row["told"],
        "kl": row["kl"],
        "forward": row["forward"],
        "direction": "inhibits" if row["inhibits"] else "excites",
        "support": round(effects.support[cause]),
        "occurrences": round(effects.occurrences[cause]),
    }
    edge |= {name: row[name] for name in ("log_ratio_low", "log_ratio_high", "resampled_share") if name in row}
    return edge if delays is None else edge | _delays(delays)


def _delays(delays: pd.DataFrame) -> Document:
    """At which distances the effect became likelier, the most first."""
    by_lag = delays.groupby("lag")["gained"].sum().sort_values(ascending=False, kind="stable")
    found: Document = {"lags": [int(lag) for lag in by_lag.index[:3]]}
    timed = delays[delays["seconds"].notna()].groupby("seconds")["gained"].sum()
    if len(timed):
        seconds, gained = timed.index.to_numpy(dtype=np.float64), timed.to_numpy()
        found["lag_seconds_quantiles"] = {f"{level:g}": quantile(seconds, gained, level) for level in DELAY_LEVELS}
    return found
