"""One graph from many sequences: how often a pair of event types carries an edge, if both occur within reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.discovery.pair_graphs import DELAY_LEVELS, direction
from hf_trace.discovery.population.frequencies import FrequencyRule, parse_frequency, wilson_interval
from hf_trace.discovery.population.group_comparison import GroupComparison, compare_groups
from hf_trace.discovery.population.resampling import UnitSums, bootstrap, half_sample_stability, resampling_units
from hf_trace.discovery.population.sums import COLUMNS as TIES
from hf_trace.discovery.population.sums import (
    PAIR,
    SUMS,
    PairRows,
    added,
    counted_up,
    errors_of_means,
    quantile,
    sums_by_sequence,
    tie_edges,
    tie_sums,
    two_digits,
)
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Threshold
from hf_trace.errors import SettingsError, preview
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import BackgroundKnowledge, with_required
from hf_trace.graphs.score_tables import score_table
from hf_trace.logs.contexts import UNKNOWN
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import Context, EventSequence
from hf_trace.options import MIN_FREQUENCY, MIN_SUPPORT, SEED


@dataclass(frozen=True)
class PoolState:
    """The contents of a pool that keeps its sequences.

    Attributes:
        event_types: Names of the types, in the order of their numbers.
        ids: Names of the sequences.
        events: Numbers of the event types of each sequence.
        contexts: Context columns of each sequence.
        by_sequence: Sums of each pair of types in each sequence.
        lags: Number of edges of each pair at each lag, in events.
        seconds: Likewise in seconds, rounded to two digits.
        ties: Sums of each pair of types within ties in each sequence.
    """

    event_types: tuple[str, ...]
    ids: tuple[str, ...]
    events: tuple[NDArray[np.int32], ...]
    contexts: tuple[Context, ...]
    by_sequence: pd.DataFrame
    lags: pd.DataFrame
    seconds: pd.DataFrame
    ties: pd.DataFrame

    def log(self) -> EventLog:
        """The sequences as a log, without times."""
        return EventLog.from_sequences(
            EventSequence(tuple(self.event_types[code] for code in codes), id=name, context=context)
            for name, codes, context in zip(self.ids, self.events, self.contexts, strict=True)
        )


_PAIRS_HELD = 1_000_000
# With more types, a table of all pairs would dwarf the graph.
_MOST_SCORED_TYPES = 1_000


class PopulationPool:
    """Sums of scored sequences.

    Memory is proportional to the pairs of types seen, not to the sequences. With ``keep_sequences`` it is about 90
    bytes per pair of types in each sequence.

    Args:
        threshold: Decides which pairs of positions are edges.
        self_loops: Whether to keep edges from a type to itself.
        keep_sequences: Whether to keep the sums of every sequence, for resampling and for storing the pool.
    """

    def __init__(self, threshold: Threshold, *, self_loops: bool = False, keep_sequences: bool = False) -> None:
        self.threshold = threshold
        self.self_loops = self_loops
        self.keep_sequences = keep_sequences
        self.ids: list[str] = []
        self._contexts: list[Context] = []
        self._events: list[NDArray[np.int32]] = []
        self._types: dict[str, int] = {}
        self._pending: list[pd.DataFrame] = []
        self._held = 0
        self._kept: list[pd.DataFrame] = []
        self._pairs = pd.DataFrame()
        self._lags = pd.DataFrame()
        self._seconds = pd.DataFrame()
        self._ties: list[pd.DataFrame] = []

    @property
    def sequences(self) -> int:
        """Number of sequences added."""
        return len(self.ids)

    @property
    def event_types(self) -> tuple[str, ...]:
        """Names of all types seen, in the order of their numbers."""
        return tuple(self._types)

    def add(self, sequence: EventSequence, scores: PairScores) -> None:
        """Add the tested pairs of one sequence."""
        codes = np.array([self._types.setdefault(event, len(self._types)) for event in sequence.events], dtype=np.int64)
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
        if scores.order_difference is not None and scores.tied.any():
            apart = frame["cause"] != frame["effect"]
            within = frame.assign(difference=scores.order_difference)[scores.tied & apart]
            self._ties.append(tie_sums(within))
            frame = frame[~scores.tied]
        self._pending.append(frame if self.self_loops else frame[frame["cause"] != frame["effect"]])
        self.ids.append(str(self.sequences) if sequence.id is None else sequence.id)
        self._contexts.append(sequence.context)
        if self.keep_sequences:
            self._events.append(codes.astype(np.int32))
        self._held += len(frame)
        if self._held > _PAIRS_HELD:
            self._compact()

    def graph(
        self,
        *,
        min_frequency: Any = MIN_FREQUENCY.default,
        min_support: int = MIN_SUPPORT.default,
        knowledge: BackgroundKnowledge | None = None,
        resamples: int = 0,
        compare: Sequence[str] = (),
        seed: int = SEED.default,
    ) -> CausalGraph:
        """The population graph of all sequences added so far.

        Args:
            min_frequency: A share: a pair is an edge when the lower end of the Wilson interval of its frequency
                exceeds it. Or ``"adaptive"``, see ``AdaptiveShare``.
            min_support: Number of sequences in which an edge must have been tested.
            knowledge: Its required edges are always in the graph, marked ``required``.
            resamples: Number of bootstrap resamples for intervals; 0 for none. Needs ``keep_sequences``.
            compare: Context columns whose groups are compared, see ``group_comparison``. Needs ``keep_sequences``.
            seed: Seed of the resampling.

        Returns:
            Edges with ``cmi`` (mean over tested pairs of positions, nats), ``edge_cmi`` and, if the threshold gives
            one, ``confidence`` (means over pairs that carry the edge), ``frequency`` with interval (share of
            ``support`` sequences that carry it), ``lag_counts`` (events) and, with timestamps, ``lag_seconds`` (mean)
            and ``lag_seconds_quantiles`` (of lags rounded to two digits). With resamples also ``resampled_share`` (in
            which the pair is an edge), ``cmi_low`` and ``cmi_high``, ``resampled_frequency_low`` and
            ``resampled_frequency_high`` (percentiles 2.5 and 97.5). With ``compare`` each edge has ``groups``, and
            edges of single groups are added if their strength differs. ``metadata["scores"]`` holds the mean cmi of
            every tested pair, with its standard error over sequences.

        Raises:
            SettingsError: If ``min_frequency`` is not understood, or the pool cannot be resampled.
        """
        self._compact()
        rule = parse_frequency(min_frequency)
        names, pairs = list(self._types), self._statistics()
        is_edge = _edges(pairs, rule, min_support) | self._required(pairs, knowledge)
        comparisons = self.compared(compare, min_frequency=min_frequency, min_support=min_support)
        for found in comparisons if len(pairs) else ():
            is_edge |= found.differs & found.is_edge.any(axis=1)
        kept = pairs[is_edge]
        if resamples and len(pairs):
            resampled = bootstrap(
                self.unit_sums(), is_edge, rule, min_support=min_support, resamples=resamples, seed=seed
            )
            kept = kept.assign(**resampled.columns())
        lags, seconds = PairRows(self._lags), PairRows(self._seconds)
        edges = [self._edge(names, row, lags, seconds) for row in kept.to_dict("records")]
        for edge, number in zip(edges, np.flatnonzero(is_edge).tolist() if comparisons else (), strict=False):
            edge["groups"] = {found.column: found.record(number) for found in comparisons}
        edges = tie_edges(self._tied(), edges, names, rule, min_support)
        metadata: dict[str, Any] = {"sequences": self.sequences}
        if len(names) <= _MOST_SCORED_TYPES:
            matrix, errors = np.zeros((len(names),) * 2), np.full((len(names),) * 2, np.nan)
            if len(pairs):  # those never within reach stay 0
                matrix[pairs["cause"], pairs["effect"]] = pairs["mean_cmi"]
                errors[pairs["cause"], pairs["effect"]] = errors_of_means(pairs)
            metadata["scores"] = score_table(names, matrix, errors)
        graph = CausalGraph("population", tuple(names), tuple(edges), metadata)
        return graph if knowledge is None else with_required(graph, knowledge, {})

    def stability(
        self,
        *,
        min_frequency: Any = MIN_FREQUENCY.default,
        min_support: int = MIN_SUPPORT.default,
        repeats: int = 20,
        seed: int = SEED.default,
    ) -> NDArray[np.float64]:
        """Jaccard index of the edges of two random halves of the sequences, for each of several splits.

        Args:
            min_frequency: As for ``graph``.
            min_support: As for ``graph``, of each half.
            repeats: Number of random splits.
            seed: Seed of the splits.

        Raises:
            SettingsError: If the pool did not keep its sequences.
        """
        rule = parse_frequency(min_frequency)
        return half_sample_stability(self.unit_sums(), rule, min_support=min_support, repeats=repeats, seed=seed)

    def compared(
        self,
        columns: Sequence[str],
        *,
        min_frequency: Any = MIN_FREQUENCY.default,
        min_support: int = MIN_SUPPORT.default,
    ) -> list[GroupComparison]:
        """Compare all pairs of types between the groups of each context column.

        Args:
            columns: Names of columns.
            min_frequency: As for ``graph``, of a single group.
            min_support: As for ``graph``, of a single group.

        Raises:
            SettingsError: If the pool did not keep its sequences, or they lack a column.
        """
        if not columns or not self.ids:
            return []
        known = {name for context in self._contexts for name, _ in context}
        wrong = [name for name in columns if name not in known]
        if wrong:
            raise SettingsError(
                f"The sequences have no context {preview(wrong)} whose groups could be compared; they have "
                f"{preview(sorted(known)) or 'none'}. Read the log with `--context-column` (in Python "
                "`context_columns=`)."
            )
        rule, sums = parse_frequency(min_frequency), self.unit_sums()
        first = np.unique(resampling_units(self.ids), return_index=True)[1]
        contexts = [dict(self._contexts[index]) for index in first.tolist()]
        return [
            compare_groups(sums, name, [each.get(name, UNKNOWN) for each in contexts], rule, min_support=min_support)
            for name in columns
        ]

    def by_sequence(self) -> pd.DataFrame:
        """Sums of each pair of types in each sequence; see ``sums.sums_by_sequence``.

        Raises:
            SettingsError: If the pool did not keep them.
        """
        if not self.keep_sequences:
            raise SettingsError(
                "The pool keeps no sums of single sequences, which resampling and storing need. Make it with "
                "`PopulationPool(threshold, keep_sequences=True)`."
            )
        self._compact()
        return pd.concat(self._kept, ignore_index=True) if self._kept else pd.DataFrame(columns=SUMS)

    def unit_sums(self) -> UnitSums:
        """The sums of every case, for resampling.

        Raises:
            SettingsError: If the pool did not keep its sequences.
        """
        return UnitSums.of(self.by_sequence(), resampling_units(self.ids))

    def state(self) -> PoolState:
        """The contents of the pool, for ``from_state``.

        Raises:
            SettingsError: If the pool did not keep its sequences.
        """
        sums = self.by_sequence()
        return PoolState(
            self.event_types,
            tuple(self.ids),
            tuple(self._events),
            tuple(self._contexts),
            sums,
            self._lags,
            self._seconds,
            self._tied(),
        )

    @classmethod
    def from_state(cls, threshold: Threshold, state: PoolState, *, self_loops: bool = False) -> "PopulationPool":
        """Restore a pool; adding to it gives the same numbers, to the last digit, as adding to the original.

        Args:
            threshold: Threshold of the original.
            state: What its ``state`` gave.
            self_loops: As in the original.
        """
        pool = cls(threshold, self_loops=self_loops, keep_sequences=True)
        pool.ids, pool._events, pool._contexts = list(state.ids), list(state.events), list(state.contexts)
        pool._ties = [state.ties] if len(state.ties) else []
        pool._types = {name: number for number, name in enumerate(state.event_types)}
        if len(state.by_sequence):
            pool._kept = [state.by_sequence]
            pool._pairs = added(pd.DataFrame(), state.by_sequence)
            pool._lags, pool._seconds = state.lags, state.seconds
        return pool

    def _tied(self) -> pd.DataFrame:
        return pd.concat(self._ties, ignore_index=True) if self._ties else pd.DataFrame(columns=TIES)

    def _required(self, pairs: pd.DataFrame, knowledge: BackgroundKnowledge | None) -> NDArray[np.bool_]:
        """Whether each pair of types is required."""
        wanted = set() if knowledge is None else knowledge.required_among(list(self._types))
        keys = [self._types[cause] * len(self._types) + self._types[effect] for cause, effect in wanted]
        return np.isin(pairs["cause"].to_numpy() * len(self._types) + pairs["effect"].to_numpy(), keys)

    def _compact(self) -> None:
        if not self._pending:
            return
        pending = pd.concat(self._pending, ignore_index=True)
        self._pending, self._held = [], 0
        by_sequence = sums_by_sequence(pending)
        self._pairs = added(self._pairs, by_sequence)
        carried = pending[pending["edge"]]
        self._lags = counted_up(self._lags, carried, "lag")
        timed = carried[carried["seconds"].notna()]
        timed = timed.assign(seconds=two_digits(timed["seconds"].to_numpy(dtype=np.float64)))
        self._seconds = counted_up(self._seconds, timed, "seconds")
        if self.keep_sequences:
            self._kept.append(by_sequence)

    def _statistics(self) -> pd.DataFrame:
        pairs = self._pairs
        if pairs.empty:
            return pd.DataFrame(columns=[*PAIR, "support", "edge_sequences", "mean_cmi"])
        low, high = wilson_interval(pairs["edge_sequences"], pairs["support"])
        return pairs.assign(
            mean_cmi=pairs["cmi"] / pairs["tested"],
            frequency=pairs["edge_sequences"] / pairs["support"],
            frequency_low=low,
            frequency_high=high,
        )

    def _edge(self, names: list[str], row: Mapping[Any, Any], lags: PairRows, seconds: PairRows) -> dict[str, Any]:
        counts, carried = {}, {}
        if row["edges"]:
            found = lags.of(row["cause"], row["effect"])
            counts = dict(zip(found["lag"].tolist(), found["size"].tolist(), strict=True))
            carried = {"edge_cmi": row["edge_cmi"] / row["edges"], "direction": direction(row["edge_gain"])}
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
            timed = seconds.of(row["cause"], row["effect"])
            values, sizes = timed["seconds"].to_numpy(), timed["size"].to_numpy()
            edge["lag_seconds"] = row["edge_seconds"] / row["timed_edges"]
            edge["lag_seconds_quantiles"] = {f"{level:g}": quantile(values, sizes, level) for level in DELAY_LEVELS}
        return edge | {name: row[name] for name in _RESAMPLED if name in row}


_RESAMPLED = ("resampled_share", "cmi_low", "cmi_high", "resampled_frequency_low", "resampled_frequency_high")


def _edges(pairs: pd.DataFrame, rule: FrequencyRule, min_support: int) -> NDArray[np.bool_]:
    carried, support, effect = (pairs[name].to_numpy(np.int64) for name in ("edge_sequences", "support", "effect"))
    return rule.keep(carried, support, effect) & (support >= min_support)
