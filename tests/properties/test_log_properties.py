"""What holds for every event log."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.logs.windows import cut_windows

TEXT = st.characters(exclude_categories=("Cs",))
NAMES = st.lists(st.text(TEXT, min_size=1), min_size=1, max_size=20)
CSV_NAMES = st.lists(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1), min_size=1, max_size=20
)
# Later times are refused.
TIMES = st.floats(-(2.0**60), 2.0**60, width=32)
STAMPED = st.lists(st.lists(st.tuples(st.sampled_from("abc"), TIMES), max_size=12), min_size=1, max_size=6)


def written_and_read(name, write):
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return read_log(path)[0].events


def write_csv(path, names):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["event", "n"], *([name, "1"] for name in names)])


@given(CSV_NAMES)
def test_names_survive_csv(names):
    assert written_and_read("log.csv", lambda path: write_csv(path, names)) == tuple(names)


@given(NAMES, st.booleans())
def test_names_survive_json_lines(names, escaped):
    text = json.dumps({"events": names}, ensure_ascii=escaped).replace("\0", "\\u0000")
    assert written_and_read("log.jsonl", lambda path: path.write_text(text, encoding="utf-8")) == tuple(names)


@given(NAMES)
def test_names_survive_parquet(names):
    table = pd.DataFrame({"event": names})
    assert written_and_read("log.parquet", table.to_parquet) == tuple(names)


@given(NAMES)
def test_codes_are_ranks(names):
    log = EventLog.from_sequences([EventSequence(tuple(names))])
    assert log.event_types == tuple(sorted(set(names)))
    assert log[0].events == tuple(names)


@given(STAMPED)
def test_sorting_is_stable(sequences):
    log = EventLog.from_sequences(EventSequence(tuple(e for e, _ in s), tuple(t for _, t in s)) for s in sequences)
    for found, given_events in zip(log, sequences, strict=True):
        expected = sorted(given_events, key=lambda pair: pair[1])
        assert list(zip(found.events, found.timestamps, strict=True)) == expected


@given(STAMPED, st.data())
def test_order_of_rows_of_different_cases_does_not_matter(sequences, data):
    rows = [(str(i), e, t) for i, sequence in enumerate(sequences) for e, t in sequence]
    rows = rows or [("0", "a", 0.0)]
    frame = pd.DataFrame(rows, columns=["case", "event", "time"])
    shuffled = data.draw(st.permutations(sorted(set(frame["case"]))))
    mixed = pd.concat([frame[frame["case"] == case] for case in shuffled])
    first = {record["id"]: record for record in EventLog.from_frame(frame).to_records()}
    assert {record["id"]: record for record in EventLog.from_frame(mixed).to_records()} == first


@settings(max_examples=200)
@given(STAMPED, st.none() | st.integers(1, 5), st.none() | st.floats(0, 100))
def test_windows_partition_the_events(sequences, length, gap):
    log = EventLog.from_sequences(
        EventSequence(tuple(e for e, _ in s), tuple(t for _, t in s), str(i)) for i, s in enumerate(sequences)
    )
    if not len(log.codes):
        return
    windows = cut_windows(log, length=length, gap=gap, min_length=1)
    assert windows.codes.tolist() == log.codes.tolist()
    assert windows.timestamps.tolist() == log.timestamps.tolist()
    assert [name.split("#")[0] for name in windows.ids] == sorted(name.split("#")[0] for name in windows.ids)
    assert len(set(windows.ids)) == len(windows)
    assert length is None or windows.sequence_lengths.max() <= length
    if gap is not None:
        assert all(np.diff(window.timestamps).max(initial=0) <= gap for window in windows)
