"""Progress of a training run, for whoever draws it."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


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

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer after every optimiser step."""
        self.advance(100 * (self.done + state.global_step / max(1, state.max_steps)) / self.oracles)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer after the last step of an oracle."""
        self.done += 1
