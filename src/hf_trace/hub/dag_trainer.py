"""The Transformers trainer on tables: weighted losses among the values that a variable may take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
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

from hf_trace.hub.adapter_model import ADAPTER_FOLDER, folded
from hf_trace.hub.dag_loss import TermLosses, all_losses, is_surely_better, term_losses
from hf_trace.hub.dag_rows import RowSource
from hf_trace.hub.trainers import run_trainer, shared_arguments, silence, warmup_steps

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
            checkpoints,
            steps_between=every,
            bf16=pace.bf16,
            seed=pace.seed,
            is_evaluated=held_out is not None,
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
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
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
        self.control: TrainerControl = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def _only(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return batches[0]


class _StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer after every optimiser step."""
        if state.global_step >= self.step:
            control.should_training_stop = True
