"""What a log is like before anything is learned from it, section by section: findings, and what to choose."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hf_trace.discovery.which_question import which_question
from hf_trace.documents import Document
from hf_trace.errors import HfTraceError
from hf_trace.graphs.log_power import LogPower
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.logs.columns import ColumnChoice, time_texts
from hf_trace.logs.contexts import is_derived
from hf_trace.logs.diagnosis.choices import StateVariables, discovery_choices, training_choices
from hf_trace.logs.diagnosis.findings import Finding, Suggestion
from hf_trace.logs.diagnosis.measurements import Measurements
from hf_trace.logs.diagnosis.repeats import Chatter, Duplicates, Floods, Periodic
from hf_trace.logs.diagnosis.source_columns import (
    ChosenColumn,
    PossibleColumn,
    chosen_columns,
    possible_columns,
    read_columns,
)
from hf_trace.logs.diagnosis.time_figures import TimeFigures, WrittenTimes
from hf_trace.logs.event_rows import table_rows
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events

_MOST_WINDOW = 128  # as `training.log_training` has it, which takes seconds to import
_OF_DISCOVERY = ("question", "threshold", "max_lag", "horizon", "variable")
SECTIONS = {
    "columns": "Columns",
    "possible_columns": "Columns that could help",
    "times": "Times",
    "repeats": "What repeats itself",
    "states": "Values of one variable",
    "size": "Is it enough?",
    "suggestions": "What to choose",
    "time": "How long it will take",
}
Frames = Sequence[tuple[str, pd.DataFrame]]


@dataclass
class LogReport:
    """What is found, section by section, and what stands beside it.

    Attributes:
        sections: Findings of each section of ``SECTIONS``.
        notes: Sentences of each section that are no finding, such as warnings of the reader.
        commands: What to type next.
    """

    sections: dict[str, list[Finding]]
    notes: dict[str, list[str]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    @property
    def suggestions(self) -> list[Suggestion]:
        """What to choose."""
        return [each for each in self.sections["suggestions"] if isinstance(each, Suggestion)]

    @property
    def verdict(self) -> str:
        """Whether the log is enough, in words."""
        return self.section("size")[1][0].partition(". ")[0]

    @property
    def possible_case(self) -> str | None:
        """A column that may be the case, of a log that is read without one."""
        possible = self.sections["possible_columns"]
        return next((each.column for each in possible if isinstance(each, PossibleColumn) and each.use == "case"), None)

    def choose(self, asked: Mapping[str, Any]) -> list[Suggestion]:
        """What is suggested, with what a user asked for in its place; the report then says the same.

        Args:
            asked: Values by the names of options of ``train`` and ``discover``.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> report = log_report(EventLog.from_sequences([EventSequence(("a", "b"))]))
            >>> [each.value for each in report.choose({"max_lag": 3}) if each.option == "max_lag"]
            ['3']
        """
        suggested = self.suggestions
        question = next((each.value for each in suggested if each.option == "question"), "drives")
        kept = [each for each in suggested if each.option not in asked]
        if asked.get("question", question) != question:  # a threshold is suggested for the question that is
            kept = [each for each in kept if each.option != "threshold"]
        for name, value in asked.items():
            command = "discover" if name in _OF_DISCOVERY else "train"
            values = value if isinstance(value, list | tuple) else [value]
            kept += [Suggestion(command, name, str(each), "as you asked") for each in values]
        self.sections["suggestions"] = [*kept]
        return kept

    @property
    def rows_to_keep(self) -> str | None:
        """A query that leaves measurements out, of a log that has some beside its events."""
        found = self.sections["columns"]
        return next((each.query for each in found if isinstance(each, Measurements) and each.query), None)

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
        return SECTIONS[name], [*lines, *self.notes.get(name, ())]


def log_report(log: EventLog, choice: ColumnChoice | None = None, frames: Frames = ()) -> LogReport:
    """All that can be said of a log without a model.

    Args:
        log: As it was read.
        choice: Which columns were asked for.
        frames: The tables it was read from, as ``source_frames`` yields them; none for plain text.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> report = log_report(EventLog.from_sequences([EventSequence(("a", "b"))]))
        >>> report.verdict
        'Too little: what is found can hardly be told from chance'
    """
    own = own_events(log)
    chosen, possible, measured, written = _of_tables(choice or ColumnChoice(), frames)
    times, states = TimeFigures.of(own), StateVariables.of(own.event_types)
    asked, why_not = _asked(log, own, states)
    sections: dict[str, list[Finding]] = {
        "columns": [*chosen, measured],
        "possible_columns": [*possible],
        "times": [each for each in (written, times) if each is not None],
        "repeats": [kind.of(own) for kind in (Duplicates, Chatter, Floods, Periodic)],
        "states": [states],
        "size": [LogPower.of(own)],
        "suggestions": [*training_choices(log, _MOST_WINDOW), *asked],
    }
    report = LogReport(sections, {"suggestions": why_not})
    if report.possible_case is not None:  # all else is said of a log that is cut otherwise
        report.notes["possible_columns"] = ["What follows is said of the log as it is read now, without a case."]
    return report


def _of_tables(
    choice: ColumnChoice, frames: Frames
) -> tuple[list[ChosenColumn], list[PossibleColumn], Measurements, WrittenTimes | None]:
    """What stands in the tables of a log: columns by the first of them, the order of rows in all."""
    choice = replace(choice, contexts=tuple(name for name in choice.contexts if not is_derived(name)))
    named = [(name, frame.rename(columns=str)) for name, frame in frames]
    if not named:  # plain text
        return [], [], Measurements(), None
    first = named[0][1]
    columns, written = read_columns(first, choice), None
    if columns is not None and columns.time:
        alone, reader = replace(choice, outcome=None, contexts=()), choice.times()
        rows = [table_rows(frame, alone, sequence_id=name, reader=reader) for name, frame in named]
        seconds = [np.zeros(0) if each.seconds is None else each.seconds for each in rows]
        values = time_texts(first, columns.time)
        written = WrittenTimes.of(
            ",".join(columns.time), values, [each.cases for each in rows], seconds, unit=choice.time_unit
        )
    measured = Measurements.of([frame for _, frame in named], choice)
    possible = possible_columns(first, choice)
    if len(named) > 1:  # each file is a sequence already
        possible = [each for each in possible if each.use != "case"]
    return chosen_columns(first, choice), possible, measured, written


def _asked(log: EventLog, own: EventLog, states: StateVariables) -> tuple[list[Suggestion], list[str]]:
    """What to ask of a log, or why nothing can be asked; lags are of all that is read, with events of neighbours."""
    try:
        found = which_question(own)
    except HfTraceError as error:
        return [], [str(error)]
    horizon = suggested_horizon(own, positions=0)
    return discovery_choices(log, found.question, found.reason, horizon, states), []


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
