"""Files that results are written to: refused before any work where they cannot be written."""

import csv
import glob
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hf_trace.cli.console import say, wrote
from hf_trace.cli.launching import is_helping
from hf_trace.documents import Document
from hf_trace.errors import OutputError, SettingsError
from hf_trace.logs.writing import atomic_path, check_target, hidden_beside, write_json_lines

if TYPE_CHECKING:
    from hf_trace.discovery.results import Discovered
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.log import EventLog
    from hf_trace.report.evidence import EvidenceCollector

_OF_MANY = (".jsonl", ".parquet")
# Parameters that name what is written, and what is read, in all commands; and which commands write folders.
OUTPUTS = ("out", "plot", "html", "groups", "update")
INPUTS = (
    *("log", "run", "run_folder", "model", "dag", "truth", "knowledge", "queries", "data", "reference", "graph"),
    *("world", "topology", "before", "after", "wheel", "data_folder", "runs", "state_run", "known_graph"),
)
_WRITE_FOLDERS = ("train", "simulate", "benchmark")


def check_places(context: typer.Context) -> None:
    """Refuse, before any work, outputs of a command that are what it reads, what a model is made of, or one another.

    Args:
        context: Of any command: what it reads and writes is known by the names of its parameters.

    Raises:
        OutputError: With the first of them.
    """
    parameters = {each.name: each for each in context.command.params}
    outputs = [
        (parameters[name].opts[0], _Output(Path(value), is_folder=context.command.name in _WRITE_FOLDERS))
        for name in OUTPUTS
        if isinstance(value := context.params.get(name), Path)
    ]
    inputs = [
        _Input(_spelled(parameters[name]), Path(value).expanduser(), is_log=name == "log")
        for name in INPUTS
        if outputs and (value := context.params.get(name))
    ]
    for option, output in outputs:
        if source := next(filter(output.harms, inputs), None):
            raise OutputError(
                f"`{option}` is {str(output.path)!r}, which is, holds or would join what {source.parameter} reads "
                f"({str(source.path)!r}). Choose another name."
            )
        if not output.is_folder and (folder := output.owner()) is not None:
            raise OutputError(
                f"`{option}` is {str(output.path)!r}, a file of the model in {str(folder)!r}. Choose another name."
            )
    for (option, one), (other, another) in combinations(outputs, 2):
        if _is_same(one.path, another.path):
            raise OutputError(f"`{option}` and `{other}` are one file, {str(one.path)!r}. Choose another name.")


def _spelled(parameter: Any) -> str:
    """A parameter as a user knows it."""
    option = parameter.opts[0]
    return f"`{option}`" if option.startswith("-") else str(parameter.metavar or parameter.name.upper())


@dataclass(frozen=True)
class _Input:
    """What a command reads: a file, a folder, a pattern, or what is on the Hub."""

    parameter: str
    path: Path
    is_log: bool

    def files(self) -> list[Path]:
        """What it stands for: itself, or the matches of a pattern; of a folder of logs those too."""
        if self.path.is_dir():
            return [self.path, *(filter(_may_be_log, self.path.iterdir()) if self.is_log else ())]
        return [self.path] if self.path.exists() else [Path(name) for name in glob.glob(str(self.path), recursive=True)]

    def would_hold(self, path: Path) -> bool:
        """Whether a file that is not there yet would be among those that a folder or a pattern stands for."""
        there, pattern = os.path.realpath(path), os.path.abspath(self.path)
        if self.path.is_dir():
            return self.is_log and _may_be_log(path) and _is_same(Path(there).parent, self.path)
        is_as_deep = "**" in pattern or pattern.count(os.sep) == there.count(os.sep)
        return glob.has_magic(pattern) and is_as_deep and fnmatchcase(there, pattern)


@dataclass(frozen=True)
class _Output:
    """Where a command is going to write: a file, or a folder; and what lies hidden beside it meanwhile."""

    path: Path
    is_folder: bool

    def harms(self, source: _Input) -> bool:
        """Whether something that is read would be replaced, or be more the next time."""
        hidden = [hidden_beside(self.path, what) for what in ("-checkpoints", "-unfinished", "-replaced", "-shards")]
        folders = [*hidden, *([self.path] if self.is_folder else [])]
        files = source.files()
        if any(_is_within(file, folder) for file in files for folder in folders):
            return True
        return not self.is_folder and (any(_is_same(self.path, file) for file in files) or source.would_hold(self.path))

    def owner(self) -> Path | None:
        """The model that the file is a part of."""
        from hf_trace.runs.new_folders import owner_of

        return owner_of(os.path.realpath(self.path))


