"""The Transformers trainer on tables: weighted losses among the values that a variable may take."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from hf_trace.runs.adapters import ADAPTER_FOLDER, folded
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.loop import run_trainer, shared_arguments, silence, warmup_steps
from hf_trace.training.table_rows import RowSource, WrittenTable

_READ_AT_ONCE = 8192


def allowed_tokens(tokenizer: DagTokenizer) -> Bool[Tensor, "variable vocab"]:
    """Which tokens may stand in a value of each variable, in topological order."""
    allowed = torch.zeros((len(tokenizer.variables), len(tokenizer)), dtype=torch.bool)
    for row, name in zip(allowed, tokenizer.schema.topological_order, strict=True):
        row[torch.from_numpy(tokenizer.variables[name].allowed)] = True
    return allowed


def term_losses(
    model: nn.Module, batch: Mapping[str, Tensor], allowed: Bool[Tensor, "variable vocab"]
) -> Float[Tensor, " term"]:
    """Loss of every term of a batch, in nats: the softmax runs over what may stand at its place and nothing else."""
    at_places = _logits_at(model, batch).float()
    at_places = at_places.masked_fill(~allowed[batch["place_variable"]], -torch.inf)
    return -at_places.log_softmax(-1)[batch["term_place"], batch["term_target"]]


def _logits_at(model: nn.Module, batch: Mapping[str, Tensor]) -> Float[Tensor, "place vocab"]:
    """Logits at the places of a batch; where the model lets one choose, at positions with a place alone."""
    read = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
    rows, positions = batch["place_row"], batch["place_position"]
    inner = getattr(model, "get_base_model", lambda: model)()
    if "logits_to_keep" not in signature(inner.forward).parameters:
        return model(**read).logits[rows, positions]
    kept, column = positions.unique(return_inverse=True)
    return model(**read, logits_to_keep=kept).logits[rows, column]


class TermLosses(NamedTuple):
    """Losses of all terms of a table, which variable each belongs to, and what each counts."""

    losses: Float[np.ndarray, " term"]
    variables: Int[np.ndarray, " term"]
    weights: Float[np.ndarray, " term"]

    def per_variable(self, source: RowSource) -> Float[np.ndarray, " variable"]:
        """Nats per value of every variable, weighted by what the rows stand for."""
        totals = np.bincount(self.variables, self.losses * self.weights, minlength=source.variables)
        return totals / source.total_weight


@torch.no_grad()
def all_losses(model: nn.Module, source: RowSource, allowed: Bool[Tensor, "variable vocab"]) -> TermLosses:
    """Losses of all terms there are; orders that are drawn are the same every time."""
    was_training, device = model.training, allowed.device
    model.eval()
    parts, rng = [], np.random.default_rng(0)
    size = max(1, int(_READ_AT_ONCE / source.mean_length))
    for first in range(0, len(source), size):
        rows = np.arange(first, min(first + size, len(source)))
        batch = source.batch(rows, rng)
        losses = term_losses(model, {name: part.to(device) for name, part in batch.items()}, allowed)
        owners = batch["place_variable"][batch["term_place"]]
        parts.append((losses.double().cpu().numpy(), owners.numpy(), batch["term_weight"].double().numpy()))
    model.train(was_training)
    return TermLosses(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def variable_losses(
    model: nn.Module, source: RowSource, allowed: Bool[Tensor, "variable vocab"]
) -> Float[np.ndarray, " variable"]:
    """Nats per value of every variable, weighted by what the rows stand for."""
    return all_losses(model, source, allowed).per_variable(source)


def is_surely_better(one: TermLosses, other: TermLosses) -> bool:
    """Whether the first model is better by more than one and a half standard errors of the difference.

    Example:
        >>> weights, owners = np.ones(100), np.zeros(100, dtype=np.int64)
        >>> noise = TermLosses(np.tile([0.0, 1.0], 50), owners, weights)
        >>> hundredth, half = (TermLosses(np.full(100, loss), owners, weights) for loss in (0.49, 0.2))
        >>> is_surely_better(hundredth, noise), is_surely_better(half, noise)
        (False, True)
    """
    gain, total = other.losses - one.losses, one.weights.sum()
    mean = (one.weights * gain).sum() / total
    error = np.sqrt((one.weights * (gain - mean) ** 2).sum()) / total
    return bool(mean > 1.5 * error)


def marginal_losses(
    tokenizer: DagTokenizer, training: WrittenTable, validation: WrittenTable
) -> Float[np.ndarray, " variable"]:
    """Nats per value where tokens are predicted by how often they stand in the variable, whatever came before.

    A token that was not seen counts as much as all unseen ones together would if they had been seen once.
    """
    losses = []
    for index, name in enumerate(training.names):
        allowed = tokenizer.variables[name].allowed
        seen, wanted = (_token_counts(table, index, len(tokenizer))[allowed] for table in (training, validation))
        shares = (seen + 1 / len(allowed)) / (seen.sum() + 1)
        losses.append(-(wanted * np.log(shares)).sum() / validation.weights.sum())
    return np.array(losses)


def _token_counts(table: WrittenTable, variable: int, vocabulary: int) -> Float[np.ndarray, " vocab"]:
    contents = table.contents[variable]
    counts = np.bincount(table.codes[:, variable], table.weights, minlength=len(contents))
    present = contents != -1
    return np.bincount(contents[present], np.repeat(counts, present.sum(1)), minlength=vocabulary)


@dataclass(frozen=True)
class DagQuality:
    """How well a table is predicted that was not learned from.

    Attributes:
        loss: Nats per variable.
        marginal: The same where every value is predicted by how frequent it is.
        variables: For every variable both, in nats.
        rows: Rows the table stands for.

    Example:
        >>> DagQuality(0.4, 0.6, {"drug": {"loss": 0.4, "marginal": 0.6}}, 100.0).beats_marginal
        True
    """

    loss: float
    marginal: float
    variables: Mapping[str, Mapping[str, float]]
    rows: float

    @property
    def beats_marginal(self) -> bool:
        """Whether anything was learned of how variables depend on each other."""
        return self.loss < self.marginal

    def to_dict(self) -> dict[str, Any]:
        """What ``metrics.json`` holds."""
        return {**asdict(self), "beats_marginal": self.beats_marginal}


def quality_of(
    tokenizer: DagTokenizer,
    losses: Float[np.ndarray, " variable"],
    training: WrittenTable,
    validation: WrittenTable,
    learn: Collection[str] | None = None,
) -> DagQuality:
    """Losses beside those of the marginals, of the variables that are learned."""
    marginal = marginal_losses(tokenizer, training, validation)
    kept = [number for number, name in enumerate(training.names) if learn is None or name in learn]
    variables = {
        training.names[number]: {"loss": float(losses[number]), "marginal": float(marginal[number])} for number in kept
    }
    return DagQuality(
        float(losses[kept].mean()), float(marginal[kept].mean()), variables, float(validation.weights.sum())
    )


_EVALUATIONS = 12


@dataclass(frozen=True)
class Pace:
    """How long and how fast a model is trained.

    Attributes:
        epochs: Most passes over the rows.
        learning_rate: Peak of a cosine schedule.
        batch_tokens: Tokens per step, about.
        patience: Evaluations, of 12, without a better loss before training stops.
        bf16: Whether to compute in bfloat16; by default on GPUs that have it.
        seed: Seed of the order of the rows.
        share: Share of the schedule after which training stops; all of it where rows are held out.
    """

    epochs: float
    learning_rate: float
    batch_tokens: int
    patience: int
    bf16: bool | None
    seed: int
    share: float = 1.0


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        model: Its adapters, if any, are folded in.
        losses: Nats per value of every variable, of rows held out; empty without any.
        steps: Steps that led to the model.
        share: How much of the schedule should be run: up to the best checkpoint, or all of it where the model at its
            end is not surely worse.
        adapter: Where its adapters were written; None without any.
    """

    model: nn.Module
    losses: NDArray[np.float64]
    steps: int
    share: float
    adapter: Path | None = None


