"""A causal language model as a density oracle: log-probabilities of sequences and of edited rows of them."""

import ctypes
import logging
import os
import re
from collections.abc import Iterator
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from hf_trace.errors import ContextLengthError, NonFiniteError, SettingsError
from hf_trace.oracle.proofs import context_length, proven
from hf_trace.oracle.readers import FullRowReader, Reading
from hf_trace.oracle.rows import NO_TARGET, Branches, few_lengths, micro_batches

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# Beyond these a micro-batch gains nothing: its activations leave a CPU's caches, a GPU is full.
MOST_TOKENS = {"cpu": 2048, "cuda": 131072}


def budget_bytes(memory: str | float | None, device: torch.device) -> int:
    """Bytes that scoring may use.

    Args:
        memory: ``"2GB"``, ``"500MB"``, a share of what is free between 0 and 1, or None for a quarter of it.
        device: Where the model lives.

    Raises:
        SettingsError: If ``memory`` is neither a size nor a share.

    Example:
        >>> budget_bytes("2GB", torch.device("cpu"))
        2147483648
    """
    share = 0.25 if memory is None else _number(memory)
    if share is not None and 0 < share <= 1:
        return int(share * free_bytes(device))
    found = re.fullmatch(r"(\d+\.?\d*) *([KMG]?)B?", str(memory).strip().upper())
    if not found or share is not None:
        raise SettingsError(
            f"memory is {memory!r}, expected a size such as '2GB' or a share of what is free such as 0.5."
        )
    return int(float(found[1]) * _UNITS[found[2]])


def _number(memory: str | float) -> float | None:
    """A share given as a number, or as text on the command line."""
    try:
        return float(memory)
    except ValueError:
        return None


def free_bytes(device: torch.device) -> int:
    """Bytes free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2 * 2**30


@cache
def keep_freed_memory() -> None:
    """Let the C library keep large blocks that are freed, up to 256 MB, instead of handing them back at once.

    Every layer frees and takes blocks of some megabytes; handed back, each comes again zeroed, page by page, which
    has cost a third of scoring time on a CPU. Does nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 256 * 2**20)


def token_bytes(config: PretrainedConfig, keys: int) -> int:
    """Rough bytes one tail token needs while a layer runs: activations, scores over ``keys``, its own keys."""
    hidden = getattr(config, "hidden_size", 256)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = getattr(config, "num_attention_heads", 1)
    return 4 * (10 * hidden + 3 * inner + 3 * heads * keys)


logger = logging.getLogger(__name__)


