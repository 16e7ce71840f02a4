"""``hf-trace discover``: a run folder and an event log to causal graphs."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.graph_outputs import check_one_graph, check_outputs, write_outputs, write_plot
from hf_trace.cli.inputs import known_contexts, quieten_host
from hf_trace.cli.long_runs import check_resume, parse_sample, scores_of
from hf_trace.cli.options import (
    Case,
    Contexts,
    Event,
    Gap,
    Json,
    Length,
    Log,
    MaxLag,
    Processes,
    Proposal,
    Query,
    Samples,
    Seed,
    Threshold,
    Time,
    TimeUnit,
)
from hf_trace.cli.page_output import evidence_for, write_report
from hf_trace.cli.population_graphs import (
    Bootstrap,
    Groups,
    MinFrequency,
    Ties,
    Update,
    begin_pool,
    check_population,
    compared,
    say_notes,
)
from hf_trace.cli.printing import SHOWN, print_graphs
from hf_trace.cli.streams import Stream, read_or_sample
from hf_trace.cli.validation import freeze_threshold, known_causes, with_validation
from hf_trace.console import print_json, progress, say

if TYPE_CHECKING:
    from hf_trace.data.log import EventLog
    from hf_trace.hub.discovery_run import Observe
    from hf_trace.hub.long_run import LongRun
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline
    from hf_trace.hub.stored_pools import StoredPool


def discover(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or Hub id.")],
    log: Log,
    level: Annotated[
        str, typer.Option(help="population (all sequences), summary or instance (each).")
    ] = "population",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Graph file: .json .graphml .dot .csv .parquet; for many .jsonl .parquet."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Figure: .png .svg .pdf.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Page with graph, evidence and timeline: .html.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--id", help="Only this sequence; can be repeated.")
    ] = None,
    max_sequences: Annotated[
        int | None, typer.Option("--max-sequences", help="Only the first so many sequences.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", help="Only so many sequences (1000) or a share (0.1), at random."),
    ] = None,
    stream: Stream = False,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    context_column: Contexts = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    max_lag: MaxLag = 16,
    threshold: Threshold = "margin:0.05",
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Known graph that `--threshold validated` chooses by.")
    ] = None,
    num_samples: Samples = 32,
    proposal: Proposal = "uniform",
    prefix_length: Annotated[int, typer.Option(help="Events at the start that are never causes.")] = 0,
    min_frequency: MinFrequency = "0.05",
    bootstrap: Bootstrap = 0,
    update: Update = None,
    groups: Groups = None,
    ties: Ties = "listed",
    unknown: Annotated[
        str | None, typer.Option(help="Events the model does not know: error, or map.")
    ] = None,
    self_loops: Annotated[
        bool, typer.Option("--self-loops", help="Keep edges from a type to itself.")
    ] = False,
    window_length: Length = None,
    window_gap: Gap = None,
    knowledge: Annotated[
        Path | None,
        typer.Option("--knowledge", help="JSON: forbidden and required pairs, tiers, groups, neighbours."),
    ] = None,
    construction: Annotated[
        str, typer.Option(help="atomic, staircase (the paper's), saliency, attention or shapley.")
    ] = "atomic",
    statistic: Annotated[
        str | None, typer.Option(help="kl_to_mixture, log_ratio, …; for the staircase library or paper.")
    ] = None,
    effect: Annotated[
        str, typer.Option(help="direct: what is between stays as observed; total: it may follow.")
    ] = "direct",
    horizon: Annotated[
        str, typer.Option(help="How far ahead a total effect counts: 16 (events), 1h, or 20,1h.")
    ] = "16",
    num_contexts: Annotated[
        int, typer.Option(help="Places where events are forced, for total effects.")
    ] = 256,
    refine: Annotated[
        bool, typer.Option("--refine", help="Spend the draws on pairs near the threshold.")
    ] = False,
    slide: Annotated[
        bool, typer.Option("--slide", help="Read long sequences whole, with a sliding context.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Sequences read at a time.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    device_map: Annotated[
        str | None, typer.Option("--device-map", help="auto: spread a model that is larger than one GPU.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory scoring may use, e.g. 2GB.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same settings and --out.")
    ] = False,
    processes: Processes = 1,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Find which events cause which."""
    check_outputs(out, plot, level, html)
    check_resume(resume, out, effect)
    check_population(update, groups, context_column, level, effect)
    share = parse_sample(sample)
    from hf_trace.causal.knowledge import as_knowledge

    known, rules = known_causes(threshold, truth), as_knowledge(knowledge)
    table, share, max_sequences = read_or_sample(
        stream,
        log,
        (case_column, event_column, time_column, query, time_unit),
        share,
        max_sequences,
        seed,
        contexts=list(dict.fromkeys([*known_contexts(run_folder), *(context_column or ())])),
    )
    quieten_host()
    from hf_trace.causal.settings import DEFAULT_STATISTICS
    from hf_trace.data.graph import CausalGraph
    from hf_trace.hub.discovery_run import chosen, first, load_pipeline, sampled
    from hf_trace.hub.runs import recipe_of

    pipe = load_pipeline(run_folder, dtype=dtype, memory=memory, device_map=device_map)
    trained = recipe_of(run_folder)
    unknown = unknown or ("map" if trained.get("min_count", 1) > 1 else "error")
    windows = _windows(pipe, table, length=window_length, gap=window_gap, slide=slide)
    sequences = chosen(windows, only) if only else windows
    sequences = sampled(first(sequences, max_sequences), share, seed)
    check_one_graph(1 if level == "population" else len(sequences), out, plot, html)
    parameters: dict[str, Any] = {
        "max_lag": max_lag, "threshold": threshold, "num_samples": num_samples, "proposal": proposal,
        "prefix_length": prefix_length, "min_frequency": min_frequency, "unknown": unknown,
        "construction": construction, "statistic": statistic or DEFAULT_STATISTICS.get(construction, ""),
        "self_loops": self_loops, "slide": slide, "batch_size": batch_size, "seed": seed, "level": level,
        "knowledge": rules, "effect": effect, "horizon": horizon, "num_contexts": num_contexts,
        "refine": refine, "bootstrap": bootstrap, "compare": compared(context_column, level, effect),
        "ties": ties,
    }  # fmt: skip
    started = time.monotonic()
    sequences, validation = freeze_threshold(pipe, sequences, known, parameters)
    evidence = evidence_for(parameters)
    stored, sequences = begin_pool(update, pipe, sequences, parameters)
    with scores_of(pipe, sequences, out, parameters, resume=resume) as (scored, speaks):
        if not speaks:
            return
        outputs = _outputs(pipe, sequences, scored, evidence.add if html else None, parameters, stored)
        count = 1 if level == "population" else len(sequences)
        noted = (with_validation(output, validation) for output in outputs)
        found = write_outputs(noted, out, count=count, keep=None if json_output else SHOWN)
        say_notes(found[0], groups)
        say(f"{len(sequences):,} sequences in {time.monotonic() - started:.1f} s.")
        graphs = [CausalGraph.from_dict(output["graph"]) for output in found[:SHOWN]]
        write_plot(graphs[0], plot)
        write_report(html, graphs[0], found[0], evidence, table, sequences)
    if json_output:
        print_json(found[0] if len(found) == 1 else found)
    else:
        print_graphs(graphs, total=count)


