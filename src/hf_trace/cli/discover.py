"""``hf-trace discover``: a run folder and an event log to causal graphs."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace import options
from hf_trace.cli.console import SHOWN, print_graphs, print_json, progress, say, warn, wrote
from hf_trace.cli.flags import flag, is_typed, named_log, parse_sample, refuse_draws, refuse_given, refuse_whole
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.cli.launching import is_helping
from hf_trace.cli.outputs import check_one_graph, check_output, write_figure, write_graphs, write_report
from hf_trace.documents import Document
from hf_trace.errors import EmptyLogError, SettingsError
from hf_trace.logs.writing import atomic_path, reserved

if TYPE_CHECKING:
    from hf_trace.discovery.population.pool_files import StoredPool
    from hf_trace.discovery.results import Discovered, Observe
    from hf_trace.discovery.scoring import ScoredSequence
    from hf_trace.discovery.settings import DiscoveryRequest
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.log import EventLog
    from hf_trace.runs.event_model import EventModel

# What only some questions have; typed beside another one, it is refused.
_OF_POPULATIONS = ("min_frequency", "bootstrap", "update", "groups", "context_column")
_OF_DIRECT_EFFECTS = (
    *("num_samples", "proposal", "construction", "refine", "batch_size", "truth", "resume", "knowledge", "variable"),
    *_OF_POPULATIONS,
)
_OF_TOTAL_EFFECTS = ("horizon", "num_contexts")
_OF_QUESTIONS = (
    *("effect", "statistic", "threshold", "self_loops", "ties"), *_OF_DIRECT_EFFECTS, *_OF_TOTAL_EFFECTS,
)  # fmt: skip
_OF_RUNS = ("dtype", "memory", "device_map", "compiled", "trust_remote_code", "slide", "unknown", "stream", "topology")
# A population graph by type is added up from sequences that are scored once, by one process.
_OF_PAIR_SCORES = ("update", "groups", "context_column", "min_frequency", "truth", "resume")


@dataclass(frozen=True)
class GraphOutputs:
    """Where the result goes; None: nowhere.

    Attributes:
        log: What is read, for titles.
        out: File of the graph, or of many.
        plot: Figure.
        max_edges: Most arrows in it; None: as many as can be read.
        html: Page.
        groups: Table of edges in groups of sequences.
        update: Pool that the sequences are added to.
        json: Whether the result is printed as JSON.
    """

    log: str
    out: Path | None
    plot: Path | None
    max_edges: int | None
    html: Path | None
    groups: Path | None
    update: Path | None
    json: bool


def discover(
    context: typer.Context,
    run_folder: flags.RunFolder,
    log: flags.LogUnlessAlone = None,
    level: Annotated[
        str, typer.Option(help="One graph for all (population), or for each (summary, instance).")
    ] = "population",
    out: Annotated[
        Path | None,
        typer.Option(help="Graph file: .json .graphml .dot .csv .parquet; several graphs: .jsonl .parquet."),
    ] = None,
    plot: flags.Plot = None,
    max_edges: flags.MaxEdges = None,
    html: Annotated[Path | None, typer.Option(help="Page with graph, evidence and timeline: .html.")] = None,
    only: flags.Only = None,
    max_sequences: Annotated[int | None, typer.Option(help="Only the first N sequences.")] = None,
    sample: flags.Sample = None,
    stream: flags.Stream = False,
    case_column: flags.Case = None,
    event_column: flags.Event = None,
    time_column: flags.Time = None,
    context_column: flags.Contexts = None,
    query: flags.Query = None,
    topology: flags.Topology = None,
    topology_directed: flags.Directed = options.TOPOLOGY_DIRECTED.default,
    hops: flags.Hops = options.HOPS.default,
    time_unit: flags.TimeUnit = None,
    time_format: flags.TimeFormat = None,
    max_lag: flags.MaxLag = options.MAX_LAG.default or 0,
    threshold: flags.Threshold = options.THRESHOLD.default,
    truth: Annotated[Path | None, typer.Option(help="Known graph by which `--threshold validated` chooses.")] = None,
    num_samples: flags.Samples = options.NUM_SAMPLES.default,
    proposal: Annotated[str | None, flag(options.PROPOSAL)] = None,
    prefix_length: Annotated[int, flag(options.PREFIX_LENGTH)] = options.PREFIX_LENGTH.default,
    min_frequency: flags.MinFrequency = str(options.MIN_FREQUENCY.default),
    bootstrap: Annotated[int, flag(options.BOOTSTRAP)] = options.BOOTSTRAP.default,
    update: Annotated[
        Path | None, typer.Option(help="Pool file to add the new sequences to; created if absent.")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Table of every edge in every group of the --context-column: .csv.")
    ] = None,
    ties: Annotated[str, flag(options.TIES)] = options.TIES.default,
    unknown: flags.Unknown = options.UNKNOWN.default,
    self_loops: flags.SelfLoops = False,
    window_length: flags.Length = None,
    window_gap: flags.Gap = None,
    knowledge: Annotated[
        Path | None, typer.Option(help="JSON: forbidden and required pairs, tiers, groups, neighbours.")
    ] = None,
    construction: Annotated[str, flag(options.CONSTRUCTION)] = options.CONSTRUCTION.default,
    statistic: Annotated[str | None, flag(options.STATISTIC)] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            help="What is one cause and one effect, for by-type: `pump=*`, or `*=*` for all; can be repeated."
        ),
    ] = None,
    question: Annotated[str | None, flag(options.QUESTION)] = options.QUESTION.default,
    effect: Annotated[str, flag(options.EFFECT)] = options.EFFECT.default,
    horizon: Annotated[str, flag(options.HORIZON)] = options.HORIZON.default,
    num_contexts: Annotated[int, flag(options.NUM_CONTEXTS)] = options.NUM_CONTEXTS.default,
    refine: Annotated[bool, typer.Option("--refine", help="Spend the draws on pairs near the threshold.")] = False,
    slide: Annotated[bool, typer.Option("--slide", help="Read long sequences whole, with a sliding context.")] = False,
    batch_size: Annotated[int | None, flag(options.BATCH_SIZE)] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    device_map: Annotated[
        str | None, typer.Option(help="auto: spread a model that is larger than one GPU over several.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory that scoring may use, e.g. 2GB.")] = None,
    compiled: flags.Compiled = False,
    trust_remote_code: flags.Trust = options.TRUST_REMOTE_CODE.default,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run with the same settings and --out.")
    ] = False,
    processes: flags.Processes = 1,
    zero: Annotated[bool, typer.Option("--zero", help="Name the log alone: nothing is trained on it.")] = False,
    seed: flags.Seed = options.SEED.default,
    json_output: flags.Json = False,
) -> None:
    """Find which events cause which."""
    log = named_log(run_folder, log, is_alone=zero)
    outputs = GraphOutputs(log, out, plot, max_edges, html, groups, update, json_output)
    compare = list(context_column or ())
    _check(context, outputs, compare)
    for path in (out, update) if not is_helping() else ():
        if path is not None:
            context.with_resource(reserved(path))
    share = parse_sample(sample)
    from hf_trace.discovery.settings import DiscoveryRequest

    known = _known_causes(threshold, truth)
    parameters = {
        "threshold": threshold if known is None else "fixed:0", "construction": construction, "statistic": statistic,
        "effect": effect, "horizon": horizon,
    }  # fmt: skip
    request = (DiscoveryRequest().updated(construction="by-type") if zero else DiscoveryRequest()).updated(
        level=level, max_lag=max_lag, num_samples=num_samples, proposal=proposal, prefix_length=prefix_length,
        min_frequency=min_frequency, unknown=unknown, self_loops=self_loops, slide=slide, batch_size=batch_size,
        seed=seed, knowledge=knowledge, num_contexts=num_contexts, refine=refine, bootstrap=bootstrap, compare=compare,
        ties=ties, variable=tuple(variable or ()), question=None if question == options.AUTO else question,
        **{name: value for name, value in parameters.items() if is_typed(context, name)},
    )  # fmt: skip
    source = LogSource(
        log, case_column, event_column, time_column, query, time_unit, contexts=compare, time_format=time_format,
        topology=topology, directed=topology_directed, hops=hops,
    )  # fmt: skip
    source = source if zero else source.as_trained(run_folder)
    table = source.sampled(share, max_sequences, seed) if stream else source.read()
    if level == "population":
        request = _asked(context, table, request)
    quiet_transformers()
    from hf_trace.logs.windows import first_sequences, sampled_sequences, sequences_of
    from hf_trace.runs.event_model import EventModel

    if zero:
        from hf_trace.amortised.zero_shot import zero_shot_model

        model: EventModel = zero_shot_model(table, length=window_length, gap=window_gap, seed=seed)
    else:
        model = EventModel.load(
            run_folder, dtype=dtype, memory=memory, device_map=device_map, trust_remote_code=trust_remote_code,
            compiled=compiled,
        )  # fmt: skip
    windows = model.windows(table, length=window_length, gap=window_gap, slide=slide)
    if windows.was_cut:
        say(f"Cut into {len(windows.log):,} windows of at most {windows.length} events.")
    sequences = sequences_of(windows.log, only) if only else windows.log
    if not stream:  # else they were drawn as they were read
        sequences = sampled_sequences(first_sequences(sequences, max_sequences), share, seed)
    check_one_graph(1 if level == "population" else len(sequences), out, plot, html)
    is_whole = not (only or max_sequences or share)
    _discover(model, sequences, known, request, outputs, table, resume=resume, is_whole=is_whole or stream)


def _discover(
    model: "EventModel",
    sequences: "EventLog",
    known: "CausalGraph | None",
    request: "DiscoveryRequest",
    outputs: GraphOutputs,
    table: "EventLog",
    *,
    resume: bool,
    is_whole: bool,
) -> None:
    """Score, write, show; ``is_whole``: the sequences are those of the table, but for windows."""
    from hf_trace.discovery.thresholds import parse_threshold
    from hf_trace.report.evidence import EvidenceCollector

    started, validation = time.monotonic(), None
    if known is not None:
        sequences, request, validation = _with_chosen_threshold(model, sequences, known, request)
    evidence = EvidenceCollector(parse_threshold(request.settings.threshold))
    stored, sequences = _begun_pool(outputs.update, model, sequences, request)
    with _scores_of(model, sequences, outputs.out, request, resume=resume) as (items, speaks):
        if items is not None and not speaks:
            return
        observe = evidence.add if outputs.html else None
        results = _results(model, sequences, items, request, observe, stored, whole=table if is_whole else None)
        if not speaks:
            return
        count = 1 if request.level == "population" else len(sequences)
        noted = (result.with_validation(validation) for result in results)
        found = write_graphs(noted, outputs.out, count=count, keep=None if outputs.json else SHOWN)
        _say_notes(found[0], outputs.groups)
        say(f"{len(sequences):,} sequences in {time.monotonic() - started:.1f} s.")
        if outputs.plot is not None:
            write_figure(outputs.plot, found[0].graph, outputs.log, sequences, max_edges=outputs.max_edges)
        if outputs.html is not None:
            write_report(outputs.html, found[0], evidence, table, sequences, outputs.log)
        if stored is not None:  # last: a run that is killed before is resumed with the sequences it began with
            stored.save()
            wrote(outputs.update)
    if outputs.json:
        documents = [result.to_dict() for result in found]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        print_graphs([result.graph for result in found[:SHOWN]], total=count)


def _asked(context: typer.Context, table: "EventLog", request: "DiscoveryRequest") -> "DiscoveryRequest":
    """The request with the question that the log can tell, where that is asked for; else the user hears of it."""
    question = context.params["question"]
    if question in options.QUESTIONS or is_typed(context, "effect") or is_typed(context, "construction"):
        return request
    from hf_trace.discovery.which_question import which_question
    from hf_trace.logs.places.histories import own_events

    table = own_events(table)
    if question == options.AUTO:
        found = which_question(table)
        say(f"Asking what {found.question}: {found.reason}.")
        return request.updated(question=found.question)
    with suppress(EmptyLogError):
        found = which_question(table)
        say(f"This log is fit to tell what {found.question}: {found.reason}. `--question {found.question}` asks that.")
    return request


def _check(context: typer.Context, outputs: GraphOutputs, compare: list[str]) -> None:
    """Refuse, before any work, what cannot be written and what does not belong to the question."""
    check_output(outputs.out, (".json", ".jsonl", ".parquet", ".graphml", ".dot", ".gv", ".csv"))
    check_output(outputs.plot, flags.FIGURES)
    if outputs.plot is None:
        refuse_given(context, ("max_edges",), flags.OF_FIGURE)
    check_output(outputs.html, (".html", ".htm"))
    check_output(outputs.update, ())
    check_output(outputs.groups, (".csv",))
    level, proposal = context.params["level"], context.params["proposal"]
    options.LEVEL.checked(level)
    effect, construction = _what_is_asked(context)
    if context.params["zero"]:
        refuse_given(context, _OF_RUNS, "is about a trained run, and `--zero` asks none. Leave out either.")
        if effect == "total" or construction != "by-type":
            raise SettingsError(
                f"`--zero` takes all events of a type out at once, and {effect} effects by construction "
                f"{construction!r} are asked for. Leave these out, or train a run with `hf-trace train`."
            )
    if effect == "total":
        refuse_given(
            context, _OF_DIRECT_EFFECTS, "is about direct effects, and total ones are asked for. Leave it out."
        )
    else:
        refuse_given(context, _OF_TOTAL_EFFECTS, "is about total effects. Add `--effect total`, or leave it out.")
    if level != "population":
        reason = f"is about population graphs, and the level is {level!r}. Leave it out, or `--level`."
        refuse_given(context, _OF_POPULATIONS, reason)
    _check_construction(context, construction, level)
    refuse_draws(context, proposal or options.PROPOSAL.default)
    refuse_whole(context, ("query", "context_column", "topology"))
    if context.params["slide"]:
        refuse_given(context, ["window_length"], "cuts sequences, and `--slide` reads them whole. Leave out either.")
    if outputs.groups is not None and not compare:
        raise SettingsError(
            "`--groups` is the table of edges in groups of sequences, and nothing makes groups. Name what does with "
            "`--context-column`."
        )
    if context.params["resume"] and outputs.out is None:
        raise SettingsError(
            "`--resume` goes on with what lies beside the output file, and none is named. Pass the `--out` of the run."
        )


def _what_is_asked(context: typer.Context) -> tuple[str, str]:
    """Effect and construction: those of the question, where they are not typed."""
    from hf_trace.discovery.settings import ASKED_BY

    question = options.QUESTION.checked(context.params["question"])
    if question == options.AUTO:
        reason = "belongs to one question, and `--question auto` leaves open which. Leave it out, or name the question."
        refuse_given(context, _OF_QUESTIONS, reason)
        if context.params["level"] != "population":
            reason = "is about single sequences, and `--question auto` is asked of a population. Leave out either."
            refuse_given(context, ["level"], reason)
    asked = {name: context.params[name] for name in ("effect", "construction")}
    if context.params["zero"] and not is_typed(context, "construction"):
        asked["construction"] = "by-type"
    asked |= {name: value for name, value in ASKED_BY.get(question, {}).items() if not is_typed(context, name)}
    return options.EFFECT.checked(asked["effect"]), asked["construction"]


def _check_construction(context: typer.Context, construction: str, level: str) -> None:
    if construction != "atomic":
        reason = f"is about the construction 'atomic', and {construction!r} is asked for. Leave out either."
        refuse_given(context, ["refine"], reason)
    if construction == "by-type":
        reason = "is about effects of single events, and the construction 'by-type' is asked for. Leave out either."
        refuse_given(context, _OF_PAIR_SCORES if level == "population" else ("truth",), reason)
        if context.params["proposal"] in (None, "removal"):
            reason = "is about draws, and by default events are taken out. Add `--proposal uniform`, or leave it out."
            refuse_given(context, ["num_samples"], reason)
    if construction in ("saliency", "attention"):
        reason = f"is about replaced events, and the construction {construction!r} replaces none. Leave out either."
        refuse_given(context, ("num_samples", "proposal"), reason)


def _known_causes(threshold: str, truth: Path | None) -> "CausalGraph | None":
    """The truth that chooses the threshold, where one is asked for."""
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


def _with_chosen_threshold(
    model: "EventModel", sequences: "EventLog", truth: "CausalGraph", request: "DiscoveryRequest"
) -> "tuple[EventLog, DiscoveryRequest, Document]":
    """The sequences that did not choose the threshold, the request with it, and what to report."""
    from hf_trace.discovery.threshold_choice import choose_threshold

    with progress("choosing the threshold", 1) as advance:
        chosen = choose_threshold(model, sequences, truth, request, advance=advance)
    say(
        f"Chose the threshold {chosen.threshold} on {chosen.validation:,} sequences (mean F1 {chosen.f1:.3f}); the "
        f"result is of the other {len(chosen.rest):,}."
    )
    return chosen.rest, request.updated(threshold=str(chosen.threshold)), chosen.to_dict()


def _begun_pool(
    update: Path | None, model: "EventModel", sequences: "EventLog", request: "DiscoveryRequest"
) -> "tuple[StoredPool | None, EventLog]":
    """The stored pool, where one is asked for, and the sequences that are new to it."""
    if update is None:
        return None, sequences
    from hf_trace.discovery.population.pool_files import open_pool

    stored = open_pool(model, sequences, update, request)
    if stored.pool.sequences:
        say(
            f"The pool has {stored.pool.sequences:,} sequences; {len(stored.new):,} of the log are new, "
            f"{stored.known:,} are in it."
        )
    return stored, stored.new


@contextmanager
def _scores_of(
    model: "EventModel", sequences: "EventLog", out: Path | None, request: "DiscoveryRequest", *, resume: bool
) -> "Iterator[tuple[Iterable[ScoredSequence] | None, bool]]":
    """The scores of a log, None where pairs of positions have none, and whether this process writes the result.

    With an output file shards lie beside it until the block, which writes the result, has ended well.
    """
    from hf_trace.discovery.shards import LongRun
    from hf_trace.runs.processes import joined

    processes = joined()
    if request.is_pooled_by_type or request.is_total:  # shared out as they are added up
        yield None, processes.is_main
        return
    lent = None
    if out is None and processes.count > 1:
        lent = processes.told(_lent_folder(processes.is_main, processes.nodes))
    beside = None if out is None else out.parent / f".{out.name}-shards"
    folder = Path(lent) if lent is not None else beside
    run = LongRun(model, sequences, request, folder, processes)
    try:
        run.prepare(resume=resume)
        if run.finished:
            say(f"Resuming: {run.finished:,} of {len(run.shards):,} shards are finished.")
        elif resume:
            say("No interrupted run to resume; starting from the beginning.")
        with progress("discovering (%)", 100) as advance:

            def show(share: float) -> None:
                advance(100 * share)

            run.share_out(show)
            yield run.scores(show), processes.is_main
        if processes.is_main and folder is not None:
            shutil.rmtree(folder)
    finally:
        if processes.is_main and folder is not None and (lent is not None or not run.finished):
            shutil.rmtree(folder, ignore_errors=True)


def _lent_folder(is_main: bool, nodes: int) -> str | None:
    if nodes > 1:
        raise SettingsError(
            f"{nodes} machines work on this run and no output file is named. Pass `--out FILE` in a folder that all of "
            "them see: shards are kept beside it."
        )
    return tempfile.mkdtemp(prefix="hf-trace-") if is_main else None


def _results(
    model: "EventModel",
    sequences: "EventLog",
    items: "Iterable[ScoredSequence] | None",
    request: "DiscoveryRequest",
    observe: "Observe | None",
    stored: "StoredPool | None",
    *,
    whole: "EventLog | None",
) -> "Iterable[Discovered]":
    """What discovery found: one result for the log, or one per sequence."""
    from hf_trace.discovery.results import log_result, sequence_results
    from hf_trace.runs.processes import joined

    if request.level != "population":
        return sequence_results(model, items or (), request)
    pool = None if stored is None else stored.pool
    if items is None:
        doing, steps = "forcing events", request.settings.num_contexts
        if request.is_pooled_by_type:
            doing, steps = "taking events out", len(sequences.codes)
        with progress(doing, steps) as advance:
            return [log_result(model, sequences, request, advance=advance, whole=whole, processes=joined())]
    return [log_result(model, sequences, request, items=items, pool=pool, observe=observe, whole=whole)]


def _say_notes(result: "Discovered", groups: Path | None) -> None:
    """What to know about a result: an oracle not worth believing, how alike halves and groups of sequences are.

    Where a table of groups is asked for, it is written too.
    """
    if groups is not None:
        from hf_trace.discovery.population.group_comparison import group_table

        with atomic_path(groups) as unfinished:
            group_table(result.graph).to_csv(unfinished, index=False)
        wrote(groups)
    if problem := result.oracle.get("warning"):
        warn(problem)
    counts: dict[str, int] = {}
    for edge in result.graph.edges:
        for column, found in edge.get("groups", {}).items():
            counts[column] = counts.get(column, 0) + bool(found["differs"])
    for column, changes in counts.items():
        say(f"{changes} of {len(result.graph.edges)} edges are not equally strong in all groups of {column}.")
    if stability := result.graph.metadata.get("stability"):
        say(
            f"Stability: halves of the sequences share {stability['mean']:.0%} of their edges (minimum "
            f"{stability['least']:.0%} of {stability['halvings']} halvings; Jaccard index)."
        )
