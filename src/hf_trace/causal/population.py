"""One graph from many sequences: how often a pair of event types carries an edge, where both occur within reach."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.causal.graphs import direction
from hf_trace.causal.knowledge import BackgroundKnowledge
from hf_trace.causal.pairs import PairScores
from hf_trace.causal.required_edges import with_required
from hf_trace.causal.thresholds import Threshold
from hf_trace.data.graph import CausalGraph
from hf_trace.data.sequence import EventSequence

_PAIR = ["cause", "effect"]
_SUMS = ["tested", "cmi", "edges", "edge_cmi", "edge_gain", "edge_confidence", "timed_edges", "edge_seconds"]
_PAIRS_HELD = 1_000_000
# A score for every tested pair travels with the graph only where the table stays small.
_MOST_SCORED_TYPES = 1_000


def wilson_interval(successes: Any, trials: Any, *, z: float = 1.96) -> tuple[NDArray[Any], NDArray[Any]]:
    """95 % interval of a share, right for few trials (Wilson 1927).

    Example:
        >>> low, high = wilson_interval(0, 10)
        >>> float(low), round(float(high), 3)
        (0.0, 0.278)
    """
    share = np.asarray(successes) / np.asarray(trials)
    weight = z * z / np.asarray(trials)
    centre = share + weight / 2
    spread = np.sqrt(weight * share * (1 - share) + weight * weight / 4)
    low, high = (centre - spread) / (1 + weight), (centre + spread) / (1 + weight)
    return np.where(np.asarray(successes) == 0, 0.0, low), np.where(share == 1, 1.0, high)


class PopulationPool:
    """Adds up scored sequences; memory follows the pairs of types seen, not the sequences.

    Args:
        threshold: What makes a pair of positions an edge.
        self_loops: Whether edges from a type to itself count.
    """

    def __init__(self, threshold: Threshold, *, self_loops: bool = False) -> None:
        self.threshold = threshold
        self.self_loops = self_loops
        self.sequences = 0
        self._types: dict[str, int] = {}
        self._pending: list[pd.DataFrame] = []
        self._held = 0
        self._pairs = pd.DataFrame()
        self._lags = pd.DataFrame()

    def add(self, sequence: EventSequence, scores: PairScores) -> None:
        """Add the tested pairs of one sequence."""
        codes = np.array(
            [self._types.setdefault(event, len(self._types)) for event in sequence.events], dtype=np.int64
        )
        sure = self.threshold.confidence(scores)
        table = {
            "cause": codes[scores.cause_position],
            "effect": codes[scores.effect_position],
            "sequence": self.sequences,
            "lag": scores.lag,
            "cmi": scores.cmi,
            "gain": scores.gain,
            "edge": self.threshold.keep(scores),
            "confidence": np.nan if sure is None else sure,
            "seconds": np.nan,
        }
        if sequence.timestamps is not None:
            times = np.asarray(sequence.timestamps)
            table["seconds"] = times[scores.effect_position] - times[scores.cause_position]
        frame = pd.DataFrame(table)
        self._pending.append(frame if self.self_loops else frame[frame["cause"] != frame["effect"]])
        self.sequences += 1
        self._held += len(frame)
        if self._held > _PAIRS_HELD:
            self._compact()

    def graph(
        self,
        *,
        min_frequency: float = 0.05,
        min_support: int = 2,
        knowledge: BackgroundKnowledge | None = None,
    ) -> CausalGraph:
        """The population graph of everything added so far.

        Args:
            min_frequency: A pair is an edge when the lower end of the Wilson interval of its frequency
                exceeds this.
            min_support: Least number of sequences in which the pair must have been tested.
            knowledge: Its required edges are in the graph whatever was found, marked ``required``.

        Returns:
            Edges with ``cmi`` (mean over tested position pairs, nats), ``edge_cmi`` (mean over those that
            carry the edge), ``confidence`` (likewise, where the threshold knows one),
            ``frequency`` with interval (share of ``support`` sequences that carry it),
            ``lag_counts`` (events) and, with timestamps, ``lag_seconds`` (mean). ``metadata["scores"]`` holds
            the mean cmi of every tested pair, edges or not.
        """
        self._compact()
        names = list(self._types)
        pairs = self._statistics()
        is_edge = (pairs["frequency_low"] > min_frequency) & (pairs["support"] >= min_support)
        kept = pairs[is_edge | self._required(pairs, knowledge)]
        edges = tuple(self._edge(names, row) for row in kept.to_dict("records"))
        metadata: dict[str, Any] = {"sequences": self.sequences}
        if len(names) <= _MOST_SCORED_TYPES:
            metadata["scores"] = {"events": names, "matrix": _matrix(pairs, len(names)).tolist()}
        graph = CausalGraph("population", tuple(names), edges, metadata)
        return graph if knowledge is None else with_required(graph, knowledge, {})

    def _required(self, pairs: pd.DataFrame, knowledge: BackgroundKnowledge | None) -> NDArray[np.bool_]:
        """Where a pair of types is required."""
        wanted = set() if knowledge is None else knowledge.required_among(list(self._types))
        keys = [self._types[cause] * len(self._types) + self._types[effect] for cause, effect in wanted]
        return np.isin(pairs["cause"].to_numpy() * len(self._types) + pairs["effect"].to_numpy(), keys)

    def _compact(self) -> None:
        if not self._pending:
            return
        pending = pd.concat(self._pending, ignore_index=True)
        self._pending, self._held = [], 0
        self._pairs = _added(self._pairs, _count_pairs(pending), _PAIR)
        carried = pending[pending["edge"]].groupby([*_PAIR, "lag"], as_index=False).size()
        self._lags = _added(self._lags, carried, [*_PAIR, "lag"])

    def _statistics(self) -> pd.DataFrame:
        pairs = self._pairs
        if pairs.empty:
            return pd.DataFrame(columns=[*_PAIR, "support", "frequency_low", "mean_cmi"])
        low, high = wilson_interval(pairs["edge_sequences"], pairs["support"])
        return pairs.assign(
            mean_cmi=pairs["cmi"] / pairs["tested"],
            frequency=pairs["edge_sequences"] / pairs["support"],
            frequency_low=low,
            frequency_high=high,
        )

    def _edge(self, names: list[str], row: Mapping[Any, Any]) -> dict[str, Any]:
        lags = self._lags[(self._lags["cause"] == row["cause"]) & (self._lags["effect"] == row["effect"])]
        counts = dict(zip(lags["lag"].tolist(), lags["size"].tolist(), strict=True))
        carried = {}
        if row["edges"]:
            carried = {
                "edge_cmi": row["edge_cmi"] / row["edges"],
                "direction": direction(row["edge_gain"]),
            }
            if self.threshold.has_confidence:
                carried["confidence"] = row["edge_confidence"] / row["edges"]
        edge = {
            "cause": names[row["cause"]],
            "effect": names[row["effect"]],
            "cmi": row["mean_cmi"],
            **carried,
            "frequency": row["frequency"],
            "frequency_low": row["frequency_low"],
            "frequency_high": row["frequency_high"],
            "support": row["support"],
            "lags": sorted(counts, key=lambda lag: (-counts[lag], lag))[:3],
            "lag_counts": {str(lag): counts[lag] for lag in sorted(counts)},
        }
        if row["timed_edges"]:
            edge["lag_seconds"] = row["edge_seconds"] / row["timed_edges"]
        return edge


def _count_pairs(pending: pd.DataFrame) -> pd.DataFrame:
    """Totals of each pair of types over whole sequences."""
    edge = pending["edge"]
    pending = pending.assign(
        tested=1,
        edges=edge.astype(np.int64),
        edge_cmi=pending["cmi"].where(edge, 0.0),
        edge_gain=pending["gain"].where(edge, 0.0),
        edge_confidence=pending["confidence"].where(edge, 0.0),
        timed_edges=(edge & pending["seconds"].notna()).astype(np.int64),
        edge_seconds=pending["seconds"].where(edge, 0.0),
    )
    by_sequence = pending.groupby([*_PAIR, "sequence"], as_index=False)[_SUMS].sum()
    by_sequence["edge_sequences"] = (by_sequence["edges"] > 0).astype(np.int64)
    by_sequence["support"] = 1
    return by_sequence.drop(columns="sequence").groupby(_PAIR, as_index=False).sum()


def _added(total: pd.DataFrame, more: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return more if total.empty else pd.concat([total, more]).groupby(keys, as_index=False).sum()


def _matrix(pairs: pd.DataFrame, types: int) -> NDArray[np.float64]:
    """Mean cmi ``[cause, effect]``; 0 where a pair was never within reach."""
    matrix = np.zeros((types, types))
    if len(pairs):
        matrix[pairs["cause"], pairs["effect"]] = pairs["mean_cmi"]
    return matrix
