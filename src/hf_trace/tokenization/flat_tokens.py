"""Token ids of whole logs at once, without a Python object per event."""

import numpy as np
from numpy.typing import NDArray

from hf_trace.data.log import EventLog
from hf_trace.errors import TimestampError
from hf_trace.tokenization.event_tokenizer import EventTokenizer


def flat_tokens(
    tokenizer: EventTokenizer, log: EventLog, *, end: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All sequences as ``EventTokenizer.encode`` writes them, end to end; unknown events are read as unknown.

    Args:
        tokenizer: The vocabulary.
        log: Sequences of at least one event.
        end: Whether to close each with the end token.

    Returns:
        Token ids, and offsets: sequence ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.

    Raises:
        TimestampError: If gaps are written and the log has no timestamps.

    Example:
        >>> from hf_trace.data.sequence import EventSequence
        >>> log = EventLog.from_sequences([EventSequence(("b", "a")), EventSequence(("b",))])
        >>> tokens, offsets = flat_tokens(EventTokenizer.from_event_types(["a", "b"]), log)
        >>> tokens.tolist(), offsets.tolist()
        ([1, 5, 4, 1, 5], [0, 3, 5])
    """
    special = tokenizer.tokenizer
    starts = [] if special.bos_token_id is None else [special.bos_token_id]
    known = dict(zip(tokenizer.event_types, tokenizer.event_ids.tolist(), strict=True))
    ids = np.array([known.get(name, special.unk_token_id) for name in log.event_types], dtype=np.int64)
    per_event = tokenizer.tokens_per_event()
    lengths = log.sequence_lengths
    body = per_event * lengths - (per_event - 1)
    offsets = np.concatenate([[0], np.cumsum(body + len(starts) + end)]).astype(np.int64)
    within = np.arange(len(log.codes)) - np.repeat(log.offsets[:-1], lengths)
    places = np.repeat(offsets[:-1] + len(starts), lengths) + per_event * within
    tokens = np.empty(offsets[-1], dtype=np.int64)
    tokens[places] = ids[log.codes]
    if starts:
        tokens[offsets[:-1]] = starts[0]
    if end:
        tokens[offsets[1:] - 1] = special.eos_token_id
    if tokenizer.writes_gaps:
        later = within > 0
        tokens[places[later] - 1] = tokenizer.gap_ids[_bins(tokenizer, log)[later]]
    return tokens, offsets


def _bins(tokenizer: EventTokenizer, log: EventLog) -> NDArray[np.int64]:
    if log.timestamps is None:
        raise TimestampError(
            "The vocabulary has the time between events, but the log has no timestamps. Name their column with "
            "`--time-column`, or leave out `--gaps`."
        )
    gaps = np.diff(log.timestamps, prepend=0.0)
    found: NDArray[np.int64] = np.searchsorted(np.asarray(tokenizer.gap_edges), gaps, side="left")
    return found
