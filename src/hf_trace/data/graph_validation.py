"""What makes a causal graph valid: plain values, known events, one record per edge.

Checks only; the graph itself is in ``graph``.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from hf_trace.data.graph_files import FORMAT, VERSION
from hf_trace.errors import EventNameError, GraphFormatError, UnknownEventError, preview

Level: TypeAlias = Literal["instance", "summary", "population"]
Edge: TypeAlias = dict[str, Any]


def checked_edges(level: Level, events: tuple[str, ...], edges: Iterable[Any]) -> tuple[Edge, ...]:
    """Return plain copies of the edges, ordered by cause and then effect.

    Raises:
        UnknownEventError: If an edge names an event that ``events`` lacks.
        GraphFormatError: If an edge lacks a key, repeats another edge or contradicts ``events``.
    """
    index = {event: i for i, event in enumerate(events)}
    records = [_plain_record(edge) for edge in edges]
    for edge in records:
        _check_edge(level, events, index, edge)
    records.sort(key=lambda edge: _ends(level, index, edge))
    _check_no_repeats(level, index, records)
    return tuple(records)


def _ends(level: Level, index: Mapping[str, int], edge: Mapping[str, Any]) -> tuple[int, int]:
    if level == "instance":
        return edge["cause_position"], edge["effect_position"]
    return index[edge["cause"]], index[edge["effect"]]


def _arrow(edge: Mapping[str, Any]) -> str:
    return f"{edge['cause']!r} -> {edge['effect']!r}"


def plain(value: Any) -> Any:
    """Turn numpy values and tuples into what JSON can hold; NaN and infinity become None.

    Raises:
        GraphFormatError: If there is a value that JSON cannot hold.

    Example:
        >>> plain({"cmi": np.float64(0.5), "lags": (1, 2)})
        {'cmi': 0.5, 'lags': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    raise GraphFormatError(
        f"Got {value!r} of type {type(value).__name__} in a graph. "
        "Expected numbers, text, lists and mappings."
    )


def _plain_record(edge: Any) -> Edge:
    _check_mapping(edge)
    record: Edge = plain(edge)
    return record


def _check_mapping(edge: Any) -> None:
    if not isinstance(edge, Mapping):
        raise GraphFormatError(
            f"Got the edge {edge!r}. Expected a mapping with `cause` and `effect`; "
            "for pairs use `from_edges`."
        )


def check_level(level: Any) -> None:
    """Refuse a level other than the three of ``Level``."""
    if level not in get_args(Level):
        raise GraphFormatError(f"Got the level {level!r}. Expected one of {preview(get_args(Level))}.")


def check_events(level: Level, events: tuple[Any, ...]) -> None:
    """Refuse events that are not text, and event types given twice."""
    for position, event in enumerate(events):
        if not isinstance(event, str):
            raise EventNameError(
                f"Got the event {event!r} at {position}. Expected text: write numbers as '7'."
            )
        try:
            event.encode()
        except UnicodeEncodeError:
            raise EventNameError(
                f"Got the event {event!r} at {position}, which holds half of a character. "
                "Read the log as UTF-8."
            ) from None
    if level != "instance" and len(set(events)) < len(events):
        repeated = dict.fromkeys(event for event in events if events.count(event) > 1)
        raise GraphFormatError(
            f"Got event types more than once: {preview(repeated)}. Expected every type once; "
            'for positions use level="instance".'
        )


def _check_edge(
    level: Level, events: tuple[str, ...], index: Mapping[str, int], edge: Mapping[str, Any]
) -> None:
    required = ("cause", "effect") + (("cause_position", "effect_position") if level == "instance" else ())
    missing = [key for key in required if key not in edge]
    if missing:
        raise GraphFormatError(f"An edge lacks {preview(missing)}; it has {preview(edge, limit=8)}.")
    for end in ("cause", "effect"):
        name = edge[end]
        if not isinstance(name, str) or name not in index:
            raise UnknownEventError(
                f"The {end} of the edge {_arrow(edge)} is not one of the {len(events)} events of the graph. "
                "Add it to `events`, or correct the edge."
            )
        if level == "instance":
            _check_position(events, edge, end)
    if level == "instance" and edge["cause_position"] >= edge["effect_position"]:
        raise GraphFormatError(
            f"The edge {_arrow(edge)} goes from position {edge['cause_position']} to "
            f"{edge['effect_position']}. Expected the cause before the effect."
        )


def _check_position(events: tuple[str, ...], edge: Mapping[str, Any], end: str) -> None:
    position = edge[f"{end}_position"]
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < len(events):
        raise GraphFormatError(
            f"The edge {_arrow(edge)} has `{end}_position` {position!r}. Expected 0 to {len(events) - 1}."
        )
    if events[position] != edge[end]:
        raise GraphFormatError(
            f"The edge {_arrow(edge)} has `{end}_position` {position}, "
            f"where the event is {events[position]!r}."
        )


def _check_no_repeats(level: Level, index: Mapping[str, int], edges: list[dict[str, Any]]) -> None:
    for one, other in itertools.pairwise(edges):
        if _ends(level, index, one) == _ends(level, index, other):
            raise GraphFormatError(
                f"The edge {_arrow(one)} is given more than once. Expected one record per pair; "
                "put several lags in its `lags`."
            )


def check_document(document: Any) -> None:
    """Refuse a mapping that is not a graph, or is one of a newer version."""
    if not isinstance(document, Mapping):
        raise GraphFormatError(f"Got {type(document).__name__} instead of a mapping as a causal graph.")
    if document.get("format", FORMAT) != FORMAT:
        raise GraphFormatError(f"Got a document of format {document['format']!r}. Expected {FORMAT!r}.")
    version = document.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise GraphFormatError(
            f"Got a graph of version {version!r}; this hf_trace reads up to {VERSION}. Update hf_trace."
        )
    kinds = {"level": str, "events": list | tuple, "edges": list | tuple}
    missing = [key for key, kind in kinds.items() if not isinstance(document.get(key), kind)]
    if missing:
        raise GraphFormatError(f"A causal graph lacks {preview(missing)}; got {preview(document, limit=8)}.")
    check_level(document["level"])
    check_events(document["level"], tuple(document["events"]))
    for edge in document["edges"]:
        _check_mapping(edge)
    if not isinstance(document.get("metadata") or {}, Mapping):
        raise GraphFormatError(f"Got the `metadata` {document['metadata']!r} of a graph. Expected a mapping.")
