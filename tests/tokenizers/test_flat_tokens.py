"""Whole logs as tokens are what ``encode`` makes of each sequence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.tokenizers.event_tokenizer import EventTokenizer, flat_tokens

sequences = st.lists(
    st.lists(st.tuples(st.sampled_from("abcx"), st.integers(0, 50)), min_size=1, max_size=6), min_size=1, max_size=6
)


@settings(deadline=None)
@given(sequences, st.booleans(), st.booleans())
def test_tokens_are_those_of_encode(lists, gaps, end):
    tokenizer = EventTokenizer.from_event_types("abc", gap_edges=[0.0, 3.0, 20.0] if gaps else [])
    log = EventLog.from_sequences(
        EventSequence(tuple(name for name, _ in each), tuple(sorted(float(time) for _, time in each))) for each in lists
    )
    tokens, offsets = flat_tokens(tokenizer, log, end=end)
    expected = [tokenizer.encode(sequence, unknown="map", end=end).input_ids for sequence in log]
    assert tokens.tolist() == np.concatenate(expected).tolist()
    assert np.diff(offsets).tolist() == list(map(len, expected))


def test_gaps_need_times():
    log = EventLog.from_sequences([EventSequence(("a", "b"))])
    with pytest.raises(TimestampError, match="the log has no timestamps"):
        flat_tokens(EventTokenizer.from_event_types("ab", gap_edges=[0.0]), log)
