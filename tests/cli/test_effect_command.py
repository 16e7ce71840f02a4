"""``hf-trace effect``: would what followed have come, and figures of answers."""

import json

import pytest

from hf_trace.cli import main


@pytest.fixture
def asked(tmp_path, monkeypatch, capsys):
    """Calls ``hf-trace effect`` in a folder with a log of one sequence."""
    (tmp_path / "log.csv").write_text("case_id,event\n" + "".join(f"x,{event}\n" for event in "CDABCD"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["hf-trace", "effect", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


def test_what_an_event_brought_would_not_have_come(asked, tiny_run):
    question = (tiny_run, "log.csv", "--do", "A", "--would-have-come")
    code, out, err = asked(*question, "--ahead", 2, "--json", "--out", "answers.jsonl")
    found = json.loads(out)
    assert code == 0, err
    assert [(each["position"], each["event"]) for each in found] == [(3, "B"), (4, "C")]
    assert found[0]["least"] > 0.8  # A is always followed by B, and nothing else brings B
    with open("answers.jsonl", encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == found
    code, out, err = asked(*question)
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [["3", "B"], ["4", "C"], ["5", "D"]]
    assert "nothing outside the log" in err


def test_what_would_have_come_is_refused_in_one_line(asked, tiny_run):
    for wrong, reason in ((["--do", "A", "--ahead", 0], "ahead is 0"), ([], "`--do` names nothing")):
        code, _, err = asked(tiny_run, "log.csv", "--would-have-come", *wrong)
        assert code == 1
        assert reason in err
        assert len(err.strip().splitlines()) == 1
