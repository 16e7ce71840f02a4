"""What the command line shows: one-line errors, progress on stderr, tables on stdout.

Everything from data passes ``visible`` before a terminal gets it: here what is ours, in ``guarded`` what other
libraries write.
"""

import codecs
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hf_trace.errors import HfTraceError, ProcessError, visible

if TYPE_CHECKING:
    from pathlib import Path

    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import GraphComparison

_NAME_WIDTH = 60
# Beyond a terminal nobody resizes: a table is as wide as it needs.
_PIPE_WIDTH, _ROOMY, _LEAST_NAME = 160, 120, 8
# As shells give the codes of programs that end by SIGINT and SIGPIPE.
_INTERRUPTED, _UNREAD = 130, 141
_MISUSED = 2
# Seconds until a line says how far work is that no bar shows, and between two of them.
_FIRST_TOLD, _TOLD_AGAIN = 5.0, 30.0
# What an encoding such as ASCII lacks, and we write.
_INSTEAD = {"…": "...", "→": "->", "±": "+-", "≈": "~", "·": "-", "–": "-", "—": "-", "─": "-", "━": "-", "│": "|"}
_REPLACE = "hf_trace.replace"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Stand-ins for what an encoding lacks: of ours a like one, of data what Python writes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(each) or each.encode("unicode_escape").decode() for each in lacking), error.end


codecs.register_error(_REPLACE, _replaced)


class _Terminal(Console):
    """One of the two standard streams."""

    bar_is_shown = False

    def on_broken_pipe(self) -> None:
        """What nobody reads any more: a note stops no work, a result ends it without a word."""
        self.quiet = True
        _send_nowhere(self.file)
        if not self.stderr:
            raise SystemExit(_UNREAD)


# Names of events are shown as they are: no emoji for :fire:, no markup.
_stderr = _Terminal(stderr=True, highlight=False, emoji=False, soft_wrap=True)
_stdout = _Terminal(highlight=False, emoji=False)


class _Guard:
    """A standard stream as all others see it who write to it; Rich alone, which writes what is ours, goes past it."""

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = stream
        self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        # Bars of other libraries begin with a return; within a text it would write over what stands there.
        begin = "\r" if text.startswith("\r") else ""
        shown = self._begun + begin + visible(text.removeprefix("\r"), keep="\n\t")
        self._begun = ""
        if not _stderr.bar_is_shown:
            self.rich_proxied_file.write(shown)
        else:  # whole lines, above the bar
            lines, newline, self._begun = shown.rpartition("\n")
            if newline:
                _stderr.print(lines, markup=False)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


@contextmanager
def guarded() -> Iterator[None]:
    """Let nothing act on the terminal, whoever writes it, and nothing fail that cannot be written there.

    Streams that are closed lead nowhere: a file that is opened later must not take their place, and get what is meant
    for them.
    """
    with suppress(OSError):  # the lowest number that is free is taken first
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    before = sys.stdout, sys.stderr
    for name, stream in zip(("stdout", "stderr"), before, strict=True):
        opened: Any = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        with suppress(AttributeError, OSError, ValueError):
            opened.reconfigure(errors=_REPLACE)
        setattr(sys, name, _Guard(opened))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.write("")  # what was held back for a bar
                stream.flush()
            except (OSError, ValueError):
                _send_nowhere(stream)
        sys.stdout, sys.stderr = before


def _send_nowhere(stream: Any) -> None:
    """Nothing that is still held for a stream is an error any more."""
    with suppress(OSError, ValueError):
        number, nowhere = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def hush() -> None:
    """Leave speaking to another process: from here on only what went wrong in the work of this one is shown."""
    _stderr.quiet = _stdout.quiet = True


def say(text: str) -> None:
    """Tell the user something beside the result."""
    _note(escape(visible(text)))


def wrote(*paths: "Path | None") -> None:
    """Tell the user of files, or folders, that are there now; None is none."""
    for path in paths:
        if path is not None:
            say(f"Wrote {path}")


def warn(text: str) -> None:
    """Tell the user something that should not be overlooked."""
    _note(f"[bold yellow]warning:[/] {escape(visible(text))}")


def _note(text: str) -> None:
    """Write beside the result; where that cannot be, the work goes on."""
    with suppress(OSError):
        _stderr.print(text)


