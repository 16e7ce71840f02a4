"""Recognising columns."""

import pandas as pd
import pytest

from hf_trace.errors import ColumnError, SettingsError, TimestampError
from hf_trace.logs.columns import (
    ColumnChoice,
    LogColumns,
    event_names,
    find_columns,
    recognise_case,
    text_values,
    time_texts,
)


@pytest.mark.parametrize(
    ("names", "case", "event", "time"),
    [
        (["case:concept:name", "concept:name", "time:timestamp"], 0, 1, 2),
        (["Case ID", "Activity", "Complete Timestamp", "Timestamp"], 0, 1, 3),
        (["device_id", "alarm_id", "start_timestamp", "end_timestamp"], 0, 1, 2),
        (["BlockId", "EventId", "EventTemplate", "time_s"], 0, 1, 3),
        (["sequence-id", "EVENT_TYPE", "DateTime"], 0, 1, 2),
        (["machine.id", "label", "date"], 0, 1, 2),
    ],
)
def test_usual_spellings(names, case, event, time):
    expected = LogColumns(names[case], (names[event],), (names[time],))
    assert find_columns(names, ColumnChoice()) == expected


def test_preference_does_not_depend_on_column_order():
    names = ["event_id", "activity", "concept:name", "event"]
    assert find_columns(names, ColumnChoice()).event == ("concept:name",)
    assert find_columns(names[::-1], ColumnChoice()).event == ("concept:name",)
    assert find_columns(["label", "event_id", "event_type"], ColumnChoice()).event == ("event_type",)


def test_a_named_column_is_not_recognised_for_another_role():
    found = find_columns(["device", "time"], ColumnChoice(event="device"))
    assert found == LogColumns(None, ("device",), ("time",))


def test_date_and_time_are_two_halves():
    assert find_columns(["Date", "Time", "EventId"], ColumnChoice()).time == ("Date", "Time")
    assert find_columns(["Date", "Time", "Timestamp", "event"], ColumnChoice()).time == ("Timestamp",)


def test_several_event_columns_by_list_or_comma():
    names = ["node", "value", "a,b"]
    assert find_columns(names, ColumnChoice(event=["node", "value"])).event == ("node", "value")
    assert find_columns(names, ColumnChoice(event="node,value")).event == ("node", "value")
    assert find_columns(names, ColumnChoice(event="a,b")).event == ("a,b",)


def test_misnamed_column():
    with pytest.raises(ColumnError) as caught:
        find_columns(["EventId", *"abcdefg"], ColumnChoice(event="eventid"))
    assert str(caught.value) == (
        "`event_column='eventid'` is not one of the 8 columns 'EventId', 'a', 'b', 'c', 'd', 'e' and 2 more. "
        "Did you mean 'EventId'?"
    )
    with pytest.raises(ColumnError, match=r"`case_column='zzz'` .* 1 column 'event'\. Name one of them\."):
        find_columns(["event"], ColumnChoice(case="zzz"))
    with pytest.raises(ColumnError, match=r"`time_column='tim'` .* Did you mean 'time'\?"):
        find_columns(["event", "time"], ColumnChoice(time="tim"))


def test_no_event_column():
    with pytest.raises(ColumnError) as caught:
        find_columns(["x", "y"], ColumnChoice())
    assert str(caught.value) == (
        "Found the 2 columns 'x', 'y', but none has a usual name of an event column such as 'activity', "
        "'event' or 'concept:name'. Pass `--event-column NAME` (in Python `event_column=`)."
    )


def test_time_required():
    with pytest.raises(TimestampError, match=r"1 column 'event', but none .* Pass `--time-column NAME`"):
        find_columns(["event"], ColumnChoice(time_required=True))


def test_unknown_unit():
    with pytest.raises(SettingsError, match=r"time_unit is 'min', expected one of: s, ms, us, ns\."):
        ColumnChoice(time_unit="min")


def test_recognise_case_may_find_none():
    assert recognise_case(["event"]) is None


def test_joined_names_miss_when_a_part_misses():
    frame = pd.DataFrame({"a": ["x", "", "y"], "b": ["1", "2", None], "c": ["p", "q", "r"]})
    assert event_names(frame, ["a", "c"], join=": ").tolist() == ["x: p", None, "y: r"]
    assert event_names(frame, ["a", "b", "c"]).tolist() == ["x=1=p", None, None]


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", "1.0", "007", " x ", "a\tb", "é", "🔥", "x" * 2000])
def test_names_are_kept(name):
    assert text_values(pd.Series([name])).tolist() == [name]


def test_other_values_become_text():
    assert text_values(pd.Series([1, 2])).tolist() == ["1", "2"]
    assert text_values(pd.Series([True, 1, None], dtype=object)).tolist() == ["True", "1", None]
    assert text_values(pd.Series(["b", None], dtype="category")).tolist() == ["b", None]


def test_nested_values_are_refused():
    with pytest.raises(ColumnError, match=r"Column 'event' holds a list, expected one name per row.*'events'"):
        text_values(pd.Series([["a"]], name="event"))


def test_two_time_columns_are_one_text():
    frame = pd.DataFrame({"d": ["2020-01-01", ""], "t": ["00:00:01", "00:00:02"]})
    joined = time_texts(frame, ["d", "t"])
    assert joined.name == "d + t"
    assert joined[0] == "2020-01-01 00:00:01"
    assert joined.isna().tolist() == [False, True]
