"""Names of events that happened near a place: ``<near:X>`` is an X of a neighbour."""

from collections.abc import Iterable

from hf_trace.errors import EventNameError

_BEGINS, _ENDS = "<near:", ">"


def near_name(event: str) -> str:
    """Name of an event of a neighbour.

    Example:
        >>> near_name("disk full")
        '<near:disk full>'
    """
    return f"{_BEGINS}{event}{_ENDS}"


def is_near_name(event: str) -> bool:
    """Whether a name is written as those of neighbours' events are.

    Example:
        >>> is_near_name("<near:disk full>"), is_near_name("disk full")
        (True, False)
    """
    return event.startswith(_BEGINS) and event.endswith(_ENDS)


def plain_name(event: str) -> str:
    """What happened, wherever it did.

    Example:
        >>> plain_name("<near:disk full>"), plain_name("disk full")
        ('disk full', 'disk full')
    """
    return event[len(_BEGINS) : -len(_ENDS)] if is_near_name(event) else event


def refuse_near_names(events: Iterable[str]) -> None:
    """Refuse event types that could be taken for events of neighbours.

    Raises:
        EventNameError: If there is one.
    """
    if clash := next(filter(is_near_name, events), None):
        raise EventNameError(
            f"The event type {clash!r} is written as events of neighbours are, {near_name('X')}. Rename it in the log, "
            "or leave the topology out."
        )
