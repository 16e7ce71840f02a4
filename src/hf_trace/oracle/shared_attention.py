"""Attention of many edited tails to pasts that are stored once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from hf_trace.oracle.flash_attention import Packing, attend_apart, packing
from hf_trace.oracle.rows import few_lengths
from hf_trace.oracle.transfers import sent

IMPLEMENTATION = "hf_trace_shared_past"


@dataclass
class Branching:
    """Where the rows of one forward pass branch off.

    What is given on the CPU is sent to where the past is.

    Attributes:
        past: Keys and values of the sequences, as the model's own cache holds them.
        sequence: For each group, the row of ``past`` it was cut from.
        shared_length: For each group, how many tokens of that sequence its rows share.
        samples: Rows per group.
        tail: Tokens per row.
        context_length: How many positions the model knows; None for any number.
        is_flash: Whether attention runs in kernels that hold no scores.
    """

    past: Cache
    sequence: Int[Tensor, " group"]
    shared_length: Int[Tensor, " group"]
    samples: int
    tail: int
    context_length: int | None = None
    is_flash: bool = False
    layer: int = 0
    _masks: dict[tuple[int | None, torch.dtype], Tensor] = field(default_factory=dict)
    packing: Packing | None = None
    _one: slice | None = None

    def __post_init__(self) -> None:
        keys = self.past.layers[0].keys
        longest = int(self.shared_length.max())
        first = int(self.sequence[0])
        self._one = slice(first, first + 1) if (self.sequence == first).all() else None
        self.past_length = longest if keys.is_cuda else min(keys.shape[-2], few_lengths(longest, 8))
        if self.is_flash:
            sequence, shared_length = self.sequence.cpu(), self.shared_length.cpu()
            self.packing = packing(sequence, shared_length, self.samples, self.tail, keys.device)
        self.sequence, self.shared_length = (sent(each, keys.device) for each in (self.sequence, self.shared_length))

    def keys_and_values(self) -> tuple[Tensor, Tensor]:
        """Past keys and values of the layer that is being computed, of every block."""
        stored, cut = self.past.layers[self.layer], slice(0, self.past_length)
        if self._one is not None:
            return stored.keys[self._one, :, cut], stored.values[self._one, :, cut]
        return stored.keys[self.sequence, :, cut], stored.values[self.sequence, :, cut]

    @property
    def blocks(self) -> int:
        """In how many parts the rows attend to pasts: at once where all leave one sequence, else group by group."""
        return len(self.sequence) if self._one is None else 1

    def mask(self, window: int | None, dtype: torch.dtype) -> Float[Tensor, "group 1 tail key"]:
        """Additive mask over past and tail; built once per forward pass and window."""
        if (window, dtype) not in self._masks:
            self._masks[window, dtype] = self._build_mask(window, dtype)
        return self._masks[window, dtype]

    def packed_past(self, at: Packing) -> tuple[Tensor, Tensor]:
        """The same without a gap, ``[token, head, dim]``."""
        stored = self.past.layers[self.layer]
        return stored.keys[at.sequence, :, at.position], stored.values[at.sequence, :, at.position]

    def _build_mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        device = self.shared_length.device
        slots = torch.arange(self.tail, device=device)
        past = torch.arange(self.past_length, device=device).expand(len(self.sequence), -1)
        key_position = torch.cat([past, self.shared_length[:, None] + slots], dim=1)[:, None, :]
        query_position = (self.shared_length[:, None] + slots)[:, :, None]
        visible = key_position <= query_position
        visible[:, :, : self.past_length] &= past[:, None, :] < self.shared_length[:, None, None]
        if window is not None:
            visible &= query_position - key_position < window
        mask = torch.zeros(visible.shape, dtype=dtype, device=device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


class BranchCache(Cache):
    """Stands in for a cache during branching: it stores nothing and notes which layer is computed."""

    def __init__(self, branching: Branching) -> None:
        super().__init__(layers=list(branching.past.layers))
        self.branching = branching

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Hand the tail's keys and values straight to the attention function."""
        if not torch.compiler.is_compiling():  # compiled, the number of a layer would make each a program of its own
            self.branching.layer = layer_idx
        return key_states, value_states


_branching: ContextVar[Branching | None] = ContextVar("hf_trace_branching", default=None)


def _attend(  # noqa: PLR0913 (the signature is that of transformers)
    module: torch.nn.Module,
    query: Float[Tensor, "row head tail dim"],
    key: Float[Tensor, "row kv_head tail dim"],
    value: Float[Tensor, "row kv_head tail dim"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "row tail head dim"], None]:
    """Attention function of the signature that Transformers models call."""
    if kwargs.get("s_aux") is not None or kwargs.get("position_bias") is not None:
        raise ValueError("Attention sinks and position biases cannot share pasts.")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    branching = _branching.get()
    if branching is None:
        return _attend_whole(query, key, value, scaling, sliding_window, softcap), None
    branching.layer = getattr(module, "layer_idx", branching.layer)
    if branching.packing is not None:
        if sliding_window is not None or softcap is not None:
            raise NotImplementedError("Windows and soft caps need scores")
        return _attend_packed(branching, branching.packing, query, key, value, scaling), None
    return _attend_branches(branching, query * scaling, key, value, sliding_window, softcap), None


