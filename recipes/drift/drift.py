# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Which edges change on the way through a log, and how many that do not are flagged all the same?

Two worlds with random weights: in one, half of the weights are replaced between the first sequence and the last, in the
other none. An oracle is trained on each and told which of four parts of the log a sequence belongs to; in a fresh log
of the same world the parts are compared edge by edge. What is true is known: worlds frozen in the middle of each part
are exact oracles, and score the same sequences.

python recipes/drift/drift.py --out runs/drift
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import Recipe, Report, Size, table

from hf_trace.discovery.population.group_comparison import GroupComparison
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.logs.sources import with_derived
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline, load_pipeline
from hf_trace.runs.world_model import save_oracle
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, WorldSpec

WORLD = WorldSpec(types=16, memory=3, decay=0.7, weight=3.0, sparsity=0.9, length=48)
PARTS = "@parts:4"
OPTIONS: dict[str, Any] = {"max_lag": 3, "proposal": "exhaustive"}
# Differences of the mean cmi between two parts, in nats: what the test asks about, and twice that.
COUNTS, CLEAR = 0.05, 0.1
# Share of the weights that is replaced.
CASES = {"half of the weights drift": 0.5, "nothing drifts": 0.0}


def trained_pool(spec: WorldSpec, size: argparse.Namespace, folder: Path) -> tuple[PopulationPool, float]:
    """A pool of fresh sequences of a world, scored by an oracle that is told their part."""
    learned = with_derived(simulate(World(spec), size.training, seed=1).log, [PARTS])
    settings = TrainingSettings(
        preset=size.preset, gaps=False, epochs=size.epochs, batch_tokens=2048, learning_rate=3e-3, bf16=True
    )
    quality = train(learned, folder, settings).quality
    return pooled([load_pipeline(folder)], spec, size), quality.loss


def exact_pool(spec: WorldSpec, size: argparse.Namespace, folder: Path) -> PopulationPool:
    """The same sequences, scored by the world as it was in the middle of their part."""
    oracles = []
    for number in range(4):
        state = World(spec).drifted(spec.drift * (number + 0.5) / 4).state
        save_oracle(World(replace(spec, drift=0.0), state), folder / str(number))
        oracles.append(load_pipeline(folder / str(number)))
    return pooled(oracles, spec, size)


def pooled(oracles: Sequence[CausalDiscoveryPipeline], spec: WorldSpec, size: argparse.Namespace) -> PopulationPool:
    """Fresh sequences of a world, each scored by the oracle of its part, or by the only one."""
    fresh = with_derived(simulate(World(spec), size.tested, seed=2).log, [PARTS])
    pool = PopulationPool(parse_threshold("margin:0.05"), keep_sequences=True)
    for number in range(4):
        part = [sequence for sequence in fresh if sequence.context == ((PARTS, str(number + 1)),)]
        for sequence, scores in oracles[number % len(oracles)].scored(part, **OPTIONS):
            pool.add(sequence, scores)
    return pool


def judged(found: GroupComparison, exact: GroupComparison) -> dict[str, Any]:
    """Flags of the pairs that were compared, by how far the parts truly differ."""
    # Both pools read the same sequences in the same order, so that types and pairs have the same numbers.
    difference = np.nanmax(exact.cmi, axis=1) - np.nanmin(exact.cmi, axis=1)
    kinds = {
        "clear": difference > CLEAR,
        "slight": (difference > COUNTS) & (difference <= CLEAR),
        "none": difference <= COUNTS,
    }
    return {
        kind: {
            "pairs": int(mine.sum()),
            "compared": int((mine & ~np.isnan(found.p_value)).sum()),
            "edges": int((mine & found.is_edge.any(axis=1)).sum()),
            "flagged": int((mine & found.differs).sum()),
            "p below .05": int((mine & (np.nan_to_num(found.p_value, nan=1.0) < 0.05)).sum()),
        }
        for kind, mine in kinds.items()
    }


def added_up(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of several seeds."""
    return {kind: {name: sum(part[kind][name] for part in parts) for name in parts[0][kind]} for kind in parts[0]}


def measure(options: argparse.Namespace) -> Report:
    """One row for each world."""
    rows = []
    for name in options.case:
        started, parts, losses = time.monotonic(), [], []
        for seed in range(1, options.seeds + 1):
            spec = replace(WORLD, drift=CASES[name], seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                pool, loss = trained_pool(spec, options, Path(folder) / "run")
                exact = exact_pool(spec, options, Path(folder))
            parts.append(judged(pool.compared([PARTS])[0], exact.compared([PARTS])[0]))
            losses.append(loss)
        seconds = round(time.monotonic() - started)
        rows.append({"world": name, **added_up(parts), "losses": losses, "seconds": seconds})
        print(markdown(rows[-1:]), flush=True)
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        name, clear, none = row["world"], row["clear"], row["none"]
        if clear["pairs"]:
            found[f"{name}: clear differences flagged"] = (clear["flagged"] / clear["pairs"], 0.25)
        found[f"{name}: pairs without a difference flagged"] = (none["flagged"] / none["pairs"], 0.01)
        share = none["p below .05"] / max(none["compared"], 1)
        found[f"{name}: pairs without a difference with p < .05, of those compared"] = (share, 0.06)
    return Report(rows, markdown(rows), found)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, readable."""
    columns = (
        *("world", "parts differ by more than 0.1 nats: flagged", "by 0.05 to 0.1", "by less"),
        "of these with p < .05",
    )
    lines = [
        [
            row["world"],
            *(f"{row[kind]['flagged']} of {row[kind]['pairs']}" for kind in ("clear", "slight", "none")),
            f"{row['none']['p below .05']} of {row['none']['compared']} compared",
        ]
        for row in rows
    ]
    return table(columns, lines)


RECIPE = Recipe(
    __file__,
    __doc__,
    "Which edges change on the way through a log, and how many that do not are flagged all the same?",
    measure,
    {
        "case": Size(list(CASES), list(CASES)[:1]),
        "training": Size(4000, 40, "sequences trained on"),
        "tested": Size(400, 24, "fresh sequences that are compared"),
        "epochs": Size(2.0, 1.0),
        "preset": Size("tiny", "nano", "size of the model"),
        "seeds": Size(2, 1),
    },
)

if __name__ == "__main__":
    RECIPE.main()
