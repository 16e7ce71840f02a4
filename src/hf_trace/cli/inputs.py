"""What commands do before any work: read the log, whole or in parts, and keep Transformers quiet."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.cli.console import progress, say
from hf_trace.documents import Document
from hf_trace.errors import HfTraceError, ModelLoadError, SettingsError, preview
from hf_trace.options import HOPS, TOPOLOGY_DIRECTED

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.places.place_network import PlaceNetwork
    from hf_trace.logs.streams import EventStream

# What a run remembers of how its log is read: as ``read_log`` and the command line name it, and as it is called here.
_REMEMBERED = {
    "case_column": "case", "event_column": "event", "time_column": "time", "end_column": "end", "query": "query",
    "time_unit": "unit", "time_format": "time_format",
}  # fmt: skip
# How times are written may differ from file to file; to say so for another one its column is named too.
_OF_TIMES = {"time_unit": "s", "time_format": None}


@dataclass(frozen=True)
class LogSource:
    """A log as a command line describes it.

    Attributes:
        log: File, folder, glob or id of a data set.
        case: Column of the sequence; None: recognized by its name, as the other columns.
        event: Column of the event, or several with commas between.
        time: Column of the time.
        query: Rows to keep.
        unit: Unit of numeric times; None: seconds.
        outcome: Column with a label of the whole sequence.
        contexts: Columns with what is known of the whole sequence.
        time_format: Format of the times; None: recognized.
        topology: Which sequences are joined: a file, or what a run was trained with.
        directed: Whether the first place of a pair is upstream of the second.
        hops: How many steps away neighbours may be.
        run: ``training.json`` of the run that the log is read for; None: of none.
        end: Column of the time when an event ended.
        remembered: What of this is as the log of the run was read, and was not typed.
    """

    log: str
    case: str | None
    event: str | None
    time: str | None
    query: str | None
    unit: str | None
    outcome: str | None = None
    contexts: Sequence[str] = ()
    time_format: str | None = None
    topology: "Path | PlaceNetwork | None" = None
    directed: bool = TOPOLOGY_DIRECTED.default
    hops: int = HOPS.default
    run: Document | None = None
    end: str | None = None
    remembered: Mapping[str, str] = field(default_factory=dict)

    def typed(self) -> dict[str, str]:
        """What was said of how the log is read, for the run that is trained on it to remember."""
        said = {name: getattr(self, attribute) for name, attribute in _REMEMBERED.items()}
        return {name: value for name, value in said.items() if value is not None}

    def as_trained(self, run: str) -> "LogSource":
        """The same, read as the log of a run was: with its topology, its context columns, and what it remembers."""
        from hf_trace.runs.trained_network import trained_network

        recipe = _recipe(run)
        contexts = list(dict.fromkeys([*(recipe.get("context_columns") or ()), *self.contexts]))
        topology = self.topology or trained_network(recipe)
        return replace(self.as_remembered(run), contexts=contexts, topology=topology, run=recipe)

    def as_remembered(self, run: str) -> "LogSource":
        """The same, with the columns, the query and the format of times that a run was trained with.

        What is typed must be the same, for a log that has the columns of the run: its events would be others. A log
        that lacks them is another one, and what is typed of it counts. Files of plain text have no columns.

        Raises:
            SettingsError: If something else is typed.
        """
        reading = _recipe(run).get("reading")
        if reading is None or self._is_plain_text():
            return self
        typed = self.typed()
        for name in typed:
            self._refuse_another(name, typed, reading)
        has_other_times = typed.get("time_column") not in (None, reading.get("time_column"))
        told = {*typed, *(_OF_TIMES if has_other_times else ())}
        kept = {name: value for name, value in reading.items() if name not in told}
        changes: dict[str, Any] = {_REMEMBERED[name]: value for name, value in kept.items()}
        return replace(self, **changes, remembered=kept)

    def _refuse_another(self, name: str, typed: Mapping[str, str], reading: Mapping[str, str]) -> None:
        """Refuse what is typed where the run was trained with something else that this log has too."""
        was = reading.get(name, _OF_TIMES.get(name))
        if was is None or typed[name] == was or (name in _OF_TIMES and "time_column" in typed):
            return
        option = f"--{name.replace('_', '-')}"
        began = f"`{option}` is {typed[name]!r}, and the run was trained with {was!r}"
        if name in _OF_TIMES:
            raise SettingsError(
                f"{began}. Leave it out; for another log, whose times are written otherwise, add `--time-column`."
            )
        if self._can_be_read_with(name, was):
            would = "keep other rows" if name == "query" else "be read otherwise"
            raise SettingsError(
                f"{began}, which this log has too: it would {would} than in training. Leave it out, or train again "
                f"with `{option}`."
            )

    def _can_be_read_with(self, name: str, value: str) -> bool:
        """Whether the first table of the log has the columns, or those that a query names."""
        from hf_trace.logs.sources import source_frames

        try:
            _, frame = next(iter(source_frames(self.log, query=value if name == "query" else None)))
        except (HfTraceError, StopIteration):
            return False
        return name == "query" or value in frame.columns or set(value.split(",")) <= set(frame.columns)

    def _is_plain_text(self) -> bool:
        from hf_trace.logs.formats import LOG_SUFFIXES, data_suffix
        from hf_trace.logs.sources import find_files
        from hf_trace.logs.streams import is_hub_id

        return not is_hub_id(self.log) and not any(
            data_suffix(path) in (*LOG_SUFFIXES, ".json") for path in find_files(self.log)
        )

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

        with self._explained():
            table = read_log(
                self.log,
                case_column=self.case,
                event_column=self._events,
                time_column=self.time,
                query=self.query,
                time_unit=self.unit or "s",
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

    def with_ends(self) -> "EventLog":
        """The log with events that last until the time in the column of ends; as it is without one."""
        if self.end is None:
            return self.read()
        from hf_trace.logs.states.state_histories import with_ends

        return with_ends(self.read(), replace(self, time=self.end).read())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of what is wrong with a log that it was not typed but remembered."""
        try:
            yield
        except HfTraceError as error:
            name = next((name for name in self.remembered if f"{name}=" in str(error)), None)
            if name is None:
                raise
            raise type(error)(
                f"{error} So the run was trained; for a log that is written otherwise type "
                f"`--{name.replace('_', '-')}`."
            ) from None

    def opened(self) -> "EventStream":
        """The log as a stream, to be read in parts.

        Raises:
            SettingsError: If rows are to be left out, or sequences to have contexts or neighbours, as where the run was
                trained.
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
        if self.query is not None:
            raise SettingsError(
                f"The run was trained with `--query {self.query!r}`, and logs that are read in parts have none. Leave "
                "out `--stream`."
            )
        from hf_trace.logs.columns import ColumnChoice
        from hf_trace.logs.streams import open_stream

        choice = ColumnChoice(
            self.case,
            self._events,
            self.time,
            "=",
            self.unit or "s",
            self.time is not None,
            time_format=self.time_format,
        )
        return open_stream(self.log, choice)

    def sampled(self, share: int | float | None, first: int | None, seed: int) -> "EventLog":
        """Sequences drawn from the log as a stream."""
        from hf_trace.logs.stream_samples import sample_stream

        with self._explained(), progress("reading (events)", None) as advance:
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
