"""Files, folders, tables and datasets as event logs."""

import csv
import gzip
import json
import os

import datasets
import pandas as pd
import pytest

from hf_trace.errors import ColumnError, EmptyLogError, LogFormatError, SettingsError, TimestampError
from hf_trace.logs.sources import find_files, read_log

CSV = "case,event,time\nx,b,2\nx,a,1\ny,a,0\n"
RECORDS = [
    {"id": "x", "events": ["a", "b"], "timestamps": [1.0, 2.0]},
    {"id": "y", "events": ["a"], "timestamps": [0.0]},
]
ODD_NAMES = [
    *("NA", "null", "None", "nan", "1.0", "007", "-0", "1e5", "True", " padded ", "disk full", "a:b", "a=b"),
    *("tab\there", "line\nbreak", "return\rhere", 'quo"te', "comma,semi;colon", "été", "🔥 fire", "#", "x" * 2000),
]


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
        return path

    return write_file


def refused(source, error, **options):
    with pytest.raises(error) as caught:
        read_log(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["log.csv", "log.CSV", "log.csv.gz"])
def test_csv(write, name):
    assert read_log(write(name, CSV)).to_records() == RECORDS


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_with_another_delimiter(write, delimiter):
    assert read_log(write("log.csv", CSV.replace(",", delimiter))).to_records() == RECORDS


def test_csv_with_a_delimiter_of_its_own(write):
    assert read_log(write("log.csv", CSV.replace(",", "~")), delimiter="~").to_records() == RECORDS


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.gz"])
def test_tsv(write, name):
    assert read_log(write(name, CSV.replace(",", "\t"))).to_records() == RECORDS


def test_csv_from_a_spreadsheet(write):
    content = b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()
    assert read_log(write("log.csv", content)).to_records() == RECORDS


def test_quoted_cells_may_hold_the_delimiter_in_the_header(write):
    path = write("log.csv", '"a;b;c",event\n1,x\n')
    assert read_log(path)[0].events == ("x",)


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".jsonl.gz"])
def test_json_records(write, suffix):
    lines = "\n\n".join(map(json.dumps, RECORDS))
    assert read_log(write(f"log{suffix}", lines)).to_records() == RECORDS


def test_json_rows(write):
    rows = [{"case": 1, "event": "b", "time": 2}, {"case": 1, "event": 7, "time": 1.5}, {"case": 2, "event": "a"}]
    log = read_log(write("log.jsonl", "\n".join(map(json.dumps, rows))))
    assert log.to_records() == [{"id": "1", "events": ["7", "b"], "timestamps": [1.5, 2.0]}]
    assert log.dropped_rows == 1


def test_json_document(write):
    assert read_log(write("log.json", json.dumps(RECORDS))).to_records() == RECORDS


def test_records_in_memory():
    assert read_log(RECORDS).to_records() == RECORDS
    odd = [{"id": "x", "events": ODD_NAMES}]
    assert read_log(odd).to_records() == odd
    rows = [{"case": "x", "event": name, "time": time} for name, time in (("b", 2), ("a", 1))]
    assert read_log(rows, query="time < 3").to_records() == RECORDS[:1]
    with pytest.raises(LogFormatError, match=r"Record 2 is 'a b' \(str\), expected a dict as the first one is\."):
        read_log([RECORDS[0], "a b"])


def test_parquet_records_and_rows(tmp_path):
    path = tmp_path / "log.parquet"
    pd.DataFrame(RECORDS).to_parquet(path)
    assert read_log(path).to_records() == RECORDS
    rows = {"device": [3, None, 3], "event": ["b", "c", "a"], "time": pd.to_datetime([2, 1, 0], unit="s")}
    pd.DataFrame(rows).astype({"device": "Int64"}).to_parquet(path)
    log = read_log(path)
    assert log.to_records() == [{"id": "3", "events": ["a", "b"], "timestamps": [0.0, 2.0]}]
    assert log.dropped_rows == 1


