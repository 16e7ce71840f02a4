"""``hf-trace effect``: what would happen if, from a run trained on a table with a known graph or on an event log."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import print_json, print_table, progress, say, warn
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
from hf_trace.documents import parse_json
from hf_trace.errors import QueryError, SettingsError, preview
from hf_trace.options import FUTURES, HOPS, SEED, TOPOLOGY_DIRECTED, TRUST_REMOTE_CODE, WITHIN

if TYPE_CHECKING:
    from hf_trace.documents import Document
    from hf_trace.effects.table_questions import EffectRequest
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.sequence import EventSequence
    from hf_trace.questions.what_if import WhatIfRequest

_MONTE_CARLO = "Monte Carlo error"
_OF_CONTRASTS = ("versus", "estimator", "data", "target_value")
_OF_TABLES = ("given", "contrast", "queries", *_OF_CONTRASTS)
_OF_ONE = ("target", "do", "given", "contrast", "versus")
_OF_LOGS = ("only", "within", "case_column", "event_column", "time_column", "query", "time_unit", "time_format",
            "topology", "topology_directed", "hops")  # fmt: skip


def _check_kind(run: str, log: str | None) -> None:
    """Refuse a log where the run is of a table, and no log where it is of events."""
    from hf_trace.runs.folders import local_run, run_kind

    kind = run_kind(local_run(run))
    if log is None and kind in ("log", "world"):
        raise QueryError(
            f"The run {run!r} is of events, which are asked about in a sequence, but no log was named. Write "
            f"`hf-trace effect {run} LOG --id SEQUENCE --do POSITION=EVENT --target EVENT`."
        )
    if log is not None and kind == "table":
        raise QueryError(f"The run {run!r} is of a table, which is asked about without a log. Leave {log!r} out.")


def _answer_in_log(
    run: str, source: LogSource, name: str | None, request: "WhatIfRequest", *, trust: bool
) -> "Document":
    """The answer to one question about one sequence of a log: that of a name, or the only one."""
    from hf_trace.questions.what_if import answer_what_if
    from hf_trace.runs.event_model import EventModel

    sequence = _chosen_sequence(source.as_trained(run).read(), name)
    model = EventModel.load(run, trust_remote_code=trust)
    with progress("simulating", None):
        return answer_what_if(model, sequence, request)


def _answers_of_table(
    run: str, records: "list[Document]", request: "EffectRequest", *, trust: bool
) -> "list[Document]":
    """The answers to all questions about a table, in every process."""
    from hf_trace.effects.question_records import answered
    from hf_trace.effects.table_model import TableModel
    from hf_trace.effects.table_questions import answer_questions
    from hf_trace.runs.processes import joined

    request.check_rows()
    model = TableModel.load(run, trust_remote_code=trust)
    if request.data is not None and request.estimator == "plug-in" and not model.only_read:
        raise SettingsError("`--data` is not read by the plug-in estimator. Add `--estimator aipw`, or leave it out.")
    with progress("answering", None):
        return answered(lambda some: answer_questions(model, some, request), records, joined())


def _chosen_sequence(table: "EventLog", name: str | None) -> "EventSequence":
    """The sequence with an id, or the only one."""
    if name is None and len(table) > 1:
        raise SettingsError(f"The log has {len(table):,} sequences, expected one. Choose it: `--id {table.ids[0]}`.")
    if name is not None and name not in table.ids:
        raise SettingsError(f"No sequence has the id {name!r}. The log has {preview(table.ids)}.")
    return table[0 if name is None else table.ids.index(name)]


def _intervention(given: list[str] | None) -> dict[int, str]:
    if not given or len(given) > 1:
        found = "nothing" if not given else f"{len(given)} interventions"
        raise QueryError(
            f"`--do` names {found}, expected one: `--do POSITION=EVENT` or `--do POSITION=removed`, positions from 0."
        )
    position, equals, event = given[0].partition("=")
    if not equals or not event or not re.fullmatch(r"\d+", position.strip()):
        raise QueryError(f"`--do` is {given[0]!r}, expected POSITION=EVENT or POSITION=removed, positions from 0.")
    return {int(position): event}


def _named(target: str | None) -> str:
    if target is None:
        raise QueryError("Nothing is asked about. Expected an event: `--target EVENT`.")
    return target


def _show_what_if(answer: "Document") -> None:
    """A table of the two probabilities and their difference."""
    cases = {f"{answer['observed']} (as observed)": "factual", answer["do"]: "intervened", "difference": "difference"}
    rows = [[name, answer[key]["value"], _error(answer[key]["standard_error"])] for name, key in cases.items()]
    title = f"p({answer['target']} within {answer['within']} after position {answer['position']})"
    print_table(title, ["event there", "probability", _MONTE_CARLO], rows)
    say(f"{answer['num_samples']:,} futures each; the error is that of these draws, not that of the fitted model.")
    if answer["covered"] < 0.99:
        warn(
            f"Only {answer['covered']:.0%} of the futures reach the end of the horizon: the probabilities are lower "
            "bounds. Shorten --within, or train with a longer window."
        )


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
            "in a LOG: POSITION=EVENT or POSITION=removed, positions from 0."
        ),
    ] = None,
    given: Annotated[list[str] | None, typer.Option(help="Evidence: Z=z.")] = None,
    contrast: Annotated[str | None, typer.Option(help="Difference to --versus instead: ate, att or cate.")] = None,
    versus: Annotated[
        list[str] | None, typer.Option(help="What --do is compared with: A=b; by default the other of two values.")
    ] = None,
    estimator: Annotated[str, typer.Option(help="plug-in, or aipw: doubly robust on the rows of --data.")] = "plug-in",
    data: Annotated[
        Path | None, typer.Option(help="The training table: for aipw, or where the run only reads the target.")
    ] = None,
    target_value: Annotated[
        str | None, typer.Option(help="Value of the target whose probability is contrasted.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help='Many questions: JSON Lines with {"target": Y, "do": {…}, "given": {…}}.')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answers as JSON Lines.")] = None,
    num_samples: Annotated[int, flag(FUTURES)] = FUTURES.default,
    only: Annotated[str | None, typer.Option("--id", help="With LOG: id of the sequence.")] = None,
    within: Annotated[str, typer.Option(help=f"With LOG: {WITHIN.help}")] = WITHIN.default,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    topology: Topology = None,
    topology_directed: Directed = TOPOLOGY_DIRECTED.default,
    hops: Hops = HOPS.default,
    time_unit: TimeUnit = "s",
    time_format: TimeFormat = None,
    trust_remote_code: Trust = TRUST_REMOTE_CODE.default,
    processes: Processes = 1,
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Answer p(target | do, given), or how much an intervention changes it."""
    check_output(out, (".jsonl", ".json"))
    if queries is None:
        work_alone("One question is answered")
    quiet_transformers()
    if log is not None:
        refuse_given(context, _OF_TABLES, "is for runs trained on a table, but a log is given. Leave out either.")
        _check_kind(run, log)
        from hf_trace.questions.what_if import WhatIfRequest

        what_if = WhatIfRequest(_intervention(do), _named(target), within, num_samples, seed=seed)
        source = LogSource(log, case_column, event_column, time_column, query, time_unit, time_format=time_format)
        source = replace(source, topology=topology, directed=topology_directed, hops=hops)
        answers = [_answer_in_log(run, source, only, what_if, trust=trust_remote_code)]
    else:
        refuse_given(context, _OF_LOGS, "is for a sequence of a log, but no LOG is named. Leave out either.")
        if queries is not None:
            refuse_given(context, _OF_ONE, "is for one question, but a file of questions is given. Leave out either.")
        elif contrast is None:
            refuse_given(context, _OF_CONTRASTS, "is for contrasts, but none is asked for. Add `--contrast ate`.")
        _check_kind(run, log)
        from hf_trace.effects.question_records import read_questions
        from hf_trace.effects.table_questions import EffectRequest

        records = read_questions(queries) if queries else _records(target, do, given, contrast, versus)
        request = EffectRequest(num_samples, seed=seed, estimator=estimator, data=data, target_value=target_value)
        request = replace(request, on_refusal="report" if queries else "raise")
        answers = _answers_of_table(run, records, request, trust=trust_remote_code)
    if is_helping():
        return
    if out is not None:
        from hf_trace.logs.writing import write_json_lines

        write_json_lines(out, answers)
        say(f"Wrote {len(answers):,} answers to {out}")
    if json_output:
        print_json(answers if queries is not None else answers[0])
    elif log is not None:
        _show_what_if(answers[0])
    else:
        for answer, record in list(zip(answers, records, strict=True))[:10]:
            _show(answer, record)


