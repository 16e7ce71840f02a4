"""The columnar event log."""

import datasets
import numpy as np
import pandas as pd
import pytest

from hf_trace.errors import ColumnError, EmptyLogError, EventNameError, LogFormatError, TimestampError
from hf_trace.logs.log import EventLog, LogSummary
from hf_trace.logs.sequence import EventSequence


@pytest.fixture
def log():
    return EventLog.from_sequences(
        [
            EventSequence(("b", "a", "b"), (0.0, 1.0, 1.0), "x"),
            EventSequence((), (), "empty"),
            EventSequence(("c",), (1.0,), "y"),
        ]
    )


def test_arrays(log):
    assert log.event_types == ("a", "b", "c")
    assert log.codes.tolist() == [1, 0, 1, 2]
    assert log.codes.dtype == np.int32
    assert log.offsets.tolist() == [0, 3, 3, 4]
    assert log.timestamps.dtype == np.float64
    assert log.sequence_lengths.tolist() == [3, 0, 1]
    assert len(log) == 3


def test_sequences_come_back(log):
    assert log[0] == EventSequence(("b", "a", "b"), (0.0, 1.0, 1.0), "x")
    assert log[-1].events == ("c",)
    assert [sequence.id for sequence in log] == ["x", "empty", "y"]
    with pytest.raises(IndexError):
        log[3]


def test_unsorted_sequences_are_sorted_and_ties_keep_their_order():
    log = EventLog.from_sequences([EventSequence(("late", "tie b", "tie a"), (9.0, 1.0, 1.0))])
    assert log[0].events == ("tie b", "tie a", "late")


def test_select_keeps_event_types(log):
    chosen = log.select([2, 0, 2])
    assert [sequence.id for sequence in chosen] == ["y", "x", "y"]
    assert chosen.event_types == log.event_types
    assert chosen[1] == log[0]
    assert len(log.select([])) == 0
    assert log.select(np.array([-1]))[0].id == "y"
    with pytest.raises(IndexError):
        log.select([5])


def test_records(log):
    assert log.to_records()[2] == {"id": "y", "events": ["c"], "timestamps": [1.0]}
    assert EventLog.from_frame(pd.DataFrame(log.to_records())).to_records() == [log.to_records()[i] for i in (0, 2)]


def test_from_no_sequences():
    log = EventLog.from_sequences([])
    assert len(log) == 0
    assert log.summary().events == 0


def test_sequences_with_and_without_times():
    with pytest.raises(TimestampError, match=r"Record 1 has 1 events and no timestamps, expected one per event"):
        EventLog.from_sequences([EventSequence(("a",), (0.0,)), EventSequence(("a",))])


def test_frame_is_sorted_by_time_within_the_case():
    frame = pd.DataFrame({"case": ["x", "y", "x", "x"], "event": ["2", "only", "1", "3"], "time": ["5", "0", "4", "5"]})
    log = EventLog.from_frame(frame)
    assert log.to_records() == [
        {"id": "x", "events": ["1", "2", "3"], "timestamps": [4.0, 5.0, 5.0]},
        {"id": "y", "events": ["only"], "timestamps": [0.0]},
    ]


def test_frame_without_case_and_time_is_one_sequence_in_file_order():
    log = EventLog.from_frame(pd.DataFrame({"event": ["b", "a"]}, index=[9, 9]))
    assert log.timestamps is None
    assert log.to_records() == [{"id": "0", "events": ["b", "a"]}]


def test_incomplete_rows_are_dropped_and_counted():
    frame = pd.DataFrame({"case": ["x", None, "x", "y"], "event": ["a", "a", "", "b"], "time": ["1", "1", "1", None]})
    log = EventLog.from_frame(frame)
    assert log.dropped_rows == 3
    assert log.to_records() == [{"id": "x", "events": ["a"], "timestamps": [1.0]}]


@pytest.mark.parametrize("role", ["case", "event", "time"])
def test_a_column_that_is_all_missing(role):
    frame = pd.DataFrame({"case": ["x", "x"], "event": ["a", "a"], "time": ["1", "2"]})
    frame[role] = ""
    with pytest.raises(EmptyLogError, match=rf"The {role} is missing in all 2 rows .*`--{role}-column`"):
        EventLog.from_frame(frame)


def test_rows_that_all_miss_something():
    frame = pd.DataFrame({"event": ["a", None], "time": [None, "1"]})
    with pytest.raises(EmptyLogError, match=r"no event with all it needs, 2 rows were dropped.*name other columns"):
        EventLog.from_frame(frame)


def test_empty_and_ambiguous_frames():
    with pytest.raises(EmptyLogError, match=r"There are 0 rows, expected at least one event\. Check"):
        EventLog.from_frame(pd.DataFrame({"event": []}))
    with pytest.raises(ColumnError, match=r"Columns 'event' appear twice, expected different names\. Rename"):
        EventLog.from_frame(pd.DataFrame([["a", "b"]], columns=["event", "event"]))


def test_times_required():
    with pytest.raises(TimestampError, match="times are needed"):
        EventLog.from_frame(pd.DataFrame({"event": ["a"]}), time_required=True)
    with pytest.raises(TimestampError, match=r"No record has a list 'timestamps', and times are needed\. Add"):
        EventLog.from_frame(pd.DataFrame({"events": [["a"]]}), time_required=True)


