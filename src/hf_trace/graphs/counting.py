"""What counting alone tells: scores of causal pairs, and how well the next event is predicted."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hf_trace.checks import whole
from hf_trace.errors import EmptyLogError, UnknownEventError

Codes = Int[np.ndarray, " event"]
Offsets = Int[np.ndarray, " edge"]
Scores = Float[np.ndarray, "cause effect"]


def bigram_adjacency(codes: Codes, offsets: Offsets, n_types: int, *, max_lag: int) -> Scores:
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
    effects = np.flatnonzero(np.arange(len(codes)) > _starts(codes, offsets))
    counts = _count_pairs(codes[effects - 1], codes[effects], n_types)
    share = np.bincount(codes, minlength=n_types) / max(len(codes), 1)
    followed = counts.sum(axis=1, keepdims=True)
    return np.where(followed > 0, counts / np.maximum(followed, 1) - share, 0.0)


def windowed_cooccurrence(codes: Codes, offsets: Offsets, n_types: int, *, max_lag: int) -> Scores:
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


def cooccurrence_lift(codes: Codes, offsets: Offsets, n_types: int, *, max_lag: int) -> Scores:
    r"""Ratio of the probability of the effect soon after the cause to that soon after any event.

    .. math:: P(v \in X_{t+1..t+m} \mid X_t = u) \; / \; P(v \in X_{t+1..t+m})

    Arguments as for ``windowed_cooccurrence``.

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
    after_cause: Scores
    after_any: Float[np.ndarray, " effect"]
    occurs: np.ndarray


def _windows(codes: Codes, offsets: Offsets, n_types: int, max_lag: int) -> _Windows:
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


def _starts(codes: Codes, offsets: Offsets) -> Codes:
    return np.repeat(offsets[:-1], np.diff(offsets)).astype(np.int64)


def _count_pairs(causes: Int[np.ndarray, " pair"], effects: Int[np.ndarray, " pair"], n_types: int) -> Scores:
    cells = causes.astype(np.int64) * n_types + effects
    return np.bincount(cells, minlength=n_types * n_types).reshape(n_types, n_types).astype(np.float64)


def _previous_of_type(codes: Codes, starts: Codes) -> Codes:
    """Position of the same event type before each event in its sequence, or -1."""
    order = np.lexsort((np.arange(len(codes)), codes, starts))
    same = (codes[order][1:] == codes[order][:-1]) & (starts[order][1:] == starts[order][:-1])
    previous = np.full(len(codes), -1, dtype=np.int64)
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _check_log(codes: Codes, offsets: Offsets, n_types: int, max_lag: int) -> None:
    whole("max_lag", max_lag)
    _check_codes(codes, n_types)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(codes) or (np.diff(offsets) < 0).any():
        raise ValueError(f"`offsets` must rise from 0 to the number of events, {len(codes)}.")


def _check_codes(codes: Codes, n_types: int) -> None:
    outside = codes[(codes < 0) | (codes >= n_types)]
    if len(outside):
        raise UnknownEventError(f"Event code {outside.max()} is out of range, expected 0 to {n_types - 1}.")


def unigram_loss(
    train_codes: Int[np.ndarray, " train"],
    train_offsets: Int[np.ndarray, " train_edge"],
    valid_codes: Int[np.ndarray, " valid"],
    valid_offsets: Int[np.ndarray, " valid_edge"],
    n_types: int,
) -> float:
    r"""Loss of the model that knows only how frequent every event type is.

    .. math:: p(v) = (c(v) + 1) / (N + |X|)

    Args:
        train_codes: Event types to count, 0 to ``n_types - 1``.
        train_offsets: Where each sequence starts, and the number of events at the end.
        valid_codes: Event types to predict.
        valid_offsets: The same for these.
        n_types: Number of event types.

    Returns:
        Mean of ``-log p`` over the events to predict, in nats.

    Raises:
        EmptyLogError: If there is no event to predict.
        UnknownEventError: If a code is not below ``n_types``.

    Example:
        >>> start = np.array([0, 3])
        >>> loss = unigram_loss(np.array([0, 0, 1]), start, np.array([0, 0, 0]), start, 2)
        >>> round(float(np.exp(-loss)), 4)  # (2 + 1) / (3 + 2)
        0.6
    """
    _check(train_codes, valid_codes, n_types)
    return float(-np.log(_unigram(train_codes, n_types)[valid_codes]).mean())


def bigram_loss(
    train_codes: Int[np.ndarray, " train"],
    train_offsets: Int[np.ndarray, " train_edge"],
    valid_codes: Int[np.ndarray, " valid"],
    valid_offsets: Int[np.ndarray, " valid_edge"],
    n_types: int,
) -> float:
    r"""Loss of the model that knows the event before, with Witten-Bell smoothing.

    .. math:: p(v \mid u) = \frac{c(u, v) + T(u) \, p(v)}{c(u) + T(u)}

    :math:`T(u)` is the number of different types seen after ``u`` and :math:`p(v)` the smoothed unigram. The
    first event of a sequence follows a context of its own; after an unseen context the unigram is used.

    Arguments as for ``unigram_loss``.

    Returns:
        Mean of ``-log p`` over the events to predict, in nats.

    Raises:
        EmptyLogError: If there is no event to predict.
        UnknownEventError: If a code is not below ``n_types``.

    Example:
        >>> train, start = np.array([0, 1]), np.array([0, 2])
        >>> loss = bigram_loss(train, start, train, start, 2)  # both (1 + 1 * 1/2) / (1 + 1)
        >>> round(float(np.exp(-loss)), 4)
        0.75
    """
    _check(train_codes, valid_codes, n_types)
    seen, counts = np.unique(_pair_keys(train_codes, train_offsets, n_types), return_counts=True)
    contexts = seen // n_types
    totals = np.bincount(contexts, weights=counts, minlength=n_types + 1)
    kinds = np.bincount(contexts, minlength=n_types + 1)

    keys = _pair_keys(valid_codes, valid_offsets, n_types)
    context = keys // n_types
    unigram = _unigram(train_codes, n_types)[valid_codes]
    smoothed = _lookup(seen, counts, keys) + kinds[context] * unigram
    mass = totals[context] + kinds[context]
    return float(-np.log(np.where(mass > 0, smoothed / np.maximum(mass, 1), unigram)).mean())


def _unigram(codes: Codes, n_types: int) -> Float[np.ndarray, " type"]:
    return (np.bincount(codes, minlength=n_types) + 1) / (len(codes) + n_types)


def _pair_keys(codes: Codes, offsets: Offsets, n_types: int) -> Codes:
    """One number per event for its context and itself; the context of a first event is ``n_types``."""
    contexts: Codes = np.empty(len(codes), dtype=np.int64)
    contexts[1:] = codes[:-1]
    contexts[offsets[:-1][np.diff(offsets) > 0]] = n_types
    return np.asarray(contexts * n_types + codes)


def _lookup(seen: Int[np.ndarray, " pair"], counts: Int[np.ndarray, " pair"], keys: Codes) -> Codes:
    if not len(seen):
        return np.zeros(len(keys), dtype=np.int64)
    places = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
    return np.where(seen[places] == keys, counts[places], 0)


def _check(train_codes: Int[np.ndarray, " train"], valid_codes: Int[np.ndarray, " valid"], n_types: int) -> None:
    if not len(valid_codes):
        raise EmptyLogError("There is no event to predict, expected at least one.")
    _check_codes(train_codes, n_types)
    _check_codes(valid_codes, n_types)
