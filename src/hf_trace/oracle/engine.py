"""A causal language model as a density oracle: log-probabilities of sequences and of edited rows of them."""

import ctypes
import logging
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from hf_trace.checks import whole
from hf_trace.errors import ContextLengthError, NonFiniteError, SettingsError
from hf_trace.oracle.proofs import Fit, on_gpu, proven
from hf_trace.oracle.readers import (
    Candidates,
    Logits,
    LogProbs,
    Reading,
    TokenFeatures,
    Tokens,
    as_one_reading,
    context_length,
)
from hf_trace.oracle.rows import NO_TARGET, Branches, Groups, Ids, Places, few_lengths, micro_batches
from hf_trace.oracle.transfers import Returning, one_ahead, sent

_UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# Beyond these a micro-batch gains nothing: its activations leave a CPU's caches, a GPU is full.
MOST_TOKENS = {"cpu": 2048, "cuda": 2**18}
_EXHAUSTED = ("can't allocate memory", "_ALLOC_FAILED")  # a CPU; cuBLAS and cuDNN

Scored = TypeVar("Scored")
logger = logging.getLogger(__name__)


def budget_bytes(memory: str | float | None, device: torch.device) -> int:
    """Bytes that scoring may use.

    Args:
        memory: ``"2GB"``, ``"500MB"``, a share of free memory between 0 and 1, or None for a quarter of it.
        device: Where the model is.

    Raises:
        SettingsError: If ``memory`` is neither a size nor a share.

    Example:
        >>> budget_bytes("2GB", torch.device("cpu"))
        2147483648
    """
    text = "0.25" if memory is None else str(memory).strip().upper()
    if found := re.fullmatch(r"(\d+\.?\d*) *([KMG]?)(B?)", text):
        amount, unit = float(found[1]), found[2] or found[3]
        if unit:
            return int(amount * _UNITS[unit])
        if 0 < amount <= 1:
            return int(amount * free_bytes(device))
    raise SettingsError(f"memory is {memory!r}, expected a size such as '2GB' or a share of free memory such as 0.5.")


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2 * 2**30


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed blocks of up to 256 MB instead of returning them to the system at once.

    Every layer frees and takes blocks of some megabytes. Once returned, each comes back page by page and zeroed, which
    has cost a third of the scoring time on a CPU. Does nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 256 * 2**20)


def token_bytes(config: PretrainedConfig, keys: int) -> int:
    """Rough number of bytes one token needs while a layer runs: activations, scores over ``keys``, its own keys."""
    hidden = getattr(config, "hidden_size", 256)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = getattr(config, "num_attention_heads", 1)
    return 4 * (10 * hidden + 3 * inner + 3 * heads * keys)


