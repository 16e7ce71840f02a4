"""Damaged JSON files of a run folder: one line each, whatever is asked of the run."""

import shutil

import pytest

from hf_trace.effects.table_model import TableModel
from hf_trace.errors import ModelLoadError
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import read_json, recipe_of, run_kind
from hf_trace.runs.members import Folds
from hf_trace.runs.run_documents import read_run_document

TEXTS = {
    "nothing": b"",
    "half": b'{"a": ',
    "deep": b'{"a":' * 100_000,
    "digits": b'{"seed": 1' + b"0" * 5000 + b"}",
    "surrogate": b'{"kind": "\\ud800"}',
    "bytes": b"\xff\xfe{}",
    "list": b"[]",
    "null": b"null",
    "text": b'"x"',
}
VALUES = [
    ("training.json", b'{"window_length": "x"}', "`window_length` of ", "a whole number of at least 1"),
    ("training.json", b'{"window_length": 0}', "`window_length` of ", "a whole number of at least 1"),
    ("training.json", b'{"window_length": 1e400}', "`window_length` of ", "a whole number of at least 1"),
    ("training.json", b'{"min_count": []}', "`min_count` of ", "a whole number of at least 1"),
    ("training.json", b'{"window_gap": "a"}', "`window_gap` of ", "a number"),
    ("training.json", b'{"window_gap": NaN}', "`window_gap` of ", "a number"),
    ("training.json", b'{"outcome_column": 5}', "`outcome_column` of ", "a name"),
    ("training.json", b'{"context_columns": 7}', "`context_columns` of ", "a list of names"),
    ("training.json", b'{"kind": ["log"]}', "`kind` of ", "a name"),
    ("training.json", b'{"learn": [1]}', "`learn` of ", "a list of names"),
    ("metrics.json", b'{"validation": 3}', "`validation` of ", "figures by name"),
    ("metrics.json", b'{"validation": {"beats_bigram": false, "loss": "x"}}', "`validation` of ", "figures by name"),
    ("metrics.json", b'{"rows": "many"}', "`rows` of ", "a whole number of at least 0"),
    ("folds.json", b'{"folds": "x"}', "`folds` of ", "a whole number of at least 0"),
]


def refused(call, *arguments):
    with pytest.raises(ModelLoadError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_document(tmp_path, text):
    path = tmp_path / "training.json"
    path.write_bytes(TEXTS[text])
    for read in (read_run_document, lambda _: recipe_of(tmp_path), lambda _: run_kind(tmp_path)):
        message = refused(read, path)
        assert message.startswith(f"'{path}' ")
        assert message.endswith("expected an object, as `hf-trace train` writes it.")


@pytest.mark.parametrize(("file", "text", "start", "expected"), VALUES)
def test_what_is_no_value(tmp_path, file, text, start, expected):
    (tmp_path / file).write_bytes(text)
    message = refused(read_json, tmp_path, file)
    assert message.startswith(f"{start}'{tmp_path / file}' is ")
    assert f"expected {expected}, as `hf-trace train` writes it." in message


def test_what_is_not_known_may_be_absent_or_null(tmp_path):
    assert read_json(tmp_path, "training.json") == {}
    (tmp_path / "training.json").write_text('{"window_length": null, "new": [1]}')
    assert read_json(tmp_path, "training.json") == {"window_length": None, "new": [1]}


@pytest.mark.parametrize("file", ["metrics.json", "training.json", "generation_config.json", "config.json"])
@pytest.mark.parametrize("text", ["half", "deep", "list"])
def test_no_model_is_made_of_a_damaged_run(tiny_run, tmp_path, file, text):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / file).write_bytes(TEXTS[text])
    if (file, text) == ("generation_config.json", "half"):  # which nothing here needs
        EventModel.load(run)
    else:
        refused(EventModel.load, run)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["nothing", "half", "deep", "digits", "bytes", "list", "null", "text"])
def test_damaged_tokenizers(tiny_run, tmp_path, file, text):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / file).write_bytes(TEXTS[text])
    for load in (EventModel.load, TableModel.load):
        refused(load, run)


def test_folds_of_other_names(tmp_path):
    (tmp_path / "folds.json").write_text('{"folds": 2}')
    assert refused(Folds.of_run, tmp_path) == (
        f"folds.json of the run '{tmp_path}' holds 'folds', expected folds, seed, rows."
    )
