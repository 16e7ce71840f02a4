"""``hf-trace discover``: a run folder and an event log to causal graphs."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import SHOWN, print_graphs, print_json, progress, say, warn
from hf_trace.cli.inputs import Stream, known_contexts, quieten_host, read_or_sample
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
from hf_trace.cli.outputs import check_one_graph, check_outputs, evidence_for, write_outputs, write_plot, write_report
from hf_trace.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from hf_trace.discovery.population.pool_files import StoredPool
    from hf_trace.discovery.shards import LongRun
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.log import EventLog
    from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
    from hf_trace.pipelines.discovery_run import Observe

MinFrequency = Annotated[
    str, typer.Option(help="Least share of sequences that carry a population edge, or adaptive: too many to be noise.")
]
Bootstrap = Annotated[
    int, typer.Option("--bootstrap", help="Resample the sequences so often, for intervals of population edges.")
]
Update = Annotated[
    Path | None, typer.Option("--update", help="Pool file: add the new sequences to those in it; made where absent.")
]
Ties = Annotated[
    str,
    typer.Option(
        "--ties",
        help="Events at the same time: listed (read as listed), or both (in both orders; then they have no direction).",
    ),
]
Groups = Annotated[
    Path | None, typer.Option("--groups", help="Table: each edge in each group of the --context-column: .csv.")
]


def check_population(
    update: Path | None, groups: Path | None, contexts: list[str] | None, level: str, effect: str
) -> None:
    """Refuse a pool or a table of groups that could not be made or written, before any work is done.

    Raises:
        SettingsError: If nothing is pooled, or nothing makes groups.
        OutputError: If a file cannot be written.
    """
    _check_update(update, level, effect)
    if groups is None:
        return
    if not compared(contexts, level, effect):
        raise SettingsError(
            "`--groups` is the table of edges in groups of sequences, and nothing makes groups. Name what does with "
            "`--context-column`, for a population graph of direct effects."
        )
    if groups.suffix.lower() != ".csv" or not groups.parent.is_dir():
        raise OutputError(f"Cannot write {str(groups)!r}: expected a name ending in .csv in a folder that exists.")


def compared(contexts: list[str] | None, level: str, effect: str) -> list[str]:
    """The columns whose groups are compared: those that are named, where sequences are pooled."""
    return list(contexts or ()) if level == "population" and effect == "direct" else []


def _write_groups(path: Path, output: dict[str, Any]) -> None:
    from hf_trace.discovery.population.group_comparison import group_table
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.writing import atomic_path

    with atomic_path(path) as unfinished:
        group_table(CausalGraph.from_dict(output["graph"])).to_csv(unfinished, index=False)


def _check_update(update: Path | None, level: str, effect: str) -> None:
    if update is None:
        return
    if level != "population" or effect != "direct":
        raise SettingsError(
            f"`--update` is given with level {level!r} and {effect} effects, expected a population graph of direct "
            "effects, which adds up over sequences. Leave it out."
        )
    if update.is_dir() or not update.parent.is_dir():
        raise OutputError(f"Cannot write {str(update)!r}: expected the name of a file in a folder that exists.")


def begin_pool(
    update: Path | None, pipe: "CausalDiscoveryPipeline", sequences: "EventLog", parameters: dict[str, Any]
) -> "tuple[StoredPool | None, EventLog]":
    """The stored pool, where one is asked for, and the sequences that are new to it."""
    if update is None:
        return None, sequences
    from hf_trace.discovery.population.pool_files import open_pool

    stored = open_pool(pipe, sequences, update, **parameters)
    if stored.pool.sequences:
        say(
            f"The pool has {stored.pool.sequences:,} sequences; {len(stored.new):,} of the log are new, "
            f"{stored.known:,} are in it."
        )
    return stored, stored.new


def say_notes(output: dict[str, Any], groups: Path | None) -> None:
    """What to know about a result: an oracle not worth believing, how alike halves and groups of sequences are.

    Where a table of groups is asked for, it is written too.
    """
    if groups is not None:
        _write_groups(groups, output)
    if problem := output["oracle"].get("warning"):
        warn(problem)
    for column, changes in _changes(output["graph"]["edges"]).items():
        say(f"{changes} of {len(output['graph']['edges'])} edges are not equally strong in all groups of {column}.")
    found = output["graph"]["metadata"].get("stability")
    if found:
        say(
            f"Stability: halves of the sequences share {found['mean']:.0%} of their edges (least "
            f"{found['least']:.0%} of {found['halvings']} halvings; Jaccard index)."
        )


def _changes(edges: list[dict[str, Any]]) -> dict[str, int]:
    """How many edges differ between the groups of each column."""
    counts: dict[str, int] = {}
    for edge in edges:
        for column, found in edge.get("groups", {}).items():
            counts[column] = counts.get(column, 0) + bool(found["differs"])
    return counts


def known_causes(threshold: str, truth: Path | None) -> "CausalGraph | None":
    """Load the truth that chooses the threshold, where one is asked for, before any work starts."""
    from hf_trace.discovery.thresholds import VALIDATED
    from hf_trace.graphs.graph import CausalGraph

    if threshold == VALIDATED and truth is None:
        raise SettingsError(
            "threshold is 'validated', expected known causes to choose a value by. Pass them with `--truth TRUTH.json`."
        )
    if threshold != VALIDATED and truth is not None:
        raise SettingsError(
            f"`--truth` is given, but the threshold is {threshold!r}, expected 'validated'. Pass `--threshold "
            "validated`, or compare the graph afterwards with `hf-trace evaluate`."
        )
    return None if truth is None else CausalGraph.load(truth)


def freeze_threshold(
    pipe: "CausalDiscoveryPipeline", sequences: "EventLog", truth: "CausalGraph | None", parameters: dict[str, Any]
) -> "tuple[EventLog, dict[str, Any] | None]":
    """Choose the threshold where there is a truth and put it into ``parameters``.

    Returns:
        The sequences to use it on, and what to report; all sequences and nothing where there is no truth.
    """
    if truth is None:
        return sequences, None
    from hf_trace.discovery.threshold_choice import choose_threshold

    with progress("choosing the threshold", 1) as advance:
        chosen = choose_threshold(pipe, sequences, truth, advance=advance, **parameters)
    say(
        f"Chose the threshold {chosen.threshold} on {chosen.validation:,} sequences (mean F1 {chosen.f1:.3f}); the "
        f"result is of the other {len(chosen.rest):,}."
    )
    parameters["threshold"] = str(chosen.threshold)
    return chosen.rest, chosen.to_dict()


def with_validation(output: dict[str, Any], validation: dict[str, Any] | None) -> dict[str, Any]:
    """The output of a run, with how its threshold was chosen."""
    if validation is None:
        return output
    graph = {**output["graph"], "metadata": {**output["graph"]["metadata"], "validation": validation}}
    return {**output, "graph": graph, "validation": validation}


def check_resume(resume: bool, out: Path | None, effect: str) -> None:
    """Refuse to go on with what was never kept.

    Raises:
        SettingsError: If there is no output file, or effects are total.
    """
    if resume and out is None:
        raise SettingsError(
            "`--resume` goes on with what lies beside the output file, and none is named. Pass the `--out` of the run."
        )
    if resume and effect == "total":
        raise SettingsError(
            "`--resume` is for direct effects, which are kept shard by shard; total effects are computed in one go. "
            "Start again without it."
        )


def parse_sample(text: str | None) -> int | float | None:
    """A number of sequences (``1000``), or a share of them (``0.1``, ``10%``).

    Raises:
        SettingsError: If it is neither.

    Example:
        >>> parse_sample("1000"), parse_sample("0.1"), parse_sample("10%")
        (1000, 0.1, 0.1)
    """
    if text is None:
        return None
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text else int(text)
    except ValueError:
        raise SettingsError(
            f"sample is {text!r}, expected a number of sequences such as 1000, or a share such as 0.1."
        ) from None


@contextmanager
def scores_of(
    pipe: "CausalDiscoveryPipeline",
    sequences: "EventLog",
    out: Path | None,
    parameters: dict[str, Any],
    *,
    resume: bool,
) -> Iterator[tuple["LongRun | None", bool]]:
    """The scores of a log, None for total effects, and whether this process is the one that writes the result.

    Shards lie beside ``out`` until the block, which writes the result, has ended well.
    """
    if parameters["effect"] != "total":
        with _scored_in_shards(pipe, sequences, out, parameters, resume=resume) as run:
            yield run, run.processes.is_main
        return
    from hf_trace.runs.processes import joined

    processes = joined()
    if processes.count > 1:
        warn(f"Total effects are computed by one process; the other {processes.count - 1} have nothing to do.")
    yield None, processes.is_main


@contextmanager
def _scored_in_shards(
    pipe: "CausalDiscoveryPipeline",
    sequences: "EventLog",
    out: Path | None,
    parameters: dict[str, Any],
    *,
    resume: bool,
) -> Iterator["LongRun"]:
    """Score a log shard by shard; every process of a launch scores its share."""
    from hf_trace.discovery.shards import LongRun
    from hf_trace.runs.processes import joined

    processes = joined()
    lent = None if out is not None else processes.told(_lent_folder(processes.is_main, processes.nodes))
    folder = out.parent / f".{out.name}-shards" if out is not None else Path(lent or "")
    run = LongRun(pipe, sequences, folder, parameters, processes)
    try:
        run.prepare(resume=resume)
        if run.finished:
            say(f"Going on: {run.finished:,} of {len(run.shards):,} shards are finished.")
        elif resume:
            say("There is no interrupted run to go on with; starting from the beginning.")
        with progress("discovering (%)", 100) as advance:
            run.compute(_percent(advance))
        yield run
        if processes.is_main:
            shutil.rmtree(folder)
    finally:
        if processes.is_main and (lent is not None or not run.finished):
            shutil.rmtree(folder, ignore_errors=True)


def _percent(advance: Callable[[float], None]) -> Callable[[float], None]:
    return lambda share: advance(100 * share)


def _lent_folder(is_main: bool, nodes: int) -> str | None:
    if nodes > 1:
        raise SettingsError(
            f"{nodes} machines work on this run and no output file is named. Pass `--out FILE` in a folder that all of "
            "them see: shards are kept beside it."
        )
    return tempfile.mkdtemp(prefix="hf-trace-") if is_main else None


def discover(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or Hub id.")],
    log: Log,
    level: Annotated[str, typer.Option(help="population (all sequences), summary or instance (each).")] = "population",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Graph file: .json .graphml .dot .csv .parquet; for many .jsonl .parquet."),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Figure: .png .svg .pdf.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Page with graph, evidence and timeline: .html.")] = None,
    only: Annotated[list[str] | None, typer.Option("--id", help="Only this sequence; can be repeated.")] = None,
    max_sequences: Annotated[
        int | None, typer.Option("--max-sequences", help="Only the first so many sequences.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option("--sample", help="Only so many sequences (1000) or a share (0.1), at random.")
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
    unknown: Annotated[str | None, typer.Option(help="Events the model does not know: error, or map.")] = None,
    self_loops: Annotated[bool, typer.Option("--self-loops", help="Keep edges from a type to itself.")] = False,
    window_length: Length = None,
    window_gap: Gap = None,
    knowledge: Annotated[
        Path | None, typer.Option("--knowledge", help="JSON: forbidden and required pairs, tiers, groups, neighbours.")
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
    num_contexts: Annotated[int, typer.Option(help="Places where events are forced, for total effects.")] = 256,
    refine: Annotated[bool, typer.Option("--refine", help="Spend the draws on pairs near the threshold.")] = False,
    slide: Annotated[bool, typer.Option("--slide", help="Read long sequences whole, with a sliding context.")] = False,
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
    from hf_trace.graphs.knowledge import as_knowledge

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
    from hf_trace.discovery.settings import DEFAULT_STATISTICS
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.windows import first_sequences, sampled_sequences, sequences_of
    from hf_trace.pipelines.discovery_run import load_pipeline
    from hf_trace.runs.folders import recipe_of

    pipe = load_pipeline(run_folder, dtype=dtype, memory=memory, device_map=device_map)
    trained = recipe_of(run_folder)
    unknown = unknown or ("map" if trained.get("min_count", 1) > 1 else "error")
    windows = _windows(pipe, table, length=window_length, gap=window_gap, slide=slide)
    sequences = sequences_of(windows, only) if only else windows
    sequences = sampled_sequences(first_sequences(sequences, max_sequences), share, seed)
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
    from hf_trace.pipelines.discovery_run import windows_for

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
    from hf_trace.pipelines.discovery_run import population_run, record_run

    if parameters["level"] != "population":
        return record_run(pipe, scored or (), **parameters)
    pool = {} if stored is None else {"pool": stored.pool}
    with progress("pooling", None if scored else parameters["num_contexts"]) as advance:
        output = population_run(pipe, sequences, advance=advance, observe=observe, scored=scored, **parameters, **pool)
    if stored is not None:
        stored.save()
    return [output]
