"""The folders of ``tokenizer/``: as built from their source, and as their examples say."""

import json
from pathlib import Path

import pytest
from ready_tokenizers import BUILDERS
from transformers import AutoTokenizer

from hf_trace.logs.sequence import EventSequence
from hf_trace.tables.schema import DagSchema
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

FOLDER = Path(__file__).parents[2] / "tokenizer"
EVENTS = ("alarms",)
DAGS = ("pump_dag", "maze", "chess")
FOLDERS = (*EVENTS, *DAGS)


@pytest.fixture(params=EVENTS)
def shipped(request):
    return FOLDER / request.param


@pytest.fixture(params=DAGS)
def dag(request):
    return FOLDER / request.param


def examples(folder):
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_folder_has_a_builder_and_a_line_in_the_table():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(FOLDERS) == set(BUILDERS)
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in EVENTS:
        tokenizer = EventTokenizer.from_pretrained(FOLDER / name)
        gaps = len(tokenizer.gap_edges) + 1
        assert f"| `{name}/` | {len(tokenizer)} | {len(tokenizer.event_types)} | {gaps} |" in table
    for name in DAGS:
        rows = DagTokenizer.from_pretrained(FOLDER / name)
        assert f"| `{name}/` | {len(rows)} | {len(rows.variables)} |" in table


@pytest.mark.parametrize("name", FOLDERS)
def test_rebuilt_byte_for_byte(name, tmp_path):
    shipped = FOLDER / name
    if name == "chess":
        pytest.importorskip("chess", reason="python-chess is not installed: pip install chess")
    BUILDERS[name](tmp_path)
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
        encoded = own.encode(EventSequence(tuple(record["events"]), tuple(record["timestamps"]), record["id"]))
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


def test_rows_with_both_tokenizers(dag):
    own, auto = DagTokenizer.from_pretrained(dag), AutoTokenizer.from_pretrained(dag)
    assert len(examples(dag)) == 10
    for example in examples(dag):
        record, ids = example["record"], example["input_ids"]
        contents = {name: own.content(name, value) for name, value in record.items()}
        assert own.sequencify(contents, example["order"]) == ids
        assert own.desequencify(ids) == contents
        assert auto(example["tokens"], is_split_into_words=True)["input_ids"] == ids
        assert auto.convert_tokens_to_ids(example["tokens"]) == ids


def test_rows_by_hand(dag):
    # What a reader can check: the start, then each variable, announced, with its value, causes before effects.
    schema = DagSchema.load(dag / "dag.json")
    assert schema.to_dict() == DagTokenizer.from_pretrained(dag).schema.to_dict()
    labels = {variable.name: variable.values for variable in schema.variables}
    seen = set()
    for example in examples(dag):
        tokens = ["[BOS]"]
        for place, name in enumerate(example["order"]):
            assert set(schema[name].parents) <= set(example["order"][:place])
            raw = example["record"][name]
            if isinstance(raw, list):
                written = [*(f"{name}:{item}" for item in raw), f"<end:{name}>"]
            elif isinstance(raw, float):
                written = [f"{name}={labels[name][sum(raw >= edge for edge in schema[name].edges)]}"]
            else:
                written = [f"{name}={raw}"]
            seen |= set(written)
            tokens += [f"<start:{name}>", *written]
        assert example["tokens"] == tokens
    assert dag.name != "pump_dag" or "inflow=<missing>" in seen
