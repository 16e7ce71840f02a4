"""``hf-trace push``: a run, as a model or as a Space, a simulated world or an event log to the Hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import print_json, print_table, say
from hf_trace.cli.flags import Case, Contexts, Event, Json, Query, Time, TimeFormat, TimeUnit, refuse_given
from hf_trace.cli.inputs import LogSource, quiet_transformers

if TYPE_CHECKING:
    from hf_trace.publishing.publication import Publication

_TRUTH = "truth.json"
_KINDS = {"dataset": "data set", "space": "Space"}
_OF_RUNS = ("data_repo", "known_graph")
_OF_LOGS = ("case_column", "event_column", "time_column", "context_column", "query", "time_unit", "time_format")


def push(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, simulated world, or with --dataset a log.")],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="ORG/NAME on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only its owners see a new repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be uploaded; nothing is sent.")] = False,
    dataset: Annotated[bool, typer.Option("--dataset", help="RUN is an event log: publish its events.")] = False,
    space: Annotated[
        bool, typer.Option("--space", help="A Space that serves RUN: a page, and tools for agents.")
    ] = False,
    wheel: Annotated[
        Path | None, typer.Option(help="With --space: wheel of this package, for a version that PyPI lacks.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the contents of an existing repository of yours.")
    ] = False,
    graph: Annotated[
        Path | None, typer.Option(help="Graph to publish too: the discovered one, of a log the known one.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="License for the card, as the Hub spells it (mit, apache-2.0).")
    ] = None,
    data_source: Annotated[str | None, typer.Option(help="Where the data are from, for the card.")] = None,
    data_repo: Annotated[
        str | None, typer.Option(help="Data set on the Hub that RUN learned from, ORG/NAME or ORG/NAME:TASK; linked.")
    ] = None,
    run_repo: Annotated[
        str | None, typer.Option(help="With --space: where RUN is published as a model, ORG/NAME; linked.")
    ] = None,
    known_graph: Annotated[
        Path | None, typer.Option("--truth", help="Known graph, beside which the card sets the published one.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Title of a collection of yours that it joins; made where there is none.")
    ] = None,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    context_column: Contexts = None,
    query: Query = None,
    time_unit: TimeUnit = None,
    time_format: TimeFormat = None,
    json_output: Json = False,
) -> None:
    """Publish on the Hub: a run as a model or a Space, a simulated world or event log as a data set, with its card."""
    quiet_transformers()
    from hf_trace.publishing.publication import check_repo_id, collect, publish

    check_repo_id(repo_id)
    publication = _made(context)
    if not json_output:
        _say_what(publication, private=private)
    if dry_run and not json_output:
        _list(publication)
    address = joined = None
    if not dry_run:
        address = publish(publication, private=private, update=overwrite)
        joined = None if collection is None else collect(publication, collection, private=private)
    if json_output:
        print_json({
            "repo_id": repo_id, "kind": publication.kind, "private": private, "files": publication.sizes(),
            "left_out": list(publication.left_out), "address": address, "collection": joined,
        })  # fmt: skip
        return
    if joined is not None:
        say(f"In the collection {joined}")
    say("Nothing was sent (--dry-run)." if address is None else f"Published: {address}")


def _made(context: typer.Context) -> "Publication":
    """What is published, of what the command was given; what does not belong to it is refused."""
    from hf_trace.publishing.data_sets import world_publication
    from hf_trace.publishing.publication import run_publication
    from hf_trace.publishing.space import space_publication
    from hf_trace.runs.folders import run_kind

    given = context.params
    run, repo_id = given["run"], given["repo_id"]
    if not given["space"]:
        refuse_given(context, ("wheel", "run_repo"), "is for a Space. Add `--space`, or leave it out.")
    elif given["dataset"]:
        refuse_given(context, ("dataset",), "is for event logs, and `--space` serves a run. Leave out either.")
    if run_kind(run) == "world":
        reason = "is not for a simulated world, which is published as it is, with its own truth. Leave it out."
        refuse_given(context, (*_OF_LOGS, *_OF_RUNS, "graph", "data_source", "space"), reason)
        return world_publication(run, repo_id, license=given["license"])
    if given["dataset"]:
        refuse_given(context, _OF_RUNS, "is for a run, and `--dataset` publishes a log. Leave out either.")
        return _of_log(given)
    refuse_given(context, _OF_LOGS, "is for event logs. Add `--dataset` to publish one, or leave it out.")
    about = {name: given[name] for name in ("graph", "license", "data_repo")} | {"data": given["data_source"]}
    if given["space"]:
        reason = "is for the card of a model, and `--space` makes a Space. Leave out either."
        refuse_given(context, ("known_graph",), reason)
        return space_publication(run, repo_id, wheel=given["wheel"], run_repo=given["run_repo"], **about)
    return run_publication(run, repo_id, truth=given["known_graph"], **about)


def _of_log(given: Mapping[str, Any]) -> "Publication":
    """An event log, with its known graph where one is named or lies in its folder."""
    from hf_trace.publishing.data_sets import log_publication

    run = given["run"]
    names = ("case_column", "event_column", "time_column", "query", "time_unit")
    case, event, time, query, unit = (given[name] for name in names)
    contexts, time_format = given["context_column"] or (), given["time_format"]
    log = LogSource(run, case, event, time, query, unit, contexts=contexts, time_format=time_format).read()
    truth = given["graph"] or (Path(run) / _TRUTH if (Path(run) / _TRUTH).exists() else None)
    return log_publication(log, given["repo_id"], truth=truth, license=given["license"], data=given["data_source"])


def _say_what(publication: "Publication", *, private: bool) -> None:
    kind = _KINDS.get(publication.kind, publication.kind)
    sizes = publication.sizes().values()
    who = "private" if private else "public"
    say(f"{publication.repo_id}: a {who} {kind}, {len(sizes)} files, {_size(sum(sizes))}")


def _list(publication: "Publication") -> None:
    rows = [[name, _size(size)] for name, size in publication.sizes().items()]
    print_table(publication.repo_id, ["file", "size"], rows)
    if left := publication.left_out:
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        say(f"Stays here: {shown}")


def _size(count: int | float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
