"""Inputs of pipelines: whole logs as they are, records converted to event sequences one by one."""

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
from transformers.pipelines.pt_utils import KeyDataset

from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import ColumnError, EmptyLogError, PipelineInputError, SettingsError, TimestampError, preview
from hf_trace.logs.frames import feature_kinds, label_names
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.logs.windows import cut_windows
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.trained_network import trained_network

_EXPECTED = 'Pass {"events": [...]}, optionally with "timestamps" and "id", or a list, generator or Dataset of those.'
# What a run remembers of how its log was read, as ``read_log`` names it.
READING = ("case_column", "event_column", "time_column", "query", "time_unit", "time_format")


def log_as_trained(source: Any, recipe: Mapping[str, Any]) -> EventLog:
    """Read a log as that of a run was read: its columns, query, times, contexts, label and topology.

    Args:
        source: Whatever ``read_log`` reads; a log is given back as it is.
        recipe: ``training.json`` of the run; empty where there is none.

    Raises:
        ColumnError: If the log lacks a column that the run was trained with.
        LogFormatError: If there is no log.
    """
    if isinstance(source, EventLog):
        return source
    reading = {name: value for name, value in (recipe.get("reading") or {}).items() if name in READING}
    if "," in (events := reading.get("event_column") or ""):
        reading["event_column"] = events.split(",")
    try:
        return read_log(
            source,
            **reading,
            outcome_column=recipe.get("outcome_column"),
            context_columns=recipe.get("context_columns") or (),
            topology=trained_network(recipe),
        )
    except (ColumnError, SettingsError) as error:
        if not reading:
            raise
        raise type(error)(
            f"{error} So the run was trained; read a log that is written otherwise with `hf_trace.read_log`."
        ) from error


def read_inputs(inputs: Any, recipe: Mapping[str, Any]) -> EventLog | Iterator[EventSequence]:
    """Whatever a pipeline takes: logs, tables, files and data sets with a row per event whole, records lazily.

    Args:
        inputs: A log, a path, a DataFrame, a data set, a ``KeyDataset``, or what ``sequences`` takes.
        recipe: As for ``log_as_trained``.

    Raises:
        PipelineInputError: If the input or a record has the wrong form.
        EmptyLogError: If a list is empty.
    """
    return log_as_trained(inputs, recipe) if is_log(inputs) else sequences(inputs)


def is_log(inputs: Any) -> bool:
    """Whether an input is a whole log: one that was read, a table, a path, or a data set with a row per event."""
    if isinstance(inputs, str):
        return Path(inputs).expanduser().exists() or any(sign in inputs for sign in "*/\\")
    columns = getattr(inputs, "column_names", None)
    has_rows = isinstance(columns, list) and hasattr(inputs, "with_format") and "events" not in columns
    return has_rows or isinstance(inputs, PathLike | pd.DataFrame | EventLog)


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
        raise PipelineInputError(f"Got the text {inputs[:40]!r}, which is no file, expected a record. {_EXPECTED}")
    if isinstance(inputs, (list, tuple)):
        _check_list(inputs)
    if isinstance(inputs, KeyDataset):
        inputs = map(inputs.__getitem__, range(len(inputs)))
    if not isinstance(inputs, Iterable):
        raise PipelineInputError(f"Got a {type(inputs).__name__}, expected a record. {_EXPECTED}")
    return (as_sequence(record, index) for index, record in enumerate(_named(inputs)))


def all_records(inputs: Any) -> list[Any]:
    """All records of an input: one that is no collection alone, those of a ``KeyDataset`` by their numbers."""
    if isinstance(inputs, KeyDataset):
        return [inputs[index] for index in range(len(inputs))]
    return [inputs] if isinstance(inputs, str) or not isinstance(inputs, Iterable) else list(inputs)


def _named(inputs: Iterable[Any]) -> Iterable[Any]:
    """The rows of a dataset with the names of labels in the place of their numbers; any other input as it is."""
    kinds = feature_kinds(getattr(inputs, "features", None)) if hasattr(inputs, "with_format") else {}
    if not any("ClassLabel" in repr(kind) for kind in kinds.values()):
        return inputs
    return (label_names(record, kinds) for record in inputs)


def readable(
    model: EventModel, records: EventLog | Iterator[EventSequence], request: DiscoveryRequest
) -> tuple[Iterable[EventSequence], EventLog | None]:
    """What one graph is made of, with long sequences cut into windows, and the log before it was cut.

    Sequences that the model reads whole stay as they are. Where a graph needs all of a log at once, a log is made of
    records; else they are read lazily.

    Args:
        model: What reads them.
        records: As ``read_inputs`` gives them.
        request: With level ``"population"``.
    """
    most = model.most_events
    if most is None or request.slide:
        return records, None
    if not isinstance(records, EventLog):
        if not (request.is_total or request.is_pooled_by_type):
            return _cut(records, most, model), None
        records = EventLog.from_sequences(records)
    if records.sequence_lengths.max(initial=0) <= most:
        return records, None
    return model.windows(records).log, records


def _cut(records: Iterator[EventSequence], most: int, model: EventModel) -> Iterator[EventSequence]:
    length, gap = min(most, model.recipe.get("window_length") or most), model.recipe.get("window_gap")
    for record in records:
        if len(record) <= most:
            yield record
        else:
            yield from cut_windows(EventLog.from_sequences([record]), length=length, gap=gap)


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
    """Convert one record: a mapping, a sequence, or a list of events alone.

    Raises:
        PipelineInputError: If it has no list of event names.
        TimestampError: If its timestamps do not fit its events.

    Example:
        >>> as_sequence({"events": ["a", "b"], "timestamps": [0, 2.5]}).timestamps
        (0.0, 2.5)
    """
    if isinstance(record, list | tuple):
        record = {"events": record}
    elif isinstance(record, EventSequence):
        record = {
            "events": record.events,
            "timestamps": record.timestamps,
            "id": record.id,
            "context": dict(record.context),
        }
    if isinstance(record, Mapping) and record and all(hasattr(each, "with_format") for each in record.values()):
        splits = list(record)
        raise PipelineInputError(
            f"Got all splits of a data set ({preview(splits)}), expected one. Pass one, such as dataset[{splits[0]!r}]."
        )
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
