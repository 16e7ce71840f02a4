"""From a log to a model of it without training: the log becomes the context of a model that learned to read logs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np

from hf_trace.amortised.context_model import ContextForCausalLM
from hf_trace.documents import Document
from hf_trace.errors import EmptyLogError, SettingsError
from hf_trace.graphs.counting import bigram_loss, unigram_loss
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows, sampled_sequences
from hf_trace.options import SEED
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proofs import whole_rows
from hf_trace.oracle.quality import OracleQuality, event_log_probs
from hf_trace.runs.event_model import EventModel
from hf_trace.tokenizers.event_tokenizer import EventTokenizer, flat_tokens

SHIPPED = Path(__file__).parent / "zero_shot_files"
WINDOW_EVENTS, FOLDS = 64, 5
# It learned from logs of up to some 60 types: of 200 it predicts worse than a bigram (recipe zero-shot).
MOST_TYPES, CONTEXT_EVENTS = 200, 30_000
# Sequences on which the quality of a model is measured.
_MEASURED = 64


@cache
def shipped_reader() -> ContextForCausalLM:
    """The network that comes with the package, with nothing in its context."""
    return ContextForCausalLM.from_pretrained(SHIPPED).eval()


def reading(log: EventLog, tokenizer: EventTokenizer, reader: ContextForCausalLM | None = None) -> ContextForCausalLM:
    """A model that has a log in its context.

    Args:
        log: Windows of it.
        tokenizer: The vocabulary.
        reader: The network; None: the one that comes with the package.
    """
    tokens, offsets = flat_tokens(tokenizer, log)
    special = tokenizer.tokenizer
    return (shipped_reader() if reader is None else reader).reading(
        tokens,
        offsets,
        event_ids=tokenizer.event_ids.tolist(),
        gap_ids=tokenizer.gap_ids.tolist(),
        gap_seconds=list(tokenizer.gap_seconds),
        unknown_id=special.unk_token_id,
        pad_token_id=special.pad_token_id,
        bos_token_id=special.bos_token_id,
        eos_token_id=special.eos_token_id,
        vocab_size=max(tokenizer.vocabulary.values()) + 1,
    )


@dataclass(frozen=True, eq=False)
class ZeroShotModel(EventModel):
    """A model of a log that was not trained on it; what it says of a sequence it says without having seen it.

    Attributes:
        folds: Which part of the log each window is of, by id.
        unseen: For each part an oracle that has the others in its context.
    """

    folds: Mapping[str, int] = field(default_factory=dict)
    unseen: Sequence[Oracle] = ()

    @property
    def description(self) -> Document:
        """Quality of the oracle, and that it was not trained on the log."""
        sequences = int(self.model.config.context_sequences)
        about = {"trained_on": "simulated logs", "context_windows": sequences, "parts": len(self.unseen)}
        return {**super().description, "zero_shot": about}

    def oracles_for(self, sequences: Iterable[EventSequence]) -> Iterator[tuple[Oracle, Iterable[EventSequence]]]:
        """Runs of sequences, each with an oracle that has not seen them."""
        for fold, part in groupby(sequences, lambda sequence: self.folds.get(sequence.id or "", -1)):
            yield (self.oracle if fold < 0 else self.unseen[fold]), part


def zero_shot_model(
    log: EventLog,
    *,
    length: int | None = None,
    gap: float | None = None,
    seed: int = SEED.default,
    reader: ContextForCausalLM | None = None,
) -> ZeroShotModel:
    """A model of a log in seconds, without training.

    The log is cut into windows, the windows into five parts in their order; each part is told from the others. Of large
    logs 30,000 events, of windows drawn at random, are in the context.

    Args:
        log: The events.
        length: Length of the longest window, in events; None: 64.
        gap: Also cut at gaps of so many seconds or more.
        seed: Of the draw.
        reader: The network; None: the one that comes with the package.

    Raises:
        EmptyLogError: If there are not at least two windows of two events.
        SettingsError: If there are more than 200 event types.
    """
    if len(log.event_types) > MOST_TYPES:
        raise SettingsError(
            f"The log has {len(log.event_types):,} event types, expected at most {MOST_TYPES:,} to be told apart "
            "without training. Leave out rare ones (`--query`), or train a run with `hf-trace train`."
        )
    length = length or WINDOW_EVENTS
    windows = cut_windows(log, length=length, gap=gap)
    if len(windows) < 2:
        raise EmptyLogError(
            f"The log has {len(windows)} window of two or more events, expected at least two: one to read, and one to "
            "tell from it. Name the case column, or pass a shorter `--window-length`."
        )
    tokenizer = EventTokenizer.from_log(windows)
    part_of = np.arange(len(windows)) * min(FOLDS, len(windows)) // len(windows)
    oracles = [
        _oracle(_drawn(windows.select(np.flatnonzero(part_of != part)), seed), tokenizer, reader)
        for part in range(part_of[-1] + 1)
    ]
    whole = _oracle(_drawn(windows, seed), tokenizer, reader)
    folds = dict(zip(windows.ids, part_of.tolist(), strict=True))
    quality = _quality(oracles[-1], tokenizer, windows, part_of == part_of[-1], seed)
    recipe = {"window_length": length, "window_gap": gap, "zero_shot": True}
    return ZeroShotModel(whole, tokenizer, quality.to_dict(), recipe, folds=folds, unseen=oracles)


def _oracle(log: EventLog, tokenizer: EventTokenizer, reader: ContextForCausalLM | None) -> Oracle:
    model = reading(log, tokenizer, reader)
    return Oracle(model, fit=whole_rows(model))


def _drawn(windows: EventLog, seed: int) -> EventLog:
    """Windows of about so many events as a context holds, in their order."""
    order = np.random.default_rng(seed).permutation(len(windows))
    total = np.cumsum(windows.sequence_lengths[order])
    return windows.select(np.sort(order[: max(1, int(np.searchsorted(total, CONTEXT_EVENTS, side="right")))]))


def _quality(
    oracle: Oracle, tokenizer: EventTokenizer, windows: EventLog, held: np.ndarray, seed: int
) -> OracleQuality:
    """How well some windows are told from the others."""
    others, asked = windows.select(np.flatnonzero(~held)), windows.select(np.flatnonzero(held))
    asked = sampled_sequences(asked, min(_MEASURED, len(asked)), seed)
    log_probs = event_log_probs(oracle, [tokenizer.encode(sequence) for sequence in asked])
    arguments = (others.codes, others.offsets, asked.codes, asked.offsets, len(windows.event_types))
    return OracleQuality(-float(log_probs.mean()), unigram_loss(*arguments), bigram_loss(*arguments), len(log_probs))
