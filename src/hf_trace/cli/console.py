"""What the command line shows: one-line errors, progress on stderr, tables on stdout."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hf_trace.errors import HfTraceError, ProcessError

if TYPE_CHECKING:
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.metrics import GraphComparison

# Names of events are shown as they are: no emoji for :fire:, no markup.
_stderr = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
# Beyond a terminal nobody resizes: a table is as wide as it needs.
_stdout = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 160)
_NAME_WIDTH = 60
_INTERRUPTED = 130


def hush() -> None:
    """Leave speaking to another process: from here on only what went wrong in the work of this one is shown."""
    _stderr.quiet = _stdout.quiet = True


def say(text: str) -> None:
    """Tell the user something beside the result."""
    _stderr.print(escape(text))


def warn(text: str) -> None:
    """Tell the user something that should not be overlooked."""
    _stderr.print(f"[bold yellow]warning:[/] {escape(text)}")


def print_json(document: Any) -> None:
    """The machine-readable result, alone on stdout."""
    if _stdout.quiet:
        return
    sys.stdout.write(json.dumps(_without_nan(document), ensure_ascii=False, default=_plain) + "\n")


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
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _stdout.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.3f}"
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return escape(text if len(text) <= _NAME_WIDTH else f"{text[:40]}…{text[-19:]}")


@contextmanager
def progress(description: str, total: int | float | None) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; the function given advances it. Without a terminal nothing is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_stderr, transient=True, disable=not _stderr.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)


def run(command: Callable[[], Any], usage_error: type[Exception]) -> int:
    """Run a command; mistakes become one line and exit code 1."""
    try:
        result = command()
    except ProcessError as error:
        _stderr.quiet = False
        return _fail(str(error))
    except HfTraceError as error:
        return _fail(str(error))
    except usage_error as error:
        return _fail(f"{error.format_message().rstrip('.')}. See `hf-trace --help`.")  # type: ignore[attr-defined]
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        return _fail(f"Cannot read or write{where}: {error.strerror or error}.")
    except KeyboardInterrupt:
        result = _INTERRUPTED
    if result == _INTERRUPTED:  # commands give it back as their exit code
        _fail("Interrupted.")
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    line = " ".join(message.split())
    _stderr.print(f"[bold red]error:[/] {escape(line)}")
    return 1


SHOWN = 5


def print_graphs(graphs: "list[CausalGraph]", most: int = 10, *, total: int | None = None) -> None:
    """The strongest edges of the first few graphs, of ``total`` in all."""
    for graph in graphs[:SHOWN]:
        title = f"{graph.level} graph: {len(graph.events)} events, {len(graph.edges)} edges"
        print_table(f"{title}; the strongest:" if graph.edges else title, *_edge_table(graph.strongest(most)))
    more = (total or len(graphs)) - SHOWN
    if more > 0:
        say(f"… and {more:,} more graphs.")


def _edge_table(graph: "CausalGraph") -> tuple[list[str], list[list[Any]]]:
    shown = {"cause": "cause", "effect": "effect", "direction": "acts", "cmi": "cmi (nats)", "frequency": "frequency",
             "support": "sequences", "resampled_share": "in resamples", "lag": "lag", "lags": "lags",
             "lag_seconds": "after", "undirected": "undirected", "groups": "holds in"}  # fmt: skip
    edges = sorted(graph.edges, key=lambda edge: -edge.get("cmi", 0))
    keys = [key for key in shown if any(key in edge for edge in edges)]
    rows = [[_shown(key, edge.get(key, "")) for key in keys] for edge in edges]
    return [shown[key] for key in keys], rows


def _shown(key: str, value: Any) -> Any:
    from hf_trace.logs.log import duration

    if key == "lag_seconds" and value != "":
        return duration(value)
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
