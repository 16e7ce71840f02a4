"""Trains the two small models of ``checkpoints/``: one of the packaged telecom alarms, one of a pumping station.

python recipes/checkpoints/checkpoints.py --out checkpoints    # one core: a few minutes
"""

import argparse
import json
from pathlib import Path

from pump_station import rows

from hf_trace.logs.samples import alarms_log
from hf_trace.publishing.model_card import model_card
from hf_trace.tables.encoding import encode_table
from hf_trace.tokenizers.ready import pump_schema
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.training.table_training import DagTrainingSettings, train_dag

WINDOW_LENGTH = 64
ROWS = 20_000
TRUTH_ROWS = 100_000
DATA = {
    "alarms": "34,838 alarms of 18 types on 55 devices of a wireless network (PCIC 2021, gcastle-hub/dataset, MIT), "
    "packaged with `hf_trace`; windows of 64 alarms, the time between alarms written as tokens. Made by `python "
    "recipes/checkpoints/checkpoints.py`.",
    "pump": f"{ROWS:,} rows of a simulated pumping station (`recipes/checkpoints/pump_station.py`): weather, "
    "maintenance, inflow, pump, alarms, overflow. Made by `python recipes/checkpoints/checkpoints.py`; `effects.json` "
    "compares the answers of the model with rows simulated with the pump set.",
}
LICENCES = {"alarms": "mit", "pump": "apache-2.0"}


def train_alarms(folder: Path) -> None:
    """A model of the alarms."""
    train(alarms_log(), folder, TrainingSettings(preset="nano", window_length=WINDOW_LENGTH, seed=0))


def train_pump(folder: Path) -> None:
    """A model of the pumping station."""
    train_dag(encode_table(pump_schema(), rows(ROWS, seed=0)), folder, DagTrainingSettings(seed=0))


def effects(folder: Path) -> dict[str, dict[str, float]]:
    """How likely the station overflows had the pump been set: by the model, and in rows simulated that way."""
    from transformers import pipeline

    import hf_trace  # noqa: F401

    effect = pipeline("causal-effect", model=str(folder))
    found = {}
    for speed in ("off", "slow", "fast"):
        answer = effect({"target": "overflow", "do": {"pump": speed}}, num_samples=20_000, seed=0)
        truth = (rows(TRUTH_ROWS, seed=1, pump=speed)["overflow"] == "yes").mean()
        found[speed] = {"model": round(answer["distribution"]["yes"], 4), "simulated": round(float(truth), 4)}
    return found


def finish(folder: Path) -> None:
    """Write what goes beside a trained model: its card, and for the pumping station how right its answers are."""
    name = folder.name
    (folder / "model.safetensors").chmod(0o644)
    card = model_card(folder, data=DATA[name], licence=LICENCES[name])
    (folder / "README.md").write_text(card, encoding="utf-8")
    if name == "pump":
        text = json.dumps(effects(folder), indent=2)
        (folder / "effects.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Train both, measure, write their cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("checkpoints"))
    parser.add_argument("--only", choices=DATA)
    arguments = parser.parse_args()
    for name, make in (("alarms", train_alarms), ("pump", train_pump)):
        if arguments.only in (None, name):
            make(arguments.out / name)
            finish(arguments.out / name)


if __name__ == "__main__":
    main()
