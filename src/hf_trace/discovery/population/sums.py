"""Sums that a population graph keeps of its sequences, by pair of event types and by pair within ties."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.discovery.pair_graphs import direction
from hf_trace.discovery.population.frequencies import FrequencyRule, wilson_interval

PAIR = ["cause", "effect"]
COUNTS = ["tested", "edges", "timed_edges"]
MEASURES = ["cmi", "edge_cmi", "edge_gain", "edge_confidence", "edge_seconds"]
SUMS = ["sequence", *PAIR, *COUNTS, *MEASURES]
# Numbers of sequences: those tested, and those that carry an edge.
SEQUENCES = ["support", "edge_sequences"]
# Of the cmi and the number tested of each sequence, for errors over sequences.
_SQUARES = ["cmi_squared", "cmi_tested", "tested_squared"]
# Cause and effect of a pair are the high and the low bits of one key.
_TYPES_BITS = 32


def sums_by_sequence(pairs: pd.DataFrame) -> pd.DataFrame:
    """Sums of each pair of types in each sequence, one row each, ordered by sequence.

    Args:
        pairs: Tested pairs of positions: ``cause``, ``effect``, ``sequence``, ``cmi``, ``gain``, ``confidence``,
            ``edge`` and ``seconds``.

    Example:
        >>> row = {"cause": 0, "effect": 1, "sequence": 7, "cmi": 0.5, "gain": 0.1, "confidence": np.nan}
        >>> pairs = pd.DataFrame([row | {"edge": True, "seconds": 2.0}, row | {"edge": False, "seconds": 1.0}])
        >>> sums_by_sequence(pairs)[["tested", "edges", "cmi", "edge_seconds"]].values.tolist()
        [[2.0, 1.0, 1.0, 2.0]]
    """
    edge = pairs["edge"]
    table = pairs[["sequence", *PAIR]].assign(
        tested=1,
        edges=edge.astype(np.int64),
        timed_edges=(edge & pairs["seconds"].notna()).astype(np.int64),
        cmi=pairs["cmi"],
        edge_cmi=pairs["cmi"].where(edge, 0.0),
        edge_gain=pairs["gain"].where(edge, 0.0),
        edge_confidence=pairs["confidence"].where(edge, 0.0),
        edge_seconds=pairs["seconds"].where(edge, 0.0),
    )
    return table.groupby(["sequence", *PAIR], as_index=False)[[*COUNTS, *MEASURES]].sum()


def added(total: pd.DataFrame, by_sequence: pd.DataFrame) -> pd.DataFrame:
    """Totals of each pair of types after adding more sequences, ordered by cause and effect.

    Args:
        total: Earlier totals, or an empty frame.
        by_sequence: What ``sums_by_sequence`` returned.
    """
    cmi, tested = by_sequence["cmi"], by_sequence["tested"]
    squares = dict(zip(_SQUARES, (cmi**2, cmi * tested, tested**2), strict=True))
    more = by_sequence.drop(columns="sequence").assign(
        support=1, edge_sequences=(by_sequence["edges"] > 0).astype(np.int64), **squares
    )
    # The totals come first, so that adding in parts sums in the same order, to the last bit.
    rows = pd.concat([total, more], ignore_index=True) if len(total) else more
    keys, place = np.unique(pair_keys(rows), return_inverse=True)
    sums = {name: np.bincount(place, rows[name], len(keys)).astype(np.int64) for name in [*COUNTS, *SEQUENCES]}
    measures = {name: np.bincount(place, rows[name], len(keys)) for name in [*MEASURES, *_SQUARES]}
    return pd.DataFrame({**dict(zip(PAIR, pair_of_keys(keys), strict=True)), **sums, **measures})


def errors_of_means(pairs: pd.DataFrame) -> NDArray[np.float64]:
    r"""Standard error over sequences of the mean cmi of each pair of types; NaN from one sequence.

    With the sums :math:`A_g` of :math:`n_g` tested pairs of positions in each of G sequences it is that of a ratio,

    .. math:: \hat R = \frac{\sum A_g}{\sum n_g}, \quad
        \mathrm{var} = \frac{G}{G - 1} \frac{\sum_g (A_g - \hat R n_g)^2}{(\sum_g n_g)^2}

    Args:
        pairs: What ``added`` returned.

    Example:
        >>> parts = {"sequence": [0, 1], "cause": 0, "effect": 1, "tested": 1, "edges": 0, "timed_edges": 0}
        >>> parts |= {name: [0.1, 0.3] for name in MEASURES}  # 0.2 +- 0.1, as two values have it
        >>> errors_of_means(added(pd.DataFrame(), pd.DataFrame(parts))).round(3).tolist()
        [0.1]
    """
    mean, groups = pairs["cmi"] / pairs["tested"], pairs["support"].to_numpy(dtype=np.float64)
    scatter = pairs["cmi_squared"] - 2 * mean * pairs["cmi_tested"] + mean**2 * pairs["tested_squared"]
    variance = np.maximum(scatter, 0) * groups / np.where(groups > 1, groups - 1, np.nan)
    return np.asarray(np.sqrt(variance) / pairs["tested"])


def pair_keys(rows: pd.DataFrame) -> NDArray[np.int64]:
    """One number for cause and effect, in their order."""
    cause, effect = (rows[end].to_numpy(dtype=np.int64) for end in PAIR)
    return np.asarray((cause << _TYPES_BITS) | effect)


def pair_of_keys(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Causes and effects of keys that ``pair_keys`` gave."""
    return np.asarray(keys >> _TYPES_BITS), np.asarray(keys & ((1 << _TYPES_BITS) - 1))


