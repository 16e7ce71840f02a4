"""The one training loop: logs, streams and tables say what their data are, and all else happens here.

A training builds a model, hands it to the Transformers trainer, goes on from its checkpoints after an interruption,
folds adapters in and writes the run folder, which appears only when everything in it is done.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from hf_trace.checks import number, share, whole
from hf_trace.documents import Document
from hf_trace.options import SEED, TRUST_REMOTE_CODE, VALIDATION_SHARE
from hf_trace.runs.adapters import ADAPTER_FOLDER, folded
from hf_trace.runs.folders import METRICS_FILE, save_run, write_json
from hf_trace.runs.processes import joined, on_cpu, output_folder
from hf_trace.training.architectures import build_model
from hf_trace.training.averaging import WeightAverage
from hf_trace.training.data_trainer import Collator, DataTrainer, TrainingData
from hf_trace.training.half_products import half_products, multiplies_halves
from hf_trace.training.interrupted import (
    FINISHED,
    MADE_WITH,
    RECORD_FILE,
    SumsCallback,
    check_resumed,
    checkpoints_beside,
    clear_unfinished,
    document_in,
    surroundings,
    usable_checkpoint,
)

Quality = TypeVar("Quality")
# Steps that a duration is told from.
_WARM_UP, _MEASURED = 3, 12


@dataclass(frozen=True)
class LoopSettings:
    """What can be chosen whatever the data are.

    Attributes:
        preset: Shape of a Llama from scratch: ``pico``, ``nano``, ``tiny``, ``small`` or ``base``.
        model: Instead of a preset, a model type, config or checkpoint; see ``architectures.build_model``.
        lora: Train adapters of a pretrained ``model``; the run folder then holds the adapters only.
        merge: Write all weights instead, with the adapters folded in.
        trust_remote_code: Whether code that ``model`` brings along may run here; it is refused otherwise.
        epochs: Most passes over the data; by default as many as fit ``max_tokens``.
        max_tokens: Most tokens read in training when ``epochs`` is not given.
        learning_rate: The highest; it rises at first and then falls to 0.
        batch_tokens: About how many tokens make an optimizer step, of all processes together.
        validation_share: Share of the sequences or rows held out.
        patience: Evaluations without a better validation loss before training stops.
        bf16: Whether to compute in bfloat16; by default on GPUs that have it, and for products alone, of presets that
            learn a log, on processors that have it.
        seed: Seed of the split, the weights and the order.
        reading: How the log was read, where that was said: columns, query and format of times by the names that
            ``read_log`` has for them. Recorded so that commands read the logs of a run in the same way.

    Raises:
        SettingsError: If a number is out of range.
    """

    preset: str = "tiny"
    model: str | None = None
    lora: bool = False
    merge: bool = False
    trust_remote_code: bool = TRUST_REMOTE_CODE.default
    epochs: float | None = None
    max_tokens: int = 4_000_000
    learning_rate: float | None = None
    batch_tokens: int | None = None
    validation_share: float = VALIDATION_SHARE.default
    patience: int = 4
    bf16: bool | None = None
    seed: int = SEED.default
    reading: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "batch_tokens", "patience"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))
        for name in ("epochs", "learning_rate"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), above=0)
        share("validation_share", self.validation_share)
        SEED.checked(self.seed)


class ProgressCallback(TrainerCallback):
    """Reports the share of training done, in percent.

    Args:
        advance: Called with a number from 0 to 100.
        models: How many are trained, one after another.
    """

    def __init__(self, advance: Callable[[float], None], models: int = 1) -> None:
        self.advance, self.models, self.done = advance, models, 0

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after every optimizer step."""
        self.advance(100 * (self.done + state.global_step / max(1, state.max_steps)) / self.models)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer after the last step of a model."""
        self.done += 1


class DurationCallback(TrainerCallback):
    """Tells once, after a few steps, how many seconds all models will take at most.

    Args:
        tell: Called with them.
        models: How many are trained, one after another.
    """

    def __init__(self, tell: Callable[[float], None], models: int = 1) -> None:
        self.tell, self.models, self.ends = tell, models, list[float]()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after every optimizer step; the first of them are slow."""
        if len(self.ends) <= _WARM_UP + _MEASURED:
            self.ends.append(time.monotonic())
            if len(self.ends) == 1 + _WARM_UP + _MEASURED:
                step = (self.ends[-1] - self.ends[_WARM_UP]) / _MEASURED
                self.tell(step * state.max_steps * self.models)


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        model: Its adapters, if any, are folded in.
        steps: Optimizer steps that were made.
        best_step: How many of them led to the model.
        epochs: Passes over the data that were made.
        adapter: Where its adapters were written; None where they are not kept apart.
    """

    model: PreTrainedModel
    steps: int
    best_step: int
    epochs: float
    adapter: Path | None = None


@dataclass(frozen=True)
class TrainedRun(Generic[Quality]):
    """What training leaves behind.

    Attributes:
        folder: Where the run was written.
        quality: How well what was held out is predicted.
        metrics: What ``metrics.json`` holds.
    """

    folder: Path
    quality: Quality
    metrics: Document = field(repr=False)


class Loop:
    """Trains the models of a run, one after another, and writes its folder; see ``training_run``."""

    def __init__(
        self, out: Path, folder: Path, callbacks: Sequence[TrainerCallback], *, resume: bool, overwrite: bool
    ) -> None:
        self.out, self.folder, self.checkpoints, self.callbacks = out, folder, checkpoints_beside(out), callbacks
        self.resume, self.overwrite, self.has_begun = resume, overwrite, False
        self.finished: Document = {}
        self._made_with: Document = {}
        self._since = time.monotonic()

    def begin(self, settings: LoopSettings, **data: str) -> None:
        """Note what the run is made with, or see that what is to be gone on with was made with the same.

        Where the run is finished already, and was made with the same, ``finished`` is what its ``metrics.json`` holds.

        Args:
            settings: As the user chose them, or as they follow from the data.
            **data: A digest of what is learned from, by what it is.

        Raises:
            SettingsError: If what was interrupted, or is finished, was made with others.
            OutputError: If there are checkpoints that do not say what they were made with.
        """
        self._made_with = surroundings({**asdict(settings), **data})
        found = ""
        if self.resume:
            found = check_resumed(self.out, self.checkpoints, self._made_with, overwrite=self.overwrite)
        joined().wait()
        if found == FINISHED:
            self.finished = document_in(self.out, METRICS_FILE)
        elif not found and joined().is_main:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            self.checkpoints.mkdir()
            write_json(self.checkpoints / RECORD_FILE, self._made_with)
        self.has_begun = True
        joined().wait()

    @property
    def seconds(self) -> float:
        """Time since the run was opened, or since a model was written."""
        return round(time.monotonic() - self._since, 1)

    def fit(self, data: TrainingData, settings: LoopSettings, name: str = "") -> Fitted:
        """Train a model; with data held out, the best of its checkpoints is taken.

        Args:
            data: What to learn from.
            settings: With a learning rate, where the data have none.
            name: Folder of its checkpoints, among those of the run.
        """
        checkpoints, chosen = self.checkpoints / name, data.schedule
        set_seed(settings.seed)
        trainer = DataTrainer(
            model=build_model(
                data.tokenizer,
                context_length=data.context_length,
                preset=settings.preset,
                model=settings.model,
                lora=settings.lora,
                too_long=data.too_long,
                trust_remote_code=settings.trust_remote_code,
            ),
            args=_arguments(data, settings, checkpoints),
            train_dataset=data.training,
            eval_dataset=data.held_out,
            data_collator=Collator(data.tokenizer.tokenizer.pad_token_id, masks=data.rates is None),
            callbacks=[] if chosen.patience is None else [EarlyStoppingCallback(chosen.patience)],
        )
        trainer.data = data
        # Without tqdm the trainer prints every log line on stdout; progress is the caller's business.
        trainer.remove_callback(PrinterCallback)
        start = self._checkpoint(checkpoints)
        trainer.average = WeightAverage(start) if data.averages else None
        averaging = () if trainer.average is None else (trainer.average,)
        for callback in (*averaging, SumsCallback(), *self.callbacks):
            trainer.add_callback(callback)
        with half_products(trainer.model) if _halves(data, settings) else nullcontext():
            trainer.train(resume_from_checkpoint=start)
        for average in averaging:
            average.settle(trainer.model, trainer.state.best_model_checkpoint)
        # Trained in bfloat16, the model would go on to compute in it: quality is measured in float32.
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        data.finish(model)
        keeps_adapter = settings.lora and not settings.merge and joined().is_main
        adapter = checkpoints / ADAPTER_FOLDER if keeps_adapter else None
        state: TrainerState = trainer.state
        return Fitted(
            model=folded(model, adapter).eval(),
            steps=state.global_step,
            best_step=state.best_global_step or state.global_step,
            epochs=state.epoch,
            adapter=adapter,
        )

    def _checkpoint(self, checkpoints: Path) -> str | None:
        """The checkpoint to go on from, in every process."""
        found = usable_checkpoint(checkpoints) if joined().is_main else None
        told: str | None = joined().told(None if found is None else str(found))
        return told

    def save(
        self,
        fitted: Fitted,
        data: TrainingData,
        settings: LoopSettings,
        metrics: Document,
        name: str = "",
        **documents: Document,
    ) -> Document:
        """Write a model, its tokenizer, its settings and what was measured.

        Args:
            fitted: The model.
            data: What it was trained on.
            settings: As the user chose them.
            metrics: What was measured.
            name: Folder within the run.
            **documents: Further JSON files, by name.

        Returns:
            What ``metrics.json`` holds.
        """
        parameters = sum(parameter.numel() for parameter in fitted.model.parameters())
        metrics = {"parameters": parameters, "steps": fitted.steps, "seconds": self.seconds, **metrics}
        if joined().is_main:
            made_with = {} if name else {MADE_WITH: self._made_with}
            recipe = {**data.origin, **asdict(settings), "context_length": data.context_length, **made_with}
            save_run(
                self.folder / name,
                fitted.model,
                data.tokenizer,
                adapter=fitted.adapter,
                base=settings.model,
                metrics=metrics,
                training=recipe,
                **documents,
            )
        self._since = time.monotonic()
        return metrics


@contextmanager
def training_run(
    out: str | PathLike[str], *, resume: bool = False, overwrite: bool = True, callbacks: Sequence[TrainerCallback] = ()
) -> Iterator[Loop]:
    """A loop whose run folder appears only when the block has succeeded.

    Checkpoints live beside it in a hidden folder until then. Processes that were launched together share them.

    Args:
        out: The run folder.
        resume: Go on from the last checkpoint of an interrupted training with the same settings.
        overwrite: Whether an older run in ``out`` is replaced.
        callbacks: Called by the trainer, for progress.

    Raises:
        OutputError: If ``out`` holds something that is not a run, or one that may not be replaced, another process is
            writing it, or it cannot be written.
    """
    joined()  # before the trainer looks for other processes
    leftovers = [checkpoints_beside(out)]
    with output_folder(out, overwrite=overwrite or resume, leftovers=leftovers) as folder:
        loop = Loop(Path(out), folder, callbacks, resume=resume, overwrite=overwrite)
        try:
            yield loop
            joined().wait()
        except BaseException:
            if joined().is_main and loop.has_begun:
                clear_unfinished(loop.checkpoints)
            raise
        if loop.finished:
            shutil.rmtree(folder)


def _halves(data: TrainingData, settings: LoopSettings) -> bool:
    return settings.bf16 is None and data.rates is not None and on_cpu() and multiplies_halves()


def _arguments(data: TrainingData, settings: LoopSettings, checkpoints: Path) -> TrainingArguments:
    schedule, has_gpu = data.schedule, torch.cuda.is_available()
    chooses = data.held_out is not None
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=schedule.epochs or 1,
        max_steps=schedule.stop or math.ceil(schedule.steps) if schedule.epochs is None else -1,
        per_device_train_batch_size=schedule.at_once,
        per_device_eval_batch_size=schedule.at_once,
        gradient_accumulation_steps=schedule.parts,
        learning_rate=settings.learning_rate if data.rates is None else data.rates[0],
        lr_scheduler_type="cosine" if data.rates is None else "linear",
        warmup_steps=min(100, max(1, int(0.05 * schedule.steps))),
        weight_decay=0.1,
        max_grad_norm=1.0,
        eval_strategy="steps" if chooses else "no",
        eval_steps=schedule.every,
        save_strategy="steps",
        save_steps=schedule.every,
        save_total_limit=2,
        load_best_model_at_end=chooses,
        metric_for_best_model="eval_loss" if chooses else None,
        greater_is_better=False if chooses else None,
        restore_callback_states_from_checkpoint=True,
        logging_steps=schedule.every,
        log_level="error",
        disable_tqdm=True,
        report_to=[],
        bf16=has_gpu and torch.cuda.is_bf16_supported() if settings.bf16 is None else settings.bf16,
        use_cpu=on_cpu(),
        seed=settings.seed,
        data_seed=settings.seed,
        remove_unused_columns=False,
        # A pretrained model may have parts that no event passes through.
        ddp_find_unused_parameters=True,
        dataloader_pin_memory=has_gpu,
        accelerator_config={"dispatch_batches": False},  # every process reads for itself
    )
