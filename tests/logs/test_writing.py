import errno
import os
import signal
import subprocess
import sys

import pytest

from hf_trace.errors import OutputError
from hf_trace.logs.writing import atomic_path, reserved


def test_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "graph.json"
    with atomic_path(target) as unfinished:
        unfinished.write_text("{}")
        assert unfinished.parent == tmp_path
        assert unfinished.suffix == ".json"
        assert not target.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["graph.json"]
    assert target.read_text() == "{}"


def test_failure_keeps_the_earlier_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "graph.json"
    target.write_text("earlier")
    with pytest.raises(RuntimeError, match="stopped"), atomic_path(target) as unfinished:  # noqa: PT012
        unfinished.write_text("half")
        raise RuntimeError("stopped")
    assert [p.name for p in tmp_path.iterdir()] == ["graph.json"]
    assert target.read_text() == "earlier"


@pytest.mark.parametrize("target", ["real.json", "absent.json"])
def test_link_is_not_followed(tmp_path, target):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(target)
    with pytest.raises(OutputError) as caught:
        enter(tmp_path / "link.json")
    assert str(caught.value) == (f"Cannot write '{tmp_path}/link.json': it is a link to '{target}'. Name that itself.")
    assert (tmp_path / "real.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_name_that_is_no_text(tmp_path):
    with pytest.raises(OutputError, match="the name is not UTF-8"):
        enter(tmp_path / "g\udcff.json")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    target = tmp_path / "graph.json"
    code = (
        "import os, signal; from hf_trace.logs.writing import atomic_path\n"
        f"with atomic_path({str(target)!r}) as path:\n"
        "    path.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    assert not target.exists()
    enter(tmp_path / "other.json")
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_path(target) as first, atomic_path(target) as second:
        assert len(list(tmp_path.iterdir())) == 3  # the other file and both that are at work
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.json", "other.json"]


def test_one_process_at_a_time(tmp_path):
    told = f"Another process is writing '{tmp_path / 'a'}'. Wait until it has ended, or choose another name."
    with reserved(tmp_path / "a"), reserved(tmp_path / "b"):
        with pytest.raises(OutputError) as caught, reserved(tmp_path / "a"):
            pass
        assert str(caught.value) == told
    with reserved(tmp_path / "a"):
        pass
    (tmp_path / ".a.lock").touch()  # as a killed process leaves it
    with reserved(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def enter(path):
    with atomic_path(path) as unfinished:
        unfinished.write_text("x")


def test_missing_folder(tmp_path):
    folder = tmp_path / "none"
    with pytest.raises(OutputError) as caught:
        enter(folder / "g.json")
    assert str(caught.value) == (
        f"Cannot write '{folder}/g.json': there is no folder '{folder}'. Create it, or choose another place."
    )


def test_folder_as_target(tmp_path):
    with pytest.raises(OutputError) as caught:
        enter(tmp_path)
    assert str(caught.value) == f"Cannot write '{tmp_path}': it is a folder. Give the name of a file."


def test_device_as_target():
    with pytest.raises(OutputError) as caught:
        enter("/dev/null")
    assert str(caught.value) == "Cannot write '/dev/null': it is not a regular file. Give the name of a file."


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space left on device. Free some space or choose another folder."),
        (errno.EACCES, "permission denied. Choose a folder you may write to."),
        (errno.EIO, "input/output error. Choose another place."),
    ],
)
def test_operating_system_errors_are_one_line(tmp_path, number, message):
    with pytest.raises(OutputError) as caught, atomic_path(tmp_path / "g.json"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"Cannot write '{tmp_path}/g.json': {message}"
    assert list(tmp_path.iterdir()) == []


def test_name_too_long(tmp_path):
    path = tmp_path / ("x" * 300 + ".json")
    with pytest.raises(OutputError) as caught:
        enter(path)
    assert str(caught.value) == f"Cannot write '{path}': file name too long. Choose a shorter name."


def test_relative_name_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    enter("g.json")
    assert (tmp_path / "g.json").read_text() == "x"