@pytest.mark.parametrize("name", ["keys.txt", "keys.log", "hdfs_train", "keys.txt.gz"])
def test_plain_text(write, name):
    log = read_log(write(name, "5 5 22\n\n9\t5  \n"))
    assert log.to_records() == [{"id": "1", "events": ["5", "5", "22"]}, {"id": "3", "events": ["9", "5"]}]
    assert log.dropped_rows == 0


def test_plain_text_with_a_delimiter(write):
    log = read_log(write("keys.txt", "disk full; reboot\n\nfan;;heat\n"), delimiter=";")
    assert [sequence.events for sequence in log] == [("disk full", "reboot"), ("fan", "heat")]
    assert log.dropped_rows == 1


def test_names_survive_every_format(tmp_path):
    paths = [tmp_path / "log.csv", tmp_path / "log.tsv", tmp_path / "log.jsonl", tmp_path / "log.parquet"]
    for path, delimiter in zip(paths, ",\t", strict=False):
        with path.open("w", newline="") as stream:
            csv.writer(stream, delimiter=delimiter).writerows([["event"], *([name] for name in ODD_NAMES)])
    paths[2].write_text(json.dumps({"events": ODD_NAMES}, ensure_ascii=False))
    pd.DataFrame({"event": ODD_NAMES}).to_parquet(paths[3])
    for path in paths:
        assert read_log(path)[0].events == tuple(ODD_NAMES)


def test_file_is_the_sequence_without_a_case_column(write):
    assert read_log(write("run.7.csv.gz", "event\nb\na\n")).to_records() == [{"id": "run.7", "events": ["b", "a"]}]


def test_columns_as_named(write):
    path = write("log.csv", "who,node,value,ms,time\nx,door,open,2000,5\nx,lamp,,3000,6\nx,door,shut,1000,7\n")
    log = read_log(path, case_column="who", event_column=["node", "value"], time_column="ms", time_unit="ms")
    assert log.to_records() == [{"id": "x", "events": ["door=shut", "door=open"], "timestamps": [1.0, 2.0]}]
    assert log.dropped_rows == 1
    assert read_log(path, event_column="node,value", join=" ")[0].events == ("door open", "door shut")


def test_ties_keep_the_order_of_the_file(write):
    path = write("log.csv", "event,time\n" + "".join(f"e{i:03},1\n" for i in reversed(range(500))))
    assert list(read_log(path)[0].events) == [f"e{i:03}" for i in reversed(range(500))]


def test_folder_is_read_in_name_order_without_hidden_and_other_files(write):
    write("logs/b.csv", "event\nb\n")
    folder = write("logs/a.csv", "event\na\n").parent
    for name in (".hidden.csv", "README.md", "truth.json", "notes.txt", "deeper/c.csv"):
        write(f"logs/{name}", "event\nno\n")
    assert read_log(folder).to_records() == [{"id": "a", "events": ["a"]}, {"id": "b", "events": ["b"]}]
    assert read_log(str(folder)).ids == ("a", "b")


def test_folder_of_plain_text(write):
    folder = write("logs/hdfs_train", "1 2\n").parent
    write("logs/LICENCE", "not a log\n")
    assert read_log(folder)[0].events == ("1", "2")


def test_pattern_and_list(write):
    paths = [write(f"logs/{name}/log.csv", f"event\n{name}\n") for name in "cab"]
    pattern = paths[0].parent.parent / "*" / "log.csv"
    assert [s.events for s in read_log(str(pattern))] == [("a",), ("b",), ("c",)]
    assert [s.events for s in read_log(paths)] == [("c",), ("a",), ("b",)]


def test_files_with_a_case_column_are_one_log(write):
    paths = [write("1.csv", "case,event,time\nx,b,2\n"), write("2.csv", "case,event,time\nx,a,1\ny,a,0\n")]
    assert read_log(paths).to_records() == RECORDS


