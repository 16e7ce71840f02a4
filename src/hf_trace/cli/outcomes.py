"""``hf-trace outcomes``: which events bring outcomes about."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import hf_trace.cli.flags as flags
from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.flags import flag, parse_sample, refuse_draws, refuse_given
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.cli.outputs import check_output, write_documents
from hf_trace.documents import Document
from hf_trace.errors import ColumnError, SettingsError
from hf_trace.options import (
    BOUND,
    EFFECT,
    HOPS,
    MIN_FREQUENCY,
    NUM_SAMPLES,
    PROPOSAL,
    SEED,
    TOPOLOGY_DIRECTED,
    TRUST_REMOTE_CODE,
    UNKNOWN,
)

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog

_POPULATION = {"event": "cause", "place": "where", "direction": "acts", "frequency": "frequency", "cmi": "cmi (nats)",
               "gain": "gain", "gain_low": "95 % from", "gain_high": "to", "support": "sequences",
               "share": "share with it", "share_elsewhere": "share without"}  # fmt: skip
_INSTANCE = {"event": "cause", "place": "where", "position": "position", "direction": "acts", "cmi": "cmi (nats)",
             "gain": "gain", "gain_low": "95 % from", "gain_high": "to"}  # fmt: skip
_SHOWN = 10
# Of Fisher's exact test, for saying that counting disagrees.
_SIGNIFICANT = 0.001


def outcomes(
    context: typer.Context,
    run_folder: flags.RunFolder,
    log: flags.Log,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Label (by default all labels of the run), or event; can be repeated.")
    ] = None,
    level: Annotated[str, typer.Option(help="population (all sequences) or instance (each one).")] = "population",
    out: Annotated[Path | None, typer.Option(help="Result file: .json, .jsonl or .csv.")] = None,
    only: flags.Only = None,
    sample: flags.Sample = None,
    case_column: flags.Case = None,
    event_column: flags.Event = None,
    time_column: flags.Time = None,
    outcome_column: flags.Outcome = None,
    query: flags.Query = None,
    topology: flags.Topology = None,
    topology_directed: flags.Directed = TOPOLOGY_DIRECTED.default,
    hops: flags.Hops = HOPS.default,
    time_unit: flags.TimeUnit = None,
    time_format: flags.TimeFormat = None,
    effect: Annotated[
        str, flag(EFFECT.but(help="direct: all other events stay as observed; total: what follows may change too."))
    ] = EFFECT.default,
    within: Annotated[
        str | None, typer.Option(help="Horizon of total effects: 20 (events), 300s; by default half of what is read.")
    ] = None,
    num_samples: flags.Samples = NUM_SAMPLES.default,
    proposal: flags.Proposal = PROPOSAL.default,
    bound: Annotated[float, flag(BOUND)] = BOUND.default,
    min_frequency: Annotated[
        str, flag(MIN_FREQUENCY.but(help="Minimum share of sequences in which a cause carries the outcome."))
    ] = str(MIN_FREQUENCY.default),
    unknown: flags.Unknown = UNKNOWN.default,
    trust_remote_code: flags.Trust = TRUST_REMOTE_CODE.default,
    seed: flags.Seed = SEED.default,
    json_output: flags.Json = False,
) -> None:
    """Find which events bring an outcome about: a label of whole sequences, or an event."""
    check_output(out, (".json", ".jsonl", ".csv"))
    if level == "instance":
        refuse_given(context, ["min_frequency"], "is about all sequences together. Leave it out, or `--level`.")
    if effect != "total":
        refuse_given(context, ["within"], "is for total effects. Leave it out, or ask for `--effect total`.")
    refuse_draws(context, proposal)
    share = parse_sample(sample)
    quiet_transformers()
    from hf_trace.logs.windows import sampled_sequences, sequences_of
    from hf_trace.questions.outcome_causes import OutcomeSettings
    from hf_trace.questions.outcome_causes import outcomes as causes_of_outcomes
    from hf_trace.runs.event_model import EventModel

    settings = OutcomeSettings(
        level=level, effect=effect, within=within, proposal=proposal, num_samples=num_samples, bound=bound,
        min_frequency=_frequency(min_frequency), unknown=unknown, seed=seed,
    )  # fmt: skip
    source = LogSource(
        log, case_column, event_column, time_column, query, time_unit, outcome_column, time_format=time_format
    )
    source = replace(source, topology=topology, directed=topology_directed, hops=hops)
    table = _read(run_folder, source.as_trained(run_folder))
    table = sampled_sequences(sequences_of(table, only) if only else table, share, seed)
    model = EventModel.load(run_folder, trust_remote_code=trust_remote_code)
    with progress("scoring", len(table)) as advance:
        found = causes_of_outcomes(model, table, settings, outcome=outcome, advance=advance)
    if out is not None:
        write_documents(out, found, _rows(found), ["outcome", "event"])
    if json_output:
        print_json(found)
    elif level == "population":
        _show_population(found)
    else:
        _show_instances(found)


def _frequency(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    raise SettingsError(f"min_frequency is {text!r}, expected a number from 0 to 1.")


def _read(run: str, source: LogSource) -> "EventLog":
    """The log with its labels, by the column named or by that of the run where the log has it."""
    from hf_trace.runs.folders import recipe_of

    known = recipe_of(run).get("outcome_column")
    if source.outcome is not None or known is None:
        return source.read()
    try:
        return replace(source, outcome=known).read()
    except ColumnError:
        table = source.read()
        say(f"The log has no usable column {known!r}: outcomes are predicted, not known.")
        return table


def _rows(found: Any) -> list[Document]:
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


def _show_population(found: Document) -> None:
    for named in found["outcomes"][:5]:
        causes = named["causes"]
        title = f"causes of {named['outcome']} in {named['sequences']:,} sequences: {len(causes)}"
        counted = [key for key in _POPULATION if any(row.get(key) is not None for row in causes)]
        print_table(
            title, [_POPULATION[key] for key in counted], [[row[key] for key in counted] for row in causes[:_SHOWN]]
        )
        for line in where_counting_disagrees(named, found["settings"]["effect"]):
            say(line)
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
        warn("The model predicts the labels worse than their base rates: do not trust these causes. Train longer.")


def where_counting_disagrees(named: Document, effect: str) -> Iterator[str]:
    """Types that are found with the outcome and are no causes, and causes that are found without it.

    Args:
        named: An outcome of ``OutcomePool.causes``.
        effect: ``direct`` or ``total``.

    Example:
        >>> seen = {"share": 0.2, "share_elsewhere": 0.01, "p_value": 1e-9}
        >>> named = {"outcome": "bad", "causes": [], "tested": [{"event": "retry", **seen}]}
        >>> for line in where_counting_disagrees(named, "direct"):
        ...     print(line)
        More frequent with bad, yet no causes: retry (20% against 1%).
        Direct effects hold all other events as observed. What each brings about: `--effect total`.
    """
    counted = [row for row in named["tested"] if row["p_value"] is not None and row["p_value"] < _SIGNIFICANT]
    causes, outcome = [row["event"] for row in named["causes"]], named["outcome"]
    more = [row for row in counted if row["share"] > row["share_elsewhere"] and row["event"] not in causes]
    if more:
        yield f"More frequent with {outcome}, yet no causes: {_shares(more)}."
    less = [row for row in counted if row["share"] < row["share_elsewhere"] and row["event"] in causes]
    if less := [row for row in less if row["direction"] == "excites"]:
        yield f"Causes of {outcome} that are less frequent with it: {_shares(less)}."
    if effect == "direct" and (more or less):
        yield "Direct effects hold all other events as observed. What each brings about: `--effect total`."


def _shares(rows: list[Document]) -> str:
    shown = ", ".join(f"{row['event']} ({row['share']:.0%} against {row['share_elsewhere']:.0%})" for row in rows[:3])
    return shown if len(rows) <= 3 else f"{shown} and {len(rows) - 3} more"


def _show_instances(found: list[Document]) -> None:
    for each in found[:3]:
        for named in each["outcomes"]:
            likely = f"probability {named['probability']:.3f}, {each['observed']}"
            title = f"{named['outcome']} in sequence {each['id']}: {likely}"
            causes = named["causes"][:_SHOWN]
            shown = [key for key in _INSTANCE if key != "place" or any("place" in row for row in causes)]
            print_table(title, [_INSTANCE[key] for key in shown], [[row[key] for key in shown] for row in causes])
    if len(found) > 3:
        say(f"… and {len(found) - 3} more sequences; `--out FILE` writes all.")
