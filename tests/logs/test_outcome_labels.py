"""Labels of whole sequences as last events."""

import json

import pandas as pd
import pytest

from hf_trace.errors import ColumnError
from hf_trace.logs.sources import read_log

ROWS = pd.DataFrame(
    {
        "case": ["x", "y", "x", "y", "z"],
        "event": ["a", "b", "c", "a", "a"],
        "time": [1.0, 2.0, 5.0, 9.0, 3.0],
        "label": ["bad", "good", "bad", "good", ""],
    }
)


def test_rows_end_with_their_label():
    log = read_log(ROWS, outcome_column="label")
    assert log.to_records() == [
        {"id": "x", "events": ["a", "c", "outcome:label=bad"], "timestamps": [1.0, 5.0, 5.0]},
        {"id": "y", "events": ["b", "a", "outcome:label=good"], "timestamps": [2.0, 9.0, 9.0]},
        {"id": "z", "events": ["a"], "timestamps": [3.0]},
    ]


def test_without_the_option_nothing_changes():
    assert not any(name.startswith("outcome:") for name in read_log(ROWS).event_types)


def test_a_column_of_an_outcome_is_no_event_column():
    frame = pd.DataFrame({"case": ["x", "x"], "label": ["bad", "bad"], "activity": ["a", "b"]})
    assert read_log(frame, outcome_column="label")[0].events == ("a", "b", "outcome:label=bad")
    with pytest.raises(ColumnError, match="none has a usual name of an event column"):
        read_log(frame.drop(columns="activity"), outcome_column="label")


def test_records_end_with_their_label(tmp_path):
    records = [{"id": "x", "events": ["a", "b"], "ok": True}, {"id": "y", "events": ["b"], "ok": False}]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    expected = [("a", "b", "outcome:ok=True"), ("b", "outcome:ok=False")]
    assert [sequence.events for sequence in read_log(path, outcome_column="ok")] == expected
    assert [sequence.events for sequence in read_log(iter(records), outcome_column="ok")] == expected


def test_unsorted_rows_still_end_with_it():
    log = read_log(ROWS.iloc[::-1], outcome_column="label")
    assert all(sequence.events[-1].startswith("outcome:") for sequence in log if len(sequence) > 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["bad", "good", "good", "good", ""]}, "changes within the sequence 'x': 'bad' and 'good'"),
        ({"label": [None] * 5}, "The outcome is missing in all 5 rows"),
    ],
)
def test_labels_that_say_nothing_are_refused(change, message):
    with pytest.raises(ColumnError, match=message):
        read_log(ROWS.assign(**change), outcome_column="label")


def test_absent_columns_are_refused(tmp_path):
    with pytest.raises(ColumnError, match="`outcome_column='labl'` is not one of the 4 columns"):
        read_log(ROWS, outcome_column="labl")
    with pytest.raises(ColumnError, match="`outcome_column='ok'` is not one of the keys"):
        read_log(pd.DataFrame({"events": [["a"]]}), outcome_column="ok")
    (tmp_path / "log.txt").write_text("a b\n")
    with pytest.raises(ColumnError, match="read as plain text"):
        read_log(tmp_path / "log.txt", outcome_column="ok")


def test_files_that_share_a_sequence_are_refused(tmp_path):
    for name in ("one.csv", "two.csv"):
        ROWS[ROWS["case"] == "x"].to_csv(tmp_path / name, index=False)
    with pytest.raises(ColumnError, match="'x' is spread over several files"):
        read_log(tmp_path, outcome_column="label")