def counted_up(total: pd.DataFrame, more: pd.DataFrame, key: str) -> pd.DataFrame:
    """Number of edges of each pair of types by value of ``key``, after adding those of ``more``.

    Args:
        total: Earlier counts, or an empty frame.
        more: One row per pair of positions that carries an edge.
        key: A column of ``more``.
    """
    sizes = more.groupby([*PAIR, key], as_index=False).size()
    if total.empty:
        return sizes
    return pd.concat([total, sizes]).groupby([*PAIR, key], as_index=False).sum()


class PairRows:
    """The rows of each pair of types in a table that ``counted_up`` gave.

    Example:
        >>> rows = pd.DataFrame({"cause": [0, 0, 2], "effect": [1, 1, 0], "lag": [1, 3, 1], "size": [5, 1, 2]})
        >>> PairRows(rows).of(0, 1)["lag"].tolist(), len(PairRows(rows).of(1, 0))
        ([1, 3], 0)
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._keys = pair_keys(table) if len(table) else np.empty(0, dtype=np.int64)

    def of(self, cause: int, effect: int) -> pd.DataFrame:
        """The rows of one pair, if any."""
        key = (cause << _TYPES_BITS) | effect
        start, stop = np.searchsorted(self._keys, [key, key + 1]).tolist()
        return self._table.iloc[start:stop]


def two_digits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers rounded to two significant digits, so that few distinct ones remain.

    Example:
        >>> two_digits(np.array([0.0, 47.0, 1234.0, 0.00567, np.nan])).tolist()
        [0.0, 47.0, 1200.0, 0.0057, nan]
    """
    size = np.abs(values)
    known = np.isfinite(size) & (size > 0)
    texts = np.char.mod("%.1e", values[known])
    rounded = np.where(np.isfinite(values), 0.0, np.nan)
    rounded[known] = texts.astype(np.float64)
    return rounded


def quantile(values: NDArray[np.float64], counts: NDArray[np.int64] | NDArray[np.float64], level: float) -> float:
    """The smallest of the ascending ``values`` that a share ``level`` of all counts does not exceed.

    Example:
        >>> quantile(np.array([1.0, 2.0, 9.0]), np.array([5, 4, 1]), 0.9)
        2.0
    """
    reached = np.cumsum(counts) >= level * np.sum(counts) - 1e-9
    return float(values[int(np.argmax(reached))])


# `first` and `second` are numbers of types, the smaller one first; `difference` is the cmi with `first` before `second`
# minus the cmi in the other order.
COLUMNS = ["sequence", "first", "second", "tested", "edges", "cmi", "gain", "difference"]


