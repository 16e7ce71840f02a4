"""Trainings that begin with what is told of a log without training, beside one that begins with nothing.

The ordinary training is that of ``hf_trace.train``. The ``residual`` one adds its logits to the log-probabilities that
the zero-shot model gives to event types; each training window is told by a model that has the other four fifths of them
in its context. The ``mixture`` is the ordinary one, whose probabilities are averaged with those of the zero-shot model.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mixing_training import within
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from hf_trace.amortised.context_model import ContextForCausalLM
from hf_trace.amortised.zero_shot import CONTEXT_EVENTS, FOLDS, reading
from hf_trace.logs.log import EventLog
from hf_trace.logs.windows import cut_windows
from hf_trace.runs.resuming import log_digest
from hf_trace.runs.training_samples import split_windows
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.data_trainer import IGNORED, Collator
from hf_trace.training.log_training import LogData, TrainingSettings, prepared
from hf_trace.training.loop import training_run

WAYS = ("ordinary", "residual", "mixture", "half and half")
_AT_ONCE = 64


class Told(NamedTuple):
    """What was said of windows without training.

    Attributes:
        log_probs: Of each window the log-probability of every event type, ``[place, type]``, after each token that an
            event may follow.
        seconds: Of the processor, with counting what is in the contexts.
    """

    log_probs: list[Tensor]
    seconds: float


def tuning(name: str, read: Callable[[], EventLog], reader: ContextForCausalLM, settings: TrainingSettings) -> dict:
    """What both trainings of a log were at each evaluation, and what the zero-shot model says of the same events."""
    log = read()
    tokenizer, settings = prepared(log, settings)
    windows = cut_windows(log, length=settings.window_length, gap=settings.window_gap)
    training, validation = split_windows(windows, settings.validation_share, settings.seed)
    # By length, so that little is padded where they are read.
    validation = validation.select(np.argsort(validation.sequence_lengths, kind="stable"))
    held = told(validation, training, tokenizer, reader, settings.seed)
    known = told_by_others(training, tokenizer, reader, settings.seed)
    ordinary = WatchedData(tokenizer, training, validation, settings)
    zero = ordinary.chosen(held.log_probs)
    alone = curve(ordinary, settings, training)
    added = curve(ResidualData(tokenizer, training, validation, settings, known, held), settings, training)
    return {
        "log": name, "seed": settings.seed, "events": len(training.codes), "held": len(zero), "zero": nats(zero),
        "reading": known.seconds, "reading held": held.seconds,
        "ordinary": [point.row() for point in alone], "residual": [point.row() for point in added],
        **dict(zip(WAYS[2:], mixtures(alone, zero, validation), strict=True)),
    }  # fmt: skip


def told(asked: EventLog, others: EventLog, tokenizer: EventTokenizer, reader: ContextForCausalLM, seed: int) -> Told:
    """What is said of windows with others in the context, as many as ``zero_shot_model`` takes."""
    started = time.process_time()
    order = np.random.default_rng(seed).permutation(len(others))
    model = reading(within(others, order, CONTEXT_EVENTS), tokenizer, reader)
    parts = (asked.select(range(start, min(start + _AT_ONCE, len(asked)))) for start in range(0, len(asked), _AT_ONCE))
    found = [each for part in parts for each in _log_probs(model, part, tokenizer)]
    return Told(found, time.process_time() - started)


def _log_probs(model: ContextForCausalLM, windows: EventLog, tokenizer: EventTokenizer) -> Iterator[Tensor]:
    rows = [torch.as_tensor(tokenizer.encode(each, unknown="map").input_ids) for each in windows]
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.tokenizer.pad_token_id)
    logits = model(input_ids=ids).logits[..., torch.from_numpy(tokenizer.event_ids)]
    return (part[places] for part, places in zip(logits, before_events(ids, tokenizer), strict=True))


def told_by_others(
    windows: EventLog, tokenizer: EventTokenizer, reader: ContextForCausalLM, seed: int, parts: int = FOLDS
) -> Told:
    """What is said of windows by models that have not seen them: of each of five parts in their order by the others."""
    part_of = np.arange(len(windows)) * min(parts, len(windows)) // len(windows)
    found = []
    for part in range(part_of[-1] + 1):
        asked, others = (windows.select(np.flatnonzero(each)) for each in (part_of == part, part_of != part))
        found.append(told(asked, others, tokenizer, reader, seed))
    return Told([each for part in found for each in part.log_probs], sum(part.seconds for part in found))


def before_events(ids: Tensor, tokenizer: EventTokenizer) -> Tensor:
    """After which tokens an event may come: the start and gaps, or events where no times are written."""
    # Where no times are written the end may come too: there, what is told must not depend on whether it did.
    before = tokenizer.gap_ids if tokenizer.writes_gaps else tokenizer.event_ids
    return torch.isin(ids, torch.tensor([tokenizer.tokenizer.bos_token_id, *before]))


class Point(NamedTuple):
    """A training at an evaluation.

    Attributes:
        passes: Over the data.
        seconds: Of the processor since it began.
        log_probs: Of the held-out events, each given that an event comes.
        loss: The held-out loss by which the training chooses, which counts whether an event comes, too.
    """

    passes: float
    seconds: float
    log_probs: Tensor
    loss: float

    def row(self) -> list[float]:
        """Passes, seconds, nats per event, and the loss by which the training chooses."""
        return [self.passes, self.seconds, nats(self.log_probs), self.loss]


class WatchedData(LogData):
    """Data of the ordinary training, that keep what was said of each held-out event when it was last evaluated."""

    def __init__(self, tokenizer: EventTokenizer, *arguments: Any) -> None:
        super().__init__(tokenizer, *arguments)
        self.event_ids = torch.from_numpy(tokenizer.event_ids)
        self.collated: Callable[..., dict[str, Tensor]] = Collator(tokenizer.tokenizer.pad_token_id)
        self.log_probs = torch.zeros(0)

    def logits(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Of the token after each of a batch."""
        return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits

    def chosen(self, log_probs: Sequence[Tensor]) -> Tensor:
        """Of what was told of all types before every held-out event, that of the one that came."""
        ids = [torch.as_tensor(example["input_ids"]) for example in self.held_out]
        codes = [torch.searchsorted(self.event_ids, each[torch.isin(each, self.event_ids)]) for each in ids]
        # After the last event, too, something may be told.
        return torch.cat([
            said[: len(came)].gather(1, came[:, None])[:, 0] for said, came in zip(log_probs, codes, strict=True)
        ])  # fmt: skip

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> float:
        """Of the events that are held out."""
        was_training = model.training
        model.eval()
        size = self.schedule.at_once
        starts = range(0, len(self.held_out), size)
        found = torch.cat([self._scored(model, self.held_out[start : start + size]) for start in starts], dim=1)
        model.train(was_training)
        self.log_probs = found[1]
        return nats(found[0])

    def _scored(self, model: nn.Module, examples: list[dict[str, Any]]) -> Tensor:
        """Log-probability of each event, among all tokens and among events."""
        batch = self.collated(examples)
        after = batch["input_ids"][:, 1:]
        is_event = torch.isin(after, self.event_ids)
        logits = self.logits(model, batch)[:, :-1][is_event].float()
        came = logits.gather(1, after[is_event][:, None])[:, 0]
        return torch.stack([came - logits.logsumexp(1), came - logits[:, self.event_ids].logsumexp(1)])


