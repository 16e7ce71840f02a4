"""A topology on the command line: said once in training, known to every command after it, and refused in a line."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from tests.ring_world import RING, ring_rows

COLUMNS = ("--case-column", "case", "--event-column", "event", "--time-column", "time")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_settings):
    """A log with labels, its topology, another one, and a run that was trained with the first."""
    from hf_trace import read_log, train

    folder = tmp_path_factory.mktemp("places")
    frame = pd.DataFrame(ring_rows(160), columns=["case", "event", "time"])
    frame["state"] = ["wet" if case < "place03" else "dry" for case in frame["case"]]
    frame.to_csv(folder / "log.csv", index=False)
    pd.DataFrame(RING, columns=["device", "neighbour"]).to_csv(folder / "ring.csv", index=False)
    pd.DataFrame(RING[:2]).to_csv(folder / "other.csv", index=False, header=False)
    log = read_log(folder / "log.csv", time_column="time", outcome_column="state", topology=folder / "ring.csv")
    train(log, folder / "run", replace(tiny_settings, epochs=1.0, outcome_column="state"))
    return folder


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_discover_knows_the_topology_of_the_run(hf_trace, tmp_path):
    out = tmp_path / "graph.json"
    arguments = ("discover", "run", "log.csv", "--construction", "by-type", "--max-lag", "3", "--threshold", "fixed:0")
    code, printed, err = hf_trace(*arguments, *COLUMNS, "--out", out)
    assert code == 0, err
    # The own events are those of the log, near ones those of two neighbours.
    assert "Topology: 6 joined pairs of 6 places; " in err
    edges = json.loads(out.read_text())["edges"]
    assert {edge["place"] for edge in edges} <= {"within", "between", "both"}
    assert "where" in printed
    # The same topology may be said again.
    assert hf_trace(*arguments, *COLUMNS, "--topology", "ring.csv", "--out", tmp_path / "again.json")[0] == 0
    assert json.loads((tmp_path / "again.json").read_text())["edges"] == edges


@pytest.mark.parametrize(
    "arguments",
    [
        ("rank", "run", "log.csv", "--outcome", "flood", "--id", "place00", "--num-samples", "50"),
        ("effect", "run", "log.csv", "--id", "place00", "--do", "2=leak", "--target", "flood", "--num-samples", "50"),
        ("outcomes", "run", "log.csv"),
        ("count", "log.csv", "--topology", "ring.csv", "--hops", "2"),
        ("count", "log.csv", "--topology", "ring.csv", "--topology-directed"),
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_every_question_is_answered(hf_trace, arguments):
    code, out, err = hf_trace(*arguments, *COLUMNS)
    assert code == 0, err
    assert "<near:" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("discover", "run", "log.csv", "--topology", "other.csv"),
            "The log was read with a topology of 2 joined pairs of 3 places, and the run was trained with one of 6",
        ),
        (("discover", "run", "log.csv", "--stream"), "With a topology the sequence of a place holds what happened at"),
        (
            ("train", "log.csv", "--out", "new", "--topology", "ring.csv", "--stream"),
            "`--topology` is for logs that are",
        ),
        (("train", "log.csv", "--out", "new", "--hops", "2"), "`--hops` is about a topology, and none is given."),
        (("train", "log.csv", "--out", "new", "--topology-directed"), "`--topology-directed` is about a topology, and"),
        (("train", "log.csv", "--out", "new", "--topology", "absent.csv"), "Cannot read the topology 'absent.csv': no"),
        (("train", "log.csv", "--out", "new", "--topology", "ring.csv", "--hops", "0"), "hops is 0"),
        (
            ("count", "log.csv", "--topology-directed"),
            "`--topology-directed` is about a topology. Add `--topology FILE`.",
        ),
    ],
)
def test_mistakes_are_refused_in_a_line(refused, arguments, message):
    assert refused(*arguments, *COLUMNS).startswith(message)


def test_a_run_without_a_topology_refuses_one(refused, timed_run):
    line = refused("discover", timed_run, "log.csv", "--topology", "ring.csv", *COLUMNS)
    assert line.startswith("The log was read with a topology (6 joined pairs of 6 places), and the run was trained")
