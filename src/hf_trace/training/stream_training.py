"""Training an oracle on a log that is read in parts: one pass to count, one to train, in constant memory.

What is held out is a random part of the sequences, known by their ids, so that nothing of them is trained on.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import IterableDataset
from transformers import TrainerCallback

from hf_trace.errors import EmptyLogError, SettingsError, TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.stream_samples import StreamSurvey, sequence_keys, survey_stream, windows_of
from hf_trace.logs.streams import EventStream
from hf_trace.oracle.quality import OracleQuality
from hf_trace.runs.resuming import log_digest
from hf_trace.tokenizers.event_tokenizer import EventTokenizer, flat_tokens
from hf_trace.tokenizers.event_tokens import log_spaced_edges
from hf_trace.training.data_trainer import Schedule, TrainingData, batch_sizes
from hf_trace.training.log_training import (
    MOST_EVENTS_PER_WINDOW,
    PLAIN_RATE,
    PLAIN_TOKENS,
    TrainingSettings,
    event_loss,
    measured,
)
from hf_trace.training.loop import TrainedRun, training_run

# Sequences held out, and others kept for the counting models that the oracle is compared with.
MOST_HELD_OUT = 500
COUNTED_SEQUENCES = 5_000
_EVALUATIONS = 5
Advance = Callable[[float], None]


def train_stream(
    stream: EventStream,
    out: str | PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
    advance: Advance = lambda _: None,
) -> TrainedRun[OracleQuality]:
    """Train an oracle in one pass (or ``settings.epochs``) over a stream and write a run folder.

    Args:
        stream: The log.
        out: Folder to write; it appears only when training has succeeded.
        settings: As for ``train``; ``epochs`` is a whole number of passes, by default 1, windows have at most 128
            events unless said otherwise, and there is one oracle.
        resume: Go on from the last checkpoint of an interrupted training of the same log with the same settings; a run
            that is finished is left as it is.
        overwrite: Whether an older run in ``out`` is replaced.
        callbacks: Called by the trainer, for progress.
        advance: Called with the number of events read while counting.

    Raises:
        SettingsError: If a setting is only for logs that are read whole, or ``resume`` finds what was made with other
            settings or another log.
        EmptyLogError: If there are fewer than two sequences of two events.
        OutputError: If ``out`` holds something that is not a run, or one that may not be replaced, or cannot be
            written.
    """
    settings = _checked(settings or TrainingSettings())
    with training_run(out, resume=resume, overwrite=overwrite, callbacks=callbacks) as loop:
        survey = survey_stream(
            stream,
            sample=MOST_HELD_OUT + COUNTED_SEQUENCES,
            length=settings.window_length,
            gap=settings.window_gap,
            seed=settings.seed,
            advance=advance,
        )
        loop.begin(settings, log=survey_digest(survey))
        if loop.finished:
            return TrainedRun(Path(out), OracleQuality.from_dict(loop.finished["validation"]), loop.finished)
        windows = StreamWindows(stream, tokenizer_of(survey, settings), settings, held_out_bound(survey, settings))
        held, counted = windows.parted(survey.sample)
        counting = loop.seconds
        data = _StreamData(windows, held, survey.windows)
        fitted = loop.fit(data, settings)
        quality, metrics = measured(fitted, windows.tokenizer, counted, held)
        metrics |= {
            "sequences": {"training": survey.sequences - len(held), "validation": len(held)},
            "events": survey.events,
            "reference_sequences": len(counted),
            "epochs": windows.passes,
            "seconds_counting": counting,
        }
        metrics = loop.save(fitted, data, settings, metrics)
    return TrainedRun(Path(out), quality, metrics)


def survey_digest(survey: StreamSurvey) -> str:
    """A hash of what was counted in a stream, of the names of its sequences, and of all events of a part of them."""
    counted = (
        survey.sequences,
        survey.events,
        survey.windows,
        sorted(survey.counts.items()),
        log_digest(survey.sample),
    )
    digest = hashlib.blake2b(f"{counted} {log_digest(survey.sample)}".encode(errors="surrogatepass"), digest_size=8)
    digest.update(np.sort(survey.keys).tobytes())
    return digest.hexdigest()


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
    kept = {name: count for name, count in survey.counts.items() if count >= settings.min_count}
    if not kept:
        raise EmptyLogError(
            f"None of the {len(survey.counts):,} event types was seen {settings.min_count:,} times, expected at least "
            "one. Lower `--min-count`."
        )
    edges = [] if survey.gaps is None or settings.gaps is False else log_spaced_edges(survey.gaps)
    return EventTokenizer.from_event_types(kept, counts=list(kept.values()), gap_edges=edges)


def _checked(settings: TrainingSettings) -> TrainingSettings:
    refused = {"ensemble": settings.ensemble > 1, "lora": settings.lora, "quick": bool(settings.quick)}
    refused |= {"outcome_column": settings.outcome_column is not None}
    if wrong := [name for name, is_asked in refused.items() if is_asked]:
        raise SettingsError(
            f"{wrong[0]} is for logs that are read whole, and this one is read in parts. Leave it out, or `--stream`."
        )
    if settings.epochs is not None and settings.epochs != int(settings.epochs):
        raise SettingsError(f"epochs is {settings.epochs}, expected a whole number of passes over a stream.")
    length, rate = settings.window_length or MOST_EVENTS_PER_WINDOW, settings.learning_rate or PLAIN_RATE
    return replace(settings, window_length=length, learning_rate=rate)


def held_out_bound(survey: StreamSurvey, settings: TrainingSettings) -> np.uint64:
    """Sequences whose key is at most this are held out.

    Raises:
        EmptyLogError: If there are fewer than two sequences.
    """
    count = min(MOST_HELD_OUT, max(1, round(settings.validation_share * survey.sequences)))
    if survey.sequences < 2:
        raise EmptyLogError(
            f"The stream has {survey.sequences} sequence, expected at least 2: one to learn from, one to check on."
        )
    return np.uint64(np.sort(survey.keys)[count - 1])


class StreamWindows(IterableDataset):  # type: ignore[type-arg]
    """Token windows of all sequences that are not held out, in a seeded order within each part of the stream.

    Args:
        stream: The log.
        tokenizer: Its vocabulary.
        settings: With the length of a window.
        bound: See ``held_out_bound``.
    """

    def __init__(
        self, stream: EventStream, tokenizer: EventTokenizer, settings: TrainingSettings, bound: np.uint64
    ) -> None:
        self.stream, self.tokenizer, self.settings, self.bound = stream, tokenizer, settings, bound
        self.batch = 1
        self.passes = int(settings.epochs or 1)

    def parted(self, sample: EventLog) -> tuple[EventLog, EventLog]:
        """Windows of a sample that are held out, and others.

        Raises:
            EmptyLogError: If there are none of either.
        """
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


class _StreamData(TrainingData):
    """Windows in the order in which they come."""

    tokenizer: EventTokenizer
    averages = True

    def __init__(self, windows: Any, held: EventLog, count: int) -> None:
        settings, tokenizer = windows.settings, windows.tokenizer
        per_event = tokenizer.tokens_per_event()
        self.tokenizer, self.training = tokenizer, windows
        self.context_length = settings.window_length * per_event + 2
        self.origin = {"kind": "log", "stream": windows.stream.name}
        tokens, offsets = flat_tokens(tokenizer, held, end=True)
        self.held_out = [{"input_ids": part} for part in np.split(tokens, offsets[1:-1])]
        length = float(np.mean(held.sequence_lengths)) * per_event + 2
        parts = settings.gradient_accumulation
        at_once, windows.batch = batch_sizes(max(1, round((settings.batch_tokens or PLAIN_TOKENS) / length)), parts)
        steps = math.ceil((count - len(held)) * windows.passes / windows.batch)
        self.schedule = Schedule(float(steps), max(1, math.ceil(steps / _EVALUATIONS)), at_once, parts)

    def evaluate(self, model: nn.Module) -> float:
        return event_loss(model, self.held_out, self.tokenizer, self.schedule.at_once)
