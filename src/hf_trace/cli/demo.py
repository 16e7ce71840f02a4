"""What can be tried at once: ``hf-trace demo``, real alarms in, graph out; ``hf-trace app``, a page and tools."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_trace.cli.console import print_comparison, print_graphs, print_json, progress, say, warn, wrote
from hf_trace.cli.flags import Json, Overwrite, Seed, flag
from hf_trace.cli.inputs import quiet_transformers
from hf_trace.cli.outputs import check_folder, check_output
from hf_trace.options import CONSTRUCTION, SEED

if TYPE_CHECKING:
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import GraphComparison

WINDOW_LENGTH = 64
WINDOWS_SCORED = 200
MAX_DEMO_LAG = 8
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run_demo(out: Path, *, seed: int, construction: str = "by-type") -> "tuple[CausalGraph, GraphComparison]":
    """Train on the packaged telecom alarms, discover, draw and compare.

    Args:
        out: Folder for all that is made.
        seed: Of training, windows and draws.
        construction: See ``DiscoverySettings``; where single events are replaced, every type is tried once.

    Returns:
        The population graph; it and the baselines against the known graph.
    """
    from hf_trace.discovery.results import log_result
    from hf_trace.discovery.settings import DiscoveryRequest
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import evaluate_graph
    from hf_trace.graphs.pictures.figure import draw_graph
    from hf_trace.logs.samples import alarms_log, alarms_truth
    from hf_trace.logs.windows import sampled_sequences
    from hf_trace.logs.writing import atomic_path
    from hf_trace.runs.event_model import EventModel
    from hf_trace.training.log_training import TrainingSettings, train
    from hf_trace.training.loop import ProgressCallback

    request = DiscoveryRequest().updated(level="population", proposal="exhaustive", max_lag=MAX_DEMO_LAG, seed=seed)
    if construction != request.settings.construction:
        request = request.updated(construction=construction)
    log = alarms_log()
    for line in log.summary().lines():
        say(line)
    out.mkdir(parents=True, exist_ok=True)
    with progress("training (%)", 100) as advance:
        settings = TrainingSettings(window_length=WINDOW_LENGTH, seed=seed)
        trained = train(log, out / "run", settings, callbacks=[ProgressCallback(advance)])
    say(f"Trained in {trained.metrics['seconds']:.0f} s: {trained.quality}.")

    model = EventModel.load(out / "run")
    windows = sampled_sequences(model.windows(log).log, WINDOWS_SCORED, seed)
    with progress("discovering", len(windows.codes)) as advance:
        graph = log_result(model, windows, request, advance=advance).graph
    truth = CausalGraph.from_edges(alarms_truth(), events=log.event_types)
    graph.save(out / "graph.json")
    with atomic_path(out / "graph.png") as unfinished:
        draw_graph(graph, unfinished, truth=truth, title="Telecom alarms: what causes what")
    return graph, evaluate_graph(graph, truth)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run, the graph and the figure.")] = Path("runs/demo"),
    overwrite: Overwrite = False,
    construction: Annotated[str, flag(CONSTRUCTION)] = "by-type",
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Real telecom alarms in, causal graph out, compared with the known one."""
    started = time.monotonic()
    quiet_transformers()
    check_folder(out / "run", overwrite=overwrite)
    for name in ("graph.json", "graph.png") if out.is_dir() else ():
        check_output(out / name, ())
    graph, comparison = run_demo(out, seed=seed, construction=construction)
    seconds = time.monotonic() - started
    wrote(out / "run", out / "graph.json", out / "graph.png")
    say(f"{seconds:.0f} s in all.")
    if json_output:
        print_json({"graph": graph.to_dict(), "comparison": comparison.to_dict(), "seconds": seconds})
        return
    print_graphs([graph])
    print_comparison(comparison)


def app(
    run: Annotated[
        str | None, typer.Argument(help="Run of events to ask; without one, or for another log, one is trained.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach others than this.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; by default the first free one from 7860.")
    ] = None,
    tools: Annotated[bool, typer.Option("--tools/--no-tools", help="Also be an MCP server for agents.")] = True,
    max_bytes: Annotated[str, typer.Option(help="Largest log that is taken.")] = "5MB",
    max_events: Annotated[int, typer.Option(help="Most events of a log that is taken.")] = 50_000,
) -> None:
    """Serve a page that takes a log and shows its graph, root causes and what if; and the same as tools for agents.

    Nothing of this machine can be read through it, what is sent is bounded and forgotten, and other machines are let in
    only with `--host`.
    """
    from hf_trace.app.bounds import Bounds
    from hf_trace.app.serving import serve
    from hf_trace.checks import byte_count, whole

    quiet_transformers()
    if port is not None:
        whole("port", port, most=65_535)
    bounds = Bounds(bytes=byte_count("max_bytes", max_bytes), events=max_events)
    if host not in _LOOPBACK:
        warn(f"Everybody who reaches {host} may use this app, without a password.")
    serve(run, host=host, port=port, tools=tools, bounds=bounds)