class Oracle:
    """Scores tokens with a frozen causal language model.

    Args:
        model: Any causal language model of Transformers; it is put in evaluation mode.
        memory: What scoring may use: a size (``"2GB"``), a share of what is free (0.5), or None for a quarter.

    Raises:
        FutureLeakError: If early predictions depend on later tokens.
        NonFiniteError: If the model returns NaN.
    """

    def __init__(self, model: PreTrainedModel, *, memory: str | float | None = None) -> None:
        self.model = model.eval()
        self.device = model.device
        if self.device.type == "cpu":
            keep_freed_memory()
        self.vocab_size: int = model.config.vocab_size
        self.context_length = context_length(model)
        chosen = proven(model)
        self.reader, self.head = chosen.reader, chosen.head
        self.budget = budget_bytes(memory, self.device)
        self.most_tokens = MOST_TOKENS.get(self.device.type, 2048)
        if chosen.reason:
            logger.warning("Every row is scored from its first token, which is slower: %s.", chosen.reason)

    @torch.inference_mode()
    def read(
        self, input_ids: Int[Tensor, "sequence pos"], attention_mask: Int[Tensor, "sequence pos"] | None = None
    ) -> Reading:
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
        return self.reader.read(input_ids.to(self.device))

    @torch.inference_mode()
    def log_probs(
        self, reading: Reading, sequence: Int[Tensor, " token"], position: Int[Tensor, " token"]
    ) -> Float[Tensor, " token"]:
        """Log-probability, in nats, of tokens that were read, each given all before it; positions from 1."""
        sequence, position = sequence.to(self.device), position.to(self.device)
        features = reading.features[sequence, position - 1]
        scored = self.head.log_probs(features, reading.input_ids[sequence, position])
        return _finite(scored).cpu()

    @torch.inference_mode()
    def next_log_probs(
        self, reading: Reading, sequence: Int[Tensor, " token"], position: Int[Tensor, " token"]
    ) -> Float[Tensor, "token vocab"]:
        """Log-probabilities of every token of the vocabulary at given positions; meant for few positions."""
        features = reading.features[sequence.to(self.device), position.to(self.device) - 1]
        return _finite(self.head.logits(features).float().log_softmax(-1)).cpu()

    def branch_log_probs(
        self, reading: Reading, branches: Branches
    ) -> Iterator[tuple[Int[Tensor, " group"], Float[Tensor, "group sample tail"]]]:
        """Score the rows that leave a reading, a micro-batch of groups at a time.

        Yields:
            The groups of the micro-batch and, for each of their rows and tail slots, the log-probability in
            nats of the target after that slot; NaN where there is no target.
        """
        width = self.reader.width(branches)
        for groups in micro_batches(width, branches, self._tokens_that_fit(branches)):
            samples = int(branches.samples[groups].max())
            tail = int(branches.tail_length[groups].max())
            if samples == 0:
                yield groups, torch.empty((len(groups), 0, tail))
                continue
            tail_ids, targets = branches.tails(groups, samples, few_lengths(tail))
            yield groups, self._score(reading, branches, groups, tail_ids, targets)[..., :tail]

    def branch_candidates(
        self, reading: Reading, branches: Branches, candidates: Int[Tensor, " candidate"]
    ) -> Iterator[tuple[Int[Tensor, " group"], Float[Tensor, "group sample candidate"]]]:
        """Score what may follow the rows that leave a reading, where nothing but the candidates may.

        Yields:
            The groups of a micro-batch and, for each of their rows, the log-probability in nats of every candidate
            after the last token of the row; NaN for rows beyond the samples of a group.
        """
        for groups in micro_batches(self.reader.width(branches), branches, self._tokens_that_fit(branches)):
            samples = int(branches.samples[groups].max())
            if samples == 0:
                yield groups, torch.empty((len(groups), 0, len(candidates)), dtype=torch.float64)
                continue
            scored = self._candidates_at_once(reading, branches, groups, samples, candidates)
            unused = torch.arange(samples) >= branches.samples[groups, None]
            yield groups, scored.masked_fill(unused[..., None], torch.nan)

    @torch.inference_mode()
    def _candidates_at_once(
        self, reading: Reading, branches: Branches, groups: Tensor, samples: int, candidates: Tensor
    ) -> Float[Tensor, "group sample candidate"]:
        device = self.device
        tail = few_lengths(int(branches.tail_length[groups].max()))
        tail_ids, _ = branches.tails(groups, samples, tail)
        features = self.reader.branch(
            reading,
            branches.sequence[groups].to(device),
            branches.shared_length[groups].to(device),
            tail_ids.to(device),
        )
        last = (branches.tail_length[groups] - 1).repeat_interleave(samples).to(device)
        final = features[torch.arange(len(features), device=device), last]
        logits = self.head.candidate_logits(final, candidates.to(device)).double().cpu()
        return _finite(logits.log_softmax(-1)).view(len(groups), samples, -1)

    @torch.inference_mode()
    def next_candidates(
        self,
        reading: Reading,
        sequence: Int[Tensor, " row"],
        position: Int[Tensor, " row"],
        candidates: Int[Tensor, " candidate"],
    ) -> Float[Tensor, "row candidate"]:
        """Log-probability of each candidate at given positions of what was read, where nothing else may stand."""
        features = reading.features[sequence.to(self.device), position.to(self.device) - 1]
        logits = self.head.candidate_logits(features, candidates.to(self.device))
        return _finite(logits.double().cpu().log_softmax(-1))

    def _tokens_that_fit(self, branches: Branches) -> int:
        if not len(branches):
            return 1
        keys = int((branches.shared_length + branches.tail_length).max())
        cost = token_bytes(self.model.config, keys)
        if isinstance(self.reader, FullRowReader):
            cost += 8 * self.vocab_size
        return max(1, min(self.most_tokens, self.budget // cost))

    @torch.inference_mode()
    def _score(
        self, reading: Reading, branches: Branches, groups: Tensor, tail_ids: Tensor, targets: Tensor
    ) -> Float[Tensor, "group sample tail"]:
        """Score one micro-batch; on exhausted memory halve it, and every later one with it."""
        try:
            return self._score_at_once(reading, branches, groups, tail_ids, targets)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error) or tail_ids.shape[:2] == (1, 1):
                raise
        self.most_tokens = max(1, min(self.most_tokens, tail_ids.numel()) // 2)
        logger.warning("Out of memory: micro-batches are halved to %d tokens.", self.most_tokens)
        axis = 0 if len(groups) > 1 else 1
        halves = zip(*(part.tensor_split(2, axis) for part in (tail_ids, targets)), strict=True)
        parts = groups.tensor_split(2) if axis == 0 else (groups, groups)
        scored = [self._score(reading, branches, part, *half) for part, half in zip(parts, halves, strict=True)]
        return torch.cat(scored, axis)

    def _score_at_once(
        self, reading: Reading, branches: Branches, groups: Tensor, tail_ids: Tensor, targets: Tensor
    ) -> Float[Tensor, "group sample tail"]:
        device = self.device
        features = self.reader.branch(
            reading,
            branches.sequence[groups].to(device),
            branches.shared_length[groups].to(device),
            tail_ids.to(device),
        )
        wanted = (targets != NO_TARGET).to(device)
        scored = self.head.log_probs(features.view(*targets.shape, -1)[wanted], targets.to(device)[wanted])
        out = torch.full(targets.shape, torch.nan, device=device)
        out[wanted] = _finite(scored)
        return out.cpu()


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _finite(log_probs: Tensor) -> Tensor:
    if torch.isnan(log_probs).any():
        raise NonFiniteError(
            "The model returned NaN log-probabilities, expected finite ones. Load it with dtype='float32'."
        )
    return log_probs
