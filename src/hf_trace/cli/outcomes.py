"""``hf-trace outcomes``: which events bring outcomes about."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.inputs import known_contexts, quieten_host, read_events
from hf_trace.cli.options import Case, Event, Json, Log, Outcome, Proposal, Query, Samples, Seed, Time, TimeUnit
from hf_trace.cli.rank import check_suffix
from hf_trace.errors import ColumnError

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog

_POPULATION = {"event": "cause", "direction": "acts", "frequency": "frequency", "cmi": "cmi (nats)",
               "gain": "gain", "gain_low": "from", "gain_high": "to", "support": "sequences"}  # fmt: skip
_INSTANCE = {"event": "cause", "position": "position", "direction": "acts", "cmi": "cmi (nats)", "gain": "gain",
             "gain_low": "from", "gain_high": "to"}  # fmt: skip
_SHOWN = 10
_Columns = tuple[str | None, str | None, str | None, str | None, str]


def outcomes(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or Hub id.")],
    log: Log,
    outcome: Annotated[
        list[str] | None,
        typer.Option("--outcome", help="A label (default: all of the run), or an event; can be repeated."),
    ] = None,
    level: Annotated[str, typer.Option(help="population (all sequences) or instance (each).")] = "population",
    out: Annotated[Path | None, typer.Option("--out", help="Result file: .json, .jsonl or .csv.")] = None,
    only: Annotated[list[str] | None, typer.Option("--id", help="Only this sequence; can be repeated.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", help="Only so many sequences, at random.")] = None,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    outcome_column: Outcome = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    num_samples: Samples = 32,
    proposal: Proposal = "uniform",
    bound: Annotated[float, typer.Option(help="Least cmi of an event that carries an outcome, in nats.")] = 0.05,
    min_frequency: Annotated[
        float, typer.Option(help="Least share of sequences in which a cause carries the outcome.")
    ] = 0.05,
    unknown: Annotated[str | None, typer.Option(help="Events the model does not know: error, or map.")] = None,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Find which events bring an outcome about, a label of whole sequences or an event."""
    check_suffix(out, (".json", ".jsonl", ".csv"))
    columns = (case_column, event_column, time_column, query, time_unit)
    table = _read(run_folder, log, columns, outcome_column)
    quieten_host()
    from hf_trace.logs.windows import sampled_sequences, sequences_of
    from hf_trace.pipelines.discovery_run import load_pipeline
    from hf_trace.runs.folders import recipe_of

    table = sampled_sequences(sequences_of(table, only) if only else table, sample, seed)
    discover = load_pipeline(run_folder)
    rare = recipe_of(run_folder).get("min_count", 1) > 1
    with progress("scoring", len(table)) as advance:
        found = discover.outcomes(
            table, outcome=outcome, level=level, num_samples=num_samples, proposal=proposal, bound=bound,
            min_frequency=min_frequency, unknown=unknown or ("map" if rare else "error"), seed=seed,
            advance=advance,
        )  # fmt: skip
    if out is not None:
        _write(out, found)
    if json_output:
        print_json(found)
    elif level == "population":
        _show_population(found)
    else:
        _show_instances(found)


def _read(run: str, log: str, columns: _Columns, outcome_column: str | None) -> "EventLog":
    """The log with its labels, by the column named or by that of the run where the log has it."""
    from hf_trace.runs.folders import recipe_of

    known, contexts = recipe_of(run).get("outcome_column"), known_contexts(run)
    if outcome_column is not None or known is None:
        return read_events(log, *columns, outcome_column, contexts)
    try:
        return read_events(log, *columns, known, contexts)
    except ColumnError:
        table = read_events(log, *columns, contexts=contexts)
        say(f"The log has no usable column {known!r}: outcomes are predicted, not known.")
        return table


def _write(out: Path, found: Any) -> None:
    from hf_trace.logs.writing import atomic_path, write_json_lines

    if out.suffix.lower() == ".jsonl":
        write_json_lines(out, found if isinstance(found, list) else [found])
        return
    with atomic_path(out) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        if out.suffix.lower() == ".json":
            json.dump(found, file, ensure_ascii=False, indent=2)
            return
        rows = _rows(found)
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["outcome", "event"])
        writer.writeheader()
        writer.writerows(rows)


def _rows(found: Any) -> list[dict[str, Any]]:
    """One row per outcome and event; per sequence too, where it is explained alone."""
    if isinstance(found, list):
        return [
            {"id": each["id"], "outcome": named["outcome"], "probability": named["probability"], **cause}
            for each in found
            for named in each["outcomes"]
            for cause in named["causes"]
        ]
    return [
        {"outcome": named["outcome"], "is_cause": cause in named["causes"], **cause}
        for named in found["outcomes"]
        for cause in named["tested"]
    ]


def _show_population(found: dict[str, Any]) -> None:
    for named in found["outcomes"][:5]:
        causes = named["causes"]
        title = f"causes of {named['outcome']} in {named['sequences']:,} sequences: {len(causes)}"
        print_table(title, list(_POPULATION.values()), [[row[key] for key in _POPULATION] for row in causes[:_SHOWN]])
    prediction = found["prediction"]
    if prediction is None:
        return
    print_table(
        f"how well {prediction['sequences']:,} labels are predicted",
        ["label", "base rate", "AUROC", "AUPRC"],
        [
            [name, each["base_rate"], *(float("nan") if each[key] is None else each[key] for key in ("auroc", "auprc"))]
            for name, each in prediction["labels"].items()
        ],
    )
    say(f"log loss {prediction['log_loss']:.3f} nats, by base rates {prediction['base_rate_log_loss']:.3f}.")
    if prediction["log_loss"] > prediction["base_rate_log_loss"]:
        warn("The model predicts the labels worse than their base rates: do not believe these causes. Train longer.")


def _show_instances(found: list[dict[str, Any]]) -> None:
    for each in found[:3]:
        for named in each["outcomes"]:
            title = f"{named['outcome']} of {each['id']}: probability {named['probability']:.3f}, {each['observed']}"
            rows = [[row[key] for key in _INSTANCE] for row in named["causes"][:_SHOWN]]
            print_table(title, list(_INSTANCE.values()), rows)
    if len(found) > 3:
        say(f"… and {len(found) - 3} more sequences; `--out FILE` writes all.")
