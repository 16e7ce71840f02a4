"""What a model must prove before its scores are trusted, and the fastest way to read it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from hf_trace.errors import FutureLeakError, ModelLoadError, NonFiniteError, first_line
from hf_trace.oracle.flash_attention import HALF
from hf_trace.oracle.readers import (
    FullRowReader,
    Head,
    LinearHead,
    MarkovReader,
    Reader,
    SharedPastReader,
    WholeHead,
    candidate_heads,
    context_length,
    position_offset,
)

logger = logging.getLogger(__name__)
PROBE_LENGTH = 24
# What an architecture that does not fit an assumption raises; anything else is a bug and passes through.
_MISFITS = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Fit:
    """How a model is read and scored, and why not faster."""

    reader: Reader
    head: Head
    reason: str = ""


def whole_rows(model: PreTrainedModel, reason: str = "") -> Fit:
    """The fit that is right for every model: each row is read whole, through the model's public forward."""
    return Fit(FullRowReader(model), WholeHead(lambda logits: logits, model.config.vocab_size), reason)


def proven(model: PreTrainedModel) -> Fit:
    """Check a model and choose its reader and head by comparing log-probabilities on random tokens.

    Raises:
        NonFiniteError: If the model returns NaN or infinite logits.
        FutureLeakError: If early predictions depend on later tokens.
    """
    dtype = next(model.parameters(), torch.empty(0)).dtype
    exact = dtype in (torch.float32, torch.float64) or _parameters(model) > 1e9
    if not exact:  # rounding would hide a wrong shortcut: probe in float32, then go back without loss
        model.float()
    try:
        return _fit(model, tolerance=2e-5 if dtype != torch.bfloat16 or not exact else 5e-2)
    finally:
        if not exact:
            model.to(dtype)


@torch.inference_mode()
def on_gpu(model: PreTrainedModel, fit: Fit, *, is_compiled: bool = False) -> Fit:
    """The same fit with kernels of a GPU, in the model's own precision; as it is where they fail or change scores.

    Args:
        model: The model.
        fit: How it is read and scored.
        is_compiled: Whether its layers are compiled too.
    """
    if not isinstance(fit.reader, SharedPastReader):
        return fit
    is_half = next(model.parameters(), torch.empty(0)).dtype in HALF
    ids = probe_ids(model)
    # Rounding alone moves scores as far as the plain reader is from full rows.
    bound = 3 * _branch_difference(model, fit.reader, fit.head, ids) + 1e-4
    for is_flash in [True] * is_half + [False] * is_compiled:
        faster = _with_kernels(model, fit, is_flash=is_flash, is_compiled=is_compiled)
        try:
            difference = _branch_difference(model, faster.reader, faster.head, ids)
        except _MISFITS as misfit:
            logger.info("Kernels of the GPU are not used (%s).", _short(misfit))
            continue
        if difference <= bound:
            return faster
        logger.info("Kernels of the GPU are not used: they would move log-probabilities by %.1g.", difference)
    return fit


def _with_kernels(model: PreTrainedModel, fit: Fit, *, is_flash: bool, is_compiled: bool) -> Fit:
    offset = getattr(fit.reader, "position_offset", 0)
    reader = SharedPastReader(model, position_offset=offset, is_flash=is_flash, is_compiled=is_compiled)
    return Fit(
        reader, LinearHead(fit.head.layer, is_compiled=is_compiled) if isinstance(fit.head, LinearHead) else fit.head
    )


