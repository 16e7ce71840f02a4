"""Ways to run a model over sequences and the rows that leave them, and from what it computes to log-probabilities."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import linear, pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from hf_trace.errors import ModelLoadError, SettingsError
from hf_trace.oracle.compiled import compiled_layers, compiled_log_normalizer, lent, log_normalizer
from hf_trace.oracle.rows import Branches, Groups, Ids
from hf_trace.oracle.shared_attention import Branching, as_past, read_branches, read_past
from hf_trace.oracle.transfers import sent

Features = Shaped[Tensor, "sequence pos feature"]
Embeddings = Float[Tensor, "sequence pos hidden"]
TailIds = Int[Tensor, "group sample tail"]
TailFeatures = Shaped[Tensor, "row tail feature"]
TokenFeatures = Shaped[Tensor, "token feature"]
Tokens = Int[Tensor, " token"]
LogProbs = Float[Tensor, " token"]
Logits = Float[Tensor, "token vocab"]
Candidates = Int[Tensor, " candidate"]
Chosen = Float[Tensor, "token candidate"]
BLOCK_BYTES = 8 * 2**20  # of logits at a time: what a CPU's caches hold
_COLUMNS = 2048
# What configs call the number of positions.
_LENGTH_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")


def context_length(model: PreTrainedModel) -> int | None:
    """Tokens the model can read at once, or None if nothing bounds them.

    Raises:
        ModelLoadError: If the model says of itself that it cannot read two, and so predict the second.
    """
    config = model.config
    for name in _LENGTH_NAMES:
        most = getattr(config, name, None)
        if most is None:
            continue
        if isinstance(most, bool) or not isinstance(most, int) or most - position_offset(model) < 2:
            raise ModelLoadError(
                f"`{name}` of the model's config is {most!r}, expected the number of tokens it reads, at least "
                f"{2 + position_offset(model)}. Take the config.json that was saved with the weights."
            )
        return most - position_offset(model)
    return None


def position_offset(model: PreTrainedModel) -> int:
    """Position of a model's first token: RoBERTa-like models count from the padding id + 1, others from 0."""
    embeddings = getattr(model.base_model, "embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    created = hasattr(embeddings, "create_position_ids_from_input_ids")
    return padding + 1 if created and padding is not None else 0


@runtime_checkable
class Head(Protocol):
    """What turns features of positions into scores of the next token."""

    def log_probs(self, features: TokenFeatures, targets: Tokens) -> LogProbs:
        """Log-probability, in nats and float32, of one target per position."""
        ...

    def logits(self, features: TokenFeatures) -> Logits:
        """Logits over the whole vocabulary, for few positions at a time."""
        ...

    def candidate_logits(self, features: TokenFeatures, candidates: Candidates) -> Chosen:
        """Logits of a few tokens."""
        ...


class LinearHead:
    """An output layer that is one matrix product, with or without a bias."""

    def __init__(self, layer: torch.nn.Linear, *, is_compiled: bool = False) -> None:
        self.layer = layer
        self.log_normalizer = compiled_log_normalizer() if is_compiled else log_normalizer

    def log_probs(self, features: TokenFeatures, targets: Tokens) -> LogProbs:
        """See ``Head``; the normalizer is gathered over blocks of the vocabulary."""
        weight, bias = self.layer.weight, self.layer.bias
        logits = block_logits(features.device)
        # A GPU takes the whole vocabulary at once.
        tokens = max(1, min(len(features), logits // len(weight) if features.is_cuda else 1024))
        width = max(256, logits // tokens)
        out = torch.empty(len(features), dtype=torch.float32, device=features.device)
        for rows in _blocks(len(features), tokens):
            part = features[rows]
            total = torch.full((len(part),), -torch.inf, device=part.device)
            for columns in _blocks(len(weight), width):
                block = linear(part, weight[columns], None if bias is None else bias[columns])
                total = torch.logaddexp(total, self.log_normalizer(block))
            observed = (part.float() * weight[targets[rows]].float()).sum(-1)
            out[rows] = observed + (0 if bias is None else bias[targets[rows]].float()) - total
        return out

    def logits(self, features: TokenFeatures) -> Logits:
        """See ``Head``."""
        return self.layer(features)

    def candidate_logits(self, features: TokenFeatures, candidates: Candidates) -> Chosen:
        """See ``Head``."""
        chosen = _chosen(candidates, features.device)
        weight, bias = self.layer.weight[chosen], None if self.layer.bias is None else self.layer.bias[chosen]
        if features.is_cuda:
            return linear(features, weight, bias)
        # Few rows at a time keep no weights in a CPU's caches; a few thousand weights at a time stay there.
        out = features.new_empty((len(features), len(weight)))
        for columns in _blocks(len(weight), _COLUMNS):
            out[:, columns] = linear(features, weight[columns], None if bias is None else bias[columns])
        return out


class WholeHead:
    """Any function from features to logits, applied to as many positions as fit a block."""

    def __init__(self, function: Callable[[Tensor], Tensor], vocab_size: int) -> None:
        self.logits = function
        self.vocab_size = vocab_size

    def log_probs(self, features: TokenFeatures, targets: Tokens) -> LogProbs:
        """See ``Head``."""
        out = torch.empty(len(features), dtype=torch.float32, device=features.device)
        for rows in self._blocks(features):
            logits = self.logits(features[rows]).float()
            out[rows] = logits.gather(-1, targets[rows, None]).squeeze(-1) - logits.logsumexp(-1)
        return out

    def candidate_logits(self, features: TokenFeatures, candidates: Candidates) -> Chosen:
        """See ``Head``."""
        chosen = _chosen(candidates, features.device)
        return torch.cat([self.logits(features[rows])[:, chosen] for rows in self._blocks(features)])

    def _blocks(self, features: TokenFeatures) -> Iterator[slice]:
        return _blocks(len(features), max(1, block_logits(features.device) // self.vocab_size))


def _chosen(candidates: Candidates, device: torch.device) -> slice | Tensor:
    """Where candidates lie in a vocabulary: a part of it that need not be copied, if they follow each other."""
    if candidates.is_cpu and len(candidates) and (candidates.diff() == 1).all():
        return slice(int(candidates[0]), int(candidates[-1]) + 1)
    return candidates.to(device)


def block_logits(device: torch.device) -> int:
    """Logits that are computed at a time; on a GPU a sixty-fourth of its memory, at most a gigabyte."""
    if device.type != "cuda":
        return BLOCK_BYTES // 4
    return min(2**30, torch.cuda.get_device_properties(device).total_memory // 64) // 4


def _blocks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def replayed_logits(model: PreTrainedModel, hidden: Float[Tensor, "token hidden"]) -> Logits:
    """Logits that ``model`` computes from given hidden states instead of its own.

    Reaches every scaling, bias, soft cap or transform a model applies after its body.
    """
    body = model.base_model

    def given(*args: object, **kwargs: object) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=hidden[None])

    body.forward = given
    try:
        ids = torch.zeros((1, len(hidden)), dtype=torch.long, device=hidden.device)
        return model(input_ids=ids, use_cache=False).logits[0]
    finally:
        del body.forward


def candidate_heads(model: PreTrainedModel) -> Iterator[Head]:
    """Heads to try on hidden states, the fastest first; none is checked yet."""
    layer = model.get_output_embeddings()
    if isinstance(layer, torch.nn.Linear):
        yield LinearHead(layer)
    yield WholeHead(lambda hidden: replayed_logits(model, hidden), model.config.vocab_size)
    if layer is not None:
        yield WholeHead(layer, model.config.vocab_size)


_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Reading:
    """Sequences a model has read.

    Attributes:
        input_ids: The sequences, padded on the right.
        features: What the output head needs to predict the token after each position.
        past: Keys and values of every position, if the reader keeps them.
    """

    input_ids: Ids
    features: Features
    past: Cache | None = None


def as_one_reading(readings: Sequence[Reading], axis: int = 0) -> Reading:
    """One reading of all sequences of several."""
    pasts = [reading.past.layers for reading in readings if reading.past is not None]
    layers = [
        (torch.cat([each.keys for each in layer]), torch.cat([each.values for each in layer]))
        for layer in zip(*pasts, strict=True)
    ]
    input_ids, features = (
        torch.cat([getattr(reading, name) for reading in readings], axis) for name in ("input_ids", "features")
    )
    return Reading(input_ids, features, DynamicCache(layers) if pasts else None)


def _time_from(model: PreTrainedModel, input_ids: Ids) -> dict[str, Ids]:
    """Where a model that is told the time reads it when it is given embeddings."""
    return {"clock_ids": input_ids} if hasattr(model.base_model, "clock") else {}


class StepReader:
    """Reads rows on, step by step, with the keys and values of what it has read of them."""

    def __init__(self, model: PreTrainedModel, position_offset: int) -> None:
        self.model = model
        self.position_offset = position_offset

    def read(
        self, past: Cache, tokens: Int[Tensor, "row slot"], present: Bool[Tensor, "row pos"]
    ) -> Shaped[Tensor, "row slot feature"]:
        """Read the next tokens of every row.

        Args:
            past: What was read; it grows by the tokens.
            tokens: What comes next in each row.
            present: Which slots, of ``past`` and then of ``tokens``, hold a token.
        """
        known = {}
        if not present.all():
            positions = (present.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            known = {"attention_mask": present.long(), "position_ids": positions + self.position_offset}
        body = self.model.base_model
        return body(input_ids=tokens, use_cache=True, **as_past(body.forward, past), **known)[0]

    @cached_property
    def reads_gaps(self) -> bool:
        """Whether a row with an empty slot is read as if the slot were not there; tried out once."""
        tokens = torch.arange(1, 7, device=self.model.device).remainder(self.model.config.vocab_size)[None]
        present = torch.tensor([[1, 1, 1, 1, 0, 1, 1]], dtype=torch.bool, device=self.model.device)
        past = DynamicCache()
        try:
            plain = self.model.base_model(input_ids=tokens)[0][:, -2:]
            self.read(past, torch.cat([tokens[:, :4], tokens[:, :1]], dim=1), present[:, :5])
            gapped = self.read(past, tokens[:, 4:], present)
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
            return False
        return float((plain - gapped).abs().max() / plain.abs().max().clamp(min=1e-12)) <= _TOLERANCE


class Reader(ABC):
    """A way to get features of sequences and of the tails of rows.

    Attributes:
        name: What results call it.
        logit_bytes: Memory per token beyond that of the model's layers: of logits, where those are the features.
        holds_scores: Whether a layer holds the attention scores of a token over all keys.
        steps: What reads rows on step by step; None where each step reads whole rows again.
    """

    name: str
    logit_bytes: int = 0
    holds_scores: bool = True
    steps: StepReader | None = None

    @abstractmethod
    def read(self, input_ids: Ids) -> Reading:
        """Read whole sequences."""

    @abstractmethod
    def read_embedded(self, embeddings: Embeddings, input_ids: Ids) -> Features:
        """Features of whole sequences that are given as embeddings of their tokens, and as tokens for their times."""

    @abstractmethod
    def branch(self, reading: Reading, sequence: Groups, shared_length: Groups, tail_ids: TailIds) -> TailFeatures:
        """Features of every tail token of rows that leave ``reading``; rows of a group are adjacent."""

    def width(self, branches: Branches) -> Groups:
        """Tokens that one row of each group costs."""
        return branches.tail_length


class SharedPastReader(Reader):
    """Computes the keys and values of a sequence once and shares them with all rows that leave it."""

    name = "shared past"

    def __init__(
        self, model: PreTrainedModel, *, position_offset: int = 0, is_flash: bool = False, is_compiled: bool = False
    ) -> None:
        self.model = model
        self.position_offset = position_offset
        self.context_length = context_length(model)
        self.steps = StepReader(model, position_offset)
        self.is_flash, self.holds_scores = is_flash, not is_flash
        self.layers = compiled_layers(model.base_model) if is_compiled else {}

    def read(self, input_ids: Ids) -> Reading:
        """See ``Reader``."""
        hidden, past = read_past(self.model, input_ids)
        return Reading(input_ids, hidden, past)

    def read_embedded(self, embeddings: Embeddings, input_ids: Ids) -> Features:
        """See ``Reader``."""
        return self.model.base_model(inputs_embeds=embeddings, use_cache=False, **_time_from(self.model, input_ids))[0]

    def branch(self, reading: Reading, sequence: Groups, shared_length: Groups, tail_ids: TailIds) -> TailFeatures:
        """See ``Reader``."""
        if reading.past is None:
            raise ValueError("This reading holds no past; use the reader that made it.")
        _, samples, tail = tail_ids.shape
        branching = Branching(reading.past, sequence, shared_length, samples, tail, self.context_length, self.is_flash)
        rows = sent(tail_ids.flatten(0, 1), reading.input_ids.device)
        with lent(self.layers):
            return read_branches(self.model, branching, rows, position_offset=self.position_offset)


class MarkovReader(Reader):
    """Reads a model whose predictions depend on the last few tokens only: those tokens are its features."""

    name = "last tokens"

    def __init__(self, model: PreTrainedModel, order: int, padding: int) -> None:
        self.model = model
        self.order = order
        self.padding = padding

    def logits(self, last_tokens: Int[Tensor, "token feature"]) -> Shaped[Tensor, "token vocab"]:
        """What follows the given tokens; this reader's output head."""
        return self.model(input_ids=last_tokens, logits_to_keep=1).logits[:, -1]

    def read(self, input_ids: Ids) -> Reading:
        """See ``Reader``."""
        return Reading(input_ids, self._windows(input_ids, input_ids.shape[1]))

    def read_embedded(self, embeddings: Embeddings, input_ids: Ids) -> Features:
        """See ``Reader``.

        Raises:
            SettingsError: Always, because token ids are the features.
        """
        raise SettingsError(
            f"construction is 'saliency', but {type(self.model).__name__} is read by its last token ids, which have no "
            "gradient. Use construction='atomic'."
        )

    def branch(self, reading: Reading, sequence: Groups, shared_length: Groups, tail_ids: TailIds) -> TailFeatures:
        """See ``Reader``."""
        samples, tail = tail_ids.shape[1:]
        device = reading.input_ids.device
        sequence, shared_length, tail_ids = (sent(each, device) for each in (sequence, shared_length, tail_ids))
        padded = pad(reading.input_ids, (self.order, 0), value=self.padding)
        slots = shared_length[:, None] + torch.arange(self.order, device=tail_ids.device)
        past = padded[sequence[:, None], slots].repeat_interleave(samples, 0)
        return self._windows(torch.cat([past, tail_ids.flatten(0, 1)], dim=1), tail)

    def _windows(self, ids: Int[Tensor, "row pos"], last: int) -> Int[Tensor, "row last feature"]:
        """The last tokens up to each of the last positions."""
        return pad(ids, (self.order, 0), value=self.padding).unfold(1, self.order, 1)[:, -last:]


class FullRowReader(Reader):
    """Scores every row alone and whole, through the model's public forward: slow, and right for every model."""

    name = "full rows"

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.context_length = context_length(model)
        self.logit_bytes = 8 * model.config.vocab_size

    def read(self, input_ids: Ids) -> Reading:
        """See ``Reader``."""
        return Reading(input_ids, self.model(input_ids=input_ids).logits)

    def read_embedded(self, embeddings: Embeddings, input_ids: Ids) -> Features:
        """See ``Reader``."""
        return self.model(inputs_embeds=embeddings, use_cache=False, **_time_from(self.model, input_ids)).logits

    def branch(self, reading: Reading, sequence: Groups, shared_length: Groups, tail_ids: TailIds) -> TailFeatures:
        """See ``Reader``."""
        _, samples, tail = tail_ids.shape
        length, device = int(shared_length.max()) + tail, reading.input_ids.device
        sequence, shared_length, tail_ids = (sent(each, device) for each in (sequence, shared_length, tail_ids))
        start = shared_length.repeat_interleave(samples)[:, None]
        slots = start + torch.arange(tail, device=tail_ids.device)
        rows = pad(reading.input_ids, (0, length))[sequence, :length]
        rows = rows.repeat_interleave(samples, 0).scatter(1, slots, tail_ids.flatten(0, 1))
        # Tails are padded to the longest, which may lead past the last position there is; no token stands there.
        logits = self.model(input_ids=rows[:, : self.context_length]).logits
        slots = slots.clamp(max=logits.shape[1] - 1)
        return logits.gather(1, slots[..., None].expand(-1, -1, logits.shape[-1]))

    def width(self, branches: Branches) -> Groups:
        """See ``Reader``."""
        return branches.shared_length + branches.tail_length
