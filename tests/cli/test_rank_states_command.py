"""``hf-trace train --states`` and ``hf-trace rank`` with what it wrote."""

import json
from pathlib import Path

import pytest

# A pump and a valve that take turns; in the fault the filter is blocked first.
_CYCLE = [("pump on", 0), ("valve open", 1), ("pump off", 8), ("valve closed", 9)]


def _rows(case, cycles, fault=()):
    rows = [(case, name, 0) for name in ("pump off", "valve closed")]
    rows += [(case, name, 10 + 20 * turn + after) for turn in range(cycles) for name, after in _CYCLE]
    return [*rows, *((case, name, 10 + 20 * cycles + after) for name, after in fault)]


def _write(path, rows):
    Path(path).write_text("case,event,time\n" + "".join(f"{case},{name},{time}\n" for case, name, time in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    _write(folder / "normal.csv", [row for number in range(6) for row in _rows(f"n{number}", 4 + number)])
    fault = (("filter blocked", 3), ("pump on", 4), ("pressure high", 9))
    _write(folder / "faults.csv", [*_rows("f0", 3, fault), *_rows("f1", 5, fault), *_rows("calm", 3)])
    (folder / "known.csv").write_text("cause,effect\npump,pressure high\n")
    return folder


@pytest.fixture
def run(folder, monkeypatch, hf_trace):
    monkeypatch.chdir(folder)
    if not Path("run").exists():
        code, out, err = hf_trace("train", "normal.csv", "--states", "--out", "run", "--epochs", 0.05)
        assert code == 0, err
        assert "2 variables; one of twenty normal moments" in err
        assert "pump" in out
    return "run"


def test_from_normal_operation_to_causes_in_words(run, hf_trace):
    code, _, err = hf_trace("rank", run, "faults.csv", "--outcome", "pressure high", "--top", 2)
    assert code == 0, err
    assert "1. filter blocked has happened since 6.0 s before the alarm; normal operation does not know it." in err
    code, out, err = hf_trace("rank", run, "faults.csv", "--outcome", "pressure high", "--json", "--out", "causes.csv")
    assert code == 0, err
    found = json.loads(out)
    assert [each["id"] for each in found] == ["f0", "f1"]
    assert {(each["causes"][0]["variable"], each["seen_incidents"]) for each in found} == {("filter blocked", 1)}
    assert Path("causes.csv").read_text().splitlines()[0].startswith("id,outcome,rank,variable,value")


def test_what_is_known_decides(run, hf_trace):
    asked = ("rank", run, "faults.csv", "--outcome", "pressure high", "--id", "f1", "--not-seen", "--json")
    code, out, err = hf_trace(*asked, "--knowledge", "known.csv")
    assert code == 0, err
    first = json.loads(out)["causes"][0]
    assert (first["variable"], first["path"]) == ("pump", ["pump", "pressure high"])


def test_what_does_not_belong_together_is_refused(run, hf_trace, refused):
    asked = ("rank", run, "faults.csv", "--outcome", "pressure high")
    assert "`--by` is for runs of events" in refused(*asked, "--by", "effect")
    assert "No event of the log is called 'pressure'" in refused("rank", run, "faults.csv", "--outcome", "pressure")
    assert "No chosen sequence holds" in refused(*asked, "--id", "calm")
    assert "`--gaps` is not for a model of states" in refused("train", "normal.csv", "--states", "--gaps", "--out", "x")
    assert "says what is a state. Add `--states`" in refused("train", "normal.csv", "--variable", "p*", "--out", "x")
    Path("same.csv").write_text("case,event,time\na,mode=1,0\nb,mode=1,0\nb,mode=1,5\n")
    assert "ever changes" in refused("train", "same.csv", "--states", "--out", "x")
    wide = "".join(f"a,v{n}={value},{n + 1000 * value}\n" for value in (0, 1) for n in range(501))
    Path("wide.csv").write_text("case,event,time\n" + wide)
    assert "501 variables of the log change" in refused("train", "wide.csv", "--states", "--out", "x")
    assert not Path("x").exists()
    Path("run/states.json").rename("kept.json")
    try:
        Path("run/states.json").write_text("{}")
        assert "is damaged" in refused(*asked)
    finally:
        Path("kept.json").rename("run/states.json")


def test_alarms_with_an_end_are_states(run, hf_trace):
    rows = "".join(f"c{case},{name},{10 * t},{10 * t + 4}\n" for case in range(3) for t in range(9) for name in "AB")
    Path("lasting.csv").write_text("case,event,begin,end\n" + rows)
    asked = ("train", "lasting.csv", "--states", "--out", "ends", "--time-column", "begin", "--end-column", "end")
    code, out, err = hf_trace(*asked, "--epochs", 0.05)
    assert code == 0, err
    assert "on 42.9%" in out  # 36 of 84 seconds


def test_a_neighbour_may_be_the_cause(folder, monkeypatch, hf_trace, refused):
    monkeypatch.chdir(folder)
    rows = [row for place in "abcd" for row in _rows(place, 6)]
    _write("places.csv", rows)
    Path("joined.csv").write_text("one,other\na,b\nc,d\n")
    asked = ("train", "places.csv", "--states", "--topology", "joined.csv", "--out", "near", "--epochs", 0.05)
    code, _, err = hf_trace(*asked)
    assert code == 0, err
    _write("spread.csv", [*rows, ("b", "filter blocked", 131), ("a", "pressure high", 137)])
    code, _, err = hf_trace("rank", "near", "spread.csv", "--outcome", "pressure high", "--top", 1)
    assert code == 0, err
    assert "1. filter blocked of a neighbour has happened since 6.0 s before the alarm" in err
    Path("other.csv").write_text("one,other\na,c\n")
    asked = ("rank", "near", "spread.csv", "--outcome", "pressure high", "--topology", "other.csv")
    assert "the run was trained with one of" in refused(*asked)
