# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Discovery on worlds with known causes, read by their exact oracle: what the estimators themselves can do.

    python recipes/gates/gates.py --out runs/gates

Per world and seed: validation sequences choose the threshold of every method that needs one, test sequences are
scored once. The margin of 0.05 nats is never tuned.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from exact_oracle import MAX_LAG, PREFIX, TRUTHS, labelled, scored_exactly, true_effects
from harness import Recipe, Report, Size, metrics, panels, spread, table
from matplotlib.figure import Figure

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.threshold_choice import LabelledPairs, best_threshold, mean_f1, recall_by_lag
from hf_trace.graphs.counting import bigram_adjacency
from hf_trace.logs.log import EventLog
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World

PUBLISHED_TAU = 3e-5
METHODS = {
    "atomic": {},
    "atomic refined": {"refine": True},
    "granger": {"statistic": "log_ratio"},
    "staircase library": {"construction": "staircase", "statistic": "library"},
    "staircase paper": {"construction": "staircase", "statistic": "paper"},
}
F1 = ("f1_10", "f1_200")
FACTS = ("redundancy", "true_share", "share_at_lag_1")


def measure_world(name: str, seed: int, options: argparse.Namespace) -> list[dict]:
    """Some methods on one world and seed."""
    world = World(replace(WORLDS[name], seed=seed))
    simulation = simulate(world, options.validation + options.test, seed=seed)
    codes = simulation.codes
    effects = {draws: true_effects(world, codes, draws) for draws in TRUTHS}
    methods = [method for method in METHODS if method in options.method]
    scores = {method: scored_exactly(world, codes, seed, **METHODS[method]) for method in methods}
    if "bigram" in options.method:
        others = simulate(world, options.counted, seed=seed + 1_000)
        scores["bigram"] = counted(next(iter(scores.values())), others.log, codes)
    rows = []
    for method, found in scores.items():
        known = {draws: labelled(codes, found, effects[draws]) for draws in TRUTHS}
        thresholds = {"best tau": best_threshold(known[10][: options.validation])}
        if method.startswith("atomic"):
            thresholds["margin .05"] = DELTA
        if method.startswith("staircase"):
            thresholds["3e-5"] = PUBLISHED_TAU
        test = {draws: pairs[options.validation :] for draws, pairs in known.items()}
        rows += [judged(method, rule, threshold, test) for rule, threshold in thresholds.items()]
    rows.append(judged("predict all", "", -np.inf, test))
    facts = world_facts(effects[200], simulation.entropy, world.spec.types)
    return [{"world": name, "seed": seed, **each, **facts} for each in rows]


def counted(like: list[PairScores], log: EventLog, codes: np.ndarray) -> list[PairScores]:
    """Bigram adjacency counted on other sequences of the same world."""
    counts = bigram_adjacency(log.codes, log.offsets, len(log.event_types), max_lag=1)
    return [
        replace(one, cmi=counts[each[one.cause_position], each[one.effect_position]])
        for each, one in zip(codes, like, strict=True)
    ]


def judged(method: str, rule: str, threshold: float, test: dict[int, list[LabelledPairs]]) -> dict:
    """One line of the table."""
    return {
        "method": method,
        "threshold": rule,
        "value": threshold,
        **{f"f1_{draws}": mean_f1(pairs, threshold) for draws, pairs in test.items()},
        "recall_by_lag": recall_by_lag(test[200], threshold, MAX_LAG).tolist(),
    }


def world_facts(effects: list[np.ndarray], entropy: float, types: int) -> dict:
    """What tells one world from another."""
    cells = np.stack(effects)[:, PREFIX:]
    true = cells > DELTA
    return {
        "redundancy": 1 - entropy / np.log(types),
        "true_share": float(true.sum() / np.isfinite(cells).sum()),
        "share_at_lag_1": float(true[..., 0].sum() / true.sum()),
    }