def test_records_of_two_files_stay_apart(write):
    paths = [write(f"{i}.jsonl", json.dumps({"id": "x", "events": [str(i)]})) for i in (1, 2)]
    assert [s.events for s in read_log(paths)] == [("1",), ("2",)]


def test_frames_and_datasets():
    frame = pd.DataFrame({"case": ["x", "x", "y"], "event": ["b", "a", "a"], "time": [2, 1, 0]})
    assert read_log(frame).to_records() == RECORDS
    dataset = datasets.Dataset.from_pandas(frame)
    assert read_log(dataset).to_records() == RECORDS
    assert read_log(dataset.to_iterable_dataset()).to_records() == RECORDS
    assert read_log(dataset, query="time > 0").ids == ("x",)
    assert read_log(dataset.to_iterable_dataset(), query="case == 'y'").ids == ("y",)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("type in ['Alarm', 'Binary'] and time_s > 9", ["b", "c"]),
        ("time_s == 10", ["b"]),
        ("`long name` == '007'", ["a"]),
        ("event.str.contains('a') or event == 'c@d.to_csv'", ["a"]),
    ],
)
def test_query(write, query, kept):
    path = write(
        "log.csv", "event,type,time_s,long name\na,Alarm,9,007\nb,Binary,10,x\nc,Alarm,100,y\nd,Analog,100,z\n"
    )
    log = read_log(path, query=query)
    assert list(log[0].events) == kept


def test_query_keeps_names_as_written(write):
    assert read_log(write("log.csv", "event\n007\n1.0\n-3\n"), query="event > 0")[0].events == ("007", "1.0")


