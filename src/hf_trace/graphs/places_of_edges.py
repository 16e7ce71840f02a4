"""Where an edge acts: near and own causes of one type become one edge, within a place, between places, or both."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.score_tables import score_table
from hf_trace.logs.places.near_names import is_near_name, plain_name

WITHIN, BETWEEN, BOTH = "within", "between", "both"
Parts = Float[np.ndarray, "part cause effect"]


def fold_places(
    graph: CausalGraph, *, self_loops: bool = False, occurrences: Mapping[str, float] | None = None
) -> CausalGraph:
    """A graph of histories with neighbours as a graph of what happened, wherever it did.

    Args:
        graph: Some of its causes are events of neighbours, ``<near:X>``; its effects are own events.
        self_loops: Whether to keep edges from a type to itself, within a place or between places.
        occurrences: How often each cause was counted, where a strength is one per occurrence: then that of X is the
            mean over all of them, own and near. None: the stronger of both.

    Returns:
        Edges say in ``place`` where they act. Of the edges of X and of ``<near:X>`` to one effect there is one: what it
        says is what the stronger says, but for ``cmi``; ``within`` and ``between`` are the strengths of both. Edges
        between positions all stay. ``metadata["scores"]`` has tables of that name too.

    Example:
        >>> edges = ({"cause": "a", "effect": "b", "cmi": 0.1}, {"cause": "<near:a>", "effect": "b", "cmi": 0.3})
        >>> fold_places(CausalGraph("population", ("a", "b", "<near:a>"), edges)).edges
        ({'cause': 'a', 'effect': 'b', 'cmi': 0.3, 'place': 'both', 'within': 0.1, 'between': 0.3},)
    """
    marked = [_marked(edge) for edge in graph.edges if not is_near_name(edge["effect"])]
    if graph.level == "instance":
        return CausalGraph("instance", tuple(map(plain_name, graph.events)), tuple(marked), graph.metadata)
    kept = [edge for edge in marked if self_loops or edge["cause"] != edge["effect"]]
    edges = [_folded(list(same)) for _, same in groupby(sorted(kept, key=_ends), key=_ends)]
    names = tuple(dict.fromkeys(map(plain_name, graph.events)))
    metadata = dict(graph.metadata)
    if scores := metadata.get("scores"):
        tables = _folded_tables(scores, names, occurrences)
        whole = score_table(names, tables.pop("matrix"), tables.pop("errors"))
        metadata["scores"] = whole | {name: table.tolist() for name, table in tables.items()}
        if occurrences is not None:
            row = {name: number for number, name in enumerate(names)}
            edges = [edge | {"cmi": whole["matrix"][row[edge["cause"]]][row[edge["effect"]]]} for edge in edges]
    return CausalGraph(graph.level, names, tuple(edges), metadata)


def _ends(edge: Mapping[str, Any]) -> tuple[str, str]:
    return edge["cause"], edge["effect"]


def _marked(edge: Mapping[str, Any]) -> Document:
    place = BETWEEN if is_near_name(edge["cause"]) else WITHIN
    return {**edge, "cause": plain_name(edge["cause"]), "place": place}


def _folded(edges: Sequence[Document]) -> Document:
    """One edge of those within and between places, which are at most two."""
    strongest = max(edges, key=lambda edge: abs(edge.get("cmi") or 0.0))
    place = BOTH if len(edges) > 1 else strongest["place"]
    return {**strongest, "place": place, **{edge["place"]: edge.get("cmi") for edge in edges}}


def _folded_tables(
    scores: Mapping[str, Any], names: Sequence[str], occurrences: Mapping[str, float] | None
) -> dict[str, Float[np.ndarray, "cause effect"]]:
    """Scores within places, between them, and both in one, with the errors of these; NaN where there is none."""
    index = {name: number for number, name in enumerate(names)}
    place = np.array([index[plain_name(name)] for name in scores["events"]], dtype=np.int64)
    near = np.array([is_near_name(name) for name in scores["events"]], dtype=bool)
    unknown = np.full((len(near), len(near)), np.nan)
    parts, errors = (_parted(scores.get(table, unknown), near, place, len(names)) for table in ("matrix", "errors"))
    weights = np.zeros((2, len(names), 1))
    for part, kind in enumerate((~near, near)):
        chosen = [name for name, is_kind in zip(scores["events"], kind, strict=True) if is_kind]
        weights[part, place[kind], 0] = [(occurrences or {}).get(name, 0.0) for name in chosen]
    if occurrences is None:
        whole = np.fmax(*parts)
        error = np.where(parts[0] == whole, *errors)
    else:
        total = np.maximum(weights.sum(0), 1)
        whole = (np.nan_to_num(parts) * weights).sum(0) / total
        error = np.where(np.isnan(errors).all(0), np.nan, np.sqrt(np.nansum((errors * weights) ** 2, axis=0)) / total)
    return {"matrix": whole, "errors": error, WITHIN: parts[0], BETWEEN: parts[1]}


def _parted(table: Any, near: Bool[np.ndarray, " event"], place: Int[np.ndarray, " event"], names: int) -> Parts:
    """A table of own and near causes in two; NaN where there is none."""
    parts = np.full((2, names, names), np.nan)
    for part, kind in enumerate((~near, near)):
        parts[part][np.ix_(place[kind], place[~near])] = np.asarray(table, np.float64)[np.ix_(kind, ~near)]
    return parts