def _windows(
    pipe: "CausalDiscoveryPipeline", log: "EventLog", *, length: int | None, gap: float | None, slide: bool
) -> "EventLog":
    """The log cut to what the model reads; says so where it was cut."""
    from hf_trace.hub.discovery_run import windows_for

    windows = windows_for(pipe, log, length=length, gap=gap, slide=slide)
    if windows.was_cut:
        say(f"Cut into {len(windows.log):,} windows of at most {windows.length} events.")
    return windows.log


def _outputs(
    pipe: "CausalDiscoveryPipeline",
    sequences: "EventLog",
    scored: "LongRun | None",
    observe: "Observe | None",
    parameters: dict[str, Any],
    stored: "StoredPool | None",
) -> Iterable[dict[str, Any]]:
    """What discovery found: one output for the log, or one per sequence."""
    from hf_trace.hub.discovery_run import population_run, record_run

    if parameters["level"] != "population":
        return record_run(pipe, scored or (), **parameters)
    pool = {} if stored is None else {"pool": stored.pool}
    with progress("pooling", None if scored else parameters["num_contexts"]) as advance:
        output = population_run(
            pipe, sequences, advance=advance, observe=observe, scored=scored, **parameters, **pool
        )
    if stored is not None:
        stored.save()
    return [output]
