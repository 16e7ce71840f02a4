"""Nothing that a command reads is written over, by whatever name: neither runs nor logs here hold anything."""

import inspect
import os
import shlex
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer

from hf_trace import cli
from hf_trace.cli.outputs import INPUTS, OUTPUTS

COMMANDS = typer.main.get_command(cli.app).commands
RUN_FILES = ("config.json", "tokenizer_config.json", "metrics.json", "dag.json")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("logs", "run", "base", "empty", "world/oracle"):
        Path(folder).mkdir(parents=True)
    for folder in ("run", "base", "world/oracle"):
        for name in RUN_FILES:
            Path(folder, name).write_text("{}")
        Path(folder, "training.json").write_text('{"kind": "table"}')
    Path("world/training.json").write_text('{"kind": "world"}')
    for name in ("log.csv", "log.jsonl", "logs/a.csv", "logs/b.csv", "x.csv", "x.json", "asked.jsonl", "pool"):
        Path(name).write_text("read me")
    for name in ("world/events.parquet", "world/truth.json"):
        Path(name).write_text("read me")
    Path("linked.csv").symlink_to("log.csv")
    os.link("log.csv", "hard.csv")
    Path("to-logs").symlink_to("logs")
    return tmp_path


REFUSED = [  # a command line; the option that is at fault, what it is, what it would harm
    ("discover run log.csv --out log.csv", "--out", "log.csv", "LOG", "log.csv"),
    ("discover run log.csv --out ./logs/../log.csv", "--out", "logs/../log.csv", "LOG", "log.csv"),
    ("discover run linked.csv --out log.csv", "--out", "log.csv", "LOG", "linked.csv"),
    ("discover run log.csv --out hard.csv", "--out", "hard.csv", "LOG", "log.csv"),
    ("discover run hard.csv --out log.csv", "--out", "log.csv", "LOG", "hard.csv"),
    ("discover run logs --out logs/a.csv", "--out", "logs/a.csv", "LOG", "logs"),
    ("discover run logs --out to-logs/a.csv", "--out", "to-logs/a.csv", "LOG", "logs"),
    ("discover run to-logs --out logs/new.csv", "--out", "logs/new.csv", "LOG", "to-logs"),
    ("discover run logs --out logs/new.parquet", "--out", "logs/new.parquet", "LOG", "logs"),
    ("discover run 'logs/*.csv' --out logs/a.csv", "--out", "logs/a.csv", "LOG", "logs/*.csv"),
    ("discover run 'logs/*.csv' --out logs/new.csv", "--out", "logs/new.csv", "LOG", "logs/*.csv"),
    ("discover run 'log?/**' --out logs/a.csv", "--out", "logs/a.csv", "LOG", "log?/**"),
    ("discover run log.csv --stream --out log.csv", "--out", "log.csv", "LOG", "log.csv"),
    ("discover run log.csv --update log.csv", "--update", "log.csv", "LOG", "log.csv"),
    ("discover run log.csv --level population --knowledge x.json --out x.json", "--out", "x.json", "`--knowledge`", ""),
    ("discover run log.csv --truth x.json --out x.json", "--out", "x.json", "`--truth`", "x.json"),
    ("discover run log.csv --context-column c --groups log.csv", "--groups", "log.csv", "LOG", "log.csv"),
    ("discover run log.csv --knowledge pool --update pool", "--update", "pool", "`--knowledge`", "pool"),
    ("discover run .g.json-shards/s.csv --out g.json", "--out", "g.json", "LOG", ".g.json-shards/s.csv"),
    ("rank run log.jsonl --outcome x --out log.jsonl", "--out", "log.jsonl", "LOG", "log.jsonl"),
    ("rank run x.csv --outcome x --reference x.json --out x.json", "--out", "x.json", "`--reference`", "x.json"),
    ("outcomes run log.csv --out log.csv", "--out", "log.csv", "LOG", "log.csv"),
    ("effect run log.jsonl --target x --do 1=y --out log.jsonl", "--out", "log.jsonl", "LOG", "log.jsonl"),
    ("effect run --queries asked.jsonl --out asked.jsonl", "--out", "asked.jsonl", "`--queries`", "asked.jsonl"),
    ("effect run --target x --data log.jsonl --out log.jsonl", "--out", "log.jsonl", "`--data`", "log.jsonl"),
    ("train logs --out logs", "--out", "logs", "LOG", "logs"),
    ("train logs/a.csv --out logs", "--out", "logs", "LOG", "logs/a.csv"),
    ("train log.csv --model base --out base --overwrite", "--out", "base", "`--model`", "base"),
    ("train log.csv --model base/config.json --out base --overwrite", "--out", "base", "`--model`", "base/config.json"),
    ("train log.csv --dag base/dag.json --out base --overwrite", "--out", "base", "`--dag`", "base/dag.json"),
    ("train log.csv --model .r-checkpoints/c --out r", "--out", "r", "`--model`", ".r-checkpoints/c"),
    ("train log.csv --out .", "--out", ".", "LOG", "log.csv"),
    ("simulate world/training.json --out world --overwrite", "--out", "world", "WORLD", "world/training.json"),
]


