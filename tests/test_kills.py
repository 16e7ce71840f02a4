"""Forty kills at moments spread over the work: nothing is lost, nothing is left behind, and the result is the same.

A command runs in a forked process that counts how often it changes the file system, and kills itself before the n-th
change: so every moment is met exactly, and those in which something is half done above all.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from tests.processes import ended, start

pytestmark = pytest.mark.slow  # 6 minutes

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree", "shutil.copyfile")
TRAINING = ("train", "log.csv", "--out", "run", "--no-gaps", "--epochs", "2", "--window-length", "12")
TABLE = ("train", "rows.csv", "--dag", "dag.csv", "--out", "run", "--epochs", "6", "--folds", "2")
LONG = ("discover", "known", "long.jsonl", "--max-lag", "4", "--num-samples", "4", "--batch-size", "2")


def changes_files(event, arguments):
    if event == "open":
        return isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES or (event == "ctypes.dlsym" and arguments[-1] == "renameat2")


def is_elsewhere(path, folder):
    return isinstance(path, (str, os.PathLike)) and os.path.isabs(path) and not str(path).startswith(str(folder))


def in_child(folder, words, kill_at, number):
    """Run a command line in this process and end it."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        if changes_files(event, arguments) and not is_elsewhere(arguments[0], folder):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), number)

    code = 99
    try:
        os.chdir(folder)
        sys.stdout = sys.stderr = open(folder.parent / f"{folder.name}.said", "w", encoding="utf-8")  # noqa: SIM115
        from hf_trace.cli import main

        sys.argv = ["hf-trace", *words]
        sys.addaudithook(hook)
        main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.stdout.flush()
        kill_at = 0
        (folder.parent / f"{folder.name}.count").write_text(str(count))
        os._exit(code)


