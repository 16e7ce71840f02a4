"""Discovery with the exact oracle from 100 to 29,100 event types: F1, seconds and peak memory per sequence.

    python recipes/vocabulary/vocabulary.py --out runs/vocabulary

Every size runs in a process of its own; the world's weights take as many bytes as they take (see the table), the
engine's share is what scoring adds to them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "gates"))

import numpy as np

SIZES = [100, 1_000, 5_000, 29_100]


def measure(types: int, sequences: int) -> dict:
    """One size, in this process."""
    from gates import MAX_LAG, PREFIX, encoded_sequences, score_with_exact_oracle

    from hf_trace.discovery.threshold_choice import LabelledPairs, mean_f1, recall_by_lag
    from hf_trace.worlds.simulator import DELTA, replacement_scores, simulate
    from hf_trace.worlds.world import WORLDS, World

    spec = replace(WORLDS["steep"], types=types)
    world = World(spec)
    simulation = simulate(world, sequences)
    before = peak()
    encoded = encoded_sequences(world, simulation.codes)
    started = time.perf_counter()
    scores = score_with_exact_oracle(world, encoded, seed=0)
    seconds = (time.perf_counter() - started) / sequences
    scored = peak()
    labelled = {}
    for draws in (10, 200):
        truth = [
            replacement_scores(world, codes, num_samples=draws, seed=10_000 * draws + number) > DELTA
            for number, codes in enumerate(simulation.codes)
        ]
        labelled[draws] = [
            LabelledPairs.of(codes, one, known)
            for codes, one, known in zip(simulation.codes, scores, truth, strict=True)
        ]
    pairs = sum(len(one) for one in scores)
    return {
        "types": types,
        "sequences": sequences,
        "redundancy": 1 - simulation.entropy / float(np.log(types)),
        "f1_10": mean_f1(labelled[10], DELTA),
        "f1_200": mean_f1(labelled[200], DELTA),
        "predict_all": mean_f1(labelled[200], -np.inf),
        "base_rate": float(np.concatenate([each.is_true for each in labelled[200]]).mean()),
        "recall_by_lag": recall_by_lag(labelled[200], DELTA, MAX_LAG).round(3).tolist(),
        "pairs_per_sequence": pairs / sequences,
        "first_cause": PREFIX,
        "seconds_per_sequence": seconds,
        "world_bytes": sum(part.numel() * part.element_size() for part in world.state.values()),
        "peak_bytes_before": before,
        "peak_bytes": scored,
    }


def peak() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def markdown(table: list[dict]) -> str:
    """The table, readable."""
    lines = [
        "| types | F1, 10-draw truth | F1, 200-draw truth | predict all | base rate | seconds per sequence | "
        "weights of the world | peak memory: before, scoring |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        lines.append(
            f"| {row['types']:,} | {row['f1_10']:.3f} | {row['f1_200']:.3f} | {row['predict_all']:.3f} | "
            f"{row['base_rate']:.3f} | {row['seconds_per_sequence']:.2f} | {row['world_bytes'] / 2**20:,.0f} MB | "
            f"{row['peak_bytes_before'] / 2**20:,.0f}, {row['peak_bytes'] / 2**20:,.0f} MB |"
        )
    return "\n".join(lines) + "\n"


def draw(table: list[dict], path: Path) -> None:
    """Seconds and F1 against the number of types."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [row["types"] for row in table]
    left.semilogx(sizes, [row["f1_200"] for row in table], "o-", color="#0072B2")
    left.set(xlabel="event types", ylabel="summary F1, 200-draw truth", ylim=(0, 1.02))
    right.loglog(sizes, [row["seconds_per_sequence"] for row in table], "o-", color="#D55E00")
    right.set(xlabel="event types", ylabel="seconds per sequence of 64 events")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run every size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/vocabulary"))
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--types", type=int, action="append")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.sequences)))
        return
    table = []
    for types in options.types or SIZES:
        command = [sys.executable, __file__, "--worker", str(types), "--sequences", str(options.sequences)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        table.append(json.loads(done.stdout))
        print(markdown(table[-1:]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "vocabulary.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    (options.out / "vocabulary.md").write_text(markdown(table), encoding="utf-8")
    draw(table, options.out / "vocabulary.png")
    print(markdown(table))


if __name__ == "__main__":
    main()