@pytest.mark.parametrize(("line", "option", "path", "parameter", "source"), REFUSED)
def test_inputs_are_not_replaced(place, refused, line, option, path, parameter, source):
    for hidden in (".g.json-shards/s.csv", ".r-checkpoints/c/config.json"):
        Path(hidden).parent.mkdir(parents=True, exist_ok=True)
        Path(hidden).write_text("read me")
    before = {each: each.stat().st_mtime_ns for each in Path().rglob("*")}
    assert refused(*shlex.split(line)) == (
        f"`{option}` is {path!r}, which is, holds or would join what {parameter} reads ({source or path!r}). "
        "Choose another name."
    ).replace(f"({source})", f"({source!r})")
    assert {each: each.stat().st_mtime_ns for each in Path().rglob("*")} == before


@pytest.mark.parametrize(
    ("line", "option", "path", "folder"),
    [
        ("discover run log.csv --out run/config.json", "--out", "run/config.json", "run"),
        ("discover run log.csv --out run/dag.json", "--out", "run/dag.json", "run"),
        ("discover run log.csv --out base/metrics.json", "--out", "base/metrics.json", "base"),
        ("discover run log.csv --out base/members/1/config.json", "--out", "base/members/1/config.json", "base"),
        ("discover run log.csv --update run/model.safetensors", "--update", "run/model.safetensors", "run"),
        ("effect run --target x --out base/training.json", "--out", "base/training.json", "base"),
        ("discover run log.csv --out world/truth.json", "--out", "world/truth.json", "world"),
        ("discover world/oracle log.csv --out world/events.parquet", "--out", "world/events.parquet", "world"),
    ],
)
def test_models_are_not_written_into(place, refused, line, option, path, folder):
    Path("world/events.parquet").write_text("")
    whole = place / folder
    assert refused(*shlex.split(line)) == (
        f"`{option}` is {path!r}, a file of the model in '{whole}'. Choose another name."
    )


@pytest.mark.parametrize(
    ("line", "first", "second"),
    [
        ("--out new.csv --context-column c --groups ./new.csv", "--out", "--groups"),
        ("--out x.json --update x.json", "--out", "--update"),
        ("--plot p.svg --html h.html --update ./p.svg", "--plot", "--update"),
    ],
)
def test_two_outputs_are_two_files(place, refused, line, first, second):
    message = refused("discover", "run", "log.csv", *shlex.split(line))
    assert message.startswith(f"`{first}` and `{second}` are one file, ")


@pytest.mark.parametrize(
    "line",
    [
        "discover run log.csv --out run/graph.json",  # what `push` publishes by itself
        "discover run logs --out logs/graph.json",  # no log: the same line may be run again
        "discover run 'logs/*.csv' --out logs/deeper.json",
        "discover run 'logs/*.csv' --out new.csv",
        "discover run log.csv --out x.csv",
        "train logs --out logs/run",
        "train log.csv --model base --out base/again",
    ],
)
def test_all_else_is_allowed(place, refused, line):
    assert "Choose another name" not in refused(*shlex.split(line))


def test_what_every_parameter_that_is_a_path_names_is_known():
    paths = {
        name
        for command in COMMANDS.values()
        for name, kind in get_type_hints(inspect.unwrap(command.callback)).items()
        if kind is Path or Path in get_args(kind)
    }
    assert paths - {*INPUTS} - {*OUTPUTS} == set()
    assert {"out", "plot", "queries", "dag"} <= paths
    assert not {*INPUTS} & {*OUTPUTS}
