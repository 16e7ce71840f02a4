"""Histories of a place and its neighbours in the order of time, each event marked as its own or as near."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from hf_trace.errors import preview
from hf_trace.logs.contexts import PREFIX
from hf_trace.logs.log import EventLog, count
from hf_trace.logs.places.near_names import is_near_name, near_name, refuse_near_names
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.logs.places.topology import Topology

# With fewer own events in a window nearly all that is read is of neighbours.
FEW_OWN_EVENTS = 4


def with_neighbours(log: EventLog, topology: Any, *, directed: bool = False, hops: int = 1) -> EventLog:
    """The log with what happened at neighbours in the sequence of every place, as events of types of their own.

    An X of a neighbour is an event ``<near:X>``; of one time, own events come first. Labels of whole sequences are no
    events of their neighbours, and what neighbours did after the last own event is left out: it acts on nothing.

    Args:
        log: Sequences of single places, named after them.
        topology: See ``PlaceNetwork.of``.
        directed: Whether the first place of a pair is upstream of the second.
        hops: How many steps away neighbours may be.

    Raises:
        SettingsError: If no two places of the log are joined, or the histories hold more than 50 million events.
        TimestampError: If the log has no times.
        EventNameError: If an event type of the log is written as those of neighbours are.
        GraphFormatError: If a file of a topology cannot be read.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> log = EventLog.from_sequences(
        ...     [EventSequence(("a", "b"), (0.0, 2.0), "x"), EventSequence(("c", "c"), (1.0, 9.0), "y")]
        ... )
        >>> [history.events for history in with_neighbours(log, [("x", "y")])]
        [('a', '<near:c>', 'b'), ('<near:a>', 'c', '<near:b>', 'c')]
    """
    refuse_near_names(log.event_types)
    network = PlaceNetwork.of(topology, log.ids, directed=directed, hops=hops)
    seen, origin = Topology.of_network(log, network).merged(log)
    place = np.repeat(np.arange(len(seen), dtype=np.int32), seen.sequence_lengths)
    is_near = origin != place
    is_label = np.array([name.startswith(PREFIX) for name in log.event_types], dtype=bool)
    kept = ~(is_near & is_label[seen.codes])
    at = np.arange(len(place))
    last_own = np.full(len(seen), -1, dtype=np.int64)
    np.maximum.at(last_own, place[~is_near], at[~is_near])
    kept &= at <= last_own[place]
    names = (*log.event_types, *map(near_name, log.event_types))
    codes = seen.codes + np.int32(len(log.event_types)) * is_near
    return replace(_of_types(replace(seen, event_types=names, codes=codes), kept), network=network)


def near_types(log: EventLog) -> Bool[np.ndarray, " type"]:
    """Which event types of a log are of neighbours."""
    return np.array([log.network is not None and is_near_name(name) for name in log.event_types], dtype=bool)


def own_events(log: EventLog) -> EventLog:
    """The log without what happened at neighbours; a log of single places is given back as it is.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> alone = EventLog.from_sequences([EventSequence(("a",), (0.0,), "x"), EventSequence(("b",), (1.0,), "y")])
        >>> own_events(with_neighbours(alone, [("x", "y")])).to_records() == alone.to_records()
        True
    """
    if log.network is None:
        return log
    return replace(_of_types(log, ~near_types(log)[log.codes]), network=None)


def _of_types(log: EventLog, kept: Bool[np.ndarray, " event"]) -> EventLog:
    """Some of the events, and in alphabetical order the types that they have."""
    offsets = np.concatenate([[0], np.cumsum(kept)])[log.offsets].astype(np.int64)
    codes = log.codes[kept]
    present = sorted(np.unique(codes).tolist(), key=lambda code: log.event_types[code])
    new = np.zeros(len(log.event_types), dtype=np.int32)
    new[present] = np.arange(len(present))
    times = None if log.timestamps is None else log.timestamps[kept]
    names = tuple(log.event_types[code] for code in present)
    return replace(log, event_types=names, codes=new[codes], offsets=offsets, timestamps=times)


def topology_notes(log: EventLog) -> list[str]:
    """What to know of the histories of a log: how much of them is of neighbours, and which places are not joined.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> alone = [EventSequence(("a",), (float(time),), name) for time, name in enumerate("xyz")]
        >>> topology_notes(with_neighbours(EventLog.from_sequences(alone), [("x", "y"), ("y", "elsewhere")]))[1:]
        ["1 place of the log is not in the topology: 'z'", "1 place of the topology is not in the log: 'elsewhere'"]
    """
    if log.network is None:
        return []
    near = int(near_types(log)[log.codes].sum())
    notes = [
        f"Topology: {log.network}; {count(len(log.codes) - near, 'own event')}, {count(near, 'event')} of neighbours."
    ]
    places, joined = set(log.ids), set(log.network.places)
    for missing, one, other in ((places - joined, "log", "topology"), (joined - places, "topology", "log")):
        if missing:
            who = f"{count(len(missing), 'place')} of the {one} {'is' if len(missing) == 1 else 'are'}"
            notes.append(f"{who} not in the {other}: {preview(sorted(missing))}")
    return notes


def crowding_warning(log: EventLog, length: int) -> str | None:
    """What to tell a user whose windows hold little but events of neighbours; None where they do not.

    Args:
        log: Histories, before they are cut into windows.
        length: Of a window, in events.
    """
    if log.network is None:
        return None
    lengths = log.sequence_lengths
    own = np.bincount(np.repeat(np.arange(len(log)), lengths), ~near_types(log)[log.codes], minlength=len(log))
    crowded = (lengths > length) & (own / np.maximum(lengths, 1) * length < FEW_OWN_EVENTS)
    if not crowded.any():
        return None
    return (
        f"In the histories of {count(int(crowded.sum()), 'place')} of {len(log):,} a window of {length} events holds "
        f"fewer than {FEW_OWN_EVENTS} own events: {preview([log.ids[i] for i in np.flatnonzero(crowded)])}. Take "
        "longer windows (`--window-length`), or join fewer places."
    )
