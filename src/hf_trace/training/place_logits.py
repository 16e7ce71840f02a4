"""What a model says at the places of a batch, and a way to it that computes nothing else."""

from collections.abc import Mapping
from inspect import signature

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

# Where there are more places in a row, it is read as a whole.
_FEW_PLACES = 4


def logits_at(model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, "place vocab"]:
    """Logits at the places of a batch; where the model lets one choose, only at positions with a place."""
    rows, positions = batch["place_row"], batch["place_position"]
    if _is_plain(model) and len(rows) <= _FEW_PLACES * len(batch["input_ids"]):
        return _plain_logits(model, batch["input_ids"], rows, positions)
    read = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
    inner = getattr(model, "get_base_model", lambda: model)()
    if "logits_to_keep" not in signature(inner.forward).parameters:
        return model(**read).logits[rows, positions]
    kept, column = positions.unique(return_inverse=True)
    return model(**read, logits_to_keep=kept).logits[rows, column]


def _is_plain(model: nn.Module) -> bool:
    """Whether it is a Llama of a preset, on a processor that small steps keep waiting."""
    if type(model) is not LlamaForCausalLM or not _is_plain_config(model.config):
        return False
    weight = next(model.parameters())
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _is_plain_config(config: LlamaConfig) -> bool:
    return (
        config.num_key_value_heads == config.num_attention_heads
        and config.hidden_act == "silu"
        and not (config.attention_bias or config.mlp_bias or config.attention_dropout)
        and config.rope_parameters.get("rope_type", "default") == "default"
    )


def _plain_logits(
    model: LlamaForCausalLM, ids: Int[Tensor, "row pos"], row: Int[Tensor, " place"], position: Int[Tensor, " place"]
) -> Float[Tensor, "place vocab"]:
    """The forward pass of a Llama, of which the last layer is computed at places alone.

    What a token is at a position is the same in every row until it has looked at others, and is computed once. Rows
    are padded on the right, so that no place sees padding.
    """
    body, width = model.model, ids.shape[1]
    heads, positions = model.config.num_attention_heads, torch.arange(width)
    turns = tuple(part[0] for part in body.rotary_emb(body.embed_tokens.weight, positions[None]))
    kinds, kind = torch.unique(ids * width + positions, return_inverse=True)
    hidden, where = F.embedding(kinds // width, body.embed_tokens.weight), kinds % width
    for number, layer in enumerate(body.layers):
        attention, is_last = layer.self_attn, number == len(body.layers) - 1
        normed = layer.input_layernorm(hidden)
        turn = _of(turns, where)
        keys = _turned(attention.k_proj(normed).unflatten(-1, (heads, -1)), turn).flatten(-2)
        values, queries = attention.v_proj(normed), None
        if not is_last:
            queries = _turned(attention.q_proj(normed).unflatten(-1, (heads, -1)), turn).flatten(-2)
        if number == 0:
            keys, values, hidden = (F.embedding(kind, each) for each in (keys, values, hidden))
            queries, where = None if queries is None else F.embedding(kind, queries), positions
        if queries is None:
            hidden = hidden[row, position]
            asked = attention.q_proj(layer.input_layernorm(hidden)).unflatten(-1, (heads, -1))
            queries, seen = _turned(asked, _of(turns, position)).flatten(-2)[:, None], positions <= position[:, None]
            looked = _attended(queries, keys[row], values[row], heads, seen[:, None, None])[:, 0]
        else:
            looked = _attended(queries, keys, values, heads, None)
        hidden = hidden + attention.o_proj(looked)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return model.lm_head(body.norm(hidden))


def _of(turns: tuple[Tensor, ...], positions: Tensor) -> tuple[Tensor, ...]:
    """Cosines and sines at positions, for all heads."""
    return tuple(part[positions][:, None] for part in turns)


def _turned(heads: Float[Tensor, "... head size"], turn: tuple[Tensor, ...]) -> Float[Tensor, "... head size"]:
    """Rotated by position (Su et al. 2021), the way Llama pairs its numbers."""
    first, second = heads.chunk(2, dim=-1)
    return heads * turn[0] + torch.cat([-second, first], dim=-1) * turn[1]


def _attended(queries: Tensor, keys: Tensor, values: Tensor, heads: int, seen: Tensor | None) -> Tensor:
    asked, read, said = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (queries, keys, values))
    looked = F.scaled_dot_product_attention(asked, read, said, attn_mask=seen, is_causal=seen is None)
    return looked.transpose(1, 2).flatten(-2)