def pooled(rows: list[dict]) -> list[dict]:
    """Mean and standard deviation over seeds."""
    groups: dict[tuple[str, ...], list[dict]] = {}
    for each in rows:
        groups.setdefault((each["world"], each["method"], each["threshold"]), []).append(each)
    found = []
    for (world, method, rule), mine in groups.items():
        line = {"world": world, "method": method, "threshold": rule}
        for name in F1:
            values = [each[name] for each in mine]
            line |= {name: float(np.mean(values)), f"{name}_seeds": values}
        recall = np.ma.masked_invalid([each["recall_by_lag"] for each in mine]).mean(0).filled(np.nan)
        line["recall_by_lag"] = recall.round(3).tolist()
        found.append(line | {name: float(np.mean([each[name] for each in mine])) for name in FACTS})
    return found


def markdown(lines: list[dict]) -> str:
    """The table, readable."""
    columns = ("world", "method", "threshold", "F1, 10-draw truth", "F1, 200-draw truth", "recall by lag 1-6")
    rows = [
        [
            *(each[key] for key in columns[:3]),
            *(spread(each[f"{name}_seeds"]) for name in F1),
            " ".join(f"{value:.2f}".lstrip("0") for value in each["recall_by_lag"]),
        ]
        for each in lines
    ]
    return table(columns, rows)


def draw(lines: list[dict]) -> Figure:
    """F1 of every method, a panel per world, and recall by lag."""
    worlds = list(dict.fromkeys(each["world"] for each in lines))
    figure, axes = panels(3.6 * len(worlds), 6, 2, len(worlds), squeeze=False)
    for world, (upper, lower) in zip(worlds, axes.T, strict=True):
        mine = [each for each in lines if each["world"] == world]
        names = [f"{each['method']} {each['threshold']}".strip() for each in mine]
        error = [np.std(each["f1_10_seeds"], ddof=1) if len(each["f1_10_seeds"]) > 1 else 0 for each in mine]
        upper.barh(names, [each["f1_10"] for each in mine], xerr=error, color="#0072B2")
        upper.set(title=world, xlabel="summary F1, 10-draw truth", xlim=(0, 1))
        upper.invert_yaxis()
        for name, each in zip(names, mine, strict=True):
            if each["method"] != "predict all":
                lower.plot(range(1, MAX_LAG + 1), each["recall_by_lag"], "o-", ms=3, label=name)
        lower.set(xlabel="lag (events)", ylabel="recall", ylim=(-0.02, 1.02))
    axes[1, 0].legend(fontsize=6)
    return figure


def measure(options: argparse.Namespace) -> Report:
    """All worlds and methods asked for."""
    rows = []
    for world in options.world:
        for seed in range(options.seeds):
            rows += measure_world(world, seed, options)
        print(markdown(pooled([each for each in rows if each["world"] == world])), flush=True)
    lines = pooled(rows)
    columns = {"f1_10": ("F1, 10-draw truth", 0.03), "f1_200": ("F1, 200-draw truth", 0.03)}
    named = metrics(
        lines, lambda row: ", ".join(filter(None, (row["world"], row["method"], row["threshold"]))), columns
    )
    facts = {
        "redundancy": "redundancy",
        "true_share": "share of true pairs",
        "share_at_lag_1": "share of truth at lag 1",
    }
    last = {row["world"]: row for row in lines}.values()
    about = metrics(last, lambda row: row["world"], {key: (name, 0.03) for key, name in facts.items()})
    return Report({"table": lines, "rows": rows}, markdown(lines), {**named, **about}, draw(lines))


RECIPE = Recipe(
    __file__,
    __doc__,
    "What can the estimators do, when the oracle makes no mistake?",
    measure,
    {
        "world": Size(["steep", "medium", "flat", "small"], ["steep"]),
        "method": Size([*METHODS, "bigram"], ["atomic", "staircase library", "bigram"]),
        "seeds": Size(5, 1),
        "validation": Size(12, 1, "sequences that choose thresholds"),
        "test": Size(24, 1, "sequences that are scored"),
        "counted": Size(2_000, 50, "sequences in which bigrams are counted"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