def fit(
    model: nn.Module,
    allowed: Bool[Tensor, "variable vocab"],
    training: RowSource,
    held_out: RowSource | None,
    pace: Pace,
    checkpoints: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> Fitted:
    """Train a model; with rows held out, the best of its checkpoints is taken."""
    batches = _Batches(training, pace)
    steps = max(1, round(batches.per_epoch * pace.epochs))
    every = max(1, math.ceil(steps / _EVALUATIONS))
    arguments = TrainingArguments(
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=pace.learning_rate,
        warmup_steps=warmup_steps(float(steps)),
        **shared_arguments(
            checkpoints, steps_between=every, bf16=pace.bf16, seed=pace.seed, is_evaluated=held_out is not None
        ),
    )
    stop = _StopAt(max(1, round(steps * pace.share)))
    trainer = _DagTrainer(
        model=model,
        args=arguments,
        train_dataset=batches,
        eval_dataset=batches,
        callbacks=[EarlyStoppingCallback(pace.patience) if held_out is not None else stop],
    )
    trainer.allowed, trainer.held_out = allowed.to(trainer.args.device), held_out
    batches.steps = steps * trainer.args.world_size
    silence(trainer)
    for callback in callbacks:
        trainer.add_callback(callback)
    run_trainer(trainer, checkpoints, resume=resume)
    taken = trainer.state.best_global_step or trainer.state.global_step
    losses, share = np.empty(0), taken / steps
    if held_out is not None:
        best = all_losses(trainer.model, held_out, trainer.allowed)
        losses = best.per_variable(held_out)
        if trainer.latest is not None and not is_surely_better(best, trainer.latest):
            share = 1.0
    adapter = checkpoints / ADAPTER_FOLDER
    plain = folded(trainer.model, adapter).eval()
    return Fitted(plain, losses, taken, share, adapter if adapter.exists() else None)


class _Batches(Dataset):
    """One item per step: a whole batch, the same whenever it is asked for."""

    def __init__(self, source: RowSource, pace: Pace) -> None:
        self.source, self.seed, self.steps = source, pace.seed, 1
        self.size = max(1, min(len(source), round(pace.batch_tokens / source.mean_length)))
        self.per_epoch = math.ceil(len(source) / self.size)
        self._order = lru_cache(maxsize=2)(self._new_order)

    def __len__(self) -> int:
        return self.steps

    def _new_order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.source))

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        epoch, place = divmod(step, self.per_epoch)
        rows = self._order(epoch)[place * self.size : (place + 1) * self.size]
        batch = self.source.batch(rows, np.random.default_rng([self.seed, step, 1]))
        # The loss is a mean per variable of a row of the population, as far as a batch can tell.
        counted = self.source.total_weight * len(rows) / len(self.source) * self.source.variables
        return {**batch, "term_weight": batch["term_weight"] / counted}


class _DagTrainer(Trainer):
    allowed: Tensor
    held_out: RowSource | None
    latest: TermLosses | None = None

    def get_train_dataloader(self) -> DataLoader:
        """Batches step by step."""
        loader = DataLoader(
            self.train_dataset, batch_size=1, collate_fn=_only, pin_memory=self.args.dataloader_pin_memory
        )
        return self.accelerator.prepare(loader)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Weighted sum over the terms of a batch."""
        return (term_losses(model, inputs, self.allowed) * inputs["term_weight"]).sum()

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Mean loss of the rows held out."""
        if self.held_out is None:
            return {}
        self.latest = all_losses(self.model, self.held_out, self.allowed)
        metrics = {f"{metric_key_prefix}_loss": float(self.latest.per_variable(self.held_out).mean())}
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _only(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return batches[0]


class _StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the trainer after every optimiser step."""
        if state.global_step >= self.step:
            control.should_training_stop = True
