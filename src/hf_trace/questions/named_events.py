"""Events of one sequence by name: where they stand, and which of them ``--do`` speaks of."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import accumulate

from hf_trace.checks import near
from hf_trace.documents import Document
from hf_trace.errors import QueryError, preview
from hf_trace.logs.sequence import EventSequence
from hf_trace.questions.what_if import REMOVED

_EXPECTED = (
    "expected one: `--do WHICH=EVENT`, or `--do WHICH` to remove it, where WHICH is an event of the sequence ('T06', "
    "'T06#2' for its second) or a position from 0; `--list-events` shows both."
)


def listed_events(sequence: EventSequence) -> list[Document]:
    """Every event with its position and the name by which ``--do`` knows it, and its time where there are times.

    Example:
        >>> for row in listed_events(EventSequence(("T06", "T07", "T06"), (5.0, 6.0, 9.5))):
        ...     print(row)
        {'position': 0, 'name': 'T06#1', 'event': 'T06', 'time': 5.0, 'after': 0.0}
        {'position': 1, 'name': 'T07', 'event': 'T07', 'time': 6.0, 'after': 1.0}
        {'position': 2, 'name': 'T06#2', 'event': 'T06', 'time': 9.5, 'after': 4.5}
    """
    seen: dict[str, int] = {}
    counts = Counter(sequence.events)
    rows: list[Document] = []
    for position, event in enumerate(sequence.events):
        seen[event] = seen.get(event, 0) + 1
        numbered = f"{event}#{seen[event]}"
        name = event if counts[event] == 1 and not _is_number(event) else numbered
        # An event of its own may have that name; its position tells it apart.
        name = str(position) if name == numbered in counts else name
        rows.append({"position": position, "name": name, "event": event})
        if sequence.timestamps is not None:
            since = sequence.timestamps[0]
            rows[-1] |= {"time": sequence.timestamps[position], "after": sequence.timestamps[position] - since}
    return rows


def intervention(given: Sequence[str] | None) -> str:
    """The one thing that is done, as it was typed.

    Raises:
        QueryError: If it is nothing, or several.
    """
    if not given or len(given) > 1:
        found = "nothing" if not given else f"{len(given)} interventions"
        raise QueryError(f"`--do` names {found}, {_EXPECTED}")
    return given[0]


def placed(text: str, sequence: EventSequence, known: Collection[str]) -> dict[int, str]:
    """An intervention as the position that is acted on, and the event that is put there.

    Names may hold equals signs: of all ways to read the text the one counts whose names are known.

    Args:
        text: ``WHICH=EVENT``, or ``WHICH`` alone to remove it.
        sequence: Where it is done.
        known: Events that may be put there.

    Raises:
        QueryError: If no event, or more than one, is meant.

    Example:
        >>> sequence = EventSequence(("pump=off", "T06", "pump=on", "T06"))
        >>> placed("1=T07", sequence, ["T07"]), placed("T06#2", sequence, []), placed("pump=on=T06", sequence, ["T06"])
        ({1: 'T07'}, {3: 'removed'}, {2: 'T06'})
    """
    parts = text.split("=")
    lefts = list(accumulate(parts, "{}={}".format))
    # The longest name of a place first: what is left for the event may be nothing.
    readings = [(left, text[len(left) + 1 :] or REMOVED) for left in reversed(lefts)]
    fitting = [(left, event) for left, event in readings if _is_there(left, sequence)]
    sure = [each for each in fitting if each[1] in {REMOVED, *known}]
    left, event = next(iter([*sure, *fitting]), (parts[0].strip(), ""))
    return {_position(left, sequence, text): event}


def _is_there(name: str, sequence: EventSequence) -> bool:
    return _is_number(name) or name in sequence.events or _numbered(name)[0] in sequence.events


def _is_number(name: str) -> bool:
    return re.fullmatch(r"\d+", name.strip()) is not None


def _numbered(name: str) -> tuple[str, int]:
    """``T06#2`` as the name and the number of its occurrence."""
    found = re.fullmatch(r"(.+)#([1-9]\d*)", name, flags=re.DOTALL)
    return (found[1], int(found[2])) if found else ("", 0)


def _position(name: str, sequence: EventSequence, text: str) -> int:
    if _is_number(name):
        return int(name)
    event, number = (name, 0) if name in sequence.events else _numbered(name)
    places = [position for position, each in enumerate(sequence.events) if each == event]
    if not places:
        hint = near(_numbered(name)[0] or name, sequence.events)
        raise QueryError(
            f"`--do` is {text!r}, and no event of the sequence {sequence.id or ''!r} is called {name!r}.{hint} "
            "`--list-events` shows them with their positions."
        )
    if number > len(places) or (not number and len(places) > 1):
        raise QueryError(
            f"`--do` is {text!r}, and {event!r} comes {len(places)} times in the sequence {sequence.id or ''!r} "
            f"(positions {preview(places)}). Say which: '{event}#1' to '{event}#{len(places)}'."
        )
    return places[number - 1 if number else 0]
