"""Logs read in parts are the logs that are read whole, whatever the format and wherever a part ends."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import ColumnError, EmptyLogError, HfTraceError, LogFormatError, SettingsError, TimestampError
from hf_trace.logs import row_blocks
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.log import EventLog
from hf_trace.logs.sources import read_log
from hf_trace.logs.stream_samples import sample_stream, survey_stream
from hf_trace.logs.streams import EventStream, open_stream

NAMES = ["fan", "heat", "", "=1+1", "ß", "7"]


def rows(sequences=23, seed=0):
    """Cases one after another, times out of order within them, some cells missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, sequences)
    case = np.repeat([f"case {number}" for number in range(sequences)], lengths)
    event = rng.choice(NAMES, len(case))
    time = np.where(rng.random(len(case)) < 0.1, np.nan, rng.integers(0, 9, len(case)) / 2)
    return pd.DataFrame({"case": case, "event": event, "time": time, "note": "not read"})


def records(logs):
    return [record for log in logs for record in log.to_records()]


def in_parts(frame, size, choice=None):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    parts = [table.slice(start, size) for start in range(0, len(table), size)]
    return EventStream(lambda: iter(parts), choice or ColumnChoice())


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(0, 10**6), st.integers(1, 30))
def test_parts_together_are_the_whole(sequences, seed, size):
    frame = rows(sequences, seed)
    if not (frame["time"].notna() & (frame["event"] != "")).any():
        return
    whole = EventLog.from_frame(frame)
    assert records(in_parts(frame, size).parts()) == whole.to_records()
    untimed = frame.drop(columns="time")
    if (frame["event"] != "").any():
        assert records(in_parts(untimed, size).parts()) == EventLog.from_frame(untimed).to_records()


@pytest.mark.parametrize("kind", ["int64", "timestamp", "text", "dictionary", "two columns"])
def test_columns_of_other_types(kind):
    frame = rows().dropna()
    choice = ColumnChoice()
    if kind == "int64":
        frame["event"] = frame["event"].map(NAMES.index)
        frame["time"] = frame["time"].astype("int64")
    elif kind == "timestamp":
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
    elif kind == "text":
        frame["time"] = frame["time"].map(lambda time: f"2024-05-01T00:00:0{time}Z")
    elif kind == "dictionary":
        frame["event"] = frame["event"].astype("category")
    else:
        choice = ColumnChoice(event=("event", "note"))
    whole = read_log(frame, event_column=choice.event)
    assert records(in_parts(frame, 7, choice).parts()) == whole.to_records()


