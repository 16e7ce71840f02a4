"""What all trainings share: settings of the Transformers trainer, progress, losses, going on after an interruption."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from hf_trace.runs.processes import joined, on_cpu

_IGNORED = -100


def weighted_loss(
    logits: Float[Tensor, "row pos vocab"],
    labels: Int[Tensor, "row pos"],
    outcomes: Int[Tensor, " outcome"],
    weight: float,
) -> Float[Tensor, ""]:
    """Mean loss of the next token, in nats, where outcomes count more.

    Args:
        logits: Of the token after each position.
        labels: The tokens themselves; -100 for padding.
        outcomes: Tokens of outcomes.
        weight: What an outcome counts; other tokens count 1.

    Example:
        >>> logits, labels = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 3]])
        >>> round(weighted_loss(logits, labels, torch.tensor([3]), 9.0).item(), 4)  # ln 4 whatever the weights
        1.3863
    """
    after = labels[:, 1:]
    losses = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), after.flatten(), ignore_index=_IGNORED, reduction="none"
    )
    weights = torch.where(torch.isin(after, outcomes), weight, 1.0) * (after != _IGNORED)
    return (losses * weights.flatten()).sum() / weights.sum()


class ProgressCallback(TrainerCallback):
    """Reports the share of training done, in percent.

    Args:
        advance: Called with a number from 0 to 100.
        oracles: How many are trained, one after another.
    """

    def __init__(self, advance: Callable[[float], None], oracles: int = 1) -> None:
        self.advance = advance
        self.oracles = oracles
        self.done = 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the trainer after every optimiser step."""
        self.advance(100 * (self.done + state.global_step / max(1, state.max_steps)) / self.oracles)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer after the last step of an oracle."""
        self.done += 1


def shared_arguments(
    checkpoints: Path, *, steps_between: int, bf16: bool | None, seed: int, is_evaluated: bool = True
) -> dict[str, Any]:
    """Arguments of ``TrainingArguments`` that do not depend on the data.

    Args:
        checkpoints: Where checkpoints go.
        steps_between: Steps between two checkpoints, and two evaluations.
        bf16: Whether to compute in bfloat16; by default on GPUs that have it.
        seed: Seed of everything random.
        is_evaluated: Whether there is something held out, by which the best checkpoint is chosen.
    """
    chosen = {
        "eval_strategy": "steps",
        "eval_steps": steps_between,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }
    return {
        "output_dir": str(checkpoints),
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.1,
        "max_grad_norm": 1.0,
        "save_strategy": "steps",
        "save_steps": steps_between,
        "logging_steps": steps_between,
        "save_total_limit": 2,
        "restore_callback_states_from_checkpoint": True,
        **(chosen if is_evaluated else {"eval_strategy": "no"}),
        "bf16": _computes_in_bf16(bf16),
        "use_cpu": on_cpu(),
        "seed": seed,
        "data_seed": seed,
        "disable_tqdm": True,
        "log_level": "error",
        "report_to": [],
        "remove_unused_columns": False,
        # A pretrained model may have parts that no event passes through.
        "ddp_find_unused_parameters": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def per_process(examples: int, gradient_accumulation: int) -> int:
    """Examples that one process reads at a time, where so many make a step of all processes together."""
    return max(1, -(-examples // (joined().count * gradient_accumulation)))


def warmup_steps(steps: float) -> int:
    """Steps in which the learning rate rises, of so many in all."""
    return min(100, max(1, int(0.05 * steps)))


def _computes_in_bf16(asked: bool | None) -> bool:
    if asked is not None:
        return asked
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def silence(trainer: Trainer) -> None:
    """Without tqdm the Trainer prints every log line on stdout; progress is the caller's business."""
    trainer.remove_callback(PrinterCallback)


def run_trainer(trainer: Trainer, checkpoints: Path, *, resume: bool) -> None:
    """Train, or go on from the last whole checkpoint; others are removed."""
    found = False
    for checkpoint in checkpoints.glob("checkpoint-*"):
        # The trainer writes its state last: without it the checkpoint was cut short.
        if resume and (checkpoint / TRAINER_STATE_NAME).exists():
            found = True
        elif joined().is_main:
            shutil.rmtree(checkpoint)
    joined().wait()
    trainer.train(resume_from_checkpoint=True if found else None)
