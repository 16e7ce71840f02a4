"""``hf-trace doctor``: what a log is like, what to choose for it, and how long that will take."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace.cli.console import print_json, print_section, say
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.documents import Document
from hf_trace.errors import HfTraceError
from hf_trace.options import HOPS, TOPOLOGY_DIRECTED

if TYPE_CHECKING:
    from hf_trace.logs.diagnosis.choices import StateVariables
    from hf_trace.logs.diagnosis.findings import Finding, Suggestion
    from hf_trace.logs.diagnosis.source_columns import ChosenColumn, PossibleColumn
    from hf_trace.logs.diagnosis.time_figures import WrittenTimes
    from hf_trace.logs.log import EventLog

_MOST_WINDOW = 128  # as `training.log_training` has it, which takes seconds to import
_TITLES = {
    "columns": "Columns",
    "possible_columns": "Columns that could help",
    "times": "Times",
    "repeats": "What repeats itself",
    "states": "Values of one variable",
    "size": "Is it enough?",
    "suggestions": "What to choose",
    "time": "How long it will take",
}


@dataclass
class Report:
    """What is found, section by section, and what stands beside it.

    Attributes:
        sections: Findings of each section.
        notes: Sentences of each section that are no finding, such as warnings of the reader.
        commands: What to type next.
    """

    sections: "dict[str, list[Finding]]"
    notes: dict[str, list[str]]
    commands: list[str]

    def to_dict(self) -> Document:
        """All of it as one document."""
        found = {
            name: [{"kind": type(each).__name__, **each.to_dict(), "text": each.lines()} for each in findings]
            for name, findings in self.sections.items()
        }
        return {**found, "notes": self.notes, "commands": self.commands}

    def section(self, name: str) -> tuple[str, list[str]]:
        """Title and sentences of a section."""
        lines = [line for each in self.sections.get(name, ()) for line in each.lines()]
        return _TITLES[name], [*lines, *self.notes.get(name, ())]

    def show(self) -> None:
        """Print it."""
        for name in _TITLES:
            print_section(*self.section(name))
        print_section("What to type next", self.commands, fold=False)


def doctor(
    log: flags.Log,
    case_column: flags.Case = None,
    event_column: flags.Event = None,
    time_column: flags.Time = None,
    query: flags.Query = None,
    time_unit: flags.TimeUnit = None,
    time_format: flags.TimeFormat = None,
    outcome_column: flags.Outcome = None,
    context_column: flags.Contexts = None,
    topology: flags.Topology = None,
    topology_directed: flags.Directed = TOPOLOGY_DIRECTED.default,
    hops: flags.Hops = HOPS.default,
    timing: Annotated[
        bool, typer.Option("--timing/--no-timing", help="Measure how long training and discovery will take.")
    ] = True,
    json_output: flags.Json = False,
) -> None:
    """Look at a log before anything is learned from it: is it read right, is it enough, what to choose, how long.

    Nothing is written. Every suggestion is an option of `train` or `discover`, and the commands are there to copy.
    """
    source = LogSource(
        log, case_column, event_column, time_column, query, time_unit, outcome_column, context_column or (),
        time_format, topology, topology_directed, hops,
    )  # fmt: skip
    started = time.monotonic()
    with noted() as notes:
        table = source.read()
        reading = time.monotonic() - started
    report = examined(source, table)
    report.notes["times"] = list(dict.fromkeys(notes))
    if timing:
        _measured(report, table, source, reading)
    if json_output:
        print_json({"log": log, **report.to_dict()})
    else:
        report.show()


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect what the package would warn of."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("hf_trace")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def examined(source: LogSource, table: "EventLog") -> Report:
    """All that needs no model.

    Args:
        source: How the log is described.
        table: The log as it was read.
    """
    from hf_trace.graphs.log_power import LogPower
    from hf_trace.logs.diagnosis.choices import StateVariables, next_commands, shell_line, training_choices
    from hf_trace.logs.diagnosis.repeats import Chatter, Duplicates, Floods, Periodic
    from hf_trace.logs.diagnosis.time_figures import TimeFigures
    from hf_trace.logs.places.histories import own_events

    own = own_events(table)
    chosen, possible, written = _of_files(source)
    times, states = TimeFigures.of(own), StateVariables.of(own.event_types)
    asked, why_not = _asked(table, own, states)
    choices = [*training_choices(table, _MOST_WINDOW), *asked]
    sections: dict[str, list[Finding]] = {
        "columns": [*chosen],
        "possible_columns": [*possible],
        "times": [each for each in (written, times) if each is not None],
        "repeats": [kind.of(own) for kind in (Duplicates, Chatter, Floods, Periodic)],
        "states": [states],
        "size": [LogPower.of(own)],
        "suggestions": [*choices],
    }
    columns, places, beside = _typed(source)
    commands = next_commands(source.log, columns, places, beside, choices)
    notes = {"suggestions": why_not}
    case = next((each.column for each in possible if each.use == "case"), None)
    if case is not None:  # all else is said of a log that is cut otherwise
        again = ["hf-trace", "doctor", source.log, "--case-column", case, *columns, *places, *beside]
        commands.insert(0, shell_line(again))
        notes["possible_columns"] = ["What follows is said of the log as it is read now, without a case."]
    return Report(sections, notes, commands)


def _of_files(source: LogSource) -> "tuple[list[ChosenColumn], list[PossibleColumn], WrittenTimes | None]":
    """What stands in the tables of a log: columns by the first of them, the order of rows in all."""
    import numpy as np

    from hf_trace.logs.columns import ColumnChoice, time_texts
    from hf_trace.logs.contexts import is_derived
    from hf_trace.logs.diagnosis.source_columns import chosen_columns, possible_columns, read_columns
    from hf_trace.logs.diagnosis.time_figures import WrittenTimes
    from hf_trace.logs.event_rows import table_rows
    from hf_trace.logs.sources import source_frames

    contexts = tuple(name for name in source.contexts if not is_derived(name))
    choice = ColumnChoice(
        source.case, source.event, source.time, time_unit=source.unit or "s", outcome=source.outcome, contexts=contexts,
        time_format=source.time_format,
    )  # fmt: skip
    frames = [(name, frame.rename(columns=str)) for name, frame in source_frames(source.log, query=source.query)]
    if not frames:  # plain text
        return [], [], None
    first = frames[0][1]
    columns, written = read_columns(first, choice), None
    if columns is not None and columns.time:
        alone, reader = replace(choice, outcome=None, contexts=()), choice.times()
        rows = [table_rows(frame, alone, sequence_id=name, reader=reader) for name, frame in frames]
        seconds = [np.zeros(0) if each.seconds is None else each.seconds for each in rows]
        values = time_texts(first, columns.time)
        written = WrittenTimes.of(
            ",".join(columns.time), values, [each.cases for each in rows], seconds, unit=source.unit or "s"
        )
    return chosen_columns(first, choice), possible_columns(first, choice), written


def _asked(table: "EventLog", own: "EventLog", states: "StateVariables") -> "tuple[list[Suggestion], list[str]]":
    """What to ask of a log, or why nothing can be asked; lags are of all that is read, with events of neighbours."""
    from hf_trace.discovery.which_question import which_question
    from hf_trace.graphs.near_events import suggested_horizon
    from hf_trace.logs.diagnosis.choices import discovery_choices

    try:
        found = which_question(own)
    except HfTraceError as error:
        return [], [str(error)]
    horizon = suggested_horizon(own, positions=0)
    return discovery_choices(table, found.question, found.reason, horizon, states), []


def _typed(source: LogSource) -> tuple[list[str], list[str], list[str]]:
    """The options that say how a log is read: by all commands, by those that know places, by training alone."""
    columns = {
        "case-column": source.case, "event-column": source.event, "time-column": source.time, "query": source.query,
        "time-unit": None if source.unit == "s" else source.unit, "time-format": source.time_format,
    }  # fmt: skip
    places = {"topology": source.topology, "hops": None if source.hops == HOPS.default else source.hops}
    directed = ["--topology-directed"] if source.directed else []
    contexts = [word for name in source.contexts for word in ("--context-column", name)]
    return (
        _options(columns), [*_options(places), *directed], [*_options({"outcome-column": source.outcome}), *contexts]
    )  # fmt: skip


def _options(given: Mapping[str, object]) -> list[str]:
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def _measured(report: Report, table: "EventLog", source: LogSource, reading: float) -> None:
    """Add how long training and discovery will take; where they would be refused, why."""
    from hf_trace.logs.diagnosis.findings import Suggestion

    choices = [each for each in report.sections["suggestions"] if isinstance(each, Suggestion)]
    chosen = {each.option: each for each in choices}
    if "question" not in chosen:
        return
    say("Measuring on a sample; `--no-timing` leaves it out.")
    started = time.monotonic()
    quiet_transformers()
    from hf_trace.discovery.settings import DiscoveryRequest
    from hf_trace.training.log_training import TrainingSettings
    from hf_trace.training.time_estimates import estimate_times

    before = reading + time.monotonic() - started
    request = DiscoveryRequest(level="population").updated(question=chosen["question"].value)
    lag, patterns = chosen.get("max_lag"), tuple(each.value for each in choices if each.option == "variable")
    request = request.updated(variable=patterns, **({} if lag is None else {"max_lag": int(lag.value)}))
    settings = TrainingSettings(window_length=int(chosen["window_length"].value), outcome_column=source.outcome)
    if "min_count" in chosen:
        settings = replace(settings, min_count=int(chosen["min_count"].value))
    try:
        with noted():
            report.sections["time"] = [estimate_times(table, settings, request, before=before)]
    except HfTraceError as error:
        report.notes["time"] = [f"Training or discovery would be refused: {error}"]
