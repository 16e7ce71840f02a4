"""A graph against a known one, beside the counting baselines the graph carries."""

import numpy as np

from hf_trace.causal.metrics import GraphComparison, compare_graphs
from hf_trace.data.graph import CausalGraph
from hf_trace.errors import GraphFormatError, preview


def evaluate_graph(graph: CausalGraph, truth: CausalGraph) -> GraphComparison:
    """Compare a graph with a truth, beside the baselines it carries.

    Raises:
        GraphFormatError: If the two share no event type.
    """
    if not set(graph.events) & set(truth.events):
        raise GraphFormatError(
            f"The graph and the truth share no event type: {preview(graph.events)} against {preview(truth.events)}. "
            "Expected the same names in both."
        )
    baselines = graph.metadata.get("baselines", {})
    return compare_graphs(
        graph, truth, baselines={name: np.asarray(table) for name, table in baselines.items()}
    )
