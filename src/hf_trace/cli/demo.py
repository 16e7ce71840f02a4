"""``hf-trace demo``: real alarms in, causal graph out, beside the known one, in one command."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_trace.cli.console import print_comparison, print_graphs, print_json, progress, say
from hf_trace.cli.inputs import quieten_host
from hf_trace.cli.options import Json, Seed

if TYPE_CHECKING:
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import GraphComparison

WINDOW_LENGTH = 64
WINDOWS_SCORED = 200
MAX_LAG = 8


def run_demo(out: Path, *, seed: int) -> "tuple[CausalGraph, GraphComparison]":
    """Train on the packaged telecom alarms, discover, draw and compare.

    Args:
        out: Folder for ``run/``, ``graph.json`` and ``graph.png``.
        seed: Seed of everything random.

    Returns:
        The population graph; it and the baselines against the known graph.
    """
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import evaluate_graph
    from hf_trace.logs.samples import alarms_log, alarms_truth
    from hf_trace.logs.windows import sampled_sequences
    from hf_trace.logs.writing import atomic_path
    from hf_trace.pipelines.discovery_run import load_pipeline, population_run, windows_for
    from hf_trace.report.figure import draw_graph
    from hf_trace.training.log_training import TrainingSettings, train
    from hf_trace.training.loop import ProgressCallback

    log = alarms_log()
    for line in log.summary().lines():
        say(line)
    out.mkdir(parents=True, exist_ok=True)
    with progress("training (%)", 100) as advance:
        settings = TrainingSettings(window_length=WINDOW_LENGTH, seed=seed)
        trained = train(log, out / "run", settings, callbacks=[ProgressCallback(advance)])
    say(f"Trained in {trained.metrics['seconds']:.0f} s: {trained.quality}.")

    discover = load_pipeline(out / "run")
    windows = sampled_sequences(windows_for(discover, log).log, WINDOWS_SCORED, seed)
    with progress("discovering", len(windows.codes)) as advance:
        output = population_run(discover, windows, advance=advance, proposal="exhaustive", max_lag=MAX_LAG, seed=seed)
    graph = CausalGraph.from_dict(output["graph"])
    truth = CausalGraph.from_edges(alarms_truth(), events=log.event_types)
    graph.save(out / "graph.json")
    with atomic_path(out / "graph.png") as unfinished:
        draw_graph(graph, unfinished, truth=truth, title="Telecom alarms: what causes what")
    return graph, evaluate_graph(graph, truth)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the run, the graph and the figure.")] = Path(
        "runs/demo"
    ),
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Real telecom alarms in, causal graph out, compared with the known one."""
    started = time.monotonic()
    quieten_host()
    graph, comparison = run_demo(out, seed=seed)
    seconds = time.monotonic() - started
    if json_output:
        print_json({"graph": graph.to_dict(), "comparison": comparison.to_dict(), "seconds": seconds})
        return
    print_graphs([graph])
    print_comparison(comparison)
    say(f"Wrote {out / 'graph.json'} and {out / 'graph.png'}; {seconds:.0f} s in all.")
