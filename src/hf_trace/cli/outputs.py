"""Files that results are written to: refused before any work where they cannot be written."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.cli.console import say
from hf_trace.errors import OutputError, SettingsError
from hf_trace.options import LEVEL

if TYPE_CHECKING:
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.log import EventLog
    from hf_trace.report.evidence import EvidenceCollector

_OF_MANY = (".jsonl", ".parquet")


def check_output(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that could not be written, before any work is done; None is no file.

    Args:
        path: Where to write.
        suffixes: What its name may end in; none: anything.

    Raises:
        OutputError: If the name ends otherwise, is that of a folder, or its folder is absent or may not be written.
    """
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(f"Cannot write {str(path)!r}: expected a name that ends in {', '.join(suffixes)}.")
    if path.is_dir():
        raise OutputError(f"Cannot write {str(path)!r}: it is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise OutputError(f"Cannot write {str(path)!r}: there is no folder {str(path.parent)!r}. Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"Cannot write {str(path)!r}: no permission in {str(path.parent)!r}.")


def check_outputs(out: Path | None, plot: Path | None, level: str, html: Path | None = None) -> None:
    """Refuse an output that could not be written before any work is done."""
    LEVEL.checked(level)
    check_output(out, (".json", ".jsonl", ".parquet", ".graphml", ".dot", ".gv", ".csv"))
    check_output(plot, (".png", ".svg", ".pdf"))
    check_output(html, (".html", ".htm"))


def check_one_graph(graphs: int, out: Path | None, *pictures: Path | None) -> None:
    """Refuse many graphs for one file before any is computed."""
    picture = next(filter(None, pictures), None)
    one_file = picture if out is None or out.suffix.lower() in _OF_MANY else out
    if one_file is not None and graphs > 1:
        raise SettingsError(
            f"There are {graphs} graphs for one file {str(one_file)!r}. Choose one with `--id`, write all with "
            "`--out x.jsonl` or `x.parquet`, or pool them with `--level population`."
        )


def write_outputs(
    outputs: Iterable[dict[str, Any]], out: Path | None, *, count: int, keep: int | None = None
) -> list[dict[str, Any]]:
    """Write what discovery found, one output after another as they come.

    Args:
        outputs: At least one; with more than one ``out`` holds many.
        out: The file; None: nowhere.
        count: How many outputs there are.
        keep: How many to return; None: all.

    Returns:
        The first outputs.
    """
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.writing import write_json_lines

    kept: list[dict[str, Any]] = []
    passing = _noted(outputs, kept, keep)
    suffix = "" if out is None else out.suffix.lower()
    if out is not None and suffix == ".jsonl":
        write_json_lines(out, passing)
    elif out is not None and suffix == ".parquet" and count > 1:
        _write_tables(out, passing)
    else:
        for output in passing:
            if out is not None:
                CausalGraph.from_dict(output["graph"]).save(out)
    return kept


def _noted(outputs: Iterable[dict[str, Any]], kept: list[dict[str, Any]], most: int | None) -> Iterator[dict[str, Any]]:
    """Pass on all outputs and note the first ones."""
    for output in outputs:
        if most is None or len(kept) < most:
            kept.append(output)
        yield output


def _write_tables(out: Path, outputs: Iterator[dict[str, Any]]) -> None:
    from hf_trace.graphs.graph_files import edge_table

    first = next(outputs)
    with edge_table(out, level=first["graph"]["level"]) as table:
        for output in chain([first], outputs):
            table.add(output["id"], output["graph"]["edges"])


def write_plot(graph: "CausalGraph", plot: Path | None) -> None:
    """Write the figure of a graph, where one is asked for."""
    if plot is None:
        return
    from hf_trace.report.figure import draw_graph

    draw_graph(graph, plot)


def evidence_for(parameters: dict[str, Any]) -> "EvidenceCollector":
    """Collect what stands behind the edges of a run with these parameters."""
    from hf_trace.discovery.thresholds import parse_threshold
    from hf_trace.report.evidence import EvidenceCollector

    return EvidenceCollector(parse_threshold(parameters["threshold"]))


def write_report(
    path: Path | None,
    graph: "CausalGraph",
    output: dict[str, Any],
    evidence: "EvidenceCollector",
    log: "EventLog",
    analysed: "EventLog",
) -> None:
    """Write the page of one graph, where one is asked for.

    Args:
        path: Where to; None: nowhere.
        graph: What is shown.
        output: What discovery returned with it.
        evidence: What was collected on the way; that of a single sequence is taken from ``output``.
        log: The log as it was read.
        analysed: The sequences that were looked at.
    """
    if path is None:
        return
    from dataclasses import replace

    from hf_trace.report.page import page_document, write_page

    if graph.level != "population":
        instance = replace(graph, level="instance", events=analysed[0].events, edges=tuple(output["edges"]))
        evidence.add_graph(analysed[0], instance)
    title = f"What causes what in {analysed.ids[0]}" if len(analysed) == 1 else "What causes what"
    document = page_document(
        graph,
        log=log,
        analysed=analysed,
        evidence=evidence,
        # A run that was interrupted and went on is the run that was asked for.
        command=shlex.join(["hf-trace", *(word for word in sys.argv[1:] if word != "--resume")]),
        title=title,
    )
    write_page(path, document)
    say(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).")
