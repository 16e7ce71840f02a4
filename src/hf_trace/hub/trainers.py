"""What all trainings share: settings of the Transformers trainer, its silence, and going on after an interruption."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer
from transformers.trainer import TRAINER_STATE_NAME

from hf_trace.hub.processes import joined, on_cpu


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
