"""``hf-trace rank``: root causes of an event, ranked."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hf_trace.cli.flags as flags
from hf_trace.checks import near
from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.flags import (
    Case,
    Directed,
    Event,
    Hops,
    Json,
    Log,
    Only,
    Query,
    RunFolder,
    Seed,
    Time,
    TimeFormat,
    TimeUnit,
    Topology,
    Trust,
    Unknown,
    flag,
    refuse_given,
)
from hf_trace.cli.inputs import LogSource, quiet_transformers
from hf_trace.cli.outputs import check_output, write_documents
from hf_trace.documents import Document
from hf_trace.errors import QueryError, SettingsError
from hf_trace.options import HOPS, NUM_SAMPLES, SEED, TOPOLOGY_DIRECTED, TRUST_REMOTE_CODE, UNKNOWN

if TYPE_CHECKING:
    from hf_trace.logs.log import EventLog
    from hf_trace.questions.normal_states import NormalStates
    from hf_trace.questions.state_ranking import StateRankSettings

_COLUMNS = {"event": "event", "place": "where", "position": "position", "lag": "lag", "effect": "effect",
            "standard_error": "error", "pagerank": "PageRank", "surprise": "surprise (nats)"}  # fmt: skip


# What is about events and their effects, and what is about states.
_OF_EVENTS = (*("position", "within", "by", "proposal", "num_samples", "reference", "unknown"),)
_OF_STATES = ("knowledge", "seen", "end_column")


def rank(
    context: typer.Context,
    run_folder: RunFolder,
    log: Log,
    outcome: Annotated[
        list[str], typer.Option(help="The event to explain; can be repeated, for alarms that come together.")
    ],
    only: Only = None,
    position: Annotated[int | None, typer.Option(help="Which occurrence, from 0; the first by default.")] = None,
    top: Annotated[int, typer.Option(help="Maximum number of causes listed per incident.")] = 10,
    within: Annotated[
        str | None, typer.Option(help="How far back causes may be: 32 (events, the default), 60s, or 32,60s.")
    ] = None,
    by: Annotated[str, typer.Option(help="Order: combined, effect, pagerank or surprise.")] = "combined",
    proposal: Annotated[
        str, typer.Option(help="What replaces an event: model, uniform, unigram or removed.")
    ] = "model",
    num_samples: Annotated[int, flag(NUM_SAMPLES.but(help="Number of futures per event."))] = NUM_SAMPLES.default,
    reference: Annotated[
        str | None, typer.Option(help="Run of normal operation: what it did not expect counts too.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Events that are never causes, e.g. `Alarm*`; can be repeated.")
    ] = None,
    knowledge: Annotated[
        Path | None, typer.Option(help="With a run of states: graph of what causes what (GML, GraphML, JSON, CSV).")
    ] = None,
    seen: Annotated[
        bool, typer.Option("--seen/--not-seen", help="With a run of states: whether other incidents of LOG count.")
    ] = True,
    end_column: flags.EndColumn = None,
    out: Annotated[Path | None, typer.Option(help="Ranking file: .json, .jsonl or .csv.")] = None,
    case_column: Case = None,
    event_column: Event = None,
    time_column: Time = None,
    query: Query = None,
    topology: Topology = None,
    topology_directed: Directed = TOPOLOGY_DIRECTED.default,
    hops: Hops = HOPS.default,
    time_unit: TimeUnit = None,
    time_format: TimeFormat = None,
    unknown: Unknown = UNKNOWN.default,
    trust_remote_code: Trust = TRUST_REMOTE_CODE.default,
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Rank what led to an event: earlier events by their effects or, with a run of states, states by their oddness."""
    check_output(out, (".json", ".jsonl", ".csv"))
    quiet_transformers()
    from hf_trace.questions.state_runs import is_of_states

    source = LogSource(log, case_column, event_column, time_column, query, time_unit, time_format=time_format)
    source = replace(source, topology=topology, directed=topology_directed, hops=hops, end=end_column)
    if is_of_states(run_folder):
        refuse_given(context, _OF_EVENTS, "is for runs of events, and this one is of states. Leave it out.")
        from hf_trace.questions.state_ranking import StateRankSettings
        from hf_trace.questions.state_runs import load_states

        states = load_states(run_folder, trust_remote_code=trust_remote_code)
        source = replace(source.as_remembered(run_folder), topology=topology or states.network)
        wanted = StateRankSettings(exclude=tuple(exclude or ()), top=top)
        found = _ranked_states(states, source.with_ends(), outcome, only, wanted, knowledge, seen=seen)
        _tell(found, list(_state_rows(found)), out, _show_states, json_output=json_output)
        return
    refuse_given(context, _OF_STATES, "is for runs of states, `hf-trace train --states`. Leave it out.")
    if reference is not None and is_of_states(reference):
        raise SettingsError(
            f"`--reference` is a run of states, which ranks by itself: `hf-trace rank {reference} LOG`."
        )
    from hf_trace.questions.ranking import RankSettings
    from hf_trace.questions.ranking import rank as ranked
    from hf_trace.runs.event_model import EventModel

    settings = RankSettings(
        within=within, by=by, proposal=proposal, num_samples=num_samples, exclude=tuple(exclude or ()), top=top,
        unknown=unknown, seed=seed,
    )  # fmt: skip
    table = source.as_trained(run_folder).read()
    incidents = [(each, name) for name in outcome for each in _incidents(table, name, only)]
    model = EventModel.load(run_folder, trust_remote_code=trust_remote_code)
    normal = None if reference is None else EventModel.load(reference, trust_remote_code=trust_remote_code)
    found = []
    with progress("ranking", len(incidents)) as advance:
        for number, (incident, name) in enumerate(incidents):
            found.append(ranked(model, incident, name, settings, position=position, reference=normal))
            advance(number + 1)
    if problem := found[0].get("warning"):
        warn(problem)
    _tell(found, list(_rows(found)), out, _show, json_output=json_output)


