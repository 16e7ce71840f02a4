"""Training a model of what states go together in normal operation: snapshots of a log, as rows of a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
from transformers import TrainerCallback

from hf_trace.checks import whole
from hf_trace.documents import Document
from hf_trace.errors import SettingsError
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.logs.log import EventLog
from hf_trace.logs.states.state_histories import StateHistory, seconds_held
from hf_trace.logs.states.state_log import StateLog
from hf_trace.questions.normal_states import NormalStates
from hf_trace.questions.state_runs import STATES_FILE, oracle_of
from hf_trace.runs.folders import write_json
from hf_trace.runs.new_folders import new_folder
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable
from hf_trace.training.table_training import DagTrainingSettings, train_dag

_MOST_VARIABLES = 500


@dataclass(frozen=True)
class StateTrainingSettings:
    """How a model of states is trained.

    Attributes:
        snapshots: How many are drawn from the log, every other at an event, the others at any time.
        table: How the model of the snapshots is trained; variables stand in random orders.
        patterns: Which event types are values of one variable; see ``state_names``.
        pairs: Further pairs of words for the two values of a variable; see ``state_names``.

    Raises:
        SettingsError: If a number is out of range.
    """

    snapshots: int = 5_000
    table: DagTrainingSettings = field(default_factory=lambda: DagTrainingSettings(max_tokens=2_000_000))
    patterns: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        whole("snapshots", self.snapshots, least=2)
        object.__setattr__(self, "table", replace(self.table, history="full", order="random"))


@dataclass(frozen=True)
class TrainedStates:
    """A run folder with a model of states.

    Attributes:
        folder: Where it is.
        normal: What normal operation is like.
        metrics: What was measured of the model of snapshots.
    """

    folder: Path
    normal: NormalStates
    metrics: Document


def train_states(
    log: EventLog,
    out: str | PathLike[str],
    settings: StateTrainingSettings | None = None,
    *,
    overwrite: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> "TrainedStates":
    """Train a model of the states of normal operation and write a run folder.

    What stands out is measured on normal moments, each by what the other sequences say of it; bring several.

    Args:
        log: Normal operation.
        out: Folder to write; it appears only when all is done.
        settings: See ``StateTrainingSettings``.
        overwrite: Whether an older run in ``out`` is replaced.
        callbacks: Called by the trainer, for progress.
        advance: Called with the number of normal moments done.

    Raises:
        SettingsError: If no variable of the log ever changes, more than 500 do, or a pattern fits nothing.
        OutputError: If ``out`` cannot be written.
    """
    settings = settings or StateTrainingSettings()
    histories = StateLog.of(log.without_empty_sequences(), settings.patterns, settings.pairs).histories
    generator = np.random.default_rng(settings.table.seed)
    table = snapshot_table(histories, settings.snapshots, generator)
    with new_folder(out, overwrite=overwrite) as folder:
        trained = train_dag(table, folder, settings.table, callbacks=callbacks)
        states = NormalStates(
            seconds_held(histories),
            sum(each.end - each.start for each in histories),
            suggested_horizon(log, positions=1),
            oracle_of(folder),
            patterns=settings.patterns,
            pairs=settings.pairs,
            unit="s" if log.timestamps is not None else "events",
            network=log.network,
        ).calibrated(histories, settings.table.seed, advance)
        write_json(Path(folder) / STATES_FILE, states.to_dict())
    return TrainedStates(Path(out), states, trained.metrics)


def snapshot_table(histories: Sequence[StateHistory], count: int, generator: np.random.Generator) -> DagTable:
    """Snapshots as rows of a table in which no variable is known to cause another.

    Args:
        histories: What they are taken from, each as often as it is long.
        count: How many rows.
        generator: Draws them.

    Raises:
        SettingsError: If no variable ever changes, or more than 500 do.
    """
    changing = {name for history in histories for name, each in history.changes.items() if len(each.values) > 1}
    if len(changing) > _MOST_VARIABLES:
        raise SettingsError(
            f"{len(changing):,} variables of the log change, expected at most {_MOST_VARIABLES} in a snapshot. "
            "Name a coarser event column, or keep fewer rows with a query."
        )
    lengths = np.array([each.end - each.start for each in histories]) + 1e-9
    rows = []
    for history, times in zip(histories, generator.multinomial(count, lengths / lengths.sum()), strict=True):
        rows += [history.at(time) for time in history.moments(generator, int(times)).tolist()]
    columns = {
        name: [row[name].value if name in row else MISSING for row in rows]
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    varying = {name: column for name, column in columns.items() if len(set(column) - {MISSING}) > 1}
    if not varying:
        raise SettingsError(
            f"None of the {len(columns)} variables of the log ever changes, expected some that do: states such as "
            "'pump=on' and 'pump=off'. Name the event column, or say with `--variable` what is a value."
        )
    # What is not known comes last among the values.
    variables = [
        Variable(name, values=tuple(sorted(set(column), key=lambda value: (value == MISSING, value))))
        for name, column in varying.items()
    ]
    codes = {each.name: np.array([each.values.index(value) for value in varying[each.name]]) for each in variables}
    return DagTable(DagSchema(tuple(variables)), codes, np.ones(len(rows)))