def test_query_on_json_numbers_and_file_rows_in_errors(write):
    rows = [{"event": "a", "time": 1, "n": 1}, {"event": "b", "time": "soon", "n": None}, {"event": "c", "n": 3}]
    path = write("log.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_log(path, query="n == 1")[0].events == ("a",)
    assert "'soon' in row 2;" in refused(path, TimestampError, query="event != 'a'")


def test_query_may_empty_some_of_the_files(write):
    paths = [write("1.csv", "event,n\na,1\n"), write("2.csv", "event,n\nb,2\n")]
    assert read_log(paths, query="n > 1").ids == ("2",)
    assert refused(paths, EmptyLogError, query="n > 2") == "`query='n > 2'` keeps no row of the 2 files. Loosen it."
    assert refused(paths[0], EmptyLogError, query="n > 2") == "`query='n > 2'` keeps none of the 1 rows. Loosen it."


@pytest.mark.parametrize(
    "query", ["level >", "level > 5", "lvl == 1", "event + 1", "f('x')", "event == 'a' if", "import os", "[", "1"]
)
def test_query_that_cannot_be_evaluated(write, query):
    message = refused(write("log.csv", "event,level\na,low\n"), SettingsError, query=query)
    assert message.startswith(f"`query={query!r}` cannot be evaluated (")
    assert "expected a condition on the columns 'event', 'level'. Write for example" in message


@pytest.mark.parametrize("query", ["event.to_csv('x')", "@os", "event.__class__", r"'\'' < event.to_csv('\'')"])
def test_query_does_not_run_code(write, query):
    message = refused(write("log.csv", "event\na\n"), SettingsError, query=query)
    assert "expected comparisons of columns with values, or one of the methods abs, between" in message


def test_file_not_found(write, tmp_path):
    write("alarms.csv", CSV)
    absent = tmp_path / "alarm.csv"
    assert refused(absent, LogFormatError) == f"There is no file '{absent}'. Did you mean 'alarms.csv'?"
    assert refused(tmp_path / "zzz", LogFormatError).endswith(f"'{tmp_path}' holds 1 other files.")
    nowhere = tmp_path / "no" / "log.csv"
    expected = f"There is no file '{nowhere}', nor a folder '{nowhere.parent}'. Check the path."
    assert refused(nowhere, LogFormatError) == expected
    pattern = str(tmp_path / "*.xes")
    assert refused(pattern, LogFormatError) == f"No file matches '{pattern}', expected at least one. Check the pattern."


def test_folder_without_logs(write, tmp_path):
    write("README.md", "about")
    message = refused(tmp_path, LogFormatError)
    assert message.startswith(f"Folder '{tmp_path}' holds no file that can be read as a log, expected one of .csv, ")
    assert message.endswith(f"Name the files, or a pattern such as '{tmp_path}/*/*.csv'.")


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet", "log.xes", "log.txt"])
def test_empty_file(write, name):
    message = refused(write(name, ""), EmptyLogError)
    assert message == f"'{name}' is empty (0 bytes), expected an event log. Check how it was exported."


def test_files_without_rows(write):
    expected = "'log.csv' has 3 columns and 0 rows, expected at least one event. Check how it was exported."
    assert refused(write("log.csv", "case,event,time\n"), EmptyLogError) == expected
    assert "holds no header and no rows, expected a table" in refused(write("log.csv", "\n\n"), EmptyLogError)
    assert "0 rows, expected at least one event" in refused(write("log.jsonl", "\n"), EmptyLogError)
    expected = "'log.txt' holds no events, expected one sequence a line. Check the file."
    assert refused(write("log.txt", " \n \n"), EmptyLogError) == expected
    assert "holds no header" in refused(write("log.csv.gz", ""), EmptyLogError)


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.txt", "log"])
def test_binary_file(write, name):
    message = refused(write(name, b"PK\x03\x04\x00\x00"), LogFormatError)
    assert message.startswith(f"'{name}' is binary (a zero byte at position 4), expected UTF-8 text. Export it")


@pytest.mark.parametrize("rows", [1, 50_000])
def test_another_encoding(write, rows):
    content = b"event\n" + b"plain\n" * rows + "été\n".encode("latin-1")
    message = refused(write("log.csv", content), LogFormatError)
    assert message.startswith("'log.csv' is not UTF-8 text (byte 0xe9 cannot be decoded). Save it as UTF-8")


def test_ragged_table(write):
    message = refused(write("log.csv", "case,event\nx,a\nx,a,b\n"), LogFormatError)
    assert "is not a regular table (Expected 2 fields in line 3, saw 3), expected as many cells" in message
    assert "Quote cells that hold the delimiter" in message
    assert "not a regular table" in refused(write("log.csv", "case,event\nx,a,b\ny,c,d\n"), LogFormatError)
    assert "not a regular table" in refused(write("log.csv", 'case,event\nx,"a\n'), LogFormatError)


@pytest.mark.parametrize("name", ["log.csv.gz", "log.jsonl.gz", "log.txt.gz"])
def test_broken_gzip(tmp_path, name):
    path = tmp_path / name
    expected = f"'{name}' is not a complete gzip file ("
    path.write_bytes(b"event\na\n")
    assert refused(path, LogFormatError).startswith(expected)
    whole = gzip.compress(b"event\n" + os.urandom(200_000).hex().encode())
    path.write_bytes(whole[:-100])
    assert refused(path, LogFormatError).startswith(expected)
    path.write_bytes(whole[:150_000] + b"????" + whole[150_004:])
    assert refused(path, LogFormatError).startswith(expected)


def test_bad_json(write):
    good = json.dumps(RECORDS[0])
    message = refused(write("log.jsonl", f"{good}\n\n{{'events': []}}\n"), LogFormatError)
    assert message.startswith("Line 3 of 'log.jsonl' is not JSON (Expecting property name")
    assert message.endswith("at column 2), expected one record a line. Correct the line.")
    message = refused(write("log.jsonl", f'{good}\n["a"]\n'), LogFormatError)
    assert message.startswith("Line 2 of 'log.jsonl' is a JSON list, expected a record such as")
    assert "is not a JSON document (" in refused(write("log.json", f"{good}\n{good}"), LogFormatError)
    message = refused(write("log.json", good), LogFormatError)
    assert message.startswith("'log.json' holds a JSON dict, expected a list of records. Write one record a line")


def test_json_events_that_are_no_lists_of_texts(write):
    path = write("log.jsonl", '{"events": ["a"]}\n{"events": "b"}\n')
    assert "'events' of record 2 is 'b' (str), expected a list of event names" in refused(path, LogFormatError)
    path = write("log.jsonl", '{"events": ["a"]}\n\n{"events": ["a", 5]}\n')
    assert "events of record 3 hold 5 (int), expected a list of texts" in refused(path, LogFormatError)
    path = write("log.jsonl", '{"events": ["a"], "timestamps": [1, 2]}\n')
    assert "Record 1 has 1 events and 2 timestamps, expected one per event" in refused(path, TimestampError)


def test_parquet_that_is_not(write):
    message = refused(write("log.parquet", CSV), LogFormatError)
    assert message.startswith("'log.parquet' cannot be read (")
    assert message.endswith(
        "expected a .parquet file that may be opened. Export it again, or give it the suffix of its format."
    )


def test_formats_that_are_not_read(write):
    message = refused(write("log.xlsx", CSV), LogFormatError)
    assert message.startswith("'log.xlsx' is a .xlsx file, expected one of .csv, ")
    assert message.endswith("or plain text. Convert it, to CSV for example.")


def test_plain_text_has_no_columns(write):
    path = write("log.txt", "a b\n")
    message = refused(path, TimestampError, time_column="t")
    assert "plain text, which has no times, but `time_column='t'` asks for them. Leave it out" in message
    assert "no columns, but one was named. Leave it out" in refused(path, ColumnError, case_column="c")
    assert "no columns for `query`. Leave it out" in refused(path, SettingsError, query="x")


def test_named_time_column_is_absent(write):
    path = write("log.csv", "event,tyme\na,1\n")
    message = refused(path, ColumnError, time_column="time")
    assert message == "`time_column='time'` is not one of the 2 columns 'event', 'tyme'. Did you mean 'tyme'?"
    assert "not one of the keys" in refused(
        write("log.jsonl", '{"events": ["a"]}'), ColumnError, time_column="timestamps"
    )


def test_errors_name_the_file_when_there_are_several(write):
    paths = [write("1.csv", CSV), write("2.csv", "case,event,time\nx,a,soon\n")]
    message = refused(paths, TimestampError)
    assert message.startswith("2.csv: Column 'time' has 1 of 1 times that cannot be read, the first is 'soon' in row 1")
    message = refused([paths[0], write("3.csv", "case,event\nx,a\n")], TimestampError)
    assert message.startswith("1 of 2 logs have times, expected all or none.")


def test_things_that_are_not_logs():
    assert refused(5, LogFormatError).startswith("Got a int, expected a path, a DataFrame or a dataset.")
    assert refused([], LogFormatError) == "The list of paths is empty, expected at least one. Pass a path."
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"event": ["a"]})})
    assert refused(splits, LogFormatError).startswith("Got a mapping of 'train', expected one dataset. Pass one")
    with pytest.raises(LogFormatError, match=r"Got a int, expected a path\. Pass text or"):
        find_files([5])


