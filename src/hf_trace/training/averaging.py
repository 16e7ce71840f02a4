"""A running average of the weights, which predicts better than the last of them and needs no further training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from hf_trace.errors import OutputError
from hf_trace.runs.processes import joined

AVERAGE_FILE = "average.safetensors"
DECAY = 0.98
_STEPS = "steps"


class WeightAverage(TrainerCallback):
    r"""Averages the weights that are trained, step by step, and keeps the average in every checkpoint.

    .. math:: \bar w_n = d_n \bar w_{n-1} + (1 - d_n) w_n, \qquad d_n = \min(d, (1 + n) / (10 + n))

    so that the first steps, which lead far, are soon forgotten (Polyak and Juditsky 1992).

    Args:
        checkpoint: Where it goes on from, if it does.
        decay: d.

    Raises:
        OutputError: If the checkpoint holds no average.
    """

    def __init__(self, checkpoint: str | None = None, *, decay: float = DECAY) -> None:
        self.decay, self.steps = decay, 0
        self.weights: dict[str, Tensor] = {}
        if checkpoint is not None:
            self._restore(checkpoint)

    def _restore(self, checkpoint: str) -> None:
        if not (Path(checkpoint) / AVERAGE_FILE).exists():
            raise OutputError(
                f"The checkpoint '{checkpoint}' holds no averaged weights, as those of older versions. Leave out "
                "`--resume` to start over."
            )
        self.weights = load_file(Path(checkpoint) / AVERAGE_FILE)
        self.steps = int(self.weights.pop(_STEPS))

    @torch.no_grad()
    def on_step_end(self, *args: Any, model: nn.Module, **kwargs: Any) -> None:
        """Called by the trainer after every optimizer step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, weight in _trained(model):
            if name in self.weights:
                average = self.weights[name] = self.weights[name].to(weight.device)
                average.lerp_(weight, 1 - decay)
            else:
                self.weights[name] = weight.detach().clone()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after a checkpoint was written."""
        if joined().is_main:
            kept = {name: weight.contiguous() for name, weight in self.weights.items()}
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_file({**kept, _STEPS: torch.tensor(self.steps)}, folder / AVERAGE_FILE)

    def settle(self, model: nn.Module, best: str | None) -> None:
        """Give a model the average for good: that of its best checkpoint, or the last where none was chosen."""
        if best is not None:
            self._restore(best)
        self._put_into(model)

    @torch.no_grad()
    def _put_into(self, model: nn.Module) -> None:
        for name, weight in _trained(model):
            if name in self.weights:
                weight.copy_(self.weights[name])

    @contextmanager
    def lent_to(self, model: nn.Module) -> Iterator[None]:
        """Give a model the averaged weights, and its own ones back on leaving."""
        own = {name: weight.detach().clone() for name, weight in _trained(model)}
        self._put_into(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in _trained(model):
                    weight.copy_(own[name])


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
