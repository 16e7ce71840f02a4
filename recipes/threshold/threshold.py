# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""F1 against the threshold, exact oracle: does one value serve all worlds?

python recipes/threshold/threshold.py --out runs/threshold
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from exact_oracle import labelled, scored_exactly, true_effects
from harness import Recipe, Report, Size, metrics, panels, table
from matplotlib.figure import Figure

from hf_trace.discovery.threshold_choice import mean_f1
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World

TAUS = sorted([float(f"{tau:.2g}") for tau in np.geomspace(1e-5, 1, 21)] + [DELTA])
METHODS = {"atomic": {}, "staircase library": {"construction": "staircase", "statistic": "library"}}


def measure_world(name: str, sequences: int) -> list[dict]:
    """Every threshold on one world."""
    world = World(replace(WORLDS[name], seed=0))
    codes = simulate(world, sequences, seed=0).codes
    effects, rows = true_effects(world, codes), []
    for method, options in METHODS.items():
        pairs = labelled(codes, scored_exactly(world, codes, 0, **options), effects)
        rows += [{"world": name, "method": method, "tau": tau, "f1_200": mean_f1(pairs, tau)} for tau in TAUS]
    return rows


def measure(options: argparse.Namespace) -> Report:
    """All worlds."""
    rows = [row for name in options.world for row in measure_world(name, options.sequences)]
    found = {(row["method"], row["tau"], row["world"]): row["f1_200"] for row in rows}
    lines = [
        [method, f"{tau:g}", *(found[method, tau, name] for name in options.world)]
        for method in METHODS
        for tau in TAUS
    ]
    named = metrics(
        rows, lambda row: "{world}, {method}, threshold {tau:g}".format(**row), {"f1_200": ("F1, 200-draw truth", 0.03)}
    )
    return Report(rows, table(("method", "tau", *options.world), lines), named, draw(rows, options.world))


def draw(rows: list[dict], names: list[str]) -> Figure:
    """A panel per construction, a line per world."""
    figure, axes = panels(8, 3.4, 1, len(METHODS), sharey=True)
    for panel, method in zip(axes, METHODS, strict=True):
        for name in names:
            mine = [row for row in rows if (row["world"], row["method"]) == (name, method)]
            panel.plot([row["tau"] for row in mine], [row["f1_200"] for row in mine], "o-", ms=3, label=name)
        panel.axvline(DELTA, color="grey", ls="--")
        panel.set(xscale="log", xlabel="threshold (nats)", title=method)
    axes[0].set_ylabel("summary F1, 200-draw truth")
    axes[0].legend()
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "Does one threshold serve all worlds?",
    measure,
    {
        "world": Size(["steep", "medium", "flat", "small"], ["steep"]),
        "sequences": Size(16, 1, "sequences of each world"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
