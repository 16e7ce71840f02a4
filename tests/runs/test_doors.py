"""The door for models: no code runs unasked, nothing is filled in at random, nothing broken or endless comes in."""

import contextlib
import itertools
import json
import os
import pickle
import shutil
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.models import tiny_model
from transformers import BertConfig, BertModel, pipeline

from hf_trace.cli import app
from hf_trace.effects.table_model import TableModel
from hf_trace.errors import HfTraceError, ModelLoadError, NonFiniteError
from hf_trace.runs.doors import open_model, trusts
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import load_model
from hf_trace.runs.members import load_members
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import build_model

EVENTS = [f"e{number}" for number in range(19)]
KINDS = ("llama", "gpt2", "bert")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MARK = "ran.txt"
CODE = f"""
import pathlib
pathlib.Path(__file__).with_name("{MARK}").touch()
pathlib.Path("WHERE").joinpath("{MARK}").touch()
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""
OWN = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A run folder of each kind, by hand."""
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        tiny_model(kind).save_pretrained(folder / kind)
        EventTokenizer.from_event_types(EVENTS).save_pretrained(folder / kind)
    return folder


@pytest.fixture
def folder(models, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(models / "llama", tmp_path / "model")


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch):
    def answer(question=""):
        raise AssertionError(f"asked: {question}")

    monkeypatch.setattr("builtins.input", answer)


