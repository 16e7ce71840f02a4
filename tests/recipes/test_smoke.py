"""Every recipe runs in small and writes what it must; every ``expected.json`` has the same form."""

import gc
import json
import re

import pytest
from tests.recipes.conftest import RECIPES, forget

# Folders without a script of their own.
OTHERWISE = {"demo": "the command of the package, see tests/test_readme.py"}
SLOW = {
    "by-type/by_type": "10 s and more: every method on three logs, two of them with trained oracles",
    "combined/combined": "9 s and more: oracles of three worlds and three logs",
    "scale/scale": "6 s and more: starts three processes that import everything",
    "scale/sharing": "20 s: a training, and three processes that import everything",
    "causrca/confidence": "6 s and more: starts hf-trace as a process of its own",
    "effects-scale/effects_scale": "8 s: starts a process that imports everything and trains",
    "treatments/fit_seconds": "4 s: a command that trains",
    "binning/binning": "6 s: boosted trees of three worlds",
    "effects/effects": "6 s: the models of nine methods",
    "root-causes/root_cause_states": "6 s and more: three models of states, each measured at 200 moments",
    "chess-endgame/chess_endgame": "6 s: plays its games",
    "maze/maze": "4 s: the models of six methods",
    "oracle-quality/oracle_quality": "4 s and more: trains, and fits the additive model",
    "speed/speed": "4 s: measures",
    "speed/first_graph": "20 s: a command from a log to its page",
    "speed/quick": "15 s: two trainings, each asked for a graph",
    "speed/draws": "3 s: every way to draw",
    "identification/identification": "10 s: trains eleven models for an epoch each",
    "speed/gpu": "9 s: a training, and everything else once on a CPU",
    "calibration/calibration": "4 s: two trainings",
    "peerread/peerread": "4 s: adapters and heads",
    "outcomes/outcomes": "3 s: trainings",
    "changes/changes": "9 s and more: trains three oracles",
    "treatments/treatments": "11 s: three trainings",
    "zero-shot/zero_shot": "9 s: simulated logs to learn from, and two to be asked about",
    "topology/large_topology": "3 s: a training",
    "drift/drift": "3 s: trainings",
}
NEEDED = {"chess-endgame": "chess"}
FOLDERS = sorted(path.name for path in RECIPES.iterdir() if path.is_dir() and path.name != "__pycache__")
OWN = {folder: folder.replace("-", "_") for folder in FOLDERS if folder not in OTHERWISE}
SCRIPTS = sorted(
    {f"{folder}/{name}" for folder, name in OWN.items()}
    | {str(path.relative_to(RECIPES))[:-3] for path in RECIPES.glob("*/*.py") if "\nRECIPE = " in path.read_text()}
)


def marked(script):
    marks = [pytest.mark.slow] if script in SLOW else []
    return pytest.param(*script.split("/"), id=script, marks=marks)


@pytest.fixture
def quick():
    """Trainings collect garbage again and again: what is imported is none."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(("folder", "name"), [marked(script) for script in SCRIPTS])
def test_it_runs_in_small(folder, name, recipe, quick, tmp_path, monkeypatch):
    pytest.importorskip(NEEDED.get(folder, "json"), reason=f"{NEEDED.get(folder)} is not installed")
    monkeypatch.chdir(tmp_path)
    command = recipe(folder, name).RECIPE
    try:
        command.main(["--smoke", "--out", "out"])
    finally:
        forget([folder])
    out = tmp_path / "out"
    assert json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    assert "|---|" in (out / f"{name}.md").read_text(encoding="utf-8")
    if name == OWN.get(folder):
        found = json.loads((out / "expected.json").read_text(encoding="utf-8"))
        assert wrong(found) == []
        pictures = re.findall(
            r"!\[[^\]]*\]\((\w+)\.png\)", (RECIPES / folder / "README.md").read_text(encoding="utf-8")
        )
        assert (out / f"{name}.png").exists() == (name in pictures)
        measured = json.loads((RECIPES / folder / "expected.json").read_text(encoding="utf-8"))
        assert found["question"] == measured["question"]
        assert found["command"].split(" --")[0] == measured["command"].split(" --")[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_recipe_says_what_was_measured(folder):
    text = (RECIPES / folder / "expected.json").read_text(encoding="utf-8")
    assert wrong(json.loads(text)) == []
    assert f"[{folder}]({folder})" in (RECIPES / "README.md").read_text(encoding="utf-8")


def wrong(document):
    """What is not as it must be."""
    found = []
    keys = ["question", "command", "date", "commit", "hardware", "seconds", "metrics"]
    if [key for key in document if key != "cost"] != keys:
        found.append(f"keys {list(document)}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"]):
        found.append(document["date"])
    for name, metric in document["metrics"].items():
        if list(metric) != ["value", "tolerance"] or not all(isinstance(each, int | float) for each in metric.values()):
            found.append(f"{name}: {metric}")
    return found if document["metrics"] else ["no metrics"]
