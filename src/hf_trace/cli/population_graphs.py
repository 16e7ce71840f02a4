"""Options of population graphs: how often an edge must be seen, how sure it is, pools that grow."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.console import say, warn
from hf_trace.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from hf_trace.data.log import EventLog
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline
    from hf_trace.hub.stored_pools import StoredPool

MinFrequency = Annotated[
    str,
    typer.Option(
        help="Least share of sequences that carry a population edge, or adaptive: too many to be noise."
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option("--bootstrap", help="Resample the sequences so often, for intervals of population edges."),
]
Update = Annotated[
    Path | None,
    typer.Option("--update", help="Pool file: add the new sequences to those in it; made where absent."),
]


def check_update(update: Path | None, level: str, effect: str) -> None:
    """Refuse a pool that could not be used or written, before any work is done.

    Raises:
        SettingsError: If nothing is pooled.
        OutputError: If the file cannot be written.
    """
    if update is None:
        return
    if level != "population" or effect != "direct":
        raise SettingsError(
            f"`--update` is given with level {level!r} and {effect} effects, expected a population graph of direct "
            "effects, which adds up over sequences. Leave it out."
        )
    if update.is_dir() or not update.parent.is_dir():
        raise OutputError(
            f"Cannot write {str(update)!r}: expected the name of a file in a folder that exists."
        )


def begin_pool(
    update: Path | None, pipe: "CausalDiscoveryPipeline", sequences: "EventLog", parameters: dict[str, Any]
) -> "tuple[StoredPool | None, EventLog]":
    """The stored pool, where one is asked for, and the sequences that are new to it."""
    if update is None:
        return None, sequences
    from hf_trace.hub.stored_pools import open_pool

    stored = open_pool(pipe, sequences, update, **parameters)
    if stored.pool.sequences:
        say(
            f"The pool has {stored.pool.sequences:,} sequences; {len(stored.new):,} of the log are new, "
            f"{stored.known:,} are in it."
        )
    return stored, stored.new


def say_notes(output: dict[str, Any]) -> None:
    """What to know about a result: an oracle not worth believing, how alike halves of the sequences are."""
    if problem := output["oracle"].get("warning"):
        warn(problem)
    found = output["graph"]["metadata"].get("stability")
    if found:
        say(
            f"Stability: halves of the sequences share {found['mean']:.0%} of their edges (least "
            f"{found['least']:.0%} of {found['halvings']} halvings; Jaccard index)."
        )