def _tell(
    found: list[Document],
    rows: list[Document],
    out: Path | None,
    show: Callable[[Document], None],
    *,
    json_output: bool,
) -> None:
    """Write and show rankings."""
    if out is not None:
        write_documents(out, found, rows)
    if json_output:
        print_json(found[0] if len(found) == 1 else found)
        return
    for each in found[:3]:
        show(each)
    if len(found) > 3:
        say(f"… and {len(found) - 3} more incidents; `--out FILE` writes all.")


def _ranked_states(
    normal: "NormalStates",
    log: "EventLog",
    outcomes: list[str],
    only: list[str] | None,
    settings: "StateRankSettings",
    knowledge: Path | None,
    *,
    seen: bool,
) -> list[Document]:
    """The sequences with one of the alarms, each with the states that led there; the others count as seen."""
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.logs.windows import sequences_of
    from hf_trace.questions.state_ranking import SeenIncident, rank_states, variable_graph

    states = normal.read(log)
    graph = None if knowledge is None else variable_graph(CausalGraph.load(knowledge).to_networkx(), states)
    incidents = {number: each for number in range(len(log)) if (each := SeenIncident.of(states, number, outcomes))}
    chosen = set(sequences_of(log, only).ids if only else log.ids)
    asked = [number for number in incidents if log.ids[number] in chosen]
    if not asked:
        raise QueryError(
            f"No chosen sequence holds {outcomes[0]!r}, expected at least one. Choose another with `--id`."
        )
    found = []
    with progress("ranking", len(asked)) as advance:
        for done, number in enumerate(asked):
            others = [each for other, each in incidents.items() if seen and other != number]
            found.append(rank_states(normal, states, number, outcomes, settings, seen=others, graph=graph))
            advance(done + 1)
    return found


def _state_rows(found: list[Document]) -> Iterator[Document]:
    """One row per incident and cause."""
    for each in found:
        for cause in each["causes"]:
            yield {"id": each["id"], "outcome": each["outcome"], **cause, "path": " → ".join(cause["path"] or ())}


def _show_states(ranking: Document) -> None:
    alarms = ", ".join(f"{each['event']} at {each['time']:,.1f}" for each in ranking["alarms"])
    say(f"Sequence {ranking['id']}: {alarms}")
    for cause in ranking["causes"]:
        say(f"{cause['rank']:3}. {cause['sentence']} ({cause['score']:.1f} nats)")
    if note := ranking.get("note"):
        warn(note)


def _incidents(table: "EventLog", outcome: str, only: list[str] | None) -> "EventLog":
    """The sequences that hold the outcome."""
    import numpy as np

    from hf_trace.logs.windows import sequences_of

    table = sequences_of(table, only) if only else table
    if outcome not in table.event_types:
        hint = near(outcome, table.event_types) or f" It has {len(table.event_types)} event types."
        raise QueryError(f"No event of the log is called {outcome!r}.{hint}")
    is_outcome = table.codes == table.event_types.index(outcome)
    holds = np.flatnonzero([is_outcome[a:b].any() for a, b in pairwise(table.offsets)])
    if not len(holds):
        raise QueryError(f"No chosen sequence holds {outcome!r}, expected at least one. Choose another with `--id`.")
    return table.select(holds)


def _rows(found: list[Document]) -> Iterator[Document]:
    """One row per incident and cause."""
    for each in found:
        for cause in each["causes"]:
            yield {"id": each["id"], "outcome": each["outcome"], **cause, "path": " ".join(map(str, cause["path"]))}


def _show(ranking: Document) -> None:
    causes = ranking["causes"]
    columns = {key: name for key, name in _COLUMNS.items() if key in causes[0]}
    rows = [[float("nan") if cause[key] is None else cause[key] for key in columns] for cause in causes]
    title = f"causes of {ranking['outcome']} at position {ranking['position']} of sequence {ranking['id']}"
    print_table(title, list(columns.values()), rows)
    if note := ranking.get("note"):
        warn(note)
    elif path := causes[0]["path"]:
        say(f"Strongest path from the first: positions {' → '.join(map(str, path))}.")
