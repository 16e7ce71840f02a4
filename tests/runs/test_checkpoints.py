"""The small models of ``checkpoints/``: they load through both pipelines, and are what their cards say."""

import json
import re
from pathlib import Path

import pytest
from transformers import pipeline

import hf_trace  # noqa: F401
from hf_trace.logs.samples import alarms_log
from hf_trace.publishing.publication import run_publication

FOLDER = Path(__file__).parents[2] / "checkpoints"
NAMES = ("alarms", "pump")
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def effect():
    return pipeline("causal-effect", model=str(FOLDER / "pump"))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_small_and_complete(name):
    files = list((FOLDER / name).iterdir())
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    publication = run_publication(FOLDER / name, f"org/{name}")
    assert set(publication.left_out) <= {"effects.json"}
    assert {"training.json", "metrics.json", "model.safetensors"} <= set(publication.files)


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_what_was_measured(name):
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    found = json.loads((FOLDER / name / "metrics.json").read_text(encoding="utf-8"))
    assert f"{found['validation']['loss']:.4f}" in card
    assert f"{found['parameters']:,} parameters" in card
    assert f'model="checkpoints/{name}"' in card
    assert "license: " in card
    for text in re.findall(r"(recipes/[\w/.-]+)`", card):
        assert (FOLDER.parent / text).exists(), text


@pytest.mark.parametrize("name", NAMES)
def test_the_code_of_the_cards_runs(name):
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict = {}
    exec(code.replace("checkpoints/", f"{FOLDER}/"), names)
    assert names["out"]


def test_the_alarms_find_edges_in_a_device():
    discover = pipeline("causal-discovery", model=str(FOLDER / "alarms"))
    log = alarms_log()
    assert discover.events.event_types == log.event_types
    assert discover.event_model.quality["beats_bigram"]
    window = log.select_spans(log.offsets[3:4], log.offsets[3:4] + 40, ["device"])[0]
    assert discover(window, max_lag=4, num_samples=4, seed=0)["edges"]


@pytest.mark.parametrize("speed", ["off", "slow", "fast"])
def test_the_pump_answers_as_its_card_says(effect, speed):
    told = json.loads((FOLDER / "pump" / "effects.json").read_text(encoding="utf-8"))[speed]
    answer = effect({"target": "overflow", "do": {"pump": speed}}, num_samples=20_000, seed=0)
    assert answer["distribution"]["yes"] == pytest.approx(told["model"], abs=2e-3)
    assert told["model"] == pytest.approx(told["simulated"], abs=0.02)
