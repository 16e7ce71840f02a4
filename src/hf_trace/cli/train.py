"""``hf-trace train``: an event log, or a table whose variables have a known graph, to a run folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import hf_trace.cli.flags as flags
from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.flags import refuse_given, refuse_whole
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.cli.launching import work_alone
from hf_trace.cli.outputs import check_folder
from hf_trace.errors import SettingsError
from hf_trace.options import HOPS, SEED, TOPOLOGY_DIRECTED, TRUST_REMOTE_CODE

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.training.log_training import TrainingSettings
    from hf_trace.training.loop import TrainedRun
    from hf_trace.training.state_training import StateTrainingSettings, TrainedStates
    from hf_trace.training.table_training import DagTrainingSettings

# What is said of a log, and what of a table, alone; typed beside the other, it is refused.
_OF_LOGS = (
    *("case_column", "event_column", "time_column", "query", "time_unit", "time_format", "outcome_column", "stream"),
    *("context_column", "min_count", "gaps", "gradient_accumulation", "window_length", "window_gap", "ensemble"),
    *("topology", "topology_directed", "hops", "states", "variable", "state_pairs", "end_column", "quick"),
)
# What a model of states does not read, and what only it does.
_NOT_OF_STATES = (
    *("outcome_column", "stream", "context_column", "model", "lora", "merge", "quick"),
    *("min_count", "gaps", "gradient_accumulation", "window_length", "window_gap", "ensemble", "resume"),
)
_OF_STATES = ("variable", "state_pairs", "end_column")
_OF_TABLES = ("latent", "history", "order", "learn", "bins", "weight_column", "folds")


def train(
    context: typer.Context,
    log: flags.Log,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    case_column: flags.Case = None,
    event_column: flags.Event = None,
    time_column: flags.Time = None,
    query: flags.Query = None,
    time_unit: flags.TimeUnit = None,
    time_format: flags.TimeFormat = None,
    outcome_column: flags.Outcome = None,
    stream: flags.Stream = False,
    topology: flags.Topology = None,
    topology_directed: flags.Directed = TOPOLOGY_DIRECTED.default,
    hops: flags.Hops = HOPS.default,
    context_column: flags.Contexts = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Size of a new model: pico, nano, tiny, small, base; tiny for logs, pico for tables."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model type (gpt2), config, checkpoint folder or Hub id to start from instead.")
    ] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters for a pretrained --model.")] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="With --lora: write all weights, not the adapters only.")
    ] = False,
    epochs: Annotated[float | None, typer.Option(help="Maximum number of passes over the data.")] = None,
    quick: flags.Quick = None,
    min_count: Annotated[int, typer.Option(help="Treat event types seen fewer times than this as unknown.")] = 1,
    gaps: Annotated[
        bool | None, typer.Option("--gaps/--no-gaps", help="Write the time between events as tokens.")
    ] = None,
    bf16: Annotated[bool | None, typer.Option("--bf16/--no-bf16", help="Compute in bfloat16.")] = None,
    gradient_accumulation: Annotated[int, typer.Option(help="Number of parts of a training step, to save memory.")] = 1,
    window_length: flags.Length = None,
    window_gap: flags.Gap = None,
    ensemble: Annotated[
        int, typer.Option(help="Number of oracles; several tell how certain edges are (`--threshold fdr:0.1`).")
    ] = 1,
    dag: Annotated[
        Path | None,
        typer.Option(help="LOG is a table, and this is its graph: JSON, GML, GraphML, edge-list CSV or BIF."),
    ] = None,
    latent: Annotated[
        list[str] | None, typer.Option(help="With --dag: a variable without a column; can be repeated.")
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help="With --dag: predict a variable from its `parents`, or from all before it (`full`)."),
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="With --dag: one `fixed` topological order, or `random` ones (for full history).")
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option(help="With --dag: a variable to learn; the others, such as long texts, are only read."),
    ] = None,
    bins: Annotated[int, typer.Option(help="With --dag: number of bins for numeric variables.")] = 8,
    weight_column: Annotated[str | None, typer.Option(help="With --dag: column with the row weights.")] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="With --dag: further models, each without a part of the rows, for intervals; 0: none. [5]"),
    ] = None,
    states: Annotated[
        bool, typer.Option("--states", help="LOG is normal operation: learn which states go together, for `rank`.")
    ] = False,
    variable: flags.StateVariables = None,
    state_pairs: flags.StatePairs = None,
    end_column: flags.EndColumn = None,
    trust_remote_code: flags.Trust = TRUST_REMOTE_CODE.default,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training of the same log with the same settings.")
    ] = False,
    overwrite: flags.Overwrite = False,
    processes: flags.Processes = 1,
    seed: flags.Seed = SEED.default,
    json_output: flags.Json = False,
) -> None:
    """Train a model on an event log or a table; writes one folder that `from_pretrained` loads."""
    _check(context, out, merge=merge, lora=lora, is_table=dag is not None, is_named=model is not None)
    if dag is not None:
        work_alone("A table is trained on")
        quiet_transformers()
        from hf_trace.training.table_training import DagTrainingSettings

        table_settings = DagTrainingSettings(
            preset=preset or DagTrainingSettings.preset, model=model, lora=lora, merge=merge, epochs=epochs, bf16=bf16,
            folds=folds or 0, learn=tuple(learn) if learn else None, seed=seed, trust_remote_code=trust_remote_code,
        )  # fmt: skip
        table = TableSource(log, dag, tuple(latent or ()), bins, weight_column)
        asked = history, order, folds
        trained: Any = _train_table(table, out, table_settings, *asked, resume=resume, overwrite=overwrite)
    elif states:
        work_alone("States are learned on")
        quiet_transformers()
        from hf_trace.training.state_training import StateTrainingSettings

        source = LogSource(log, case_column, event_column, time_column, query, time_unit, time_format=time_format)
        source = replace(source, topology=topology, directed=topology_directed, hops=hops, end=end_column)
        defaults = StateTrainingSettings()
        table_settings = replace(
            defaults.table,
            preset=preset or defaults.table.preset,
            epochs=epochs,
            bf16=bf16,
            seed=seed,
            reading=source.typed(),
        )
        states_settings = replace(
            defaults, table=table_settings, patterns=tuple(variable or ()), pairs=tuple(state_pairs or ())
        )
        trained = _train_states(source.with_ends(), out, states_settings, overwrite=overwrite)
    else:
        source = LogSource(
            log, case_column, event_column, time_column, query, time_unit, outcome_column, context_column or (),
            time_format, topology, topology_directed, hops,
        )  # fmt: skip
        quiet_transformers()
        from hf_trace.training.log_training import TrainingSettings

        settings = TrainingSettings(
            preset=preset or TrainingSettings.preset, model=model, lora=lora, merge=merge, epochs=epochs,
            quick=bool(quick), min_count=min_count, gaps=gaps, bf16=bf16, window_length=window_length,
            window_gap=window_gap, ensemble=ensemble, seed=seed, gradient_accumulation=gradient_accumulation,
            outcome_column=outcome_column, trust_remote_code=trust_remote_code, reading=source.typed(),
        )  # fmt: skip
        trained = _train_log(source, out, settings, stream=stream, resume=resume, overwrite=overwrite)
    if json_output:
        print_json({"run": str(out), **trained.metrics})


def _check(context: typer.Context, out: Path, *, merge: bool, lora: bool, is_table: bool, is_named: bool) -> None:
    """Refuse, before any work, what cannot be written and what does not belong to the question."""
    check_folder(out, overwrite=context.params["overwrite"] or context.params["resume"])
    if merge and not lora:
        raise SettingsError("`--merge` folds in adapters, but none are trained. Add `--lora`, or leave it out.")
    refuse_whole(context, ("query", "context_column", "outcome_column", "ensemble", "lora", "topology", "quick"))
    if is_named:
        refuse_given(context, ["preset"], "is the size of a new model, and `--model` names one. Leave out either.")
        refuse_given(context, ["quick"], "is how a new model is trained, and `--model` names one. Leave out either.")
    if context.params["states"]:
        reason = "is not for a model of states, which reads snapshots of variables. Leave out either."
        refuse_given(context, (*_NOT_OF_STATES, "dag", *_OF_TABLES), reason)
    else:
        refuse_given(context, _OF_STATES, "says what is a state. Add `--states`, or leave it out.")
    if is_table:
        refuse_given(context, _OF_LOGS, "is about an event log, and `--dag` makes LOG a table. Leave out either.")
    else:
        refuse_given(context, _OF_TABLES, "is about a table whose graph is known. Add `--dag FILE`, or leave it out.")


def _train_log(
    source: LogSource, out: Path, settings: "TrainingSettings", *, stream: bool, resume: bool, overwrite: bool
) -> "TrainedRun":
    """Read a log, whole or in parts, train, say how good the oracle is."""
    table = None if stream else source.read()
    from hf_trace.oracle.quality import quality_warning
    from hf_trace.training.log_training import train as train_oracle
    from hf_trace.training.loop import ProgressCallback
    from hf_trace.training.stream_training import train_stream

    with progress("training (%)", 100) as advance:
        callbacks = [ProgressCallback(advance, settings.ensemble)]
        if table is None:
            parts = source.opened()
            say(f"Reading {parts.name} once to count, then to train.")
            trained = train_stream(parts, out, settings, resume=resume, overwrite=overwrite, callbacks=callbacks)
            found = trained.metrics
            say(
                f"{sum(found['sequences'].values()):,} sequences, {found['events']:,} events, "
                f"{found['event_types']:,} event types; counted in {found['seconds_counting']:.0f} s."
            )
        else:
            trained = train_oracle(table, out, settings, resume=resume, overwrite=overwrite, callbacks=callbacks)
    if problem := quality_warning(trained.quality.to_dict()):
        warn(problem)
    say(f"{trained.quality}; {trained.metrics['seconds']:.0f} s. Wrote {out}")
    return trained


def _train_states(log: "EventLog", out: Path, settings: "StateTrainingSettings", *, overwrite: bool) -> "TrainedStates":
    """Say what varies, train, say what stands out from it."""
    from hf_trace.logs.states.state_log import StateLog
    from hf_trace.training.loop import ProgressCallback
    from hf_trace.training.state_training import train_states

    variables = StateLog.of(log, settings.patterns, settings.pairs).variables()
    with progress("training (%)", 100) as advance:
        trained = train_states(log, out, settings, overwrite=overwrite, callbacks=[ProgressCallback(advance)])
    rows = [[each["variable"], each["changes"], _shares(each["shares"])] for each in variables]
    print_table("variables", ["variable", "changes", "share of time"], sorted(rows, key=lambda row: -row[1])[:20])
    say(
        f"{len(variables)} variables; one of twenty normal moments has a state odder than {trained.normal.bound:.1f} "
        f"nats; {trained.metrics['seconds']:.0f} s. Wrote {out}"
    )
    return trained


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{value} {share:.1%}" for value, share in sorted(shares.items(), key=lambda pair: -pair[1]))


@dataclass(frozen=True)
class TableSource:
    """A table and its graph as a command line describes them.

    Attributes:
        table: File.
        dag: File of the graph.
        latent: Variables that are in no column.
        bins: Number of bins of numeric variables.
        weights: Column with the weights of rows.
    """

    table: str
    dag: Path
    latent: tuple[str, ...]
    bins: int
    weights: str | None


def _train_table(
    source: TableSource,
    out: Path,
    settings: "DagTrainingSettings",
    history: str | None,
    order: str | None,
    folds: int | None,
    *,
    resume: bool,
    overwrite: bool,
) -> Any:
    """Read table and graph, say what is in them and how long it takes, train."""
    from hf_trace.tables.encoding import encode_table, read_table, table_notes
    from hf_trace.tables.inference import infer_schema
    from hf_trace.training.loop import DurationCallback, ProgressCallback
    from hf_trace.training.table_training import train_dag

    frame = read_table(source.table)
    schema = infer_schema(source.dag, frame, bins=source.bins, latent=source.latent)
    encoded = encode_table(schema, frame, weight_column=source.weights)
    history = history or ("full" if schema.latent else settings.history)
    # A single order of a full history overfits, and fewer questions suit it.
    order = order or ("random" if history == "full" else settings.order)
    settings = replace(settings, history=history, order=order)
    if folds is None:
        settings = replace(settings, folds=settings.usual_folds)
    say(f"{len(encoded):,} rows, {len(schema.topological_order)} variables, {schema.graph.number_of_edges()} edges")
    for note in table_notes(encoded):
        warn(note)
    models = settings.trainings
    what = f"{models} models, {settings.folds} of them for intervals (`--folds 0`: none)" if settings.folds else "all"
    with progress("training (%)", 100) as advance:
        callbacks = [
            ProgressCallback(advance, models),
            DurationCallback(lambda seconds: say(f"At most about {seconds:.0f} s for {what}."), models),
        ]
        trained = train_dag(encoded, out, settings, resume=resume, overwrite=overwrite, callbacks=callbacks)
    losses = trained.metrics["validation"]["variables"]
    keys = {"loss": "model", "bdeu": "counts", "boosted": "boosted trees", "marginal": "without causes"}
    rows = [[name, *(each.get(key, "") for key in keys)] for name, each in losses.items()]
    print_table("validation loss (nats)", ["variable", *keys.values()], rows)
    say(f"{trained.metrics['seconds']:.0f} s. Wrote {out}")
    return trained
