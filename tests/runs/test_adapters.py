"""Run folders with adapters alone: what is in them, that they load everywhere, and what is said where they do not."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, BertModel, GPT2Config, LlamaConfig, pipeline

from hf_trace.errors import ModelLoadError, NonFiniteError, QueryError, SettingsError
from hf_trace.runs.folders import load_model
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.training.table_losses import all_losses, allowed_tokens, term_losses
from hf_trace.training.table_rows import FullRows, ParentRows, write_table
from hf_trace.training.table_training import DagTrainingSettings, train_dag

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BASES = {
    "llama": LlamaConfig(vocab_size=50, max_position_embeddings=64, **SHAPE),
    "gpt2": GPT2Config(vocab_size=50, n_positions=64, n_embd=32, n_layer=2, n_head=2),
    "bert": BertConfig(vocab_size=50, max_position_embeddings=64, is_decoder=True, **SHAPE),
}
ILL, DRUG, WELL = "ill", "drug", "well"
SCHEMA = DagSchema(
    (
        Variable(ILL, values=("no", "yes")),
        Variable(DRUG, values=("no", "yes"), parents=(ILL,)),
        Variable(WELL, values=("no", "yes"), parents=(ILL, DRUG)),
    )
)
FAST = {"epochs": 1.0, "learning_rate": 1e-2}


@pytest.fixture
def base(request, tmp_path):
    torch.manual_seed(0)
    config = BASES[request.param]
    made = BertForMaskedLM(config) if request.param == "bert" else AutoModelForCausalLM.from_config(config)
    made.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


every_base = pytest.mark.parametrize("base", BASES, indirect=True)
llama = pytest.mark.parametrize("base", ["llama"], indirect=True)


def patients(count=40):
    rng = np.random.default_rng(0)
    ill = rng.integers(2, size=count)
    drug = (rng.random(count) < 0.2 + 0.6 * ill).astype(np.int64)
    well = (rng.random(count) < 0.5 + 0.3 * drug - 0.3 * ill).astype(np.int64)
    return DagTable(SCHEMA, {ILL: ill, DRUG: drug, WELL: well}, np.ones(count))


def logits(folder):
    ids = torch.tensor([[1, 4, 5, 6, 7]])
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(input_ids=ids).logits


@every_base
def test_adapters_alone_are_the_merged_model(base, tmp_path):
    adapters = DagTrainingSettings(model=str(base), lora=True, **FAST)
    train_dag(patients(), tmp_path / "adapters", adapters)
    train_dag(patients(), tmp_path / "merged", replace(adapters, merge=True))
    torch.testing.assert_close(logits(tmp_path / "adapters"), logits(tmp_path / "merged"))
    assert not list((tmp_path / "adapters").glob("*.safetensors"))
    assert {file.name for file in (tmp_path / "adapters" / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert type(load_model(tmp_path / "adapters")) is type(load_model(tmp_path / "merged"))


def test_a_head_that_the_checkpoint_lacks_is_kept_with_the_adapters(tmp_path):
    torch.manual_seed(0)
    BertModel(BASES["bert"]).save_pretrained(tmp_path / "base")
    adapters = DagTrainingSettings(model=str(tmp_path / "base"), lora=True, **FAST)
    train_dag(patients(), tmp_path / "adapters", adapters)
    train_dag(patients(), tmp_path / "merged", replace(adapters, merge=True))
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # what starts at random must not
        found.append(logits(tmp_path / "adapters"))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], logits(tmp_path / "merged"))


@every_base
def test_both_pipelines_load_adapters(base, tmp_path, tiny_log):
    train_dag(patients(), tmp_path / "table", DagTrainingSettings(model=str(base), lora=True, **FAST))
    answer = pipeline("causal-effect", model=str(tmp_path / "table"))({"target": WELL, "do": {DRUG: "yes"}})
    assert sum(answer["distribution"].values()) == pytest.approx(1)
    settings = TrainingSettings(model=str(base), lora=True, batch_tokens=128, **FAST)
    train(tiny_log, tmp_path / "log", settings)
    discover = pipeline("causal-discovery", model=str(tmp_path / "log"))
    assert discover(tiny_log[0])["id"] == tiny_log[0].id


@llama
def test_a_base_that_moved_with_the_run_is_found(base, tmp_path):
    train_dag(patients(), tmp_path / "run", DagTrainingSettings(model=str(base), lora=True, **FAST))
    before = logits(tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    document = json.loads(config.read_text())
    assert document["base"] == str(base)
    shutil.move(base, tmp_path / "run" / "base")
    config.write_text(json.dumps({**document, "base": "base"}))
    torch.testing.assert_close(logits(tmp_path / "run"), before)


@llama
def test_what_is_missing_is_named(base, tmp_path):
    run = tmp_path / "run"
    train_dag(patients(), run, DagTrainingSettings(model=str(base), lora=True, **FAST))
    shutil.move(run / "adapter", tmp_path / "away")
    with pytest.raises(ModelLoadError, match=r"lacks its adapters: .* Train again"):
        load_model(run)
    shutil.move(tmp_path / "away", run / "adapter")
    shutil.rmtree(base)
    with pytest.raises(ModelLoadError, match=r"holds adapters of .*base', which could not be loaded: .* --merge"):
        load_model(run)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A run with adapters alone, and its pretrained model beside it."""
    folder = tmp_path_factory.mktemp("adapted")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(BASES["llama"]).save_pretrained(folder / "base")
    train_dag(patients(), folder / "run", DagTrainingSettings(model=str(folder / "base"), lora=True, **FAST))
    return folder


