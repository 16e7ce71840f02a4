"""Training an oracle on a log that is read in parts: one pass to count, one to train, in constant memory.

What is held out is a random part of the sequences, known by their ids, so that nothing of them is trained on.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from hf_trace.errors import EmptyLogError, SettingsError, TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.stream_samples import StreamSurvey, sequence_keys, survey_stream, windows_of
from hf_trace.logs.streams import EventStream
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import measure
from hf_trace.runs.folders import check_replaceable, save_run
from hf_trace.runs.processes import joined, output_folder
from hf_trace.tokenizers.event_tokenizer import EventTokenizer, flat_tokens
from hf_trace.tokenizers.event_tokens import log_spaced_edges
from hf_trace.training.architectures import build_model
from hf_trace.training.log_training import MOST_EVENTS_PER_WINDOW, TrainedRun, TrainingSettings
from hf_trace.training.loop import per_process, run_trainer, shared_arguments, silence, warmup_steps

# Sequences held out, and others kept for the counting models that the oracle is compared with.
MOST_HELD_OUT = 500
COUNTED_SEQUENCES = 5_000
_EVALUATIONS = 5
_IGNORED = -100
Advance = Callable[[float], None]


def train_stream(
    stream: EventStream,
    out: str | PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    resume: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    advance: Advance = lambda _: None,
) -> TrainedRun:
    """Train an oracle in one pass (or ``settings.epochs``) over a stream and write a run folder.

    Args:
        stream: The log.
        out: Folder to write; it appears only when training has succeeded.
        settings: As for ``train``; ``epochs`` is a whole number of passes, by default 1, windows have at most 128
            events unless said otherwise, and there is one oracle.
        resume: Go on from the last checkpoint of an interrupted training with the same settings.
        callbacks: Called by the trainer, for progress.
        advance: Called with the number of events read while counting.

    Raises:
        SettingsError: If a setting is only for logs that are read whole.
        EmptyLogError: If there are fewer than two sequences of two events.
        OutputError: If ``out`` holds something that is not a run, or cannot be written.
    """
    settings = _checked(settings or TrainingSettings())
    out = Path(out)
    check_replaceable(out)
    started = time.monotonic()
    survey = survey_stream(
        stream,
        sample=MOST_HELD_OUT + COUNTED_SEQUENCES,
        length=settings.window_length,
        gap=settings.window_gap,
        seed=settings.seed,
        advance=advance,
    )
    source = _Windows(stream, tokenizer_of(survey, settings), settings, _bound(survey, settings))
    held, counted = source.parted(survey.sample)
    counting = time.monotonic() - started
    checkpoints = out.parent / f".{out.name}-checkpoints"
    joined()  # before the trainer looks for other processes
    with output_folder(out) as folder:
        model, trainer = _trained(source, held, survey, settings, checkpoints, callbacks, resume)
        quality = measure(Oracle(model), source.tokenizer, counted, held)
        seconds = time.monotonic() - started
        metrics = {
            "validation": quality.to_dict(),
            "sequences": {"training": survey.sequences - len(held), "validation": len(held)},
            "events": survey.events,
            "reference_sequences": len(counted),
            "event_types": len(source.tokenizer.event_types),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "epochs": source.passes,
            "steps": trainer.state.global_step,
            "seconds": round(seconds, 1),
            "seconds_counting": round(counting, 1),
        }
        document = {**asdict(settings), "context_length": source.context_length, "stream": stream.name}
        save_run(folder, model, source.tokenizer, metrics=metrics, training=document)
    joined().wait()
    if joined().is_main:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainedRun(out, quality, metrics)


def tokenizer_of(survey: StreamSurvey, settings: TrainingSettings) -> EventTokenizer:
    """The vocabulary of a stream.

    Raises:
        TimestampError: If gaps are asked for and there are no times.
        EmptyLogError: If no type is seen often enough.
    """
    if settings.gaps and survey.gaps is None:
        raise TimestampError(
            "Gap tokens were asked for, but the log has no timestamps. Name their column with `--time-column`, or "
            "leave out `--gaps`."
        )
    kept = {name: count for name, count in survey.counts.items() if count >= max(1, settings.min_count)}
    if not kept:
        raise EmptyLogError(
            f"None of the {len(survey.counts):,} event types was seen {settings.min_count:,} times, expected at least "
            "one. Lower `--min-count`."
        )
    edges = [] if survey.gaps is None or settings.gaps is False else log_spaced_edges(survey.gaps)
    return EventTokenizer.from_event_types(kept, counts=list(kept.values()), gap_edges=edges)


def _checked(settings: TrainingSettings) -> TrainingSettings:
    refused = {"ensemble": settings.ensemble > 1, "lora": settings.lora}
    refused |= {"outcome_column": settings.outcome_column is not None}
    if wrong := [name for name, is_asked in refused.items() if is_asked]:
        raise SettingsError(
            f"{wrong[0]} is for logs that are read whole, and this one is read in parts. Leave it out, or `--stream`."
        )
    if settings.epochs is not None and settings.epochs != int(settings.epochs):
        raise SettingsError(f"epochs is {settings.epochs}, expected a whole number of passes over a stream.")
    return replace(settings, window_length=settings.window_length or MOST_EVENTS_PER_WINDOW)


def _bound(survey: StreamSurvey, settings: TrainingSettings) -> np.uint64:
    """Sequences whose key is at most this are held out."""
    count = min(MOST_HELD_OUT, max(1, round(settings.validation_share * survey.sequences)))
    if survey.sequences < 2:
        raise EmptyLogError(
            f"The stream has {survey.sequences} sequence, expected at least 2: one to learn from, one to check on."
        )
    return np.uint64(np.sort(survey.keys)[count - 1])


class _Windows:
    """Token windows of all sequences that are not held out, in a seeded order within each part of the stream."""

    def __init__(
        self, stream: EventStream, tokenizer: EventTokenizer, settings: TrainingSettings, bound: np.uint64
    ) -> None:
        self.stream, self.tokenizer, self.settings, self.bound = stream, tokenizer, settings, bound
        self.batch = 1
        self.passes = int(settings.epochs or 1)

    @property
    def context_length(self) -> int:
        return (self.settings.window_length or 0) * self.tokenizer.tokens_per_event() + 2

    def parted(self, sample: EventLog) -> tuple[EventLog, EventLog]:
        """Windows of the sample that are held out, and others."""
        is_held = sequence_keys(sample.ids, self.settings.seed) <= self.bound
        windows = [self._cut(sample.select(np.flatnonzero(chosen))) for chosen in (is_held, ~is_held)]
        if any(not len(log) for log in windows):
            raise EmptyLogError(
                "The stream has too few sequences of two or more events, expected one to learn from and one to check "
                "on. Name the case column."
            )
        return windows[0], windows[1]

    def _cut(self, log: EventLog) -> EventLog:
        return windows_of(log, self.settings.window_length, self.settings.window_gap)

    def __iter__(self) -> Iterator[dict[str, NDArray[np.int64]]]:
        for number in range(self.passes):
            yield from self._pass(np.random.default_rng([self.settings.seed, number]))

    def _pass(self, rng: np.random.Generator) -> Iterator[dict[str, NDArray[np.int64]]]:
        for part in self.stream.parts():
            kept = np.flatnonzero(sequence_keys(part.ids, self.settings.seed) > self.bound)
            windows = self._cut(part.select(kept))
            if not len(windows):
                continue
            tokens, offsets = flat_tokens(self.tokenizer, windows, end=True)
            for index in self._order(np.diff(offsets), rng):
                yield {"input_ids": tokens[offsets[index] : offsets[index + 1]]}

    def _order(self, lengths: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """A random order in which windows that come to one batch are alike in length."""
        by_length = np.lexsort((rng.random(len(lengths)), lengths))
        batches = np.split(by_length, np.arange(self.batch, len(by_length), self.batch))
        return np.concatenate([batches[index] for index in rng.permutation(len(batches))])


class _Dataset(IterableDataset):  # type: ignore[type-arg]
    """The windows as a data set: PyTorch's class, which run-time type checks cannot read, stays out of signatures."""

    def __init__(self, windows: _Windows) -> None:
        self.windows = windows

    def __iter__(self) -> Iterator[dict[str, NDArray[np.int64]]]:
        return iter(self.windows)


