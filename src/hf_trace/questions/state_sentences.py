"""A ranked state in words: since when, how often normal operation sees it, what was expected, and where it leads."""

from hf_trace.documents import Document
from hf_trace.logs.states.state_names import HAPPENED, NOT_YET
from hf_trace.questions.normal_states import NormalStates

_SURE = 0.8


def told(cause: Document, normal: NormalStates) -> str:
    """A sentence or two about a cause that ``rank_states`` lists.

    Args:
        cause: Its entry.
        normal: What normal operation is like.
    """
    since = "since the beginning" if cause["since"] is None else f"since {cause['lag_seconds']:,.1f} s before the alarm"
    parts = [f"{_held(cause)} {since}; {_how_often(cause, normal)}."]
    if cause["expected"] not in (None, cause["value"]) and cause["probability_expected"] > _SURE:
        when = "now" if cause["since"] is None else "when it began"
        parts.append(
            f"Beside the other states {when}, {cause['expected']} was expected ({cause['probability_expected']:.1%})."
        )
    if cause["explained_by"] is not None:
        parts.append(f"It follows {cause['explained_by']}.")
    if cause["path"]:
        parts.append(f"It leads there by {' → '.join(cause['path'])}.")
    elif cause["path"] is not None:
        parts.append("No known path leads from it to the alarm.")
    return " ".join(parts)


def _held(cause: Document) -> str:
    if cause["value"] in (HAPPENED, NOT_YET):
        return f"{cause['variable']} has {'' if cause['value'] == HAPPENED else 'not '}happened"
    return f"{cause['variable']} is {cause['value']}"


def _how_often(cause: Document, normal: NormalStates) -> str:
    held = normal.seconds.get(cause["variable"])
    if held is None:
        return "normal operation does not know it"
    if not cause["share"]:
        return f"in {sum(held.values()):,.0f} s of normal operation it never was"
    return f"normal operation is so {cause['share']:.2%} of the time"
