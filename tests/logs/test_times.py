"""Times of every kind as seconds: numbers, dates, clock times, durations; and what is said of doubtful ones."""

import datetime
import decimal
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hf_trace.errors import SettingsError, TimestampError
from hf_trace.logs.times import TimeReader, parse_seconds

HOUR, DAY = 3600.0, 86_400.0


def column(*values, **settings):
    return pd.Series(values, index=range(1, len(values) + 1), name="time", **settings)


def seconds(*values, **settings):
    return parse_seconds(column(*values, dtype=object), **settings).tolist()


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


JAN_5_2024 = 1_704_412_800.0
MAY_1_2024 = 1_714_521_600.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-05 10:00:00,123", JAN_5_2024 + 10 * HOUR + 0.123),
        ("2024-01-05T10:00:00,123456Z", JAN_5_2024 + 10 * HOUR + 0.123456),
        ("2024-01-05 10:00:00 PM", JAN_5_2024 + 22 * HOUR),
        ("2024-01-05 12:00:00 AM", JAN_5_2024),
        ("01/15/2024 12:30 pm", JAN_5_2024 + 10 * DAY + 12.5 * HOUR),
        ("01/15/2024 10:00:00\u202fPM", JAN_5_2024 + 10 * DAY + 22 * HOUR),
        ("15.01.2024 10:00:00", JAN_5_2024 + 10 * DAY + 10 * HOUR),
        ("10:00:00 15/01/2024", JAN_5_2024 + 10 * DAY + 10 * HOUR),
        ("10/Oct/2000:13:55:36 -0700", 971_211_336.0),
        ("[10/Oct/2000:13:55:36 -0700]", 971_211_336.0),
        ("01-MAY-24", MAY_1_2024),
        ("01-MAY-24 10.00.00.500000 PM", MAY_1_2024 + 22 * HOUR + 0.5),
        ("01MAY2024:10:00:00", MAY_1_2024 + 10 * HOUR),
        ("1 May 2024 10:00", MAY_1_2024 + 10 * HOUR),
        ("May 1st, 2024", MAY_1_2024),
        ("Wednesday, May 1, 2024 10:00 AM", MAY_1_2024 + 10 * HOUR),
        ("2024-May-01", MAY_1_2024),
        ("Wed, 01 May 2024 10:00:00 GMT", MAY_1_2024 + 10 * HOUR),
        ("Wed May  1 10:00:00 2024", MAY_1_2024 + 10 * HOUR),
        ("Wed May  1 10:00:00 CEST 2024", MAY_1_2024 + 8 * HOUR),
        ("Wed May 01 2024 10:00:00 GMT+0200 (Central European Summer Time)", MAY_1_2024 + 8 * HOUR),
        ("2024-05-01 10:00:00 EST", MAY_1_2024 + 15 * HOUR),
        ("2024-05-01 10:00:00 EDT", MAY_1_2024 + 14 * HOUR),
        ("2024-05-01 10:00:00 UTC", MAY_1_2024 + 10 * HOUR),
        ("2024-05-01 10:00:00 UTC+2", MAY_1_2024 + 8 * HOUR),
        ("2024-05-01 10:00:00 CET", MAY_1_2024 + 9 * HOUR),
        ("2024-05-01 10:00:00 Europe/Berlin", MAY_1_2024 + 8 * HOUR),
        ("2024-05-01T10:00:00+02:00[Europe/Berlin]", MAY_1_2024 + 8 * HOUR),
        ("2024-01-04 24:00:00", JAN_5_2024),
        ("20240501-10:00:00:500", MAY_1_2024 + 10 * HOUR + 0.5),
        ("240501 100000", MAY_1_2024 + 10 * HOUR),
        ("9999-12-31", 253_402_214_400.0),
        ("10:00:00 PM", 22 * HOUR),
        ("11 AM", 11 * HOUR),
        ("25:00:00", 25 * HOUR),
        ("1 days 00:00:02.5", DAY + 2.5),
        ("PT1H", HOUR),
    ],
)
def test_usual_spellings_are_read_without_being_told(text, expected):
    assert seconds(text) == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    "text", ["2024-02-30", "30/02/2024", "13/13/2024", "2024-01-01 25:00", "13:00 PM", "10000-1-1"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(TimestampError, match=r"has 1 of 1 times that cannot be read, the first is .* in row 1;"):
        seconds(text)


@pytest.mark.parametrize("zone", ["XYZ", "IST", "Mars/Base"])
def test_a_time_zone_that_is_not_known_is_refused(zone):
    with pytest.raises(
        TimestampError, match=rf"'2024-05-01 10:00:00 {zone}' in row 2 is in the time zone '{zone.upper()}'"
    ):
        seconds("2024-05-01 10:00:00 UTC", f"2024-05-01 10:00:00 {zone}")


@pytest.mark.parametrize("zoned", ["13/02/2024 10:00:00+01:00", "13/02/2024 10:00 CET"])
def test_one_order_of_day_and_month_for_all_time_zones(zoned):
    found = seconds("03/02/2024 10:00:00", zoned)
    assert found[1] - found[0] == 10 * DAY - HOUR


def test_a_later_row_says_how_the_first_ones_are_read(caplog):
    assert np.diff(seconds("10:00 03/02/2024", "03/02/2024 11:00", "13/02/2024 11:00")).tolist() == [HOUR, 10 * DAY]
    assert not caplog.records


def test_rows_that_disagree_are_refused():
    with pytest.raises(TimestampError) as caught:
        seconds("13/02/2024", "01/02/2024", "02/13/2024 10:00")
    assert str(caught.value) == (
        "Column 'time': '13/02/2024' in row 1 and '02/13/2024 10:00' in row 3 cannot be read in one order of day and "
        'month; expected one order in the whole log. Correct the wrong one; `--time-format "%d/%m/%Y"` (in Python '
        "`time_format=`) says which order is right."
    )


@pytest.mark.parametrize(
    ("texts", "reading", "remedy", "gap"),
    [
        (["03/02/2024", "04/02/2024"], "month/day/year", '"%d/%m/%Y"', 31 * DAY),
        (["03.02.2024", "04.02.2024"], "day/month/year", '"%m.%d.%Y"', DAY),
        (["03/02/24 10:00", "04/02/24 10:00"], "month/day/year", '"%d/%m/%y"', 31 * DAY),
        (["17/06/09 20:10:40", "17/06/10 20:10:40"], "year/month/day", '"%d/%m/%y"', DAY),
    ],
)
def test_dates_that_can_be_read_in_several_ways_are_noted_once(texts, reading, remedy, gap, caplog):
    assert np.diff(seconds(*texts)).tolist() == [gap]
    assert [record.getMessage() for record in caplog.records] == [
        f"Column 'time': every date can be read in more than one way, such as {texts[0]!r}; read as {reading}. If it "
        f"is {'month/day/year' if '.' in texts[0] else 'day/month/year'}, pass `--time-format {remedy}` (in Python "
        "`time_format=`)."
    ]


def test_a_later_part_may_revise_the_reading_of_those_before():
    reader = TimeReader()
    first = reader.read(column("03/02/2024", "04/02/2024"))
    assert np.diff(first).tolist() == [31 * DAY]
    reader.read(column("13/02/2024"))
    assert reader.revised
    reader.again()
    assert np.diff(reader.read(column("03/02/2024", "04/02/2024"))).tolist() == [DAY]
    assert not reader.revised


def test_what_is_read_in_parts_is_not_revised():
    reader = TimeReader(in_parts=True)
    reader.read(column("03/02/2024"))
    with pytest.raises(
        TimestampError, match=r"'03/02/2024' in row 1 was read as month/day/year, but '13/02/2024'.*%d/%m/%Y"
    ):
        reader.read(column("13/02/2024"))


def test_parts_of_two_kinds_are_refused():
    reader = TimeReader()
    reader.part = "'a.csv'"
    reader.read(column("10:00:00"))
    reader.part = "'b.csv'"
    with pytest.raises(TimestampError, match=r"holds dates from '2024-01-01' in row 1 of 'b.csv' on, but clock times"):
        reader.read(column("2024-01-01"))


@pytest.mark.parametrize(
    ("texts", "steps"),
    [
        (["Dec 31 23:59:59", "Jan  1 00:00:01"], [2.0]),
        (["Jan  1 00:00:01", "Dec 31 23:59:59"], [-2.0]),
        (["Nov 30 00:00:00", "Feb  1 00:00:00", "Mar  1 00:00:00"], [63 * DAY, 28 * DAY]),
        (["Dec 31 00:00:00", "Feb 29 00:00:00", "Mar  1 00:00:00"], [60 * DAY, DAY]),
        (["Dec 31 12:00", "Jan 1 12:00", "Dec 31 12:00", "Jan 1 12:00"], [DAY, -DAY, DAY]),
        (["12-31 23:59:59.5", "01-01 00:00:00.5"], [1.0]),
    ],
)
def test_years_that_are_not_written_rise_after_december(texts, steps, caplog):
    assert np.diff(seconds(*texts)).tolist() == steps
    assert ["dates have no year" in record.getMessage() for record in caplog.records] == [True]


def test_years_go_on_in_the_next_part():
    reader = TimeReader()
    first = reader.read(column("Nov  5 10:00:00", "Dec 31 10:00:00"))
    assert reader.read(column("Jan  1 10:00:00"))[0] - first[-1] == DAY
    reader.read(column("Feb 29 10:00:00"))
    assert reader.revised


@pytest.mark.parametrize(
    ("numbers", "remedy"),
    [
        ([20240131, 20240201], '`--time-format "%Y%m%d"`'),
        (["20240131", "20240201"], '`--time-format "%Y%m%d"`'),
        ([20240131101500, 20240201101500], '`--time-format "%Y%m%d%H%M%S"`'),
        ([45413.5, 45414.25], "`--time-format excel`"),
        ([1714557600000, 1714557601000], "`--time-unit ms`"),
        ([1714557600000000, 1714557601000000], "`--time-unit us`"),
        ([1714557600000000000, 1714557601000000000], "`--time-unit ns`"),
    ],
)
def test_numbers_that_look_like_dates_are_noted(numbers, remedy, caplog):
    assert seconds(*numbers) == list(map(float, numbers))
    assert [remedy in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("numbers", [[0, 1.5, 3], [1714557600, 1714557601], [45413, 90000], [20240131, 20249999]])
def test_numbers_that_are_seconds_are_not_noted(numbers, caplog):
    seconds(*numbers)
    assert not caplog.records


def test_a_unit_that_is_too_coarse_is_noted(caplog):
    seconds(1714557600000000, 1714557601000000, unit="ms")
    assert "`--time-unit us`" in caplog.text


def test_clock_times_that_pass_midnight_are_noted(caplog):
    assert seconds("23:59:59", "00:00:01") == [DAY - 1, 1.0]
    assert "fall by more than 12 hours in 1 of 2 rows" in caplog.text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series(pd.period_range("1970-01-02", periods=2, freq="D")), [DAY, 2 * DAY]),
        (pd.Series(pd.period_range("1970-01", periods=2, freq="M")).astype(object), [0.0, 31 * DAY]),
        (pd.Series([datetime.date(1970, 1, 2), None], dtype=pd.ArrowDtype(pa.date32())), [DAY, np.nan]),
        (pd.Series([datetime.date(1970, 1, 2), None], dtype=pd.ArrowDtype(pa.date64())), [DAY, np.nan]),
        (
            pd.Series([datetime.datetime(1970, 1, 2), None], dtype=pd.ArrowDtype(pa.timestamp("us", "UTC"))),
            [DAY, np.nan],
        ),
        (pd.Series([datetime.timedelta(seconds=3), None], dtype=pd.ArrowDtype(pa.duration("ms"))), [3.0, np.nan]),
        (pd.Series([datetime.time(10), None], dtype=pd.ArrowDtype(pa.time64("us"))), [10 * HOUR, np.nan]),
        (pd.Series([decimal.Decimal("1.5"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))), [1.5, np.nan]),
        (pd.Series(["1970-01-02", ""], dtype=pd.ArrowDtype(pa.string())), [DAY, np.nan]),
        (pd.Series([1.5, None], dtype=pd.ArrowDtype(pa.float64())), [1.5, np.nan]),
        (pd.Series([1, None], dtype="Int64"), [1.0, np.nan]),
        (pd.Series(["1970-01-02", None], dtype="category"), [DAY, np.nan]),
        (pd.Series([datetime.timedelta(seconds=3), None], dtype=object), [3.0, np.nan]),
        (pd.Series([pd.Timestamp("1970-01-02", tz="UTC"), pd.NaT], dtype=object), [DAY, np.nan]),
        (pd.Series([datetime.datetime(9999, 12, 31), None], dtype=object), [253_402_214_400.0, np.nan]),
    ],
)
def test_typed_columns_are_read(values, expected):
    np.testing.assert_array_equal(parse_seconds(values), expected)


