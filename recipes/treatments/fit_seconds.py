# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How long does ``hf-trace train`` take on a table like those people have: 16,000 rows, one in ninety treated?

Ten variables, four of them numbers, drawn by ``simulated_tables.py``. Each training is a command of its own, timed
from outside, with everything that it loads; CPU seconds are those of the command.

python recipes/treatments/fit_seconds.py --out runs/treatments
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import NotMeasured, Recipe, Report, Size, metrics, table
from simulated_tables import drawn, graph, population


def timed(folds: int, options: argparse.Namespace) -> dict:
    """Seconds of a training with so many folds."""
    run = options.out / f"run-{folds}-folds"
    rows, dag = (str(options.out / name) for name in ("rows.csv", "dag.csv"))
    asked = ["train", rows, "--dag", dag, "--out", str(run), "--folds", str(folds), "--overwrite"]
    command = [sys.executable, "-m", "hf_trace", *asked]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise NotMeasured(f"Training failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    quality = measured["validation"]
    beside = {key: [each[key] for each in quality["variables"].values()] for key in ("bdeu", "boosted", "marginal")}
    losses = {"loss": quality["loss"], **{key: float(np.mean(each)) for key, each in beside.items()}}
    return {"folds": folds, "models": 2 + folds, "seconds": wall, "cpu_seconds": cpu, **losses}


def measure(options: argparse.Namespace) -> Report:
    """One table, and each number of folds."""
    people = population(np.random.default_rng([options.seed, 1]), options.rows, options.treated)
    frame = drawn(people, np.random.default_rng([options.seed, 2]))
    frame.to_csv(options.out / "rows.csv", index=False)
    lines = ["cause,effect", *(f"{cause},{effect}" for cause, effect in graph().edges)]
    (options.out / "dag.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [timed(folds, options) for folds in options.folds]
    keys = ("folds", "models", "seconds", "cpu_seconds", "loss", "bdeu", "boosted", "marginal")
    header = ("folds", "models", "seconds", "CPU seconds", "model, nats", "counts", "boosted trees", "without causes")
    treated = f"{len(frame):,} rows, {(frame['treated'] == 'yes').sum():,} treated, load {os.getloadavg()[0]:.1f}\n\n"
    named = metrics(rows, lambda row: f"{row['folds']} folds", {"cpu_seconds": ("CPU seconds", 20.0)})
    return Report(rows, treated + table(header, [[row[key] for key in keys] for row in rows]), named)


RECIPE = Recipe(
    __file__,
    __doc__,
    "How long does it take to train on 16,000 rows?",
    measure,
    {
        "rows": Size(16_000, 400, "of the table"),
        "treated": Size(0.011, 0.2, "share of rows that are treated"),
        "folds": Size([0, 5], [0], "models that have each not seen a part"),
    },
    seed=0,
)

if __name__ == "__main__":
    RECIPE.main()
