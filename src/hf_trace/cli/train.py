"""``hf-trace train``: an event log, or a table whose variables have a known graph, to a run folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.inputs import Stream, opened, quieten_host, read_events, train_streamed
from hf_trace.cli.launching import work_alone
from hf_trace.cli.options import (
    Case,
    Contexts,
    Event,
    Gap,
    Json,
    Length,
    Log,
    Outcome,
    Processes,
    Query,
    Seed,
    Time,
    TimeUnit,
)
from hf_trace.errors import SettingsError


def train_table(
    table: str,
    dag: Path,
    out: Path,
    settings: dict[str, Any],
    *,
    latent: list[str],
    bins: int,
    weights: str | None,
    resume: bool,
) -> dict[str, Any]:
    """Read table and graph, say what is in them, train; the run's metrics."""
    from hf_trace.tables.encoding import encode_table, read_table, table_notes
    from hf_trace.tables.inference import infer_schema

    frame = read_table(table)
    schema = infer_schema(dag, frame, bins=bins, latent=latent)
    encoded = encode_table(schema, frame, weight_column=weights)
    if schema.latent and "history" not in settings:
        settings = {**settings, "history": "full"}
    if settings.get("history") == "full" and "order" not in settings:
        settings = {**settings, "order": "random"}  # a single order overfits, and fewer questions suit it
    say(f"{len(encoded):,} rows, {len(schema.topological_order)} variables, {schema.graph.number_of_edges()} edges")
    for note in table_notes(encoded):
        warn(note)
    quieten_host()
    from hf_trace.training.loop import ProgressCallback
    from hf_trace.training.table_training import DagTrainingSettings, train_dag

    chosen = DagTrainingSettings(**settings)
    with progress("training (%)", 100) as advance:
        trained = train_dag(
            encoded, out, chosen, resume=resume, callbacks=[ProgressCallback(advance, chosen.trainings)]
        )
    losses = trained.metrics["validation"]["variables"]
    rows = [[name, each["loss"], each["marginal"]] for name, each in losses.items()]
    print_table("validation loss (nats)", ["variable", "model", "without causes"], rows)
    say(f"{trained.metrics['seconds']:.0f} s. Wrote {out}")
    return dict(trained.metrics)


def train(
    log: Log,
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    outcome_column: Outcome = None,
    stream: Stream = False,
    context_column: Contexts = None,
    preset: Annotated[
        str | None, typer.Option(help="Size of a new model: nano, tiny, small or base; tiny for logs, nano for tables.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model type (gpt2), config, checkpoint folder or Hub id instead.")
    ] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters of a pretrained --model.")] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="With --lora: write all weights, not the adapters alone.")
    ] = False,
    epochs: Annotated[float | None, typer.Option(help="Most passes over the data.")] = None,
    min_count: Annotated[int, typer.Option(help="Read event types seen less often as unknown.")] = 1,
    gaps: Annotated[
        bool | None, typer.Option("--gaps/--no-gaps", help="Write the time between events as tokens.")
    ] = None,
    bf16: Annotated[bool | None, typer.Option("--bf16/--no-bf16", help="Compute in bfloat16.")] = None,
    gradient_accumulation: Annotated[
        int, typer.Option("--gradient-accumulation", help="Parts in which a training step is read.")
    ] = 1,
    window_length: Length = None,
    window_gap: Gap = None,
    ensemble: Annotated[
        int, typer.Option(help="Oracles to train; more than 1 says how sure edges are (`--threshold fdr:0.1`).")
    ] = 1,
    dag: Annotated[
        Path | None,
        typer.Option("--dag", help="LOG is a table, and this its graph: JSON, GML, GraphML, CSV of edges, BIF."),
    ] = None,
    latent: Annotated[
        list[str] | None, typer.Option("--latent", help="With --dag: a variable that is in no column.")
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help="With --dag: a variable is predicted from its `parents`, or `full`: all before it."),
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="With --dag: `fixed`, or `random` topological orders (full history).")
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option("--learn", help="With --dag: a variable to learn; others, such as long texts, are only read."),
    ] = None,
    bins: Annotated[int, typer.Option(help="With --dag: bins of numeric variables.")] = 8,
    weight_column: Annotated[str | None, typer.Option(help="With --dag: column with the weights of rows.")] = None,
    folds: Annotated[
        int, typer.Option(help="With --dag: also train on all but each of so many parts; gives effects intervals.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    processes: Processes = 1,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Train a model on an event log or a table; writes one folder that `from_pretrained` loads."""
    if merge and not lora:
        raise SettingsError("--merge folds in adapters, but none are trained. Add `--lora`, or leave out --merge.")
    if dag is None and (table_only := [learn, latent, history, order, weight_column]) != [None] * 5:
        names = ("learn", "latent", "history", "order", "weight-column")
        found = next(name for name, value in zip(names, table_only, strict=True) if value is not None)
        raise SettingsError(f"--{found} is about a table whose graph is known. Add `--dag FILE`, or leave it out.")
    if dag is not None:
        work_alone("A table is trained on")
        chosen: dict[str, Any] = {
            "model": model,
            "lora": lora,
            "merge": merge,
            "epochs": epochs,
            "bf16": bf16,
            "folds": folds,
        }
        given: dict[str, Any] = {"preset": preset, "history": history, "order": order}
        given["learn"] = tuple(learn) if learn else None
        chosen |= {name: value for name, value in given.items() if value is not None}
        training = train_table(
            log,
            dag,
            out,
            {**chosen, "seed": seed},
            latent=latent or [],
            bins=bins,
            weights=weight_column,
            resume=resume,
        )
        if json_output:
            print_json({"run": str(out), **training})
        return
    columns = (case_column, event_column, time_column, query, time_unit)
    contexts = context_column or ()
    table = None if stream else read_events(log, *columns, outcome_column, contexts)
    quieten_host()
    from hf_trace.oracle.quality import quality_warning
    from hf_trace.training.log_training import TrainingSettings
    from hf_trace.training.log_training import train as train_oracle
    from hf_trace.training.loop import ProgressCallback

    settings = TrainingSettings(
        preset=preset or "tiny", model=model, lora=lora, merge=merge, epochs=epochs, min_count=min_count, gaps=gaps,
        bf16=bf16, window_length=window_length, window_gap=window_gap, ensemble=ensemble, seed=seed,
        gradient_accumulation=gradient_accumulation, outcome_column=outcome_column,
    )  # fmt: skip
    with progress("training (%)", 100) as advance:
        shown: dict[str, Any] = {"resume": resume, "callbacks": [ProgressCallback(advance, ensemble)]}
        if table is None:
            trained = train_streamed(opened(log, columns, contexts), out, settings, **shown)
        else:
            trained = train_oracle(table, out, settings, **shown)
    if problem := quality_warning(trained.quality.to_dict()):
        warn(problem)
    if json_output:
        print_json({"run": str(out), **trained.metrics})
    else:
        say(f"{trained.quality}; {trained.metrics['seconds']:.0f} s. Wrote {out}")
