"""``hf-trace train TABLE --dag DAG``: rows of variables with a known graph to a run folder."""

from pathlib import Path
from typing import Any

from hf_trace.cli.inputs import quieten_host
from hf_trace.console import print_table, progress, say, warn


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
    from hf_trace.data.dags.encoding import encode_table
    from hf_trace.data.dags.inference import infer_schema
    from hf_trace.data.dags.notes import table_notes
    from hf_trace.data.dags.table_files import read_table

    frame = read_table(table)
    schema = infer_schema(dag, frame, bins=bins, latent=latent)
    encoded = encode_table(schema, frame, weight_column=weights)
    if schema.latent and "history" not in settings:
        settings = {**settings, "history": "full"}
    if settings.get("history") == "full" and "order" not in settings:
        settings = {**settings, "order": "random"}  # a single order overfits, and fewer questions suit it
    say(
        f"{len(encoded):,} rows, {len(schema.topological_order)} variables, {schema.graph.number_of_edges()} edges"
    )
    for note in table_notes(encoded):
        warn(note)
    quieten_host()
    from hf_trace.hub.dag_training import DagTrainingSettings, train_dag
    from hf_trace.hub.training_progress import ProgressCallback

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
