r"""Next-event losses of count models: how good a language model is has to be said beside these.

Both models are fitted on one log and read on another; a model that does not beat the bigram has learned no
more than pairs of neighbours. Losses are in nats per event.
"""

import numpy as np
from jaxtyping import Float, Int

from hf_trace.errors import EmptyLogError, UnknownEventError


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


def _unigram(codes: Int[np.ndarray, " event"], n_types: int) -> Float[np.ndarray, " type"]:
    return (np.bincount(codes, minlength=n_types) + 1) / (len(codes) + n_types)


def _pair_keys(
    codes: Int[np.ndarray, " event"], offsets: Int[np.ndarray, " edge"], n_types: int
) -> Int[np.ndarray, " event"]:
    """One number per event for its context and itself; the context of a first event is ``n_types``."""
    contexts: Int[np.ndarray, " event"] = np.empty(len(codes), dtype=np.int64)
    contexts[1:] = codes[:-1]
    contexts[offsets[:-1][np.diff(offsets) > 0]] = n_types
    return np.asarray(contexts * n_types + codes)


def _lookup(
    seen: Int[np.ndarray, " pair"], counts: Int[np.ndarray, " pair"], keys: Int[np.ndarray, " event"]
) -> Int[np.ndarray, " event"]:
    if not len(seen):
        return np.zeros(len(keys), dtype=np.int64)
    places = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
    return np.where(seen[places] == keys, counts[places], 0)


def _check(
    train_codes: Int[np.ndarray, " train"], valid_codes: Int[np.ndarray, " valid"], n_types: int
) -> None:
    if not len(valid_codes):
        raise EmptyLogError("There is no event to predict. Give a log with at least one event.")
    largest = max(int(valid_codes.max()), int(train_codes.max(initial=0)))
    if largest >= n_types:
        raise UnknownEventError(
            f"Got the event code {largest} with `n_types` {n_types}. Expected 0 to {n_types - 1}."
        )