@pytest.mark.parametrize("value", [np.inf, 1e30, -1e308, 10**400, "inf", "9" * 400, "1e400"])
def test_times_without_end_are_refused(value):
    with pytest.raises(TimestampError, match="times that cannot be read, the first is"):
        seconds(value, 1.0)


def test_a_bad_time_blames_its_own_row():
    with pytest.raises(TimestampError, match=r"1 of 3 times .* 'soon' in row 1;"):
        seconds("soon", "05/01/2024", "05/02/2024")
    with pytest.raises(TimestampError, match=r"2 of 4 times .* 'soon' in row 2;"):
        seconds("2024-01-01 00:00", "soon", "2024-01-01T00:00:00Z", "2024-13-01T00:00:00Z")
    with pytest.raises(TimestampError, match=r"1 of 3 times .* '30/02/2024' in row 3;"):
        seconds("13/02/2024", "14/02/2024", "30/02/2024")


@pytest.mark.parametrize(
    ("time_format", "values", "expected"),
    [
        ("%d/%m/%Y", ["03/02/1970"], [33 * DAY]),
        ("%d/%m/%Y", ["03/02/1970 10:00:00 CET", "03/02/1970"], [33 * DAY + 9 * HOUR, 33 * DAY]),
        ("%m/%d/%Y", ["03/02/1970"], [60 * DAY]),
        ("%y/%m/%d", ["70/02/03 10:00"], [33 * DAY + 10 * HOUR]),
        ("%Y%m%d", [19700203, 19700204], [33 * DAY, 34 * DAY]),
        ("%Y%m%d", [19700203.0, None], [33 * DAY, np.nan]),
        ("%d%m%Y", [3021970], [33 * DAY]),
        ("%d_%m_%Y %H.%M", ["03_02_1970 10.30"], [33 * DAY + 10.5 * HOUR]),
        ("%Y-%m-%d %H:%M %Z", ["1970-02-03 10:00 EST"], [33 * DAY + 15 * HOUR]),
        ("%d.%m. %H:%M", ["31.12. 12:00", "01.01. 12:00"], [978_264_000.0 + 365 * DAY, 978_264_000.0 + 366 * DAY]),
        ("%H-%M", ["10-30"], [10.5 * HOUR]),
        ("excel", [25570.5, "25571"], [1.5 * DAY, 2 * DAY]),
    ],
)
def test_a_format_is_followed(time_format, values, expected):
    found = parse_seconds(pd.Series(values, name="time"), time_format=time_format)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_what_a_format_does_not_read_is_refused(caplog):
    with pytest.raises(
        TimestampError, match=r"'02/13/1970' in row 2; expected times as `--time-format '%d/%m/%Y'` says"
    ):
        seconds("03/02/1970", "02/13/1970", time_format="%d/%m/%Y")
    with pytest.raises(TimestampError, match=r"'later' in row 2; expected days since 1899-12-30"):
        seconds("45000", "later", time_format="excel")
    with caplog.at_level(logging.WARNING):
        seconds("03/02/1970", time_format="%d/%m/%Y")
    assert not caplog.records


@pytest.mark.parametrize("time_format", ["dd/mm/yyyy", "%Q", "", "%Y %Y"])
def test_what_is_no_format_is_refused(time_format):
    with pytest.raises(
        SettingsError, match=r"time_format is .*, expected a format such as '%d/%m/%Y %H:%M:%S', or excel\."
    ):
        TimeReader(time_format=time_format)
