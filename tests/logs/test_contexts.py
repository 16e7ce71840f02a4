"""What is known of whole sequences: read, computed, and kept through everything that is done to a log."""

import json

import numpy as np
import pandas as pd
import pytest

from hf_trace.errors import ColumnError, SettingsError, TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.logs.windows import cut_windows

DAY = 86_400.0
ROWS = pd.DataFrame(
    {
        "case": ["x", "y", "x", "y", "z", "z"],
        "event": ["a", "b", "c", "a", "a", "b"],
        "time": [1.0, 2.0, 5.0, 9.0, 40 * DAY, 41 * DAY],
        "site": ["north", "south", "north", None, "", None],
        "label": [7, 7, 7, 7, 8, 8],
    }
)


def contexts(log):
    return [sequence.context for sequence in log]


def test_columns_are_read_and_values_may_be_missing():
    log = read_log(ROWS, context_columns=["site", "label"])
    assert contexts(log) == [
        (("site", "north"), ("label", "7")),
        (("site", "south"), ("label", "7")),
        (("site", ""), ("label", "8")),
    ]
    assert contexts(read_log(ROWS)) == [(), (), ()]


def test_a_context_column_is_no_event_column():
    assert read_log(ROWS.drop(columns="event").rename(columns={"site": "activity"}), context_columns=["activity"])[
        0
    ].events == ("7", "7")


def test_records_have_them_too(tmp_path):
    records = [{"id": "x", "events": ["a"], "site": "n"}, {"id": "y", "events": ["b", "a"], "site": None}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    for source in (tmp_path / "log.jsonl", iter(records)):
        assert contexts(read_log(source, context_columns=["site"])) == [(("site", "n"),), (("site", ""),)]


def test_they_are_computed_from_times_and_from_the_order():
    log = read_log(ROWS, context_columns=["@month", "@parts:3", "label"])
    assert contexts(log) == [
        (("@month", "1970-01"), ("@parts:3", "1"), ("label", "7")),
        (("@month", "1970-01"), ("@parts:3", "2"), ("label", "7")),
        (("@month", "1970-02"), ("@parts:3", "3"), ("label", "8")),
    ]
    week = read_log(ROWS, context_columns=["@week"])
    assert week.contexts[0] == (("@week", "1970-W01"),)
    # Of ten sequences without times, two parts have five each, in the order of the log.
    untimed = [{"events": ["a", "b"]}] * 10
    assert [value for ((_, value),) in read_log(iter(untimed), context_columns=["@parts:2"]).contexts] == ["1"] * 5 + [
        "2"
    ] * 5


def test_they_stay_with_their_sequences():
    log = read_log(ROWS, context_columns=["site"])
    north, south, unknown = log.contexts
    assert log.select([2, 0]).contexts == (unknown, north)
    assert cut_windows(log, length=1, min_length=1).contexts == (north, north, south, south, unknown, unknown)
    assert EventLog.from_sequences(log).contexts == log.contexts
    assert EventLog.concat([log, log]).contexts == log.contexts * 2
    assert EventLog.concat([log.select([1]), log], join_ids=True).contexts == (south, north, unknown)
    assert log[1].part(0, 1).context == south
    assert log.to_records()[0]["context"] == {"site": "north"}
    spans = log.select_spans(np.array([1, 4]), np.array([2, 6]), ["p", "q"])
    assert spans.contexts == (north, unknown)


def test_a_sequence_has_one_value():
    frame = ROWS.assign(site=["north", "south", "west", "south", "", ""])
    with pytest.raises(ColumnError, match="Column 'site' changes within the sequence 'x': 'north' and 'west'"):
        read_log(frame, context_columns=["site"])


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (["place"], ColumnError, "`context_column='place'` is not one of the 5 columns"),
        (["@century"], SettingsError, "`--context-column @century` is not understood, expected the name of a col"),
        (["@parts:1"], SettingsError, "`--context-column @parts:1` is not understood"),
    ],
)
def test_what_is_not_there_is_refused(columns, error, message):
    with pytest.raises(error) as refused:
        read_log(ROWS, context_columns=columns)
    assert str(refused.value).startswith(message)


def test_a_calendar_needs_times():
    with pytest.raises(TimestampError, match="@month` is read off times, and the log has none"):
        read_log(iter([{"events": ["a"]}]), context_columns=["@month"])


def test_sequences_of_their_own():
    log = EventLog.from_sequences([EventSequence(("a",), context=(("site", "n"),)), EventSequence(("b",))])
    assert log.contexts == ((("site", "n"),), ())


@pytest.mark.parametrize("start", [1e18, -1e18])
def test_a_calendar_ends(start):
    frame = pd.DataFrame({"case": ["x"], "event": ["a"], "time": [start]})
    with pytest.raises(TimestampError, match=r"`--context-column @month` .* beyond the years 1 to 9999"):
        read_log(frame, context_columns=["@month"])