def configured(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def with_code(folder, **changes):
    (folder / "own.py").write_text(CODE.replace("WHERE", str(folder)))
    return configured(folder, **{"auto_map": OWN, **changes})


def with_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    save_file(change(weights) or weights, folder / WEIGHTS, {"format": "pt"})
    return folder


def without(*names):
    return lambda weights: {name: value for name, value in weights.items() if name not in names}


def refused(call, *arguments, **options):
    with pytest.raises(ModelLoadError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def why(folder):
    """Why a model is refused, by every way in."""
    reasons = {refused(load, folder) for load in (load_model, EventModel.load, TableModel.load, open_model)}
    for task in ("causal-discovery", "causal-effect"):
        reasons.add(refused(pipeline, task, model=str(folder)))
    (reason,) = reasons
    start = f"No causal language model could be loaded from '{folder}': "
    assert reason.startswith(start)
    return reason.removeprefix(start)


UNTRUSTED = [
    {"model_type": "own"},
    {"model_type": None},
    {"model_type": ["own"]},
    {"model_type": "t5"},
    {"attn_implementation": "own/kernel"},
]


@pytest.mark.parametrize("changes", UNTRUSTED, ids=str)
def test_code_of_a_folder_does_not_run_unasked(folder, changes):
    with_code(folder, **changes)
    ways = [load_model, EventModel.load, TableModel.load, open_model]
    ways += [lambda run: build_model(EventTokenizer.from_event_types(EVENTS), context_length=8, model=str(run))]
    for load in ways:
        message = refused(load, folder)
        assert "never done unasked" in message
        assert "`--trust-remote-code` (`trust_remote_code=True`)" in message
    for task in ("causal-discovery", "causal-effect"):
        with pytest.raises((ValueError, TypeError)):  # Transformers reads the config before this package sees it
            pipeline(task, model=str(folder))
    assert not (folder / MARK).exists()


def test_code_of_a_config_without_weights_does_not_run_unasked(folder):
    (with_code(folder, model_type="own") / WEIGHTS).unlink()
    message = refused(build_model, EventTokenizer.from_event_types(EVENTS), context_length=8, model=str(folder))
    assert message.startswith(
        f"'{folder}' cannot be made a causal language model: it would have to run code of its own"
    )
    assert not (folder / MARK).exists()


def test_code_of_a_type_that_is_known_is_not_needed(folder):
    assert type(load_model(with_code(folder))) is transformers.LlamaForCausalLM
    (folder / "custom_generate").mkdir()
    (folder / "own.py").rename(folder / "custom_generate" / "generate.py")
    load_model(folder)
    assert not (folder / MARK).exists()


def test_code_of_a_tokenizer_does_not_run_unasked(folder):
    (folder / "own.py").write_text(CODE.replace("WHERE", str(folder)))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer"] * 2}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert EventTokenizer.from_pretrained(folder).event_types == tuple(EVENTS)
    (configured(folder, model_type="own") / "tokenizer.json").rename(folder / "other.json")
    schema = DagSchema((Variable("x", values=("0", "1")),))
    assert "No tokenizer could be loaded" in refused(DagTokenizer.from_schema, schema, base=str(folder))
    assert not (folder / MARK).exists()


def test_trusted_code_runs_also_that_of_members(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    with_code(folder, model_type="own", architectures=["OwnModel"])
    shutil.copytree(folder, folder / "members" / "1")
    model = load_model(folder, trust_remote_code=True)
    assert type(model).__name__ == "OwnModel"
    assert trusts(model)
    assert (folder / MARK).exists()
    assert [type(member.model).__name__ for member in load_members(model)] == ["OwnModel"]
    assert not trusts(load_model(configured(folder, model_type="llama")))


MISSING = [
    ("llama", "lm_head.weight"),
    ("llama", "model.embed_tokens.weight"),
    ("llama", "model.norm.weight"),
    ("llama", "model.layers.1.mlp.up_proj.weight"),
    ("gpt2", "transformer.wte.weight"),
    ("gpt2", "transformer.h.0.mlp.c_fc.bias"),
    ("bert", "bert.embeddings.position_embeddings.weight"),
    ("bert", "cls.predictions.transform.dense.weight"),
]


@pytest.mark.parametrize(("kind", "name"), MISSING)
def test_a_weight_that_is_missing_is_named(models, tmp_path, kind, name):
    folder = with_weights(shutil.copytree(models / kind, tmp_path / "model"), without(name))
    reason = why(folder)
    assert reason.startswith("its files lack")
    assert reason.endswith("Take all files that were saved together.")
    # An embedding that is tied to the output layer is missing there, too.
    assert name in reason or (name, "lm_head.weight") == ("transformer.wte.weight", reason.split("'")[1])


def test_weights_that_are_tied_are_not_missing(models):
    assert "lm_head.weight" not in load_file(models / "gpt2" / WEIGHTS)
    load_model(models / "gpt2")


def test_only_a_head_may_start_anew_and_only_to_be_trained(tmp_path):
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=30, max_position_embeddings=32, **shape)).save_pretrained(tmp_path)
    tokenizer = EventTokenizer.from_event_types(EVENTS)
    build_model(tokenizer, context_length=16, model=str(tmp_path))
    with_weights(tmp_path, without("encoder.layer.0.attention.self.key.bias"))
    assert "lack 1 of the weights" in refused(build_model, tokenizer, context_length=16, model=str(tmp_path))


def test_weights_of_another_shape_or_of_more_layers_are_named(folder):
    more = {"lm_head.weight": torch.zeros(3, 32)}
    assert why(with_weights(folder, lambda weights: {**weights, **more})) == (
        "the weight 'lm_head.weight' has the shape (3, 32), its config asks for (23, 32). Take the config.json that "
        "was saved with the weights."
    )


def test_layers_that_the_config_leaves_out_are_not_dropped(folder):
    assert why(configured(folder, num_hidden_layers=1)).startswith(
        "its files hold layers that its config does not ask for: 'model.layers.1.input_layernorm.weight', "
    )


def test_weights_that_nothing_asks_for_are_no_harm(folder):
    load_model(with_weights(folder, lambda weights: {**weights, "value_head.weight": torch.zeros(2)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"])
def test_weights_are_finite(folder, name, value):
    def broken(weights):
        weights[name][1, 2] = value

    with_weights(folder, broken)
    for load in (load_model, TableModel.load, lambda run: pipeline("causal-discovery", model=str(run))):
        with pytest.raises(NonFiniteError, match=f"^1 of the .* numbers of the weight '{name}' of '{folder}' are NaN"):
            load(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float8_e4m3fn, torch.complex64])
def test_codes_are_not_taken_for_numbers(folder, dtype):
    reason = why(with_weights(folder, lambda weights: {name: value.to(dtype) for name, value in weights.items()}))
    assert reason.startswith("the weight 'lm_head.weight' is stored as ")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_other_widths_are_read(folder, dtype):
    load_model(with_weights(folder, lambda weights: {name: value.to(dtype) for name, value in weights.items()}))


class Spoilt:
    def __reduce__(self):
        return os.mkdir, (MARK,)


def indexed(folder, name):
    """The folder with an index that says where its weights are: in the file of the very name, beside the folder."""
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder.parent / "outside.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, name)}))
    return folder


def damaged(how, folder):
    weights = folder / WEIGHTS
    if how == "pickled":
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Spoilt()))
    elif how == "pickled index":
        (indexed(folder, "model.bin") / "model.bin").write_bytes(pickle.dumps(Spoilt()))
    elif how == "pickled by name":
        (configured(folder, transformers_weights="adapter_model.bin") / "adapter_model.bin").write_bytes(
            pickle.dumps(Spoilt())
        )
    elif how in ("../outside.safetensors", "absolute", "model.safetensors", "nowhere.safetensors"):
        indexed(folder, str(folder.parent / "outside.safetensors") if how == "absolute" else how)
    elif how == "no index":
        (indexed(folder, "x") / INDEX).write_text("[]")
    elif how == "deep index":
        (indexed(folder, "x") / INDEX).write_text("[" * 100_000)
    elif how == "device":
        weights.unlink()
        weights.symlink_to("/dev/zero")
    elif how == "pipe":
        weights.unlink()
        os.mkfifo(weights)
    elif how == "loop":
        weights.unlink()
        weights.symlink_to(weights.name)
    else:
        content = weights.read_bytes()
        weights.write_bytes(
            {"empty": b"", "half": content[: len(content) // 2], "long": (2**62).to_bytes(8, "little") + b"{}"}[how]
        )
    return folder


DAMAGES = {
    "pickled": "it holds no model.safetensors",
    "pickled index": "model.safetensors.index.json names 'model.bin', expected a .safetensors file beside it",
    "pickled by name": "",
    "../outside.safetensors": "model.safetensors.index.json names '../outside.safetensors'",
    "absolute": "model.safetensors.index.json names '/",
    "nowhere.safetensors": "model.safetensors.index.json names 'nowhere.safetensors'",
    "no index": "model.safetensors.index.json names no weight files",
    "deep index": "",
    "device": "it holds no model.safetensors",
    "pipe": "it holds no model.safetensors",
    "loop": "it holds no model.safetensors",
    "empty": "model.safetensors is damaged (",
    "half": "model.safetensors is damaged (",
    "long": "model.safetensors is damaged (",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_files_that_are_damaged_or_elsewhere(folder, how, monkeypatch):
    monkeypatch.chdir(folder)
    reason = refused(load_model, damaged(how, folder))
    assert DAMAGES[how] in reason
    assert not (folder / MARK).exists()


@pytest.mark.parametrize("how", ["pickled", "half", "pickled index"])
def test_every_command_goes_through_the_same_door(folder, how, tmp_path, capsys):
    damaged(how, folder)
    log = tmp_path / "log.csv"
    log.write_text("case,event\n1,e0\n1,e1\n")
    for command in (["discover"], ["outcomes", "--outcome", "e1"], ["rank", "--outcome", "e1"], ["effect"]):
        asked = ["--target", "e1", "--do", "0=e2"] if command == ["effect"] else command[1:]
        assert "No causal language model could be loaded from" in said_by(
            [command[0], str(folder), str(log), *asked], capsys
        )
    assert "No causal language model could be loaded from" in said_by(["effect", str(folder), "--target", "x"], capsys)


def test_folders_that_hold_no_model(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert "holds no config.json" in said_by(["effect", str(tmp_path), "--target", "x"], capsys)


def said_by(arguments, capsys):
    """The last lines that a command says as it fails, as one."""
    from hf_trace.cli import main

    before = sys.argv
    sys.argv = ["hf-trace", *arguments]
    try:
        with pytest.raises(SystemExit) as exited:
            main()
    finally:
        sys.argv = before
    assert exited.value.code not in (0, None)
    found = capsys.readouterr()
    assert "Traceback" not in found.err + found.out
    return " ".join(found.err.split())


BOMBS = [
    ("llama", {"num_hidden_layers": 10**6}, "its config asks for num_hidden_layers=1000000, expected at most 20000"),
    ("gpt2", {"n_layer": 10**9}, "its config asks for n_layer=1000000000"),
    ("llama", {"num_hidden_layers": 15_000}, "more than 10,084 parts, but its files hold 21 tensors"),
    ("llama", {"id2label": None, "num_labels": 10**9}, "its config asks for num_labels=1000000000"),
    ("llama", {"hidden_size": 10**9}, "but its files hold 21 tensors of"),
    ("llama", {"intermediate_size": 10**18}, "but its files hold 21 tensors of"),
    ("llama", {"vocab_size": 10**9}, "but its files hold 21 tensors of"),
    ("gpt2", {"n_positions": 10**9}, "but its files hold 28 tensors of"),
]


@pytest.mark.parametrize(("kind", "changes", "reason"), BOMBS, ids=str)
def test_a_config_may_not_ask_for_more_than_the_files_hold(models, tmp_path, kind, changes, reason):
    folder = configured(shutil.copytree(models / kind, tmp_path / "model"), **changes)
    assert reason in refused(load_model, folder)


@pytest.mark.parametrize(
    "changes", [{"num_hidden_layers": 10**6}, {"num_hidden_layers": 5_000}, {"hidden_size": 10**9}], ids=str
)
def test_a_config_from_scratch_may_not_ask_for_more_than_the_machine_holds(folder, changes):
    (configured(folder, **changes) / WEIGHTS).unlink()
    message = refused(build_model, EventTokenizer.from_event_types(EVENTS), context_length=8, model=str(folder))
    assert message.startswith(f"'{folder}' cannot be made a causal language model: its config asks for ")


def test_counting_changes_no_weight(folder):
    (folder / WEIGHTS).unlink()
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        config = transformers.AutoConfig.from_pretrained(folder)
        config.vocab_size, config.bos_token_id, config.eos_token_id, config.pad_token_id = 23, 1, 2, 0
        drawn.append(transformers.AutoModelForCausalLM.from_config(config).lm_head.weight)
    torch.manual_seed(0)
    drawn.append(
        build_model(EventTokenizer.from_event_types(EVENTS), context_length=8, model=str(folder)).lm_head.weight
    )
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("value", [-1, 0, 1, "x", None, 1.5, True, [], {}])
@pytest.mark.parametrize(("kind", "name"), [("llama", "max_position_embeddings"), ("gpt2", "n_positions")])
def test_lengths_that_are_none(models, tmp_path, kind, name, value):
    refused(EventModel.load, configured(shutil.copytree(models / kind, tmp_path / "model"), **{name: value}))


def test_a_length_without_a_table_may_be_any(folder):
    assert EventModel.load(configured(folder, max_position_embeddings=10**9)).most_events == 10**9 - 1


ODD = [-1, 0, None, "x", 10**9, [], {}, 1.5, True, "1" * 5000, [[]] * 3]


@pytest.mark.slow  # 600 configs
@pytest.mark.parametrize("kind", KINDS)
def test_any_value_of_any_setting_is_read_or_refused(models, tmp_path, kind):
    folder = shutil.copytree(models / kind, tmp_path / "model")
    before = json.loads((folder / "config.json").read_text())
    for name, value in itertools.product(before, ODD):
        (folder / "config.json").write_text(json.dumps({**before, name: value}))
        with contextlib.suppress(HfTraceError):
            EventModel.load(folder)


def test_commands_that_load_a_model_have_the_option():
    import typer

    commands = typer.main.get_command(app).commands
    having = {
        name for name, command in commands.items() if any("--trust-remote-code" in p.opts for p in command.params)
    }
    assert having == {"train", "discover", "effect", "outcomes", "rank"}
