"""Folders that appear whole or not at all, replace only their own kind, and are written by one process at a time."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from hf_trace.errors import OutputError
from hf_trace.runs import new_folders
from hf_trace.runs.new_folders import RUN, WORLD, check_replaceable, new_folder, recover

ALWAYS = {"config.json": "{}", "tokenizer_config.json": "{}", "metrics.json": "{}", "training.json": '{"kind": "log"}'}


def make(folder, content="old", **files):
    """A run folder, as far as its names go."""
    for name, text in {**ALWAYS, "model.safetensors": content, **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def write(out, content="new", **options):
    with new_folder(out, **options) as folder:
        make(folder, content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(call, *arguments, **options):
    with pytest.raises(OutputError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_it_appears_when_complete(tmp_path):
    with new_folder(tmp_path / "deep" / "run") as folder:
        (folder / "training.json").write_text("{}")
        assert not (tmp_path / "deep" / "run").exists()
    assert names(tmp_path / "deep") == ["run"]
    assert (tmp_path / "deep" / "run").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OutputError])
def test_it_leaves_nothing_after_a_failure(tmp_path, error):
    def fail(out):
        with new_folder(out) as folder:
            (folder / "half").write_text("")
            raise error

    with pytest.raises(error):
        fail(tmp_path / "run")
    assert names(tmp_path) == []
    make(tmp_path / "run")
    with pytest.raises(error):
        fail(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_text() == "old"
    assert names(tmp_path) == ["run"]


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_full_disk_is_one_line_whoever_says_it(tmp_path, error):
    def fill():
        with new_folder(tmp_path / "run") as folder:
            (folder / "half").write_text("")
            raise error

    message = refused(fill)
    assert message.startswith(f"Cannot write '{tmp_path / 'run'}': ")
    assert message.endswith(". Free some space or choose another folder.")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), FileNotFoundError(2, "No such file", "log.csv")])
def test_what_is_not_about_writing_is_not_said_to_be(tmp_path, error):
    def fail():
        with new_folder(tmp_path / "run"):
            raise error

    with pytest.raises(type(error), match=str(error.args[-1])):
        fail()
    assert names(tmp_path) == []


def test_where_writing_is_forbidden(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", forbidden)
    assert refused(write, tmp_path / "run") == (
        f"Cannot write '{tmp_path / 'run'}': Permission denied. Choose a folder you can write to."
    )


def test_empty_folders_and_runs_are_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    make(tmp_path / "run", members__1__config="{}")
    shutil.rmtree(tmp_path / "run" / "members")
    make(tmp_path / "run" / "members" / "1")
    for name in ("empty", "run"):
        write(tmp_path / name)
        assert (tmp_path / name / "model.safetensors").read_text() == "new"
        assert not (tmp_path / name / "members").exists()
    assert names(tmp_path) == ["empty", "run"]


def test_a_run_is_kept_unless_it_may_be_replaced(tmp_path):
    run = make(tmp_path / "run")
    assert refused(write, run, overwrite=False) == (
        f"'{run}' holds a run already. Choose a new folder for `--out`, or replace it with `--overwrite`."
    )
    assert (run / "model.safetensors").read_text() == "old"
    write(run, overwrite=True)
    assert (run / "model.safetensors").read_text() == "new"


@pytest.mark.parametrize(
    "files",
    [
        {"chapter.tex": "years of work"},
        {"training.json": '{"kind": "log"}', "chapter.tex": "years of work"},
        {"training.json": '{"kind": "log"}'},
        {**ALWAYS, "training.json": '{"when": "tuesdays"}', "metrics.json": None},
        {**ALWAYS, "training.json": '{"kind": "strength"}'},
        {**ALWAYS, "training.json": "[1, 2]"},
        {**ALWAYS, "training.json": "no json"},
        {**ALWAYS, "training.json": '{"kind": "world"}'},
    ],
)
def test_a_folder_is_a_run_only_by_all_that_it_holds(tmp_path, files):
    (tmp_path / "thesis").mkdir()
    for name, text in files.items():
        if text is not None:
            (tmp_path / "thesis" / name).write_text(text)
    before = names(tmp_path / "thesis")
    assert refused(write, tmp_path / "thesis") == (
        f"'{tmp_path / 'thesis'}' exists and is not a run folder. Choose a new folder for `--out`, or move it away."
    )
    assert names(tmp_path / "thesis") == before


@pytest.mark.parametrize(
    "strange",
    [
        *("notes.md", "graph.json", "members/1/notes.md", "members/best/config.json", "adapter/thesis.tex"),
        *(".git/HEAD", "tokenizer notes.txt", "model/model.safetensors", "checkpoint-3/config.json"),
    ],
)
def test_what_lies_beside_a_run_is_named_and_kept(tmp_path, strange):
    run = make(tmp_path / "run")
    (run / strange).parent.mkdir(parents=True, exist_ok=True)
    (run / strange).write_text("mine")
    message = refused(write, run)
    assert message.startswith(f"'{run}' holds more than a run, and replacing it would delete '{strange.split('/')[0]}")
    assert (run / strange).read_text() == "mine"


def test_a_link_within_a_run_is_no_part_of_it(tmp_path):
    run = make(tmp_path / "run")
    (run / "model.safetensors").rename(tmp_path / "weights")
    (run / "model.safetensors").symlink_to(tmp_path / "weights")
    assert "would delete 'model.safetensors'." in refused(write, run)


def test_what_was_put_there_meanwhile_is_kept(tmp_path):
    run = make(tmp_path / "run")

    def slow():
        with new_folder(run) as folder:
            make(folder, "new")
            (run / "notes.md").write_text("mine")

    assert "would delete 'notes.md'" in refused(slow)
    assert ((run / "notes.md").read_text(), (run / "model.safetensors").read_text()) == ("mine", "old")
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("place", ["", "absent"])
def test_links_are_not_followed(tmp_path, place):
    make(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / (place or "run"))
    assert refused(write, tmp_path / "link") == (
        f"Cannot write '{tmp_path / 'link'}': it is a link to '{tmp_path / (place or 'run')}'. Name that itself."
    )
    assert (tmp_path / "run" / "model.safetensors").read_text() == "old"
    assert (tmp_path / "link").is_symlink()


def test_a_world_is_replaced_by_a_world_alone(tmp_path):
    world = tmp_path / "world"
    for name, text in {
        "events.parquet": "", "truth.json": "", "training.json": '{"kind": "world"}', "oracle/config.json": ""
    }.items():  # fmt: skip
        (world / name).parent.mkdir(parents=True, exist_ok=True)
        (world / name).write_text(text)
    assert "exists and is not a run folder" in refused(check_replaceable, world, RUN)
    check_replaceable(world, WORLD)
    assert "holds a simulated world already" in refused(check_replaceable, world, WORLD, overwrite=False)
    (world / "oracle" / "mine.txt").write_text("")
    assert "would delete 'oracle/mine.txt'" in refused(check_replaceable, world, WORLD)
    assert "exists and is not a run folder" in refused(check_replaceable, make(tmp_path / "run"), WORLD)


def test_two_processes_do_not_write_one_folder(tmp_path):
    out = tmp_path / "run"
    told = f"Another process is writing '{out}'. Wait until it has ended, or choose another name."
    with new_folder(out) as folder:
        make(folder)
        assert refused(write, out) == told
        assert refused(recover, out) == told
        code = f"from hf_trace.runs.new_folders import recover; recover({str(out)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert told in other.stderr
    assert names(tmp_path) == ["run"]
    assert sorted(names(out)) == sorted([*ALWAYS, "model.safetensors"])


class Killed(BaseException):
    """Stands for a kill: nothing that would clean up is called after it."""


MOMENTS = ["exchanged", "without an exchange", "moved aside", "put"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("is_there", [True, False])
def test_at_every_moment_of_a_kill_the_name_stands_for_a_whole_run_or_is_put_back(
    tmp_path, monkeypatch, moment, is_there
):
    out, left = tmp_path / "run", []
    if is_there:
        make(out)
    rename, swap, clean = Path.rename, new_folders._exchanged, new_folders.tidy

    def killed_when(step):
        if step == moment:
            left.append(True)
            raise Killed

    def exchanged(one, other):
        done = moment == "exchanged" and swap(one, other)
        killed_when("exchanged")
        killed_when("without an exchange")
        return done

    def renamed(path, target):
        found = rename(path, target)
        killed_when("moved aside" if path == out else "put")
        return found

    monkeypatch.setattr(new_folders, "_exchanged", exchanged)
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(new_folders, "tidy", lambda target: None if left else clean(target))
    if is_there or moment == "put":
        with pytest.raises(Killed):
            write(out)
    else:
        write(out)
    monkeypatch.undo()

    if moment == "exchanged":  # the one step where there is one: nobody ever misses the folder
        assert (out / "model.safetensors").read_text() == "new"
    recover(out)
    assert (out / "model.safetensors").read_text() == (
        "old" if is_there and moment in ("without an exchange", "moved aside") else "new"
    )
    assert names(tmp_path) == ["run"]


def test_a_failed_exchange_is_done_in_two_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(new_folders, "_exchanged", lambda one, other: False)
    make(tmp_path / "run")
    write(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_text() == "new"
    assert names(tmp_path) == ["run"]


def test_the_working_folder_and_names_that_are_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", "../" + tmp_path.name):
        assert refused(write, name) == (
            f"Cannot write '{name}': it is the working folder. Choose a new folder for `--out`."
        )
    assert refused(write, "run\udcff") == ("Cannot write 'run\\udcff': the name is not UTF-8. Choose another name.")
    assert names(tmp_path) == []
