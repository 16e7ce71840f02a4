"""F1 against the threshold, exact oracle: does one value serve all worlds?

python recipes/threshold/threshold.py --out runs/threshold
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

TAUS = [float(f"{tau:.2g}") for tau in np.geomspace(1e-5, 1, 21)] + [DELTA]
METHODS = {"atomic": {}, "staircase library": {"construction": "staircase", "statistic": "library"}}
NAMES = ["steep", "medium", "flat", "small"]


def measure(name: str, sequences: int) -> list[dict]:
    """Every threshold on one world."""
    world = World(replace(WORLDS[name], seed=0))
    codes = simulate(world, sequences, seed=0).codes
    truth = [
        replacement_scores(world, each, num_samples=200, seed=2_000_000 + number) > DELTA
        for number, each in enumerate(codes)
    ]
    encoded = encoded_sequences(world, codes)
    rows = []
    for method, options in METHODS.items():
        scores = score_with_exact_oracle(world, encoded, 0, **options)
        labelled = [LabelledPairs.of(*each) for each in zip(codes, scores, truth, strict=True)]
        rows += [
            {"world": name, "method": method, "tau": tau, "f1_200": mean_f1(labelled, tau)} for tau in sorted(TAUS)
        ]
    return rows


def main() -> None:
    """Measure and write JSON, Markdown and a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/threshold"))
    parser.add_argument("--sequences", type=int, default=16)
    options = parser.parse_args()
    rows = [row for name in NAMES for row in measure(name, options.sequences)]
    lines = ["| method | tau | " + " | ".join(NAMES) + " |", "|---|---|" + "---|" * len(NAMES)]
    for method in METHODS:
        for tau in sorted(TAUS):
            found = {r["world"]: r["f1_200"] for r in rows if (r["method"], r["tau"]) == (method, tau)}
            lines.append(f"| {method} | {tau:g} | " + " | ".join(f"{found[name]:.3f}" for name in NAMES) + " |")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "threshold.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (options.out / "threshold.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(rows, options.out / "threshold.png")
    print("\n".join(lines))


def draw(rows: list[dict], path: Path) -> None:
    """A panel per construction, a line per world."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, len(METHODS), sharey=True)
    for panel, method in zip(panels, METHODS, strict=True):
        for name in NAMES:
            mine = [row for row in rows if (row["world"], row["method"]) == (name, method)]
            panel.plot([row["tau"] for row in mine], [row["f1_200"] for row in mine], "o-", ms=3, label=name)
        panel.axvline(DELTA, color="grey", ls="--")
        panel.set(xscale="log", xlabel="threshold (nats)", title=method)
    panels[0].set_ylabel("summary F1, 200-draw truth")
    panels[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