def _records(
    target: str | None, do: list[str] | None, given: list[str] | None, contrast: str | None, versus: list[str] | None
) -> "list[Document]":
    """The question on the command line."""
    if target is None:
        raise QueryError("Nothing is asked. Expected `--target VARIABLE`, or a file with `--queries FILE`.")
    record: Document = {"target": target, "do": _pairs("--do", do), "given": _pairs("--given", given)}
    if contrast is not None:
        record |= {"contrast": contrast, "versus": _pairs("--versus", versus)}
    return [record]


def _pairs(option: str, listed: list[str] | None) -> "Document":
    """``["A=a"]`` as a mapping; a value that looks like JSON of several parts is read as such."""
    found: Document = {}
    for text in listed or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise QueryError(f"{option} is {text!r}, expected VARIABLE=VALUE.")
        if name in found:
            raise QueryError(f"{option} names {name!r} twice, expected each variable once.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    with suppress(ValueError):  # bins of numbers begin so too
        if text.startswith(("{", "[")):
            return parse_json(text)
    return text


def _show(answer: "Document", record: "Document") -> None:
    if "error" in answer:
        warn(answer["error"])
        return
    if "contrast" in answer:
        _show_contrast(answer)
    else:
        _show_distribution(answer, record)
        say(answer["identification"])
        for name, overlap in answer["overlap"].items():
            say(f"overlap of {name}: mean {overlap['mean']:.3g}, smallest {overlap['smallest']:.3g}")
    for warning in answer.get("warnings", []):
        warn(warning)


def _show_distribution(answer: "Document", record: "Document") -> None:
    """Probabilities of all values; an error stands beside them only where one was made that is known."""
    errors, is_sampled = answer["standard_error"], answer["method"] == "sampling"
    rows = [
        [value, share, _error(errors[value]) if is_sampled else "none"]
        for value, share in answer["distribution"].items()
    ]
    print_table(_spelled(answer["target"], record), ["value", "probability", _MONTE_CARLO], rows)
    if "expectation" in answer:
        mean = answer["expectation"]
        drawn = f" ± {mean['standard_error']:.2g} (of the draws)" if is_sampled else ""
        off = mean.get("binning_error")
        read = (
            f"; reading numbers in bins makes it some {abs(off):.2g} too {'high' if off > 0 else 'low'}" if off else ""
        )
        say(f"mean {mean['mean']:.4g}{drawn}{read}")
    draws = f"{answer['num_samples']:,} draws, worth {answer['effective_sample_size']:,.0f}"
    how = draws if is_sampled else "enumerated, no Monte Carlo error"
    say(f"{how}; how far the fitted model is off is not known here")


def _show_contrast(answer: "Document") -> None:
    sure = answer if "low" in answer else answer.get("interval", {})
    rows = [["effect", answer["value"]]]
    if "low" in sure:
        rows += [["standard error", sure["standard_error"]]]
        rows += [["95 % interval", f"{sure['low']:.4g} to {sure['high']:.4g}"]]
    if "low" not in answer:
        is_sampled = answer["treated"]["method"] == "sampling"
        rows.append([_MONTE_CARLO, _error(answer["standard_error"]) if is_sampled else "none, enumerated"])
    if answer.get("binning_error") is not None:
        rows.append(["error of binning", f"{answer['binning_error']:+.3f}"])
    rows += [[name, mean] for name, mean in answer["means"].items()]
    print_table(f"{answer['contrast']} on {answer['of']} ({answer['estimator']})", ["", "value"], rows)
    for note in _notes_on_errors(answer, sure):
        say(note)


def _notes_on_errors(answer: "Document", sure: "Document") -> list[str]:
    """Which errors the numbers are of, and which they leave out."""
    notes = []
    if "low" in answer and answer["estimator"] == "plug-in":
        notes.append(
            "The interval counts which rows were sampled, not the error of the model; `--estimator aipw` does both."
        )
    if "low" not in sure:
        notes.append(
            "How far the fitted model is off is not known: train with `--folds 5` for an interval, or use `--estimator "
            "aipw` with `--data`."
        )
    if answer.get("binning_error"):
        counted = "the interval reaches that far" if "low" in sure else "the effect is not corrected for it"
        notes.append(
            f"Reading numbers in bins makes the effect some {abs(answer['binning_error']):.3g} too "
            f"{'high' if answer['binning_error'] > 0 else 'low'}: {counted}; `--estimator aipw` with `--data` uses the "
            "numbers themselves."
        )
    if answer["estimator"] == "aipw":
        notes.append("The means are those of the model; the effect is corrected with the rows.")
    return notes


def _error(value: float) -> float | str:
    """A Monte Carlo error; one too small to be shown is not shown as none."""
    return "< 0.001" if 0 <= value < 0.0005 else value


def _spelled(target: str, record: "Document") -> str:
    done = ", ".join(f"{name} = {value}" for name, value in (record.get("do") or {}).items())
    known = ", ".join(f"{name} = {value}" for name, value in (record.get("given") or {}).items())
    parts = ", ".join(filter(None, [f"do({done})" if done else "", known]))
    return f"p({target} | {parts})" if parts else f"p({target})"
