"""What pipelines accept as records, and how they refuse the rest."""

from datetime import datetime

import datasets
import numpy as np
import pandas as pd
import pytest
from transformers.pipelines.pt_utils import KeyDataset

from hf_trace.errors import EmptyLogError, PipelineInputError, TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.records import is_single, sequences

RECORDS = [
    {"id": "x", "events": ["a", "b"], "timestamps": [0.0, 1.5]},
    {"id": "y", "events": ["b"], "timestamps": [3.0]},
]
EXPECTED = [EventSequence(("a", "b"), (0.0, 1.5), "x"), EventSequence(("b",), (3.0,), "y")]
ADVICE = 'Pass {"events": [...]}, optionally with "timestamps" and "id", or a list, generator or Dataset of those.'


def refused(error, inputs):
    with pytest.raises(error) as caught:
        list(sequences(inputs))
    return str(caught.value)


@pytest.mark.parametrize(
    "inputs",
    [
        RECORDS,
        tuple(RECORDS),
        iter(RECORDS),
        EXPECTED,
        EventLog.from_sequences(EXPECTED),
        datasets.Dataset.from_list(RECORDS),
        datasets.IterableDataset.from_generator(lambda: iter(RECORDS)),
    ],
    ids=["list", "tuple", "generator", "sequences", "log", "dataset", "stream"],
)
def test_streams(inputs):
    assert not is_single(inputs)
    assert list(sequences(inputs)) == EXPECTED


def test_lists_of_events_are_sequences():
    column = datasets.Dataset.from_list([{"happened": ["a", "b"]}, {"happened": ["b"]}])
    expected = [EventSequence(("a", "b")), EventSequence(("b",))]
    assert list(sequences([["a", "b"], ("b",)])) == expected
    assert list(sequences(KeyDataset(column, "happened"))) == expected
    assert list(sequences(KeyDataset([{"record": each} for each in RECORDS], "record"))) == EXPECTED


def test_labels_of_data_sets_are_named():
    names = datasets.ClassLabel(names=["a", "b", "north"])
    features = {"id": datasets.Value("string"), "events": datasets.List(names), "context": {"site": names}}
    rows = [{"id": "x", "events": [0, 1], "context": {"site": 2}}]
    dataset = datasets.Dataset.from_list(rows, datasets.Features(features))
    expected = [EventSequence(("a", "b"), None, "x", (("site", "north"),))]
    assert list(sequences(dataset)) == list(sequences(dataset.to_iterable_dataset())) == expected


@pytest.mark.parametrize(
    "record",
    [
        RECORDS[0],
        EXPECTED[0],
        {"events": ("a", "b"), "timestamps": (0, 1.5), "id": "x"},
        {"events": np.array(["a", "b"]), "timestamps": np.array([0.0, 1.5]), "id": np.str_("x")},
        {"events": pd.Series(["a", "b"]), "timestamps": pd.Series([0.0, 1.5]), "id": "x", "label": 1},
        {"events": iter("ab"), "timestamps": iter(["0", "1.5"]), "id": "x"},
    ],
    ids=["lists", "sequence", "tuples", "arrays", "series", "iterators"],
)
def test_one_record(record):
    assert is_single(record)
    assert list(sequences(record)) == EXPECTED[:1]


def test_optional_parts():
    assert list(sequences({"events": ["a"], "timestamps": None, "id": None})) == [EventSequence(("a",))]
    assert list(sequences({"events": ["a"], "id": 7})) == [EventSequence(("a",), id="7")]


def test_streams_are_read_one_by_one():
    def endless():
        number = 0
        while True:
            yield {"events": [str(number)]}
            number += 1

    stream = sequences(endless())
    assert [next(stream).events for _ in range(3)] == [("0",), ("1",), ("2",)]


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (
            ["a", "b", "c"],
            PipelineInputError,
            "Got a list of 3 strings, which pipelines read as 3 sequences. For one sequence of 3 events pass "
            '{"events": [...]}.',
        ),
        ([], EmptyLogError, f"Got an empty list, expected at least one record. {ADVICE}"),
        ((), EmptyLogError, f"Got an empty list, expected at least one record. {ADVICE}"),
        ("abc", PipelineInputError, f"Got the text 'abc', which is no file, expected a record. {ADVICE}"),
        (7, PipelineInputError, f"Got a int, expected a record. {ADVICE}"),
        (None, PipelineInputError, f"Got a NoneType, expected a record. {ADVICE}"),
        (
            [{"events": ["a"]}, "b"],
            PipelineInputError,
            f"Record 1 has a str, expected a mapping with 'events'. {ADVICE}",
        ),
        (
            datasets.DatasetDict({"train": datasets.Dataset.from_list(RECORDS)}),
            PipelineInputError,
            "Got all splits of a data set ('train'), expected one. Pass one, such as dataset['train'].",
        ),
        (
            {"event": ["a"], "time": [1]},
            PipelineInputError,
            f"Record 0 has the keys 'event', 'time', expected a mapping with 'events'. {ADVICE}",
        ),
        ({"events": "ab"}, PipelineInputError, "'events' of record 0 is 'ab', expected a list of event names."),
        ({"events": None}, PipelineInputError, "'events' of record 0 is None, expected a list of event names."),
        ({"events": {"a"}}, PipelineInputError, "'events' of record 0 is {'a'}, expected a list of event names."),
        ({"events": {"a": 1}}, PipelineInputError, "'events' of record 0 is {'a': 1}, expected a list of event names."),
        (
            {"events": ["a", 7]},
            PipelineInputError,
            "'events' of record 0 holds 7 (int), expected names. Make them text.",
        ),
        (
            {"events": ["a", None]},
            PipelineInputError,
            "'events' of record 0 holds None (NoneType), expected names. Make them text.",
        ),
        ({"events": []}, EmptyLogError, "'events' of record 0 is empty, expected at least one event."),
        (EventSequence(()), EmptyLogError, "'events' of record 0 is empty, expected at least one event."),
        (
            {"events": ["a", "b"], "timestamps": [1]},
            TimestampError,
            "Record 0 has 1 timestamps for 2 events, expected one (seconds) per event.",
        ),
        (
            {"events": ["a"], "timestamps": ["noon"]},
            TimestampError,
            "'timestamps' of record 0 are not numbers (could not convert string to float: 'noon'). Expected seconds, "
            "one per event.",
        ),
        (
            {"events": ["a"], "timestamps": [datetime(2024, 1, 1)]},
            TimestampError,
            "'timestamps' of record 0 are not numbers (float() argument must be a string or a real number, not "
            "'datetime.datetime'). Expected seconds, one per event.",
        ),
        (
            {"events": ["a"], "timestamps": 5},
            TimestampError,
            "'timestamps' of record 0 are not numbers ('int' object is not iterable). Expected seconds, one per event.",
        ),
        (
            {"events": ["a", "b"], "timestamps": [2, 1]},
            TimestampError,
            "'timestamps' of record 0 decrease, expected events in order of time. Sort them.",
        ),
        (
            {"events": ["a"], "timestamps": [float("nan")]},
            TimestampError,
            "'timestamps' of record 0 hold nan, expected a number of seconds per event. Fill it in, or leave out the "
            "event.",
        ),
        (
            {"events": ["a", "b"], "timestamps": [0, float("inf")]},
            TimestampError,
            "'timestamps' of record 0 hold inf, expected a number of seconds per event. Fill it in, or leave out the "
            "event.",
        ),
    ],
)
def test_refusals(inputs, error, message):
    assert refused(error, inputs) == message
