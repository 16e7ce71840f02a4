"""A Llama that is told how long ago each past event was.

``AutoModelForCausalLM.from_pretrained`` loads it once ``hf_trace`` is imported. Logs with times write the time between
two events as a token, and a plain Llama has to add those up to know how long ago an event was. Here some rotary
frequencies turn with seconds instead of with the number of tokens, so that attention between two events depends on the
time between them; and beside the layers stands an additive model of the last events,

    features = Llama(x_<=q) + sum_j A[x_j, bin of t_q - t_j]

which starts at 0 and has the same output layer. It is what predicts best where a log is small (a Hawkes process seen as
a softmax; see ``oracle.additive_model``).
"""

# Loaded while Transformers itself is being loaded: nothing here may import the rest of the run folders.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.modeling_outputs import BaseModelOutputWithPast

from hf_trace.oracle.shared_attention import BranchCache, as_past


class TimedConfig(LlamaConfig):
    """Configuration of a ``TimedForCausalLM``.

    Args:
        first_gap_id: Token of the first gap; those of the others follow it.
        gap_seconds: Time that each gap token stands for, in rising order.
        time_share: Share of the rotary frequencies that turn with time.
        additive_bins: Bins of the time since an event, log-spaced, of the additive model; 0 for none.
        additive_reach: Tokens that the additive model looks back.
        kwargs: As for a ``LlamaConfig``.
    """

    model_type = "hf_trace_timed"

    def __init__(
        self,
        first_gap_id: int = 0,
        gap_seconds: Sequence[float] = (),
        time_share: float = 0.5,
        additive_bins: int = 10,
        additive_reach: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.first_gap_id, self.gap_seconds = first_gap_id, list(gap_seconds)
        self.time_share, self.additive_bins, self.additive_reach = time_share, additive_bins, additive_reach


def told_times(config: TimedConfig) -> tuple[float, float]:
    """The shortest time between two events that can be told from none, and the longest a sequence can take."""
    gaps = [gap for gap in config.gap_seconds if gap > 0] or [1.0]
    return gaps[0], gaps[-1] * config.max_position_embeddings / 2


@dataclass(frozen=True)
class Told:
    """Tokens up to now, those that are read now at the end.

    Attributes:
        ids: The tokens.
        time: Seconds from the start of the sequence, in float64.
        present: Which slots hold a token.
    """

    ids: Int[Tensor, "row pos"]
    time: Float[Tensor, "row pos"]
    present: Bool[Tensor, "row pos"]

    def recent(self, slots: int, reach: int) -> tuple[Int[Tensor, "row slot pos"], Float[Tensor, "row slot reach"]]:
        """The tokens up to each of the last slots, at most ``reach``, and how long ago each was; -1 for none."""
        ids, time, own = self.ids.where(self.present, -1), self.time, None
        if not (self.present[:, 1:] <= self.present[:, :-1]).all():
            # Empty slots move to the front, so that the last tokens of a row stand side by side.
            order = self.present.byte().argsort(dim=1, stable=True)
            ids, time = ids.gather(1, order), time.gather(1, order)
            own = (self.present.cumsum(1) - 1 + (~self.present).sum(1, keepdim=True))[:, -slots:].clamp(min=0)
        near = [pad(each, (reach - 1, 0), value=-1).unfold(1, reach, 1) for each in (ids, time)]
        if own is None:
            ids, time = (each[:, -slots:] for each in near)
        else:
            ids, time = (each.gather(1, own[..., None].expand(-1, -1, reach)) for each in near)
        return ids, time[..., -1:] - time


class Clock(nn.Module):
    """What was read and when: the time at a token is the sum of the gaps up to it.

    Where a cache holds the past, tokens and their gaps stand in a layer of their own behind those of the decoder.
    """

    def __init__(self, config: TimedConfig) -> None:
        super().__init__()
        self.first, self.layer, self.reach = config.first_gap_id, config.num_hidden_layers, config.additive_reach
        # No buffer: those take the precision of the weights, which is too little for times.
        self.gap_seconds = [*config.gap_seconds, 0.0]

    def seconds(self, input_ids: Int[Tensor, "row slot"]) -> Float[Tensor, "row slot"]:
        """What each token adds to the time; 0 for all but gaps."""
        gaps = torch.tensor(self.gap_seconds, dtype=torch.float64, device=input_ids.device)
        gap = input_ids - self.first
        return gaps[gap.where((gap >= 0) & (gap < len(gaps)), -1)]

    def forward(
        self, input_ids: Int[Tensor, "row slot"], past: Cache | None, present: Int[Tensor, "row pos"] | None
    ) -> Told:
        """What was read before and is read now.

        Args:
            input_ids: The tokens that are read now.
            past: What was read before; the tokens are added to it.
            present: Which slots, of the past and then of the tokens, hold a token; None for all.
        """
        seconds = self.seconds(input_ids)
        if isinstance(past, BranchCache):
            return self._branched(past, input_ids, seconds)
        if past is not None:
            while len(past.layers) <= self.layer:
                past.layers.append((past.layer_class_to_replicate or DynamicLayer)())
            stored = past.update(input_ids[:, None, :, None].double(), seconds[:, None, :, None], self.layer)
            input_ids, seconds = stored[0][:, 0, :, 0].long(), stored[1][:, 0, :, 0]
        there = torch.ones_like(input_ids, dtype=torch.bool) if present is None else present.bool()
        return Told(input_ids, (seconds * there).cumsum(1), there)

    def _branched(self, past: BranchCache, tail: Tensor, seconds: Tensor) -> Told:
        """The last tokens that each row shares with others, and its own."""
        at = past.branching
        layer = at.past.layers[self.layer]
        ids, time = layer.keys[at.sequence, 0, :, 0].long(), layer.values[at.sequence, 0, :, 0].cumsum(1)
        last = at.shared_length[:, None] + torch.arange(-self.reach, 0, device=tail.device)
        ids, time, there = (
            each.repeat_interleave(at.samples, 0)
            for each in (ids.gather(1, last.clamp(min=0)), time.gather(1, last.clamp(min=0)), last >= 0)
        )
        return Told(
            torch.cat([ids, tail], 1),
            torch.cat([time, time[:, -1:] + seconds.cumsum(1)], 1),
            torch.cat([there, torch.ones_like(tail, dtype=torch.bool)], 1),
        )


class TimedRotary(nn.Module):
    """Rotary angles of which some turn with positions and some with seconds, from the shortest to the longest time."""

    def __init__(self, config: TimedConfig) -> None:
        super().__init__()
        pairs = (config.head_dim or config.hidden_size // config.num_attention_heads) // 2
        self.timed = round(pairs * config.time_share) if config.gap_seconds else 0
        self.untimed, (self.shortest, self.longest) = pairs - self.timed, told_times(config)
        self.time: Tensor | None = None

    def rates(self, device: torch.device) -> tuple[Float[Tensor, " pair"], Float[Tensor, " timed_pair"]]:
        """Radians per position, and per second."""
        per_position = 10_000.0 ** (-torch.arange(self.untimed, device=device) / max(1, self.untimed))
        base = self.longest / self.shortest
        per_second = torch.logspace(0, 1, self.timed, base=base, dtype=torch.float64, device=device) / self.longest
        return per_position, per_second

    def forward(self, x: Tensor, position_ids: Int[Tensor, "row slot"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines, as ``LlamaRotaryEmbedding`` gives them; ``time`` is that of the tokens."""
        per_position, per_second = self.rates(x.device)
        angles = position_ids[..., None].float() * per_position
        if self.time is not None:
            turned = (self.time[..., None] * per_second).remainder(2 * torch.pi).float()
            angles = torch.cat([angles.expand(*turned.shape[:2], -1), turned], -1)
        both = torch.cat([angles, angles], -1)
        return both.cos().to(x.dtype), both.sin().to(x.dtype)


class AdditiveModel(nn.Module):
    """Sum over the last events of what each adds to the features, by its type and the time since."""

    def __init__(self, config: TimedConfig) -> None:
        super().__init__()
        self.bins, self.reach, self.none = config.additive_bins, config.additive_reach, config.vocab_size
        self.shortest, self.longest = told_times(config)
        # The last row stands for no token and stays 0.
        self.weight = nn.Parameter(torch.zeros(config.vocab_size * self.bins + 1, config.hidden_size))

    def edges(self, device: torch.device) -> Float[Tensor, " edge"]:
        """Upper edges of all bins but the last, in seconds."""
        half = self.shortest / 2
        ratio = self.longest / half
        return half * torch.logspace(0, 1, self.bins - 1, base=ratio, dtype=torch.float64, device=device)

    def forward(
        self, told: Told, slots: int, presence: Float[Tensor, "row pos"] | None = None
    ) -> Float[Tensor, "row slot hidden"]:
        """Features after each of the last slots.

        Args:
            told: What was read.
            slots: How many slots are asked for.
            presence: How much of each token is there, for gradients.
        """
        ids, ago = told.recent(slots, self.reach)
        entry = ids * self.bins + torch.searchsorted(self.edges(ago.device), ago.contiguous())
        entry = entry.where(ids >= 0, self.none * self.bins)
        weights = None
        if presence is not None:
            weights = pad(presence, (self.reach - 1, 0)).unfold(1, self.reach, 1)[:, -slots:].flatten(0, 1)
        added = embedding_bag(
            entry.flatten(0, 1), self.weight, mode="sum", per_sample_weights=weights, padding_idx=len(self.weight) - 1
        )
        return added.unflatten(0, ids.shape[:2])


class TimedModel(LlamaModel):
    """The body of a ``TimedForCausalLM``."""

    config_class = TimedConfig

    def __init__(self, config: TimedConfig) -> None:
        super().__init__(config)
        self.rotary_emb = TimedRotary(config)
        self.clock = Clock(config)
        self.additive = AdditiveModel(config) if config.additive_bins else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        clock_ids: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """As ``LlamaModel.forward``; with ``inputs_embeds``, the time is read from the tokens in ``clock_ids``.

        What was read is a ``cache`` since Transformers 5.24, ``past_key_values`` before.
        """
        tokens = clock_ids if input_ids is None else input_ids
        if tokens is None:
            raise ValueError("Embeddings do not say what time it is: pass the tokens too, as `clock_ids`.")
        past = past_key_values if cache is None else cache
        if use_cache and past is None:
            past = DynamicCache(config=self.config)
        present = attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
        told = self.clock(tokens, past, present)
        self.rotary_emb.time = told.time[:, -tokens.shape[1] :]
        try:
            out = super().forward(
                input_ids,
                attention_mask,
                *args,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                **as_past(super().forward, past),
                **kwargs,
            )
        finally:
            self.rotary_emb.time = None
        if self.additive is not None:
            presence = None if inputs_embeds is None else self._presence(inputs_embeds, tokens)
            out["last_hidden_state"] = out[0] + self.additive(told, tokens.shape[1], presence)
        return out

    def _presence(self, given: Float[Tensor, "row slot hidden"], tokens: Tensor) -> Float[Tensor, "row slot"]:
        """How much of each token's embedding is given: 1, with a gradient."""
        known = self.embed_tokens(tokens).detach()
        return (given * known).sum(-1) / known.square().sum(-1).clamp(min=torch.finfo(known.dtype).tiny)


class TimedForCausalLM(LlamaForCausalLM):
    """A causal language model of events in time, read by the engine like any Llama."""

    config_class = TimedConfig

    def __init__(self, config: TimedConfig) -> None:
        super().__init__(config)
        self.model = TimedModel(config)
        self.post_init()


AutoConfig.register(TimedConfig.model_type, TimedConfig, exist_ok=True)
AutoModelForCausalLM.register(TimedConfig, TimedForCausalLM, exist_ok=True)
