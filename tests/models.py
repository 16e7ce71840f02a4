"""Tiny random models of many types, built from config."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCAB = 23
_SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_COMMON = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_LONG = {"max_position_embeddings": 64}
CONFIGS = {
    "llama": {**_SHAPE, **_LONG, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "qwen2": {**_SHAPE, **_LONG, "num_key_value_heads": 2},
    "qwen3": {**_SHAPE, **_LONG, "num_key_value_heads": 2, "head_dim": 8},
    "mistral": {**_SHAPE, **_LONG, "num_key_value_heads": 2, "sliding_window": 5},
    "gemma2": {**_SHAPE, **_LONG, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 5},
    "gpt_neox": {**_SHAPE, **_LONG},
    "opt": {**_SHAPE, **_LONG, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "roberta": {**_SHAPE, **_LONG, "is_decoder": True},
    "bert": {**_SHAPE, **_LONG, "is_decoder": True},
    "cohere": {**_SHAPE, **_LONG},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 64},
}


def tiny_model(kind: str, *, seed: int = 0, scale: float = 3.0, **changes: object) -> torch.nn.Module:
    """A random model whose predictions depend on the past: weights are larger than at initialisation."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**_COMMON, **CONFIGS.get(kind, {}), **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    return model
