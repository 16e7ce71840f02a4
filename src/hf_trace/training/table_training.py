"""Training a model on a table whose variables have a known graph: rows, split, trainer, and a run folder at the end."""

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import TrainerCallback, set_seed

from hf_trace.errors import SettingsError, TableError, preview
from hf_trace.runs.folders import check_replaceable, new_folder, read_json, save_run, write_json
from hf_trace.runs.members import MEMBERS, Folds, member_seed
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.architectures import build_model, has_weights
from hf_trace.training.table_fitting import DagQuality, Fitted, Pace, allowed_tokens, fit, quality_of, variable_losses
from hf_trace.training.table_rows import FullRows, ParentRows, RowSource, WrittenTable, write_table

# Where only parents are read, and where everything is.
_MOST_EPOCHS = {True: 300.0, False: 20.0}
_BATCH_TOKENS = {True: 4096, False: 2048}
_CHOICE_FILE = "choice.json"


@dataclass(frozen=True)
class DagTrainingSettings:
    """How a model of a table is trained; everything needed to train it again.

    Attributes:
        preset: Shape of a Llama from scratch: ``nano``, ``tiny``, ``small`` or ``base``.
        model: Instead of a preset, a model type, config or checkpoint; see ``architectures.build_model``. Text needs
            a checkpoint with its tokenizer.
        lora: Train adapters of a pretrained ``model``; the run folder then holds them alone.
        merge: Write all weights, with the adapters folded in, instead.
        learn: Variables whose values are learned, by default all; others are only read.
        history: ``"parents"``: every variable is predicted from its parents alone, so that a table of any length is
            learned in seconds; ``"full"``: from all variables before it, which latent variables call for.
        order: With full history, whether variables stand in one ``"fixed"`` order or in ``"random"`` ones, which let
            more questions be asked.
        epochs: Most passes over the rows; by default as many as fit ``max_tokens``, at most 300 where only parents
            are read, else 20.
        max_tokens: Most tokens read in training when ``epochs`` is not given.
        learning_rate: Peak of a cosine schedule; by default 6e-3 for ``nano``, 2e-3 for other models from scratch,
            5e-4 for adapters and 5e-5 for pretrained models.
        batch_tokens: Tokens per optimiser step, about; by default 4096 where only parents are read, else 2048.
        smoothing: Where only parents are read: rows that are added wherever parents were seen to have certain values,
            with the values of a finite variable as often as they are overall.
        validation_share: Share of rows held out to choose how long to train.
        refit: Whether to train once more, for as long, on all rows; by default where only parents are read and the
            model is from scratch.
        patience: Evaluations, of 12, without a better validation loss before training stops.
        bf16: Whether to compute in bfloat16; by default on GPUs that have it.
        folds: Models in ``members/``, each trained without one of as many parts of the rows, for estimates that are
            cross-fitted; 0 for none.
        seed: Seed of the split, the weights and the order.

    Raises:
        SettingsError: If a number is out of range.
    """

    preset: str = "nano"
    model: str | None = None
    lora: bool = False
    merge: bool = False
    learn: tuple[str, ...] | None = None
    history: str = "parents"
    order: str = "fixed"
    epochs: float | None = None
    max_tokens: int = 4_000_000
    learning_rate: float | None = None
    batch_tokens: int | None = None
    smoothing: float = 0.5
    validation_share: float = 0.1
    refit: bool | None = None
    patience: int = 4
    bf16: bool | None = None
    folds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_tokens", "batch_tokens", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}, expected at least 1.")
        if self.folds < 0 or self.folds == 1:
            raise SettingsError(f"folds is {self.folds}, expected 0 for none, or at least 2.")
        if not 0 <= self.smoothing < math.inf:
            raise SettingsError(f"smoothing is {self.smoothing}, expected at least 0.")
        if not 0 < self.validation_share < 1:
            raise SettingsError(f"validation_share is {self.validation_share}, expected between 0 and 1.")
        for name in ("epochs", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{name} is {value}, expected a number above 0.")

    @property
    def refits(self) -> bool:
        """Whether a model is trained on all rows after it was found out for how long."""
        return self.history == "parents" and self.model is None if self.refit is None else self.refit

    @property
    def trainings(self) -> int:
        """How many models are trained, one after another.

        Example:
            >>> DagTrainingSettings().trainings, DagTrainingSettings(history="full", folds=5).trainings
            (2, 6)
        """
        return 1 + self.refits + self.folds


@dataclass(frozen=True)
class TrainedDagRun:
    """What training leaves behind.

    Attributes:
        folder: Where the run was written.
        quality: How well the rows held out are predicted.
        metrics: What ``metrics.json`` holds.
    """

    folder: Path
    quality: DagQuality
    metrics: dict[str, Any] = field(repr=False)


def train_dag(
    table: DagTable,
    out: str | PathLike[str],
    settings: DagTrainingSettings | None = None,
    *,
    resume: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainedDagRun:
    """Train a model on a table and write a run folder.

    Checkpoints live beside ``out`` in a hidden folder until the run is complete.

    Args:
        table: Rows and their graph.
        out: Folder to write; it appears only when training has succeeded.
        settings: See ``DagTrainingSettings``.
        resume: Go on from the last checkpoint of an interrupted training with the same settings.
        callbacks: Called by the trainer, for progress.

    Raises:
        TableError: If there are fewer than two rows, or a value is too long.
        SettingsError: If the settings do not fit the graph or each other.
        ModelLoadError: If the pretrained model cannot be used.
        OutputError: If ``out`` holds something that is not a run, or cannot be written.
    """
    settings, out = settings or DagTrainingSettings(), Path(out)
    check_replaceable(out)
    if len(table) < 2:
        raise TableError(f"The table has {len(table)} rows, expected at least 2: one to learn from, one to check on.")
    _check_learned(settings, table.schema)
    folds = Folds(settings.folds, settings.seed, len(table)) if settings.folds else None
    tokenizer = DagTokenizer.from_schema(
        table.schema, history=settings.history, order=settings.order, base=_base(settings)
    )
    checkpoints = out.parent / f".{out.name}-checkpoints"
    job = _Job(tokenizer, write_table(tokenizer, table), settings, checkpoints, resume, callbacks)
    with new_folder(out) as folder:
        quality, metrics = job.write_run(folder, folds)
        if folds is not None:
            job.write_members(folder, folds, metrics)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainedDagRun(out, quality, metrics)


def _check_learned(settings: DagTrainingSettings, schema: DagSchema) -> None:
    """Refuse to learn nothing, or what is no column."""
    if settings.learn is None:
        return
    unknown = [name for name in settings.learn if name not in schema.topological_order]
    if unknown or not settings.learn:
        raise SettingsError(
            f"learn names {', '.join(map(repr, unknown)) or 'nothing'}, expected some of: "
            f"{preview(schema.topological_order)}."
        )


def _base(settings: DagTrainingSettings) -> str | None:
    """Where the pretrained tokenizer is; None where the vocabulary starts anew."""
    if settings.model is None or not has_weights(settings.model):
        return None
    path = Path(settings.model)
    files = [file.name for file in path.iterdir()] if path.is_dir() else []
    has_none = path.is_dir() and not any("token" in name or "vocab" in name for name in files)
    return None if has_none else settings.model


@dataclass(frozen=True)
class _Job:
    tokenizer: DagTokenizer
    table: WrittenTable
    settings: DagTrainingSettings
    checkpoints: Path
    resume: bool
    callbacks: Sequence[TrainerCallback]

    def write_run(self, folder: Path, folds: Folds | None) -> tuple[DagQuality, dict[str, Any]]:
        started = time.monotonic()
        is_held = held_out(len(self.table), self.settings.validation_share, self.settings.seed)
        training, validation = self.table.select(~is_held), self.table.select(is_held)
        fitted, choice = None, self._choice() if self.settings.refits and self.resume else None
        if choice is None:
            fitted, choice = self._choose(training, validation)
        if self.settings.refits or fitted is None:
            fitted = self._fit(self.table, None, "final", self.settings.seed, choice["share"])
        quality = quality_of(self.tokenizer, np.array(choice["losses"]), training, validation, self.settings.learn)
        metrics = {
            "validation": quality.to_dict(),
            "rows": len(self.table),
            "rows_training": len(training),
            "rows_validation": len(validation),
            "weight": float(self.table.weights.sum()),
            "rows_merged": len(self._rows(training)),
            "refitted": self.settings.refits,
            "schedule_share": choice["share"],
            **_about(fitted, started),
        }
        self._save(folder, fitted, metrics, folds)
        return quality, metrics

    def _choice(self) -> dict[str, Any] | None:
        """How long to train, as an interrupted training found out."""
        return read_json(self.checkpoints, _CHOICE_FILE) or None

    def _choose(self, training: WrittenTable, validation: WrittenTable) -> tuple[Fitted, dict[str, Any]]:
        """A model of some rows, how well it predicts the others, and how much of the schedule that took."""
        fitted = self._fit(training, validation, "chosen", self.settings.seed)
        choice = {"share": fitted.share, "losses": fitted.losses.tolist()}
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        write_json(self.checkpoints / _CHOICE_FILE, choice)
        return fitted, choice

    def write_members(self, folder: Path, folds: Folds, metrics: dict[str, Any]) -> None:
        """Models that have not seen one part of the rows each, trained for as long as the first was."""
        fold = folds.of_rows(len(self.table))
        for number in range(1, folds.folds + 1):
            started, seen = time.monotonic(), fold != number - 1
            training, rest = self.table.select(seen), self.table.select(~seen)
            seed = member_seed(self.settings.seed, number)
            name = f"{MEMBERS}/{number}"
            fitted = self._fit(training, None, name, seed, metrics["schedule_share"])
            losses = variable_losses(fitted.model, self._rows(rest), self._allowed(fitted.model))
            quality = quality_of(self.tokenizer, losses, training, rest, self.settings.learn)
            document = {"left_out": quality.to_dict(), "rows": len(training), **_about(fitted, started)}
            self._save(folder / name, fitted, document)

    def _fit(
        self, training: WrittenTable, validation: WrittenTable | None, name: str, seed: int, share: float = 1.0
    ) -> Fitted:
        set_seed(seed)
        model = build_model(
            self.tokenizer,
            context_length=self.tokenizer.longest_row,
            preset=self.settings.preset,
            model=self.settings.model,
            lora=self.settings.lora,
            too_long=("a row has up to", "Give texts and sequences a smaller `max_length`."),
        )
        rows = self._rows(training, self.settings.smoothing)
        return fit(
            model,
            self._allowed(model),
            rows,
            None if validation is None else self._rows(validation),
            pace(self.settings, rows, seed, share),
            self.checkpoints / name,
            resume=self.resume,
            callbacks=self.callbacks,
        )

    def _rows(self, table: WrittenTable, smoothing: float = 0.0) -> RowSource:
        if self.tokenizer.history == "full":
            return FullRows(self.tokenizer, table, learn=self.settings.learn)
        return ParentRows(self.tokenizer, table, smoothing=smoothing, learn=self.settings.learn)

    def _allowed(self, model: nn.Module) -> Tensor:
        return allowed_tokens(self.tokenizer).to(next(model.parameters()).device)

    def _save(self, folder: Path, fitted: Fitted, metrics: dict[str, Any], folds: Folds | None = None) -> None:
        documents = {"folds": folds.to_dict()} if folds is not None else {}
        training = {**asdict(self.settings), "context_length": self.tokenizer.longest_row}
        save_run(
            folder,
            fitted.model,
            self.tokenizer,
            metrics=metrics,
            training=training,
            adapter=None if self.settings.merge else fitted.adapter,
            base=self.settings.model,
            dag=self.tokenizer.schema.to_dict(),
            **documents,
        )


def _about(fitted: Fitted, started: float) -> dict[str, Any]:
    return {
        "parameters": sum(parameter.numel() for parameter in fitted.model.parameters()),
        "steps": fitted.steps,
        "seconds": round(time.monotonic() - started, 1),
    }


def held_out(rows: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are held out: at random, at least one, and never all.

    Example:
        >>> int(held_out(10, 0.25, seed=0).sum()), int(held_out(2, 0.9, seed=0).sum())
        (2, 1)
    """
    chosen = np.zeros(rows, dtype=bool)
    count = min(max(1, round(share * rows)), rows - 1)
    chosen[np.random.default_rng(seed).permutation(rows)[:count]] = True
    return chosen


def pace(settings: DagTrainingSettings, rows: RowSource, seed: int, share: float = 1.0) -> Pace:
    """How long and how fast to train on such rows, where the settings leave it open."""
    reads_parents = settings.history == "parents"
    most = _MOST_EPOCHS[reads_parents]
    tokens = len(rows) * rows.mean_length
    return Pace(
        epochs=settings.epochs or min(most, max(1.0, settings.max_tokens / tokens)),
        learning_rate=settings.learning_rate or _learning_rate(settings),
        batch_tokens=settings.batch_tokens or _BATCH_TOKENS[reads_parents],
        patience=settings.patience,
        bf16=settings.bf16,
        seed=seed,
        share=share,
    )


def _learning_rate(settings: DagTrainingSettings) -> float:
    if settings.model is not None and has_weights(settings.model):
        return 5e-4 if settings.lora else 5e-5
    return 6e-3 if settings.preset == "nano" and settings.model is None else 2e-3
