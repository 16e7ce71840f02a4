"""The command line: reads options, calls the library, prints. Imports what is heavy inside the commands."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.console import print_json, print_table, progress, run, say, warn
from hf_trace.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from hf_trace.causal.metrics import GraphComparison
    from hf_trace.data.graph import CausalGraph
    from hf_trace.data.log import EventLog

app = typer.Typer(
    name="hf-trace",
    help="Causal graphs from event logs, by asking a language model what an event changed.",
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

Log = Annotated[
    str, typer.Argument(help="CSV, TSV, Parquet, JSONL, XES(.gz) or plain text: a file, folder or glob.")
]
Case = Annotated[
    str | None, typer.Option("--case-column", help="Column that names the sequence (case, device, session).")
]
Event = Annotated[
    str | None, typer.Option("--event-column", help="Column with the event, or several joined: `node,value`.")
]
Time = Annotated[str | None, typer.Option("--time-column", help="Column with the time.")]
Query = Annotated[str | None, typer.Option("--query", help="Rows to keep, e.g. \"level != 'INFO'\".")]
TimeUnit = Annotated[str, typer.Option("--time-unit", help="Unit of numeric times: s, ms, us, ns.")]
Length = Annotated[
    int | None, typer.Option("--window-length", help="Cut longer sequences into windows of so many events.")
]
Gap = Annotated[
    float | None, typer.Option("--window-gap", help="Also cut where nothing happened for so many seconds.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
MaxLag = Annotated[int, typer.Option("--max-lag", help="Longest distance from cause to effect, in events.")]
Threshold = Annotated[str, typer.Option("--threshold", help="`margin:NATS` or `fixed:VALUE`.")]
Samples = Annotated[int, typer.Option("--num-samples", help="Draws per replaced event.")]
Proposal = Annotated[
    str, typer.Option("--proposal", help="What events are replaced by: uniform, unigram, model, exhaustive.")
]


@app.command(
    epilog="Example: `hf-trace train alarms.csv --case-column device --event-column alarm --out runs/alarms`"
)
def train(
    log: Log,
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    preset: Annotated[str, typer.Option(help="Size of a new model: tiny, small or base.")] = "tiny",
    model: Annotated[
        str | None, typer.Option(help="A model type (gpt2), config, checkpoint folder or Hub id instead.")
    ] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters of a pretrained --model.")] = False,
    epochs: Annotated[float | None, typer.Option(help="Most passes over the data.")] = None,
    min_count: Annotated[int, typer.Option(help="Read event types seen less often as unknown.")] = 1,
    gaps: Annotated[
        bool | None, typer.Option("--gaps/--no-gaps", help="Write the time between events as tokens.")
    ] = None,
    bf16: Annotated[bool | None, typer.Option("--bf16/--no-bf16", help="Compute in bfloat16.")] = None,
    window_length: Length = None,
    window_gap: Gap = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Train a model on an event log; writes one folder that `from_pretrained` loads."""
    table = _read(log, case_column, event_column, time_column, query, time_unit)
    _prepare()
    from hf_trace.hub.oracle_quality import warning
    from hf_trace.hub.training import TrainingSettings
    from hf_trace.hub.training import train as train_oracle
    from hf_trace.hub.training_progress import ProgressCallback

    settings = TrainingSettings(
        preset=preset, model=model, lora=lora, epochs=epochs, min_count=min_count, gaps=gaps, bf16=bf16,
        window_length=window_length, window_gap=window_gap, seed=seed,
    )  # fmt: skip
    with progress("training (%)", 100) as advance:
        trained = train_oracle(table, out, settings, resume=resume, callbacks=[ProgressCallback(advance)])
    if problem := warning(trained.quality.to_dict()):
        warn(problem)
    if json_output:
        print_json({"run": str(out), **trained.metrics})
    else:
        say(f"{trained.quality}; {trained.metrics['seconds']:.0f} s. Wrote {out}")


