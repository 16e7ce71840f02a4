"""Pairs of event types within ties, over many sequences: edges without a direction, or beside one.

The order in which the source lists a tie says nothing, and what a model trained on such a log knows of it is how the
two types go together: the difference of the cmi in the two orders follows from how frequent they are. So a direction
comes from elsewhere: from places where the two happened at different times.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hf_trace.causal.frequencies import FrequencyRule, wilson_interval
from hf_trace.causal.graphs import direction

# `first` and `second` are numbers of types, the smaller one first; `difference` is the cmi with that one first, less
# the cmi of the other order.
COLUMNS = ["sequence", "first", "second", "tested", "edges", "cmi", "gain", "difference"]


def tie_sums(tied: pd.DataFrame) -> pd.DataFrame:
    """Sums of each pair of types within ties in each sequence.

    Args:
        tied: One row per pair of positions: ``sequence``, ``cause``, ``effect``, ``cmi``, ``gain``, ``edge`` and
            ``difference`` (of the order listed to the other).
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
    sums: pd.DataFrame,
    edges: Sequence[dict[str, Any]],
    names: Sequence[str],
    rule: FrequencyRule,
    min_support: int,
) -> list[dict[str, Any]]:
    """The edges of a population with what ties say.

    Args:
        sums: All rows that ``tie_sums`` gave.
        edges: Edges between events at different times.
        names: Names of the types.
        rule: What makes a pair an edge.
        min_support: Least number of sequences in which a pair must have shared a time.

    Returns:
        All edges; those that ties carry too have ``tied_share`` (of the pairs of positions that carry them). Pairs that
        are carried within ties alone follow, marked ``undirected``. ``order_difference`` is by how much the cmi is
        larger with the cause listed first, in nats, ``order_error`` its standard error over sequences.
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
        support=1,
        carried=(sums["edges"] > 0).astype(np.int64),
        mean=sums["difference"] / sums["tested"],
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
    return {
        **edge,
        "tied_share": row["edges"] / max(1, row["edges"] + apart),
        **_order(row, 1.0 if forward else -1.0),
    }


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


def no_ties() -> pd.DataFrame:
    """The sums of sequences without ties."""
    return pd.DataFrame(columns=COLUMNS)
