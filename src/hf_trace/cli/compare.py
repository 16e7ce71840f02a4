"""``hf-trace compare`` and ``hf-trace evaluate``: what changed between two graphs, and a graph beside a known one."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace.cli.console import print_comparison, print_json, print_section, warn, wrote
from hf_trace.cli.outputs import check_output, write_documents
from hf_trace.options import SEED

if TYPE_CHECKING:
    from hf_trace.graphs.graph import CausalGraph

# Beside 0 (nothing changed), 1 (data), 2 (usage), 130 and 141 (signals).
CHANGED = 3
_COLUMNS = ("cause", "effect", "change", "before", "after", "difference", "low", "high", "p", "q")


def compare(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(help="Graph of the log before, or of one site: .json of `discover`.")],
    after: Annotated[Path, typer.Argument(help="Graph of the log after, or of the other site.")],
    out: Annotated[Path | None, typer.Option(help="All edges of both, with what changed: .csv .json .jsonl.")] = None,
    html: Annotated[Path | None, typer.Option(help="Page with both graphs in one: .html.")] = None,
    plot: flags.Plot = None,
    max_edges: flags.MaxEdges = None,
    least: Annotated[
        float | None,
        typer.Option(help="Differences up to this are none; by default what makes an edge: 0.05 of `margin:0.05`."),
    ] = None,
    fail_on_change: Annotated[
        bool, typer.Option("--fail-on-change", help="Exit code 3 when an edge has changed, for cron and pipelines.")
    ] = False,
    seed: flags.Seed = SEED.default,
    json_output: flags.Json = False,
) -> int:
    """Compare two graphs edge by edge: which are new, gone, stronger or weaker by more than chance explains.

    Make both with the same options, of logs of the same kind. All pairs of event types are tested, at a false
    discovery rate of 5 %. Exit code 0; with `--fail-on-change` it is 3 when something has changed.
    """
    check_output(out, (".csv", ".json", ".jsonl"))
    check_output(html, (".html", ".htm"))
    check_output(plot, flags.FIGURES)
    if plot is None:
        flags.refuse_given(context, ("max_edges",), flags.OF_FIGURE)
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.graph_changes import graph_changes

    one, other = CausalGraph.load(before), CausalGraph.load(after)
    found = graph_changes(one, other, least=max(map(_least, (one, other))) if least is None else least)
    title = f"What changed from {before.name} to {after.name}"
    if out is not None:
        rows = found.edges[list(_COLUMNS)].to_dict("records")
        write_documents(out, found.to_dict(), [{str(key): each for key, each in row.items()} for row in rows], _COLUMNS)
    if plot is not None:
        from hf_trace.graphs.pictures.figure import draw_graph

        draw_graph(found.graph(), plot, title=title, max_edges=max_edges)
        wrote(plot)
    if html is not None:
        from hf_trace.report.page import page_document, write_page

        command = shlex.join(["hf-trace", *sys.argv[1:]])
        write_page(html, page_document(found.graph(), findings=found.findings(), command=command, title=title))
        wrote(html)
    for note in found.notes:
        warn(note)
    if json_output:
        print_json(found.to_dict())
    else:
        print_section(title, [found.summary(), *found.sentences(), *found.remarks()])
    return CHANGED if fail_on_change and len(found.changed) else 0


def _least(graph: "CausalGraph") -> float:
    """What makes an edge of a graph of `discover`: a smaller difference is as negligible as a smaller strength."""
    from hf_trace.discovery.thresholds import Bound, Fdr, parse_threshold

    text = (graph.metadata.get("settings") or {}).get("threshold")
    if not isinstance(text, str):
        return 0.0
    threshold = parse_threshold(text)
    if isinstance(threshold, Fdr):
        return threshold.margin
    return max(threshold.value, 0.0) if isinstance(threshold, Bound) else 0.0


def evaluate(
    graph: Annotated[Path, typer.Argument(help="Graph written by `discover`.")],
    truth: Annotated[Path, typer.Argument(help="Known graph: JSON, GraphML, GML, edge-list CSV or .npy adjacency.")],
    seed: flags.Seed = SEED.default,
    json_output: flags.Json = False,
) -> None:
    """Compare a graph with a known one, beside the base rate and trivial baselines."""
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import evaluate_graph

    comparison = evaluate_graph(CausalGraph.load(graph), CausalGraph.load(truth))
    if json_output:
        print_json(comparison.to_dict())
    else:
        print_comparison(comparison)
