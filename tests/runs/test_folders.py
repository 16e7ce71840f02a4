"""Run folders: loading models, refusing what does not fit, writing whole folders or none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config

from hf_trace.errors import ModelLoadError, SettingsError, VocabularyMismatchError
from hf_trace.runs.folders import check_vocabulary, load_model, read_json, save_run, write_json
from hf_trace.tokenizers.event_tokenizer import EventTokenizer


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a run folder that a test may break."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def refused(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def gpt2(rows):
    return AutoModelForCausalLM.from_config(GPT2Config(vocab_size=rows, n_embd=8, n_layer=1, n_head=1))


def test_models_are_read_in_float32_unless_asked(run):
    assert load_model(run).dtype is torch.float32
    assert load_model(run, dtype="bfloat16").dtype is torch.bfloat16
    load_model(run, dtype="bfloat16").save_pretrained(run)
    assert load_model(run).dtype is torch.float32


@pytest.mark.parametrize("dtype", ["float8", "nn", "int64", ""])
def test_other_dtypes_are_refused(run, dtype):
    message = refused(SettingsError, load_model, run, dtype=dtype)
    assert message.startswith(f"dtype is '{dtype}', expected one of: float32, bfloat16.")


def test_folder_without_a_model(tmp_path):
    assert refused(ModelLoadError, load_model, tmp_path) == (
        f"The folder '{tmp_path}' holds no config.json. Expected a run folder written by `hf-trace train`, or any "
        "folder of a causal language model."
    )


def test_name_that_is_nowhere():
    message = refused(ModelLoadError, load_model, "no/such-model")
    assert message.startswith(
        "No causal language model could be loaded from 'no/such-model', which is no folder here: "
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": "nonsense"}', "{}", '{"model_type": "t5"}'])
def test_broken_config(run, content):
    (run / "config.json").write_text(content)
    message = refused(ModelLoadError, load_model, run)
    assert message.startswith(f"No causal language model could be loaded from '{run}': ")


def test_half_a_weights_file(run):
    whole = (run / "model.safetensors").read_bytes()
    for size in (0, 4, len(whole) // 2):
        (run / "model.safetensors").write_bytes(whole[:size])
        message = refused(ModelLoadError, load_model, run)
        assert message.startswith(f"No causal language model could be loaded from '{run}': ")


def test_no_weights(run):
    (run / "model.safetensors").unlink()
    message = refused(ModelLoadError, load_model, run)
    assert message.startswith(f"No causal language model could be loaded from '{run}': ")


def test_pickled_weights_are_not_read(run):
    torch.save(load_file(run / "model.safetensors"), run / "pytorch_model.bin")
    (run / "model.safetensors").unlink()
    message = refused(ModelLoadError, load_model, run)
    assert message.startswith(f"No causal language model could be loaded from '{run}': ")


def test_weights_of_another_size(run):
    weights = load_file(run / "model.safetensors")
    save_file({**weights, "lm_head.weight": torch.zeros(3, 32)}, run / "model.safetensors", {"format": "pt"})
    message = refused(ModelLoadError, load_model, run)
    assert message.startswith(f"No causal language model could be loaded from '{run}': ")


def test_vocabulary_that_fits():
    tokenizer = EventTokenizer.from_event_types(["a", "b"])
    check_vocabulary(tokenizer, gpt2(6))
    # Rows padded to a multiple of 64 are usual.
    check_vocabulary(tokenizer, gpt2(64))


@pytest.mark.parametrize("rows", [5, 7, 63, 128])
def test_vocabulary_that_does_not_fit(rows):
    assert refused(
        VocabularyMismatchError, check_vocabulary, EventTokenizer.from_event_types(["a", "b"]), gpt2(rows)
    ) == (
        f"The tokenizer has 6 tokens but the model predicts {rows}. They were not saved together: load both from one "
        "run folder."
    )


def test_documents_are_written_beside_the_model(tmp_path):
    save_run(tmp_path, gpt2(5), EventTokenizer.from_event_types(["é"]), metrics={"loss": 1.5, "name": "é"})
    assert read_json(tmp_path, "metrics.json") == {"loss": 1.5, "name": "é"}
    assert read_json(tmp_path, "training.json") == {}
    assert json.loads((tmp_path / "config.json").read_text())["use_cache"] is True


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"new": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path, "a.json") == {"old": 1}
