"""What the command line shows: one-line errors, progress on stderr, tables on stdout."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hf_trace.errors import HfTraceError, ProcessError

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
        table.add_column(
            escape(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
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
    if result == _INTERRUPTED:  # Typer has turned the signal into an exit code
        _fail("Interrupted.")
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    line = " ".join(message.split())
    _stderr.print(f"[bold red]error:[/] {escape(line)}")
    return 1
