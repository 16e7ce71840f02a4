"""``hf-trace explain``: from a log to its findings, one command: look, train, ask, count beside, report."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace import options
from hf_trace.cli.console import print_json, print_section, progress, say, warn
from hf_trace.cli.doctor import examined
from hf_trace.cli.inputs import LogSource, quiet_transformers

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.report.log_report import LogReport

# Options of training and of asking that a user may type in place of what is suggested.
_TRAINING = ("window_length", "min_count", "preset", "epochs")
_ASKING = ("question", "threshold", "max_lag", "variable", "horizon")


def explain(
    context: typer.Context,
    log: flags.Log,
    out: Annotated[
        Path | None, typer.Option(help="Folder for all that is made; without it one in runs/, named after the log.")
    ] = None,
    case_column: flags.Case = None,
    event_column: flags.Event = None,
    time_column: flags.Time = None,
    query: flags.Query = None,
    time_unit: flags.TimeUnit = None,
    time_format: flags.TimeFormat = None,
    outcome_column: flags.Outcome = None,
    context_column: flags.Contexts = None,
    topology: flags.Topology = None,
    topology_directed: flags.Directed = options.TOPOLOGY_DIRECTED.default,
    hops: flags.Hops = options.HOPS.default,
    question: Annotated[str | None, flags.flag(options.QUESTION)] = None,
    max_lag: flags.MaxLag = options.MAX_LAG.default or 0,
    horizon: Annotated[str, flags.flag(options.HORIZON)] = options.HORIZON.default,
    threshold: flags.Threshold = options.THRESHOLD.default,
    variable: Annotated[list[str] | None, typer.Option(help="What is one cause and one effect: 'pump=*'.")] = None,
    window_length: flags.Length = None,
    min_count: Annotated[int, typer.Option(help="Treat event types seen fewer times than this as unknown.")] = 1,
    preset: Annotated[str | None, typer.Option(help="Size of the model: nano, tiny, small or base.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Maximum number of passes over the data.")] = None,
    quick: flags.Quick = None,
    state_run: Annotated[
        str | None, typer.Option(help="Run of `train --states`: the page ranks the states that led to incidents.")
    ] = None,
    overwrite: flags.Overwrite = False,
    seed: flags.Seed = options.SEED.default,
    json_output: flags.Json = False,
) -> None:
    """From a log to its findings in one command: look at it, train, ask, count beside, and report.

    Writes `report.html`, `graph.json`, `findings.md` and the run into one folder. Every choice is printed with its
    reason and the option that changes it. The same command goes on where it was stopped.
    """
    source = LogSource(
        log, case_column, event_column, time_column, query, time_unit, outcome_column, context_column or (),
        time_format, topology, topology_directed, hops,
    )  # fmt: skip
    started = time.monotonic()
    typed = {name: context.params[name] for name in (*_TRAINING, *_ASKING) if flags.is_typed(context, name)}
    if options.QUESTION.checked(typed.get("question")) == options.AUTO:
        del typed["question"]
    source, table, report = _looked_at(source)
    chosen = report.choose(typed)
    for title, lines in (report.section("size"), report.section("suggestions")):
        print_section(title, lines)
    quiet_transformers()
    from hf_trace.logs.diagnosis.choices import log_name, shell_line
    from hf_trace.pipelines.explanation import PAGE, TEXT, ExplanationSettings, explain_log
    from hf_trace.pipelines.log_questions import LogInWords

    folder = out or Path("runs") / log_name(log)
    about = LogInWords(
        name=Path(log).name,
        verdict=report.verdict,
        chosen=chosen,
        advice=report.section("possible_columns")[1],
        command=shell_line(["hf-trace", *sys.argv[1:]]),
    )
    settings = ExplanationSettings.of(
        chosen,
        seed=seed,
        outcome_column=source.outcome,
        context_columns=tuple(source.contexts),
        reading=source.typed(),
        quick=quick,
    )
    settings = replace(settings, states=state_run)
    findings = explain_log(table, folder, settings, about, overwrite=overwrite, doing=progress, say=say)
    say(f"Done in {time.monotonic() - started:.0f} s. Read {folder / TEXT}, or open {folder / PAGE} in a browser.")
    if json_output:
        print_json({"folder": str(folder), **findings.to_dict()})
    else:
        print_section(findings.title, findings.summary)


def _looked_at(source: LogSource) -> "tuple[LogSource, EventLog, LogReport]":
    """The log and what the doctor says of it, without measurements where no rows were chosen."""
    from hf_trace.report.log_report import noted

    with noted() as notes:
        table = source.read()
    for note in dict.fromkeys(notes):
        warn(note)
    report = examined(source, table)
    if report.rows_to_keep is None or source.query is not None:
        return source, table, report
    print_section(*report.section("columns"))
    say("They are left out here; a `--query` of your own keeps what you choose.")
    return _looked_at(replace(source, query=report.rows_to_keep))
