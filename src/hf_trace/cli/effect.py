"""``hf-trace effect``: what would happen if, from a run trained on a table with a known graph or on an event log."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace.cli.console import print_json, say
from hf_trace.cli.effects_of.asked_sequences import (
    answers_of_sequence,
    show_events,
    show_what_if,
    show_would_have_followed,
    would_have_followed,
)
from hf_trace.cli.effects_of.asked_tables import answers_of_table, asks_for_mean, is_table
from hf_trace.cli.effects_of.table_screens import show_answer
from hf_trace.cli.flags import (
    Case,
    Directed,
    Event,
    Hops,
    Json,
    Processes,
    Query,
    Seed,
    Time,
    TimeFormat,
    TimeUnit,
    Topology,
    Trust,
    flag,
    refuse_given,
)
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.cli.launching import is_helping, work_alone
from hf_trace.cli.outputs import check_output
from hf_trace.errors import QueryError
from hf_trace.options import FUTURES, HOPS, SEED, TOPOLOGY_DIRECTED, TRUST_REMOTE_CODE, WITHIN

if TYPE_CHECKING:
    from hf_trace.documents import Document

_MOST_SHOWN = 10
_OF_CONTRASTS = ("versus", "refute")
_OF_MEANS = ("estimator", "target_value")
_OF_ROWS = ("factual", "monotone", "selection")
_OF_TABLES = (
    *("given", "contrast", "queries", "bounds", "intervals", "population", "data", "plot", *_OF_ROWS, *_OF_CONTRASTS),
    *_OF_MEANS,
)
_OF_ONE = ("target", "do", "given", "contrast", "versus", "plot", *_OF_ROWS)
_OF_FUTURES = ("target", "within", "num_samples")
_OF_WHAT_IF = (*_OF_FUTURES, "do", "out", "would_have_come")
_OF_LOGS = (
    *("only", "list_events", "within", "would_have_come", "ahead", "case_column", "event_column", "time_column"),
    *("query", "time_unit", "time_format", "topology", "topology_directed", "hops"),
)


def _check_kind(run: str, log: str | None) -> None:
    """Refuse a log where the run is of a table, and no log where it is of events."""
    from hf_trace.runs.folders import local_run, run_kind

    kind = run_kind(local_run(run))
    if log is None and kind in ("log", "world"):
        raise QueryError(
            f"The run {run!r} is of events, which are asked about in a sequence, but no log was named. Write "
            f"`hf-trace effect {run} LOG --id SEQUENCE --do WHICH=EVENT --target EVENT`."
        )
    if log is not None and kind == "table":
        raise QueryError(f"The run {run!r} is of a table, which is asked about without a log. Leave {log!r} out.")


def effect(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Run folder or Hub id, trained on a table (`--dag`) or an event log.")],
    log: Annotated[
        str | None, typer.Argument(help="For a run trained on an event log: the log with the sequence.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Variable, or with LOG event, to ask about.")] = None,
    do: Annotated[
        list[str] | None,
        typer.Option(
            help='Intervention: A=a; start of a sequence: "moves=N,N,..."; policy: A=\'{"a": 0.3, "b": 0.7}\'; '
            "in a LOG: WHICH=EVENT, or WHICH to remove it: an event's name, T06#2 for its second, or a position from 0."
        ),
    ] = None,
    given: Annotated[list[str] | None, typer.Option(help="Evidence: Z=z.")] = None,
    factual: Annotated[
        list[str] | None,
        typer.Option(help="What was seen in a single row, Z=z: had --do been, what of --target there?"),
    ] = None,
    monotone: Annotated[
        bool,
        typer.Option("--monotone", help="With --factual, assume that noise moves everybody the same way: a number."),
    ] = False,
    selection: Annotated[
        str | None,
        typer.Option(help="Latent variable by which the rows of the table were chosen; answers for everybody."),
    ] = None,
    contrast: Annotated[str | None, typer.Option(help="Difference to --versus instead: ate, att or cate.")] = None,
    versus: Annotated[
        list[str] | None,
        typer.Option(help="What --do is compared with: A=b, or a policy; by default the other of two values."),
    ] = None,
    estimator: Annotated[
        str,
        typer.Option(
            help="plug-in, or doubly robust on the rows of --data: tmle, aipw; of contrasts and policies, aipw also of "
            "every dose."
        ),
    ] = "plug-in",
    population: Annotated[
        str,
        typer.Option(
            help="Whom tmle or aipw speak of: all, trimmed or overlap, where both values occur. Or a table of another "
            "population with its covariates."
        ),
    ] = "all",
    data: Annotated[
        Path | None, typer.Option(help="The training table: for tmle and aipw, or where the run only reads the target.")
    ] = None,
    target_value: Annotated[
        str | None, typer.Option(help="Value of the target whose probability is contrasted.")
    ] = None,
    refute: Annotated[
        bool, typer.Option("--refute", help="Put a contrast to all that could speak against it, on the rows of --data.")
    ] = False,
    intervals: Annotated[
        bool, typer.Option("--intervals/--no-intervals", help="Say how far training may be off: ask each fold's model.")
    ] = True,
    bounds: Annotated[
        bool, typer.Option("--bounds", help="Where observations do not tell the answer: between what it lies.")
    ] = False,
    queries: Annotated[
        Path | None, typer.Option(help='Many questions: JSON Lines with {"target": Y, "do": {…}, "given": {…}}.')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answers as JSON Lines.")] = None,
    plot: flags.Plot = None,
    num_samples: Annotated[int, flag(FUTURES)] = FUTURES.default,
    only: Annotated[list[str] | None, typer.Option("--id", help="With LOG: id of the sequence.")] = None,
    list_events: Annotated[
        bool, typer.Option("--list-events", help="With LOG: only show the events of the sequence and their positions.")
    ] = False,
    would_have_come: Annotated[
        bool,
        typer.Option(
            "--would-have-come", help="With LOG: of each event that did follow, whether it would have come without."
        ),
    ] = False,
    ahead: Annotated[int, typer.Option(help="With --would-have-come: how many events it asks of.")] = 20,
    within: Annotated[str, typer.Option(help=f"With LOG: {WITHIN.help}")] = WITHIN.default,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    topology: Topology = None,
    topology_directed: Directed = TOPOLOGY_DIRECTED.default,
    hops: Hops = HOPS.default,
    time_unit: TimeUnit = None,
    time_format: TimeFormat = None,
    trust_remote_code: Trust = TRUST_REMOTE_CODE.default,
    processes: Processes = 1,
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """What would happen if: p(target | do, given), or how much an intervention changes it.

    Two kinds of runs answer. One of a table (`train --dag`) is asked without LOG: how likely a value of `--target`
    is once `--do` has set variables, or with `--contrast` how much that changes. One of an event log is asked with LOG
    about one of its sequences, `--id`: how likely `--target` follows within `--within`, as observed and had the
    event that `--do` names been another or not been at all; `--list-events` shows what can be named, and
    `--would-have-come` asks of what did follow whether it would have come all the same.
    """
    check_output(out, (".jsonl", ".json"))
    check_output(plot, flags.FIGURES)
    records: list[Document] = []
    if queries is None:
        work_alone("One question is answered")
    quiet_transformers()
    if log is None:
        _check_asked_of_table(context)
        _check_kind(run, None)
        answers, records = answers_of_table(context.params, run)
    else:
        _check_asked_of_sequence(context)
        _check_kind(run, log)
        source = LogSource(log, case_column, event_column, time_column, query, time_unit, time_format=time_format)
        source = replace(source, topology=topology, directed=topology_directed, hops=hops)
        if list_events:
            return show_events(source, run, only, as_json=json_output)
        answers = (would_have_followed if would_have_come else answers_of_sequence)(context.params, source, run)
    if is_helping():
        return
    if out is not None:
        from hf_trace.logs.writing import write_json_lines

        write_json_lines(out, answers)
        say(f"Wrote {out}: {len(answers):,} answers.")
    if json_output:
        print_json(answers if queries is not None or would_have_come else answers[0])
    elif would_have_come:
        show_would_have_followed(answers)
    elif log is not None:
        show_what_if(answers[0])
    else:
        for answer, record in list(zip(answers, records, strict=True))[:_MOST_SHOWN]:
            show_answer(answer, record)


def _check_asked_of_table(context: typer.Context) -> None:
    """Refuse options that do not belong to a question about a table."""
    asked = context.params
    refuse_given(context, _OF_LOGS, "is for a sequence of a log, but no LOG is named. Leave out either.")
    if asked["queries"] is not None:
        refuse_given(context, _OF_ONE, "is for one question, but a file of questions is given. Leave out either.")
    elif asked["contrast"] is None:
        unasked = (() if asks_for_mean(asked["do"]) else _OF_MEANS) + (
            () if is_table(asked["population"]) else ("population",)
        )
        refuse_given(
            context, (*_OF_CONTRASTS, *unasked), "is for contrasts, but none is asked for. Add `--contrast ate`."
        )


def _check_asked_of_sequence(context: typer.Context) -> None:
    """Refuse options that do not belong to a question about a sequence."""
    refuse_given(context, _OF_TABLES, "is for runs trained on a table, but a log is given. Leave out either.")
    if context.params["list_events"]:
        refuse_given(context, _OF_WHAT_IF, "is a question, and `--list-events` only shows events. Leave it out.")
    elif context.params["would_have_come"]:
        reason = "is about futures, and `--would-have-come` asks of what did follow. Leave out either."
        refuse_given(context, _OF_FUTURES, reason)
    else:
        refuse_given(context, ("ahead",), "is for `--would-have-come`. Add it, or leave it out.")
