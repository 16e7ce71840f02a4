"""The order of the protocol, going on after a stop, and the command."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from hf_trace.benchmark.foreign_methods import ForeignMethod
from hf_trace.benchmark.known_causes import known_causes
from hf_trace.benchmark.methods import OWN_METHODS, LogStudy, PairsFound
from hf_trace.benchmark.protocol import BenchmarkRequest, run_benchmark
from hf_trace.errors import OutputError, ProcessError, SettingsError
from hf_trace.graphs.graph import CausalGraph

QUICK = "onset", "frequency"


@contextmanager
def silent(words, total):
    del words
    assert total == 100
    yield lambda done: None


@pytest.fixture
def request_of_two():
    return BenchmarkRequest(known_causes(small=True), small=True).chosen((), QUICK)


def watched(request, seen):
    """The same request, which notes when a log, its causes and a method are asked for."""

    def noted(word, function):
        def called(*given):
            seen.append(word)
            return function(*given)

        return called

    logs = {
        name: replace(known, log=noted("log", known.log), causes=noted("causes", known.causes))
        for name, known in request.logs.items()
    }
    methods = {name: replace(each, ask=noted("method", each.ask)) for name, each in request.methods.items()}
    return replace(request, logs=logs, methods=methods)


def test_causes_are_opened_when_all_scores_are_written(request_of_two, tmp_path):
    seen = []
    board = run_benchmark(watched(request_of_two, seen), tmp_path / "out", doing=silent)
    first = seen.index("causes")
    assert seen[:first].count("method") == 4  # two methods, two logs
    assert "method" not in seen[first:]
    assert (board.logs, board.methods) == (["alarms", "hawkes"], list(QUICK))


def test_what_is_there_is_not_done_again(request_of_two, tmp_path):
    first = run_benchmark(request_of_two, tmp_path / "out", doing=silent)
    seen = []
    again = run_benchmark(watched(request_of_two, seen), tmp_path / "out", doing=silent)
    assert "method" not in seen
    assert again.rows == first.rows
    (tmp_path / "out" / "scores" / "hawkes" / "onset.npz").unlink()
    run_benchmark(watched(request_of_two, seen), tmp_path / "out", doing=silent)
    assert seen.count("method") == 1


def test_another_benchmark_or_something_else_is_left_alone(request_of_two, tmp_path):
    run_benchmark(request_of_two, tmp_path / "out", doing=silent)
    with pytest.raises(OutputError, match=r"holds a benchmark with \{'seed': 0, .*\}, expected \{'seed': 1"):
        run_benchmark(replace(request_of_two, seed=1), tmp_path / "out", doing=silent)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    with pytest.raises(OutputError, match="holds something else"):
        run_benchmark(request_of_two, tmp_path / "thesis", doing=silent)


def test_what_fails_is_told_and_asked_again(request_of_two, tmp_path):
    times = []

    class Fails(ForeignMethod):
        def answer(self, log, limit):
            times.append(limit)
            if len(times) <= len(request_of_two.logs):
                raise ProcessError("fails: no idea")
            return PairsFound(np.zeros((len(log.event_types),) * 2), None, 0.1)

    request = replace(request_of_two, others={"fails": Fails("fails", tmp_path, "fails")})
    board = run_benchmark(request, tmp_path / "out", doing=silent)
    assert [row.failed for row in board.rows if row.method == "fails"] == ["fails: no idea"] * 2
    assert "* fails on alarms: fails: no idea" in (tmp_path / "out" / "README.md").read_text()
    board = run_benchmark(request, tmp_path / "out", doing=silent)
    assert [row.failed for row in board.rows if row.method == "fails"] == ["", ""]


def test_the_data_set_can_be_loaded(request_of_two, tmp_path):
    run_benchmark(request_of_two, tmp_path / "out", doing=silent)
    data = tmp_path / "out" / "data"
    _, header, text = (data / "README.md").read_text().split("---\n", 2)
    configs = yaml.safe_load(header)["configs"]
    tasks = yaml.safe_load((data / "eval.yaml").read_text())
    assert [each["config_name"] for each in configs] == [each["config"] for each in tasks["tasks"]]
    for each in configs:
        [file] = each["data_files"]
        frame = pd.read_parquet(data / file["path"])
        assert list(frame) == ["id", "event", "time"]
        truth = CausalGraph.load(data / each["config_name"] / "truth.json")
        assert set(truth.events) == set(frame["event"])
        assert f"| {each['config_name']} |" in text
        assert {task["split"] for task in tasks["tasks"]} == {file["split"]}


@pytest.mark.parametrize(("logs", "methods"), [(["alarm"], ()), ((), ["onsets"])])
def test_names_are_checked(logs, methods):
    with pytest.raises(SettingsError, match="Did you mean"):
        BenchmarkRequest(known_causes()).chosen(logs, methods)


def test_the_command(hf_trace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\ndef mine(log):\n    return np.eye(len(log.event_types))[::-1]\n"
    )
    words = "benchmark --out out --small --log alarms --only onset --method mine.py:mine --json"
    code, out, err = hf_trace(*words.split())
    assert code == 0, err
    found = json.loads(out)
    assert [row["method"] for row in found["rows"]] == ["onset", "mine", "chance", "every pair"]
    assert [each["method"] for each in found["summary"]] == ["onset", "mine"]
    assert "alarms: mine: " in err
    assert (tmp_path / "out" / "benchmark.png").stat().st_size > 5_000
    code, _, err = hf_trace("benchmark", "--out", "out", "--small", "--data", "absent")
    assert (code, err) == (1, "error: There is no folder 'absent'. Expected one with a folder for each log.\n")


@pytest.mark.slow  # 10 s: two trainings
def test_every_method_of_the_package_answers(tmp_path):
    known = known_causes(small=True)["hawkes"]
    log = known.log()
    study = LogStudy(log, tmp_path / "run", small=True)
    study.train()
    for name, method in OWN_METHODS.items():
        found = method.answer(study)
        assert found.scores.shape == (len(log.event_types),) * 2, name
        assert pd.notna(found.scores).all(), name
        assert found.edges is None or found.edges.dtype == bool, name