def _may_be_log(path: Path) -> bool:
    from hf_trace.logs.formats import LOG_SUFFIXES, data_suffix

    return not path.name.startswith(".") and data_suffix(path) in (*LOG_SUFFIXES, "", ".txt", ".log")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names stand for one file, links of both kinds included, or will."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a path is a folder, or in it."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def check_output(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that could not be written, before any work is done; None is no file.

    Args:
        path: Where to write.
        suffixes: What its name may end in; none: anything.

    Raises:
        OutputError: If the name ends otherwise, is that of a folder or a link, or its folder is absent or may not be
            written.
    """
    if path is None:
        return
    check_target(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(f"Cannot write {str(path)!r}: expected a name that ends in {', '.join(suffixes)}.")
    if path.is_dir():
        raise OutputError(f"Cannot write {str(path)!r}: it is a folder. Give the name of a file.")
    if not path.parent.is_dir():
        raise OutputError(f"Cannot write {str(path)!r}: there is no folder {str(path.parent)!r}. Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"Cannot write {str(path)!r}: no permission in {str(path.parent)!r}.")


def check_folder(out: Path, *, is_world: bool = False, overwrite: bool = True) -> None:
    """Refuse a folder that could not be written, before any work is done, and clear away what kills left beside it.

    Args:
        out: Where to write.
        is_world: Whether it is going to be a simulated world, else a run.
        overwrite: Whether an older one may be replaced.

    Raises:
        OutputError: If it is a file or a link, holds something else or an older one that may not be replaced, another
            process is writing it, or it may not be made or written.
    """
    from hf_trace.runs.new_folders import RUN, WORLD, check_replaceable, recover

    check_target(out)
    nearest = next(each for each in (out, *out.parents) if each.exists())
    if nearest != out and not nearest.is_dir():
        raise OutputError(f"Cannot write {str(out)!r}: {str(nearest)!r} is a file. Choose a folder you can write to.")
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"Cannot write {str(out)!r}: no permission in {str(nearest)!r}.")
    if not is_helping():
        recover(out)
        check_replaceable(out, WORLD if is_world else RUN, overwrite=overwrite)


def check_one_graph(graphs: int, out: Path | None, *pictures: Path | None) -> None:
    """Refuse many graphs for one file before any is computed."""
    holds_many = out is None or out.suffix.lower() in _OF_MANY
    one_file = next(filter(None, pictures), None) if holds_many else out
    if one_file is not None and graphs > 1:
        raise SettingsError(
            f"There are {graphs} graphs for one file {str(one_file)!r}. Choose one with `--id`, write all with "
            "`--out x.jsonl` or `x.parquet`, or pool them with `--level population`."
        )


def write_graphs(
    results: Iterable["Discovered"], out: Path | None, *, count: int, keep: int | None = None
) -> list["Discovered"]:
    """Write what discovery found, one result after another as they come.

    Args:
        results: At least one; with more than one ``out`` holds many.
        out: The file; None: nowhere.
        count: How many results there are.
        keep: How many to return; None: all.

    Returns:
        The first results.
    """
    from hf_trace.graphs.graph_files import edge_table

    kept: list[Discovered] = []
    passing = _noted(results, kept, keep)
    suffix = "" if out is None else out.suffix.lower()
    if out is not None and suffix == ".jsonl":
        write_json_lines(out, (result.to_dict() for result in passing))
    elif out is not None and suffix == ".parquet" and count > 1:
        first = next(passing)
        with edge_table(out, level=first.graph.level) as table:
            for result in chain([first], passing):
                table.add(result.beside["id"], list(result.graph.edges))
    else:
        for result in passing:
            if out is not None:
                result.graph.save(out)
    wrote(out)
    return kept


def _noted(results: Iterable["Discovered"], kept: list["Discovered"], most: int | None) -> Iterator["Discovered"]:
    """Pass on all results and note the first ones."""
    for result in results:
        if most is None or len(kept) < most:
            kept.append(result)
        yield result


def write_documents(out: Path, documents: Any, rows: Sequence[Document], columns: Sequence[str] = ()) -> None:
    """Write a result: ``.json`` as it is, ``.jsonl`` one document a line, ``.csv`` its rows.

    Args:
        out: The file.
        documents: One document or several.
        rows: The same as records, for a table.
        columns: Of a table without rows.
    """
    suffix = out.suffix.lower()
    if suffix == ".jsonl":
        write_json_lines(out, documents if isinstance(documents, list) else [documents])
    else:
        with atomic_path(out) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            if suffix == ".json":
                json.dump(documents, file, ensure_ascii=False, indent=2)
            else:
                writer = csv.DictWriter(file, list(rows[0]) if rows else columns)
                writer.writeheader()
                writer.writerows(rows)
    wrote(out)


def write_figure(path: Path, graph: "CausalGraph", source: str, log: "EventLog", *, max_edges: int | None) -> None:
    """Draw a graph, under a title that names the log, the question and the days of the data.

    Args:
        path: Where to.
        graph: What was found.
        source: The file or folder of the log.
        log: What was looked at.
        max_edges: Most arrows; None: as many as can be read.
    """
    from hf_trace.graphs.pictures.figure import draw_graph, figure_title

    draw_graph(graph, path, title=figure_title(graph, Path(source).name, log), max_edges=max_edges)
    wrote(path)


def write_report(
    path: Path,
    result: "Discovered",
    evidence: "EvidenceCollector",
    log: "EventLog",
    analysed: "EventLog",
    source: str = "the log",
) -> None:
    """Write the page of one graph.

    Args:
        path: Where to.
        result: What discovery found.
        evidence: What was collected on the way; that of a single sequence is taken from ``result``.
        log: The log as it was read.
        analysed: The sequences that were looked at.
        source: The file or folder of the log.
    """
    from hf_trace.report.page import page_document, write_page

    graph = result.graph
    if graph.level != "population":
        instance = replace(graph, level="instance", events=analysed[0].events, edges=tuple(result.edges))
        evidence.add_graph(analysed[0], instance)
    document = page_document(
        graph,
        log=log,
        analyzed=analysed,
        evidence=evidence,
        # A run that was interrupted and went on is the run that was asked for.
        command=shlex.join(["hf-trace", *(word for word in sys.argv[1:] if word != "--resume")]),
        title=f"What causes what in {analysed.ids[0] if len(analysed) == 1 else Path(source).name}",
    )
    write_page(path, document)
    say(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).")
