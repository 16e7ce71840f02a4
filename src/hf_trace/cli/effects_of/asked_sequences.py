"""Questions about one sequence of a log: what if, and would what followed have come all the same."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hf_trace.cli.console import print_json, print_table, progress, say, warn
from hf_trace.cli.effects_of.table_screens import MONTE_CARLO, shown_error
from hf_trace.cli.inputs import LogSource
from hf_trace.errors import QueryError, SettingsError

if TYPE_CHECKING:
    from hf_trace.documents import Document
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.sequence import EventSequence


def answers_of_sequence(asked: "Document", source: LogSource, run: str) -> "list[Document]":
    """The answer to one question: what follows as observed, and had one event been different.

    Args:
        asked: Options of the command, by name.
        source: The log.
        run: Folder or Hub id.
    """
    from hf_trace.questions.named_events import intervention, placed
    from hf_trace.questions.what_if import WhatIfRequest, answer_what_if
    from hf_trace.runs.event_model import EventModel

    do = intervention(asked["do"])
    if asked["target"] is None:
        raise QueryError("Nothing is asked about. Expected an event: `--target EVENT`.")
    request = WhatIfRequest({}, asked["target"], asked["within"], asked["num_samples"], seed=asked["seed"])
    table = source.as_trained(run).read()
    sequence = _chosen_sequence(table, asked["only"])
    request = replace(request, do=placed(do, sequence, table.event_types))
    model = EventModel.load(run, trust_remote_code=asked["trust_remote_code"])
    with progress("simulating", None):
        return [answer_what_if(model, sequence, request)]


def would_have_followed(asked: "Document", source: LogSource, run: str) -> "list[Document]":
    """Of each event that did follow: whether it would have come, had one event been different.

    Args:
        asked: Options of the command, by name.
        source: The log.
        run: Folder or Hub id.
    """
    from hf_trace.checks import whole
    from hf_trace.questions.named_events import intervention, placed
    from hf_trace.questions.necessity import would_have_come
    from hf_trace.runs.event_model import EventModel

    do, ahead = intervention(asked["do"]), whole("ahead", asked["ahead"])
    table = source.as_trained(run).read()
    sequence = _chosen_sequence(table, asked["only"])
    model = EventModel.load(run, trust_remote_code=asked["trust_remote_code"])
    return would_have_come(model, sequence, placed(do, sequence, table.event_types), ahead=ahead)


def show_events(source: LogSource, run: str, only: Sequence[str] | None, *, as_json: bool) -> None:
    """Print where the events of a sequence stand, and how ``--do`` calls them.

    Args:
        source: The log.
        run: Folder or Hub id.
        only: Ids of sequences, of which there must be one.
        as_json: Print documents instead.
    """
    from hf_trace.questions.named_events import listed_events

    sequence = _chosen_sequence(source.as_trained(run).read(), only)
    rows = listed_events(sequence)
    if as_json:
        print_json(rows)
        return
    has_times = sequence.timestamps is not None
    print_table(
        f"events of the sequence {sequence.id or ''}",
        ["position", "event", *(["after (seconds)"] if has_times else [])],
        [[row["position"], row["name"], *([row["after"]] if has_times else [])] for row in rows],
    )


def _chosen_sequence(table: "EventLog", names: Sequence[str] | None) -> "EventSequence":
    """The sequence with an id, or the only one."""
    from hf_trace.logs.windows import sequences_of

    found = sequences_of(table, names) if names else table
    if len(found) > 1:
        chosen = f"`--id` names {len(found)}" if names else f"The log has {len(found):,}"
        raise SettingsError(f"{chosen} sequences, expected one. Choose it: `--id {found.ids[0]}`.")
    return found[0]


def show_what_if(answer: "Document") -> None:
    """A table of the two probabilities and their difference."""
    cases = {f"{answer['observed']} (as observed)": "factual", answer["do"]: "intervened", "difference": "difference"}
    rows = [[name, answer[key]["value"], shown_error(answer[key]["standard_error"])] for name, key in cases.items()]
    title = f"p({answer['target']} within {answer['within']} after position {answer['position']})"
    print_table(title, ["event there", "probability", MONTE_CARLO], rows)
    say(f"{answer['num_samples']:,} futures each; the error is that of these draws, not that of the fitted model.")
    if answer["covered"] < 0.99:
        warn(
            f"Only {answer['covered']:.0%} of the futures reach the end of the horizon: the probabilities are lower "
            "bounds. Shorten --within, or train with a longer window."
        )


def show_would_have_followed(found: "Sequence[Document]") -> None:
    """A table of what followed, the next event first."""
    keys = ("position", "event", "with_event", "without", "least", "most")
    columns = ["position", "what came", "how likely", "how likely without", "needed it: at least", "at most"]
    print_table("would it have come all the same", columns, [[each[key] for key in keys] for each in found])
    say(
        "All other events are kept as they were, and their times: what the change does through events in between is "
        "not in it. It assumes that nothing outside the log acts on two events."
    )
