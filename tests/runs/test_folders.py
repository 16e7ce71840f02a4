"""Run folders: loading models, refusing what does not fit, writing whole folders or none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config

from hf_trace.errors import ModelLoadError, OutputError, SettingsError, VocabularyMismatchError
from hf_trace.runs.folders import check_vocabulary, load_model, new_folder, read_json, save_run, write_json
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


def test_new_folder_appears_when_complete(tmp_path):
    with new_folder(tmp_path / "deep" / "run") as folder:
        (folder / "training.json").write_text("{}")
        assert not (tmp_path / "deep" / "run").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    assert (tmp_path / "deep" / "run").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OutputError])
def test_new_folder_leaves_nothing_after_a_failure(tmp_path, error):
    def fail():
        with new_folder(tmp_path / "run") as folder:
            (folder / "half").write_text("")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_new_folder_on_a_full_disk(tmp_path):
    def write(_):
        raise OSError(28, "No space left on device")

    def fill():
        with new_folder(tmp_path / "run") as folder:
            write(folder)

    assert refused(OutputError, fill) == (
        f"Cannot write '{tmp_path / 'run'}': No space left on device. Free some space or choose another folder."
    )
    assert list(tmp_path.iterdir()) == []


def test_new_folder_where_writing_is_forbidden(tmp_path, monkeypatch):
    def forbidden(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", forbidden)

    def write():
        with new_folder(tmp_path / "run"):
            pass

    assert refused(OutputError, write) == (
        f"Cannot write '{tmp_path / 'run'}': Permission denied. Choose a folder you can write to."
    )


def test_empty_folders_and_runs_are_replaced_others_not(tmp_path):
    for name, file in (("empty", None), ("run", "training.json"), ("other", "thesis.tex")):
        (tmp_path / name).mkdir()
        if file:
            (tmp_path / name / file).write_text("old")
    for name in ("empty", "run"):
        with new_folder(tmp_path / name) as folder:
            (folder / "new").write_text("")
        assert [path.name for path in (tmp_path / name).iterdir()] == ["new"]

    def replace():
        with new_folder(tmp_path / "other"):
            pass

    assert refused(OutputError, replace) == (
        f"'{tmp_path / 'other'}' exists and is not a run folder. Choose a new folder for `--out`, or move it away."
    )
    assert (tmp_path / "other" / "thesis.tex").read_text() == "old"


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
