"""Effects in the additive model of the next event: what all events of a type add to the prediction of every other."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from hf_trace.logs.log import EventLog
from hf_trace.options import SEED
from hf_trace.oracle.additive_model import AdditiveYardstick, TimedEvents, fit_additive

# Places looked at for each cause, drawn at random where there are more.
_MOST_PLACES = 5_000


def additive_effects(
    log: EventLog, *, seed: int = SEED.default, advance: Callable[[float], None] = lambda _: None
) -> Float[np.ndarray, "cause effect"]:
    r"""Expected events more per occurrence of a cause, when all its recent events are known to the additive model.

    .. math:: \frac{1}{n_u} \sum_{q:\, u \in \text{past}(q)} p(v \mid \text{past}_q) - p(v \mid \text{past}_q
        \setminus u)

    Args:
        log: With times; without, positions count.
        seed: Of the fit, and of the places where there are many.
        advance: Called with the share that is done, 0 to 1.

    Raises:
        EmptyLogError: If there are fewer than two sequences to learn from.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(tuple("ab" * 8 + "c" * 8))] * 12)
        >>> scores = additive_effects(log)
        >>> scores.shape, bool(scores[0, 1] > scores[2, 1])  # a is followed by b, c is not
        ((3, 3), True)
    """
    events = TimedEvents(log.codes, log.offsets, log.timestamps)
    types = len(log.event_types)
    model = fit_additive(events, types, seed=seed)
    counted, table = model.counted(events).tocsc(), model.table().detach().numpy()
    logits = model.start.numpy() + counted @ table
    counts = np.maximum(np.bincount(model.class_of[log.codes], minlength=len(model.start)), 1)
    scores = np.zeros((len(model.start),) * 2)
    generator = np.random.default_rng(seed)
    for cause in range(len(scores)):
        rows = _rows_of(model, cause)
        parts = counted[:, rows].tocsr()
        places = np.flatnonzero(np.diff(parts.indptr))
        share = 1.0
        if len(places) > _MOST_PLACES:
            share = len(places) / _MOST_PLACES
            places = generator.choice(places, _MOST_PLACES, replace=False)
        known = logits[places]
        gain = _softmax(known) - _softmax(known - parts[places] @ table[rows])
        scores[cause] = share * gain.sum(axis=0) / counts[cause]
        advance((cause + 1) / len(scores))
    return scores[np.ix_(model.class_of, model.class_of)]


def _rows_of(model: AdditiveYardstick, cause: int) -> np.ndarray:
    """The rows of the table that a class of types adds: of the time since, in bins, and of being the last event."""
    classes, bins = len(model.start), len(model.edges) + 1
    return np.append(np.arange(cause * bins, (cause + 1) * bins), classes * bins + bins + 1 + cause)


def _softmax(logits: np.ndarray) -> np.ndarray:
    found: np.ndarray = torch.from_numpy(logits).softmax(-1).numpy()
    return found
