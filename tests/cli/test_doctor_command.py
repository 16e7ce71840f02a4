"""``hf-trace doctor``: a report for a person, a document for a program, one line for every mistake."""

import json
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.cli.doctor import examined
from hf_trace.cli.inputs import LogSource
from hf_trace.errors import HfTraceError

SECTIONS = ["columns", "possible_columns", "times", "repeats", "states", "size", "suggestions", "notes", "commands"]


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    """Forty cases: a pump is set and cleared, a heartbeat comes each ten minutes, `leak` brings `alarm` in a second."""
    monkeypatch.chdir(tmp_path)
    rows = [
        (f"unit {case}", event, 100_000 * case + second, "north" if case % 2 else "south")
        for case in range(40)
        for event, second in (
            *(("beat", 600 * number) for number in range(12)),
            *(("pump=on", 50 + 7 * case), ("pump=off", 900 + 3 * case), ("leak", 2000 + 11 * case)),
            ("alarm", 2001 + 11 * case),
        )
    ]
    frame = pd.DataFrame(rows, columns=["id", "event", "time", "site"])
    frame.to_csv("units.csv", index=False)
    frame.rename(columns={"id": "case"}).to_csv("cases.csv", index=False)
    return tmp_path


def test_a_report_is_read_by_a_person(hf_trace):
    code, out, err = hf_trace("doctor", "cases.csv", "--no-timing")
    assert code == 0, err
    text = " ".join(out.split())
    for words in (
        "case: 'case', a usual name.",
        "'site' could be a context",
        "1 periodic type: 'beat' every 10.0 minutes",
        "2 types of 5 are values of 1 variable ('pump')",
        "40 sequences, 640 events, 5 types",
        "--variable '*=*'",
        "hf-trace train cases.csv --out runs/cases",
    ):
        assert words in text
    assert "How long it will take" not in text


def test_an_id_is_suggested_as_the_case(hf_trace):
    _, out, _ = hf_trace("doctor", "units.csv", "--no-timing")
    assert "'id' could be the case: 40 values, each in 16 rows (median). `--case-column id`" in " ".join(out.split())
    again = next(line.strip() for line in out.splitlines() if "hf-trace doctor" in line)
    code, out, _ = hf_trace(*shlex.split(again)[1:], "--no-timing")
    assert (code, "case: 'id', named by you." in out, "hf-trace doctor" in out) == (0, True, False)
    assert "hf-trace train units.csv --case-column id --out runs/units" in out


def test_a_document_is_read_by_a_program(hf_trace):
    code, out, _ = hf_trace("doctor", "cases.csv", "--no-timing", "--json")
    found = json.loads(out)
    assert (code, list(found)) == (0, ["log", *SECTIONS])
    kinds = [each["kind"] for name in SECTIONS[:-2] for each in found[name]]
    assert kinds[:3] == ["ChosenColumn"] * 3
    assert {"Duplicates", "Chatter", "Floods", "Periodic", "LogPower", "TimeFigures", "WrittenTimes"} <= set(kinds)
    assert [each["seconds"] for each in found["repeats"] if each["kind"] == "Periodic"] == [{"beat": 600.0}]


def test_what_it_suggests_can_be_typed(hf_trace, tiny_config):
    _, out, _ = hf_trace("doctor", "cases.csv", "--no-timing", "--json")
    counting, training, asking = (shlex.split(each)[1:] for each in json.loads(out)["commands"])
    assert hf_trace(*counting)[0] == 0
    assert hf_trace(*training, "--model", tiny_config, "--epochs", 2)[0] == 0
    code, _, err = hf_trace(*asking)
    assert code == 0, err
    assert pd.io.common.file_exists("cases.html")


def test_times_are_estimated(hf_trace):
    code, out, err = hf_trace("doctor", "cases.csv", "--json")
    assert code == 0, err
    (found,) = json.loads(out)["time"]
    assert found["kind"] == "TimeEstimate"
    assert 0 < found["training_seconds"] < found["most_training_seconds"]
    assert found["discovery_seconds"] > 0


def test_warnings_of_the_reader_are_in_the_report(hf_trace):
    pd.DataFrame({"event": ["a", "b"] * 20, "time": [1_700_000_000_000 + 1000 * n for n in range(40)]}).to_csv(
        "ms.csv", index=False
    )
    code, out, err = hf_trace("doctor", "ms.csv", "--no-timing")
    assert (code, "--time-unit ms" in out, "--time-unit" in err) == (0, True, False)


@pytest.mark.parametrize("text", ["a b c\nb a c\n", "a\n", "a a a a\n"])
def test_the_smallest_logs_have_a_report(hf_trace, text):
    with open("plain.txt", "w") as file:
        file.write(text)
    code, out, _ = hf_trace("doctor", "plain.txt", "--no-timing")
    assert (code, "Is it enough?" in out, "Too little" in out) == (0, True, True)


def test_what_cannot_be_trained_on_is_said(hf_trace):
    with open("plain.txt", "w") as file:
        file.write("a b\n")
    code, out, _ = hf_trace("doctor", "plain.txt")
    assert (code, "Training or discovery would be refused: " in out) == (0, True)


def test_a_topology_is_read_as_in_training(hf_trace):
    pd.DataFrame({"one": ["unit 0", "unit 1"], "other": ["unit 1", "unit 2"]}).to_csv("joined.csv", index=False)
    code, out, _ = hf_trace("doctor", "cases.csv", "--no-timing", "--topology", "joined.csv")
    assert code == 0
    assert "hf-trace train cases.csv --topology joined.csv --out runs/cases" in out
    assert "5 types" in out  # those of neighbours are the same


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing.csv"], "There is no file 'nothing.csv'"),
        (["cases.csv", "--case-column", "cas"], "`case_column='cas'` is not one of the 4 columns"),
        (["cases.csv", "--hops", "2"], "`--hops` is about a topology"),
        (["cases.csv", "--query", "nothing > 1"], "`query='nothing > 1'`"),
        (["cases.csv", "--time-unit", "days"], "time_unit is 'days'"),
    ],
)
def test_mistakes_are_one_line(refused, options, message):
    assert refused("doctor", *options).startswith(message)


CELLS = st.one_of(
    st.sampled_from(["", "a", "b", "on", "x=1", "x=2", "2024-05-01T07:00:00Z", "7:30", "0", "1e3"]),
    st.integers(-5, 2_000_000_000).map(str),
)
HEADERS = [("id", "event", "time", "site"), ("case", "event", "end", "other"), ("event", "n", "n2", "time")]


@settings(max_examples=60)
@given(st.sampled_from(HEADERS), st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=25))
def test_whatever_is_read_as_a_log_has_a_report(header, rows):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        pd.DataFrame(rows, columns=header).to_csv(path, index=False)
        source = LogSource(str(path), None, None, None, None, "s")
        try:
            table = source.read()
        except HfTraceError:
            return
        document = json.loads(json.dumps(examined(source, table).to_dict()))
    (size,) = document["size"]
    assert (size["events"], size["sequences"]) == (len(table.codes), len(table))
    assert all(isinstance(line, str) for name in SECTIONS[:-2] for each in document[name] for line in each["text"])
