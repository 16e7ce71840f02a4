# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How well is the next event predicted? Held-out nats per event of the oracles that ``hf-trace train`` makes.

    python recipes/prediction/prediction.py --data PATH --out runs/prediction

Every log is trained on with the package's defaults, three seeds that also draw which cases are held out; beside each
loss stand those of the additive model in time, of a bigram and of a unigram on the same events. Nothing is known of
causes. Logs that are not packaged are read from folders of ``--data`` (csl_sample, causrca, process_logs,
hdfs_logkeys); those that are not there are left out.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import Recipe, Report, Size, kept, table
from lathe import normal_operation

from hf_trace import EventLog, EventSequence, TrainingSettings, read_log, train
from hf_trace.logs.samples import alarms_log
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_worlds import process_world
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import WORLDS, World

CSL = {"case_column": "device_id", "event_column": "alarm_id", "time_column": "start_timestamp"}
WINDOWED = ("alarms", "csl", "hawkes", "periodic")
NAMES = [
    "alarms", "causrca", "receipt", "helpdesk", "sepsis", "hdfs", "csl", "csl, topology",
    "hawkes", "periodic", "small", "small-medium",
]  # fmt: skip
LOSSES = ("loss", "additive", "bigram", "unigram")


def logs(data: Path | None, sequences: int) -> dict[str, Callable[[], EventLog]]:
    """What reads each log, by name."""
    found: dict[str, Callable[[], EventLog]] = {
        "alarms": alarms_log,
        "hawkes": lambda: simulate_process(process_world("hawkes"), sequences, seed=0).log,
        "periodic": lambda: simulate_process(process_world("periodic"), sequences, seed=0).log,
        "small": lambda: simulate(World(WORLDS["small"]), 1_000, seed=0).log,
        "small-medium": lambda: simulate(World(WORLDS["small-medium"]), 1_000, seed=0).log,
    }
    if data is None:
        return found
    cases = data / "process_logs"
    more: dict[str, tuple[Path, Callable[[Path], EventLog]]] = {
        "csl": (data / "csl_sample" / "alarm.csv", lambda path: read_log(path, **CSL)),
        "csl, topology": (
            data / "csl_sample" / "alarm.csv",
            lambda path: read_log(path, topology=path.with_name("topology.npy"), **CSL),
        ),
        "causrca": (data / "causrca", normal_operation),
        "receipt": (cases / "08_receipt.xes.gz", read_log),
        "helpdesk": (cases / "helpdesk.xes.gz", read_log),
        "sepsis": (cases / "13_SEPSIS_1t_per_variant.xes.gz", read_log),
        "hdfs": (data / "hdfs_logkeys" / "hdfs_train", keys),
    }
    return found | {name: (lambda p=path, r=read: r(p)) for name, (path, read) in more.items() if path.exists()}


def keys(path: Path) -> EventLog:
    """A file with one sequence in each line."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return EventLog.from_sequences([EventSequence(tuple(line)) for line in lines if line])


def predicted(name: str, log: EventLog, seed: int, options: argparse.Namespace) -> dict:
    """One oracle."""
    length = 64 if name in WINDOWED else None
    settings = TrainingSettings(window_length=length, seed=seed, max_tokens=options.tokens)
    with tempfile.TemporaryDirectory() as folder:
        trained = train(log, Path(folder) / "run", settings)
    quality = trained.quality
    losses = {each: getattr(quality, each) for each in LOSSES}
    return {"log": name, "seed": seed, **losses, "seconds": round(trained.metrics["seconds"], 1)}


def measure(options: argparse.Namespace) -> Report:
    """All logs and seeds; what was measured before is kept."""
    found = logs(None if options.data is None else Path(options.data), options.sequences)
    rows = []
    for name in (each for each in options.log if each in found):
        log = found[name]()
        for seed in range(options.seeds):
            path = options.out / "parts" / f"{name.replace(', ', '-')}-{seed}.json"
            rows.append(kept(path, lambda n=name, one=log, s=seed: predicted(n, one, s, options)))
            print(rows[-1], flush=True)
    lines = [line(name, [row for row in rows if row["log"] == name]) for name in dict.fromkeys(r["log"] for r in rows)]
    columns = ("log", "model, by seed", "mean", "additive", "bigram", "unigram", "seconds")
    means = {row["log"]: np.mean([each["loss"] for each in rows if each["log"] == row["log"]]) for row in rows}
    return Report(rows, table(columns, lines), {f"{name}: nats": (mean, 0.05) for name, mean in means.items()})


def line(name: str, rows: list[dict]) -> list[str]:
    """A log in the table."""
    means = {key: np.mean([row[key] for row in rows]) for key in (*LOSSES, "seconds")}
    seeds = " / ".join(f"{row['loss']:.3f}" for row in rows)
    return [name, seeds, *(f"{means[key]:.3f}" for key in LOSSES), f"{means['seconds']:.0f}"]


RECIPE = Recipe(
    __file__,
    __doc__,
    "How well is the next event predicted?",
    measure,
    {
        "log": Size(NAMES, ["hawkes"], "logs to train on"),
        "sequences": Size(60, 4, "sequences of the worlds hawkes and periodic"),
        "seeds": Size(3, 1, "oracles of each log"),
        "tokens": Size(TrainingSettings().max_tokens, 2_000, "tokens that each is trained on"),
    },
    options=lambda parser: parser.add_argument("--data", help="folder with the data sets that are not packaged"),
    more="--data PATH",
)

if __name__ == "__main__":
    RECIPE.main()
