"""Training on a stream: every window once, nothing that is held out, and the same again after an interruption."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest


@pytest.fixture(scope="module")
def stream():
    from tests.conftest import rule_records

    from hf_trace.logs.columns import ColumnChoice
    from hf_trace.logs.streams import EventStream

    records = rule_records(400, seed=9)
    table = pa.table(
        {
            "case": np.repeat([record["id"] for record in records], 12),
            "event": [event for record in records for event in record["events"]],
        }
    )
    parts = [table.slice(start, 500) for start in range(0, len(table), 500)]
    return EventStream(lambda: iter(parts), ColumnChoice())


@pytest.fixture(scope="module")
def settings(tiny_settings):
    return replace(tiny_settings, epochs=2.0, batch_tokens=128, window_length=12)


def test_the_rule_is_learned_from_a_stream(stream, settings, tmp_path):
    from transformers import pipeline

    from hf_trace.training.stream_training import train_stream

    trained = train_stream(stream, tmp_path / "run", settings)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["events"] == 4800
    assert found["sequences"] == {"training": 360, "validation": 40}
    # 360 windows of 14 tokens (start and end included), 9 in a batch of 128 tokens, twice.
    assert found["steps"] == 360 * 2 / 9
    assert trained.quality.beats_bigram or trained.quality.loss < trained.quality.bigram + 0.05
    assert json.loads((tmp_path / "run" / "training.json").read_text())["kind"] == "log"
    assert not (tmp_path / ".run-checkpoints").exists()
    graph = pipeline("causal-discovery", model=str(tmp_path / "run"))({"events": ["C", "A", "B", "D"]})
    assert {(edge["cause"], edge["effect"]) for edge in graph["edges"]} == {("A", "B")}


def test_windows_come_once_and_never_those_held_out(stream, settings):
    from hf_trace.logs.stream_samples import survey_stream
    from hf_trace.training.stream_training import StreamWindows, held_out_bound, tokenizer_of

    survey = survey_stream(stream, sample=500, length=12)
    once, bound = replace(settings, epochs=1.0), held_out_bound(survey, settings)
    source = StreamWindows(stream, tokenizer_of(survey, settings), once, bound)
    held, counted = source.parted(survey.sample)
    assert (len(held), len(counted)) == (40, 360)
    drawn = sorted(tuple(example["input_ids"]) for example in source)
    expected = [source.tokenizer.encode(sequence, end=True).input_ids for sequence in counted]
    assert drawn == sorted(map(tuple, expected))
    assert drawn != [tuple(example["input_ids"]) for example in source]


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(stream, settings, tmp_path, interruption):
    import torch
    from transformers import AutoModelForCausalLM

    from hf_trace.training.stream_training import train_stream

    def weights(folder):
        return AutoModelForCausalLM.from_pretrained(folder).state_dict()

    train_stream(stream, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train_stream(stream, tmp_path / "run", settings, callbacks=[interruption(50)])
    assert not (tmp_path / "run").exists()
    train_stream(stream, tmp_path / "run", settings, resume=True)
    left, right = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": 2}, "ensemble is for logs that are read whole"),
        ({"outcome_column": "label"}, "outcome_column is for logs that are read whole"),
        ({"quick": True, "model": None}, "quick is for logs that are read whole"),
        ({"epochs": 0.5}, "epochs is 0.5, expected a whole number of passes over a stream."),
    ],
)
def test_refused_settings(stream, settings, tmp_path, changes, message):
    from hf_trace.errors import SettingsError
    from hf_trace.training.stream_training import train_stream

    with pytest.raises(SettingsError) as caught:
        train_stream(stream, tmp_path / "run", replace(settings, **changes))
    assert str(caught.value).startswith(message)


def test_the_command_line(place, hf_trace, refused):
    options = ("--preset", "nano", "--window-length", "12", "--out", "streamed")
    code, _, err = hf_trace("train", "log.csv", "--stream", *options)
    assert code == 0, err
    assert "40 sequences, 480 events, 4 event types; counted in" in err
    code, out, err = hf_trace("discover", "streamed", "log.csv", "--stream", "--sample", "5", "--json")
    assert (code, json.loads(out)["sequences"]) == (0, 5)
    assert refused("discover", "streamed", "log.csv", "--stream").startswith("The log is read in parts, and how much")
    assert refused("train", "log.csv", "--stream", "--query", "time > 3", *options, "--overwrite").startswith(
        "`--query` is for"
    )