def _trained(
    source: _Windows,
    held: EventLog,
    survey: StreamSurvey,
    settings: TrainingSettings,
    checkpoints: Path,
    callbacks: Sequence[TrainerCallback],
    resume: bool,
) -> tuple[nn.Module, Trainer]:
    set_seed(settings.seed)
    model = build_model(
        source.tokenizer,
        context_length=source.context_length,
        preset=settings.preset,
        model=settings.model,
        lora=settings.lora,
    )
    length = float(np.mean(held.sequence_lengths)) * source.tokenizer.tokens_per_event() + 2
    at_once = per_process(max(1, round(settings.batch_tokens / length)), settings.gradient_accumulation)
    source.batch = at_once * settings.gradient_accumulation * joined().count
    steps = math.ceil((survey.windows - len(held)) * source.passes / source.batch)
    arguments = TrainingArguments(
        max_steps=steps,
        per_device_train_batch_size=at_once,
        per_device_eval_batch_size=at_once,
        gradient_accumulation_steps=settings.gradient_accumulation,
        accelerator_config={"dispatch_batches": False},  # every process reads for itself
        learning_rate=settings.learning_rate,
        warmup_steps=warmup_steps(float(steps)),
        **shared_arguments(
            checkpoints, steps_between=max(1, math.ceil(steps / _EVALUATIONS)), bf16=settings.bf16, seed=settings.seed
        ),
    )
    tokens, offsets = flat_tokens(source.tokenizer, held, end=True)
    trainer = _StreamTrainer(
        model=model,
        args=arguments,
        train_dataset=_Dataset(source),
        eval_dataset=[{"input_ids": part} for part in np.split(tokens, offsets[1:-1])],
        data_collator=_Collator(source.tokenizer.tokenizer.pad_token_id),
    )
    silence(trainer)
    for callback in callbacks:
        trainer.add_callback(callback)
    run_trainer(trainer, checkpoints, resume=resume)
    return trainer.model.eval(), trainer


class _StreamTrainer(Trainer):
    def get_train_dataloader(self) -> DataLoader[Any]:
        """Windows in the order in which they come."""
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset, batch_size=self.args.train_batch_size, collate_fn=self.data_collator
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]


class _Collator:
    """Pads on the right; labels come from lengths."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: list[dict[str, NDArray[np.int64]]]) -> dict[str, Tensor]:
        rows = [example["input_ids"] for example in examples]
        shape = (len(rows), max(map(len, rows)))
        ids, labels = np.full(shape, self.pad, np.int64), np.full(shape, _IGNORED, np.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = labels[row, : len(tokens)] = tokens
        mask = (labels != _IGNORED).astype(np.int64)
        return {
            name: torch.from_numpy(table)
            for name, table in (("input_ids", ids), ("attention_mask", mask), ("labels", labels))
        }