@pytest.fixture
def folder(tmp_path):
    frame = rows()
    cut = frame["case"].isin(frame["case"].unique()[:11]).to_numpy()
    for part, name in ((frame[cut], "a"), (frame[~cut], "b")):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        part.to_csv(tmp_path / f"{name}.csv.gz", index=False)
        part.to_csv(tmp_path / f"{name}.tsv", index=False, sep="\t")
        part.to_parquet(tmp_path / f"{name}.parquet", index=False, row_group_size=5)
        lines = part.where(part.notna(), None).to_dict("records")
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "parquet", "jsonl"])
def test_files(folder, suffix, monkeypatch):
    monkeypatch.setattr(row_blocks, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(row_blocks, "_RECORDS_AT_ONCE", 4)
    stream = open_stream(f"{folder}/*.{suffix}", ColumnChoice())
    expected = read_log(f"{folder}/*.{suffix}").to_records()
    assert records(stream.parts()) == expected
    assert records(stream.parts()) == expected


def test_a_row_per_sequence(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": "x", "events": ["b", "a"]}\n{"id": "y", "events": ["a"]}\n')
    assert records(open_stream(str(path), ColumnChoice()).parts()) == read_log(path).to_records()


def test_a_data_set(folder, tmp_path, monkeypatch):
    """The way of a Hub id, with a local folder in its place."""
    import datasets

    own = datasets.load_dataset
    asked = []

    def load(name, split, streaming):
        asked.append((name, split, streaming))
        return own("parquet", data_files=f"{folder}/*.parquet", split="train", streaming=True, cache_dir=tmp_path)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert records(open_stream("org/alarms:test", ColumnChoice()).parts()) == read_log(f"{folder}/*.csv").to_records()
    assert asked == [("org/alarms", "test", True)]


def test_a_data_set_that_is_not_there():
    with pytest.raises(LogFormatError, match="There are no files 'org/never', and no data set of that id"):
        list(open_stream("org/never", ColumnChoice()).parts())


@pytest.mark.parametrize("size", [3, 100])
def test_rows_of_a_sequence_that_are_apart(size):
    frame = pd.DataFrame({"case": ["x"] * 3 + ["y"] * 3 + ["x"], "event": "a"})
    with pytest.raises(LogFormatError) as caught:
        list(in_parts(frame, size).parts())
    assert str(caught.value) == (
        "The rows of the sequence 'x' are not next to each other, expected so in a log that is read in parts. Sort the "
        "files by case, or read them whole: leave out `--stream`."
    )


def test_refused(tmp_path):
    with pytest.raises(ColumnError, match="the stream has no column of cases among 'event', and without one"):
        list(in_parts(pd.DataFrame({"event": ["a"]}), 5).parts())
    with pytest.raises(EmptyLogError, match="the stream has no events"):
        list(EventStream(lambda: iter([]), ColumnChoice()).parts())
    (tmp_path / "log.txt").write_text("a b")
    with pytest.raises(LogFormatError, match=r"'log.txt' cannot be read in parts, expected \.parquet, \.csv"):
        open_stream(str(tmp_path / "log.txt"), ColumnChoice())
    (tmp_path / "log.parquet").write_text("no table")
    with pytest.raises(LogFormatError, match=r"'log\.parquet' cannot be read"):
        list(open_stream(str(tmp_path / "log.parquet"), ColumnChoice()).parts())
    (tmp_path / "log.jsonl").write_text('{"case": "x", "event": "a"}\nno record\n')
    with pytest.raises(LogFormatError, match=r"Line 2 of 'log\.jsonl' is not JSON"):
        list(open_stream(str(tmp_path / "log.jsonl"), ColumnChoice()).parts())
    (tmp_path / "log.csv").touch()
    with pytest.raises(EmptyLogError, match=r"'log\.csv' is empty \(0 bytes\)"):
        list(open_stream(str(tmp_path / "log.csv"), ColumnChoice()).parts())


def test_samples_do_not_depend_on_parts():
    frame = rows(200, 3).dropna()
    whole = read_log(frame)
    drawn = sample_stream(in_parts(frame, 13), 20, seed=5)
    assert drawn.to_records() == sample_stream(in_parts(frame, 500), 20, seed=5).to_records()
    assert len(drawn) == 20
    assert drawn.ids != sample_stream(in_parts(frame, 13), 20, seed=6).ids
    assert [each for each in whole.to_records() if each["id"] in drawn.ids] == drawn.to_records()
    assert sample_stream(in_parts(frame, 13), 10**6).to_records() == whole.to_records()
    assert sample_stream(in_parts(frame, 13), 1.0).to_records() == whole.to_records()
    # 200 draws with probability a half: five standard deviations are 35.
    assert abs(len(sample_stream(in_parts(frame, 13), 0.5)) - 100) < 35


def test_the_first_sequences_end_the_reading():
    frame = rows(50, 3).dropna()
    read = []
    table = pa.Table.from_pandas(frame, preserve_index=False)
    parts = [table.slice(start, 10) for start in range(0, len(table), 10)]
    stream = EventStream(lambda: (read.append(1) or part for part in parts), ColumnChoice())
    assert sample_stream(stream, None, first=4).to_records() == read_log(frame).to_records()[:4]
    assert len(read) < len(parts) / 2


@pytest.mark.parametrize(
    ("count", "first", "message"),
    [
        (None, None, "The log is read in parts, and how much of it to keep was not said."),
        (0, None, "sample is 0, expected a whole number of at least 1."),
        (None, 0, "max_sequences is 0, expected a whole number of at least 1."),
        (1.5, None, "sample is 1.5, expected a share above 0 and at most 1."),
    ],
)
def test_how_much_is_refused(count, first, message):
    with pytest.raises(SettingsError) as caught:
        sample_stream(in_parts(rows(), 5), count, first=first)
    assert str(caught.value).startswith(message)


def test_a_survey_counts_what_is_there():
    frame = rows(100, 1).dropna()
    whole = read_log(frame)
    survey = survey_stream(in_parts(frame, 11), sample=10, length=4)
    counts = np.bincount(whole.codes)
    assert survey.counts == dict(zip(whole.event_types, counts.tolist(), strict=True))
    assert (survey.sequences, survey.events) == (len(whole), len(whole.codes))
    assert survey.longest == whole.sequence_lengths.max()
    assert survey.windows == len(streams_windows(whole))
    inside = np.setdiff1d(np.arange(1, len(whole.codes)), whole.offsets)
    assert sorted(survey.gaps) == sorted(whole.timestamps[inside] - whole.timestamps[inside - 1])
    assert (len(survey.sample), len(survey.keys)) == (10, 10)


def streams_windows(log):
    from hf_trace.logs.windows import cut_windows

    return cut_windows(log, length=4)


def test_memory_follows_the_part(tmp_path):
    """A log of 400,000 events is read with a few megabytes of Arrow memory."""
    case = np.repeat(np.arange(4_000), 100)
    table = pa.table({"case": case, "event": pa.array(np.resize(["fan", "heat"], len(case))), "time": case * 1.0})
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=65_536)
    del table
    before, peak, events = pa.total_allocated_bytes(), 0, 0
    for part in open_stream(str(tmp_path / "log.parquet"), ColumnChoice()).parts():
        peak = max(peak, pa.total_allocated_bytes() - before)
        events += len(part.codes)
    assert events == 400_000
    assert peak < 20e6


def outcome_of(read):
    try:
        return read()
    except HfTraceError as error:
        return type(error), str(error)


DAMAGED = {
    "latin.csv": "case,event\nx,a\ny,é\n".encode("latin-1"),
    "wide.csv": "case,event\nx,a\n".encode("utf-16"),
    "zero.csv": b"case,event\nx,a\0b\n",
    "short.csv": b"case,event,time\nx,a,1\nx,b\ny,c,2\n",
    "long.csv": b"case,event\nx,a\nx,a,b\n",
    "quote.csv": b'case,event\nx,"a\n',
    "header.csv": b"case,event\n",
    "blank.csv": b"\n\n",
    "twice.csv": b"case,event,event\nx,a,b\n",
    "other.csv": b"case,event,n,n,,\nx,a,b,c,,\n",
    "no event.csv": b"case,what\nx,a\n",
    "no names.csv": b"case,event\nx,\n",
    "no cases.csv": b"case,event\n,a\n",
    "first.csv": b"case,event,time\nx,a,\nx,b,\ny,c,3\n",
    "soon.csv": b"case,event,time\nx,a,1\nx,b,soon\nx,c,3\n",
    "cut.csv.gz": gzip.compress("".join(["case,event\n", *(f"{i},{i * 7919}\n" for i in range(9999))]).encode())[:-100],
    "none.csv.gz": b"case,event\nx,a\n",
    "UPPER.CSV.GZ": gzip.compress(b"case,event\nx,a\n"),
    "kinds.jsonl": b'{"case": 1, "event": "a", "time": 1}\n{"case": "x", "event": 7, "time": "2"}\n{"case": "x"}',
    "whole.jsonl": b'{"case": %d, "event": "a"}\n{"case": %d, "event": "b"}' % (2**70, 2**70 + 1),
    "rounded.jsonl": b'{"case": 9007199254740993.0, "event": "a"}',
    "nested.jsonl": b'{"case": "x", "event": {"a": 1}}\n{"case": "x", "event": "b"}',
    "nested case.jsonl": b'{"case": [1], "event": "a"}\n{"case": "x", "event": "b"}',
    "nested note.jsonl": b'{"case": "x", "event": "b", "n": 1}\n{"case": "x", "event": "b", "n": {"a": 2}}',
    "half.jsonl": b'{"case": "x", "event": "\\ud800"}',
    "deep.jsonl": b'{"case": "x", "event": ' + b"[" * 10**5 + b"}",
    "digits.jsonl": b'{"case": ' + b"9" * 5000 + b', "event": "a"}',
    "lists.jsonl": b'{"id": "x", "events": ["a", 1]}\n{"id": "y", "events": "b"}',
    "no ids.jsonl": b'{"events": ["a"]}\n{"events": ["b"]}\n{"events": ["c"]}',
    "later.jsonl": b'{"case": "x", "event": "a", "time": 1}\n{"case": "y", "event": "b"}\n{"case": "y", "event": "b"}',
    "blank.jsonl": b"\n\n",
    "empty.jsonl": b"{}\n{}",
    "empty.parquet": b"",
    "none.parquet": b"PAR1 and nothing PAR1",
}
TABLES = {
    "twice": pa.Table.from_arrays([pa.array(["x"]), pa.array(["a"]), pa.array(["b"])], ["case", "event", "event"]),
    "mapping": pa.table({"case": ["x"], "event": [{"a": 1}]}),
    "mapping of cases": pa.table({"case": [{"a": 1}], "event": ["a"]}),
    "no rows": pa.table({"case": pa.array([], pa.string()), "event": pa.array([], pa.string())}),
    "decimal": pa.table({"case": pa.array([1, None], pa.decimal128(20)), "event": ["a", "b"]}),
    "dotted": pa.table({"case.id": ["x"], "event": ["a"]}),
}


@pytest.mark.parametrize("name", [*DAMAGED, *TABLES])
def test_damaged_files_are_refused_as_when_read_whole(tmp_path, name, monkeypatch):
    monkeypatch.setattr(row_blocks, "_RECORDS_AT_ONCE", 2)
    path = tmp_path / (name if name in DAMAGED else f"{name}.parquet")
    if name in DAMAGED:
        path.write_bytes(DAMAGED[name])
    else:
        pq.write_table(TABLES[name], path)
    whole = outcome_of(lambda: read_log(path).to_records())
    assert outcome_of(lambda: records(open_stream(str(path), ColumnChoice()).parts())) == whole
    assert isinstance(whole, list) or "\n" not in whole[1]


def test_a_bad_time_is_blamed_on_its_row_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(row_blocks, "ROWS_AT_ONCE", 3)
    days = [f"2024-01-{day:02d}" for day in range(1, 10)]
    for name, times in (("a", days), ("b", [*days[:7], "soon", days[8]])):
        rows = "".join(f"{name}{row // 2},e,{time}\n" for row, time in enumerate(times))
        (tmp_path / f"{name}.csv").write_text("case,event,time\n" + rows)
    with pytest.raises(TimestampError, match=r"^b\.csv: Column 'time' has 1 of \d times .* 'soon' in row 8"):
        list(open_stream(str(tmp_path), ColumnChoice()).parts())


def test_files_whose_columns_have_other_types_and_names(tmp_path):
    pq.write_table(pa.table({"case": [1, 1], "event": ["a", "b"], "time": [1, 2]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"case_id": ["1", "y"], "event": [7, 8], "time": ["3", "4"]}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"case": ["y"], "event": ["c"], "time": [5.5]}), tmp_path / "3.parquet")
    whole = read_log(tmp_path).to_records()
    assert records(open_stream(str(tmp_path), ColumnChoice()).parts()) == whole
    assert whole[0] == {"id": "1", "events": ["a", "b", "7"], "timestamps": [1.0, 2.0, 3.0]}


