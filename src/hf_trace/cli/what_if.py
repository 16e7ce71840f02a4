"""``hf-trace effect RUN LOG``: what would have followed, had an event of a sequence been another."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.cli.inputs import known_contexts, quieten_host, read_events
from hf_trace.console import print_json, print_table, progress, say, warn
from hf_trace.errors import QueryError, SettingsError, preview

if TYPE_CHECKING:
    from hf_trace.data.log import EventLog
    from hf_trace.data.sequence import EventSequence

_COLUMNS = ("case_column", "event_column", "time_column", "query", "time_unit")


def what_if(
    run: str,
    log: str,
    columns: dict[str, Any],
    asked: dict[str, Any],
    tables: dict[str, Any],
    out: Path | None,
    json_output: bool,
) -> None:
    """Answer one question about one sequence of a log.

    Args:
        run: Run folder or Hub id, trained on an event log.
        log: The log.
        columns: How to read it.
        asked: ``id``, ``do``, ``target``, ``within``, ``num_samples`` and ``seed`` as given.
        tables: Options that make sense of a run trained on a table alone; none may be given.
        out: Where to write the answer, if anywhere.
        json_output: Whether to print JSON.
    """
    if given := [name for name, value in tables.items() if value]:
        raise QueryError(f"{given[0]} is for runs trained on a table, but a log is given. Leave out either.")
    do = _intervention(asked["do"])
    if asked["target"] is None:
        raise QueryError("Nothing is asked about. Expected an event: `--target EVENT`.")
    case, event, moment, query, unit = (columns[name] for name in _COLUMNS)
    table = read_events(log, case, event, moment, query, unit, contexts=known_contexts(run))
    sequence = chosen_sequence(table, asked["id"])
    quieten_host()
    from hf_trace.data.writing import write_json_lines
    from hf_trace.hub.discovery_run import load_pipeline
    from hf_trace.hub.runs import recipe_of

    discover = load_pipeline(run)
    unknown = "map" if recipe_of(run).get("min_count", 1) > 1 else "error"
    with progress("simulating", None):
        answer = discover.what_if(
            sequence,
            do=do,
            unknown=unknown,
            **{name: asked[name] for name in ("target", "within", "num_samples", "seed")},
        )
    if out is not None:
        write_json_lines(out, [answer])
    if json_output:
        print_json(answer)
    else:
        _show_what_if(answer)


def chosen_sequence(table: "EventLog", name: str | None) -> "EventSequence":
    """The sequence with an id, or the only one.

    Raises:
        SettingsError: If there is no such sequence, or several and no id.
    """
    if name is None and len(table) > 1:
        raise SettingsError(
            f"The log has {len(table):,} sequences, expected one. Choose it: `--id {table.ids[0]}`."
        )
    if name is not None and name not in table.ids:
        raise SettingsError(f"No sequence has the id {name!r}. The log has {preview(table.ids)}.")
    return table[0 if name is None else table.ids.index(name)]


def _intervention(given: list[str] | None) -> dict[int, str]:
    if not given or len(given) > 1:
        found = "nothing" if not given else f"{len(given)} interventions"
        raise QueryError(
            f"--do says {found}, expected one: `--do POSITION=EVENT` or `--do POSITION=removed`, positions from 0."
        )
    position, equals, event = given[0].partition("=")
    if not equals or not event or not re.fullmatch(r"\d+", position.strip()):
        raise QueryError(
            f"--do is {given[0]!r}, expected POSITION=EVENT or POSITION=removed, positions from 0."
        )
    return {int(position): event}


def _show_what_if(answer: dict[str, Any]) -> None:
    """A table of the two probabilities and their difference."""
    cases = {
        f"{answer['observed']} (as observed)": "factual",
        answer["do"]: "intervened",
        "difference": "difference",
    }
    rows = [[name, answer[key]["value"], answer[key]["standard_error"]] for name, key in cases.items()]
    title = f"p({answer['target']} within {answer['within']} after position {answer['position']})"
    print_table(title, ["event there", "probability", "standard error"], rows)
    say(f"{answer['num_samples']:,} futures each.")
    if answer["covered"] < 0.99:
        warn(
            f"Only {answer['covered']:.0%} of the futures reach the end of the horizon: the probabilities are lower "
            "bounds. Shorten --within, or train with a longer window."
        )
