"""Training an oracle on an event log: windows, what is held out, and further oracles of bootstrap samples."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from hf_trace.checks import one_of, whole
from hf_trace.documents import Document
from hf_trace.errors import SettingsError
from hf_trace.logs.contexts import outcome_event
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import crowding_warning
from hf_trace.logs.windows import cut_windows
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import OracleQuality, measure
from hf_trace.runs.members import MEMBERS, member_seed
from hf_trace.runs.resuming import log_digest
from hf_trace.runs.training_samples import bootstrap_sample, split_windows
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import MOST_ADDED, PRESETS
from hf_trace.training.data_trainer import IGNORED, Schedule, TrainingData, batch_sizes
from hf_trace.training.loop import Fitted, Loop, LoopSettings, TrainedRun, training_run

logger = logging.getLogger(__name__)
MOST_EVENTS_PER_WINDOW = 128
PLAIN_TOKENS, PLAIN_RATE = 512, 2e-3  # of steps that AdamW makes
_MOST_EPOCHS = 20.0
_EVALUATIONS = 10
# Where matrices take orthogonal steps: more tokens a step, fewer steps and passes.
_RATE, _MATRIX_RATE = 4e-3, 2.5  # of the fewest steps; of matrices, in learning rates
_TOKENS_OF_WIDTH, _LEAST_TOKENS, _LEAST_PARTS = 8, 128, 32
# An additive part, which models have where there are times, learns in a few passes what layers alone learn in more.
_USUAL_EPOCHS, _LONE_EPOCHS, _LEAST_STEPS, _USUAL_EVALUATIONS = 5.0, 10.0, 192, 5
_MANY_TOKENS = 10_000


@dataclass(frozen=True)
class TrainingSettings(LoopSettings):
    """How an oracle is trained; everything needed to train it again.

    ``LoopSettings`` explains what tables are trained with too. By default there are at most 20 ``epochs``, a step reads
    512 tokens, and the ``learning_rate`` is 0.002. Where a preset is trained ``quick`` there are five, without times
    ten, up to 20 where that would be few steps; a step reads eight tokens for each dimension of hidden states, fewer
    where the log is small; the rate is 0.004 for 192 steps, falls with the square root of more, and is 2.5 times as
    large for the matrices between layers.

    Attributes:
        quick: Whether the matrices of a preset take orthogonal steps: a third to two thirds of the time for about the
            same graph and a held-out loss up to .06 nats higher (recipe ``speed``). None: where the log has 10,000
            tokens or more; with fewer, training takes seconds anyway.
        window_length: Longest window in events; by default the longest sequence, at most 128.
        window_gap: Also cut where nothing happened for more than this many seconds.
        gaps: Whether to write the time between events; by default when there are timestamps.
        min_count: Event types seen less often are read as unknown.
        gradient_accumulation: Parts in which each process reads its share of a step, where memory is short.
        ensemble: Oracles in all: the run itself and, in ``members/``, further ones trained on bootstrap samples of
            the sequences, which say how far its scores can be trusted (``threshold="fdr:0.1"``).
        context_columns: What stands at the beginning of every sequence (``read_log``), recorded so that discovery
            reads the same.
        outcome_column: Column whose labels are the last events of the sequences (``read_log``), recorded so that
            discovery asks about them and never replaces an event by one.
    """

    quick: bool | None = False
    window_length: int | None = None
    window_gap: float | None = None
    gaps: bool | None = None
    min_count: int = 1
    gradient_accumulation: int = 1
    ensemble: int = 1
    context_columns: Sequence[str] = ()
    outcome_column: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quick and self.model is not None:
            raise SettingsError(f"quick is for presets, and the model {self.model!r} is named. Leave out either.")
        object.__setattr__(self, "context_columns", tuple(self.context_columns))
        if self.window_length is not None:
            whole("window_length", self.window_length, least=2)
        for name in ("min_count", "gradient_accumulation", "ensemble"):
            whole(name, getattr(self, name))


def train(
    log: EventLog,
    out: str | PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainedRun[OracleQuality]:
    """Train an oracle on a log and write a run folder.

    Checkpoints live beside ``out`` in a hidden folder until the run is complete.

    Args:
        log: The sequences; long ones are cut into windows.
        out: Folder to write; it appears only when training has succeeded.
        settings: See ``TrainingSettings``.
        resume: Go on from the last checkpoint of an interrupted training of the same log with the same settings; a run
            that is finished is left as it is.
        overwrite: Whether an older run in ``out`` is replaced.
        callbacks: Called by the trainer, for progress.

    Raises:
        EmptyLogError: If there are not at least two sequences (or windows) of two events.
        SettingsError: If ``resume`` finds what was made with other settings or another log.
        OutputError: If ``out`` holds something that is not a run, or one that may not be replaced, or cannot be
            written.
    """
    settings = settings or TrainingSettings()
    with training_run(out, resume=resume, overwrite=overwrite, callbacks=callbacks) as loop:
        tokenizer, settings = prepared(log, settings)
        loop.begin(settings, log=log_digest(log))
        if loop.finished:
            return TrainedRun(Path(out), OracleQuality.from_dict(loop.finished["validation"]), loop.finished)
        if problem := crowding_warning(log, settings.window_length or 0):
            logger.warning("%s", problem)
        windows = cut_windows(log, length=settings.window_length, gap=settings.window_gap)
        training, validation = split_windows(windows, settings.validation_share, settings.seed)
        quality, metrics = _train_one(loop, tokenizer, training, validation, settings)
        for number in range(1, settings.ensemble):
            seed = member_seed(settings.seed, number)
            sample, alone = bootstrap_sample(training, seed), replace(settings, ensemble=1, seed=seed)
            _train_one(loop, tokenizer, sample, validation, alone, f"{MEMBERS}/{number}")
    return TrainedRun(Path(out), quality, metrics)


def prepared(log: EventLog, settings: TrainingSettings) -> tuple[EventTokenizer, TrainingSettings]:
    """The vocabulary of a log, and the settings with what follows from it: length of windows, steps, contexts."""
    tokenizer = EventTokenizer.from_log(log, min_count=settings.min_count, gaps=settings.gaps)
    length = max(2, settings.window_length or min(int(log.sequence_lengths.max()), MOST_EVENTS_PER_WINDOW))
    if settings.quick is None:
        tokens = len(log.codes) * tokenizer.tokens_per_event()
        settings = replace(settings, quick=settings.model is None and tokens >= _MANY_TOKENS)
    rate = settings.learning_rate or (None if settings.quick else PLAIN_RATE)
    contexts = tuple(tokenizer.contexts)
    return tokenizer, replace(settings, window_length=length, learning_rate=rate, context_columns=contexts)


def _train_one(
    loop: Loop,
    tokenizer: EventTokenizer,
    training: EventLog,
    validation: EventLog,
    settings: TrainingSettings,
    name: str = "",
) -> tuple[OracleQuality, Document]:
    data = LogData(tokenizer, training, validation, settings)
    fitted = loop.fit(data, settings, name)
    quality, metrics = measured(fitted, tokenizer, training, validation)
    return quality, loop.save(fitted, data, settings, metrics, name)


def measured(
    fitted: Fitted, tokenizer: EventTokenizer, training: EventLog, validation: EventLog
) -> tuple[OracleQuality, Document]:
    """How well an oracle predicts what was held out, and what ``metrics.json`` says of that and of the log."""
    quality = measure(Oracle(fitted.model), tokenizer, training, validation)
    return quality, {
        "validation": quality.to_dict(),
        "sequences": {"training": len(training), "validation": len(validation)},
        "event_types": len(tokenizer.event_types),
        "epochs": fitted.epochs,
    }


class LogData(TrainingData):
    """Windows in batches of similar lengths; the best model is the one that predicts held-out events best.

    Labels of whole sequences count as much as an average window, and what happened at neighbours little.
    """

    tokenizer: EventTokenizer
    averages = True

    def __init__(
        self, tokenizer: EventTokenizer, training: EventLog, validation: EventLog, settings: TrainingSettings
    ) -> None:
        self.tokenizer, self.origin = tokenizer, {"kind": "log"}
        if training.network is not None:
            self.origin["topology"] = training.network.to_dict()
        per_window = (settings.window_length or 0) * tokenizer.tokens_per_event()
        self.context_length = per_window + 2 + len(tokenizer.contexts)
        self.training, self.held_out = (_examples(log, tokenizer) for log in (training, validation))
        self.lengths = [len(example["input_ids"]) for example in self.training]
        self.schedule = self._schedule(settings)
        if settings.quick:
            rate = settings.learning_rate or _RATE * min(1.0, math.sqrt(_LEAST_STEPS / self.schedule.steps))
            self.rates = rate, _MATRIX_RATE * rate
        self.weights = self._weights(tokenizer, settings)

    def _schedule(self, settings: TrainingSettings) -> Schedule:
        tokens, quick = sum(self.lengths), settings.quick
        wanted = settings.batch_tokens or (_preset_tokens(settings.preset, tokens) if quick else PLAIN_TOKENS)
        examples = max(1, min(len(self.lengths), round(wanted / np.mean(self.lengths))))
        at_once, batch = batch_sizes(examples, settings.gradient_accumulation)
        per_epoch = math.ceil(len(self.lengths) / batch)
        adds_up = self.tokenizer.writes_gaps and len(self.tokenizer) <= MOST_ADDED
        few = _USUAL_EPOCHS if adds_up else _LONE_EPOCHS
        usual = max(few, _LEAST_STEPS / per_epoch) if quick else _MOST_EPOCHS
        epochs = settings.epochs or min(usual, _MOST_EPOCHS, max(1.0, settings.max_tokens / tokens))
        # Small logs are evaluated once per pass, large ones several times in all.
        evaluations = _USUAL_EVALUATIONS if quick else _EVALUATIONS
        every = max(1, min(per_epoch, math.ceil(per_epoch * epochs / evaluations)))
        parts = settings.gradient_accumulation
        return Schedule(per_epoch * epochs, every, at_once, parts, epochs=epochs, patience=settings.patience)

    def _weights(self, tokenizer: EventTokenizer, settings: TrainingSettings) -> Tensor | None:
        """What each token counts in the loss; None where all count the same."""
        weights = torch.ones(max(tokenizer.vocabulary.values()) + 1)
        if tokenizer.reads_neighbours:
            # All that happened at neighbours together counts as much as all own events do.
            own = tokenizer.frequencies[~tokenizer.is_near].sum()
            weights[tokenizer.event_ids[tokenizer.is_near]] = min(1.0, own / (1 - own))
            weights[tokenizer.gap_ids] = float(own)
        elif settings.outcome_column is None:
            return None
        if settings.outcome_column is not None:
            begins = outcome_event(settings.outcome_column, "")
            labels = [token for name, token in tokenizer.vocabulary.items() if name.startswith(begins)]
            weights[labels] = float(np.mean(self.lengths))
        return weights

    def sampler(self, trainer: Trainer) -> Any:
        """Windows of like lengths together, in an order of the seed."""
        return _PassSampler(trainer, self.lengths)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor | None:
        """Weighted, where not every token counts the same."""
        if self.weights is None:
            return None
        labels = batch["labels"]
        read = {name: part for name, part in batch.items() if name != "labels"}
        return weighted_loss(model(**read).logits, labels, self.weights.to(labels.device))

    def evaluate(self, model: nn.Module) -> float:
        """Of the own events of the windows that are held out."""
        return event_loss(model, self.held_out, self.tokenizer, self.schedule.at_once)


def _preset_tokens(preset: str, tokens: int) -> int:
    """Tokens of a step, so that making it orthogonal costs about the same share of it whatever the width."""
    one_of("preset", preset, PRESETS)
    return min(_TOKENS_OF_WIDTH * PRESETS[preset].hidden_size, max(_LEAST_TOKENS, tokens // _LEAST_PARTS))


@torch.no_grad()
def event_loss(
    model: nn.Module, examples: Sequence[dict[str, NDArray[np.int64]]], tokenizer: EventTokenizer, at_once: int
) -> float:
    """Mean loss of the events of a place's own, in nats: of what a causal graph is made of.

    Args:
        model: The model as it is trained.
        examples: Token windows, as ``input_ids``.
        tokenizer: Their vocabulary.
        at_once: Windows that are read at a time.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    own = torch.from_numpy(tokenizer.event_ids[~tokenizer.is_near])
    total, count = 0.0, 0
    by_length = sorted((torch.as_tensor(example["input_ids"]) for example in examples), key=len)
    for start in range(0, len(by_length), at_once):
        ids = pad_sequence(by_length[start : start + at_once], batch_first=True, padding_value=IGNORED)
        counted = torch.isin(ids[:, 1:], own).to(device)
        logits = model(input_ids=ids.clamp(min=0).to(device)).logits[:, :-1][counted]
        total += float(cross_entropy(logits.float(), ids[:, 1:].to(device)[counted], reduction="sum"))
        count += int(counted.sum())
    model.train(was_training)
    return total / max(1, count)


