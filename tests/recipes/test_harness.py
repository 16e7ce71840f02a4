"""What recipes share: examples, the command line, and the way from what was measured to files."""

import doctest
import importlib
import json

import harness
import pytest
from tests.recipes.conftest import RECIPES

SHARED = [path.stem for path in RECIPES.glob("*.py") if ">>>" in path.read_text(encoding="utf-8")]
OWN = [path for path in RECIPES.glob("*/*.py") if ">>>" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", SHARED)
def test_examples_of_shared_modules(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_examples_of_recipes(path, recipe):
    assert doctest.testmod(recipe(path.parent.name, path.stem)).failed == 0


def halves(options):
    """Measure what was asked for."""
    if options.count == 0:
        raise harness.NotMeasured("Nothing is to be measured. Pass a larger --count.")
    rows = [{"name": "half", "share": 1 / 2}] * options.count
    found = harness.metrics(rows, lambda row: row["name"], {"share": ("share", 0.1)})
    return harness.Report({"rows": rows, "data": options.data}, harness.table(("name",), [["half"]]), found)


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = {"count": harness.Size(100, 2, "how many")}
    return harness.Recipe(
        str(tmp_path / "half-life" / "half_life.py"), "Halves.", "How much?", halves, sizes,
        data="numbers", tiny_data=lambda folder: folder.mkdir(), peers=("abacus",), seed=3,
    )  # fmt: skip


def test_in_small_with_made_up_data(command, tmp_path, capsys):
    command.main(["--smoke"])
    out = tmp_path / "runs" / "half-life"
    assert sorted(path.name for path in out.iterdir()) == ["data", "expected.json", "half_life.json", "half_life.md"]
    assert len(json.loads((out / "half_life.json").read_text())["rows"]) == 2
    found = json.loads((out / "expected.json").read_text())
    assert found["metrics"] == {"half: share": {"value": 0.5, "tolerance": 0.1}}
    assert found["command"] == (
        "python recipes/half-life/half_life.py --out runs/half-life --data PATH --abacus-python ENV/bin/python"
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "abacus is left out: --abacus-python names an interpreter that has it.", "| name |", "|---|", "| half |"
    ]  # fmt: skip


def test_an_option_is_stronger_than_the_size(command, tmp_path):
    command.main(["--smoke", "--count", "5", "--out", "elsewhere"])
    assert len(json.loads((tmp_path / "elsewhere" / "half_life.json").read_text())["rows"]) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name the data with --data (numbers), or pass --smoke."),
        (["--smoke", "--count", "0"], "Nothing is to be measured. Pass a larger --count"),
    ],
)
def test_refused_in_one_line(command, capsys, arguments, message):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: {message}")
