"""F1 against the number of draws, exact oracle, margin 0.05: how many are worth their price?

python recipes/particles/particles.py --out runs/particles
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "gates"))

import numpy as np
from gates import encoded_sequences, score_with_exact_oracle

from hf_trace.discovery.threshold_choice import LabelledPairs, mean_f1
from hf_trace.worlds.simulator import DELTA, replacement_scores, simulate
from hf_trace.worlds.world import WORLDS, World

DRAWS = [1, 2, 4, 8, 16, 32, 64, 128]


def measure(name: str, seed: int, sequences: int) -> list[dict]:
    """Every number of draws on one world and seed."""
    world = World(replace(WORLDS[name], seed=seed))
    codes = simulate(world, sequences, seed=seed).codes
    truth = [
        replacement_scores(world, each, num_samples=200, seed=2_000_000 + number) > DELTA
        for number, each in enumerate(codes)
    ]
    encoded = encoded_sequences(world, codes)
    rows = []
    for draws in DRAWS:
        scores = score_with_exact_oracle(world, encoded, seed, num_samples=draws)
        labelled = [LabelledPairs.of(*each) for each in zip(codes, scores, truth, strict=True)]
        rows.append({"world": name, "seed": seed, "draws": draws, "f1_200": mean_f1(labelled, DELTA)})
    return rows


def main() -> None:
    """Measure and write JSON, Markdown and a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/particles"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sequences", type=int, default=16)
    options = parser.parse_args()
    worlds = ["small", "flat"]
    rows = [r for name in worlds for seed in range(options.seeds) for r in measure(name, seed, options.sequences)]
    values = {
        name: [[r["f1_200"] for r in rows if (r["world"], r["draws"]) == (name, draws)] for draws in DRAWS]
        for name in worlds
    }
    lines = ["| draws | " + " | ".join(worlds) + " |", "|---|" + "---|" * len(worlds)]
    for place, draws in enumerate(DRAWS):
        cells = [f"{np.mean(values[name][place]):.3f} ± {np.std(values[name][place], ddof=1):.3f}" for name in worlds]
        lines.append(f"| {draws} | " + " | ".join(cells) + " |")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "particles.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (options.out / "particles.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(values, options.out / "particles.png")
    print("\n".join(lines))


def draw(values: dict, path: Path) -> None:
    """One line per world."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    panel = figure.subplots()
    for name, found in values.items():
        means, spread = np.mean(found, axis=1), np.std(found, axis=1, ddof=1)
        panel.errorbar(DRAWS, means, spread, marker="o", label=name)
    panel.set(xscale="log", xlabel="draws per event", ylabel="summary F1, 200-draw truth")
    panel.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
