import errno
import os

import pytest

from hf_trace.errors import OutputError
from hf_trace.logs.writing import atomic_path


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


def test_link_is_followed(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    with atomic_path(tmp_path / "link.json") as unfinished:
        unfinished.write_text("new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


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