@app.command(
    epilog="Example: `hf-trace discover runs/alarms alarms.csv --max-lag 8 --plot graph.png --out graph.json`"
)
def discover(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or Hub id.")],
    log: Log,
    level: Annotated[
        str, typer.Option(help="population (all sequences), summary or instance (each).")
    ] = "population",
    out: Annotated[
        Path | None, typer.Option("--out", help="Graph file: .json .graphml .dot .csv; .jsonl for many.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Figure: .png .svg .pdf.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--id", help="Only this sequence; can be repeated.")
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", help="Only so many sequences, at random.")] = None,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    max_lag: MaxLag = 16,
    threshold: Threshold = "margin:0.05",
    num_samples: Samples = 32,
    proposal: Proposal = "uniform",
    prefix_length: Annotated[int, typer.Option(help="Events at the start that are never causes.")] = 0,
    min_frequency: Annotated[
        float, typer.Option(help="Least share of sequences that carry a population edge.")
    ] = 0.05,
    unknown: Annotated[
        str | None, typer.Option(help="Events the model does not know: error, or map.")
    ] = None,
    self_loops: Annotated[
        bool, typer.Option("--self-loops", help="Keep edges from a type to itself.")
    ] = False,
    window_length: Length = None,
    window_gap: Gap = None,
    construction: Annotated[str, typer.Option(help="atomic, or staircase (the paper's).")] = "atomic",
    statistic: Annotated[
        str | None, typer.Option(help="kl_to_mixture; for the staircase library or paper.")
    ] = None,
    slide: Annotated[
        bool, typer.Option("--slide", help="Read long sequences whole, with a sliding context.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Sequences read at a time.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    memory: Annotated[str | None, typer.Option(help="Memory scoring may use, e.g. 2GB.")] = None,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Find which events cause which."""
    _check_outputs(out, plot, level)
    table = _read(log, case_column, event_column, time_column, query, time_unit)
    _prepare()
    from hf_trace.causal.settings import DEFAULT_STATISTICS
    from hf_trace.data.graph import CausalGraph
    from hf_trace.hub import discovery_run as runs
    from hf_trace.hub.runs import TRAINING_FILE, read_json

    pipe = runs.load_pipeline(run_folder, dtype=dtype, memory=memory)
    trained = read_json(run_folder, TRAINING_FILE)
    unknown = unknown or ("map" if trained.get("min_count", 1) > 1 else "error")
    windows = runs.windows_for(pipe, table, length=window_length, gap=window_gap, slide=slide)
    if windows.was_cut:
        say(f"Cut into {len(windows.log):,} windows of at most {windows.length} events.")
    sequences = runs.chosen(windows.log, only) if only else windows.log
    sequences = runs.sampled(sequences, sample, seed)
    _check_one_graph(1 if level == "population" else len(sequences), out, plot)
    parameters: dict[str, Any] = {
        "max_lag": max_lag, "threshold": threshold, "num_samples": num_samples, "proposal": proposal,
        "prefix_length": prefix_length, "min_frequency": min_frequency, "unknown": unknown,
        "construction": construction, "statistic": statistic or DEFAULT_STATISTICS.get(construction, ""),
        "self_loops": self_loops, "slide": slide, "batch_size": batch_size, "seed": seed, "level": level,
    }  # fmt: skip
    started = time.monotonic()
    with progress("discovering", len(sequences.codes)) as advance:
        if level == "population":
            outputs = [runs.population_run(pipe, sequences, advance=advance, **parameters)]
        else:
            outputs = list(runs.record_run(pipe, sequences, advance=advance, **parameters))
    if problem := outputs[0]["oracle"].get("warning"):
        warn(problem)
    graphs = [CausalGraph.from_dict(output["graph"]) for output in outputs]
    say(f"{len(sequences):,} sequences in {time.monotonic() - started:.1f} s.")
    _write_graphs(graphs, outputs, out, plot)
    if json_output:
        print_json(outputs[0] if len(outputs) == 1 else outputs)
    else:
        _print_graphs(graphs)


@app.command(epilog="Example: `hf-trace evaluate graph.json truth.csv`")
def evaluate(
    graph: Annotated[Path, typer.Argument(help="A graph written by `discover`.")],
    truth: Annotated[Path, typer.Argument(help="JSON, GraphML, GML, edge-list CSV or .npy adjacency.")],
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Compare a graph with a known one, beside the base rate and trivial baselines."""
    from hf_trace.causal.evaluation import evaluate_graph
    from hf_trace.data.graph import CausalGraph

    comparison = evaluate_graph(CausalGraph.load(graph), CausalGraph.load(truth))
    if json_output:
        print_json(comparison.to_dict())
    else:
        _print_comparison(comparison)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the run, the graph and the figure.")] = Path(
        "runs/demo"
    ),
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Real telecom alarms in, causal graph out, compared with the known one."""
    _prepare()
    from hf_trace.hub.demo import run_demo

    result = run_demo(out, seed=seed, say=say, progress=progress)
    if json_output:
        print_json(result.to_dict())
        return
    _print_graphs([result.graph])
    _print_comparison(result.comparison)
    say(f"Wrote {out / 'graph.json'} and {out / 'graph.png'}; {result.seconds:.0f} s in all.")


def _read(
    log: str, case: str | None, event: str | None, time_column: str | None, query: str | None, unit: str
) -> "EventLog":
    """Read a log and say what is in it before any work starts."""
    from hf_trace.data.reading import read_log

    events = event.split(",") if event and "," in event else event
    table = read_log(
        log, case_column=case, event_column=events, time_column=time_column, query=query, time_unit=unit
    )
    for line in table.summary().lines():
        say(line)
    return table


def _prepare() -> None:
    """Keep the host library's own bars and notes off the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    from transformers.utils import logging as host

    host.set_verbosity_error()
    host.disable_progress_bar()


def _check_outputs(out: Path | None, plot: Path | None, level: str) -> None:
    """Refuse an output that could not be written before any work is done."""
    from typing import get_args

    from hf_trace.data.graph_validation import Level

    levels = get_args(Level)
    if level not in levels:
        raise SettingsError(f"level is {level!r}, expected one of: {', '.join(levels)}.")
    for path, suffixes in (
        (out, (".json", ".jsonl", ".graphml", ".dot", ".gv", ".csv")),
        (plot, (".png", ".svg", ".pdf")),
    ):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise OutputError(
                f"Cannot write {str(path)!r}: expected a name that ends in {', '.join(suffixes)}."
            )
        if path.is_dir():
            raise OutputError(f"Cannot write {str(path)!r}: it is a folder. Give the name of a file.")
        if not path.parent.is_dir():
            raise OutputError(
                f"Cannot write {str(path)!r}: there is no folder {str(path.parent)!r}. Create it first."
            )
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"Cannot write {str(path)!r}: no permission in {str(path.parent)!r}.")


def _check_one_graph(graphs: int, out: Path | None, plot: Path | None) -> None:
    """Refuse many graphs for one file before any is computed."""
    one_file = plot if out is None or out.suffix.lower() == ".jsonl" else out
    if one_file is not None and graphs > 1:
        raise SettingsError(
            f"There are {graphs} graphs for one file {str(one_file)!r}. Choose one with `--id`, write all with "
            "`--out x.jsonl`, or pool them with `--level population`."
        )


def _write_graphs(
    graphs: "list[CausalGraph]", outputs: list[dict[str, Any]], out: Path | None, plot: Path | None
) -> None:
    from hf_trace.report.figure import draw_graph

    if out is not None and out.suffix.lower() == ".jsonl":
        from hf_trace.data.writing import write_json_lines

        write_json_lines(out, outputs)
    elif out is not None:
        graphs[0].save(out)
    if plot is not None:
        draw_graph(graphs[0], plot)


def _print_graphs(graphs: "list[CausalGraph]", most: int = 10) -> None:
    for graph in graphs[:5]:
        title = f"{graph.level} graph: {len(graph.events)} events, {len(graph.edges)} edges"
        print_table(f"{title}; the strongest:" if graph.edges else title, *_edge_table(graph.strongest(most)))
    if len(graphs) > 5:
        say(f"… and {len(graphs) - 5} more graphs.")


def _edge_table(graph: "CausalGraph") -> tuple[list[str], list[list[Any]]]:
    shown = {"cause": "cause", "effect": "effect", "direction": "acts", "cmi": "cmi (nats)", "frequency": "frequency",
             "support": "sequences", "lag": "lag", "lags": "lags", "lag_seconds": "after"}  # fmt: skip
    edges = sorted(graph.edges, key=lambda edge: -edge.get("cmi", 0))
    keys = [key for key in shown if any(key in edge for edge in edges)]
    rows = [[_shown(key, edge.get(key, "")) for key in keys] for edge in edges]
    return [shown[key] for key in keys], rows


def _shown(key: str, value: Any) -> Any:
    from hf_trace.data.summary import duration

    if key == "lag_seconds" and value != "":
        return duration(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _print_comparison(comparison: "GraphComparison") -> None:
    rows = comparison.table_rows()
    title = (
        f"against {comparison.n_true_edges} known edges among {comparison.n_types} types "
        f"(base rate {comparison.scores.base_rate:.3f})"
    )
    print_table(title, list(rows[0]), [list(row.values()) for row in rows])


def main() -> None:
    """Entry point: one line per mistake, never a traceback for bad input."""
    command = typer.main.get_command(app)
    # Typer brings its own copy of click; its base of all usage errors is reached through a public name.
    usage_error = typer.BadParameter.__mro__[2]
    arguments = sys.argv[1:] or ["--help"]
    sys.exit(run(lambda: command.main(arguments, standalone_mode=False, prog_name="hf-trace"), usage_error))
