"""``hf-trace rank``: root causes of an event, ranked."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.inputs import known_contexts, quieten_host, read_events
from hf_trace.cli.options import Case, Event, Json, Log, Query, Seed, Time, TimeUnit
from hf_trace.errors import OutputError, QueryError

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog

_COLUMNS = {"event": "event", "position": "position", "lag": "lag", "effect": "effect",
            "standard_error": "error", "pagerank": "PageRank", "surprise": "surprise (nats)"}  # fmt: skip


def rank(
    run_folder: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or Hub id.")],
    log: Log,
    outcome: Annotated[str, typer.Option("--outcome", help="The event to explain.")],
    only: Annotated[list[str] | None, typer.Option("--id", help="Only this sequence; can be repeated.")] = None,
    position: Annotated[
        int | None, typer.Option("--position", help="Which occurrence, from 0; the first by default.")
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Most causes listed of each incident.")] = 10,
    within: Annotated[
        str | None,
        typer.Option("--within", help="How far back causes may be: 32 (events, the default), 60s, or 32,60s."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="combined, effect, pagerank or surprise.")] = "combined",
    proposal: Annotated[
        str, typer.Option("--proposal", help="What events are replaced by: model, uniform, unigram, removed.")
    ] = "model",
    num_samples: Annotated[int, typer.Option("--num-samples", help="Futures of each event.")] = 32,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Run of normal operation: what it did not expect counts as well.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Events that are never causes, e.g. 'Alarm*'.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Ranking file: .json, .jsonl or .csv.")] = None,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    time_unit: TimeUnit = "s",
    unknown: Annotated[str, typer.Option(help="Events the model does not know: error, or map.")] = "error",
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Rank the causes of an event by what they changed and by where influence comes from."""
    check_suffix(out, (".json", ".jsonl", ".csv"))
    table = read_events(
        log, case_column, event_column, time_column, query, time_unit, contexts=known_contexts(run_folder)
    )
    incidents = _incidents(table, outcome, only)
    quieten_host()
    from hf_trace.pipelines.discovery_run import load_pipeline

    discover = load_pipeline(run_folder)
    normal = None if reference is None else load_pipeline(reference)
    settings: dict[str, Any] = {
        "within": within, "by": by, "proposal": proposal, "num_samples": num_samples,
        "exclude": exclude or [], "top": top, "unknown": unknown, "seed": seed,
    }  # fmt: skip
    found = []
    with progress("ranking", len(incidents)) as advance:
        for number, incident in enumerate(incidents):
            found.append(discover.rank(incident, outcome=outcome, position=position, reference=normal, **settings))
            advance(number + 1)
    if problem := found[0].get("warning"):
        warn(problem)
    if out is not None:
        _write(out, found)
    if json_output:
        print_json(found[0] if len(found) == 1 else found)
        return
    for each in found[:3]:
        _show(each)
    if len(found) > 3:
        say(f"… and {len(found) - 3} more incidents; `--out FILE` writes all.")


def check_suffix(out: Path | None, suffixes: tuple[str, ...]) -> None:
    """Refuse a file of another kind before any work.

    Raises:
        OutputError: If the name ends otherwise.
    """
    if out is not None and out.suffix.lower() not in suffixes:
        raise OutputError(f"Cannot write {str(out)!r}: expected a name that ends in {', '.join(suffixes)}.")


def _incidents(table: "EventLog", outcome: str, only: list[str] | None) -> "EventLog":
    from hf_trace.logs.windows import sequences_of

    table = sequences_of(table, only) if only else table
    import numpy as np

    if outcome not in table.event_types:
        import difflib

        near = difflib.get_close_matches(outcome, table.event_types, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {len(table.event_types)} event types."
        raise QueryError(f"No event of the log is called {outcome!r}. {hint}")
    code = table.event_types.index(outcome)
    first = np.array([code in table.codes[a:b] for a, b in zip(table.offsets, table.offsets[1:], strict=False)])
    if not first.any():
        raise QueryError(f"No chosen sequence holds {outcome!r}, expected at least one. Choose another with `--id`.")
    return table.select(np.flatnonzero(first))


def _write(out: Path, found: list[dict[str, Any]]) -> None:
    import json

    from hf_trace.logs.writing import atomic_path, write_json_lines

    if out.suffix.lower() == ".jsonl":
        write_json_lines(out, found)
        return
    with atomic_path(out) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        if out.suffix.lower() == ".json":
            json.dump(found, file, ensure_ascii=False, indent=2)
            return
        rows = [{"id": each["id"], "outcome": each["outcome"], **cause} for each in found for cause in each["causes"]]
        rows = [{**row, "path": " ".join(map(str, row["path"]))} for row in rows]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _show(ranking: dict[str, Any]) -> None:
    causes = ranking["causes"]
    rows = [[float("nan") if cause[key] is None else cause[key] for key in _COLUMNS] for cause in causes]
    title = f"causes of {ranking['outcome']} at position {ranking['position']} of {ranking['id']}"
    print_table(title, list(_COLUMNS.values()), rows)
    if path := causes[0]["path"]:
        say(f"Strongest path from the first: positions {' → '.join(map(str, path))}.")