def _examples(log: EventLog, tokenizer: EventTokenizer) -> list[dict[str, NDArray[np.int64]]]:
    return [{"input_ids": tokenizer.encode(sequence, unknown="map", end=True).input_ids} for sequence in log]


class _PassSampler(LengthGroupedSampler):
    """Draws the order of every pass from the seed and the number of the pass alone.

    The trainer's own grouping by length draws from the global generator: a training resumed within a pass would go
    on in another order than the uninterrupted one.
    """

    def __init__(self, trainer: Trainer, lengths: list[int]) -> None:
        self._trainer = trainer
        super().__init__(trainer.args.train_batch_size, lengths=lengths, generator=torch.Generator())

    def __iter__(self) -> Iterator[int]:
        finished = int(self._trainer.state.epoch or 0)
        self.generator.manual_seed(self._trainer.args.seed * 1_000_003 + finished)
        return super().__iter__()


def weighted_loss(
    logits: Float[Tensor, "row pos vocab"], labels: Int[Tensor, "row pos"], weights: Float[Tensor, " vocab"]
) -> Float[Tensor, ""]:
    """Mean loss of the next token, in nats, where some tokens count more.

    Args:
        logits: Of the token after each position.
        labels: The tokens themselves; -100 for padding.
        weights: What each token counts.

    Example:
        >>> logits, labels = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 3]])
        >>> round(weighted_loss(logits, labels, torch.tensor([1.0, 1, 1, 9])).item(), 4)  # ln 4 whatever the weights
        1.3863
    """
    after = labels[:, 1:].flatten()
    losses = cross_entropy(logits[:, :-1].flatten(0, 1).float(), after, ignore_index=IGNORED, reduction="none")
    counted = weights[after.clamp(min=0)] * (after != IGNORED)
    return (losses * counted).sum() / counted.sum().clamp(min=torch.finfo(counted.dtype).tiny)
