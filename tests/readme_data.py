"""Small data under the names that the README uses."""

from pathlib import Path

import numpy as np
import pandas as pd


def prepare(folder: Path) -> None:
    """A log of alarms, a run trained on it, a table of patients and its graph."""
    from hf_trace.logs.samples import alarms_log
    from hf_trace.training.log_training import TrainingSettings, train

    folder.mkdir(parents=True)
    log = alarms_log().select(range(4))
    rows = [
        (record["id"], event, time)
        for record in log.to_records()
        for event, time in zip(record["events"][:60], record["timestamps"][:60], strict=True)
    ]
    pd.DataFrame(rows, columns=["device", "alarm", "start"]).to_csv(folder / "alarms.csv", index=False)
    everything = alarms_log().select(range(12))
    train(everything, folder / "runs/demo/run", TrainingSettings(window_length=16, epochs=0.05))
    shipped = Path(__file__).parent.parent / "checkpoints"
    if shipped.exists():
        (folder / "checkpoints").symlink_to(shipped)
    patients(300).to_csv(folder / "patients.csv", index=False)
    (folder / "graph.json").write_text(
        '{"edges": [["severity", "drug"], ["severity", "recovered"], ["drug", "recovered"], ["drug", "days"], '
        '["severity", "days"]]}'
    )


def patients(count: int) -> pd.DataFrame:
    """The drug helps, and it is the severe who get it."""
    rng = np.random.default_rng(0)
    severe = rng.random(count) < 0.5
    drug = rng.random(count) < np.where(severe, 0.7, 0.3)
    recovered = rng.random(count) < 0.8 - 0.4 * severe + 0.1 * drug
    return pd.DataFrame({
        "severity": np.where(severe, "severe", "mild"),
        "drug": np.where(drug, "yes", "no"),
        "recovered": np.where(recovered, "yes", "no"),
        "days": rng.normal(10 + 5 * severe - drug, 2).round(1),
    })  # fmt: skip
