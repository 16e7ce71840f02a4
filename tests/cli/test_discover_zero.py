"""``hf-trace discover LOG --zero``: a graph of a log without a run."""

import json

import pytest


@pytest.fixture
def log(tmp_path):
    """After each on comes hot, two seconds later; idle comes anywhere."""
    lines = ["case,event,time"]
    for case in range(12):
        for turn in range(5):
            start = 100 * turn
            idle = start + 7 + (13 * case * turn) % 80
            lines += [f"{case},on,{start}", f"{case},hot,{start + 2}", f"{case},idle,{idle}"]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_log_alone_makes_a_graph(hf_trace, log, tmp_path):
    out = tmp_path / "graph.json"
    assert hf_trace("discover", log, "--zero", "--out", out)[0] == 0
    found = json.loads(out.read_text())
    strengths = {(edge["cause"], edge["effect"]): edge["cmi"] for edge in found["edges"]}
    assert max(strengths, key=strengths.get) == ("on", "hot")
    assert found["metadata"]["settings"]["construction"] == "by-type"
    assert found["metadata"]["oracle"]["zero_shot"] == {
        "trained_on": "simulated logs", "context_windows": 12, "parts": 5,
    }  # fmt: skip


def test_one_name_too_many_and_one_too_few(refused):
    assert refused("discover", "run", "x.csv", "--zero") == (
        "`--zero` asks no run, and 'run' and 'x.csv' are named, expected a log alone. Leave out either."
    )
    assert refused("discover", "x.csv") == (
        "'x.csv' is named alone, expected a run and a log. Name both, or add `--zero`."
    )


@pytest.mark.parametrize("asked", [("--construction", "atomic"), ("--question", "follows"), ("--effect", "total")])
def test_other_questions_need_a_run(refused, asked):
    assert "train a run with `hf-trace train`" in refused("discover", "x.csv", "--zero", *asked)