def _parameters(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@torch.inference_mode()
def _fit(model: PreTrainedModel, *, tolerance: float) -> Fit:
    ids = probe_ids(model)
    logits = _first_logits(model, ids)
    _check_finite(logits)
    _check_causal(model, ids, logits, tolerance)
    expected = logits.log_softmax(-1)
    reference = expected[:, :-1].gather(-1, ids[:, 1:, None])
    scale = tolerance * max(1.0, float(reference.abs().max()))
    markov = _markov(model, ids, scale)
    if markov is not None:
        return markov
    head, reason = _matching_head(model, ids, expected, scale)
    if head is not None:
        reader, reason = _matching_reader(model, head, ids, scale)
        if reader is not None:
            return Fit(reader, head)
    return whole_rows(model, reason)


def _first_logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Logits over the vocabulary; whatever goes wrong here is the model's fault."""
    try:
        logits: Tensor = model(input_ids=ids).logits.float()
    except Exception as error:  # a config that does not fit its architecture ends in any of them
        raise ModelLoadError(
            f"The model cannot read {ids.shape[1]} tokens ({type(error).__name__}: {first_line(error)}), expected "
            "their logits. Take the config.json that was saved with the weights."
        ) from error
    if logits.shape != (*ids.shape, model.config.vocab_size):
        raise ModelLoadError(
            f"The model gives logits of shape {tuple(logits.shape)}, expected {(*ids.shape, model.config.vocab_size)}. "
            "Take the config.json that was saved with the weights."
        )
    return logits


def _markov(model: PreTrainedModel, ids: Tensor, scale: float) -> Fit | None:
    """How to read a model that declares its predictions to depend on few tokens, if they do."""
    order, padding = (getattr(model.config, name, None) for name in ("markov_order", "pad_token_id"))
    if not isinstance(order, int) or not isinstance(padding, int):
        return None
    reader = MarkovReader(model, order, padding)
    head = WholeHead(reader.logits, model.config.vocab_size)
    return Fit(reader, head) if _branch_difference(model, reader, head, ids) <= scale else None


def probe_ids(model: PreTrainedModel) -> Int[Tensor, "sequence pos"]:
    """Two random sequences, long enough to reach past a short attention window."""
    config = model.config
    window = getattr(config, "sliding_window", None) or 0
    length = max(PROBE_LENGTH, min(window + 8, 128))
    length = min(length, context_length(model) or length)
    ids = torch.randint(config.vocab_size, (2, length), generator=torch.Generator().manual_seed(0))
    pad = getattr(config, "pad_token_id", None)
    if pad is not None:
        ids = ids.where(ids != pad, (pad + 1) % config.vocab_size)
    return ids.to(model.device)


def _check_finite(logits: Tensor) -> None:
    if not torch.isfinite(logits).all():
        raise NonFiniteError(
            "The model returns NaN or infinite logits, expected finite ones. Load it with dtype='float32', or "
            "train it again with a lower learning rate."
        )


def _check_causal(model: PreTrainedModel, ids: Tensor, logits: Tensor, tolerance: float) -> None:
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % model.config.vocab_size
    early = (model(input_ids=changed).logits.float() - logits)[:, :-1].abs().max()
    if early > tolerance * max(1.0, float(logits.abs().max())):
        raise FutureLeakError(
            f"Changing the last token moves earlier predictions by {float(early):.2g}, expected 0: this model sees "
            "the future. Load BERT-like checkpoints with is_decoder=True, or use a causal language model."
        )


def _matching_head(model: PreTrainedModel, ids: Tensor, expected: Tensor, scale: float) -> tuple[Head | None, str]:
    if model.base_model is model:
        return None, "it has no body apart from its output layer"
    try:
        features = model.base_model(input_ids=ids)[0][:, :-1].flatten(0, 1)
    except _MISFITS as misfit:
        return None, f"its body does not run alone ({_short(misfit)})"
    targets = ids[:, 1:].flatten()
    reference = expected[:, :-1].flatten(0, 1).gather(-1, targets[:, None]).squeeze(-1)
    fitting = [head for head in candidate_heads(model) if _differs(head, features, targets, reference) <= scale]
    # A soft cap is invisible on small logits: a shortcut must also agree where logits are large.
    large = features * 50
    if len(fitting) > 1 and isinstance(fitting[0], LinearHead):
        capped = _differs(fitting[0], large, targets, fitting[1].log_probs(large, targets))
        fitting = fitting[1:] if capped > 50 * scale else fitting
    return (fitting[0], "") if fitting else (None, "its output layer alone does not give its own logits")


def _differs(head: Head, features: Tensor, targets: Tensor, reference: Tensor) -> float:
    try:
        return float((head.log_probs(features, targets) - reference).abs().max())
    except _MISFITS:
        return float("inf")


def _matching_reader(model: PreTrainedModel, head: Head, ids: Tensor, scale: float) -> tuple[Reader | None, str]:
    reason = ""
    for reader in _candidate_readers(model):
        try:
            difference = _branch_difference(model, reader, head, ids)
        except _MISFITS as misfit:
            reason = f"its pasts cannot be shared ({_short(misfit)})"
            continue
        if difference <= scale:
            return reader, ""
        reason = f"sharing pasts would change its log-probabilities by {difference:.1g}"
    return None, reason


def _candidate_readers(model: PreTrainedModel) -> Iterator[Reader]:
    for offset in sorted({0, position_offset(model)}):
        yield SharedPastReader(model, position_offset=offset)


def _branch_difference(model: PreTrainedModel, reader: Reader, head: Head, ids: Tensor) -> float:
    """Largest difference between branched rows and the same rows scored whole, after unequal pasts."""
    length, tail = ids.shape[1], max(2, ids.shape[1] // 3)
    shared = torch.tensor([length - tail, 1, length - tail - 1], device=ids.device)
    sequence = torch.tensor([0, 1, 1], device=ids.device)
    tails = ids.flip(0)[sequence, -tail:].flip(1)[:, None].repeat(1, 2, 1)
    tails[:, 1, 0] = tails[:, 1, 0].roll(1)
    features = reader.branch(reader.read(ids), sequence, shared, tails)
    targets = tails.flatten(0, 1).roll(-1, 1)
    scored = head.log_probs(features.flatten(0, 1), targets.flatten()).view(targets.shape)
    full = FullRowReader(model)
    whole = full.branch(full.read(ids), sequence, shared, tails).float().log_softmax(-1)
    return float((whole.gather(-1, targets[..., None]).squeeze(-1) - scored).abs().max())


def _short(misfit: BaseException) -> str:
    return f"{type(misfit).__name__}: {str(misfit).splitlines()[0][:80] if str(misfit) else ''}"
