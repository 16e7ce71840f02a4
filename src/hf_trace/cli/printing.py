"""Graphs and comparisons as tables on stdout."""

from typing import TYPE_CHECKING, Any

from hf_trace.console import print_table, say

SHOWN = 5

if TYPE_CHECKING:
    from hf_trace.causal.metrics import GraphComparison
    from hf_trace.data.graph import CausalGraph


def print_graphs(graphs: "list[CausalGraph]", most: int = 10, *, total: int | None = None) -> None:
    """The strongest edges of the first few graphs, of ``total`` in all."""
    for graph in graphs[:SHOWN]:
        title = f"{graph.level} graph: {len(graph.events)} events, {len(graph.edges)} edges"
        print_table(f"{title}; the strongest:" if graph.edges else title, *_edge_table(graph.strongest(most)))
    more = (total or len(graphs)) - SHOWN
    if more > 0:
        say(f"… and {more:,} more graphs.")


def _edge_table(graph: "CausalGraph") -> tuple[list[str], list[list[Any]]]:
    shown = {"cause": "cause", "effect": "effect", "direction": "acts", "cmi": "cmi (nats)", "frequency": "frequency",
             "support": "sequences", "resampled_share": "in resamples", "lag": "lag", "lags": "lags",
             "lag_seconds": "after", "undirected": "undirected", "groups": "holds in"}  # fmt: skip
    edges = sorted(graph.edges, key=lambda edge: -edge.get("cmi", 0))
    keys = [key for key in shown if any(key in edge for edge in edges)]
    rows = [[_shown(key, edge.get(key, "")) for key in keys] for edge in edges]
    return [shown[key] for key in keys], rows


def _shown(key: str, value: Any) -> Any:
    from hf_trace.data.summary import duration

    if key == "lag_seconds" and value != "":
        return duration(value)
    if key == "groups" and value != "":
        return "; ".join(_where(column, found) for column, found in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _where(column: str, found: dict[str, Any]) -> str:
    """In which groups of a column an edge holds."""
    names = found["holds_in"]
    where = f"every {column}" if len(names) == len(found["cmi"]) else f"{column} {', '.join(names) or 'none'}"
    return where + (", differs" if found["differs"] else "")


def print_comparison(comparison: "GraphComparison") -> None:
    """How a graph and the baselines agree with the known edges."""
    rows = comparison.table_rows()
    title = (
        f"against {comparison.n_true_edges} known edges among {comparison.n_types} types "
        f"(base rate {comparison.scores.base_rate:.3f})"
    )
    print_table(title, list(rows[0]), [list(row.values()) for row in rows])
