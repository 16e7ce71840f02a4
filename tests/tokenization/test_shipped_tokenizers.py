"""The folders of ``tokenizer/``: as built from their source, and as their examples say."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_trace.data.sequence import EventSequence
from hf_trace.tokenization.build import build_alarms
from hf_trace.tokenization.event_tokenizer import EventTokenizer

FOLDER = Path(__file__).parents[2] / "tokenizer"
BUILDERS = {"alarms": build_alarms}


@pytest.fixture(params=BUILDERS)
def shipped(request):
    return FOLDER / request.param


def examples(folder):
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_folder_has_a_builder_and_a_line_in_the_table():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(BUILDERS)
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in BUILDERS:
        tokenizer = EventTokenizer.from_pretrained(FOLDER / name)
        gaps = len(tokenizer.gap_edges) + 1
        assert f"| `{name}/` | {len(tokenizer)} | {len(tokenizer.event_types)} | {gaps} |" in table


def test_rebuilt_byte_for_byte(shipped, tmp_path):
    BUILDERS[shipped.name](tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in shipped.iterdir())
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (shipped / path.name).read_bytes(), path.name


def test_vocabulary_is_the_source(shipped):
    names = (shipped / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = EventTokenizer.from_pretrained(shipped)
    assert list(tokenizer.event_types) == names
    assert tokenizer.event_ids.tolist() == list(range(4, 4 + len(names)))


def test_examples_with_both_tokenizers(shipped):
    own, auto = EventTokenizer.from_pretrained(shipped), AutoTokenizer.from_pretrained(shipped)
    assert len(examples(shipped)) == 10
    for example in examples(shipped):
        record, ids = example["record"], example["input_ids"]
        encoded = own.encode(
            EventSequence(tuple(record["events"]), tuple(record["timestamps"]), record["id"])
        )
        assert encoded.input_ids.tolist() == ids
        assert list(own.decode(encoded)) == record["events"]
        assert auto(example["tokens"][1:], is_split_into_words=True)["input_ids"] == ids
        assert auto.convert_tokens_to_ids(example["tokens"]) == ids


def test_examples_by_hand(shipped):
    # What a reader can check: the start, then events and gaps in turn, each gap in the bin its seconds say.
    edges = EventTokenizer.from_pretrained(shipped).gap_edges
    for example in examples(shipped):
        times = example["record"]["timestamps"]
        tokens = ["[BOS]"]
        for event, time, later in zip(example["record"]["events"], times, [*times[1:], None], strict=True):
            tokens.append(event)
            if later is not None:
                tokens.append(f"<gap:{sum(later - time > edge for edge in edges)}>")
        assert example["tokens"] == tokens
