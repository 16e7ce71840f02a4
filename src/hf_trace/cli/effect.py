"""``hf-trace effect``: what would happen if, from a run trained on a table with a known graph or on an event log."""

from collections.abc import Sequence
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
from hf_trace.errors import QueryError, SettingsError
from hf_trace.options import FUTURES, HOPS, SEED, TOPOLOGY_DIRECTED, TRUST_REMOTE_CODE, WITHIN

if TYPE_CHECKING:
    from hf_trace.documents import Document
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.sequence import EventSequence

_MONTE_CARLO = "Monte Carlo error"
_CONTRADICTION = 0.02
_MOST_ARROWS = 5
_OF_CONTRASTS = ("versus", "estimator", "target_value", "refute")
_SETTINGS = ("seed", "estimator", "data", "target_value", "bounds", "refute", "intervals")
_OF_ROWS = ("factual", "monotone", "selection")
_OF_TABLES = ("given", "contrast", "queries", "bounds", "intervals", "population", "data", *_OF_ROWS, *_OF_CONTRASTS)
_OF_ONE = ("target", "do", "given", "contrast", "versus", *_OF_ROWS)
_OF_WHAT_IF = ("target", "do", "within", "num_samples", "out")
_OF_LOGS = (
    *("only", "list_events", "within", "case_column", "event_column", "time_column", "query", "time_unit"),
    *("time_format", "topology", "topology_directed", "hops"),
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


def _answer_in_log(context: typer.Context, source: LogSource, run: str) -> "list[Document]":
    """The answer to one question about one sequence of a log."""
    from hf_trace.questions.named_events import intervention, placed
    from hf_trace.questions.what_if import WhatIfRequest, answer_what_if
    from hf_trace.runs.event_model import EventModel

    asked = context.params
    do = intervention(asked["do"])
    if asked["target"] is None:
        raise QueryError("Nothing is asked about. Expected an event: `--target EVENT`.")
    request = WhatIfRequest({}, asked["target"], asked["within"], asked["num_samples"], seed=asked["seed"])
    table = source.as_trained(run).read()
    sequence = _chosen_sequence(table, asked["only"])
    request = replace(request, do=placed(do, sequence, table.event_types))
    model = EventModel.load(run, trust_remote_code=asked["trust_remote_code"])
    with progress("simulating", None):
        return [answer_what_if(model, sequence, request)]


def _answers_of_table(context: typer.Context, run: str) -> "tuple[list[Document], list[Document]]":
    """The answers to all questions about a table, in every process, and the questions."""
    asked = context.params
    refuse_given(context, _OF_LOGS, "is for a sequence of a log, but no LOG is named. Leave out either.")
    if asked["queries"] is not None:
        refuse_given(context, _OF_ONE, "is for one question, but a file of questions is given. Leave out either.")
    elif asked["contrast"] is None:
        named = () if _is_table(asked["population"]) else ("population",)
        refuse_given(
            context, (*_OF_CONTRASTS, *named), "is for contrasts, but none is asked for. Add `--contrast ate`."
        )
    _check_kind(run, None)
    from hf_trace.effects.question_records import answered, read_questions
    from hf_trace.effects.table_model import TableModel
    from hf_trace.effects.table_questions import EffectRequest, answer_questions
    from hf_trace.runs.processes import joined

    records = read_questions(asked["queries"]) if asked["queries"] else _records(asked)
    settings = {name: asked[name] for name in _SETTINGS}
    settings["elsewhere" if _is_table(asked["population"]) else "population"] = asked["population"]
    on_refusal = "report" if asked["queries"] else "raise"
    request = EffectRequest(asked["num_samples"], on_refusal=on_refusal, **settings)
    request.check_rows()
    model = TableModel.load(run, trust_remote_code=asked["trust_remote_code"])
    reads_rows = request.estimator != "plug-in" or request.refute or model.only_read or model.schema.latent
    if request.data is not None and not reads_rows:
        raise SettingsError(
            "`--data` is not read by the plug-in estimator where no variable is latent. Add `--estimator aipw` or "
            "`--refute` to a contrast, or leave it out."
        )
    if len(records) > 1 and request.intervals and model.members:
        say(f"Each question is put to {1 + len(model.members)} models, for intervals; `--no-intervals` asks one.")
    done: list[Document] = []
    processes = joined()
    with progress("answering", len(records)) as advance:

        def answer(some: "list[Document]") -> "list[Document]":
            found = answer_questions(model, some, request)
            done.extend(found)
            advance(len(done) * processes.count)  # each does its share
            return found

        return answered(answer, records, processes), records


def _is_table(population: str) -> bool:
    """Whether a population is another one, of which a table is named."""
    from hf_trace.effects.targeted import POPULATIONS

    return population not in POPULATIONS and bool(Path(population).suffix)


def _chosen_sequence(table: "EventLog", names: Sequence[str] | None) -> "EventSequence":
    """The sequence with an id, or the only one."""
    from hf_trace.logs.windows import sequences_of

    found = sequences_of(table, names) if names else table
    if len(found) > 1:
        chosen = f"`--id` names {len(found)}" if names else f"The log has {len(found):,}"
        raise SettingsError(f"{chosen} sequences, expected one. Choose it: `--id {found.ids[0]}`.")
    return found[0]


def _list_events(sequence: "EventSequence", *, as_json: bool) -> None:
    """Where the events of a sequence stand, and how ``--do`` calls them."""
    from hf_trace.questions.named_events import listed_events

    rows = listed_events(sequence)
    if as_json:
        print_json(rows)
        return
    has_times = sequence.timestamps is not None
    print_table(
        f"events of the sequence {sequence.id or ''}",
        ["position", "event", *(["after (seconds)"] if has_times else [])],
        [[row["position"], row["name"], *([row["after"]] if has_times else [])] for row in rows],
    )


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
        list[str] | None, typer.Option(help="What --do is compared with: A=b; by default the other of two values.")
    ] = None,
    estimator: Annotated[
        str, typer.Option(help="plug-in, or doubly robust on the rows of --data: tmle, aipw.")
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
    num_samples: Annotated[int, flag(FUTURES)] = FUTURES.default,
    only: Annotated[list[str] | None, typer.Option("--id", help="With LOG: id of the sequence.")] = None,
    list_events: Annotated[
        bool, typer.Option("--list-events", help="With LOG: only show the events of the sequence and their positions.")
    ] = False,
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
    event that `--do` names been another or not been at all; `--list-events` shows what can be named.
    """
    check_output(out, (".jsonl", ".json"))
    records: list[Document] = []
    if queries is None:
        work_alone("One question is answered")
    quiet_transformers()
    if log is not None:
        refuse_given(context, _OF_TABLES, "is for runs trained on a table, but a log is given. Leave out either.")
        _check_kind(run, log)
        source = LogSource(log, case_column, event_column, time_column, query, time_unit, time_format=time_format)
        source = replace(source, topology=topology, directed=topology_directed, hops=hops)
        if list_events:
            refuse_given(context, _OF_WHAT_IF, "is a question, and `--list-events` only shows events. Leave it out.")
            return _list_events(_chosen_sequence(source.as_trained(run).read(), only), as_json=json_output)
        answers = _answer_in_log(context, source, run)
    else:
        answers, records = _answers_of_table(context, run)
    if is_helping():
        return
    if out is not None:
        from hf_trace.logs.writing import write_json_lines

        write_json_lines(out, answers)
        say(f"Wrote {out}: {len(answers):,} answers.")
    if json_output:
        print_json(answers if queries is not None else answers[0])
    elif log is not None:
        _show_what_if(answers[0])
    else:
        for answer, record in list(zip(answers, records, strict=True))[:10]:
            _show(answer, record)


def _records(asked: "Document") -> "list[Document]":
    """The question on the command line."""
    if asked["target"] is None:
        raise QueryError("Nothing is asked. Expected `--target VARIABLE`, or a file with `--queries FILE`.")
    record = {"target": asked["target"], "do": _pairs("--do", asked["do"]), "given": _pairs("--given", asked["given"])}
    if asked["contrast"] is not None:
        record |= {"contrast": asked["contrast"], "versus": _pairs("--versus", asked["versus"])}
    more = {name: asked[name] for name in ("monotone", "selection")}
    more["factual"] = _pairs("--factual", asked["factual"])
    return [record | {name: value for name, value in more.items() if value}]


def _pairs(option: str, listed: Sequence[str] | None) -> "Document":
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
    if "counterfactual" in answer:
        _show_counterfactual(answer, record)
    elif "bounds" in answer:
        _show_bounds(answer, record)
    elif "response" in answer:
        keys = ("value", "mean", "low", "high", "propensity")
        rows = [["" if each[key] is None else each[key] for key in keys] for each in answer["response"]]
        columns = [answer["treatment"], answer["of"], "at least", "at most", "propensity"]
        print_table("every dose, with 95 % intervals", columns, rows)
    elif "contrast" in answer:
        _show_contrast(answer)
        _show_refutation(answer.get("refutation"))
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
    sure = answer.get("interval", {})
    rows = [
        [value, share, *([_spanned(*sure[value])] if sure else []), _error(errors[value]) if is_sampled else "none"]
        for value, share in answer["distribution"].items()
    ]
    columns = ["value", "probability", *(["95 % interval"] if sure else []), _MONTE_CARLO]
    print_table(_spelled(answer["target"], record), columns, rows)
    if "expectation" in answer:
        mean = answer["expectation"]
        drawn = f" ± {mean['standard_error']:.2g} (of the draws)" if is_sampled else ""
        off = mean.get("binning_error")
        read = (
            f"; reading numbers in bins makes it some {abs(off):.2g} too {'high' if off > 0 else 'low'}" if off else ""
        )
        within = f", 95 % interval {_spanned(mean['low'], mean['high'])}" if "low" in mean else ""
        say(f"mean {mean['mean']:.4g}{within}{drawn}{read}")
    draws = f"{answer['num_samples']:,} draws, worth {answer['effective_sample_size']:,.0f}"
    how = draws if is_sampled else "enumerated, no Monte Carlo error"
    known = "intervals hold what training may have got wrong, by models that have not seen a part of the rows"
    if answer.get("interval_of") == "rows":
        known = "intervals hold which rows were sampled"
    unknown = "how far the fitted model is off is not known: train with `--folds 5` for intervals"
    unknown += ", or name the table (`--data`)" * ("formula" in answer)
    say(f"{how}; {known if sure else unknown}")


def _show_contrast(answer: "Document") -> None:
    sure = answer if "low" in answer else answer.get("interval", {})
    rows = [["effect", answer["value"]]]
    if "low" in sure:
        within = _spanned(sure["low"], sure["high"])
        rows += [["standard error", sure["standard_error"]], ["95 % interval", within]]
    if "low" not in answer:
        is_sampled = answer["treated"]["method"] == "sampling"
        rows.append([_MONTE_CARLO, _error(answer["standard_error"]) if is_sampled else "none, enumerated"])
    if answer.get("binning_error") is not None:
        rows.append(["error of binning", f"{answer['binning_error']:+.3f}"])
    rows += [[name, mean] for name, mean in answer["means"].items()]
    print_table(f"{answer['contrast']} on {answer['of']} ({answer['estimator']})", ["", "value"], rows)
    for note in _notes_on_errors(answer, sure):
        say(note)


def _show_bounds(answer: "Document", record: "Document") -> None:
    """An interval, and why there is no number."""
    of_values = answer["bounds"] if "contrast" not in answer else {f"effect on {answer['of']}": answer["bounds"]}
    if "bounds_of_mean" in answer:
        of_values = {**of_values, "mean": answer["bounds_of_mean"]}
    title = f"{answer.get('contrast') or _spelled(answer['target'], record)}: bounds, not a number"
    print_table(title, ["", "at least", "at most"], [[name, *ends] for name, ends in of_values.items()])
    say(answer["not_identified"].rpartition(" (")[0])
    for local in answer.get("local_effects", []):
        say(
            f"Not the effect on all: among the {local['share']:.0%} whose treatment {local['instrument']!r} moves it "
            f"is {local['value']:+.4g}, provided {local['assumes']}."
        )
    for each in answer.get("proxy_effects", []):
        (warn if each["is_weak"] else say)(each["sentence"])
    if not answer["bounds_are_sharp"]:
        say("The bounds are valid; narrower ones may be, too.")
    if answer["contradiction"] > _CONTRADICTION:
        warn(
            f"What the model says fits no distribution of this graph: probabilities would have to change by "
            f"{answer['contradiction']:.2g} in all. Noise does that, or an arrow that is missing."
        )


def _show_counterfactual(answer: "Document", record: "Document") -> None:
    """What would have been in a row: numbers where ends agree."""
    told = {value: [share, share] for value, share in answer.get("distribution", {}).items()} or answer[
        "counterfactual"
    ]
    rows = [[value, *ends, answer["everybody"][value]] for value, ends in told.items()]
    seen = ", ".join(f"{name} = {value}" for name, value in record["factual"].items())
    print_table(
        f"{_spelled(answer['target'], record)} in a row with {seen}", ["", "at least", "at most", "everybody"], rows
    )
    say(f"Assumes that {' and that '.join(answer['assumes'])}.")
    if not answer["bounds_are_sharp"]:
        say("The bounds are valid; narrower ones may be, too.")


def _show_refutation(found: "Document | None") -> None:
    """What was tried against an effect, and what came of it."""
    if found is None:
        return
    rows = [
        [each["name"], each["expected"], each["value"], each["moved"], "yes" if each["holds"] else "no"]
        for each in found["checks"]
    ]
    rows += [
        [f"without {each['cause']} → {each['effect']}", "", each["value"], each["moved"], ""]
        for each in found["arrows"][:_MOST_ARROWS]
        if each["moved"]
    ]
    print_table("what speaks against it", ["check", "expected", "effect", "moved", "as expected"], rows)
    for each in found["contradicted"][:_MOST_ARROWS]:
        pair = " and ".join([each["one"], each["other"]]) + (f" given {', '.join(each['given'])}" * bool(each["given"]))
        say(f"contradicted: independence of {pair} (correlation {each['strength']:.2g})")
    say(found["sentence"])


def _notes_on_errors(answer: "Document", sure: "Document") -> list[str]:
    """Which errors the numbers are of, and which they leave out."""
    notes = []
    if "low" in answer and answer["estimator"] == "plug-in":
        notes.append(
            "The interval counts which rows were sampled, not the error of the model; `--estimator aipw` does both."
        )
    if "low" not in sure:
        more = "name the table (`--data`)" if "formula" in answer["treated"] else "use `--estimator aipw` with `--data`"
        notes.append(
            f"How far the fitted model is off is not known: train with `--folds 5` for an interval, or {more}."
        )
    if answer.get("binning_error"):
        counted = "the interval reaches that far" if "low" in sure else "the effect is not corrected for it"
        notes.append(
            f"Reading numbers in bins makes the effect some {abs(answer['binning_error']):.3g} too "
            f"{'high' if answer['binning_error'] > 0 else 'low'}: {counted}; `--estimator aipw` with `--data` uses the "
            "numbers themselves."
        )
    if answer.get("population", "all rows") not in ("all rows", "the treated"):
        notes.append(f"The effect is on {answer['population']}.")
    return notes


def _spanned(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def _error(value: float) -> float | str:
    """A Monte Carlo error; one too small to be shown is not shown as none."""
    return "< 0.001" if 0 <= value < 0.0005 else value


def _spelled(target: str, record: "Document") -> str:
    done = ", ".join(f"{name} = {value}" for name, value in (record.get("do") or {}).items())
    known = ", ".join(f"{name} = {value}" for name, value in (record.get("given") or {}).items())
    parts = ", ".join(filter(None, [f"do({done})" if done else "", known]))
    return f"p({target} | {parts})" if parts else f"p({target})"