def test_half_a_surrogate_pair_in_json(write):
    message = refused(write("log.jsonl", '{"events": ["a"]}\n{"events": ["\\ud800"]}'), LogFormatError)
    assert message.startswith(
        "Line 2 of 'log.jsonl' is not JSON (it holds half of a character (a lone surrogate)), exp"
    )


@pytest.mark.parametrize(
    ("value", "reason"), [("9" * 5000, "a whole number of 5,000 digits"), ("[" * 10**5, "nested too deeply")]
)
def test_json_that_nothing_can_hold(write, value, reason):
    assert reason in refused(write("log.jsonl", f'{{"case": {value}, "event": "a"}}'), LogFormatError)
    assert reason in refused(write("log.json", f'[{{"case": {value}, "event": "a"}}]'), LogFormatError)


def test_a_column_that_stands_twice_in_the_header(write):
    message = refused(write("log.csv", "case,event,event\nx,a,b\n"), ColumnError)
    assert message == "Columns 'event' appear twice, expected different names. Rename one of each."
    assert read_log(write("log.csv", "case,event,note,note,,\nx,a,b,c,,\n"))[0].events == ("a",)


def test_usual_names_of_exports(write):
    for header in (
        "Case ID,Activity,Complete Timestamp",  # Disco
        "_CASE_KEY,ACTIVITY_EN,EVENTTIME",  # Celonis
        "case,event,completeTime",  # ProM
        "case concept:name,event concept:name,event time:timestamp",  # XES, flattened
        "case_concept_name,concept_name,time_timestamp",
        "Case ID,Activity,End Timestamp",
        "case_id,task,completed_at",
        "CaseID,Activity,Timestamp (UTC)",
    ):
        log = read_log(write("log.csv", f"{header}\nx,b,2024-01-02\nx,a,2024-01-01\n"))
        assert (log.ids, log[0].events) == (("x",), ("a", "b")), header
        assert log.timestamps is not None


