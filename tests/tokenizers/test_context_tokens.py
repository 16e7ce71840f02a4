"""Contexts as tokens at the beginning of every sequence."""

import pytest
from transformers import AutoTokenizer

from hf_trace.errors import ColumnError, EventNameError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

SITES = [(("site", "north"), ("size", "")), (("site", "south"), ("size", "2"))]
LOG = EventLog.from_sequences(EventSequence(("a", "b"), (0.0, 5.0), context=context) for context in (*SITES, SITES[0]))


@pytest.mark.parametrize("gaps", [False, True])
def test_they_stand_after_the_start_and_before_the_events(gaps):
    tokenizer = EventTokenizer.from_log(LOG, gaps=gaps)
    names = {index: name for name, index in tokenizer.vocabulary.items()}
    encoded = tokenizer.encode(LOG[1], end=True)
    words = [names[index] for index in encoded.input_ids.tolist()]
    assert words[:4] == ["[BOS]", "<context:site=south>", "<context:size=2>", "a"]
    assert tokenizer.decode(encoded) == ("a", "b")
    assert tokenizer.event_types == ("a", "b")
    # 3 tokens before the events, then 1 or 2 each.
    assert tokenizer.most_events(11) == (4 if gaps else 8)


def test_unseen_values_are_unknown_and_further_columns_unread():
    tokenizer = EventTokenizer.from_log(LOG, gaps=False)
    context = (("shift", "late"), ("size", "2"), ("site", "west"))
    ids = tokenizer.encode(EventSequence(("a",), context=context)).input_ids.tolist()
    assert ids[:2] == [tokenizer.tokenizer.bos_token_id, tokenizer.tokenizer.unk_token_id]
    assert ids[2] == tokenizer.vocabulary["<context:size=2>"]


def test_a_sequence_without_them_is_refused():
    tokenizer = EventTokenizer.from_log(LOG, gaps=False)
    message = "trained with the context 'site', 'size', and the sequence 'x' lacks 'size'"
    with pytest.raises(ColumnError, match=message):
        tokenizer.encode(EventSequence(("a",), id="x", context=(("site", "north"),)))


def test_they_are_saved_and_loaded(tmp_path):
    tokenizer = EventTokenizer.from_log(LOG)
    tokenizer.save_pretrained(tmp_path)
    again = EventTokenizer.from_pretrained(tmp_path)
    assert again.contexts == {"site": ["north", "south"], "size": ["", "2"]}
    assert again.encode(LOG[0]).input_ids.tolist() == tokenizer.encode(LOG[0]).input_ids.tolist()
    assert again.agrees_with(AutoTokenizer.from_pretrained(tmp_path))


def test_no_event_has_such_a_name():
    with pytest.raises(EventNameError, match="has the name of a special token"):
        EventTokenizer.from_event_types(["<context:site=a>"], contexts={"site": ["a"]})
