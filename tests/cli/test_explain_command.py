"""``hf-trace explain``: one command, every choice said, one line for every mistake."""

import json

import pandas as pd
import pytest

SMALL = ["--preset", "nano", "--epochs", "1", "--window-length", "12"]


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    """Forty cases in which `leak` brings `alarm` within a second or two, among noise."""
    monkeypatch.chdir(tmp_path)
    rows = [
        (f"unit {case}", event, 100_000 * case + second)
        for case in range(40)
        for event, second in (
            *((f"noise {(case * number) % 3}", 37 * number) for number in range(1, 5)),
            *(("leak", 300 + 11 * case), ("alarm", 301 + 11 * case + case % 2)),
        )
    ]
    pd.DataFrame(rows, columns=["case", "event", "time"]).to_csv("units.csv", index=False)
    return tmp_path


def test_one_command_from_a_log_to_its_findings(log, hf_trace):
    code, out, err = hf_trace("explain", "units.csv", *SMALL)
    assert code == 0, err
    said = " ".join(out.split())
    assert "--preset nano: as you asked." in said
    assert "--question drives: " in said
    assert "units.csv holds 240 events of 5 types in 40 sequences" in said
    folder = log / "runs" / "units"
    for name in ("report.html", "findings.md", "graph.json"):
        assert f"Wrote runs/units/{name}" in err
        assert (folder / name).is_file()

    code, out, err = hf_trace("explain", "units.csv", *SMALL, "--json")
    assert code == 0, err
    assert "runs/units/graph.json is there already." in err
    found = json.loads(out[out.index("{") :])
    assert found["folder"] == "runs/units"
    assert len(found["summary"]) <= 5

    code, _, err = hf_trace("explain", "units.csv", *SMALL, "--seed", 3)
    assert code == 1
    assert "runs/units was begun with" in err
    assert "`--overwrite`" in err


def test_another_question_is_asked_first(log, hf_trace):
    code, out, err = hf_trace("explain", "units.csv", *SMALL, "--question", "follows", "--out", "new")
    assert code == 0, err
    assert "--question follows: as you asked." in " ".join(out.split())
    assert json.loads((log / "new" / "graph.json").read_text())["metadata"]["settings"]["question"] == "follows"
    assert (log / "new" / "graph-drives.json").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--question", "why"], "question"),
        (["--max-lag", "0"], "max_lag"),
        (["--preset", "huge"], "preset"),
        (["--horizon", "soon"], "horizon"),
        (["--variable", "pump=*"], "pump=*"),
    ],
)
def test_what_is_not_understood_is_one_line(log, hf_trace, options, words):
    code, _, err = hf_trace("explain", "units.csv", "--epochs", "1", *options)
    assert code == 1
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err


def test_measurements_are_left_out_and_said(log, hf_trace):
    events = pd.read_csv("units.csv").assign(value="on")
    readings = pd.DataFrame(
        {
            "case": "unit 1",
            "event": "speed",
            "time": range(100_000, 100_060),
            "value": [f"{tick}.5" for tick in range(60)],
        }
    )
    pd.concat([events, readings]).to_csv("readings.csv", index=False)
    columns = ("--event-column", "event,value")
    code, out, err = hf_trace("explain", "readings.csv", *columns, *SMALL)
    assert code == 0, err
    assert "'value' holds measurements of 1 variable ('speed')" in " ".join(out.split())
    assert "readings.csv holds 240 events of 5 types in 40 sequences" in " ".join(out.split())
    training = json.loads((log / "runs" / "readings" / "run" / "training.json").read_text())
    assert training["reading"]["query"] == "event not in ['speed']"

    code, out, _ = hf_trace("doctor", "readings.csv", *columns, "--no-timing")
    assert code == 0
    assert "hf-trace doctor readings.csv --query" in " ".join(out.split())