def test_record_frames():
    frame = pd.DataFrame({"name": ["p", "q"], "path": [["b", "a"], ["c"]], "at": [[2, 1], [0]]})
    log = EventLog.from_frame(frame, case="name", event="path", time="at", time_unit="ms")
    assert log.to_records()[0] == {"id": "p", "events": ["a", "b"], "timestamps": [0.001, 0.002]}


def test_records_with_missing_events_and_repeated_ids():
    frame = pd.DataFrame({"id": ["x", "x", None], "events": [["a", None, ""], ["b"], ["c"]]})
    log = EventLog.from_frame(frame)
    assert log.dropped_rows == 2
    assert log.to_records() == [
        {"id": "x", "events": ["a"]},
        {"id": "x", "events": ["b"]},
        {"id": "3", "events": ["c"]},
    ]


def test_records_that_are_not_lists_of_texts():
    with pytest.raises(LogFormatError) as caught:
        EventLog.from_frame(pd.DataFrame({"events": [["a"], "b c"]}))
    assert str(caught.value) == (
        "'events' of record 2 is 'b c' (str), expected a list of event names. "
        'Write {"events": ["A", "B"]}, or '
        "for one event per row name its column with `--event-column`."
    )
    with pytest.raises(LogFormatError, match=r"events of record 2 hold 5 \(int\), expected a list of texts.*\"5\""):
        EventLog.from_frame(pd.DataFrame({"events": [["a"], ["a", 5]]}))


def test_records_with_another_number_of_times():
    frame = pd.DataFrame({"events": [["a", "b"]], "timestamps": [[1.0]]})
    with pytest.raises(TimestampError, match=r"Record 1 has 2 events and 1 timestamps, expected one per event\. Corr"):
        EventLog.from_frame(frame)
    with pytest.raises(TimestampError, match=r"'soon' in record 1"):
        EventLog.from_frame(pd.DataFrame({"events": [["a"]], "timestamps": [["soon"]]}))
    with pytest.raises(ColumnError, match=r"`time_column='at'` is not one of the keys of the records: 'events'\. Name"):
        EventLog.from_frame(pd.DataFrame({"events": [["a"]]}), time="at")


def test_half_a_surrogate_pair():
    with pytest.raises(EventNameError, match=r"'a\\ud800' holds half of a surrogate pair.*Rename"):
        EventLog.from_sequences([EventSequence(("a\ud800",))])


def test_dataset_with_rows_and_with_records(log):
    rows = {"device": ["x", "x"], "alarm": ["b", "a"], "time": [2, 1], "note": ["", ""]}
    expected = [{"id": "x", "events": ["a", "b"], "timestamps": [1.0, 2.0]}]
    flat = datasets.Dataset.from_dict(rows)
    assert EventLog.from_dataset(flat).to_records() == expected
    assert EventLog.from_dataset(flat.to_iterable_dataset()).to_records() == expected
    assert EventLog.from_dataset(flat.select([1])).to_records()[0]["events"] == ["a"]
    records = datasets.Dataset.from_list(log.to_records())
    assert EventLog.from_dataset(records).to_records() == [log.to_records()[i] for i in (0, 2)]
    assert EventLog.from_dataset(records.to_iterable_dataset())[0] == log[0]


def test_streaming_dataset_from_a_generator():
    def rows():
        for i in range(25_000):
            yield {"case": i // 5, "event": f"e{i % 5}"}

    log = EventLog.from_dataset(datasets.IterableDataset.from_generator(rows))
    assert len(log) == 5000
    assert log[4999].events == ("e0", "e1", "e2", "e3", "e4")


def test_empty_dataset():
    with pytest.raises(EmptyLogError, match="The dataset has 0 rows, expected events"):
        EventLog.from_dataset([])


def test_concat_keeps_or_joins_sequences_of_the_same_id():
    first = EventLog.from_sequences([EventSequence(("b",), (5.0,), "x")])
    second = EventLog.from_sequences([EventSequence(("a",), (1.0,), "x")])
    assert [s.events for s in EventLog.concat([first, second])] == [("b",), ("a",)]
    assert [s.events for s in EventLog.concat([first, second], join_ids=True)] == [("a", "b")]
    with pytest.raises(EmptyLogError, match="No logs to concatenate"):
        EventLog.concat([])
    untimed = EventLog.from_sequences([EventSequence(("a",))])
    with pytest.raises(TimestampError, match="1 of 2 logs have times, expected all or none"):
        EventLog.concat([first, untimed])


def test_summary(log):
    assert log.summary() == LogSummary(
        sequences=3,
        events=4,
        event_types=3,
        span_seconds=1.0,
        tied_events=1,
        rare_types=3,
        longest=3,
        median_length=1.0,
        one_event_sequences=1,
    )


def test_summary_text():
    summary = LogSummary(4580, 21348, 14, 3.8 * 31_557_600, 120, 2, 15, 4.0, 3, 12)
    assert str(summary) == (
        "4,580 sequences, 21,348 events, 14 event types, spanning 3.8 years; 120 ties (0.6 %), 2 rare types "
        "(< 5 events)\nlongest sequence 15 events, median 4; 3 sequences with a single event; 12 rows "
        "dropped (event, time or case missing)"
    )