def tie_sums(tied: pd.DataFrame) -> pd.DataFrame:
    """Sums of each pair of types within ties in each sequence.

    Args:
        tied: One row per pair of positions: ``sequence``, ``cause``, ``effect``, ``cmi``, ``gain``, ``edge`` and
            ``difference`` (the order listed minus the other).
    """
    turned = (tied["cause"] > tied["effect"]).to_numpy()
    table = pd.DataFrame(
        {
            "sequence": tied["sequence"],
            "first": np.minimum(tied["cause"], tied["effect"]),
            "second": np.maximum(tied["cause"], tied["effect"]),
            "tested": 1,
            "edges": tied["edge"].astype(np.int64),
            "cmi": tied["cmi"],
            "gain": tied["gain"],
            "difference": tied["difference"].where(~turned, -tied["difference"]),
        }
    )
    return table.groupby(["sequence", "first", "second"], as_index=False).sum()[COLUMNS]


def tie_edges(
    sums: pd.DataFrame, edges: Sequence[dict[str, Any]], names: Sequence[str], rule: FrequencyRule, min_support: int
) -> list[dict[str, Any]]:
    """The edges of a population, with those found within ties.

    Args:
        sums: All rows that ``tie_sums`` gave.
        edges: Edges between events at different times.
        names: Names of the types.
        rule: Decides which pairs are edges.
        min_support: Number of sequences in which a pair must have occurred at the same time.

    Returns:
        All edges; those also carried by ties have ``tied_share`` (of the pairs of positions that carry them). Pairs
        carried only within ties follow, marked ``undirected``. ``order_difference`` is the cmi with the cause listed
        first minus that of the other order, in nats, and ``order_error`` its standard error over sequences.
    """
    if sums.empty:
        return list(edges)
    totals = _totals(sums)
    support, carried = (totals[name].to_numpy(dtype=np.int64) for name in ("support", "carried"))
    kept = rule.keep(carried, support, np.zeros_like(support)) & (support >= min_support)
    found = {(names[row["first"]], names[row["second"]]): row for row in totals[kept].to_dict("records")}
    marked = [_marked(edge, found) for edge in edges]
    directed = {frozenset((edge["cause"], edge["effect"])) for edge in edges}
    return marked + [_undirected(pair, row) for pair, row in found.items() if frozenset(pair) not in directed]


def _totals(sums: pd.DataFrame) -> pd.DataFrame:
    rows = sums.assign(
        support=1, carried=(sums["edges"] > 0).astype(np.int64), mean=sums["difference"] / sums["tested"]
    )
    grouped = rows.groupby(["first", "second"], as_index=False)
    totals = grouped[["tested", "edges", "cmi", "gain", "support", "carried"]].sum()
    low, high = wilson_interval(totals["carried"], totals["support"])
    return totals.assign(
        order_difference=grouped["mean"].mean()["mean"],
        order_error=grouped["mean"].std()["mean"] / np.sqrt(totals["support"]),
        frequency_low=low,
        frequency_high=high,
    )


def _marked(edge: dict[str, Any], found: Mapping[tuple[str, str], Mapping[Any, Any]]) -> dict[str, Any]:
    forward, backward = found.get((edge["cause"], edge["effect"])), found.get((edge["effect"], edge["cause"]))
    row = forward or backward
    if row is None:
        return edge
    apart = sum(edge.get("lag_counts", {}).values())
    return {**edge, "tied_share": row["edges"] / max(1, row["edges"] + apart), **_order(row, 1.0 if forward else -1.0)}


def _undirected(pair: tuple[str, str], row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "cause": pair[0],
        "effect": pair[1],
        "undirected": True,
        "cmi": row["cmi"] / row["tested"],
        "direction": direction(row["gain"]),
        "frequency": row["carried"] / row["support"],
        "frequency_low": row["frequency_low"],
        "frequency_high": row["frequency_high"],
        "support": row["support"],
        "lags": [],
        "tied_share": 1.0,
        **_order(row, 1.0),
    }


def _order(row: Mapping[Any, Any], sign: float) -> dict[str, float]:
    return {"order_difference": sign * row["order_difference"], "order_error": row["order_error"]}