def test_times_in_some_parts_only(tmp_path):
    (tmp_path / "1.csv").write_text("case,event,time\nx,a,1\n")
    (tmp_path / "2.csv").write_text("case,event\ny,b\n")
    with pytest.raises(TimestampError, match=r"^2\.csv: Some parts of the log have times and others not, expected all"):
        list(open_stream(str(tmp_path), ColumnChoice()).parts())


def test_a_file_without_rows_among_others(tmp_path):
    (tmp_path / "1.csv").write_text("case,event\n")
    (tmp_path / "2.csv").write_text("case,event\nx,a\n")
    assert records(open_stream(str(tmp_path), ColumnChoice()).parts()) == [{"id": "x", "events": ["a"]}]


def test_a_data_set_that_breaks_off(monkeypatch):
    import datasets

    def rows():
        yield {"case": "x", "event": "a"}
        raise OSError("connection lost")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.IterableDataset.from_generator(rows))
    with pytest.raises(LogFormatError, match="data set 'org/x' could be opened but not read to its end"):
        list(open_stream("org/x", ColumnChoice()).parts())


def parts_of_dates(*texts, **settings):
    tables = [
        pa.table({"case": [f"c{i}"] * 2, "event": ["a", "b"], "time": [text] * 2}) for i, text in enumerate(texts)
    ]
    return EventStream(lambda: iter(tables), ColumnChoice(**settings))


def test_a_later_part_that_reads_dates_in_another_order_is_refused():
    expected = (
        r"'03/02/2024' in row 1 was read as month/day/year, but '13/02/2024' in row 5 .*--time-format \"%d/%m/%Y\""
    )
    with pytest.raises(TimestampError, match=expected):
        list(parts_of_dates("03/02/2024", "04/02/2024", "13/02/2024").parts())
    told = list(parts_of_dates("03/02/2024", "13/02/2024", time_format="%d/%m/%Y").parts())
    assert told[1].timestamps[0] - told[0].timestamps[0] == 10 * 86_400


def test_an_ambiguous_order_is_noted_once_in_all_passes(caplog):
    stream = parts_of_dates("03/02/2024", "04/02/2024")
    assert records(stream.parts()) == records(stream.parts())
    assert ["read as month/day/year" in record.getMessage() for record in caplog.records] == [True]


def test_a_bad_time_in_a_later_part_blames_its_own_row():
    with pytest.raises(TimestampError, match="'soon' in row 5;"):
        list(parts_of_dates("2024-01-01", "2024-01-02", "soon").parts())
