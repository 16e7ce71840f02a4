"""Models to train: from presets, types, configs and checkpoints."""

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, GPT2Config, LlamaConfig, RobertaConfig

from hf_trace.errors import ModelLoadError, SettingsError
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import measure
from hf_trace.runs.adapters import folded
from hf_trace.runs.folders import load_model
from hf_trace.runs.training_samples import split_windows
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import PRESETS, build_model
from hf_trace.training.log_training import TrainingSettings, train

TOKENIZER = EventTokenizer.from_event_types(["a", "b", "c"])
TOKENS = 7
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIGS = {
    "llama": LlamaConfig(vocab_size=50, max_position_embeddings=64, intermediate_size=64, **SHAPE),
    "gpt2": GPT2Config(vocab_size=50, n_positions=64, n_embd=32, n_layer=2, n_head=2),
    "bert": BertConfig(vocab_size=50, max_position_embeddings=64, intermediate_size=64, **SHAPE),
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folders with tiny checkpoints; BERT is the one that comes without `is_decoder`."""
    root = tmp_path_factory.mktemp("pretrained")
    for name, config in CONFIGS.items():
        build = BertForMaskedLM if name == "bert" else AutoModelForCausalLM.from_config
        build(config).save_pretrained(root / name)
    return root


def build(**options):
    return build_model(TOKENIZER, **{"context_length": 20, **options})


def refused(error, **options):
    with pytest.raises(error) as caught:
        build(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_presets():
    for preset, shape in PRESETS.items():
        with torch.device("meta"):
            config = build(preset=preset).config
        assert config.model_type == "llama"
        assert (config.hidden_size, config.num_hidden_layers) == (shape.hidden_size, shape.layers)
        assert (config.vocab_size, config.max_position_embeddings) == (TOKENS, 20)
        assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, 2)


@pytest.mark.parametrize("model_type", ["gpt2", "qwen2", "gpt_neox", "bert", "mamba", "opt", "mistral", "falcon"])
def test_a_bare_type_is_small_and_causal(model_type, tmp_path):
    model = build(model=model_type)
    assert model.config.model_type == model_type
    assert model.num_parameters() < 1e6
    assert model.get_input_embeddings().weight.shape[0] == TOKENS
    Oracle(model)  # refuses a model that sees the future
    model.save_pretrained(tmp_path)
    assert load_model(tmp_path).num_parameters() == model.num_parameters()


@pytest.mark.parametrize("model_type", ["t5", "qwen3_5", "gpt_neo", "resnet"])
def test_a_type_that_cannot_be_made_small_and_causal(model_type):
    message = refused(ModelLoadError, model=model_type)
    assert message.startswith(f"'{model_type}' cannot be made a causal language model: ")
    assert message.endswith(". Expected a type such as gpt2, or a folder with a config.json whose sizes fit together.")


def test_config_folder_and_file(tmp_path):
    CONFIGS["gpt2"].save_pretrained(tmp_path)
    for model in (tmp_path, tmp_path / "config.json"):
        config = build(model=str(model), context_length=100).config
        assert (config.n_embd, config.n_layer, config.vocab_size) == (32, 2, TOKENS)
        # The config's 64 positions are too few.
        assert config.n_positions == 100


def test_config_whose_sizes_do_not_fit(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 30, "n_head": 4}')
    assert refused(ModelLoadError, model=str(tmp_path)).startswith(
        f"'{tmp_path}' cannot be made a causal language model: "
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_pretrained_body_is_kept_and_vocabulary_new(pretrained, name):
    model, original = build(model=str(pretrained / name)), CONFIGS[name]
    source = (BertForMaskedLM if name == "bert" else AutoModelForCausalLM).from_pretrained(pretrained / name)
    kept = dict(source.named_parameters())
    same = {key for key, value in model.named_parameters() if key in kept and value.equal(kept[key])}
    new = {key for key, value in model.named_parameters() if value.shape[0] == TOKENS}
    assert same | new == set(dict(model.named_parameters()))
    assert new
    assert model.config.vocab_size == TOKENS
    assert original.vocab_size == 50
    Oracle(model)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("lora", [False, True])
def test_training_from_pretrained(pretrained, name, lora, tmp_path, tiny_log):
    settings = TrainingSettings(
        model=str(pretrained / name), lora=lora, epochs=1.0, batch_tokens=128, learning_rate=1e-2
    )
    trained = train(tiny_log, tmp_path / "run", settings)
    assert (tmp_path / "run" / "adapter").exists() == lora
    assert (tmp_path / "run" / "model.safetensors").exists() != lora
    model = load_model(tmp_path / "run")
    assert model.num_parameters() == trained.metrics["parameters"]
    tokenizer = EventTokenizer.from_pretrained(tmp_path / "run")
    again = measure(Oracle(model), tokenizer, *split_windows(tiny_log, 0.1, seed=0))
    assert again.loss == pytest.approx(trained.quality.loss)


@pytest.mark.parametrize("name", CONFIGS)
def test_lora_trains_adapters_and_the_vocabulary(pretrained, name):
    model = build(model=str(pretrained / name), lora=True)
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    vocabulary = {key for key, value in model.named_parameters() if TOKENS in value.shape}
    assert vocabulary <= trained
    assert all("lora_" in key for key in trained - vocabulary)
    assert any("lora_" in key for key in trained)

    ids = torch.tensor([[1, 4, 5, 6]])
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "lora_B" in key:
                value.fill_(0.1)
        before = model.eval()(input_ids=ids).logits
        after = folded(model)(input_ids=ids).logits
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_a_resumed_adapter_has_its_embeddings(tmp_path, tiny_log, interruption):
    # As many tokens as the log needs: adapters alone would be stored then.
    config = LlamaConfig(vocab_size=8, max_position_embeddings=64, intermediate_size=64, **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    settings = TrainingSettings(
        model=str(tmp_path / "base"), lora=True, epochs=3.0, batch_tokens=128, learning_rate=1e-2
    )
    whole = train(tiny_log, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "cut", settings, callbacks=[interruption(7)])
    resumed = train(tiny_log, tmp_path / "cut", settings, resume=True)
    assert resumed.quality == whole.quality


def test_refusals(pretrained, tmp_path):
    assert refused(SettingsError, preset="huge") == "preset is 'huge', expected one of: pico, nano, tiny, small, base."
    assert refused(SettingsError, lora=True) == (
        "--lora adapts a pretrained model, but none was named. Add `--model ID_OR_PATH`."
    )
    assert refused(SettingsError, model="gpt2", lora=True) == (
        "--lora adapts pretrained weights, but 'gpt2' is only a config. Leave out --lora."
    )
    assert refused(ModelLoadError, model=str(pretrained / "gpt2"), context_length=65) == (
        f"'{pretrained / 'gpt2'}' reads at most 64 tokens, the log's windows have 65. Pass a smaller `--window-length`."
    )
    assert refused(ModelLoadError, model="nonsense").startswith(
        "No causal language model could be loaded from 'nonsense', which is no folder here: "
    )
    assert refused(ModelLoadError, model=str(tmp_path)).startswith(
        f"'{tmp_path}' cannot be made a causal language model: "
    )


def test_roberta_counts_positions_from_its_padding(tmp_path):
    config = RobertaConfig(
        vocab_size=50, max_position_embeddings=22, intermediate_size=64, pad_token_id=1, is_decoder=True, **SHAPE
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    build(model=str(tmp_path), context_length=20)
    message = refused(ModelLoadError, model=str(tmp_path), context_length=21)
    assert "reads at most 20 tokens" in message
