"""Whether an edge is an arrow from cause to effect, by what files say beside its two ends."""

import re
from collections.abc import Mapping
from typing import Any

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "none", "")
_ARROWS = frozenset(
    (*_YES, "->", "-->", "--->", "=>", "==>", ">", "→", "⟶", "⇒", "directed", "arrow", "forward", "to", "out", "causes")
)
_MARK = re.compile(r"[<>o*x|]?[-=~–—]{2,}[>o*x|]?|[<o*x|][-=~–—]+[>o*x|]?|[-=~–—]+[>o*x|]|[→←↔⟷⟶⟵⇒⇐⇔]")
# Of these keys every value that is no arrow is refused, of `_KINDS` only one that is known to be none.
_MARKS = ("mark", "marks", "edge_mark", "edge_marks", "arrow", "arrows", "dir")
_KINDS = (
    *("type", "kind", "class", "category", "edge_type", "edgetype", "edge_kind", "relation", "relation_type"),
    *("relationship", "interaction", "interaction_type", "direction", "directionality", "orientation"),
)
_NO_ARROWS = frozenset(
    (
        *("undirected", "nondirected", "notdirected", "undirectional", "unoriented", "nonoriented", "undetermined"),
        *("bidirected", "bidirectional", "bidirection", "twoway", "twosided", "mutual", "symmetric", "both", "neither"),
        *("none", "no", "back", "backward", "reverse", "reversed", "circle", "partial", "partiallydirected"),
        *("partiallyoriented", "semidirected", "confounded", "confounding", "confounder", "latent", "hidden"),
        *("commoncause", "latentcommoncause", "hiddencommoncause", "association", "associated", "correlation"),
        *("correlated", "covariance"),
    )
)  # fmt: skip
_CLAIMS = ("directed", "is_directed", "oriented", "is_oriented")
_DENIALS = ("undirected", "is_undirected", "bidirected", "is_bidirected", "bidirectional", "unoriented")
_AT_CAUSE = ("endpoint1", "endpoint_1", "mark1", "source_mark", "from_mark", "tail_mark", "source_endpoint")
_AT_EFFECT = ("endpoint2", "endpoint_2", "mark2", "target_mark", "to_mark", "head_mark", "target_endpoint")
_SPOKEN = ("label", "name", "title", "text", "note", "notes", "comment", "comments", "description")


def is_mark(value: Any) -> bool:
    """Whether a cell is drawn like an edge.

    Example:
        >>> [is_mark(text) for text in ("-->", "---", "<->", "o->", "↔", "-1", "a-b", "box")]
        [True, True, True, True, True, False, False, False]
    """
    return isinstance(value, str) and _MARK.fullmatch(value.strip()) is not None


def unlike_an_arrow(attributes: Mapping[Any, Any]) -> str | None:
    """The attribute of an edge that says that it is no arrow, for a message; None where none does.

    Example:
        >>> unlike_an_arrow({"weight": 0.5, "mark": "-->"})
        >>> unlike_an_arrow({"weight": 0.5, "type": "undirected"})
        "type 'undirected'"
    """
    for key, value in attributes.items():
        name = str(key).strip().casefold().replace("-", "_").replace(" ", "_")
        if name in (*_AT_CAUSE, *_AT_EFFECT) and isinstance(value, Mapping):
            value = value.get("name")
        if isinstance(value, Mapping):
            if found := unlike_an_arrow(value):
                return found
        elif value is not None and _denies(name, _folded(value)):
            return f"{key} {value!r}"
    return None


def is_no(value: Any) -> bool:
    """Whether a document says no: false, 0, or such a text.

    Example:
        >>> is_no(False), is_no("False"), is_no(0.0), is_no(None), is_no("yes")
        (True, True, True, False, False)
    """
    return value is not None and _folded(value) in _NO


def _folded(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()


def _denies(name: str, value: str) -> bool:
    if name in _CLAIMS:
        return value in _NO
    if name in _DENIALS:
        return value not in _NO
    if name in _AT_CAUSE:
        return value not in ("tail", "-1", "-", *_NO)
    if name in _AT_EFFECT:
        return value not in ("arrow", "arrowhead", "head", "1", ">")
    if name == "arrowhead":
        return value == "none"
    if name in _MARKS or (is_mark(value) and name not in _SPOKEN):
        return value not in _ARROWS
    return name in _KINDS and re.sub(r"[-_\s]|edges?$", "", value) in _NO_ARROWS