def print_json(document: Any) -> None:
    """The machine-readable result, alone on stdout."""
    if _stdout.quiet:
        return
    is_unicode = _stdout.encoding.startswith("utf")
    text = json.dumps(_without_nan(document), ensure_ascii=not is_unicode, default=_plain)
    try:
        _stdout.file.write(visible(text, write=lambda each: json.dumps(each)[1:-1]) + "\n")
        _stdout.file.flush()
    except BrokenPipeError:
        _stdout.on_broken_pipe()


def _without_nan(document: Any) -> Any:
    """JSON has no word for NaN and infinity: they become null."""
    if isinstance(document, dict):
        return {key: _without_nan(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [_without_nan(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table with numbers on the right."""
    rows = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(box=None, pad_edge=False)
    least = 0
    for index, name in enumerate(map(_fitting, columns)):
        is_number = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        longest = max(len(name), *(len(row[index]) for row in cells)) if cells else len(name)
        # Where there is no room names are folded, never a number: without its end it is another one.
        width = longest if is_number else min(longest, _LEAST_NAME)
        side: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(escape(name), justify=side, overflow="fold", no_wrap=is_number, min_width=width)
        least += width + 2
    for row in cells:
        table.add_row(*row)
    _stdout.width = max(table_width(), least)
    _stdout.print(f"[italic]{escape(_fitting(title))}[/]", soft_wrap=True)
    _stdout.print(table)


def print_section(title: str, lines: Iterable[str], *, fold: bool = True) -> None:
    """Sentences under a title, folded at the width of the terminal unless they are to be copied; none: no title."""
    shown = [escape(_fitting(line)) for line in lines]
    if not shown:
        return
    _stdout.width = table_width()
    _stdout.print(f"[bold]{escape(_fitting(title))}[/]")
    for line in shown:
        if fold:
            _stdout.print(Padding(line, (0, 0, 0, 2), expand=False))
        else:
            _stdout.print(f"  {line}", soft_wrap=True)


def table_width() -> int:
    """How wide a table may be, in characters."""
    if not _stdout.is_terminal:
        return _PIPE_WIDTH
    return shutil.get_terminal_size().columns


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.3f}"
    text = _fitting(str(value))
    return escape(text if len(text) <= _NAME_WIDTH else _fitting(f"{text[:40]}…{text[-19:]}"))


def _fitting(text: str) -> str:
    """Text of a table, as wide as it will be shown."""
    encoding = _stdout.encoding
    return visible(text).encode(encoding, errors=_REPLACE).decode(encoding)


class _SpokenProgress:
    """How much of long work is done and how long the rest takes, told first after seconds and then ever more seldom."""

    def __init__(self, description: str, total: int | float | None) -> None:
        self.words, self.total = description.removesuffix(" (%)"), total
        self.begun: tuple[float, int | float] | None = None
        self.next = _FIRST_TOLD

    def tell(self, done: int | float) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        # What was done before, such as by an interrupted run, says nothing of the speed.
        since, before = self.begun = self.begun or (now, done)
        if now - since < self.next or done <= before:
            return
        self.next = now - since + max(_TOLD_AGAIN, (now - since) / 10)
        if self.total is None:
            say(f"{self.words}: {done:,.0f} so far.")
            return
        left = (now - since) * (self.total - done) / (done - before)
        if left >= 1:
            say(f"{self.words}: {done / self.total:.0%} done, about {_time_left(left)} left.")


def _time_left(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


@contextmanager
def progress(description: str, total: int | float | None) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; the function given advances it. Without a terminal, a line once in a while."""
    words = TextColumn("{task.description}", markup=False)
    columns = (words, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    has_bar = _stderr.is_terminal
    spoken = _SpokenProgress(description, total)
    bar = Progress(
        *columns, console=_stderr, transient=True, disable=not has_bar, redirect_stdout=False, redirect_stderr=False
    )
    with bar:
        task = bar.add_task(visible(description), total=total)
        _stderr.bar_is_shown = has_bar
        try:
            yield (lambda done: bar.update(task, completed=done)) if has_bar else spoken.tell
        finally:
            _stderr.bar_is_shown = False


def run(command: Callable[[], Any], usage_error: type[Exception]) -> int:
    """Run a command; mistakes become one line and exit code 1, or 2 where the command line cannot be understood."""
    with guarded():
        return _run(command, usage_error)


def _run(command: Callable[[], Any], usage_error: type[Exception]) -> int:
    try:
        result = command()
    except ProcessError as error:
        _stderr.quiet = False
        return _fail(str(error))
    except HfTraceError as error:
        return _fail(str(error))
    except usage_error as error:
        return _fail(_usage(error), _MISUSED)
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        return _fail(f"Cannot read or write{where}: {error.strerror or error}.")
    except KeyboardInterrupt:
        result = _INTERRUPTED
    if result == _INTERRUPTED:  # commands give it back as their exit code
        _fail("Interrupted.")
    return result if isinstance(result, int) else 0


def _usage(error: Any) -> str:
    """What is wrong with a command line, and which help tells what is right."""
    path = "hf-trace" if error.ctx is None else error.ctx.command_path
    return f"{error.format_message().rstrip('.')}. See `{path} --help`."


def _fail(message: str, code: int = 1) -> int:
    line = " ".join(message.split())
    _note(f"[bold red]error:[/] {escape(visible(line))}")
    return code


SHOWN = 5


def print_graphs(graphs: "list[CausalGraph]", most: int = 10, *, total: int | None = None) -> None:
    """The strongest edges of the first few graphs, of ``total`` in all."""
    for graph in graphs[:SHOWN]:
        if question := graph.metadata.get("question"):
            _stdout.print(escape(_fitting(f"Question: {question}.")), soft_wrap=True)
        title = f"{graph.level} graph: {len(graph.events)} events, {len(graph.edges)} edges"
        print_table(f"{title}; the strongest:" if graph.edges else title, *_edge_table(graph.strongest(most)))
    more = (total or len(graphs)) - SHOWN
    if more > 0:
        say(f"… and {more:,} more graphs.")


def _edge_table(graph: "CausalGraph") -> tuple[list[str], list[list[Any]]]:
    strength = graph.metadata.get("strength", "cmi (nats)")
    headings = {"cause": "cause", "effect": "effect", "direction": "acts", "place": "where", "cmi": strength,
                "frequency": "frequency", "support": _counted(graph), "resampled_share": "in resamples",
                "lag": "lag", "lags": "lags",
                "after": "after", "median": "after (median)", "range": "10-90 %", "mean": "after (mean)",
                "undirected": "undirected", "groups": "holds in"}  # fmt: skip
    edges = sorted(({**edge, **_delay(graph, edge)} for edge in graph.edges), key=lambda edge: -(edge.get("cmi") or 0))
    keys = [key for key in headings if any(key in edge for edge in edges)]
    rows = [[_shown(key, edge.get(key, "")) for key in keys] for edge in edges]
    return [headings[key] for key in keys], rows


def _counted(graph: "CausalGraph") -> str:
    """What the support of an edge is a number of."""
    if "contexts" in graph.metadata:  # of total effects
        return "contexts"
    return "sequences" if graph.level == "population" else "pairs"


def _delay(graph: "CausalGraph", edge: dict[str, Any]) -> dict[str, str]:
    """How long after its cause an effect follows: times have heavy tails, of which a mean says little."""
    from hf_trace.logs.log import duration

    found = edge.get("lag_seconds_quantiles")
    if found is not None:
        shown = {"median": duration(found["0.5"])}
        has_room = table_width() >= _ROOMY
        return shown | ({"range": f"{duration(found['0.1'])} to {duration(found['0.9'])}"} if has_room else {})
    if edge.get("lag_seconds") is None:
        return {}
    return {"after" if graph.level == "instance" else "mean": duration(edge["lag_seconds"])}


def _shown(key: str, value: Any) -> Any:
    if value is None:  # a number that JSON has no word for
        return float("nan")
    if key == "groups" and value != "":
        return "; ".join(_where(column, found) for column, found in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _where(column: str, found: dict[str, Any]) -> str:
    """In which groups of a column an edge holds."""
    names = found["holds_in"]
    where = f"every {column}" if len(names) == len(found["cmi"]) else f"{column} {', '.join(names) or 'none'}"
    return where + (", differs" if found["differs"] else "")


def print_comparison(comparison: "GraphComparison") -> None:
    """How a graph and the baselines agree with the known edges."""
    rows = comparison.table_rows()
    title = (
        f"against {comparison.n_true_edges} known edges among {comparison.n_types} types "
        f"(base rate {comparison.scores.base_rate:.3f})"
    )
    print_table(title, list(rows[0]), [list(row.values()) for row in rows])
