"""What the README shows must run, and say what it says."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_it_is_short_and_its_targets_exist():
    assert len(README.splitlines()) < 150
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"[$`] ?make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\]\((?!https)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_its_python_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    assert names["graph"].number_of_nodes() == 3


def test_its_commands_have_the_options_it_names():
    from typer.main import get_command

    from hf_trace.cli import app

    commands = get_command(app).commands
    for line in re.findall(r"hf-trace (\w+) ([^\n|`]*)", README):
        known = {option for parameter in commands[line[0]].params for option in parameter.opts}
        for option in re.findall(r"(--[a-z-]+)", line[1]):
            assert option in known, option


def test_its_background_knowledge_is_understood():
    from hf_trace.graphs.knowledge import BackgroundKnowledge

    (document,) = blocks("json")
    known = BackgroundKnowledge.from_dict(json.loads(document))
    assert not known.allows("ticket", "alarm")
    assert known.allows("a", "c")
    assert not known.allows("a", "d")


@pytest.mark.slow
def test_the_demo_gives_the_figures_of_its_recipe(tmp_path):
    from hf_trace.cli.demo import run_demo

    expected = json.loads((ROOT / "recipes/demo/expected.json").read_text())["metrics"]
    graph, comparison = run_demo(tmp_path / "demo", seed=0)
    found = comparison.to_dict()
    found["validation_loss"] = graph.metadata["oracle"]["loss"]
    for name in ("validation_loss", "f1", "auroc", "auprc", "base_rate", "predict_all_f1"):
        assert found[name] == pytest.approx(expected[name]["value"], abs=expected[name]["tolerance"]), name
