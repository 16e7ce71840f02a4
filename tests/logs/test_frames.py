"""Ids, names, labels and indexes reach the log as they were, whatever holds them."""

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_trace.errors import ColumnError, LogFormatError
from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.log import EventLog
from hf_trace.logs.sources import read_log
from hf_trace.logs.streams import open_stream

LARGE = 2**53
LABELS = datasets.ClassLabel(names=["zero", "one", "fan"])
TEXT = datasets.Value("string")


def in_parts(path):
    return [record for log in open_stream(str(path), ColumnChoice()).parts() for record in log.to_records()]


@pytest.fixture(scope="module")
def labelled_rows():
    rows = {"case": ["x", "x", "y"], "event": [2, 0, 1], "site": [1, 1, -1]}
    return datasets.Dataset.from_dict(rows, datasets.Features({"case": TEXT, "event": LABELS, "site": LABELS}))


@pytest.fixture(scope="module")
def labelled_records():
    rows = {"id": ["x", "y"], "events": [[2, 0], [1]], "label": [1, 0], "site": [2, -1]}
    kinds = {"id": TEXT, "events": datasets.List(LABELS), "label": LABELS, "site": LABELS}
    return datasets.Dataset.from_dict(rows, datasets.Features(kinds))


def test_labels_of_data_sets_are_named(labelled_rows):
    expected = [{"id": "x", "events": ["fan", "zero"]}, {"id": "y", "events": ["one"]}]
    assert read_log(labelled_rows).to_records() == expected
    assert read_log(labelled_rows.to_iterable_dataset()).to_records() == expected
    assert EventLog.from_dataset(labelled_rows).to_records() == expected
    assert read_log(labelled_rows, query="event == 'fan'").to_records() == [{"id": "x", "events": ["fan"]}]
    assert read_log(labelled_rows, case_column="site").ids == ("one",)


def test_labels_in_lists_outcomes_and_contexts_are_named(labelled_records):
    assert read_log(labelled_records, outcome_column="label", context_columns=["site"]).to_records() == [
        {"id": "x", "events": ["fan", "zero", "outcome:label=one"], "context": {"site": "fan"}},
        {"id": "y", "events": ["one", "outcome:label=zero"], "context": {"site": ""}},
    ]


def test_labels_of_parquet_files_of_data_sets_are_named(labelled_rows, labelled_records, tmp_path):
    path = tmp_path / "log.parquet"
    for labelled in (labelled_rows, labelled_records):
        labelled.to_parquet(path)
        expected = [{"id": "x", "events": ["fan", "zero"]}, {"id": "y", "events": ["one"]}]
        assert read_log(path).to_records() == in_parts(path) == expected


def test_labels_of_data_sets_of_the_hub_are_named(labelled_rows, labelled_records, monkeypatch):
    for labelled in (labelled_rows, labelled_records):
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, found=labelled, **__: found.to_iterable_dataset())
        assert in_parts("org/log") == [{"id": "x", "events": ["fan", "zero"]}, {"id": "y", "events": ["one"]}]


@pytest.mark.parametrize("last", [{"case": None, "event": "c"}, {"event": "c"}, {"case": float("nan"), "event": "c"}])
@pytest.mark.parametrize("first", [LARGE, 2**63, 2**70])
def test_a_missing_id_makes_no_floats_of_the_others(last, first):
    rows = [{"case": first, "event": "a"}, {"case": first + 1, "event": "b"}, last]
    expected = [{"id": str(first), "events": ["a"]}, {"id": str(first + 1), "events": ["b"]}]
    assert read_log(rows).to_records() == expected
    assert read_log(iter(rows)).to_records() == expected
    assert read_log(pd.DataFrame(rows, dtype=object)).to_records() == expected


def test_rows_of_a_data_set_without_types():
    rows = [{"case": LARGE + 1, "event": "a"}, {"case": None, "event": "b"}, {"case": "x", "event": "c"}]
    dataset = datasets.IterableDataset.from_generator(lambda: iter(rows))
    assert read_log(dataset).ids == (str(LARGE + 1), "x")
    with pytest.raises(
        LogFormatError, match=r"^Record 2 is 'log\.csv' \(str\), expected a mapping of columns to values"
    ):
        read_log(iter([rows[0], "log.csv"]))


