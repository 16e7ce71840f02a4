"""What commands do before any work: read the log, keep the host library quiet."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hf_trace.console import say

if TYPE_CHECKING:
    from hf_trace.data.log import EventLog


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
    from hf_trace.data.reading import read_log

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
        from hf_trace.hub.run_source import local_run

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
