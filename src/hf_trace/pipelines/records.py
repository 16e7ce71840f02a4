"""Inputs of pipelines, converted to event sequences one by one."""

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import pairwise
from typing import Any

from hf_trace.errors import EmptyLogError, PipelineInputError, TimestampError, preview
from hf_trace.logs.frames import feature_kinds, label_names
from hf_trace.logs.sequence import EventSequence

_EXPECTED = 'Pass {"events": [...]}, optionally with "timestamps" and "id", or a list, generator or Dataset of those.'


def is_single(inputs: Any) -> bool:
    """Whether the input is a single record."""
    return isinstance(inputs, (Mapping, EventSequence))


def sequences(inputs: Any) -> Iterator[EventSequence]:
    """Read any accepted input lazily.

    Raises:
        PipelineInputError: If the input or a record has the wrong form.
        EmptyLogError: If a list is empty.
    """
    if is_single(inputs):
        return iter([as_sequence(inputs)])
    if isinstance(inputs, str):
        raise PipelineInputError(f"Got the text {inputs[:40]!r}, expected a record. {_EXPECTED}")
    if isinstance(inputs, (list, tuple)):
        _check_list(inputs)
    if not isinstance(inputs, Iterable):
        raise PipelineInputError(f"Got a {type(inputs).__name__}, expected a record. {_EXPECTED}")
    return (as_sequence(record, index) for index, record in enumerate(_named(inputs)))


def _named(inputs: Iterable[Any]) -> Iterable[Any]:
    """The rows of a dataset with the names of labels in the place of their numbers; any other input as it is."""
    kinds = feature_kinds(getattr(inputs, "features", None)) if hasattr(inputs, "with_format") else {}
    if not any("ClassLabel" in repr(kind) for kind in kinds.values()):
        return inputs
    return (label_names(record, kinds) for record in inputs)


def one(record: Any) -> EventSequence:
    """The sequence of one record.

    Raises:
        PipelineInputError: If it is not a single record.
    """
    if not is_single(record):
        raise PipelineInputError(
            f'Got a {type(record).__name__}, expected one record: {{"events": [...]}}, optionally with "timestamps" '
            'and "id".'
        )
    return as_sequence(record)


def _check_list(inputs: Any) -> None:
    if not inputs:
        raise EmptyLogError(f"Got an empty list, expected at least one record. {_EXPECTED}")
    if all(isinstance(item, str) for item in inputs):
        raise PipelineInputError(
            f"Got a list of {len(inputs)} strings, which pipelines read as {len(inputs)} sequences. For one sequence "
            f'of {len(inputs)} events pass {{"events": [...]}}.'
        )


def as_sequence(record: Any, index: int = 0) -> EventSequence:
    """Convert one record.

    Raises:
        PipelineInputError: If it has no list of event names.
        TimestampError: If its timestamps do not fit its events.

    Example:
        >>> as_sequence({"events": ["a", "b"], "timestamps": [0, 2.5]}).timestamps
        (0.0, 2.5)
    """
    if isinstance(record, EventSequence):
        record = {
            "events": record.events,
            "timestamps": record.timestamps,
            "id": record.id,
            "context": dict(record.context),
        }
    if not isinstance(record, Mapping) or "events" not in record:
        found = f"the keys {preview(record)}" if isinstance(record, Mapping) else f"a {type(record).__name__}"
        raise PipelineInputError(f"Record {index} has {found}, expected a mapping with 'events'. {_EXPECTED}")
    events = record["events"]
    if isinstance(events, (str, Set, Mapping)) or not isinstance(events, Iterable):
        raise PipelineInputError(f"'events' of record {index} is {events!r}, expected a list of event names.")
    events = tuple(events)
    wrong = next((event for event in events if not isinstance(event, str)), None)
    if wrong is not None or not all(isinstance(event, str) for event in events):
        raise PipelineInputError(
            f"'events' of record {index} holds {wrong!r} ({type(wrong).__name__}), expected names. Make them text."
        )
    if not events:
        raise EmptyLogError(f"'events' of record {index} is empty, expected at least one event.")
    name = record.get("id")
    times = _timestamps(record, len(events), index)
    return EventSequence(events, times, None if name is None else str(name), _context(record, index))


def _context(record: Mapping[str, Any], index: int) -> tuple[tuple[str, str], ...]:
    given = record.get("context") or {}
    if not isinstance(given, Mapping):
        raise PipelineInputError(
            f'\'context\' of record {index} is {given!r}, expected a mapping such as {{"site": "north"}}.'
        )
    return tuple((str(name), "" if value is None else str(value)) for name, value in given.items())


def _timestamps(record: Mapping[str, Any], events: int, index: int) -> tuple[float, ...] | None:
    given = record.get("timestamps")
    if given is None:
        return None
    try:
        times = tuple(float(time) for time in given)
    except (TypeError, ValueError) as error:
        raise TimestampError(
            f"'timestamps' of record {index} are not numbers ({error}). Expected seconds, one per event."
        ) from error
    if len(times) != events:
        raise TimestampError(
            f"Record {index} has {len(times)} timestamps for {events} events, expected one (seconds) per event."
        )
    if not all(map(math.isfinite, times)):
        wrong = next(time for time in times if not math.isfinite(time))
        raise TimestampError(
            f"'timestamps' of record {index} hold {wrong}, expected a number of seconds per event. Fill it in, or "
            "leave out the event."
        )
    if any(later < earlier for earlier, later in pairwise(times)):
        raise TimestampError(f"'timestamps' of record {index} decrease, expected events in order of time. Sort them.")
    return times
