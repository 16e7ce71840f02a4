"""``--stream``: logs that are read in parts, for training and for samples of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.inputs import read_events
from hf_trace.console import progress, say
from hf_trace.errors import SettingsError, preview

if TYPE_CHECKING:
    from hf_trace.data.log import EventLog
    from hf_trace.data.streams import EventStream
    from hf_trace.hub.training import TrainedRun, TrainingSettings

# Columns of case, event and time, the query, and the unit of time.
Columns = tuple[str | None, str | None, str | None, str | None, str]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read the log in parts, in constant memory: large files, or the id of a Hub data set.",
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
    from hf_trace.data.columns import ColumnChoice
    from hf_trace.data.streams import open_stream

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
    from hf_trace.data.stream_samples import sample_stream

    with progress("reading (events)", None) as advance:
        parts = opened(log, columns, contexts)
        table = sample_stream(parts, share, seed=seed, first=first, advance=advance)
    for line in table.summary().lines():
        say(line)
    return table, None, None


def train_streamed(
    stream: "EventStream",
    out: Path,
    settings: "TrainingSettings",
    *,
    resume: bool,
    callbacks: list[Any],
) -> "TrainedRun":
    """Train on a stream and say what was in it."""
    from hf_trace.hub.stream_training import train_stream

    say(f"Reading {stream.name} once to count, then to train.")
    trained = train_stream(stream, out, settings, resume=resume, callbacks=callbacks)
    found = trained.metrics
    say(
        f"{sum(found['sequences'].values()):,} sequences, {found['events']:,} events, {found['event_types']:,} event "
        f"types; counted in {found['seconds_counting']:.0f} s."
    )
    return trained