@pytest.fixture
def broken(adapted, tmp_path):
    """A copy of both that a test may break."""
    folder = shutil.copytree(adapted, tmp_path / "copy")
    changed(folder / "run" / "config.json", base=str(folder / "base"))
    return folder


def changed(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rewritten(path, change):
    save_file(change(load_file(path)), path, {"format": "pt"})


def without_one(weights):
    return {name: weights[name] for name in sorted(weights)[:-1]}


def why(folder):
    with pytest.raises(ModelLoadError) as caught:
        load_model(folder / "run")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_adapters_must_be_whole_finite_and_of_their_rank(broken):
    load_model(broken / "run")
    adapter = broken / "run" / "adapter"
    before = (adapter / "adapter_model.safetensors").read_bytes()
    rewritten(adapter / "adapter_model.safetensors", without_one)
    assert "its adapters lack 1 weights: 'base_model.model.model.layers.1." in why(broken)
    (adapter / "adapter_model.safetensors").write_bytes(before)
    rewritten(adapter / "adapter_model.safetensors", lambda weights: {**weights, "other": torch.zeros(1)})
    assert "its adapters hold 1 weights too many: 'other'" in why(broken)
    (adapter / "adapter_model.safetensors").write_bytes(before)
    rewritten(adapter / "adapter_model.safetensors", lambda weights: {name: part / 0 for name, part in weights.items()})
    with pytest.raises(NonFiniteError, match="are NaN or infinite"):
        load_model(broken / "run")
    (adapter / "adapter_model.safetensors").write_bytes(before[:99])
    assert "adapter_model.safetensors is damaged (" in why(broken)
    (adapter / "adapter_model.safetensors").write_bytes(before)
    for config in ({"r": 10**9}, {"r": "x"}, {"r": 0}, {"rank_pattern": {"q_proj": 10**9}}):
        text = (adapter / "adapter_config.json").read_text()
        changed(adapter / "adapter_config.json", **config)
        assert "adapter_config.json asks for the ranks " in why(broken)
        (adapter / "adapter_config.json").write_text(text)
    changed(adapter / "adapter_config.json", peft_type="XLORA")
    assert "is not that of LoRA adapters" in why(broken)
    (adapter / "adapter_config.json").write_text("{")
    assert "is not JSON" in why(broken)


@pytest.mark.parametrize("tokens", [0, -5, 10**9])
def test_adapters_must_speak_of_tokens_there_can_be(broken, tokens):
    changed(broken / "run" / "config.json", vocab_size=tokens)
    assert f"its config asks for {tokens} tokens, where the pretrained model knows 50." in why(broken)


def test_the_pretrained_model_of_adapters_comes_through_the_same_door(broken):
    base = broken / "base"
    rewritten(base / "model.safetensors", without_one)
    assert "its files lack 1 of the weights" in why(broken)
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    assert "pickled ones are not read" in why(broken)
    changed(base / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})
    (base / "own.py").write_text("raise SystemExit('it ran')")
    assert "never done unasked" in why(broken)


@pytest.mark.parametrize("base", ["", ".", "{}"])
def test_adapters_of_no_model_or_of_themselves(broken, base):
    changed(broken / "run" / "config.json", base=base.format(broken / "run"))
    assert "which is no model of its own" in why(broken)


