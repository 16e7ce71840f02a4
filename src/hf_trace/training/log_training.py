"""Training an oracle on an event log: windows, split, Trainer, and a run folder at the end."""

import logging
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from hf_trace.errors import EmptyLogError, SettingsError
from hf_trace.logs.contexts import outcome_event
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import cut_windows
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import OracleQuality, measure
from hf_trace.runs.adapters import ADAPTER_FOLDER, folded
from hf_trace.runs.folders import check_replaceable, save_run
from hf_trace.runs.members import MEMBERS, bootstrap_sample, member_seed
from hf_trace.runs.processes import joined, output_folder
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import build_model
from hf_trace.training.loop import per_process, run_trainer, shared_arguments, silence, warmup_steps, weighted_loss

logger = logging.getLogger(__name__)
MOST_EVENTS_PER_WINDOW = 128
_IGNORED = -100
_MOST_EPOCHS = 20.0


@dataclass(frozen=True)
class TrainingSettings:
    """How an oracle is trained; everything needed to train it again.

    Attributes:
        preset: Shape of a Llama from scratch: ``nano``, ``tiny``, ``small`` or ``base``.
        model: Instead of a preset, a model type, config or checkpoint; see ``architectures.build_model``.
        lora: Train adapters of a pretrained ``model``; the run folder then holds them alone.
        merge: Write all weights, with the adapters folded in, instead.
        window_length: Longest window in events; by default the longest sequence, at most 128.
        window_gap: Also cut where nothing happened for so many seconds.
        gaps: Whether to write the time between events; by default when there are timestamps.
        min_count: Event types seen less often are read as unknown.
        epochs: Most passes over the data; by default as many as fit ``max_tokens``, at most 20.
        max_tokens: Most tokens read in training when ``epochs`` is not given.
        learning_rate: Peak of a cosine schedule.
        batch_tokens: Tokens per optimiser step of all processes together, about.
        gradient_accumulation: Parts in which each process reads its share of a step, where memory is short.
        validation_share: Share of sequences held out.
        patience: Evaluations without a better validation loss before training stops.
        bf16: Whether to compute in bfloat16; by default on GPUs that have it.
        ensemble: Oracles in all: the run itself and, in ``members/``, further ones trained on bootstrap samples of
            the sequences, which say how far its scores can be trusted (``threshold="fdr:0.1"``).
        context_columns: What stands at the beginning of every sequence (``read_log``), recorded so that discovery
            reads the same.
        outcome_column: Column whose labels are the last events of the sequences (``read_log``), recorded so that
            discovery asks about them and never replaces an event by one.
        seed: Seed of the split, the weights and the order.
    """

    preset: str = "tiny"
    model: str | None = None
    lora: bool = False
    merge: bool = False
    window_length: int | None = None
    window_gap: float | None = None
    gaps: bool | None = None
    min_count: int = 1
    epochs: float | None = None
    max_tokens: int = 4_000_000
    learning_rate: float = 2e-3
    batch_tokens: int = 1024
    gradient_accumulation: int = 1
    validation_share: float = 0.1
    patience: int = 4
    bf16: bool | None = None
    ensemble: int = 1
    context_columns: Sequence[str] = ()
    outcome_column: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "context_columns", tuple(self.context_columns))
        if self.window_length is not None and self.window_length < 2:
            raise SettingsError(f"window_length is {self.window_length}, expected at least 2 events.")
        for name in ("min_count", "max_tokens", "batch_tokens", "gradient_accumulation", "patience", "ensemble"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if not 0 < self.validation_share < 1:
            raise SettingsError(f"validation_share is {self.validation_share}, expected between 0 and 1.")
        for name in ("epochs", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{name} is {value}, expected a number above 0.")


@dataclass(frozen=True)
class TrainedRun:
    """What training leaves behind.

    Attributes:
        folder: Where the run was written.
        quality: Held-out losses of the oracle and of counting models.
        metrics: What ``metrics.json`` holds.
    """

    folder: Path
    quality: OracleQuality
    metrics: dict[str, Any] = field(repr=False)


def train(
    log: EventLog,
    out: str | PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    resume: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainedRun:
    """Train an oracle on a log and write a run folder.

    Checkpoints live beside ``out`` in a hidden folder until the run is complete.

    Args:
        log: The sequences; long ones are cut into windows.
        out: Folder to write; it appears only when training has succeeded.
        settings: See ``TrainingSettings``.
        resume: Go on from the last checkpoint of an interrupted training with the same settings.
        callbacks: Called by the trainer, for progress.

    Raises:
        EmptyLogError: If there are not at least two sequences (or windows) of two events.
        OutputError: If ``out`` holds something that is not a run, or cannot be written.
    """
    settings = settings or TrainingSettings()
    out = Path(out)
    check_replaceable(out)
    tokenizer = EventTokenizer.from_log(log, min_count=settings.min_count, gaps=settings.gaps)
    window_length = settings.window_length or min(int(log.sequence_lengths.max()), MOST_EVENTS_PER_WINDOW)
    settings = replace(settings, window_length=max(2, window_length), context_columns=tuple(tokenizer.contexts))
    windows = cut_windows(log, length=max(2, window_length), gap=settings.window_gap)
    training, validation = split_windows(windows, settings.validation_share, settings.seed)
    checkpoints = out.parent / f".{out.name}-checkpoints"
    joined()  # before the trainer looks for other processes
    with output_folder(out) as folder:
        job = _Job(tokenizer, training, validation, settings, resume, callbacks)
        quality, metrics = _fit(job, folder, checkpoints)
        for number in range(1, settings.ensemble):
            seed = member_seed(settings.seed, number)
            member = replace(
                job, training=bootstrap_sample(training, seed), settings=replace(settings, ensemble=1, seed=seed)
            )
            _fit(member, folder / MEMBERS / str(number), checkpoints / MEMBERS / str(number))
    joined().wait()
    if joined().is_main:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainedRun(out, quality, metrics)


@dataclass(frozen=True)
class _Job:
    """What one oracle is trained on and how."""

    tokenizer: EventTokenizer
    training: EventLog
    validation: EventLog
    settings: TrainingSettings
    resume: bool
    callbacks: Sequence[TrainerCallback]


def _fit(job: _Job, folder: Path, checkpoints: Path) -> tuple[OracleQuality, dict[str, Any]]:
    """Train one oracle and write its folder."""
    started = time.monotonic()
    settings, tokenizer = job.settings, job.tokenizer
    set_seed(settings.seed)
    context_length = (settings.window_length or 0) * tokenizer.tokens_per_event() + 2 + len(tokenizer.contexts)
    model = build_model(
        tokenizer, context_length=context_length, preset=settings.preset, model=settings.model, lora=settings.lora
    )
    trainer = _trainer(model, tokenizer, job.training, job.validation, settings, checkpoints)
    for callback in job.callbacks:
        trainer.add_callback(callback)
    run_trainer(trainer, checkpoints, resume=job.resume)
    adapter = folder / ADAPTER_FOLDER if settings.lora and not settings.merge else None
    model = folded(trainer.model, adapter).eval()
    quality = measure(Oracle(model), tokenizer, job.training, job.validation)
    metrics = {
        "validation": quality.to_dict(),
        "sequences": {"training": len(job.training), "validation": len(job.validation)},
        "event_types": len(tokenizer.event_types),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": trainer.state.epoch,
        "steps": trainer.state.global_step,
        "seconds": round(time.monotonic() - started, 1),
    }
    document = {**asdict(settings), "context_length": context_length}
    save_run(folder, model, tokenizer, adapter=adapter, base=settings.model, metrics=metrics, training=document)
    return quality, metrics


def split_windows(windows: EventLog, share: float, seed: int) -> tuple[EventLog, EventLog]:
    """Hold out a share of the sequences, all windows of a sequence on the same side.

    With fewer than ten sequences the windows are split instead, at random.

    Raises:
        EmptyLogError: If there are fewer than two windows of two events.
    """
    usable = np.flatnonzero(windows.sequence_lengths >= 2)
    if len(usable) < 2:
        raise EmptyLogError(
            f"The log has {len(usable)} sequences of two or more events, expected at least 2: one to learn from, one "
            "to check on. Name the case column, or cut a single stream with `--window-length`."
        )
    cases = np.array([windows.ids[index].rpartition("#")[0] or windows.ids[index] for index in usable])
    names = np.unique(cases)
    if len(names) < 10:
        names, cases = usable, usable
    held = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(names)[:held]
    is_held = np.isin(cases, chosen)
    return windows.select(usable[~is_held]), windows.select(usable[is_held])


def _trainer(
    model: nn.Module,
    tokenizer: EventTokenizer,
    training: EventLog,
    validation: EventLog,
    settings: TrainingSettings,
    checkpoints: Path,
) -> Trainer:
    data = [_examples(log, tokenizer) for log in (training, validation)]
    lengths = [len(example["input_ids"]) for example in data[0]]
    batch = max(1, min(len(lengths), round(settings.batch_tokens / np.mean(lengths))))
    at_once = per_process(batch, settings.gradient_accumulation)
    batch = at_once * settings.gradient_accumulation * joined().count
    epochs = settings.epochs or min(_MOST_EPOCHS, max(1.0, settings.max_tokens / sum(lengths)))
    steps_per_epoch = math.ceil(len(lengths) / batch)
    # Small logs are evaluated once per pass, large ones at least ten times in all.
    every = max(1, min(steps_per_epoch, math.ceil(steps_per_epoch * epochs / 10)))
    arguments = TrainingArguments(
        num_train_epochs=epochs,
        per_device_train_batch_size=at_once,
        per_device_eval_batch_size=at_once,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        warmup_steps=warmup_steps(steps_per_epoch * epochs),
        **shared_arguments(checkpoints, steps_between=every, bf16=settings.bf16, seed=settings.seed),
    )
    trainer = _OrderedTrainer(
        model=model,
        args=arguments,
        train_dataset=data[0],
        eval_dataset=data[1],
        data_collator=_Collator(tokenizer.tokenizer.pad_token_id),
        callbacks=[EarlyStoppingCallback(settings.patience)],
    )
    silence(trainer)
    if settings.outcome_column is not None:
        begins = outcome_event(settings.outcome_column, "")
        labels = [token for name, token in tokenizer.vocabulary.items() if name.startswith(begins)]
        trainer.outcomes, trainer.outcome_weight = torch.tensor(labels), float(np.mean(lengths))
    return trainer


class _OrderedTrainer(Trainer):
    """Draws the order of every pass from the seed and the number of the pass alone.

    The Trainer's own grouping by length draws from the global generator: a training resumed within a pass would
    go on in another order than the uninterrupted one.

    Attributes:
        outcomes: Tokens of labels of whole sequences, whose loss has a weight of its own; see ``outcome_loss``.
        outcome_weight: That weight.
    """

    outcomes: Tensor | None = None
    outcome_weight = 1.0

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """The model's own loss, or one in which labels of sequences weigh more."""
        if self.outcomes is None:
            return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        labels = inputs["labels"]
        loss = weighted_loss(outputs.logits, labels, self.outcomes.to(labels.device), self.outcome_weight)
        # Where it counts the items of a step, the trainer does not average over the parts of one.
        if kwargs.get("num_items_in_batch") is not None:
            loss = loss / self.current_gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> DataLoader:
        """Batches of similar lengths."""
        lengths = [len(example["input_ids"]) for example in self.train_dataset]
        loader = DataLoader(
            self.train_dataset,
            batch_size=self.args.train_batch_size,
            sampler=_PassSampler(self, lengths),
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)


class _PassSampler(LengthGroupedSampler):
    def __init__(self, trainer: Trainer, lengths: list[int]) -> None:
        self._trainer = trainer
        super().__init__(trainer.args.train_batch_size, lengths=lengths, generator=torch.Generator())

    def __iter__(self) -> Iterator[int]:
        finished = int(self._trainer.state.epoch or 0)
        self.generator.manual_seed(self._trainer.args.seed * 1_000_003 + finished)
        return super().__iter__()


def _examples(log: EventLog, tokenizer: EventTokenizer) -> list[dict[str, list[int]]]:
    encoded = (tokenizer.encode(sequence, unknown="map", end=True) for sequence in log)
    return [{"input_ids": sequence.input_ids.tolist()} for sequence in encoded]


class _Collator:
    """Pads on the right. Labels come from lengths: an event may share no id with the padding."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        rows = [torch.tensor(example["input_ids"]) for example in examples]
        pad = nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(rows, batch_first=True, padding_value=self.pad),
            "attention_mask": pad([torch.ones_like(row) for row in rows], batch_first=True),
            "labels": pad(rows, batch_first=True, padding_value=_IGNORED),
        }