def test_times_that_are_not_read_are_spoken_of(write, caplog):
    read_log(write("log.csv", "case,event,datum\n2024-01-01,b,2024-01-02\n2024-01-01,a,2024-01-01\n"))
    assert caplog.messages == [
        "No column is read as time, but 'datum' may be one; the order of the rows counts. If it is, name it with "
        "`--time-column` (in Python `time_column=`)."
    ]
    caplog.clear()
    read_log(write("log.csv", "case,event,time,datum,version\nx,b,1,2024-01-02,1.2.34\n"))
    read_log(write("log.csv", "case,event,version\nx,b,1.2.34\n"))
    assert caplog.messages == []


FIRST = "case,event,time\nx,a,03/02/2024\nx,b,04/02/2024\n"


def test_one_order_of_day_and_month_in_all_files(write, tmp_path):
    write("a.csv", FIRST)
    write("b.csv", "case,event,time\nx,c,13/02/2024\ny,d,2024-02-01\n")
    log = read_log(tmp_path)
    assert log[0].events == ("a", "b", "c")
    assert [time - log[1].timestamps[0] for time in log[0].timestamps] == [2 * 86_400, 3 * 86_400, 12 * 86_400]


def test_files_that_disagree_on_day_and_month_are_refused(write, tmp_path):
    write("a.csv", FIRST + "x,c,13/02/2024\n")
    write("b.csv", "case,event,time\nx,c,02/13/2024\n")
    with pytest.raises(TimestampError) as caught:
        read_log(tmp_path)
    assert "'13/02/2024' in row 3 of 'a.csv' and '02/13/2024' in row 1 of 'b.csv'" in str(caught.value)
    assert '--time-format "%d/%m/%Y"' in str(caught.value)


def test_a_format_of_times_holds_for_all_files(write, tmp_path):
    write("a.csv", FIRST)
    write("b.csv", "case,event,time\nx,c,05/02/2024\n")
    times = read_log(tmp_path, time_format="%d/%m/%Y")[0].timestamps
    assert [after - times[0] for after in times] == [0, 86_400, 2 * 86_400]


def test_an_ambiguous_order_is_noted_once_for_all_files(write, tmp_path, caplog):
    write("a.csv", FIRST)
    write("b.csv", FIRST.replace("x", "y"))
    read_log(tmp_path)
    assert ["read as month/day/year" in record.getMessage() for record in caplog.records] == [True]