def test_a_folder_of_peft_is_read_as_transformers_does(broken):
    adapter = broken / "run" / "adapter"
    changed(adapter / "adapter_config.json", base_model_name_or_path=str(broken / "base"), trainable_token_indices=None)
    kept = {name: part for name, part in load_file(adapter / "adapter_model.safetensors").items() if "lora" in name}
    save_file(kept, adapter / "adapter_model.safetensors", {"format": "pt"})
    expected = AutoModelForCausalLM.from_pretrained(adapter, dtype=torch.float32)
    ids = torch.tensor([[1, 4, 5]])
    torch.testing.assert_close(load_model(adapter)(input_ids=ids).logits, expected(input_ids=ids).logits)
    save_file(without_one(kept), adapter / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(ModelLoadError, match="its adapters lack 1 weights"):
        load_model(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"it holds no adapter_model\.safetensors"):
        load_model(adapter)


# What is learned, and what is only read.


def test_places_that_are_not_learned_have_no_terms():
    tokenizer = DagTokenizer.from_schema(SCHEMA, history="full")
    written, rng = write_table(tokenizer, patients(8)), np.random.default_rng(0)
    batch = FullRows(tokenizer, written, learn=(WELL,)).batch(np.arange(8), rng)
    assert batch["place_variable"].tolist() == [2] * 8
    tokenizer = DagTokenizer.from_schema(SCHEMA)
    rows = ParentRows(tokenizer, written, learn=(DRUG, WELL))
    batch = rows.batch(np.arange(len(rows)), rng)
    assert set(batch["place_variable"].tolist()) == {1, 2}


@every_base
def test_losses_do_not_depend_on_which_logits_are_computed(base):
    tokenizer = DagTokenizer.from_schema(SCHEMA, history="full")
    model = load_model(base)
    written, allowed = write_table(tokenizer, patients(8)), torch.zeros((3, 50), dtype=torch.bool)
    allowed[:, : len(tokenizer)] = allowed_tokens(tokenizer)
    whole, part = (FullRows(tokenizer, written, learn=learn) for learn in (None, (WELL,)))
    batch = whole.batch(np.arange(8), np.random.default_rng(0))
    with torch.no_grad():
        every = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        chosen = every[batch["place_row"], batch["place_position"]]
        chosen = chosen.masked_fill(~allowed[batch["place_variable"]], -torch.inf)
        wanted = -chosen.log_softmax(-1)[batch["term_place"], batch["term_target"]]
        torch.testing.assert_close(term_losses(model, batch, allowed), wanted)
    losses = [all_losses(model, source, allowed).per_variable(source) for source in (whole, part)]
    assert losses[1].tolist() == pytest.approx([0, 0, losses[0][2]])


def test_what_was_only_read_is_not_predicted(tmp_path):
    settings = DagTrainingSettings(learn=(DRUG, WELL), max_tokens=1_000, folds=2, refit=False)
    run = train_dag(patients(200), tmp_path / "run", settings)
    assert set(run.quality.variables) == {DRUG, WELL}
    ask = pipeline("causal-effect", model=str(run.folder))
    question = {"target": WELL, "do": {DRUG: "yes"}}
    assert ask({**question, "given": {ILL: "no"}})["distribution"]["yes"] > 0
    with pytest.raises(QueryError, match="The model read 'ill' but was not taught to predict it"):
        ask(question)
    frame = patients(200)
    data = {name: np.array(SCHEMA[name].values)[np.asarray(values)] for name, values in frame.columns.items()}
    found = ask({**question, "contrast": "ate", "versus": {DRUG: "no"}}, data=pd.DataFrame(data))
    assert found["cross_fitted"]
    assert found["low"] < found["value"] < found["high"]
    assert found["means"]["treated"] - found["means"]["control"] == pytest.approx(found["value"])
    robust = ask({**question, "contrast": "ate", "versus": {DRUG: "no"}}, data=pd.DataFrame(data), estimator="aipw")
    assert robust["plug_in"] == pytest.approx(found["value"])


@pytest.mark.parametrize("learn", [(), ("age",)])
def test_learning_nothing_is_refused(tmp_path, learn):
    with pytest.raises(SettingsError, match=r"learn names .*, expected some of: 'ill', 'drug', 'well'"):
        train_dag(patients(), tmp_path / "run", DagTrainingSettings(learn=learn))
