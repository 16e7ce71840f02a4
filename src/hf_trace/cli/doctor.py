"""``hf-trace doctor``: what a log is like, what to choose for it, and how long that will take."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace.cli.console import print_json, print_section, say
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.errors import HfTraceError
from hf_trace.options import HOPS, TOPOLOGY_DIRECTED

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.report.log_report import LogReport


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
    from hf_trace.report.log_report import noted

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
        _show(report)


def examined(source: LogSource, table: "EventLog") -> "LogReport":
    """All that needs no model, and what to type next.

    Args:
        source: How the log is described.
        table: The log as it was read.
    """
    from hf_trace.logs.columns import ColumnChoice
    from hf_trace.logs.diagnosis.choices import next_commands, shell_line
    from hf_trace.logs.sources import source_frames
    from hf_trace.report.log_report import log_report

    choice = ColumnChoice(
        source.case, source.event, source.time, time_unit=source.unit or "s", outcome=source.outcome,
        contexts=tuple(source.contexts), time_format=source.time_format,
    )  # fmt: skip
    report = log_report(table, choice, list(source_frames(source.log, query=source.query)))
    columns, places, beside = _typed(source)
    report.commands = next_commands(source.log, columns, places, beside, report.suggestions)
    query = None if source.query else report.rows_to_keep
    missing = _options({"case-column": report.possible_case, "query": query})
    if missing:
        again = ["hf-trace", "doctor", source.log, *missing, *columns, *places, *beside]
        report.commands.insert(0, shell_line(again))
    return report


def _show(report: "LogReport") -> None:
    from hf_trace.report.log_report import SECTIONS

    for name in SECTIONS:
        print_section(*report.section(name))
    print_section("What to type next", report.commands, fold=False)


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


def _measured(report: "LogReport", table: "EventLog", source: LogSource, reading: float) -> None:
    """Add how long training and discovery will take; where they would be refused, why."""
    choices = report.suggestions
    chosen = {each.option: each for each in choices}
    if "question" not in chosen:
        return
    say("Measuring on a sample; `--no-timing` leaves it out.")
    started = time.monotonic()
    quiet_transformers()
    from hf_trace.discovery.settings import DiscoveryRequest
    from hf_trace.report.log_report import noted
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
