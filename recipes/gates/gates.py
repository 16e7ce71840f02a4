"""Discovery on worlds with known causes, read by their exact oracle: what the estimators themselves can do.

    python recipes/gates/gates.py --out runs/gates

Per world and seed: validation sequences choose the threshold of every method that needs one, test sequences are
scored once. The margin of 0.05 nats is never tuned.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.pairs import PairScores
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.threshold_choice import LabelledPairs, best_threshold, mean_f1, recall_by_lag
from hf_trace.graphs.counting import bigram_adjacency
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.runs.simulated_worlds import WorldModel, world_tokenizer
from hf_trace.worlds.simulator import DELTA, replacement_scores, simulate
from hf_trace.worlds.world import WORLDS, World

PREFIX, MAX_LAG, DRAWS = 6, 6, 32
PUBLISHED_TAU = 3e-5
COUNTED = 2_000
METHODS = {
    "atomic": {},
    "atomic refined": {"refine": True},
    "granger": {"statistic": "log_ratio"},
    "staircase library": {"construction": "staircase", "statistic": "library"},
    "staircase paper": {"construction": "staircase", "statistic": "paper"},
}


def measure(name: str, seed: int, validation: int, test: int, methods: list[str]) -> list[dict]:
    """Some methods on one world and seed."""
    spec = replace(WORLDS[name], seed=seed)
    world = World(spec)
    count = validation + test
    simulation = simulate(world, count, seed=seed)
    codes = simulation.codes
    truths = {
        draws: [
            replacement_scores(world, each, num_samples=draws, seed=10_000 * draws + i) for i, each in enumerate(codes)
        ]
        for draws in (10, 200)
    }
    encoded = encoded_sequences(world, codes)
    scores = {
        method: score_with_exact_oracle(world, encoded, seed, **options)
        for method, options in METHODS.items()
        if method in methods
    }
    if "bigram" in methods:
        scores["bigram"] = counted(world, next(iter(scores.values())), codes, seed)
    rows = []
    for method, found in scores.items():
        labelled = {
            draws: [
                LabelledPairs.of(each, one, truth > DELTA) for each, one, truth in zip(codes, found, known, strict=True)
            ]
            for draws, known in truths.items()
        }
        thresholds = {"best tau": best_threshold(labelled[10][:validation])}
        if method.startswith("atomic"):
            thresholds["margin .05"] = DELTA
        if method.startswith("staircase"):
            thresholds["3e-5"] = PUBLISHED_TAU
        for rule, threshold in thresholds.items():
            rows.append(row(name, seed, method, rule, threshold, labelled, validation))
    every = {draws: labelled[draws] for draws in labelled}
    rows.append(row(name, seed, "predict all", "", -np.inf, every, validation))
    facts = world_facts(truths[200], codes, simulation.entropy, spec.types)
    return [{**each, **facts} for each in rows]


def encoded_sequences(world: World, codes: np.ndarray) -> list[EncodedSequence]:
    """Sequences of a world as its tokenizer writes them."""
    tokenizer = world_tokenizer(world.spec)
    start = tokenizer.tokenizer.bos_token_id
    return [
        EncodedSequence(np.concatenate([[start], tokenizer.event_ids[each]]), np.arange(1, len(each) + 1))
        for each in codes
    ]


def score_with_exact_oracle(
    world: World, encoded: list[EncodedSequence], seed: int, *, num_samples: int = DRAWS, **options: object
) -> list[PairScores]:
    """Scores of all sequences, the world itself being the oracle."""
    ids = torch.from_numpy(world_tokenizer(world.spec).event_ids)
    settings = DiscoverySettings(max_lag=MAX_LAG, num_samples=num_samples, prefix_length=PREFIX, seed=seed, **options)
    return score_pairs(Oracle(WorldModel.of(world)), encoded, Alphabet(ids, torch.ones(len(ids))), settings)


def counted(world: World, like: list[PairScores], codes: np.ndarray, seed: int) -> list[PairScores]:
    """Bigram adjacency counted on other sequences of the same world."""
    log = simulate(world, COUNTED, seed=seed + 1_000).log
    table = bigram_adjacency(log.codes, log.offsets, world.spec.types, max_lag=1)
    return [
        replace(one, cmi=table[each[one.cause_position], each[one.effect_position]])
        for each, one in zip(codes, like, strict=True)
    ]


def row(world: str, seed: int, method: str, rule: str, threshold: float, labelled: dict, validation: int) -> dict:
    """One line of the table."""
    test = {draws: pairs[validation:] for draws, pairs in labelled.items()}
    return {
        "world": world, "seed": seed, "method": method, "threshold": rule, "value": threshold,
        "f1_10": mean_f1(test[10], threshold), "f1_200": mean_f1(test[200], threshold),
        "recall_by_lag": recall_by_lag(test[200], threshold, MAX_LAG).tolist(),
    }  # fmt: skip


def world_facts(truth: list[np.ndarray], codes: np.ndarray, entropy: float, types: int) -> dict:
    """What tells one world from another."""
    cells = np.stack(truth)[:, PREFIX:]
    true = cells > DELTA
    return {
        "redundancy": 1 - entropy / np.log(types),
        "true_share": float(true.sum() / np.isfinite(cells).sum()),
        "share_at_lag_1": float(true[..., 0].sum() / true.sum()),
    }


def pooled(rows: list[dict]) -> list[dict]:
    """Mean and standard deviation over seeds."""
    keys = dict.fromkeys((each["world"], each["method"], each["threshold"]) for each in rows)
    table = []
    for world, method, rule in keys:
        mine = [each for each in rows if (each["world"], each["method"], each["threshold"]) == (world, method, rule)]
        line = {"world": world, "method": method, "threshold": rule}
        for name in ("f1_10", "f1_200"):
            values = [each[name] for each in mine]
            line |= {
                name: float(np.mean(values)),
                f"{name}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            }
        line["recall_by_lag"] = np.nanmean([each["recall_by_lag"] for each in mine], axis=0).round(3).tolist()
        line |= {
            name: float(np.mean([each[name] for each in mine]))
            for name in ("redundancy", "true_share", "share_at_lag_1")
        }
        table.append(line)
    return table


def markdown(table: list[dict]) -> str:
    """The table, readable."""
    lines = [
        "| world | method | threshold | F1, 10-draw truth | F1, 200-draw truth | recall by lag 1-6 |",
        "|---|---|---|---|---|---|",
    ]
    for each in table:
        recall = " ".join(f"{value:.2f}".lstrip("0") for value in each["recall_by_lag"])
        scores = " | ".join(f"{each[name]:.3f} ± {each[name + '_sd']:.3f}" for name in ("f1_10", "f1_200"))
        lines.append(f"| {each['world']} | {each['method']} | {each['threshold']} | {scores} | {recall} |")
    return "\n".join(lines) + "\n"


def draw(table: list[dict], path: Path) -> None:
    """F1 of every method, a panel per world, and recall by lag."""
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(each["world"] for each in table))
    figure = Figure(figsize=(3.6 * len(worlds), 6), layout="constrained")
    panels = figure.subplots(2, len(worlds), squeeze=False)
    for column, world in enumerate(worlds):
        mine = [each for each in table if each["world"] == world]
        names = [f"{each['method']} {each['threshold']}".strip() for each in mine]
        panels[0, column].barh(
            names, [each["f1_10"] for each in mine], xerr=[each["f1_10_sd"] for each in mine], color="#0072B2"
        )
        panels[0, column].set(title=world, xlabel="summary F1, 10-draw truth", xlim=(0, 1))
        panels[0, column].invert_yaxis()
        for each in mine:
            if each["method"] != "predict all":
                label = f"{each['method']} {each['threshold']}"
                panels[1, column].plot(range(1, MAX_LAG + 1), each["recall_by_lag"], "o-", ms=3, label=label)
        panels[1, column].set(xlabel="lag (events)", ylabel="recall", ylim=(-0.02, 1.02))
    panels[1, 0].legend(fontsize=6)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure the worlds asked for and write JSON, Markdown and a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gates"))
    parser.add_argument("--world", choices=list(WORLDS), action="append")
    parser.add_argument("--method", choices=[*METHODS, "bigram"], action="append", help="all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", type=int, default=12, help="sequences that choose thresholds")
    parser.add_argument("--test", type=int, default=24, help="sequences that are scored")
    options = parser.parse_args()
    rows = []
    for world in options.world or ["steep", "medium", "flat", "small"]:
        for seed in range(options.seeds):
            rows += measure(world, seed, options.validation, options.test, options.method or [*METHODS, "bigram"])
            print(markdown(pooled([each for each in rows if each["world"] == world])), flush=True)
    table = pooled(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gates.json").write_text(
        json.dumps({"table": table, "rows": rows}, indent=1) + "\n", encoding="utf-8"
    )
    (options.out / "gates.md").write_text(markdown(table), encoding="utf-8")
    draw(table, options.out / "gates.png")
    print(markdown(table))


if __name__ == "__main__":
    main()
