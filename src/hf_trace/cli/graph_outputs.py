"""Files that graphs are written to: refused before any work where they cannot be written."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from hf_trace.data.graph import CausalGraph


def check_outputs(out: Path | None, plot: Path | None, level: str, html: Path | None = None) -> None:
    """Refuse an output that could not be written before any work is done."""
    from typing import get_args

    from hf_trace.data.graph_validation import Level

    levels = get_args(Level)
    if level not in levels:
        raise SettingsError(f"level is {level!r}, expected one of: {', '.join(levels)}.")
    for path, suffixes in (
        (out, (".json", ".jsonl", ".graphml", ".dot", ".gv", ".csv")),
        (plot, (".png", ".svg", ".pdf")),
        (html, (".html", ".htm")),
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


def check_one_graph(graphs: int, out: Path | None, *pictures: Path | None) -> None:
    """Refuse many graphs for one file before any is computed."""
    picture = next(filter(None, pictures), None)
    one_file = picture if out is None or out.suffix.lower() == ".jsonl" else out
    if one_file is not None and graphs > 1:
        raise SettingsError(
            f"There are {graphs} graphs for one file {str(one_file)!r}. Choose one with `--id`, write all with "
            "`--out x.jsonl`, or pool them with `--level population`."
        )


def write_graphs(
    graphs: "list[CausalGraph]", outputs: list[dict[str, Any]], out: Path | None, plot: Path | None
) -> None:
    """Write the graph, or all outputs as lines, and the figure of the first graph."""
    from hf_trace.report.figure import draw_graph

    if out is not None and out.suffix.lower() == ".jsonl":
        from hf_trace.data.writing import write_json_lines

        write_json_lines(out, outputs)
    elif out is not None:
        graphs[0].save(out)
    if plot is not None:
        draw_graph(graphs[0], plot)