def run(folder, *words, kill_at=0, number=signal.SIGKILL):
    """How a command line ended: exit code, what it said, and how many changes it made or came to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks
        child = os.fork()
    if child == 0:
        in_child(folder, list(map(str, words)), kill_at, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = (folder.parent / f"{folder.name}.said").read_text(encoding="utf-8")
    count = folder.parent / f"{folder.name}.count"
    return code, said, int(count.read_text()) if count.exists() else 0


def finished(folder, *words):
    code, said, count = run(folder, *words)
    assert code == 0, said
    return count


def killed(folder, words, moment, count):
    """Kill a command at a share of its changes: mostly without a word, at times as a user or a system does."""
    number = {2: signal.SIGINT, 5: signal.SIGTERM}.get(moment % 7, signal.SIGKILL)
    share = (moment % 100) / 100
    code, said, _ = run(folder, *words, kill_at=1 + round(share * (count - 1)), number=number)
    assert code in (-signal.SIGKILL, -signal.SIGTERM, 130, 1, 0), said
    assert code in (0, 1) if number == signal.SIGINT and code >= 0 and code != 130 else code != 0, said
    assert "Traceback" not in said, said


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def bytes_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(folder):
    return {path.relative_to(folder).as_posix(): bytes_of(path) for path in sorted(folder.rglob("*.safetensors"))}


@pytest.fixture(scope="module")
def beginning(tmp_path_factory, timed_log, tiny_run, tiny_config):
    """A folder with a log, a table, a run and what is needed to train; never changed."""
    from tests.conftest import _csv, rule_records

    folder = tmp_path_factory.mktemp("kills") / "beginning"
    folder.mkdir()
    (folder / "log.csv").write_text(_csv(timed_log.to_records()))
    shutil.copytree(tiny_run, folder / "known")
    shutil.copytree(tiny_config, folder / "shape")
    for name, count in (("long", 40), ("few", 20)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rule_records(count, seed=3))))
    rng = np.random.default_rng(0)
    sick = rng.random(200) < 0.4
    drug = rng.random(200) < np.where(sick, 0.8, 0.3)
    pd.DataFrame({"sick": sick, "drug": drug}).astype(str).to_csv(folder / "rows.csv", index=False)
    (folder / "dag.csv").write_text("cause,effect\nsick,drug\n")
    return folder


class Work:
    """One command line, the folder it begins in, and what it gives when nobody disturbs it."""

    def __init__(self, place, beginning, words, prepare=()):
        self.place, self.words, self.start = place, words, place / "start"
        shutil.copytree(beginning, self.start)
        for line in prepare:
            finished(self.start, *line)
        self.done = shutil.copytree(self.start, place / "done")
        finished(self.done, *words)  # what is cached on first use is no change of the work
        shutil.rmtree(self.done)
        self.done = shutil.copytree(self.start, place / "done")
        self.count = finished(self.done, *words)

    def killed_at(self, moment):
        """A folder in which the command was killed."""
        folder = shutil.copytree(self.start, self.place / f"killed-{moment}")
        killed(folder, self.words, moment, self.count)
        return folder

    def gone_on(self, folder, moment):
        """Every other time with ``--resume``, else the same line again."""
        finished(folder, *self.words, *(["--resume"] if moment % 2 else []))
        assert names(folder) == names(self.done)


def work(words, prepare=()):
    @pytest.fixture(scope="module")
    def made(tmp_path_factory, beginning):
        return Work(tmp_path_factory.mktemp("work"), beginning, words, prepare)

    return made


log_training = work((*TRAINING, "--model", "shape", "--overwrite"), [(*TRAINING, "--model", "shape", "--seed", "1")])
table_training = work((*TABLE, "--overwrite"))
long_discovery = work(
    (*LONG, "--out", "graph.json", "--html", "page.html"), [(*LONG, "--seed", "1", "--out", "graph.json")]
)
updating = work(
    (*LONG, "--update", "pool.zip", "--out", "graph.json"),
    [("discover", "known", "few.jsonl", *LONG[3:], "--update", "pool.zip")],
)


def spread(count, last=99):
    """Moments as shares of the work in percent, the very end included: there most is at stake."""
    return sorted({round(last * number / (count - 1)) for number in range(count)})


@pytest.mark.parametrize("moment", [*spread(9), 93, 96, 98])
def test_training_on_a_log(log_training, moment):
    from hf_trace.runs.folders import load_model

    folder = log_training.killed_at(moment)
    either = [weights(log_training.start / "run"), weights(log_training.done / "run")]
    assert weights(folder / "run") in either  # it has its name at every moment
    load_model(folder / "run")
    log_training.gone_on(folder, moment)
    assert weights(folder / "run") == either[1] != either[0]


@pytest.mark.parametrize("moment", [*spread(7), 91, 96])
def test_training_on_a_table(table_training, moment):
    folder = table_training.killed_at(moment)
    assert not (folder / "run").exists() or weights(folder / "run") == weights(table_training.done / "run")
    table_training.gone_on(folder, moment)
    assert weights(folder / "run") == weights(table_training.done / "run")


@pytest.mark.parametrize("moment", spread(9))
def test_a_long_discovery(long_discovery, moment):
    folder = long_discovery.killed_at(moment)
    either = [bytes_of(long_discovery.start / "graph.json"), bytes_of(long_discovery.done / "graph.json")]
    assert bytes_of(folder / "graph.json") in either
    long_discovery.gone_on(folder, moment)
    assert bytes_of(folder / "graph.json") == either[1] != either[0]
    if moment % 2:  # the page names the command line, in which `--resume` does not count
        assert bytes_of(folder / "page.html") == bytes_of(long_discovery.done / "page.html")


@pytest.mark.parametrize("moment", [*spread(6), 93, 97])
def test_adding_to_a_pool(updating, moment):
    from hf_trace.discovery.population.pool_files import load_pool

    folder = updating.killed_at(moment)
    ids = {len(load_pool(place / "pool.zip")[0].ids) for place in (updating.start, updating.done)}
    assert ids == {20, 40}
    assert len(load_pool(folder / "pool.zip")[0].ids) in ids
    updating.gone_on(folder, moment)
    assert bytes_of(folder / "graph.json") == bytes_of(updating.done / "graph.json")
    (found, _), (expected, _) = (load_pool(place / "pool.zip") for place in (folder, updating.done))
    assert found.ids == expected.ids
    for name in ("by_sequence", "lags", "seconds", "ties"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("seconds", [0.05, 0.2])
def test_a_dry_run_of_publishing_changes_nothing(beginning, tmp_path, seconds):
    """It only reads: killed by the clock."""
    folder = shutil.copytree(beginning, tmp_path / "here")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    words = ("push", "known", "org/known", "--dry-run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends it
        in_child(folder, list(words), 0, 0)
    os.waitpid(child, 0)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    finished(folder, *words)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("most", [1_000, 40_000])
def test_training_where_no_more_can_be_written(log_training, tmp_path, most):
    """As on a full disk: no file may grow beyond some bytes."""
    folder = shutil.copytree(log_training.start, tmp_path / "here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        in_child(folder, list(log_training.words), 0, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    said = (tmp_path / "here.said").read_text(encoding="utf-8")
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("error: Cannot write ")
    assert weights(folder / "run") == weights(log_training.start / "run")
    assert names(folder) == names(log_training.start)
    finished(folder, *log_training.words)
    assert weights(folder / "run") == weights(log_training.done / "run")


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.0, 1.5, 2.5])
def test_ctrl_c_while_the_program_is_loaded(tmp_path, monkeypatch, seconds):
    """The interpreter itself takes its first moments; from the package's first line on it is one line."""
    monkeypatch.chdir(tmp_path)
    process = start("train", "absent.csv", "--out", "run")
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert "Traceback" not in err, err
    assert code in (130, 1)
    assert names(tmp_path) == []
