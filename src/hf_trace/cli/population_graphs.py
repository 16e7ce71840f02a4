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


Ties = Annotated[
    str,
    typer.Option(
        "--ties",
        help="Events at the same time: listed (read as listed), or both (in both orders; then they have no direction).",
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option("--groups", help="Table: each edge in each group of the --context-column: .csv."),
]


def check_population(
    update: Path | None, groups: Path | None, contexts: list[str] | None, level: str, effect: str
) -> None:
    """Refuse a pool or a table of groups that could not be made or written, before any work is done.

    Raises:
        SettingsError: If nothing is pooled, or nothing makes groups.
        OutputError: If a file cannot be written.
    """
    _check_update(update, level, effect)
    if groups is None:
        return
    if not compared(contexts, level, effect):
        raise SettingsError(
            "`--groups` is the table of edges in groups of sequences, and nothing makes groups. Name what does with "
            "`--context-column`, for a population graph of direct effects."
        )
    if groups.suffix.lower() != ".csv" or not groups.parent.is_dir():
        raise OutputError(
            f"Cannot write {str(groups)!r}: expected a name ending in .csv in a folder that exists."
        )


def compared(contexts: list[str] | None, level: str, effect: str) -> list[str]:
    """The columns whose groups are compared: those that are named, where sequences are pooled."""
    return list(contexts or ()) if level == "population" and effect == "direct" else []


def _write_groups(path: Path, output: dict[str, Any]) -> None:
    from hf_trace.causal.group_comparison import group_table
    from hf_trace.data.graph import CausalGraph
    from hf_trace.data.writing import atomic_path

    with atomic_path(path) as unfinished:
        group_table(CausalGraph.from_dict(output["graph"])).to_csv(unfinished, index=False)


def _check_update(update: Path | None, level: str, effect: str) -> None:
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


def say_notes(output: dict[str, Any], groups: Path | None) -> None:
    """What to know about a result: an oracle not worth believing, how alike halves and groups of sequences are.

    Where a table of groups is asked for, it is written too.
    """
    if groups is not None:
        _write_groups(groups, output)
    if problem := output["oracle"].get("warning"):
        warn(problem)
    for column, changes in _changes(output["graph"]["edges"]).items():
        say(
            f"{changes} of {len(output['graph']['edges'])} edges are not equally strong in all groups of {column}."
        )
    found = output["graph"]["metadata"].get("stability")
    if found:
        say(
            f"Stability: halves of the sequences share {found['mean']:.0%} of their edges (least "
            f"{found['least']:.0%} of {found['halvings']} halvings; Jaccard index)."
        )


def _changes(edges: list[dict[str, Any]]) -> dict[str, int]:
    """How many edges differ between the groups of each column."""
    counts: dict[str, int] = {}
    for edge in edges:
        for column, found in edge.get("groups", {}).items():
            counts[column] = counts.get(column, 0) + bool(found["differs"])
    return counts
