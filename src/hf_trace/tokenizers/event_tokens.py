"""Tokens beside events: the time between them (``<gap:0>``) and what is known of the sequence (``<context:a=b>``)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import PreTokenizer, Split, WhitespaceSplit

Times = Sequence[float] | NDArray[np.float64]
GAP_BINS = 16


def gap_token(index: int) -> str:
    """Token of one bin.

    Example:
        >>> gap_token(3)
        '<gap:3>'
    """
    return f"<gap:{index}>"


def log_spaced_edges(gaps: NDArray[np.float64], bins: int = GAP_BINS) -> list[float]:
    """Upper edges, in seconds, of all bins but the last, log-spaced over the bulk of the positive gaps.

    The first bin holds only simultaneous events; the others span the 1st to the 99th percentile.

    Example:
        >>> log_spaced_edges(np.array([0.0, 1.0, 10.0, 100.0]), bins=4)
        [0.0, 4.64159, 21.5443]
    """
    positive = gaps[gaps > 0]
    if len(positive) == 0:
        return [0.0]
    low, high = np.percentile(positive, [1, 99])
    low, high = (positive.min(), positive.max()) if len(positive) < 100 else (low, high)
    if high <= low:
        return [0.0]
    inner = np.geomspace(low, high, max(bins, 2))[1:-1]
    return [0.0, *(float(f"{edge:.6g}") for edge in inner)]


def gap_bins(timestamps: Times, edges: Sequence[float]) -> NDArray[np.int64]:
    """Bin of the gap before every event but the first.

    Example:
        >>> gap_bins([0.0, 0.0, 5.0], [0.0, 1.0]).tolist()
        [0, 2]
    """
    gaps = np.diff(np.asarray(timestamps, dtype=np.float64))
    return np.searchsorted(np.asarray(edges), gaps, side="left")


def bin_bounds(edges: Sequence[float]) -> list[tuple[float, float]]:
    """The shortest and the longest time of every bin, in seconds; that of the last is four times the last edge.

    Example:
        >>> bin_bounds([0.0, 4.0, 100.0])
        [(0.0, 0.0), (0.0, 4.0), (4.0, 100.0), (100.0, 400.0)]
    """
    return list(pairwise([0.0, *edges, 4 * edges[-1]])) if edges else []


def bin_middles(edges: Sequence[float]) -> list[float]:
    """A time in every bin, in seconds: the geometric middle, or half the edge where a bin begins at 0.

    Example:
        >>> bin_middles([0.0, 4.0, 100.0])
        [0.0, 2.0, 20.0, 200.0]
    """
    return [(low * high) ** 0.5 if low > 0 else high / 2 for low, high in bin_bounds(edges)]


def context_token(column: str, value: str) -> str:
    """Token of one value of a column.

    Example:
        >>> context_token("site", "north")
        '<context:site=north>'
    """
    return f"<context:{column}={value}>"


def context_tokens(values: Mapping[str, Sequence[str]]) -> list[str]:
    """Tokens of all values of all columns, in their order.

    Example:
        >>> context_tokens({"site": ["north", "south"]})
        ['<context:site=north>', '<context:site=south>']
    """
    return [context_token(column, value) for column, known in values.items() for value in known]


def known_values(contexts: Sequence[Sequence[tuple[str, str]]]) -> dict[str, list[str]]:
    """The values that each column has in some sequences, in alphabetical order.

    Example:
        >>> known_values([(("site", "south"),), (("site", "north"),)])
        {'site': ['north', 'south']}
    """
    found: dict[str, set[str]] = {}
    for context in contexts:
        for column, value in context:
            found.setdefault(column, set()).add(value)
    return {column: sorted(values) for column, values in found.items()}


def separator(events: Iterable[str]) -> PreTokenizer | None:
    r"""What parts a text into events where a tokenizer is given text: white space, or lines where names hold blanks.

    Example:
        >>> [part for part, _ in separator(["6", "11"]).pre_tokenize_str("11 6")]
        ['11', '6']
        >>> [part for part, _ in separator(["disk full"]).pre_tokenize_str("disk full\ndisk full")]
        ['disk full', 'disk full']
    """
    held = set("".join(events))
    if not any(char.isspace() for char in held):
        return WhitespaceSplit()
    return None if "\n" in held else Split("\n", behavior="removed")
