"""What cannot be written is refused before anything is read: neither run nor log exist."""

import shlex
from pathlib import Path

import pytest

TABLES = ".json, .jsonl, .csv"
FILES = [
    ("rank absent absent.csv --outcome x --out", TABLES),
    ("outcomes absent absent.csv --out", TABLES),
    ("effect absent --target x --do y=1 --out", ".jsonl, .json"),
    ("effect absent --queries absent.jsonl --out", ".jsonl, .json"),
    ("effect absent absent.csv --target x --do 1=y --out", ".jsonl, .json"),
    ("discover absent absent.csv --out", ".json, .jsonl, .parquet, .graphml, .dot, .gv, .csv"),
    ("discover absent absent.csv --plot", ".png, .svg, .pdf"),
    ("discover absent absent.csv --html", ".html, .htm"),
    ("discover absent absent.csv --context-column site --groups", ".csv"),
    ("discover absent absent.csv --update", ""),
]
FOLDERS = ["train absent.csv --out", "train absent.csv --dag absent.json --out", "simulate absent.json --out"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("thesis").mkdir()
    for name in ("file", "thesis/chapter.tex"):
        Path(name).write_text("")
    return tmp_path


def untouched(refused, *arguments):
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    line = refused(*arguments)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    return line


@pytest.mark.parametrize(("line", "suffixes"), FILES)
def test_files(place, refused, line, suffixes):
    words = shlex.split(line)
    ending = suffixes.partition(",")[0] or ".zip"
    Path(f"folder{ending}").mkdir()
    expected = {
        f"folder{ending}": "it is a folder. Give the name of a file.",
        f"no/such{ending}": "there is no folder 'no'. Create it first.",
        f"file/x{ending}": "there is no folder 'file'. Create it first.",
    }
    if suffixes:
        expected["name.xyz"] = f"expected a name that ends in {suffixes}."
    for name, message in expected.items():
        assert untouched(refused, *words, name) == f"Cannot write {name!r}: {message}"


@pytest.mark.parametrize("line", FOLDERS)
def test_folders(place, refused, line):
    expected = {
        "thesis": "'thesis' exists and is not a run folder. Choose a new folder for `--out`, or move it away.",
        "file": "'file' exists and is not a run folder. Choose a new folder for `--out`, or move it away.",
        "file/run": "Cannot write 'file/run': 'file' is a file. Choose a folder you can write to.",
        "file/a/b": "Cannot write 'file/a/b': 'file' is a file. Choose a folder you can write to.",
    }
    for name, message in expected.items():
        assert untouched(refused, *shlex.split(line), name) == message


def test_the_folder_of_the_demo(place, refused, monkeypatch):
    monkeypatch.setattr("hf_trace.logs.samples.alarms_log", lambda: pytest.fail("read too early"))
    Path("thesis/run").mkdir()
    Path("thesis/graph.png").mkdir()
    assert untouched(refused, "demo", "--out", "file") == (
        "Cannot write 'file/run': 'file' is a file. Choose a folder you can write to."
    )
    assert untouched(refused, "demo", "--out", "thesis") == (
        "Cannot write 'thesis/graph.png': it is a folder. Give the name of a file."
    )
