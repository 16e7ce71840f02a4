# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""F1 against the number of draws, exact oracle, margin 0.05: how many are worth their price?

python recipes/particles/particles.py --out runs/particles
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from exact_oracle import labelled, scored_exactly, true_effects
from harness import Recipe, Report, Size, metrics, panels, spread, table
from matplotlib.figure import Figure

from hf_trace.discovery.threshold_choice import mean_f1
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World

NAMES = ("small", "flat")


def measure_world(name: str, seed: int, options: argparse.Namespace) -> list[dict]:
    """Every number of draws on one world and seed."""
    world = World(replace(WORLDS[name], seed=seed))
    codes = simulate(world, options.sequences, seed=seed).codes
    effects, rows = true_effects(world, codes), []
    for draws in options.draws:
        scores = scored_exactly(world, codes, seed, num_samples=draws)
        f1 = mean_f1(labelled(codes, scores, effects), DELTA)
        rows.append({"world": name, "seed": seed, "draws": draws, "f1_200": f1})
    return rows


def measure(options: argparse.Namespace) -> Report:
    """All worlds and seeds."""
    rows = [row for name in NAMES for seed in range(options.seeds) for row in measure_world(name, seed, options)]
    values = {
        name: [
            [row["f1_200"] for row in rows if (row["world"], row["draws"]) == (name, draws)] for draws in options.draws
        ]
        for name in NAMES
    }
    lines = [[draws, *(spread(values[name][place]) for name in NAMES)] for place, draws in enumerate(options.draws)]
    named = metrics(
        rows, lambda row: "{world}, seed {seed}, {draws} draws".format(**row), {"f1_200": ("F1, 200-draw truth", 0.03)}
    )
    return Report(rows, table(("draws", *NAMES), lines), named, draw(options.draws, values))


def draw(draws: list[int], values: dict[str, list[list[float]]]) -> Figure:
    """One line per world."""
    figure, panel = panels(5, 3.4)
    for name, found in values.items():
        error = np.std(found, axis=1, ddof=1) if len(found[0]) > 1 else None
        panel.errorbar(draws, np.mean(found, axis=1), error, marker="o", label=name)
    panel.set(xscale="log", xlabel="draws per event", ylabel="summary F1, 200-draw truth")
    panel.legend()
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "How many draws are worth their price?",
    measure,
    {
        "draws": Size([1, 2, 4, 8, 16, 32, 64, 128], [1, 4]),
        "seeds": Size(3, 1),
        "sequences": Size(16, 1, "sequences of each world and seed"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
