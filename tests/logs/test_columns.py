"""Recognising columns and reading times."""

import datetime

import numpy as np
import pandas as pd
import pytest

from hf_trace.errors import ColumnError, SettingsError, TimestampError
from hf_trace.logs.columns import (
    ColumnChoice,
    LogColumns,
    event_names,
    find_columns,
    parse_seconds,
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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0.0),
        ("1970-01-01 00:00:01.25", 1.25),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-02T00:00:00.000001Z", 86400.000001),
        ("1970-01-01-00.00.02.500000", 2.5),
        ("700101 000003", 3.0),
        ("01/02/1970 00:00:00", 86400.0),
        ("01:00:30", 3630.0),
        ("00:02", 120.0),
        ("12", 12.0),
        ("1.5e3", 1500.0),
    ],
)
def test_time_spellings(text, seconds):
    assert parse_seconds(pd.Series([text])).tolist() == [seconds]


def test_mixed_time_zones_and_missing():
    values = pd.Series(["2020-01-01T01:00:00+01:00", "2020-01-01T00:00:00", "", None, "NaT"])
    found = parse_seconds(values)
    assert found[0] == found[1] == 1577836800.0
    assert np.isnan(found[2:]).all()
    assert parse_seconds(values[::-1])[-1] == 1577836800.0


def test_day_first_is_noticed():
    found = parse_seconds(pd.Series(["01/02/1970", "13/02/1970"]))
    assert found.tolist() == [31 * 86400.0, 43 * 86400.0]


def test_typed_times():
    moments = pd.Series(pd.to_datetime(["1970-01-01T00:00:01.5", None]))
    assert parse_seconds(moments).tolist()[0] == 1.5
    assert np.isnan(parse_seconds(moments)[1])
    assert parse_seconds(moments.dt.tz_localize("Asia/Tokyo"))[0] == 1.5 - 9 * 3600
    assert parse_seconds(pd.Series(pd.to_timedelta(["2h"]))).tolist() == [7200.0]
    aware = datetime.datetime(1970, 1, 1, 0, 1, tzinfo=datetime.timezone.utc)
    assert parse_seconds(pd.Series([aware], dtype=object)).tolist() == [60.0]
    assert parse_seconds(pd.Series([datetime.date(1970, 1, 2)], dtype=object)).tolist() == [86400.0]
    assert parse_seconds(pd.Series([3, 4])).tolist() == [3.0, 4.0]


def test_microseconds_of_today_survive():
    found = parse_seconds(pd.Series(["2024-05-01T12:00:00.123456Z", "2024-05-01T12:00:00.123457Z"]))
    assert np.diff(found)[0] == pytest.approx(1e-6, abs=3e-7)
    assert found[0] % 1 == pytest.approx(0.123456, abs=3e-7)


@pytest.mark.parametrize(("unit", "factor"), [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)])
def test_units(unit, factor):
    assert parse_seconds(pd.Series(["2000"]), unit=unit)[0] == pytest.approx(2000 * factor)


def test_unreadable_times():
    dates = pd.Series(["2020-01-01", "soon", "later"], index=[1, 2, 3], name="when")
    with pytest.raises(TimestampError) as caught:
        parse_seconds(dates)
    assert str(caught.value) == (
        "Column 'when' has 2 of 3 times that cannot be read, the first is 'soon' in row 2; expected seconds "
        "or a date such as 2024-05-01T12:00:00Z. Correct them, or name another column with `--time-column` "
        "(in Python `time_column=`)."
    )
    with pytest.raises(TimestampError, match=r"1 of 3 times .* '1x' in row 2; expected seconds\."):
        parse_seconds(pd.Series(["0", "2", "1x"]))
    with pytest.raises(TimestampError, match=r"the first is inf in row 1; expected seconds"):
        parse_seconds(pd.Series([0.0, np.inf, 1.0]))
    with pytest.raises(TimestampError, match="'Monday' in row 0"):
        parse_seconds(pd.Series(["Monday"]))


def test_two_time_columns_are_one_text():
    frame = pd.DataFrame({"d": ["2020-01-01", ""], "t": ["00:00:01", "00:00:02"]})
    joined = time_texts(frame, ["d", "t"])
    assert joined.name == "d + t"
    assert parse_seconds(joined)[0] == 1577836801.0
    assert np.isnan(parse_seconds(joined)[1])
