"""Vocabularies of event types, as ids and as a Transformers tokenizer."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hf_trace.errors import EventNameError, ModelLoadError, TimestampError, UnknownEventError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs.folders import save_run
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import build_model

ODD_NAMES = (
    *("disk full", " padded ", "été", "e\u0301te\u0301", "日本語", "🔥 fire", "a:b", "tab\there", "line\nbreak"),
    *("return\rhere", "x" * 2000, "[PAD]x", "pre[BOS]post", "[UNK][UNK]", "[pad]", "<gap:0>", "<s>", "##ing"),
    *('{"json": 1}', "\x1f", "\u200b", "Ġword", "▁word", "007", "a", "A"),
)
EVENTS = ("reboot", "disk full", "[PAD]x", "🔥 fire")


def sequence(*events, times=None):
    return EventSequence(events, None if times is None else tuple(map(float, times)))


def refused(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_odd_names_round_trip():
    tokenizer = EventTokenizer.from_event_types(ODD_NAMES)
    encoded = tokenizer.encode(sequence(*ODD_NAMES))
    # Four special tokens come first, and every sequence starts with [BOS].
    assert encoded.input_ids.tolist() == [1, *range(4, 4 + len(ODD_NAMES))]
    assert tokenizer.decode(encoded) == ODD_NAMES


@given(st.data(), st.sampled_from([(), (1.0, 10.0)]), st.booleans())
def test_events_leave_what_is_written_as_they_leave_a_sequence(data, edges, with_context):
    events = data.draw(st.lists(st.sampled_from((*EVENTS, "unknown")), min_size=1, max_size=9))
    taken = np.array(data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events))))
    times = tuple(float(at * at) for at in range(len(events)))
    whole = EventSequence(tuple(events), times, context=(("site", "north"),))
    contexts = {"site": ["north", "south"]} if with_context else None
    tokenizer = EventTokenizer.from_event_types(EVENTS, gap_edges=edges, contexts=contexts)
    found = tokenizer.without(tokenizer.encode(whole, unknown="map"), whole.timestamps, taken)
    expected = tokenizer.encode(whole.without(taken), unknown="map")
    assert found.input_ids.tolist() == expected.input_ids.tolist()
    assert found.event_positions.tolist() == expected.event_positions.tolist()


def test_odd_names_survive_the_disk(tmp_path):
    tokenizer = EventTokenizer.from_event_types(ODD_NAMES, counts=range(1, len(ODD_NAMES) + 1))
    tokenizer.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    again = EventTokenizer.from_pretrained(tmp_path)
    assert again.event_types == ODD_NAMES
    assert again.vocabulary == tokenizer.vocabulary
    assert again.frequencies.tolist() == tokenizer.frequencies.tolist()
    assert again.encode(sequence(*ODD_NAMES)).input_ids.tolist() == [1, *range(4, 4 + len(ODD_NAMES))]


def test_odd_names_through_auto_tokenizer(tmp_path):
    tokenizer = EventTokenizer.from_event_types(ODD_NAMES)
    tokenizer.save_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)(list(ODD_NAMES), is_split_into_words=True)["input_ids"]
    assert ids == tokenizer.encode(sequence(*ODD_NAMES)).input_ids.tolist()


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "qwen2", "mistral", "bert", "gpt_neox", "opt", "mamba"])
def test_auto_tokenizer_beside_any_model_type(tmp_path, model_type):
    tokenizer = EventTokenizer.from_event_types(EVENTS)
    save_run(tmp_path, build_model(tokenizer, context_length=16, model=model_type), tokenizer)

    loaded = AutoTokenizer.from_pretrained(tmp_path)
    expected = tokenizer.encode(sequence(*EVENTS)).input_ids.tolist()
    assert loaded(list(EVENTS), is_split_into_words=True)["input_ids"] == expected
    assert loaded.convert_tokens_to_ids(list(EVENTS)) == expected[1:]
    assert len(loaded) == len(tokenizer)
    assert EventTokenizer(loaded).event_types == EVENTS
    assert EventTokenizer.from_pretrained(tmp_path).event_types == EVENTS


@pytest.mark.parametrize("name", ["[PAD]", "[BOS]", "[EOS]", "[UNK]"])
def test_reserved_names_are_refused(name):
    assert refused(EventNameError, EventTokenizer.from_event_types, ["a", name]) == (
        f"The event type '{name}' has the name of a special token. Expected names other than [PAD], [BOS], [EOS], "
        "[UNK] and <gap:N>; rename it in the log."
    )


def test_gap_names_are_reserved_only_where_gaps_are_written():
    assert EventTokenizer.from_event_types(["<gap:0>"]).event_types == ("<gap:0>",)
    assert refused(EventNameError, EventTokenizer.from_event_types, ["<gap:1>"], gap_edges=[0.0]) == (
        "The event type '<gap:1>' has the name of a special token. Expected names other than [PAD], [BOS], [EOS], "
        "[UNK] and <gap:N>; rename it in the log."
    )


def test_empty_and_repeated_names_are_refused():
    assert refused(EventNameError, EventTokenizer.from_event_types, ["a", ""]) == (
        "An event type has an empty name. Expected a name; fill it in or drop the rows."
    )
    assert refused(EventNameError, EventTokenizer.from_event_types, ["a", "b", "a"]) == (
        "The event type 'a' is listed twice. Expected distinct names."
    )


def test_unknown_events_are_refused_with_the_first_place():
    tokenizer = EventTokenizer.from_event_types(["a", "b"])
    assert refused(UnknownEventError, tokenizer.encode, sequence("a", "x", "b", "y", "x")) == (
        "2 events are not in the model's vocabulary of 2 types: 'x', 'y' (first at position 1). Train on a log that "
        'has them, or pass unknown="map" (`--unknown map`) to read them as unknown.'
    )
    assert refused(UnknownEventError, tokenizer.encode, sequence("x")) == (
        "1 event is not in the model's vocabulary of 2 types: 'x' (first at position 0). Train on a log that has "
        'them, or pass unknown="map" (`--unknown map`) to read them as unknown.'
    )


@pytest.mark.parametrize("name", ["[UNK]", "[BOS]", "[PAD]", ""])
def test_special_tokens_are_no_events(name):
    with pytest.raises(UnknownEventError):
        EventTokenizer.from_event_types(["a"]).encode(sequence("a", name))


def test_unknown_events_can_be_mapped():
    tokenizer = EventTokenizer.from_event_types(["a", "b"])
    encoded = tokenizer.encode(sequence("b", "x", "a"), unknown="map")
    assert encoded.input_ids.tolist() == [1, 5, 3, 4]
    assert encoded.event_positions.tolist() == [1, 2, 3]
    assert tokenizer.decode(encoded) == ("b", "[UNK]", "a")


def test_end_token_is_no_event():
    encoded = EventTokenizer.from_event_types(["a"]).encode(sequence("a"), end=True)
    assert (encoded.input_ids.tolist(), encoded.event_positions.tolist()) == ([1, 4, 2], [1])


def test_empty_sequence():
    for edges in ([], [0.0]):
        encoded = EventTokenizer.from_event_types(["a"], gap_edges=edges).encode(sequence(times=[]))
        assert (encoded.input_ids.tolist(), encoded.event_positions.tolist()) == ([1], [])


def test_gaps_are_written_between_events():
    tokenizer = EventTokenizer.from_event_types(["a", "b"], gap_edges=[0.0, 10.0])
    # Ids: [PAD] 0, [BOS] 1, [EOS] 2, [UNK] 3, a 4, b 5, <gap:0> 6, <gap:1> 7, <gap:2> 8.
    encoded = tokenizer.encode(sequence("a", "b", "a", "b", times=[0, 0, 10, 99]), end=True)
    assert encoded.input_ids.tolist() == [1, 4, 6, 5, 7, 4, 8, 5, 2]
    assert encoded.event_positions.tolist() == [1, 3, 5, 7]
    assert tokenizer.decode(encoded) == ("a", "b", "a", "b")
    assert tokenizer.event_types == ("a", "b")
    assert tokenizer.tokens_per_event() == 2


def test_gaps_need_timestamps():
    tokenizer = EventTokenizer.from_event_types(["a"], gap_edges=[0.0])
    assert refused(TimestampError, tokenizer.encode, sequence("a", "a")) == (
        "The model was trained with the time between events, but the sequence has no timestamps. Pass `timestamps` "
        "(seconds, one per event), or train with `--no-gaps`."
    )


@pytest.mark.parametrize(("edges", "per_event"), [([], 1), ([0.0, 1.0], 2)])
def test_most_events_is_the_longest_sequence_that_fits(edges, per_event):
    tokenizer = EventTokenizer.from_event_types(["a"], gap_edges=edges)
    assert tokenizer.tokens_per_event() == per_event
    for context_length in range(2, 12):
        most = tokenizer.most_events(context_length)
        for events, fits in ((most, True), (most + 1, False)):
            encoded = tokenizer.encode(sequence(*"a" * events, times=range(events)))
            assert (len(encoded.input_ids) <= context_length) is fits


def test_vocabulary_of_a_log():
    log = EventLog.from_sequences([sequence("b", "a", "b"), sequence("b", "c")])
    tokenizer = EventTokenizer.from_log(log)
    assert tokenizer.event_types == ("a", "b", "c")
    assert tokenizer.frequencies.tolist() == [0.2, 0.6, 0.2]
    assert not tokenizer.writes_gaps
    assert EventTokenizer.from_log(log, min_count=2).event_types == ("b",)


def test_gap_bins_of_a_log_ignore_the_time_between_sequences():
    log = EventLog.from_sequences([sequence("a", "b", times=[0, 5]), sequence("a", "b", times=[1e6, 1e6 + 5])])
    assert EventTokenizer.from_log(log).gap_edges == (0.0,)
    assert EventTokenizer.from_log(log, gaps=False).gap_edges == ()


def test_gaps_of_a_log_without_times_are_refused():
    log = EventLog.from_sequences([sequence("a", "b")])
    assert refused(TimestampError, EventTokenizer.from_log, log, gaps=True) == (
        "Gap tokens were asked for, but the log has no timestamps. Name their column with `--time-column`, or leave "
        "out `--gaps`."
    )


def test_gap_edges_survive_the_disk(tmp_path):
    tokenizer = EventTokenizer.from_event_types(["a", "b"], gap_edges=[0.0, 1 / 3, 1e9])
    tokenizer.save_pretrained(tmp_path)
    for again in (EventTokenizer.from_pretrained(tmp_path), EventTokenizer(AutoTokenizer.from_pretrained(tmp_path))):
        assert again.gap_edges == (0.0, 1 / 3, 1e9)
        assert again.event_types == ("a", "b")


def test_many_types():
    names = [f"service {number} failed: disk #{number % 7}" for number in range(30_000)]
    tokenizer = EventTokenizer.from_event_types(names)
    order = np.random.default_rng(0).permutation(30_000)
    encoded = tokenizer.encode(sequence(*(names[index] for index in order)))
    assert (encoded.input_ids[1:] == order + 4).all()


def test_folder_without_a_tokenizer(tmp_path):
    assert refused(ModelLoadError, EventTokenizer.from_pretrained, tmp_path) == (
        f"The folder '{tmp_path}' holds no tokenizer.json. Expected a run folder written by `hf-trace train`, or a "
        "folder with a tokenizer."
    )


@pytest.mark.parametrize("content", ["", "{}", "not json", json.dumps({"model": {"type": "WordLevel"}})])
def test_broken_tokenizer_file(tmp_path, content):
    EventTokenizer.from_event_types(["a"]).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    message = refused(ModelLoadError, EventTokenizer.from_pretrained, tmp_path)
    assert message.startswith(f"No tokenizer could be loaded from '{tmp_path}': ")
    assert "\n" not in message


def test_absent_tokenizer():
    message = refused(ModelLoadError, EventTokenizer.from_pretrained, "no/such/folder")
    assert message.startswith("No tokenizer could be loaded from 'no/such/folder': ")


DAMAGES = [
    {"gap_edges": "x"},
    {"gap_edges": [1, "x"]},
    {"gap_edges": [5.0, 1.0]},
    {"gap_edges": [float("nan")]},
    {"event_counts": [3, -1]},
    {"event_counts": ["x", 1]},
    {"event_counts": [0, 0]},
    {"contexts": ["site"]},
    {"contexts": {"site": 3}},
]


@pytest.mark.parametrize("settings", DAMAGES, ids=str)
def test_settings_that_are_none_are_refused(tmp_path, settings):
    EventTokenizer.from_event_types(["a", "b"], counts=[1, 2]).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    (name,) = settings
    message = refused(ModelLoadError, EventTokenizer.from_pretrained, tmp_path)
    assert message.startswith(f"`{name}` of the tokenizer is ")
    assert message.endswith("Take the tokenizer_config.json that was saved with the model.")


def test_a_vocabulary_without_its_gaps_is_refused(tmp_path):
    EventTokenizer.from_event_types(["a", "b"]).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "gap_edges": [1.0]}))
    message = refused(ModelLoadError, EventTokenizer.from_pretrained, tmp_path)
    assert message.startswith(f"The tokenizer in '{tmp_path}' is damaged (KeyError: ")


def test_two_tokens_with_one_id_are_refused(tmp_path):
    EventTokenizer.from_event_types(["a", "b"]).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    document = json.loads(file.read_text())
    document["model"]["vocab"]["b"] = document["model"]["vocab"]["a"]
    file.write_text(json.dumps(document))
    assert refused(ModelLoadError, EventTokenizer.from_pretrained, tmp_path) == (
        "Several tokens of the tokenizer have the same id, expected one each. Train again."
    )


@pytest.mark.parametrize(
    ("names", "text", "read"),
    [
        (("6", "9", "11"), "11 6\t9\n6", ["11", "6", "9", "6"]),
        (("disk full", "disk", "full"), "disk full\ndisk", ["disk full", "disk"]),
        (("disk full", "two\nlines"), "disk full", ["disk full"]),
    ],
)
def test_auto_tokenizer_reads_text(tmp_path, names, text, read):
    made = EventTokenizer.from_event_types(names)
    made.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.convert_ids_to_tokens(loaded(text)["input_ids"]) == ["[BOS]", *read]
    assert made.agrees_with(loaded)
    ids = [loaded([name], is_split_into_words=True)["input_ids"][1:] for name in names]
    assert [each for (each,) in ids] == made.event_ids.tolist()