def _attend_whole(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if window is None and softcap is None:
        out = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
        return out.transpose(1, 2).contiguous()
    positions = torch.arange(query.shape[2], device=query.device)
    distance = positions[:, None] - positions
    visible = (distance >= 0) & (distance < (window or len(positions)))
    scores = _cap((query * scaling) @ key.transpose(-1, -2), softcap)
    scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    return (_softmax(scores) @ value).transpose(1, 2).contiguous()


def _attend_branches(
    at: Branching, query: Tensor, key: Tensor, value: Tensor, window: int | None, softcap: float | None
) -> Tensor:
    blocks, samples, tail = at.blocks, len(at.sequence) // at.blocks * at.samples, at.tail
    kv_heads, repeats, dim = key.shape[1], query.shape[1] // key.shape[1], query.shape[-1]
    past_key, past_value = (part.flatten(0, 1) for part in at.keys_and_values())
    query = query.view(blocks, samples, kv_heads, repeats, tail, dim).transpose(1, 2)
    query = query.reshape(blocks * kv_heads * samples, repeats * tail, dim)
    key, value = (
        part.view(blocks, samples, kv_heads, tail, dim).transpose(1, 2).reshape(-1, tail, dim) for part in (key, value)
    )

    by_block = (blocks * kv_heads, samples * repeats * tail)
    to_past = torch.bmm(query.view(*by_block, dim), past_key.transpose(1, 2))
    to_tail = torch.bmm(query, key.transpose(1, 2)).view(*by_block, tail)
    scores = _cap(torch.cat([to_past, to_tail], dim=-1), softcap)
    mask = at.mask(window, scores.dtype)
    scores.view(blocks, kv_heads, len(at.sequence) // blocks, -1, *mask.shape[-2:]).add_(
        mask.view(blocks, 1, -1, 1, *mask.shape[-2:])
    )
    weights = _softmax(scores)

    out = torch.bmm(weights[..., : at.past_length], past_value)
    own = weights[..., at.past_length :].reshape(len(query), repeats * tail, tail)
    out = out + torch.bmm(own, value).view_as(out)
    out = out.view(blocks, kv_heads, samples, repeats, tail, dim).permute(0, 2, 4, 1, 3, 5)
    return out.reshape(blocks * samples, tail, kv_heads * repeats, dim)


def _attend_packed(
    branching: Branching, at: Packing, query: Tensor, key: Tensor, value: Tensor, scaling: float
) -> Tensor:
    # Models hold a token's heads together: seen that way, rows already stand one after another in memory.
    queries, keys, values = (part.transpose(1, 2).flatten(0, 1) for part in (query, key, value))
    out = attend_apart(at, queries, keys, values, branching.packed_past(at), scaling)
    return out.view(-1, at.tail, *out.shape[1:])


def _cap(scores: Tensor, softcap: float | None) -> Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)


# What is compiled around it stops here: a context and a layer's number are read.
AttentionInterface.register(IMPLEMENTATION, torch.compiler.disable(_attend))


@contextmanager
def shared_attention(model: PreTrainedModel, branching: Branching | None = None) -> Iterator[None]:
    """Let ``model`` attend through this module; its own attention is restored on leaving.

    A name without a mask function of its own makes Transformers build no mask at all: causality, windows
    and pasts are handled here.
    """
    before = model.config._attn_implementation
    token = _branching.set(branching)
    model.config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _branching.reset(token)


def as_past(forward: Callable[..., Any], past: Cache | None) -> dict[str, Cache | None]:
    """What was read, by the name under which a model takes it: ``cache`` since Transformers 5.24.

    Args:
        forward: Of the body of a model.
        past: Its keys and values.
    """
    return {"cache" if "cache" in signature(forward).parameters else "past_key_values": past}


def read_past(
    model: PreTrainedModel, input_ids: Int[Tensor, "sequence pos"]
) -> tuple[Float[Tensor, "sequence pos hidden"], Cache]:
    """Last hidden states of whole sequences, and the keys and values of all their positions.

    Sequences are padded on the right; causal attention keeps the padding from everything before it.
    """
    past = DynamicCache()
    with shared_attention(model):
        hidden = model.base_model(input_ids=input_ids, use_cache=True, **as_past(model.base_model.forward, past))[0]
    return hidden, past


def read_branches(
    model: PreTrainedModel, branching: Branching, tail_ids: Int[Tensor, "row tail"], *, position_offset: int = 0
) -> Float[Tensor, "row tail hidden"]:
    """Last hidden states of every tail token; rows of a group are adjacent."""
    slots = torch.arange(branching.tail, device=tail_ids.device)
    positions = branching.shared_length.repeat_interleave(branching.samples)[:, None] + slots
    if branching.context_length is not None:
        # Tails are padded to the longest, which may lead past the last position there is; no token stands there.
        positions = positions.clamp(max=branching.context_length - 1)
    with shared_attention(model, branching):
        return model.base_model(
            input_ids=tail_ids,
            position_ids=positions + position_offset,
            use_cache=True,
            **as_past(model.base_model.forward, BranchCache(branching)),
        )[0]
