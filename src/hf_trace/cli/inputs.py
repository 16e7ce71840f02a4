"""What commands do before any work: read the log, whole or in parts, and keep Transformers quiet."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hf_trace.cli.console import progress, say
from hf_trace.errors import ModelLoadError, SettingsError, preview

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.streams import EventStream


@dataclass(frozen=True)
class LogSource:
    """A log as a command line describes it.

    Attributes:
        log: File, folder, glob or id of a data set.
        case: Column of the sequence; None: recognized by its name, as the other columns.
        event: Column of the event, or several with commas between.
        time: Column of the time.
        query: Rows to keep.
        unit: Unit of numeric times.
        outcome: Column with a label of the whole sequence.
        contexts: Columns with what is known of the whole sequence.
        time_format: Format of the times; None: recognized.
    """

    log: str
    case: str | None
    event: str | None
    time: str | None
    query: str | None
    unit: str
    outcome: str | None = None
    contexts: Sequence[str] = ()
    time_format: str | None = None

    def with_contexts_of(self, run: str) -> "LogSource":
        """The same, read with the context columns that a run was trained with, and those asked for."""
        return replace(self, contexts=list(dict.fromkeys([*_known_contexts(run), *self.contexts])))

    def read(self) -> "EventLog":
        """Read the log and say what is in it."""
        from hf_trace.logs.sources import read_log

        table = read_log(
            self.log,
            case_column=self.case,
            event_column=self._events,
            time_column=self.time,
            query=self.query,
            time_unit=self.unit,
            time_format=self.time_format,
            outcome_column=self.outcome,
            context_columns=self.contexts,
        )
        return _told(table)

    def opened(self) -> "EventStream":
        """The log as a stream, to be read in parts.

        Raises:
            SettingsError: If sequences are to have contexts, as those the run was trained on.
        """
        if self.contexts:
            raise SettingsError(
                f"The run reads the context {preview(self.contexts)}, which logs that are read in parts do not have. "
                "Leave out `--stream`."
            )
        from hf_trace.logs.columns import ColumnChoice
        from hf_trace.logs.streams import open_stream

        choice = ColumnChoice(
            self.case, self._events, self.time, "=", self.unit, self.time is not None, time_format=self.time_format
        )
        return open_stream(self.log, choice)

    def sampled(self, share: int | float | None, first: int | None, seed: int) -> "EventLog":
        """Sequences drawn from the log as a stream."""
        from hf_trace.logs.stream_samples import sample_stream

        with progress("reading (events)", None) as advance:
            table = sample_stream(self.opened(), share, seed=seed, first=first, advance=advance)
        return _told(table)

    @property
    def _events(self) -> str | list[str] | None:
        return self.event.split(",") if self.event and "," in self.event else self.event


def _told(table: "EventLog") -> "EventLog":
    for line in table.summary().lines():
        say(line)
    return table


def _known_contexts(run: str) -> list[str]:
    """The context columns that a run was trained with: its log is read with the same."""
    folder = Path(run)
    if not folder.exists():
        quiet_transformers()
        from hf_trace.runs.folders import local_run

        folder = local_run(run)
    from hf_trace.runs.run_documents import read_run_document

    try:
        return list(read_run_document(folder / "training.json").get("context_columns") or ())
    except ModelLoadError:  # loading the run says what is wrong with it
        return []


def quiet_transformers() -> None:
    """Keep the bars and notes of Transformers off the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    from transformers.utils import logging as host

    host.set_verbosity_error()
    host.disable_progress_bar()
