"""What commands do before any work: read the log, whole or in parts, and keep Transformers quiet."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import progress, say
from hf_trace.errors import SettingsError, preview

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.streams import EventStream
    from hf_trace.training.log_training import TrainedRun, TrainingSettings


def read_events(
    log: str,
    case: str | None,
    event: str | None,
    time_column: str | None,
    query: str | None,
    unit: str,
    outcome: str | None = None,
    contexts: Sequence[str] = (),
) -> "EventLog":
    """Read a log and say what is in it before any work starts."""
    from hf_trace.logs.sources import read_log

    events = event.split(",") if event and "," in event else event
    table = read_log(
        log,
        case_column=case,
        event_column=events,
        time_column=time_column,
        query=query,
        time_unit=unit,
        outcome_column=outcome,
        context_columns=contexts,
    )
    for line in table.summary().lines():
        say(line)
    return table


def known_contexts(run: str) -> list[str]:
    """The columns of the context that a run was trained with: its log is read with the same."""
    folder = Path(run)
    if not folder.exists():
        quieten_host()
        from hf_trace.runs.folders import local_run

        folder = local_run(run)
    try:
        trained = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        return list(trained.get("context_columns", ()))
    except (OSError, ValueError):  # loading the run says what is wrong with it
        return []


def quieten_host() -> None:
    """Keep the host library's own bars and notes off the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    from transformers.utils import logging as host

    host.set_verbosity_error()
    host.disable_progress_bar()


# Columns of case, event and time, the query, and the unit of time.
Columns = tuple[str | None, str | None, str | None, str | None, str]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream", help="Read the log in parts, in constant memory: large files, or the id of a Hub data set."
    ),
]


def opened(log: str, columns: Columns, contexts: Sequence[str] = ()) -> "EventStream":
    """The stream that a command line describes.

    Raises:
        SettingsError: If rows are to be chosen by a query, or sequences are to have contexts.
    """
    case, event, time_column, query, unit = columns
    if query is not None or contexts:
        what = "`--query`" if query is not None else f"The context {preview(contexts)}"
        raise SettingsError(
            f"{what} is for logs that are read whole, and this one is read in parts. Leave it out, or `--stream`."
        )
    from hf_trace.logs.columns import ColumnChoice
    from hf_trace.logs.streams import open_stream

    events = event.split(",") if event and "," in event else event
    return open_stream(log, ColumnChoice(case, events, time_column, "=", unit, time_column is not None))


def read_or_sample(
    stream: bool,
    log: str,
    columns: Columns,
    share: int | float | None,
    first: int | None,
    seed: int,
    *,
    contexts: Sequence[str] = (),
) -> "tuple[EventLog, int | float | None, int | None]":
    """Read a log whole, or draw sequences from a stream; say what there is.

    Returns:
        The log, and how much of it is still to be drawn: all of what came from a stream.
    """
    if not stream:
        return read_events(log, *columns, contexts=contexts), share, first
    from hf_trace.logs.stream_samples import sample_stream

    with progress("reading (events)", None) as advance:
        parts = opened(log, columns, contexts)
        table = sample_stream(parts, share, seed=seed, first=first, advance=advance)
    for line in table.summary().lines():
        say(line)
    return table, None, None


def train_streamed(
    stream: "EventStream", out: Path, settings: "TrainingSettings", *, resume: bool, callbacks: list[Any]
) -> "TrainedRun":
    """Train on a stream and say what was in it."""
    from hf_trace.training.stream_training import train_stream

    say(f"Reading {stream.name} once to count, then to train.")
    trained = train_stream(stream, out, settings, resume=resume, callbacks=callbacks)
    found = trained.metrics
    say(
        f"{sum(found['sequences'].values()):,} sequences, {found['events']:,} events, {found['event_types']:,} event "
        f"types; counted in {found['seconds_counting']:.0f} s."
    )
    return trained