def test_records_keep_ids_and_moments():
    rows = [{"id": LARGE, "events": ["a"]}, {"id": LARGE + 1, "events": ["b"]}, {"id": None, "events": ["c"]}]
    assert read_log(rows).ids == (str(LARGE), str(LARGE + 1), "3")
    moments = [{"case": 1, "event": "a", "time": pd.Timestamp(5, unit="s")}, {"case": 1, "event": "b", "time": None}]
    assert read_log(moments).to_records() == [{"id": "1", "events": ["a"], "timestamps": [5.0]}]


@pytest.mark.parametrize("missing", [None, pd.NA])
def test_queries_compare_ids_exactly(missing, tmp_path):
    frame = pd.DataFrame(
        {"case": [LARGE, LARGE + 1, missing], "event": list("abc"), "n": [1, 2, missing]}, dtype=object
    )
    frame.to_csv(tmp_path / "log.csv", index=False)
    for source in (frame, tmp_path / "log.csv"):
        assert read_log(source, query=f"case == {LARGE + 1}")[0].events == ("b",)
        assert read_log(source, query=f"case > {LARGE} and n > 1").ids == (str(LARGE + 1),)
        others = read_log(source, query=f"case != {LARGE}")
        assert (others.ids, others.dropped_rows) == ((str(LARGE + 1),), 1)


@pytest.mark.parametrize("kind", ["Int64", "UInt64", "category", "int64[pyarrow]", "uint64[pyarrow]"])
def test_exact_types_of_pandas(kind):
    ids = pd.Series([LARGE, LARGE + 1, None], dtype="Int64" if kind == "category" else kind)
    frame = pd.DataFrame({"case": ids.astype(kind), "event": list("abc")})
    assert read_log(frame).ids == (str(LARGE), str(LARGE + 1))


@pytest.mark.parametrize(
    ("kind", "value"), [("float64", LARGE), ("float32", 2**24), ("Float64", LARGE), ("double[pyarrow]", LARGE)]
)
def test_rounded_ids_are_refused(kind, value):
    frame = pd.DataFrame({"case": pd.Series([value, value + 1, 5], dtype="float64").astype(kind), "event": list("abc")})
    with pytest.raises(ColumnError, match=rf"^Column 'case' holds {value}\.0, a number that may be rounded: differ"):
        read_log(frame)
    assert read_log(frame[2:]).ids == ("5.0",)
    measured = read_log(frame, case_column="event", event_column=["event", "case"])
    assert measured[2].events == ("c=5.0",)  # a value within a name is no id


def test_named_indexes_are_columns():
    frame = pd.DataFrame({"case": ["x", "y"], "activity": ["a", "b"], "time": [1, 2]})
    whole = read_log(frame).to_records()
    for names in (["case"], ["time"], ["case", "time"], ["time", "activity", "case"]):
        assert read_log(frame.set_index(names)).to_records() == whole
    assert EventLog.from_frame(frame.set_index("case")).to_records() == whole
    by_name = frame.rename(columns={"case": "who"}).set_index("who")
    assert read_log(by_name, case_column="who").to_records() == whole
    assert read_log(by_name, query="who == 'y'", case_column="who").to_records() == whole[1:]


def test_an_index_takes_no_role_from_a_column():
    frame = pd.DataFrame({"case": ["x", "y"], "alarm": ["a", "b"]}, index=pd.Index(["e1", "e2"], name="event_id"))
    assert read_log(frame)[0].events == ("a",)
    assert read_log(frame, event_column="event_id")[0].events == ("e1",)
    assert read_log(frame.rename_axis("case")).ids == ("x", "y")
    assert read_log(frame.rename_axis(None)).ids == ("x", "y")


def test_a_level_with_a_missing_id():
    index = pd.MultiIndex.from_arrays(
        [pd.array([LARGE, LARGE + 1, None], dtype=object), [1, 2, 3]], names=["case", "n"]
    )
    assert read_log(pd.DataFrame({"event": list("abc")}, index=index)).ids == (str(LARGE), str(LARGE + 1))


