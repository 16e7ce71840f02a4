r"""Scores of causal pairs from counts alone: what a language model has to beat.

Every baseline reads an event log as one array of event types and the offsets of its sequences, and returns
``scores[cause, effect]``; larger means more surely an edge. Windows never reach into the next sequence.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hf_trace.errors import SettingsError, UnknownEventError


def bigram_adjacency(
    codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"], n_types: int, *, max_lag: int
) -> Float[np.ndarray, "cause effect"]:
    r"""How much more probable the effect is right after the cause than anywhere.

    .. math:: P(X_{t+1} = v \mid X_t = u) - P(X = v)

    Args:
        codes: Event type of every event, 0 to ``n_types - 1``, sequence after sequence.
        offsets: Where each sequence starts in ``codes``, and the number of events at the end.
        n_types: Number of event types.
        max_lag: Not used; only the next event counts.

    Returns:
        Differences of probabilities, -1 to 1; rows of types that nothing follows are 0.

    Raises:
        UnknownEventError: If a code is not below ``n_types``.

    Example:
        >>> log = np.array([0, 1, 0, 1])  # 1 always follows 0, and is half of all events
        >>> bigram_adjacency(log, np.array([0, 4]), 2, max_lag=1).tolist()
        [[-0.5, 0.5], [0.5, -0.5]]
    """
    _check_log(codes, offsets, n_types, max_lag)
    causes, effects = _pairs_at(codes, _starts(codes, offsets), 1)
    counts = _count_pairs(causes, effects, n_types)
    share = np.bincount(codes, minlength=n_types) / max(len(codes), 1)
    followed = counts.sum(axis=1, keepdims=True)
    return np.where(followed > 0, counts / np.maximum(followed, 1) - share, 0.0)


def windowed_cooccurrence(
    codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"], n_types: int, *, max_lag: int
) -> Float[np.ndarray, "cause effect"]:
    r"""How much more probable the effect is within ``max_lag`` events after the cause than after any event.

    .. math:: P(v \in X_{t+1..t+m} \mid X_t = u) - P(v \in X_{t+1..t+m})

    Args:
        codes: Event type of every event, 0 to ``n_types - 1``, sequence after sequence.
        offsets: Where each sequence starts in ``codes``, and the number of events at the end.
        n_types: Number of event types.
        max_lag: Length of the window after the cause, in events; at the end of a sequence it is cut.

    Returns:
        Differences of probabilities, -1 to 1; rows of types that never occur are 0.

    Raises:
        UnknownEventError: If a code is not below ``n_types``.
        SettingsError: If ``max_lag`` is below 1.

    Example:
        >>> log = np.array([0, 1, 1, 2])  # 2 is near after every 1, and after half of all events
        >>> float(windowed_cooccurrence(log, np.array([0, 4]), 3, max_lag=2)[1, 2])
        0.5
    """
    windows = _windows(codes, offsets, n_types, max_lag)
    return np.where(windows.occurs[:, None], windows.after_cause - windows.after_any, 0.0)


def cooccurrence_lift(
    codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"], n_types: int, *, max_lag: int
) -> Float[np.ndarray, "cause effect"]:
    r"""Ratio of the probability of the effect soon after the cause to that soon after any event.

    .. math:: P(v \in X_{t+1..t+m} \mid X_t = u) \; / \; P(v \in X_{t+1..t+m})

    Args:
        codes: Event type of every event, 0 to ``n_types - 1``, sequence after sequence.
        offsets: Where each sequence starts in ``codes``, and the number of events at the end.
        n_types: Number of event types.
        max_lag: Length of the window after the cause, in events; at the end of a sequence it is cut.

    Returns:
        Ratios, 0 or more; 1 where there is nothing to compare.

    Raises:
        UnknownEventError: If a code is not below ``n_types``.
        SettingsError: If ``max_lag`` is below 1.

    Example:
        >>> log = np.array([0, 1, 1, 2])
        >>> float(cooccurrence_lift(log, np.array([0, 4]), 3, max_lag=2)[1, 2])
        2.0
    """
    windows = _windows(codes, offsets, n_types, max_lag)
    known = windows.occurs[:, None] & (windows.after_any > 0)
    return np.where(known, windows.after_cause / np.where(windows.after_any > 0, windows.after_any, 1.0), 1.0)


class _Windows(NamedTuple):
    after_cause: Float[np.ndarray, "cause effect"]
    after_any: Float[np.ndarray, " effect"]
    occurs: np.ndarray


def _windows(
    codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"], n_types: int, max_lag: int
) -> _Windows:
    _check_log(codes, offsets, n_types, max_lag)
    starts = _starts(codes, offsets)
    previous = _previous_of_type(codes, starts)
    counts = np.zeros((n_types, n_types))
    longest = int(np.diff(offsets).max(initial=0))
    for lag in range(1, min(max_lag, longest - 1) + 1):
        effects = np.flatnonzero(np.arange(len(codes)) - lag >= starts)
        # An effect that happens twice in a window counts once: at its first time after the cause.
        effects = effects[previous[effects] <= effects - lag]
        counts += _count_pairs(codes[effects - lag], codes[effects], n_types)
    occurrences = np.bincount(codes, minlength=n_types)
    after_any = counts.sum(axis=0) / max(len(codes), 1)
    return _Windows(counts / np.maximum(occurrences, 1)[:, None], after_any, occurrences > 0)


def _starts(codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"]) -> Int[np.ndarray, " event"]:
    return np.repeat(offsets[:-1], np.diff(offsets)).astype(np.int64)


def _pairs_at(
    codes: Int[np.ndarray, " event"], starts: Int[np.ndarray, " event"], lag: int
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    effects = np.flatnonzero(np.arange(len(codes)) - lag >= starts)
    return codes[effects - lag], codes[effects]


def _count_pairs(
    causes: Int[np.ndarray, " pair"], effects: Int[np.ndarray, " pair"], n_types: int
) -> Float[np.ndarray, "cause effect"]:
    cells = causes.astype(np.int64) * n_types + effects
    return np.bincount(cells, minlength=n_types * n_types).reshape(n_types, n_types).astype(np.float64)


def _previous_of_type(
    codes: Int[np.ndarray, " event"], starts: Int[np.ndarray, " event"]
) -> Int[np.ndarray, " event"]:
    """Position of the same event type before each event in its sequence, or -1."""
    order = np.lexsort((np.arange(len(codes)), codes, starts))
    same = (codes[order][1:] == codes[order][:-1]) & (starts[order][1:] == starts[order][:-1])
    previous = np.full(len(codes), -1, dtype=np.int64)
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _check_log(
    codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"], n_types: int, max_lag: int
) -> None:
    if max_lag < 1:
        raise SettingsError(f"Got `max_lag` {max_lag}. Expected at least 1 event.")
    if len(codes) and not 0 <= codes.min() <= codes.max() < n_types:
        wrong = codes.max() if codes.max() >= n_types else codes.min()
        raise UnknownEventError(
            f"Got the event code {wrong} with `n_types` {n_types}. Expected 0 to {n_types - 1}."
        )
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(codes) or (np.diff(offsets) < 0).any():
        raise ValueError(f"`offsets` must rise from 0 to the number of events, {len(codes)}.")


Baseline = Callable[..., Float[np.ndarray, "cause effect"]]

BASELINES: dict[str, Baseline] = {
    "bigram": bigram_adjacency,
    "cooccurrence": windowed_cooccurrence,
    "lift": cooccurrence_lift,
}
