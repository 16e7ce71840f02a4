"""What a model itself says about its inputs: gradients by embeddings and attention weights."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from hf_trace.errors import NonFiniteError, SettingsError
from hf_trace.oracle.engine import Oracle, token_bytes
from hf_trace.oracle.readers import Reading, Tokens
from hf_trace.oracle.rows import Ids

# Share of the largest log-probability; rounding stays far below, a model that ignores its embeddings far above.
_TOLERANCE = 0.05


def input_times_gradient(
    oracle: Oracle, reading: Reading, sequence: Tokens, position: Tokens
) -> Iterator[tuple[Int[Tensor, " row"], Float[Tensor, "row pos"]]]:
    r"""Input x gradient of the log-probability of tokens that were read (Shrikumar et al., arXiv 1605.01713).

    .. math:: e_j \cdot \partial \ln P(x_q | x_{<q}) / \partial e_j

    with :math:`e_j` the input embedding of token j. The past of every token is a row of its own, read once forward
    and once backward, many rows at a time.

    Args:
        oracle: The frozen model; it must take ``inputs_embeds``.
        reading: What ``oracle`` read.
        sequence: Sequence of each token q.
        position: Its position, at least 1.

    Yields:
        Indices into ``sequence`` and their values in nats: ``[r, j]`` reads "what token j contributed to the
        log-probability of token q"; 0 from q on.

    Raises:
        SettingsError: If the model takes no embeddings, or answers them differently from tokens.
        NonFiniteError: If a gradient is NaN or infinite.
    """
    _check_takes_embeddings(oracle.model)
    # A backward pass needs the activations of every layer.
    config = oracle.model.config
    cost = getattr(config, "num_hidden_layers", 12) * token_bytes(config, reading.input_ids.shape[1])
    most_tokens = oracle.memory.tokens(cost + 2 * oracle.reader.logit_bytes)
    # Longest first: neighbors are alike, so little is padded, and where memory runs out it does so at once.
    order = position.argsort(descending=True, stable=True)
    start = 0
    while start < len(order):
        width = int(position[order[start]])
        rows = order[start : start + max(1, most_tokens // width)]
        start += len(rows)
        score = partial(_contributions, oracle, reading, width)
        yield rows, oracle.memory.in_pieces("taking gradients", score, sequence[rows], position[rows])


def _contributions(
    oracle: Oracle, reading: Reading, width: int, sequence: Tensor, position: Tensor
) -> Float[Tensor, "row pos"]:
    device = oracle.device
    with torch.inference_mode(False), torch.enable_grad():
        ids = reading.input_ids[sequence.to(device)]
        inputs = oracle.model.get_input_embeddings()(ids[:, :width]).detach().clone().requires_grad_()
        last = position.to(device) - 1
        # A copy: some models scale their embeddings in place.
        read = oracle.reader.read_embedded(inputs.clone(), ids[:, :width])
        features = read[torch.arange(len(ids), device=device), last]
        targets = ids.gather(1, last[:, None] + 1)[:, 0]
        log_probs = oracle.head.log_probs(features, targets)
        (gradient,) = torch.autograd.grad(log_probs.sum(), inputs)
    _check_same(oracle.model, log_probs.detach().cpu(), oracle.log_probs(reading, sequence, position))
    values = (inputs.detach() * gradient).float().sum(-1).cpu()
    if not torch.isfinite(values).all():
        raise NonFiniteError(
            "The gradient of the model is NaN or infinite, expected a finite one. Load the model with dtype='float32'."
        )
    return values


def _check_takes_embeddings(model: PreTrainedModel) -> None:
    if "inputs_embeds" not in inspect.signature(model.forward).parameters:
        raise SettingsError(
            f"construction is 'saliency', but {type(model).__name__} takes no `inputs_embeds` to differentiate by. "
            "Use construction='atomic', which needs only probabilities."
        )


def _check_same(model: PreTrainedModel, found: Tensor, expected: Tensor) -> None:
    difference = float((found - expected).abs().max())
    if difference > _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise SettingsError(
            f"construction is 'saliency', but log-probabilities of {type(model).__name__} differ by {difference:.2g} "
            "between tokens and their `inputs_embeds`, expected 0. Use construction='atomic'."
        )


def attention_rollout(oracle: Oracle, input_ids: Ids) -> Iterator[tuple[slice, Float[Tensor, "sequence query key"]]]:
    r"""Attention rollout (Abnar & Zuidema, arXiv 2005.00928): attention followed through all layers.

    .. math:: \tilde A = A_L A_{L-1} \cdots A_1, \qquad A_l = \tfrac12 (\bar W_l + I)

    with :math:`\bar W_l` the attention weights of layer l averaged over heads, and the identity for the residual
    connection. The model's own attention implementation is restored afterwards.

    Args:
        oracle: The frozen model; it must give its attention weights.
        input_ids: Sequences, padded on the right.

    Yields:
        A few sequences at a time and their rollouts: ``[s, q, j]`` reads "the share of what position q computes
        that comes from token j"; rows sum to 1, and nothing comes from later tokens.

    Raises:
        SettingsError: If the model gives no attention weights, or not those of every layer.
    """
    length, config = input_ids.shape[1], oracle.model.config
    heads, layers = (getattr(config, name, None) or 12 for name in ("num_attention_heads", "num_hidden_layers"))
    at_once = max(1, oracle.budget // (4 * layers * (heads + 1) * length**2))
    for start in range(0, len(input_ids), at_once):
        rows = slice(start, start + at_once)
        rollout = partial(_rollout, oracle.model)
        yield rows, oracle.memory.in_pieces("following attention", rollout, input_ids[rows].to(oracle.device))


@torch.inference_mode()
def _rollout(model: PreTrainedModel, input_ids: Ids) -> Float[Tensor, "sequence query key"]:
    residual = torch.eye(input_ids.shape[1], device=input_ids.device)
    total = residual
    for weights in _attention_weights(model, input_ids):
        layer = weights.float().mean(1) + residual
        # Attention sinks take a share that goes to no token: rows do not always sum to 2.
        total = layer / layer.sum(-1, keepdim=True) @ total
    return total.cpu()


def _attention_weights(model: PreTrainedModel, input_ids: Ids) -> tuple[Float[Tensor, "sequence head pos pos"], ...]:
    """Attention weights of every layer, the first first."""
    with _eager_attention(model):
        output = model.base_model(input_ids=input_ids, output_attentions=True, use_cache=False)
    weights = getattr(output, "attentions", None) or ()
    length = input_ids.shape[1]
    square = [each for each in weights if each is not None and each.shape[2:] == (length, length)]
    layers = getattr(model.config, "num_hidden_layers", None)
    if not square or len(square) != layers:
        raise SettingsError(
            f"construction is 'attention', but {type(model).__name__} gives attention weights of {len(square)} of its "
            f"{layers or 0} layers, expected all. Use construction='atomic', which needs only probabilities."
        )
    return tuple(square)


@contextmanager
def _eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let ``model`` compute attention weights openly, which fused kernels do not."""
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    try:
        yield
    finally:
        model.config._attn_implementation = before
