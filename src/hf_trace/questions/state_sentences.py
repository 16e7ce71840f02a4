"""A ranked state in words: since when, how often normal operation sees it, what was expected, and where it leads."""

from hf_trace.documents import Document
from hf_trace.logs.places.near_names import is_near_name, plain_name
from hf_trace.logs.states.state_names import HAPPENED, NOT_YET
from hf_trace.questions.normal_states import NormalStates

_SURE = 0.8
_UNITS = (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


def told(cause: Document, normal: NormalStates) -> str:
    """A sentence or two about a cause that ``rank_states`` lists.

    Args:
        cause: Its entry.
        normal: What normal operation is like.
    """
    since = "since the beginning"
    if cause["since"] is not None:
        since = f"since {lasting(cause['lag_seconds'], normal.unit)} before the alarm"
    parts = [f"{_held(cause)} {since}; {_how_often(cause, normal)}."]
    if cause["expected"] not in (None, cause["value"]) and cause["probability_expected"] > _SURE:
        others = "the other states" if cause["beside"] is None else " = ".join(cause["beside"])
        when = "now" if cause["since"] is None else "when it began"
        parts.append(f"Beside {others} {when}, {cause['expected']} was expected ({cause['probability_expected']:.1%}).")
    if cause["explained_by"] is not None:
        parts.append(f"It follows {cause['explained_by']}.")
    if cause["path"]:
        parts.append(f"It leads there by {' → '.join(cause['path'])}.")
    elif cause["path"] is not None:
        parts.append("No known path leads from it to the alarm.")
    return " ".join(parts)


def _held(cause: Document) -> str:
    name, value = cause["variable"], cause["value"]
    name = f"{plain_name(name)} of a neighbour" if is_near_name(name) else name
    return (
        f"{name} has {'' if value == HAPPENED else 'not '}happened"
        if value in (HAPPENED, NOT_YET)
        else f"{name} is {value}"
    )


def _how_often(cause: Document, normal: NormalStates) -> str:
    held = normal.seconds.get(cause["variable"])
    if held is None:
        return "normal operation does not know it"
    if not cause["share"]:
        return f"in {lasting(sum(held.values()), normal.unit)} of normal operation it never was"
    return f"normal operation is so {cause['share']:.2%} of the time"


def lasting(time: float, unit: str) -> str:
    """A length of time in words: seconds up to two minutes, then what is larger; or a number of events.

    Example:
        >>> lasting(9.0, "s"), lasting(7_660.0, "s"), lasting(1_307_964.0, "s"), lasting(3.0, "events")
        ('9.0 s', '2.1 hours', '15.1 days', '3 events')
    """
    if unit != "s":
        return f"{time:,.0f} {unit}"
    name, size = next((each for each in _UNITS if time >= 2 * each[1]), ("s", 1.0))
    return f"{time / size:,.1f} {name}"
