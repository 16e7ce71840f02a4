# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Trains the two small models of ``checkpoints/``: one of the packaged telecom alarms, one of a pumping station.

python recipes/checkpoints/checkpoints.py --out checkpoints    # one core: a few minutes
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Metrics, Recipe, Report, Size, table
from pump_station import rows, schema
from transformers import pipeline

import hf_trace  # noqa: F401
from hf_trace.logs.samples import alarms_log
from hf_trace.publishing.model_card import model_card
from hf_trace.tables.encoding import encode_table
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.training.table_training import DagTrainingSettings, train_dag

ROWS = 20_000
DATA = {
    "alarms": "34,838 alarms of 18 types on 55 devices of a wireless network (PCIC 2021, gcastle-hub/dataset, MIT), "
    "packaged with `hf_trace`; windows of 64 alarms, the time between alarms written as tokens. Made by `python "
    "recipes/checkpoints/checkpoints.py`.",
    "pump": f"{ROWS:,} rows of a simulated pumping station (`recipes/checkpoints/pump_station.py`): weather, "
    "maintenance, inflow, pump, alarms, overflow. Made by `python recipes/checkpoints/checkpoints.py`; `effects.json` "
    "compares the answers of the model with rows simulated with the pump set.",
}
LICENSES = {"alarms": "mit", "pump": "apache-2.0"}


def make_alarms(folder: Path, options: argparse.Namespace) -> None:
    """A model of the alarms."""
    small = {"epochs": 0.05} if options.smoke else {}
    train(alarms_log(), folder, TrainingSettings(preset="nano", window_length=64, seed=0, **small))


def make_pump(folder: Path, options: argparse.Namespace) -> None:
    """A model of the pumping station, with how right its answers are."""
    small = {"epochs": 1.0, "refit": False} if options.smoke else {}
    train_dag(encode_table(schema(), rows(options.rows, seed=0)), folder, DagTrainingSettings(seed=0, **small))
    text = json.dumps(effects(folder, options), indent=2)
    (folder / "effects.json").write_text(text + "\n", encoding="utf-8")


def effects(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """How likely the station overflows had the pump been set: by the model, and in rows simulated that way."""
    effect = pipeline("causal-effect", model=str(folder))
    found = {}
    for speed in ("off", "slow", "fast"):
        answer = effect({"target": "overflow", "do": {"pump": speed}}, num_samples=options.rows, seed=0)
        truth = (rows(5 * options.rows, seed=1, pump=speed)["overflow"] == "yes").mean()
        found[speed] = {"model": round(answer["distribution"]["yes"], 4), "simulated": round(float(truth), 4)}
    return found


MAKERS = {"alarms": make_alarms, "pump": make_pump}


def finish(folder: Path) -> None:
    """Write the card beside a trained model."""
    (folder / "model.safetensors").chmod(0o644)
    card = model_card(folder, data=DATA[folder.name], license=LICENSES[folder.name])
    (folder / "README.md").write_text(card, encoding="utf-8")


def named(out: Path, names: list[str]) -> Metrics:
    """What the metrics beside the models say."""
    found: dict[str, tuple[float, float]] = {}
    for name in names:
        loss = json.loads((out / name / "metrics.json").read_text(encoding="utf-8"))["validation"]
        simpler = "bigram" if name == "alarms" else "marginal"
        found |= {f"{name}: loss": (loss["loss"], 0.05), f"{name}: loss, {simpler}": (loss[simpler], 0.02)}
    path = out / "pump" / "effects.json"
    for speed, each in json.loads(path.read_text(encoding="utf-8")).items() if "pump" in names else ():
        for way, value in each.items():
            found[f"p(overflow | do(pump = {speed})), {way}"] = (value, 0.02 if way == "model" else 0.005)
    return found


def measure(options: argparse.Namespace) -> Report:
    """Train, measure, write the cards."""
    for name in options.only:
        for written in ("README.md", "effects.json"):  # by this recipe, beside the run
            (options.out / name / written).unlink(missing_ok=True)
        MAKERS[name](options.out / name, options)
        finish(options.out / name)
    found = named(options.out, options.only)
    lines = [[name, value] for name, (value, _) in found.items()]
    return Report(dict(lines), table(("what", "measured"), lines), found)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How are the two checkpoints of this repository made?",
    measure,
    {"only": Size(list(MAKERS), list(MAKERS)), "rows": Size(ROWS, 60, "of the pumping station")},
)

if __name__ == "__main__":
    RECIPE.main()