@pytest.mark.parametrize("index", [["case"], ["time"], ["case", "time"], pd.RangeIndex(5, 7, name="case")])
def test_indexes_in_parquet_files(index, tmp_path):
    frame = pd.DataFrame({"case": [5, 6], "event": ["a", "b"], "time": [1, 2]})
    expected = read_log(frame).to_records()
    kept = frame.set_index(index) if isinstance(index, list) else frame.drop(columns="case").set_axis(index)
    kept.to_parquet(tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet").to_records() == in_parts(tmp_path / "log.parquet") == expected


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())])
def test_bytes_are_text(kind, tmp_path):
    columns = {"case": [b"x", b"x"], "event": ["é".encode(), b"a"], "time": [b"2", b"1"]}
    pq.write_table(
        pa.table({name: pa.array(each).cast(kind) for name, each in columns.items()}), tmp_path / "a.parquet"
    )
    expected = [{"id": "x", "events": ["a", "é"], "timestamps": [1.0, 2.0]}]
    assert read_log(tmp_path / "a.parquet").to_records() == in_parts(tmp_path / "a.parquet") == expected
    assert read_log(pd.DataFrame(columns)).to_records() == expected


def test_bytes_in_lists(tmp_path):
    pq.write_table(pa.table({"id": ["x"], "events": pa.array([[b"a", b"b"]])}), tmp_path / "a.parquet")
    expected = [{"id": "x", "events": ["a", "b"]}]
    assert read_log(tmp_path / "a.parquet").to_records() == in_parts(tmp_path / "a.parquet") == expected
    assert read_log([{"id": b"x", "events": [b"a", b"b"]}]).to_records() == expected


@pytest.mark.parametrize("kind", ["binary", "string"])
def test_bytes_that_are_no_text(kind, tmp_path):
    broken = pa.array([b"\xff"])
    if kind == "string":  # a file that says it is
        broken = pa.StringArray.from_buffers(1, *broken.buffers()[1:])
    pq.write_table(pa.table({"case": ["x"], "event": ["a"], "image": broken}), tmp_path / "a.parquet")
    assert read_log(tmp_path / "a.parquet").ids == ("x",)
    pq.write_table(pa.table({"case": ["x"], "event": broken}), tmp_path / "a.parquet")
    for read in (read_log, in_parts):
        with pytest.raises(ColumnError, match=r"Column 'event' holds bytes that are not UTF-8 text \(b'\\xff'\)"):
            read(tmp_path / "a.parquet")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_of_arrow(kind, tmp_path):
    columns = {"case": ["x", "x"], "event": ["b", "a"], "time": ["2", "1"]}
    table = pa.table({name: pa.array(each).cast(kind) for name, each in columns.items()})
    pq.write_table(table, tmp_path / "a.parquet")
    expected = [{"id": "x", "events": ["a", "b"], "timestamps": [1.0, 2.0]}]
    assert read_log(tmp_path / "a.parquet").to_records() == in_parts(tmp_path / "a.parquet") == expected
    assert read_log(table.to_pandas(types_mapper=pd.ArrowDtype)).to_records() == expected


def test_damaged_notes_beside_a_table_say_nothing(tmp_path):
    notes = {b"pandas": b"{", b"huggingface": b'{"info": {"features": {"event": []}}}'}
    table = pa.table({"case": ["x"], "event": ["a"]}).replace_schema_metadata(notes)
    pq.write_table(table, tmp_path / "a.parquet")
    assert (
        read_log(tmp_path / "a.parquet").to_records()
        == in_parts(tmp_path / "a.parquet")
        == [{"id": "x", "events": ["a"]}]
    )


def test_uuids_are_written_as_usual(tmp_path):
    import uuid

    ids = [uuid.UUID(int=number) for number in (1, 2)]
    stored = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([each.bytes for each in ids], pa.binary(16)))
    pq.write_table(pa.table({"case": stored, "event": ["a", "b"]}), tmp_path / "a.parquet")
    assert read_log(tmp_path / "a.parquet").ids == tuple(map(str, ids))
    assert np.all(
        [record["id"] == str(each) for record, each in zip(in_parts(tmp_path / "a.parquet"), ids, strict=True)]
    )