def most_tokens(device: torch.device, parameters: int) -> int:
    """Tokens of a micro-batch that a device makes the most of.

    A GPU has done what a small model asks of it before more can be asked, so there it is asked for much at once: about
    a million million weights times tokens. A large model keeps it busy, and a smaller micro-batch is padded less.

    Args:
        device: Where the model is.
        parameters: How many weights it has.

    Example:
        >>> [most_tokens(torch.device("cuda"), parameters) for parameters in (10**5, 10**7, 10**9)]
        [262144, 109951, 65536]
    """
    if device.type != "cuda":
        return MOST_TOKENS["cpu"]
    return min(max(2**16, 2**40 // max(1, parameters)), MOST_TOKENS["cuda"])


class Memory:
    """What scoring may use, and what has turned out to be too much.

    Args:
        memory: See ``budget_bytes``.
        device: Where the model is.
        parameters: How many weights it has.
    """

    def __init__(self, memory: str | float | None, device: torch.device, parameters: int = 0) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.budget = budget_bytes(memory, device)
        self.most_tokens = most_tokens(device, parameters)
        self._fitting: dict[str, int] = {}

    def tokens(self, cost: int) -> int:
        """Tokens of a micro-batch where each costs ``cost`` bytes; at least 1."""
        return max(1, min(self.most_tokens, self.budget // cost))

    def in_pieces(
        self,
        doing: str,
        score: Callable[..., Scored],
        *parts: Tensor,
        axes: int = 1,
        join: Callable[[list[Any], int], Any] = torch.cat,
    ) -> Scored:
        """``score(*parts)``, halved again and again where memory runs out.

        Args:
            doing: What is being done, for the log; a size that was too much is not tried again under the same name.
            score: Must score every entry independently of the others.
            parts: Tensors whose first axes run over the same entries.
            axes: Number of those axes; the first that has several entries is halved.
            join: Puts scored pieces together along an axis.

        Raises:
            torch.OutOfMemoryError: If not even one entry fits.
        """
        size = parts[0].numel()
        fitting = self._fitting.get(doing, size)
        axis = next((axis for axis in range(axes) if parts[0].shape[axis] > 1), None)
        if axis is None or size <= fitting:
            try:
                return score(*parts)
            except RuntimeError as error:
                exhausted = any(sign in str(error) for sign in _EXHAUSTED)
                if axis is None or not (exhausted or isinstance(error, torch.OutOfMemoryError)):
                    raise
            # Goes on outside `except`: the error's traceback keeps all tensors of the failed attempt alive.
            logger.warning("Out of memory while %s: half as much at once from now on.", doing)
        halves = list(zip(*(part.tensor_split(2, axis) for part in parts), strict=True))
        self._fitting[doing] = min(fitting, halves[0][0].numel())
        return join([self.in_pieces(doing, score, *half, axes=axes, join=join) for half in halves], axis)


# What a model computes at one position predicts the token at the next. To score the token at q, take the features (or
# logits) of position q - 1; the token at 0 follows nothing and is never scored.
#
#     position        0     1     2     3
#     input_ids      x0    x1    x2    x3
#                       /     /     /     /
#     features       h0    h1    h2    h3


class Oracle:
    """Scores tokens with a frozen causal language model.

    Args:
        model: Any causal language model of Transformers; it is put in evaluation mode.
        memory: What scoring may use: a size (``"2GB"``), a share of free memory (0.5), or None for a quarter.
        fit: How the model is read and scored, if that is known; proven by default.
        compiled: Whether a GPU gets the layers as compiled kernels: a quarter of a minute at first, then less per row.

    Raises:
        FutureLeakError: If early predictions depend on later tokens.
        NonFiniteError: If the model returns NaN.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        memory: str | float | None = None,
        fit: Fit | None = None,
        compiled: bool = False,
    ) -> None:
        self.model = model.eval()
        self.device = model.device
        self.vocab_size: int = model.config.vocab_size
        self.context_length = context_length(model)
        chosen = fit or proven(model)
        if fit is None and self.device.type == "cuda":
            chosen = on_gpu(model, chosen, is_compiled=compiled)
        elif compiled and self.device.type != "cuda":
            logger.warning("Layers are compiled for GPUs, and the model is on %s: it is read as it is.", self.device)
        self.reader, self.head = chosen.reader, chosen.head
        self.memory = Memory(memory, self.device, sum(parameter.numel() for parameter in model.parameters()))
        if chosen.reason:
            logger.warning("Every row is scored from its first token, which is slower: %s.", chosen.reason)

    @property
    def budget(self) -> int:
        """Bytes that scoring may use."""
        return self.memory.budget

    def spend_at_most(self, budget_bytes: int) -> None:
        """Change how many bytes scoring may use."""
        self.memory.budget = whole("budget_bytes", budget_bytes, least=0)

    def token_bytes(self, keys: int) -> int:
        """Rough number of bytes one token needs while it is scored after ``keys`` others."""
        return token_bytes(self.model.config, keys) + self.reader.logit_bytes

    @torch.inference_mode()
    def read(self, input_ids: Ids, attention_mask: Ids | None = None) -> Reading:
        """Read sequences once; rows can then leave them anywhere.

        Args:
            input_ids: Sequences, padded on the right, or on either side where a mask says so.
            attention_mask: 1 for tokens, 0 for padding. Positions count from the first token of a sequence,
                wherever its padding was.

        Raises:
            ContextLengthError: If they are longer than the model can read.
        """
        length = input_ids.shape[1]
        if self.context_length is not None and length > self.context_length:
            raise ContextLengthError(
                f"A sequence has {length} tokens, the model reads at most {self.context_length}. Cut the log with "
                f"`--window-length` (`hf_trace.cut_windows`), or train a model with a longer context."
            )
        if attention_mask is not None:
            first_tokens = attention_mask.eq(0).sort(dim=1, stable=True).indices
            input_ids = input_ids.gather(1, first_tokens)
        return self.memory.in_pieces(
            "reading sequences", self.reader.read, input_ids.to(self.device), join=as_one_reading
        )

    def log_probs(self, reading: Reading, sequence: Tokens, position: Tokens) -> LogProbs:
        """Log-probability, in nats, of tokens that were read, each given all before it; positions from 1."""

        def score(before: Tensor, sequence: Tensor, position: Tensor) -> Tensor:
            return self.head.log_probs(before, reading.input_ids[sequence, position]).cpu()

        return self._predicted(score, reading, sequence, position)

    def next_log_probs(self, reading: Reading, sequence: Tokens, position: Tokens) -> Logits:
        """Log-probabilities of every token of the vocabulary at given positions; meant for few positions."""

        def score(before: Tensor, *_: Tensor) -> Tensor:
            return self.head.logits(before).float().log_softmax(-1).cpu()

        return self._predicted(score, reading, sequence, position)

    def next_candidates(
        self, reading: Reading, sequence: Places, position: Places, candidates: Candidates
    ) -> Float[Tensor, "row candidate"]:
        """Log-probability of each candidate at given positions of what was read, where nothing else may stand."""

        def score(before: Tensor, *_: Tensor) -> Tensor:
            return self._candidates(before, candidates).cpu()

        return self._predicted(score, reading, sequence, position)

    @torch.inference_mode()
    def _predicted(
        self, score: Callable[[Tensor, Tensor, Tensor], Tensor], reading: Reading, sequence: Tensor, position: Tensor
    ) -> Tensor:
        """Scores of what stands at given positions, made from the features before them."""

        def piece(sequence: Tensor, position: Tensor) -> Tensor:
            return _finite(score(reading.features[sequence, position - 1], sequence, position))

        return self.memory.in_pieces("scoring tokens", piece, sequence.to(self.device), position.to(self.device))

    def _candidates(self, features: Tensor, candidates: Tensor) -> Float[Tensor, "row candidate"]:
        return self.head.candidate_logits(features, candidates).double().log_softmax(-1)

    def branch_log_probs(
        self, reading: Reading, branches: Branches
    ) -> Iterator[tuple[Groups, Float[Tensor, "group sample tail"]]]:
        """Score the rows that leave a reading, a micro-batch of groups at a time.

        Yields:
            The groups of the micro-batch and, for each of their rows and tail slots, the log-probability in
            nats of the target after that slot; NaN where there is no target.
        """

        @torch.inference_mode()
        def score(tail_ids: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
            features = self._branched(reading, branches, groups, tail_ids)
            # Which tokens count is known here: asking the device would mean to wait for it.
            wanted = (targets != NO_TARGET).flatten().nonzero()[:, 0]
            places, tokens = sent(wanted, self.device), sent(targets.flatten()[wanted], self.device)
            out = torch.full((targets.numel(),), torch.nan, device=self.device)
            out[places] = self.head.log_probs(features.flatten(0, 1)[places], tokens)
            return out.view(targets.shape)

        def begun() -> Iterator[tuple[Groups, Returning, Tensor]]:
            for groups, samples, tail in self._micro_batches(branches):
                if samples == 0:
                    yield groups, Returning(torch.empty(len(groups), 0, tail)), torch.empty(len(groups), 0, tail) > 0
                    continue
                tail_ids, targets = branches.tails(groups, samples, self._width(tail))
                scored = self._row_by_row(score, groups, tail_ids, targets)
                yield groups, Returning(scored[..., :tail]), targets[..., :tail] == NO_TARGET

        for groups, scored, unscored in self._in_turn(begun()):
            yield groups, _finite(scored.arrived(), unscored)

    def branch_candidates(
        self, reading: Reading, branches: Branches, candidates: Candidates
    ) -> Iterator[tuple[Groups, Float[Tensor, "group sample candidate"]]]:
        """Score what may follow the rows that leave a reading, where nothing but the candidates may.

        Yields:
            The groups of a micro-batch and, for each of their rows, the log-probability in nats of every candidate
            after the last token of the row; NaN for rows beyond the samples of a group.
        """

        @torch.inference_mode()
        def score(tail_ids: Tensor, groups: Tensor) -> Tensor:
            features = self._branched(reading, branches, groups, tail_ids)
            last = sent((branches.tail_length[groups] - 1).flatten(), self.device)
            final = features[torch.arange(len(features), device=self.device), last]
            return self._candidates(final, candidates).view(*groups.shape, -1)

        def begun() -> Iterator[tuple[Groups, Returning, int]]:
            for groups, samples, tail in self._micro_batches(branches):
                if samples == 0:
                    nothing = torch.empty((len(groups), 0, len(candidates)), dtype=torch.float64)
                    yield groups, Returning(nothing), samples
                    continue
                tail_ids, _ = branches.tails(groups, samples, self._width(tail))
                yield groups, Returning(self._row_by_row(score, groups, tail_ids)), samples

        for groups, scored, samples in self._in_turn(begun()):
            unused = torch.arange(samples) >= branches.samples[groups, None]
            yield groups, _finite(scored.arrived()).masked_fill(unused[..., None], torch.nan)

    def branch_features(
        self, reading: Reading, branches: Branches
    ) -> Iterator[tuple[Groups, Shaped[Tensor, "group sample tail feature"]]]:
        """Read on the rows that leave a reading, a micro-batch of groups at a time, without predicting anything.

        Yields:
            The groups of the micro-batch and, for each of their rows and tail slots, what ``candidate_probabilities``
            needs to predict what follows that slot; slots beyond the tail of a row are padding.
        """

        @torch.inference_mode()
        def read(tail_ids: Tensor, groups: Tensor) -> Tensor:
            features = self._branched(reading, branches, groups, tail_ids)
            return features.unflatten(0, tuple(groups.shape))

        for groups, samples, tail in self._micro_batches(branches):
            tail_ids, _ = branches.tails(groups, samples, self._width(tail))
            yield groups, self._row_by_row(read, groups, tail_ids)

    @torch.inference_mode()
    def candidate_probabilities(
        self, features: TokenFeatures, candidates: Candidates
    ) -> Float[Tensor, "token candidate"]:
        """Probability of each candidate after each place, where nothing else may stand; it stays where the model is."""

        def predict(some: Tensor) -> Tensor:
            found = self.head.candidate_logits(some, candidates).float().softmax(-1)
            _finite(found[:, 0])  # if one logit of a row is NaN, all its probabilities are
            return found

        return self.memory.in_pieces("predicting", predict, features)

    def _in_turn(self, begun: Iterator[Scored]) -> Iterator[Scored]:
        """Micro-batches, on a GPU the next one begun before one is used: what is done with it costs it no time."""
        return one_ahead(begun) if self.device.type == "cuda" else begun

    def _micro_batches(self, branches: Branches) -> Iterator[tuple[Groups, int, int]]:
        """Groups that fit the budget, and the most rows and tail tokens among them."""
        has_scores = len(branches) and self.reader.holds_scores
        keys = int((branches.shared_length + branches.tail_length).max()) if has_scores else 1
        most_tokens = self.memory.tokens(self.token_bytes(keys))
        for groups in micro_batches(self.reader.width(branches), branches, most_tokens):
            yield groups, int(branches.samples[groups].max()), int(branches.tail_length[groups].max())

    def _width(self, tail: int) -> int:
        """Slots of tails of which the longest has so many tokens."""
        return tail if self.device.type == "cuda" else few_lengths(tail)

    def _row_by_row(self, score: Callable[..., Tensor], groups: Tensor, *rows: Tensor) -> Tensor:
        """Score rows, ``[group, sample, …]``: at once, or in pieces that have the group of every row beside them."""
        of_row = groups[:, None].expand(rows[0].shape[:2])
        return self.memory.in_pieces("scoring rows", score, *rows, of_row, axes=2)

    def _branched(
        self, reading: Reading, branches: Branches, groups: Int[Tensor, "group sample"], tail_ids: Tensor
    ) -> Shaped[Tensor, "row tail feature"]:
        group = groups[:, 0]
        return self.reader.branch(reading, branches.sequence[group], branches.shared_length[group], tail_ids)


def _finite(log_probs: Tensor, unscored: Tensor | None = None) -> Tensor:
    unknown = log_probs.isnan() if unscored is None else log_probs.isnan() & ~unscored
    if unknown.any():
        raise NonFiniteError(
            "The model returned NaN log-probabilities, expected finite ones. Load it with dtype='float32'."
        )
    return log_probs