class ResidualData(WatchedData):
    """Data whose model adds its logits to what was told of them: p(event) ∝ exp(logit) p_zero(event)."""

    def __init__(
        self,
        tokenizer: EventTokenizer,
        training: EventLog,
        validation: EventLog,
        settings: TrainingSettings,
        known: Told,
        held: Told,
    ) -> None:
        super().__init__(tokenizer, training, validation, settings)
        for examples, said in ((self.training, known), (self.held_out, held)):
            for example, log_probs in zip(examples, said.log_probs, strict=True):
                example["told"] = log_probs
        self.collated = ToldCollator(tokenizer)

    def loader(self, trainer: Trainer) -> DataLoader:
        """Batches to learn from, with what was told of them."""
        trainer.data_collator = self.collated
        return super().loader(trainer)

    def logits(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Those of the model, for event types on top of what was told."""
        return super().logits(model, batch).index_add(-1, self.event_ids, batch["told"])

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """The mean over all tokens."""
        after = batch["labels"][:, 1:].flatten()
        return cross_entropy(self.logits(model, batch)[:, :-1].flatten(0, 1), after, ignore_index=IGNORED)


class ToldCollator(Collator):
    """Pads what was told, too: with 0 after tokens that no event follows."""

    def __init__(self, tokenizer: EventTokenizer) -> None:
        super().__init__(tokenizer.tokenizer.pad_token_id)
        self.tokenizer = tokenizer

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch of examples."""
        batch = super().__call__(examples)
        ids = batch["input_ids"]
        batch["told"] = torch.zeros(*ids.shape, len(self.tokenizer.event_ids))
        batch["told"][before_events(ids, self.tokenizer)] = torch.cat([example["told"] for example in examples])
        return batch


class Watch(TrainerCallback):
    """Keeps a point for each evaluation; the clock starts when it is made."""

    def __init__(self, data: WatchedData) -> None:
        self.data, self.points, self.started = data, list[Point](), time.process_time()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Called by the trainer after every evaluation."""
        seconds = time.process_time() - self.started
        self.points.append(Point(state.epoch, seconds, self.data.log_probs, metrics["eval_loss"]))


def curve(data: WatchedData, settings: TrainingSettings, log: EventLog) -> list[Point]:
    """A training as ``train`` makes it, of which nothing is kept but its evaluations."""
    watch = Watch(data)
    with tempfile.TemporaryDirectory() as folder, training_run(Path(folder) / "run", callbacks=[watch]) as loop:
        loop.begin(settings, log=log_digest(log))
        loop.fit(data, settings)
    return watch.points


def nats(log_probs: Tensor) -> float:
    """Loss per event."""
    return -float(log_probs.double().mean())


def mixtures(points: Sequence[Point], zero: Tensor, windows: EventLog) -> tuple[list[list[float]], list[list[float]]]:
    """The curves of both mixtures of a training: passes, seconds, nats per event, weights of the zero-shot model.

    The weight is fitted on every second window and judged on the others, and the other way round.
    """
    is_odd = torch.from_numpy(np.repeat(np.arange(len(windows)) % 2 == 1, windows.sequence_lengths))
    fitted, halves = [], []
    for point in points:
        weights = [fitted_weight(zero[part], point.log_probs[part]) for part in (is_odd, ~is_odd)]
        judged = torch.where(is_odd, *(mixed(zero, point.log_probs, weight) for weight in reversed(weights)))
        fitted.append([point.passes, point.seconds, nats(judged), *weights])
        halves.append([point.passes, point.seconds, nats(mixed(zero, point.log_probs, 0.5)), 0.5])
    return fitted, halves


def mixed(zero: Tensor, model: Tensor, weight: float) -> Tensor:
    """Log of the weighted mean of two probabilities."""
    logs = torch.tensor([weight, 1 - weight], dtype=torch.float64).log()
    return torch.logaddexp(zero + logs[0], model + logs[1])


def fitted_weight(zero: Tensor, model: Tensor) -> float:
    """The weight of the first of two probabilities with which their mean predicts best."""
    found = minimize_scalar(lambda weight: nats(mixed(zero, model, weight)), bounds=(0, 1), method="bounded")
    return float(found.x)
