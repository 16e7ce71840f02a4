"""A function of a file, run by itself: what it gets, what it may say, and how it may fail."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_trace.benchmark import method_worker, peer_methods
from hf_trace.benchmark.foreign_methods import ForeignMethod, methods_by_name, named_function, named_peer
from hf_trace.errors import ProcessError, SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence

METHODS = '''
import numpy as np
import beside

def counted(log):
    """How often a type comes right after another."""
    scores = np.zeros((len(log.event_types),) * 2)
    for start, stop in zip(log.offsets[:-1], log.offsets[1:]):
        np.add.at(scores, (log.codes[start : stop - 1], log.codes[start + 1 : stop]), 1)
    assert log.timestamps[1] == 1.5 and log.ids == ("x", "y") and beside.READ
    return scores, scores >= 2

def alone(log):
    return [[0, float("nan")], [3, -1]]

def narrow(log):
    return np.zeros(2)

def nothing(log):
    return np.full((2, 2), np.nan)

def broken(log):
    raise RuntimeError("no idea\\x1b[31m")

def endless(log):
    while True:
        pass
'''


@pytest.fixture
def log():
    first = EventSequence(("a", "b", "a", "b"), (0.0, 1.5, 2.0, 4.0), "x")
    return EventLog.from_sequences([first, EventSequence(("b",), (9.0,), "y")])


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("READ = True\n")
    (tmp_path / "mine.py").write_text(METHODS)
    return tmp_path / "mine.py"


def test_scores_and_edges(log, file):
    found = named_function(f"{file}:counted").answer(log, 60.0)
    assert found.scores.tolist() == [[0, 2], [1, 0]]  # a b, b a, a b; b stands alone
    assert found.edges.tolist() == [[False, True], [False, False]]
    assert 0 <= found.seconds < 60


def test_a_pair_without_a_score_comes_last(log, file):
    found = named_function(f"{file}:alone").answer(log, 60.0)
    assert found.scores.tolist() == [[0, -1], [3, -1]]
    assert found.edges is None


@pytest.mark.parametrize(
    ("name", "limit", "message"),
    [
        ("narrow", 60.0, r"narrow failed: ValueError: scores have the shape \(2,\), expected \(2, 2\)"),
        ("nothing", 60.0, "nothing failed: ValueError: scores hold no finite number"),
        ("broken", 60.0, r"broken failed: RuntimeError: no idea\\x1b\[31m"),
        ("endless", 1.0, "endless has not ended within 1 s. Allow more: `--limit`."),
    ],
)
def test_what_fails_says_why_in_one_line(log, file, name, limit, message):
    with pytest.raises(ProcessError, match=message):
        named_function(f"{file}:{name}").answer(log, limit)


def test_the_worker_and_the_peers_know_nothing_of_the_package():
    for module in (method_worker, peer_methods):
        code = f"import runpy, sys; runpy.run_path({module.__file__!r}); print('hf_trace' in sys.modules)"
        done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


def test_functions_and_peers_are_checked(file):
    with pytest.raises(SettingsError, match=r"expected FILE.py:FUNCTION, such as mine.py:scores"):
        named_function("mine.py")
    with pytest.raises(SettingsError, match=r"has 'np', 'beside', 'counted' and 5 more, expected 'absent'"):
        named_function(f"{file}:absent")
    other = file.with_name("table.csv")
    other.write_text("a,b\n1,2 3")
    with pytest.raises(SettingsError, match="is no Python"):
        named_function(f"{other}:a")
    with pytest.raises(SettingsError, match=r"is no interpreter\. Expected gcastle="):
        named_peer("gcastle=/absent/python")
    assert named_peer(f"pm4py={sys.executable}").function == "heuristics_miner"
    mine = named_function(f"{file}:counted")
    with pytest.raises(SettingsError, match="Two methods are called 'counted'"):
        methods_by_name([mine, mine], {})
    with pytest.raises(SettingsError, match="Two methods are called 'lift'"):
        methods_by_name([ForeignMethod("lift", Path("x.py"), "lift")], {"lift": None})
    assert list(methods_by_name([mine], {"lift": None})) == ["counted"]


def test_bins_are_a_third_of_the_mean_gap():
    """Twelve events a second apart, and one alone: bins of 1/3 s, of which the second sequence has too few."""
    codes, times = np.zeros(13, dtype=int), np.append(np.arange(12.0), 0.0)
    log = method_worker.Events(("a", "b"), codes, np.array([0, 12, 13]), times, ("x", "y"))
    [series] = peer_methods.binned(log)
    assert series.shape == (34, 2)
    assert series[:, 0].tolist() == [1.0, 0.0, 0.0] * 11 + [1.0]
