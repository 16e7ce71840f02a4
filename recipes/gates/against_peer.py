"""seq2cause 0.1.9 on the small world, with its own defaults and with a tuned threshold, beside this package.

    PYTHONPATH=src python recipes/gates/against_peer.py --peer-python OTHER_ENV/bin/python

Same sequences, same exact oracle, 32 draws. OTHER_ENV has seq2cause and, to read the world, jaxtyping and wrapt.
"""

import argparse
import json
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from gates import DRAWS, MAX_LAG, PREFIX, encoded_sequences, score_with_exact_oracle

import hf_trace
from hf_trace.discovery.pairs import PairScores
from hf_trace.discovery.threshold_choice import LabelledPairs, best_threshold, mean_f1
from hf_trace.worlds.simulator import DELTA, replacement_scores, simulate
from hf_trace.worlds.world import WORLDS, World


def measure(seed: int, peer: str, validation: int, test: int) -> list[dict]:
    """All methods on one seed of the small world."""
    world = World(replace(WORLDS["small"], seed=seed))
    codes = simulate(world, validation + test, seed=seed).codes
    truths = {
        draws: [
            replacement_scores(world, each, num_samples=draws, seed=10_000 * draws + number) > DELTA
            for number, each in enumerate(codes)
        ]
        for draws in (10, 200)
    }

    def row(method: str, rule: str, scores: list[PairScores], threshold: float | None) -> dict:
        joined = {
            draws: [LabelledPairs.of(*each) for each in zip(codes, scores, known, strict=True)]
            for draws, known in truths.items()
        }
        if threshold is None:
            threshold = best_threshold(joined[10][:validation])
        values = {f"f1_{draws}": mean_f1(pairs[validation:], threshold) for draws, pairs in joined.items()}
        return {"seed": seed, "method": method, "threshold": rule, **values}

    rows = []
    for strategy in ("atomic", "full"):
        matrices, kept = ask(peer, world, codes, seed, strategy)
        near = [pairs(matrix, MAX_LAG) for matrix in matrices]
        rows += [
            row(f"seq2cause {strategy}", "its own, all lags", [pairs(each, None) for each in kept], 0.5),
            row(f"seq2cause {strategy}", f"its own, lags to {MAX_LAG}", [pairs(each, MAX_LAG) for each in kept], 0.5),
            row(f"seq2cause {strategy}", "tuned on validation", near, None),
            row(f"seq2cause {strategy}", "margin .05", near, DELTA),
        ]
    encoded = encoded_sequences(world, codes)
    for name, options in (("hf_trace", {}), ("hf_trace refined", {"refine": True})):
        rows.append(row(name, "margin .05", score_with_exact_oracle(world, encoded, seed, **options), DELTA))
    return rows


def ask(peer: str, world: World, codes: np.ndarray, seed: int, strategy: str) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of scores and of kept pairs ``[sequence, cause, effect]`` after the prefix."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/answer.npz"
        job = {
            "world": world.spec.to_dict(), "codes": codes.tolist(), "seed": seed, "prefix": PREFIX,
            "draws": DRAWS, "strategy": strategy, "out": out,
        }  # fmt: skip
        script = Path(__file__).with_name("peer.py")
        source = str(Path(hf_trace.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": source}
        subprocess.run([peer, str(script)], input=json.dumps(job), text=True, check=True, env=environment)
        answer = np.load(out)
        return answer["scores"], answer["kept"]


def pairs(matrix: np.ndarray, max_lag: int | None) -> PairScores:
    """A matrix over positions after the prefix as tested pairs."""
    cause, effect = np.triu_indices(len(matrix), 1)
    near = effect - cause <= (max_lag or len(matrix))
    cause, effect = cause[near], effect[near]
    scores = matrix[cause, effect].astype(float)
    return PairScores(cause + PREFIX, effect + PREFIX, scores, scores, np.zeros_like(scores))


def main() -> None:
    """Measure, average over seeds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/gates-peer"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows = [each for seed in range(options.seeds) for each in measure(seed, options.peer_python, 12, 24)]
    lines = ["| method | threshold | F1, 10-draw truth | F1, 200-draw truth |", "|---|---|---|---|"]
    for key in dict.fromkeys((each["method"], each["threshold"]) for each in rows):
        mine = [each for each in rows if (each["method"], each["threshold"]) == key]
        shown = [
            f"{np.mean([each[name] for each in mine]):.3f} ± {np.std([each[name] for each in mine], ddof=1):.3f}"
            for name in ("f1_10", "f1_200")
        ]
        lines.append(f"| {key[0]} | {key[1]} | {shown[0]} | {shown[1]} |")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "against_peer.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (options.out / "against_peer.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
