"""What counting alone says of the edges of a graph, from the table of onsets in its metadata."""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import count


def onset_columns(graph: CausalGraph) -> dict[str, list[float]]:
    """Score and rank of every edge by onset and direction.

    Args:
        graph: Its ``metadata["baselines"]["onset"]`` holds S of all pairs of event types, in the order of its events.

    Returns:
        ``onset`` (S) and ``onset_rank`` (1: the highest of all pairs of two types), one entry per edge; empty without
        the table.

    Example:
        >>> table = [[0.0, 0.2, 0.6], [0.4, 0.0, 0.0], [0.0, 0.0, 0.0]]
        >>> graph = CausalGraph.from_edges([("a", "b"), ("b", "a")], events=["a", "b", "c"])
        >>> onset_columns(graph.with_metadata(baselines={"onset": table}))
        {'onset': [0.2, 0.4], 'onset_rank': [3, 2]}
    """
    scores = _scores(graph)
    if scores is None:
        return {}
    ranks, ends = _ranks(scores), _ends(graph)
    return {"onset": scores[ends].tolist(), "onset_rank": ranks[ends].tolist()}


def agreement(graph: CausalGraph) -> str:
    """In words, how many edges are also among as many pairs that counting ranks highest; nothing without the table.

    Args:
        graph: See ``onset_columns``.

    Example:
        >>> graph = CausalGraph.from_edges([("a", "b")]).with_metadata(baselines={"onset": [[0, 0.5], [0.1, 0]]})
        >>> agreement(graph).partition(":")[0]
        '1 of 1 edge is also among as many pairs that onsets with their direction rank highest'
    """
    scores = _scores(graph)
    if scores is None or not len(graph):
        return ""
    ends, edges = _ends(graph), len(graph)
    shared = int(np.sum((_ranks(scores)[ends] <= edges) & (scores[ends] > 0)))
    return (
        f"{shared:,} of {count(edges, 'edge')} {'is' if shared == 1 else 'are'} also among as many pairs that onsets "
        "with their direction rank highest: how often the effect begins soon after the cause and not before it (S), "
        "counted without a model. Where model and counting differ, look at the evidence first."
    )


def left_out_pairs(graph: CausalGraph, most: int = 10) -> list[Document]:
    """The pairs of two event types that counting ranks highest and that are no edge.

    Args:
        graph: See ``onset_columns``.
        most: How many.

    Example:
        >>> table = [[0.0, 0.2, 0.6], [0.4, 0.0, 0.0], [0.0, 0.0, 0.0]]
        >>> graph = CausalGraph.from_edges([("a", "c")], events=["a", "b", "c"])
        >>> left_out_pairs(graph.with_metadata(baselines={"onset": table}), most=1)
        [{'cause': 'b', 'effect': 'a', 'onset': 0.4, 'rank': 2}]
    """
    scores = _scores(graph)
    if scores is None:
        return []
    ranks, left = _ranks(scores), scores > 0
    np.fill_diagonal(left, val=False)
    left[_ends(graph)] = False
    first = np.argwhere(left)[np.argsort(ranks[left], kind="stable")][:most].tolist()
    return [
        {
            "cause": graph.events[cause],
            "effect": graph.events[effect],
            "onset": float(scores[cause, effect]),
            "rank": int(ranks[cause, effect]),
        }
        for cause, effect in first
    ]


def _scores(graph: CausalGraph) -> Float[np.ndarray, "cause effect"] | None:
    table = np.asarray(graph.metadata.get("baselines", {}).get("onset", ()), dtype=np.float64)
    return table if table.shape == (len(graph.events),) * 2 and graph.level != "instance" else None


def _ranks(scores: Float[np.ndarray, "cause effect"]) -> Int[np.ndarray, "cause effect"]:
    """1 for the highest pair of two types; equal ones share the best of their ranks."""
    ranked = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    found: Int[np.ndarray, "cause effect"] = rankdata(-ranked, method="min").reshape(scores.shape).astype(np.int64)
    return found


def _ends(graph: CausalGraph) -> tuple[list[int], list[int]]:
    """Numbers of the causes and of the effects of all edges."""
    place = {name: number for number, name in enumerate(graph.events)}
    return [place[edge["cause"]] for edge in graph.edges], [place[edge["effect"]] for edge in graph.edges]
