# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Discovery with the exact oracle from 100 to 29,100 event types: F1, seconds and peak memory per sequence.

    python recipes/vocabulary/vocabulary.py --out runs/vocabulary

Every size runs in a process of its own; the world's weights take as many bytes as they take (see the table), the
engine's share is what scoring adds to them.
"""

import argparse
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from exact_oracle import MAX_LAG, PREFIX, TRUTHS, labelled, scored_exactly, true_effects
from harness import Recipe, Report, Size, metrics, panels, table
from matplotlib.figure import Figure

from hf_trace.discovery.threshold_choice import mean_f1, recall_by_lag
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World

MEGABYTE = 2**20


def measure_size(types: int, sequences: int) -> dict:
    """One size, in this process."""
    world = World(replace(WORLDS["steep"], types=types))
    simulation = simulate(world, sequences)
    before, started = peak(), time.perf_counter()
    scores = scored_exactly(world, simulation.codes, 0)
    seconds = (time.perf_counter() - started) / sequences
    after = peak()
    known = {
        draws: labelled(simulation.codes, scores, true_effects(world, simulation.codes, draws)) for draws in TRUTHS
    }
    return {
        "types": types,
        "sequences": sequences,
        "redundancy": 1 - simulation.entropy / float(np.log(types)),
        "f1_10": mean_f1(known[10], DELTA),
        "f1_200": mean_f1(known[200], DELTA),
        "predict_all": mean_f1(known[200], -np.inf),
        "base_rate": float(np.concatenate([each.is_true for each in known[200]]).mean()),
        "recall_by_lag": recall_by_lag(known[200], DELTA, MAX_LAG).round(3).tolist(),
        "pairs_per_sequence": sum(map(len, scores)) / sequences,
        "first_cause": PREFIX,
        "seconds_per_sequence": seconds,
        "world_bytes": sum(part.numel() * part.element_size() for part in world.state.values()),
        "peak_bytes_before": before,
        "peak_bytes": after,
    }


def peak() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alone(types: int, sequences: int) -> dict:
    """One size, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure_size, types, sequences).result()


def measure(options: argparse.Namespace) -> Report:
    """Every size."""
    rows = [(measure_size if options.smoke else alone)(types, options.sequences) for types in options.types]
    columns = (
        *("types", "F1, 10-draw truth", "F1, 200-draw truth", "predict all", "base rate", "seconds per sequence"),
        *("weights of the world", "peak memory: before, scoring"),
    )
    lines = [
        [
            f"{row['types']:,}",
            *(row[name] for name in ("f1_10", "f1_200", "predict_all", "base_rate")),
            f"{row['seconds_per_sequence']:.2f}",
            f"{row['world_bytes'] / MEGABYTE:,.0f} MB",
            f"{row['peak_bytes_before'] / MEGABYTE:,.0f}, {row['peak_bytes'] / MEGABYTE:,.0f} MB",
        ]
        for row in rows
    ]
    found = [{**row, "added": (row["peak_bytes"] - row["peak_bytes_before"]) / MEGABYTE} for row in rows]
    named = {
        **{"f1_10": ("F1, 10-draw truth", 0.03), "f1_200": ("F1, 200-draw truth", 0.03)},
        **{"predict_all": ("F1 of every pair", 0.03), "base_rate": ("base rate", 0.02)},
        **{"redundancy": ("redundancy", 0.03), "added": ("memory that scoring adds, MB", 30)},
    }
    return Report(rows, table(columns, lines), metrics(found, lambda row: f"{row['types']:,} types", named), draw(rows))


def draw(rows: list[dict]) -> Figure:
    """Seconds and F1 against the number of types."""
    figure, (left, right) = panels(7, 3.2, 1, 2)
    sizes = [row["types"] for row in rows]
    left.semilogx(sizes, [row["f1_200"] for row in rows], "o-", color="#0072B2")
    left.set(xlabel="event types", ylabel="summary F1, 200-draw truth", ylim=(0, 1.02))
    right.loglog(sizes, [row["seconds_per_sequence"] for row in rows], "o-", color="#D55E00")
    right.set(xlabel="event types", ylabel="seconds per sequence of 64 events")
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "What does discovery cost from 100 to 29,100 event types?",
    measure,
    {"types": Size([100, 1_000, 5_000, 29_100], [100]), "sequences": Size(8, 1, "sequences of each size")},
)

if __name__ == "__main__":
    RECIPE.main()
