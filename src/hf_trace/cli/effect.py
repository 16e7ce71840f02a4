"""``hf-trace effect``: what would happen if, from a run trained on a table with a known graph or on an event log."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.inputs import known_contexts, quieten_host, read_events
from hf_trace.cli.launching import is_helping, work_alone
from hf_trace.cli.options import Case, Event, Json, Processes, Query, Seed, Time, TimeUnit
from hf_trace.errors import QueryError, SettingsError, preview

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.sequence import EventSequence

_COLUMNS = ("case_column", "event_column", "time_column", "query", "time_unit")


def what_if(
    run: str,
    log: str,
    columns: dict[str, Any],
    asked: dict[str, Any],
    tables: dict[str, Any],
    out: Path | None,
    json_output: bool,
) -> None:
    """Answer one question about one sequence of a log.

    Args:
        run: Run folder or Hub id, trained on an event log.
        log: The log.
        columns: How to read it.
        asked: ``id``, ``do``, ``target``, ``within``, ``num_samples`` and ``seed`` as given.
        tables: Options that make sense of a run trained on a table alone; none may be given.
        out: Where to write the answer, if anywhere.
        json_output: Whether to print JSON.
    """
    if given := [name for name, value in tables.items() if value]:
        raise QueryError(f"{given[0]} is for runs trained on a table, but a log is given. Leave out either.")
    do = _intervention(asked["do"])
    if asked["target"] is None:
        raise QueryError("Nothing is asked about. Expected an event: `--target EVENT`.")
    case, event, moment, query, unit = (columns[name] for name in _COLUMNS)
    table = read_events(log, case, event, moment, query, unit, contexts=known_contexts(run))
    sequence = chosen_sequence(table, asked["id"])
    quieten_host()
    from hf_trace.logs.writing import write_json_lines
    from hf_trace.pipelines.discovery_run import load_pipeline
    from hf_trace.runs.folders import recipe_of

    discover = load_pipeline(run)
    unknown = "map" if recipe_of(run).get("min_count", 1) > 1 else "error"
    with progress("simulating", None):
        answer = discover.what_if(
            sequence,
            do=do,
            unknown=unknown,
            **{name: asked[name] for name in ("target", "within", "num_samples", "seed")},
        )
    if out is not None:
        write_json_lines(out, [answer])
    if json_output:
        print_json(answer)
    else:
        _show_what_if(answer)


def chosen_sequence(table: "EventLog", name: str | None) -> "EventSequence":
    """The sequence with an id, or the only one.

    Raises:
        SettingsError: If there is no such sequence, or several and no id.
    """
    if name is None and len(table) > 1:
        raise SettingsError(f"The log has {len(table):,} sequences, expected one. Choose it: `--id {table.ids[0]}`.")
    if name is not None and name not in table.ids:
        raise SettingsError(f"No sequence has the id {name!r}. The log has {preview(table.ids)}.")
    return table[0 if name is None else table.ids.index(name)]


def _intervention(given: list[str] | None) -> dict[int, str]:
    if not given or len(given) > 1:
        found = "nothing" if not given else f"{len(given)} interventions"
        raise QueryError(
            f"--do says {found}, expected one: `--do POSITION=EVENT` or `--do POSITION=removed`, positions from 0."
        )
    position, equals, event = given[0].partition("=")
    if not equals or not event or not re.fullmatch(r"\d+", position.strip()):
        raise QueryError(f"--do is {given[0]!r}, expected POSITION=EVENT or POSITION=removed, positions from 0.")
    return {int(position): event}


def _show_what_if(answer: dict[str, Any]) -> None:
    """A table of the two probabilities and their difference."""
    cases = {f"{answer['observed']} (as observed)": "factual", answer["do"]: "intervened", "difference": "difference"}
    rows = [[name, answer[key]["value"], answer[key]["standard_error"]] for name, key in cases.items()]
    title = f"p({answer['target']} within {answer['within']} after position {answer['position']})"
    print_table(title, ["event there", "probability", "standard error"], rows)
    say(f"{answer['num_samples']:,} futures each.")
    if answer["covered"] < 0.99:
        warn(
            f"Only {answer['covered']:.0%} of the futures reach the end of the horizon: the probabilities are lower "
            "bounds. Shorten --within, or train with a longer window."
        )


def effect(
    run: Annotated[str, typer.Argument(help="Run folder or Hub id, trained with `hf-trace train TABLE --dag DAG`.")],
    log: Annotated[
        str | None, typer.Argument(help="For a run trained on an event log: the log with the sequence.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Variable, or event, that is asked about.")] = None,
    do: Annotated[
        list[str] | None,
        typer.Option(
            "--do",
            help='What is done: A=a; beginning of a sequence: "moves=N,N,..."; policy: A=\'{"a": 0.3, "b": 0.7}\'; '
            "in a LOG: POSITION=EVENT or POSITION=removed, positions from 0.",
        ),
    ] = None,
    given: Annotated[list[str] | None, typer.Option("--given", help="What is known: Z=z.")] = None,
    contrast: Annotated[
        str | None, typer.Option("--contrast", help="ate, att or cate: the difference to --versus instead.")
    ] = None,
    versus: Annotated[
        list[str] | None, typer.Option("--versus", help="What --do is compared with: A=b; the other value of two.")
    ] = None,
    estimator: Annotated[
        str, typer.Option("--estimator", help="plug-in, or aipw: doubly robust on the rows of --data.")
    ] = "plug-in",
    data: Annotated[Path | None, typer.Option("--data", help="The training table, for aipw.")] = None,
    target_value: Annotated[
        str | None, typer.Option("--target-value", help="Contrast the probability of this value of the target.")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option("--queries", help='Many questions: JSON Lines with {"target": Y, "do": {…}, "given": {…}}.'),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the answers as JSON Lines.")] = None,
    num_samples: Annotated[int, typer.Option("--num-samples", help="Draws where enumeration is too long.")] = 2000,
    only: Annotated[str | None, typer.Option("--id", help="With LOG: the sequence.")] = None,
    within: Annotated[
        str, typer.Option("--within", help="With LOG: how soon the target must follow: 20 (events), 300s, 20,300s.")
    ] = "16",
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    processes: Processes = 1,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Answer p(target | do, given), or how much an intervention changes it."""
    if queries is None:
        work_alone("One question is answered")
    if log is not None:
        columns = {"case_column": case_column, "event_column": event_column, "time_column": time_column}
        columns |= {"query": query, "time_unit": time_unit}
        asked = {"id": only, "do": do, "target": target, "within": within, "num_samples": num_samples, "seed": seed}
        tables = {"--given": given, "--contrast": contrast, "--versus": versus, "--data": data}
        tables |= {"--queries": queries, "--target-value": target_value}
        what_if(run, log, columns, asked, tables, out, json_output)
        return
    records = _records(target, do, given, contrast, versus, queries)
    quieten_host()
    from transformers import pipeline

    from hf_trace.effects.question_records import answered
    from hf_trace.logs.writing import write_json_lines
    from hf_trace.pipelines.effect_pipeline import TASK, CausalEffectPipeline
    from hf_trace.runs.processes import joined

    pipe = pipeline(TASK, model=run)
    if not isinstance(pipe, CausalEffectPipeline):
        raise QueryError(
            f"The run {run!r} is of events, which are asked about in a sequence, but no log was named. Write "
            f"`hf-trace effect {run} LOG --id SEQUENCE --do POSITION=EVENT --target EVENT`."
        )
    options = {"num_samples": num_samples, "seed": seed, "estimator": estimator, "data": data}
    options |= {"target_value": target_value, "on_refusal": "raise" if queries is None else "report"}
    with progress("answering", None):
        answers = answered(lambda some: pipe(some, **options), records, joined())
    if is_helping():
        return
    if out is not None:
        write_json_lines(out, answers)
        say(f"Wrote {len(answers):,} answers to {out}")
    if json_output:
        print_json(answers[0] if queries is None else answers)
        return
    for answer, record in list(zip(answers, records, strict=True))[:10]:
        _show(answer, record)


