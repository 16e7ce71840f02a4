"""Strengths of all pairs of event types, with their standard errors, as graphs keep them in their metadata."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hf_trace.documents import Document
from hf_trace.errors import GraphFormatError

Table = Float[np.ndarray, "cause effect"]
_DIGITS = 4


def score_table(events: Sequence[str], scores: Table, errors: Table | None = None) -> Document:
    """What ``metadata["scores"]`` of a graph holds.

    Args:
        events: Names of the rows and columns.
        scores: Strength of every pair, an edge or not.
        errors: Their standard errors, of which four digits are kept; NaN where it is not known.

    Example:
        >>> score_table(["a"], np.array([[0.5]]), np.array([[0.123456]]))
        {'events': ['a'], 'matrix': [[0.5]], 'errors': [[0.1235]]}
    """
    table: Document = {"events": list(events), "matrix": scores.tolist()}
    if errors is None or not np.isfinite(errors).any():
        return table
    return table | {"errors": [[_short(value) for value in row] for row in errors.tolist()]}


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


def table_of(scores: Mapping[str, Any], name: str, events: Sequence[str]) -> Table:
    """One table of ``metadata["scores"]`` in another order of the types; NaN for what it does not hold.

    Args:
        scores: What ``score_table`` gave.
        name: ``matrix`` or ``errors``.
        events: Names of the rows and columns wanted.

    Raises:
        GraphFormatError: If it is no square table of numbers.

    Example:
        >>> table_of({"events": ["a", "b"], "matrix": [[0, 1], [2, None]]}, "matrix", ["b", "c", "a"]).tolist()
        [[nan, nan, 2.0], [nan, nan, nan], [1.0, nan, 0.0]]
    """
    wide = np.full((len(events), len(events)), np.nan)
    if name not in scores:
        return wide
    own = list(scores["events"])
    try:
        table = np.array(scores[name], dtype=np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.shape != (len(own), len(own)):
        raise GraphFormatError(f"`{name}` of the scores of a graph is no table of {len(own)} by {len(own)} numbers.")
    place = {event: number for number, event in enumerate(own)}
    shared = [number for number, event in enumerate(events) if event in place]
    codes = [place[events[number]] for number in shared]
    wide[np.ix_(shared, shared)] = table[np.ix_(codes, codes)]
    return wide
