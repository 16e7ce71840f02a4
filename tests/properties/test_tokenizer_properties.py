"""What holds for every vocabulary."""

from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hf_trace.logs.sequence import EventSequence
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.tokenizers.stored_tokenizer import SPECIAL_TOKENS

# Anything UTF-8 can write, but for the names that are taken.
NAME = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12),
    st.sampled_from(["[PAD] ", "pre[BOS]post", "[unk]", "[UNK][UNK]", "<gap:0>x", " ", "\x1f", "e\u0301", "é"]),
).filter(lambda name: name not in SPECIAL_TOKENS and not name.startswith("<gap:"))
VOCABULARY = st.lists(NAME, min_size=1, max_size=12, unique=True)
EDGES = st.lists(st.floats(1e-6, 1e9), max_size=6, unique=True).map(lambda edges: [0.0, *sorted(edges)])


@st.composite
def vocabulary_and_sequence(draw):
    names = draw(VOCABULARY)
    events = draw(st.lists(st.sampled_from(names), max_size=20))
    times = np.cumsum(draw(st.lists(st.floats(0, 1e6), min_size=len(events), max_size=len(events))))
    return names, events, times.tolist()


@settings(deadline=None)
@given(vocabulary_and_sequence(), st.none() | EDGES, st.booleans())
def test_decoding_undoes_encoding(drawn, edges, end):
    names, sequence = drawn[0], EventSequence(tuple(drawn[1]), tuple(drawn[2]))
    tokenizer = EventTokenizer.from_event_types(names, gap_edges=edges or ())
    encoded = tokenizer.encode(sequence, end=end)
    assert tokenizer.decode(encoded) == sequence.events
    gaps = max(0, len(sequence) - 1) if edges else 0
    assert len(encoded.input_ids) == 1 + len(sequence) + gaps + end


@settings(deadline=None, max_examples=50)
@given(vocabulary_and_sequence(), st.none() | EDGES)
def test_the_disk_changes_nothing(drawn, edges):
    names, sequence = drawn[0], EventSequence(tuple(drawn[1]), tuple(drawn[2]))
    tokenizer = EventTokenizer.from_event_types(names, counts=range(1, len(names) + 1), gap_edges=edges or ())
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        again, auto = EventTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert (again.event_types, again.gap_edges) == (tuple(names), tuple(edges or ()))
    assert again.frequencies.tolist() == tokenizer.frequencies.tolist()
    expected = tokenizer.encode(sequence).input_ids.tolist()
    assert again.encode(sequence).input_ids.tolist() == expected
    if not edges and sequence.events:
        assert auto(list(sequence.events), is_split_into_words=True)["input_ids"] == expected


@settings(deadline=None)
@given(VOCABULARY, st.permutations(range(12)))
def test_renaming_keeps_the_ids(names, order):
    shuffled = [names[index] for index in order if index < len(names)]
    first, second = (EventTokenizer.from_event_types(some) for some in (names, shuffled))
    renamed = dict(zip(names, shuffled, strict=True))
    encoded = first.encode(EventSequence(tuple(names)))
    assert second.encode(EventSequence(tuple(renamed[name] for name in names))).input_ids.tolist() == (
        encoded.input_ids.tolist()
    )
