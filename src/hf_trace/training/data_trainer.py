"""What a model learns from, and the Transformers trainer that asks it how."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerControl

from hf_trace.documents import Document
from hf_trace.runs.processes import joined
from hf_trace.training.architectures import LOG_TOO_LONG, Vocabulary
from hf_trace.training.averaging import WeightAverage
from hf_trace.training.orthogonal_steps import OrthogonalSteps

IGNORED = -100


@dataclass(frozen=True)
class Schedule:
    """How long a model is trained.

    Attributes:
        steps: Optimizer steps until the learning rate is 0.
        every: Steps between two checkpoints, each with an evaluation where data are held out.
        at_once: Examples that each process reads at a time.
        parts: Such readings that make a step.
        epochs: Passes over the data, where their number rather than that of the steps ends the training.
        patience: Evaluations without a better loss before training stops; None to go on.
        stop: Step after which training stops, within the schedule.
    """

    steps: float
    every: int
    at_once: int = 1
    parts: int = 1
    epochs: float | None = None
    patience: int | None = None
    stop: int | None = None


def batch_sizes(examples: int, parts: int) -> tuple[int, int]:
    """Examples that each process reads at a time, and examples of a step of all processes together.

    Args:
        examples: About how many should make a step.
        parts: In how many parts each process reads its share.

    Example:
        >>> batch_sizes(9, 2)
        (5, 10)
    """
    at_once = max(1, -(-examples // (joined().count * parts)))
    return at_once, at_once * parts * joined().count


class TrainingData:
    """What a model learns from. Unless a kind of data says otherwise, examples are token ids, each to be predicted.

    Attributes:
        tokenizer: The vocabulary.
        context_length: Tokens that the model must be able to read.
        schedule: How long to train on them.
        training: Data set to learn from.
        held_out: Examples by which the best checkpoint is chosen; None to take the last one.
        origin: What ``training.json`` says of the data beside the settings: their kind, and where they are from.
        too_long: See ``architectures.build_model``.
        averages: Whether the model is the running average of its weights.
        rates: Learning rates, of all weights but the matrices between layers, and of these, which then take orthogonal
            steps; both fall in a line. None: AdamW for all weights, by the settings' rate and a cosine.
    """

    tokenizer: Vocabulary
    context_length: int
    schedule: Schedule
    training: Any
    held_out: Any
    origin: Document
    too_long: tuple[str, str] = LOG_TOO_LONG
    averages: bool = False
    rates: tuple[float, float] | None = None

    def sampler(self, trainer: Trainer) -> Any:
        """The order of the examples; None for that of the data set."""

    def loader(self, trainer: Trainer) -> DataLoader:
        """Batches to learn from."""
        return DataLoader(
            self.training,
            batch_size=trainer.args.train_batch_size,
            sampler=self.sampler(trainer),
            collate_fn=trainer.data_collator,
            pin_memory=trainer.args.dataloader_pin_memory,
        )

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor | None:
        """Loss of a batch; None for the model's own, the mean over all tokens."""

    def evaluate(self, model: nn.Module) -> float | None:
        """Loss of what is held out; None for the mean of the batches' losses."""

    def finish(self, model: nn.Module) -> None:
        """Called with the best model, before its adapters are folded in."""


class Collator:
    """Pads on the right. Labels come from lengths: an event may share no id with the padding.

    Args:
        pad: What is padded with.
        masks: Whether to say what is padding; no token of a causal model sees any that is on the right of it.
    """

    def __init__(self, pad: int, *, masks: bool = True) -> None:
        self.pad, self.masks = pad, masks

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch of examples."""
        rows = [torch.as_tensor(example["input_ids"]) for example in examples]
        batch = {
            "input_ids": pad_sequence(rows, batch_first=True, padding_value=self.pad),
            "labels": pad_sequence(rows, batch_first=True, padding_value=IGNORED),
        }
        if self.masks:
            batch["attention_mask"] = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return batch


class DataTrainer(Trainer):
    """Asks the data for what depends on them."""

    data: TrainingData
    average: WeightAverage | None = None

    def get_train_dataloader(self) -> DataLoader:
        """Batches of the data."""
        return self.accelerator.prepare(self.data.loader(self))

    def create_optimizer(self, model: Any = None) -> Any:
        """What makes the steps."""
        if self.data.rates is None:
            return super().create_optimizer(model)
        trained = self.model if model is None else model
        self.optimizer: Any = OrthogonalSteps(trained, *self.data.rates, self.args.weight_decay)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate of every step."""
        # Where training ends early, the learning rate falls as if it did not.
        schedule = self.data.schedule
        steps = num_training_steps if schedule.stop is None else math.ceil(schedule.steps)
        return super().create_scheduler(steps, optimizer)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """Loss of a batch, as the data say."""
        loss = self.data.loss(model, inputs)
        if loss is None:
            return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)
        # Where it counts the items of a step, the trainer does not average over the parts of one.
        if kwargs.get("num_items_in_batch") is not None:
            loss = loss / self.current_gradient_accumulation_steps
        return (loss, {}) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss of what is held out, under the averaged weights where there are some."""
        with nullcontext() if self.average is None else self.average.lent_to(self.model):
            loss = self.data.evaluate(self.model)
            if loss is None:
                return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
