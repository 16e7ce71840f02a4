"""Training a model on a table whose variables have a known graph: rows in batches, how long to train, and folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback

from hf_trace.checks import number, whole
from hf_trace.documents import Document
from hf_trace.errors import SettingsError, TableError, preview
from hf_trace.runs.folders import write_json
from hf_trace.runs.members import MEMBERS, Folds, member_seed
from hf_trace.runs.processes import joined
from hf_trace.tables.binning import BINNING, Binning
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.architectures import has_weights
from hf_trace.training.data_trainer import Schedule, TrainingData
from hf_trace.training.group_misses import MISSES, group_misses
from hf_trace.training.interrupted import document_in, table_digest
from hf_trace.training.loop import Fitted, Loop, LoopSettings, TrainedRun, training_run
from hf_trace.training.row_means import row_means
from hf_trace.training.table_losses import (
    DagQuality,
    TermLosses,
    all_losses,
    allowed_tokens,
    is_surely_better,
    quality_of,
    term_losses,
)
from hf_trace.training.table_rows import FullRows, ParentRows, RowSource, WrittenTable, write_table

# By history: where only parents are read, and where everything before is.
_MOST_EPOCHS = {"parents": 300.0, "full": 20.0}
_BATCH_TOKENS = {"parents": 4096, "full": 2048}
_EVALUATIONS = 12
# Where hardly two rows are alike, what more passes than these would learn is the rows and not their law.
_PASSES, _STEPS = 4, 300
# Values of parents that are rarer than others count more, by the root of how much rarer they are.
_BALANCE = 0.5
_CHOICE_FILE = "choice.json"
_USUAL_FOLDS = 5


@dataclass(frozen=True)
class DagTrainingSettings(LoopSettings):
    """How a model of a table is trained; everything needed to train it again.

    ``LoopSettings`` explains what logs are trained with too. By default there are at most 300 ``epochs`` where only
    parents are read, but four, or 300 steps, where most rows have parents' values of their own; else 20. There are
    4096 or 2048 ``batch_tokens``; the ``learning_rate`` is 6e-3 for ``nano``, 2e-3 for other models from scratch, 5e-4
    for adapters and 5e-5 for pretrained models. Text needs a pretrained ``model`` with its tokenizer. The preset
    ``pico`` is one layer, enough where only listed values of parents are read: elsewhere ``nano`` stands in for it.

    Attributes:
        learn: Variables whose values are learned, by default all; others are only read.
        history: ``"parents"``: every variable is predicted from its parents only, so that a table of any length is
            learned in seconds; ``"full"``: from all variables before it, which latent variables call for.
        order: With full history, whether variables stand in one ``"fixed"`` order or in ``"random"`` ones, which let
            more questions be asked.
        smoothing: Where only parents are read: rows that are added wherever parents were seen to have certain values,
            with the values of a finite variable as often as they are overall, or near them where parents have an order.
        refit: Whether to train once more, for as long, on all rows; by default where only parents are read and the
            model is from scratch.
        folds: Models in ``members/``, each trained without one of as many parts of the rows, for estimates that are
            cross-fitted; 0 for none.

    Raises:
        SettingsError: If a number is out of range.
    """

    preset: str = "pico"
    learn: tuple[str, ...] | None = None
    history: str = "parents"
    order: str = "fixed"
    smoothing: float = 0.5
    refit: bool | None = None
    folds: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("smoothing", self.smoothing, least=0)
        if self.folds != 0:
            whole("folds", self.folds, least=2)

    @property
    def refits(self) -> bool:
        """Whether a model is trained on all rows once it is known for how long."""
        return self.history == "parents" and self.model is None if self.refit is None else self.refit

    @property
    def usual_folds(self) -> int:
        """Folds that are worth their time: five where a model takes seconds, which intervals then come from.

        Example:
            >>> DagTrainingSettings().usual_folds, DagTrainingSettings(history="full").usual_folds
            (5, 0)
        """
        return _USUAL_FOLDS if self.refits else 0

    @property
    def trainings(self) -> int:
        """How many models are trained, one after another.

        Example:
            >>> DagTrainingSettings().trainings, DagTrainingSettings(history="full", folds=5).trainings
            (2, 6)
        """
        return 1 + self.refits + self.folds

    @property
    def peak(self) -> float:
        """The learning rate, where it was not chosen by what the model is.

        Example:
            >>> DagTrainingSettings(preset="nano").peak, DagTrainingSettings().peak
            (0.006, 0.002)
        """
        if self.learning_rate is not None:
            return self.learning_rate
        if self.model is not None and has_weights(self.model):
            return 5e-4 if self.lora else 5e-5
        return 6e-3 if self.preset == "nano" and self.model is None else 2e-3


def train_dag(
    table: DagTable,
    out: str | PathLike[str],
    settings: DagTrainingSettings | None = None,
    *,
    resume: bool = False,
    overwrite: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainedRun[DagQuality]:
    """Train a model on a table and write a run folder.

    Checkpoints live beside ``out`` in a hidden folder until the run is complete.

    Args:
        table: Rows and their graph.
        out: Folder to write; it appears only when training has succeeded.
        settings: See ``DagTrainingSettings``.
        resume: Go on from the last checkpoint of an interrupted training of the same table with the same settings; a
            run that is finished is left as it is.
        overwrite: Whether an older run in ``out`` is replaced.
        callbacks: Called by the trainer, for progress.

    Raises:
        TableError: If there are fewer than two rows, or a value is too long.
        SettingsError: If the settings do not fit the graph or each other, or ``resume`` finds what was made with other
            settings or another table.
        ModelLoadError: If the pretrained model cannot be used.
        OutputError: If ``out`` holds something that is not a run, or one that may not be replaced, or cannot be
            written.
    """
    settings = settings or DagTrainingSettings()
    with training_run(out, resume=resume, overwrite=overwrite, callbacks=callbacks) as loop:
        if len(table) < 2:
            raise TableError(
                f"The table has {len(table)} rows, expected at least 2: one to learn from, one to check on."
            )
        _check_learned(settings, table.schema)
        folds = Folds(settings.folds, settings.seed, len(table)) if settings.folds else None
        tokenizer = DagTokenizer.from_schema(
            table.schema,
            history=settings.history,
            order=settings.order,
            base=_base(settings),
            trust_remote_code=settings.trust_remote_code,
        )
        settings = _shaped_for(tokenizer, settings)
        loop.begin(settings, table=table_digest(table))
        if loop.finished:
            return TrainedRun(Path(out), DagQuality.from_dict(loop.finished["validation"]), loop.finished)
        job = _Job(loop, tokenizer, table, write_table(tokenizer, table), settings, Binning.of(table))
        quality, metrics = job.train_run(folds)
        if folds is not None:
            job.train_members(folds, metrics["schedule_share"])
    return TrainedRun(Path(out), quality, metrics)


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


def _shaped_for(tokenizer: DagTokenizer, settings: DagTrainingSettings) -> DagTrainingSettings:
    """One layer looks at each token once: what is spelled in several, or in orders that change, needs two."""
    is_listed = all(tokens.is_finite for tokens in tokenizer.variables.values())
    is_enough = tokenizer.history == "parents" and is_listed
    is_small = settings.model is None and settings.preset == "pico"
    return replace(settings, preset="nano") if is_small and not is_enough else settings


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
    loop: Loop
    tokenizer: DagTokenizer
    rows: DagTable
    table: WrittenTable
    settings: DagTrainingSettings
    binning: Binning

    def train_run(self, folds: Folds | None) -> tuple[DagQuality, Document]:
        """The model of the run: chosen by rows held out, and perhaps trained once more on all."""
        settings = self.settings
        is_held = held_out(len(self.table), settings.validation_share, settings.seed)
        training, validation = self.table.select(~is_held), self.table.select(is_held)
        if settings.refits:
            # What an interrupted training found out need not be found out again.
            choice = document_in(self.loop.checkpoints, _CHOICE_FILE) if self.loop.resume else {}
            choice = choice or self._choose(training, validation)[-1]
            data, fitted = self._fit(self.table, None, "final", settings.seed, choice["share"])
        else:
            data, fitted, choice = self._choose(training, validation)
        losses = np.array(choice["losses"])
        quality = quality_of(self.tokenizer, losses, training, validation, settings.learn, with_trees=True)
        metrics = {
            "validation": quality.to_dict(),
            "rows": len(self.table),
            "rows_training": len(training),
            "rows_validation": len(validation),
            "weight": float(self.table.weights.sum()),
            "rows_merged": len(data.rows(training)),
            "refitted": settings.refits,
            "schedule_share": choice["share"],
            "steps": fitted.best_step,
            BINNING: self._unexplained(fitted).to_dict(),
            MISSES: self._misses(fitted),
        }
        documents = {"dag": self.tokenizer.schema.to_dict()}
        if folds is not None:
            documents["folds"] = folds.to_dict()
        return quality, self.loop.save(fitted, data, settings, metrics, "", **documents)

    def _unexplained(self, fitted: Fitted) -> Binning:
        """How far means of numbers are off, by bins and by what the model has not learned, where it reads parents."""
        learned, parents, variables = self.settings.learn, self.tokenizer.parents, self.tokenizer.variables
        names = [
            name
            for name in (self.binning.within if self.tokenizer.history == "parents" else ())
            if (learned is None or name in learned) and parents(name)
            if all(variables[parent].is_finite for parent in parents(name))
        ]
        means = {name: row_means(fitted.model, self.tokenizer, self.table, name) for name in names}
        return self.binning.with_unexplained(self.rows, means)

    def _misses(self, fitted: Fitted) -> list[Document]:
        """Groups of rows whose outcomes the model misses, where it reads parents and nothing else."""
        if self.tokenizer.history != "parents":
            return []
        source = ParentRows(self.tokenizer, self.table, learn=self.settings.learn)
        return [each.to_dict() for each in group_misses(fitted.model, self.tokenizer, source)]

    def _choose(self, training: WrittenTable, validation: WrittenTable) -> tuple["_TableData", Fitted, Document]:
        """A model of some rows, how well it predicts the others, and how much of the schedule that took."""
        data, fitted = self._fit(training, validation, "chosen", self.settings.seed)
        choice = {"share": data.share_needed(fitted), "losses": data.best.per_variable(data.held_out).tolist()}
        self.loop.checkpoints.mkdir(parents=True, exist_ok=True)
        write_json(self.loop.checkpoints / _CHOICE_FILE, choice)
        return data, fitted, choice

    def train_members(self, folds: Folds, share: float) -> None:
        """Models that have not seen one part of the rows each, trained for as long as the first was."""
        fold = folds.of_rows(len(self.table))
        for part in range(1, folds.folds + 1):
            training, rest = self.table.select(fold != part - 1), self.table.select(fold == part - 1)
            name = f"{MEMBERS}/{part}"
            data, fitted = self._fit(training, None, name, member_seed(self.settings.seed, part), share)
            rows = data.rows(rest)
            losses = data.losses(fitted.model, rows).per_variable(rows)
            quality = quality_of(self.tokenizer, losses, training, rest, self.settings.learn)
            metrics, dag = {"left_out": quality.to_dict(), "rows": len(training)}, self.tokenizer.schema.to_dict()
            self.loop.save(fitted, data, self.settings, metrics, name, dag=dag)

    def _fit(
        self, training: WrittenTable, validation: WrittenTable | None, name: str, seed: int, share: float = 1.0
    ) -> tuple["_TableData", Fitted]:
        settings = replace(self.settings, seed=seed, learning_rate=self.settings.peak)
        data = _TableData(self.tokenizer, training, validation, settings, share)
        return data, self.loop.fit(data, settings, name)


class _TableData(TrainingData):
    """Rows in whole batches, with weighted losses among the values that a variable may take.

    The best checkpoint is chosen by ``validation``; without any, training ends after a share of the schedule.
    """

    tokenizer: DagTokenizer
    too_long = ("a row has up to", "Give texts and sequences a smaller `max_length`.")
    best: TermLosses
    latest: TermLosses | None = None

    def __init__(
        self,
        tokenizer: DagTokenizer,
        training: WrittenTable,
        validation: WrittenTable | None,
        settings: DagTrainingSettings,
        share: float,
    ) -> None:
        self.tokenizer, self.settings, self.origin = tokenizer, settings, {"kind": "table"}
        self.context_length, self.allowed = tokenizer.longest_row, allowed_tokens(tokenizer)
        self.held_out = None if validation is None else self.rows(validation)
        rows = self.rows(training, settings.smoothing, _BALANCE)
        batches = _Batches(rows, settings.batch_tokens or _BATCH_TOKENS[settings.history], settings.seed)
        fitting = max(1.0, settings.max_tokens / (len(rows) * rows.mean_length))
        epochs = settings.epochs or min(_MOST_EPOCHS[settings.history], fitting)
        if settings.epochs is None and settings.model is None and _seldom_repeats(rows, len(training)):
            epochs = min(epochs, max(_PASSES, _STEPS / batches.per_epoch))
        steps = max(1, round(batches.per_epoch * epochs))
        batches.steps = steps * joined().count
        end = {"stop": max(1, round(steps * share))} if self.held_out is None else {"patience": settings.patience}
        self.training, self.schedule = batches, Schedule(float(steps), max(1, math.ceil(steps / _EVALUATIONS)), **end)

    def rows(self, table: WrittenTable, smoothing: float = 0.0, balance: float = 0.0) -> RowSource:
        """The rows that batches of a table are made of."""
        if self.tokenizer.history == "full":
            return FullRows(self.tokenizer, table, learn=self.settings.learn)
        return ParentRows(self.tokenizer, table, smoothing=smoothing, balance=balance, learn=self.settings.learn)

    def losses(self, model: nn.Module, rows: RowSource) -> TermLosses:
        """Losses of all terms of some rows."""
        return all_losses(model, rows, self.allowed.to(next(model.parameters()).device))

    def share_needed(self, fitted: Fitted) -> float:
        """How much of the schedule to run: up to the best checkpoint, or all where the last is not surely worse."""
        if self.latest is not None and not is_surely_better(self.best, self.latest):
            return 1.0
        return fitted.best_step / self.schedule.steps

    def loader(self, trainer: Trainer) -> DataLoader:
        return DataLoader(
            self.training, batch_size=1, collate_fn=itemgetter(0), pin_memory=trainer.args.dataloader_pin_memory
        )

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        self.allowed = self.allowed.to(batch["input_ids"].device)
        return (term_losses(model, batch, self.allowed) * batch["term_weight"]).sum()

    def evaluate(self, model: nn.Module) -> float | None:
        if self.held_out is None:
            return None
        self.latest = self.losses(model, self.held_out)
        return float(self.latest.per_variable(self.held_out).mean())

    def finish(self, model: nn.Module) -> None:
        if self.held_out is not None:
            self.best = self.losses(model, self.held_out)


def _seldom_repeats(source: RowSource, rows: int) -> bool:
    return isinstance(source, ParentRows) and source.most_contexts > rows / 2


class _Batches(Dataset):
    """One item per step: a whole batch, the same whenever it is asked for.

    A row that stands for many comes in as many batches of a pass, evenly spaced, and counts for less in each: else
    what few rows say, of variables without parents for example, would be heard seldom and then too loudly.
    """

    def __init__(self, source: RowSource, tokens: int, seed: int) -> None:
        self.source, self.seed, self.steps = source, seed, 1
        self.size = max(1, min(len(source), round(tokens / source.mean_length)))
        weights, most = source.row_weights, math.ceil(len(source) / self.size)
        self.copies = np.clip(np.round(weights / weights.mean()), 1, most).astype(np.int64)
        self.items = np.repeat(np.arange(len(source)), self.copies)
        self.per_epoch = math.ceil(len(self.items) / self.size)
        self._order = lru_cache(maxsize=2)(self._new_order)

    def __len__(self) -> int:
        return self.steps

    def _new_order(self, epoch: int) -> NDArray[np.int64]:
        if len(self.items) == len(self.source):
            return np.random.default_rng([self.seed, epoch]).permutation(len(self.source))
        shift = np.random.default_rng([self.seed, epoch]).random(len(self.source))
        number = np.arange(len(self.items)) - np.repeat(np.cumsum(self.copies) - self.copies, self.copies)
        return self.items[np.argsort((number + shift[self.items]) / self.copies[self.items], kind="stable")]

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        epoch, place = divmod(step, self.per_epoch)
        drawn = self._order(epoch)[place * self.size : (place + 1) * self.size]
        rows, times = np.unique(drawn, return_counts=True)
        batch = self.source.batch(rows, np.random.default_rng([self.seed, step, 1]))
        share = torch.from_numpy((times / self.copies[rows]).astype(np.float32))
        # The loss is a mean per variable of a row of the population, as far as a batch can tell.
        counted = self.source.total_weight * len(drawn) / len(self.items) * self.source.variables
        weight = batch["term_weight"] * share[batch["place_row"][batch["term_place"]]]
        return {**batch, "term_weight": weight / counted}


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
