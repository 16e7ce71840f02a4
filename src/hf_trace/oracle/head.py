"""From hidden states to log-probabilities of single tokens, without a ``[tokens, vocabulary]`` table."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

BLOCK_BYTES = 8 * 2**20


@runtime_checkable
class Head(Protocol):
    """What turns features of positions into scores of the next token."""

    def log_probs(
        self, features: Shaped[Tensor, "token feature"], targets: Int[Tensor, " token"]
    ) -> Float[Tensor, " token"]:
        """Log-probability, in nats and float32, of one target per position."""
        ...

    def logits(self, features: Shaped[Tensor, "token feature"]) -> Float[Tensor, "token vocab"]:
        """Logits over the whole vocabulary, for few positions at a time."""
        ...

    def candidate_logits(
        self, features: Shaped[Tensor, "token feature"], candidates: Int[Tensor, " candidate"]
    ) -> Float[Tensor, "token candidate"]:
        """Logits of a few tokens."""
        ...


class LinearHead:
    """An output layer that is one matrix product, with or without a bias."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        self.layer = layer

    def log_probs(
        self, features: Shaped[Tensor, "token feature"], targets: Int[Tensor, " token"]
    ) -> Float[Tensor, " token"]:
        """See ``Head``; the normalizer is gathered over blocks of the vocabulary."""
        weight, bias = self.layer.weight, self.layer.bias
        tokens = max(1, min(len(features), 1024))
        width = max(256, BLOCK_BYTES // (4 * tokens))
        out = torch.empty(len(features), dtype=torch.float32, device=features.device)
        for rows in _blocks(len(features), tokens):
            part = features[rows]
            total = torch.full((len(part),), -torch.inf, device=part.device)
            for columns in _blocks(len(weight), width):
                block = linear(part, weight[columns], None if bias is None else bias[columns])
                total = torch.logaddexp(total, block.float().logsumexp(-1))
            observed = (part.float() * weight[targets[rows]].float()).sum(-1)
            out[rows] = observed + (0 if bias is None else bias[targets[rows]].float()) - total
        return out

    def logits(self, features: Shaped[Tensor, "token feature"]) -> Float[Tensor, "token vocab"]:
        """See ``Head``."""
        return self.layer(features)

    def candidate_logits(
        self, features: Shaped[Tensor, "token feature"], candidates: Int[Tensor, " candidate"]
    ) -> Float[Tensor, "token candidate"]:
        """See ``Head``."""
        weight, bias = self.layer.weight, self.layer.bias
        return linear(features, weight[candidates], None if bias is None else bias[candidates])


class WholeHead:
    """Any function from features to logits, applied to as many positions as fit a block."""

    def __init__(self, function: Callable[[Tensor], Tensor], vocab_size: int) -> None:
        self.logits = function
        self.tokens = max(1, BLOCK_BYTES // (4 * vocab_size))

    def log_probs(
        self, features: Shaped[Tensor, "token feature"], targets: Int[Tensor, " token"]
    ) -> Float[Tensor, " token"]:
        """See ``Head``."""
        parts = [_gathered(self.logits(features[rows]), targets[rows]) for rows in self._rows(features)]
        return torch.cat(parts) if parts else features.new_empty(0, dtype=torch.float32)

    def candidate_logits(
        self, features: Shaped[Tensor, "token feature"], candidates: Int[Tensor, " candidate"]
    ) -> Float[Tensor, "token candidate"]:
        """See ``Head``."""
        return torch.cat([self.logits(features[rows])[:, candidates] for rows in self._rows(features)])

    def _rows(self, features: Tensor) -> Iterator[slice]:
        return _blocks(len(features), self.tokens)


def _gathered(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits.float()
    return logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)


def _blocks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def replayed_logits(model: PreTrainedModel, hidden: Float[Tensor, "token hidden"]) -> Float[Tensor, "token vocab"]:
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