def _records(
    target: str | None,
    do: list[str] | None,
    given: list[str] | None,
    contrast: str | None,
    versus: list[str] | None,
    queries: Path | None,
) -> list[dict[str, Any]]:
    if queries is None:
        if target is None:
            raise QueryError("Nothing is asked. Expected `--target VARIABLE`, or a file with `--queries FILE`.")
        record: dict[str, Any] = {"target": target, "do": _pairs("--do", do), "given": _pairs("--given", given)}
        if contrast is not None:
            record |= {"contrast": contrast, "versus": _pairs("--versus", versus)}
        return [record]
    if target is not None or do or given or contrast:
        raise QueryError("Both a file of questions and one on the command line were given. Expected either.")
    found = []
    for number, line in enumerate(queries.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise QueryError(f"Line {number} of {str(queries)!r} is no JSON: {error.msg}.") from error
    return found


def _pairs(option: str, listed: list[str] | None) -> dict[str, Any]:
    """``["A=a"]`` as a mapping; a value that looks like JSON of several parts is read as such."""
    found: dict[str, Any] = {}
    for text in listed or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise QueryError(f"{option} is {text!r}, expected VARIABLE=VALUE.")
        if name in found:
            raise QueryError(f"{option} names {name!r} twice, expected each variable once.")
        found[name] = _value(option, value)
    return found


def _value(option: str, text: str) -> Any:
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a value may begin so: bins of numbers do


def _show(answer: dict[str, Any], record: dict[str, Any]) -> None:
    if "error" in answer:
        warn(answer["error"])
        return
    if "contrast" in answer:
        _show_contrast(answer)
    else:
        rows = [
            [value, probability, answer["standard_error"][value]]
            for value, probability in answer["distribution"].items()
        ]
        print_table(_spelled(answer["target"], record), ["value", "probability", "standard error"], rows)
        if "expectation" in answer:
            mean = answer["expectation"]
            say(f"mean {mean['mean']:.4g} ± {mean['standard_error']:.2g}")
        draws = f"{answer['num_samples']:,} draws, worth {answer['effective_sample_size']:,.0f}"
        say("enumerated, no Monte Carlo error" if answer["method"] == "enumeration" else draws)
        say(answer["identification"])
        for name, overlap in answer["overlap"].items():
            say(f"overlap of {name}: mean {overlap['mean']:.3g}, smallest {overlap['smallest']:.3g}")
    for warning in answer.get("warnings", []):
        warn(warning)


def _show_contrast(answer: dict[str, Any]) -> None:
    sure = answer if "low" in answer else answer.get("interval", {})
    rows: list[list[Any]] = [["effect", answer["value"]], ["standard error", answer["standard_error"]]]
    if "low" in sure:
        rows.append(["95 % interval", f"{sure['low']:.4g} to {sure['high']:.4g}"])
    rows += [[name, mean] for name, mean in answer["means"].items()]
    print_table(f"{answer['contrast']} on {answer['of']} ({answer['estimator']})", ["", "value"], rows)
    if "low" in answer and answer["estimator"] == "plug-in":
        say("The interval counts which rows were sampled, not the error of the model; `--estimator aipw` does both.")
    if "low" not in sure:
        say("The error is that of the draws alone; for one of the estimate train with `--folds 5`.")


def _spelled(target: str, record: dict[str, Any]) -> str:
    done = ", ".join(f"{name} = {value}" for name, value in (record.get("do") or {}).items())
    known = ", ".join(f"{name} = {value}" for name, value in (record.get("given") or {}).items())
    parts = ", ".join(filter(None, [f"do({done})" if done else "", known]))
    return f"p({target} | {parts})" if parts else f"p({target})"
