"""What commands do before any work: read the log, whole or in parts, and keep Transformers quiet."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hf_trace.cli.console import progress, say
from hf_trace.documents import Document
from hf_trace.errors import ModelLoadError, SettingsError, preview
from hf_trace.options import HOPS, TOPOLOGY_DIRECTED

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.places.place_network import PlaceNetwork
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
        topology: Which sequences are joined: a file, or what a run was trained with.
        directed: Whether the first place of a pair is upstream of the second.
        hops: How many steps away neighbours may be.
        run: ``training.json`` of the run that the log is read for; None: of none.
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
    topology: "Path | PlaceNetwork | None" = None
    directed: bool = TOPOLOGY_DIRECTED.default
    hops: int = HOPS.default
    run: Document | None = None

    def as_trained(self, run: str) -> "LogSource":
        """The same, read with the topology and the context columns of a run, beside the columns asked for."""
        from hf_trace.runs.trained_network import trained_network

        recipe = _recipe(run)
        contexts = list(dict.fromkeys([*(recipe.get("context_columns") or ()), *self.contexts]))
        return replace(self, contexts=contexts, topology=self.topology or trained_network(recipe), run=recipe)

    def read(self) -> "EventLog":
        """Read the log and say what is in it.

        Raises:
            SettingsError: If its topology is not that of the run.
        """
        from hf_trace.logs.sources import read_log

        if self.topology is None and (self.directed or self.hops != HOPS.default):
            raise SettingsError(
                f"`--{'topology-directed' if self.directed else 'hops'}` is about a topology, and none is given. Add "
                "`--topology FILE`, or leave it out."
            )

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
            topology=self.topology,
            topology_directed=self.directed,
            hops=self.hops,
        )
        if self.run is not None:
            from hf_trace.runs.trained_network import check_network

            check_network(table, self.run, reads_neighbours=bool(self.run.get("topology")))
        return _told(table)

    def with_ends(self, column: str | None) -> "EventLog":
        """The log with events that last until the time in a column; as it is without one."""
        if column is None:
            return self.read()
        from hf_trace.logs.states.state_histories import with_ends

        return with_ends(self.read(), replace(self, time=column).read())

    def opened(self) -> "EventStream":
        """The log as a stream, to be read in parts.

        Raises:
            SettingsError: If sequences are to have contexts or neighbours, as those the run was trained on.
        """
        if self.topology is not None:
            raise SettingsError(
                "With a topology the sequence of a place holds what happened at its neighbours, which may stand "
                "anywhere in the log, and a log that is read in parts is not searched for it. Leave out `--stream`."
            )
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
    from hf_trace.logs.places.histories import own_events, topology_notes

    for line in (*own_events(table).summary().lines(), *topology_notes(table)):
        say(line)
    return table


def _recipe(run: str) -> Document:
    """How a run was trained: its log is read in the same way."""
    folder = Path(run)
    if not folder.exists():
        quiet_transformers()
        from hf_trace.runs.folders import local_run

        folder = local_run(run)
    from hf_trace.runs.run_documents import read_run_document

    try:
        return read_run_document(folder / "training.json")
    except ModelLoadError:  # loading the run says what is wrong with it
        return {}


def quiet_transformers() -> None:
    """Keep the bars and notes of Transformers off the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    from transformers.utils import logging as host

    host.set_verbosity_error()
    host.disable_progress_bar()
