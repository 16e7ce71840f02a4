# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""seq2cause 0.1.9 on the small world, with its own defaults and with a tuned threshold, beside this package.

    PYTHONPATH=src python recipes/gates/against_peer.py --seq2cause-python OTHER_ENV/bin/python

Same sequences, same exact oracle, 32 draws. OTHER_ENV has seq2cause and, to read the world, jaxtyping and wrapt.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from exact_oracle import DRAWS, MAX_LAG, PREFIX, TRUTHS, labelled, scored_exactly, true_effects
from harness import Recipe, Report, Size, spread, table

import hf_trace
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.threshold_choice import best_threshold, mean_f1
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World


def measure_seed(seed: int, options: argparse.Namespace) -> list[dict]:
    """All methods on one seed of the small world."""
    world, validation = World(replace(WORLDS["small"], seed=seed)), options.validation
    codes = simulate(world, validation + options.test, seed=seed).codes
    effects = {draws: true_effects(world, codes, draws) for draws in TRUTHS}

    def row(method: str, rule: str, scores: list[PairScores], threshold: float | None) -> dict:
        joined = {draws: labelled(codes, scores, known) for draws, known in effects.items()}
        if threshold is None:
            threshold = best_threshold(joined[10][:validation])
        values = {f"f1_{draws}": mean_f1(pairs[validation:], threshold) for draws, pairs in joined.items()}
        return {"seed": seed, "method": method, "threshold": rule, **values}

    rows = []
    for strategy in ("atomic", "full") if options.seq2cause_python else ():
        matrices, kept = ask(options.seq2cause_python, world, codes, seed, strategy)
        near = [pairs(matrix, MAX_LAG) for matrix in matrices]
        rows += [
            row(f"seq2cause {strategy}", "its own, all lags", [pairs(each, None) for each in kept], 0.5),
            row(f"seq2cause {strategy}", f"its own, lags to {MAX_LAG}", [pairs(each, MAX_LAG) for each in kept], 0.5),
            row(f"seq2cause {strategy}", "tuned on validation", near, None),
            row(f"seq2cause {strategy}", "margin .05", near, DELTA),
        ]
    for name, how in (("hf_trace", {}), ("hf_trace refined", {"refine": True})):
        rows.append(row(name, "margin .05", scored_exactly(world, codes, seed, **how), DELTA))
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


def measure(options: argparse.Namespace) -> Report:
    """All seeds, averaged."""
    rows = [each for seed in range(options.seeds) for each in measure_seed(seed, options)]
    groups: dict[tuple[str, str], list[dict]] = {}
    for each in rows:
        groups.setdefault((each["method"], each["threshold"]), []).append(each)
    names = ("f1_10", "f1_200")
    lines = [[*key, *(spread([each[name] for each in mine]) for name in names)] for key, mine in groups.items()]
    return Report(rows, table(("method", "threshold", "F1, 10-draw truth", "F1, 200-draw truth"), lines))


RECIPE = Recipe(
    __file__,
    __doc__,
    "How good is seq2cause on the small world?",
    measure,
    {"seeds": Size(5, 1), "validation": Size(12, 1), "test": Size(24, 1)},
    peers=("seq2cause",),
)

if __name__ == "__main__":
    RECIPE.main()
