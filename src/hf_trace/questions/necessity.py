"""Would what followed have come all the same: a sequence that is over, had one event been different."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hf_trace.discovery.total_effects import Horizon
from hf_trace.documents import Document
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import UNKNOWN
from hf_trace.questions.root_causes import surprises
from hf_trace.questions.what_if import asked_intervention, check_known, given_event
from hf_trace.runs.event_model import EventModel


@dataclass(frozen=True)
class Necessity:
    """Whether an event that did come would have come all the same.

    Attributes:
        with_event: How probable it was, given all before it.
        without: How probable it would have been, had the one event been different and all else as it was.
        least: The least that the probability of another event in its place can be, given that it did come.
        most: The most.
    """

    with_event: float
    without: float
    least: float
    most: float


def necessity(with_event: float, without: float) -> Necessity:
    r"""Bounds of the probability of necessity, of an event by an earlier one.

    .. math:: \max\Big(0, 1 - \frac{p'}{p}\Big) \le PN \le \min\Big(1, \frac{1 - p'}{p}\Big)

    What decides between events at a moment is the same in both worlds, but how it does is not known: these are the
    limits of Tian and Pearl (2000) for causes that nothing confounds, which here are all events before.

    Args:
        with_event: p, positive.
        without: p'.

    Example:
        >>> necessity(0.5, 0.125)
        Necessity(with_event=0.5, without=0.125, least=0.75, most=1.0)
    """
    least, most = max(0.0, 1 - without / with_event), min(1.0, (1 - without) / with_event)
    return Necessity(with_event, without, least, max(least, most))


def would_have_come(
    model: EventModel,
    sequence: EventSequence,
    do: Mapping[Any, Any],
    *,
    ahead: int = 20,
    unknown: str | None = UNKNOWN.default,
) -> list[Document]:
    """Of each later event: would it have come, had an event been different and all others been as they were?

    Unlike ``answer_what_if``, which draws what follows anew, this keeps everything that did happen, and asks of one
    event at a time; what the change does through events in between is not in it. Times stay as they were, so it is
    which event came that is asked, not when. It assumes that nothing that is in no log acts on two events.

    Args:
        model: The model of the log.
        sequence: What happened.
        do: A position, from 0, and the event to put there; ``"removed"`` or None for none.
        ahead: How many events after it are asked about.
        unknown: ``"error"`` or ``"map"``, for events outside the vocabulary; None: as the run was trained.

    Returns:
        For each later event ``position``, ``event`` and what ``Necessity`` holds.

    Raises:
        QueryError: If there is no such position, or not exactly one.
        UnknownEventError: If an event is not in the vocabulary.
    """
    position, event = asked_intervention(do, sequence)
    check_known([event] if event is not None else [], model.tokenizer.event_types)
    handling = model.unknown(unknown)
    last = min(len(sequence), position + 1 + ahead)
    # The first event of a changed sequence has no past to be predicted from.
    places = [place for place in range(position + 1, last) if place > 1 or event is not None]
    if not places:
        return []
    changed, moved = _changed(sequence, position, event)
    asked = [
        given_event(model, one, place - shift, Horizon(0), handling, 1)
        for one, shift in ((sequence, 0), (changed, moved))
        for place in places
    ]
    shares = np.exp(-surprises(model.oracle, asked, model.slots)[0]).reshape(2, -1).tolist()
    return [
        {"position": place, "event": sequence.events[place], **asdict(necessity(before, after))}
        for place, before, after in zip(places, *shares, strict=True)
        if before > 0
    ]


def _changed(sequence: EventSequence, position: int, event: str | None) -> tuple[EventSequence, int]:
    """The sequence as it would have been, and by how much later events move."""
    if event is None:
        return sequence.without(np.arange(len(sequence)) == position), 1
    events = list(sequence.events)
    events[position] = event
    return replace(sequence, events=tuple(events)), 0
