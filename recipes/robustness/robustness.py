# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""What goes wrong where an assumption does not hold: small worlds with known causes, broken one at a time.

    python recipes/robustness/robustness.py --out runs/robustness

Every world is trained on and discovered with default settings; where what is recorded has a closed form, also with
the exact oracle, which tells a limit of the method from a limit of the model.
"""

import argparse
import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import Metrics, Recipe, Report, Size, metrics, table

from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.graphs.counting import bigram_adjacency, windowed_cooccurrence
from hf_trace.logs.log import EventLog
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
from hf_trace.runs.folders import load_model
from hf_trace.runs.world_model import save_oracle
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import DELTA, replacement_scores, simulate
from hf_trace.worlds.world import World, WorldSpec

MAX_LAG = 6
Pairs = frozenset[tuple[int, int]]
CHAIN = ((0, 1), (1, 2), (3, 4), (3, 5), (6, 7), (8, 7), (9, 10), (10, 11), (12, 13))


def edges(weight: float, *changed: tuple[int, int, float]) -> tuple[tuple[int, int, float], ...]:
    """The edges of all hand-written worlds with one weight, and some that are changed or added."""
    own = {(cause, effect) for cause, effect, _ in changed}
    return (*((*pair, weight) for pair in CHAIN if pair not in own), *changed)


BASE = WorldSpec(types=16, memory=3, decay=0.7, edges=edges(2.5), length=48)
RANDOM = WorldSpec(types=16, memory=3, decay=0.7, weight=3.0, sparsity=0.92, length=48, seed=1)
# Weights of a random world that discovery should see; smaller and negative ones may be found or not.
STRONG = 2.0


@dataclass(frozen=True)
class Case:
    """A world in which one assumption does not hold.

    Attributes:
        spec: The world.
        error: What is counted as the error that this brings.
        wrong: The pairs of types that are that error, where it is one of pairs.
        max_lag: Longest lag that is tested.
    """

    spec: WorldSpec
    error: str = ""
    wrong: Pairs = frozenset()
    max_lag: int = MAX_LAG


REVERSED: Pairs = frozenset((effect, cause) for cause, effect in CHAIN)
CASES = {
    "nothing": Case(BASE),
    "effects that compete": Case(replace(BASE, memory=4, decay=0.3, edges=edges(3.0))),
    "hidden confounder": Case(
        replace(BASE, types=18, edges=edges(2.5, (15, 16, 6.0), (15, 17, 6.0)), hidden=(15,)),
        "edges between its effects",
        frozenset({(16, 17), (17, 16)}),
    ),
    "hidden mediator": Case(
        replace(BASE, edges=edges(2.5, (9, 10, 4.0), (10, 11, 4.0)), hidden=(10,)),
        "edge past the mediator",
        frozenset({(9, 11)}),
    ),
    "causes beyond the lag bound": Case(replace(BASE, memory=12, decay=0.1, edges=edges(1.5))),
    "ties of 2": Case(replace(BASE, ties=2), "reversed edges", REVERSED),
    "ties of 3": Case(replace(BASE, ties=3), "reversed edges", REVERSED),
    "causes that act only together": Case(replace(BASE, nonlinearity="product")),
    "causes that act above a threshold": Case(replace(BASE, nonlinearity="threshold", weight=2.0)),
    "5 % noise events": Case(replace(BASE, noise=0.05)),
    "15 % noise events": Case(replace(BASE, noise=0.15)),
    "30 % noise events": Case(replace(BASE, noise=0.30)),
    "random weights, no drift": Case(RANDOM),
    "random weights, half of them drift": Case(replace(RANDOM, drift=0.5), "edges that have ended"),
}


def measure_case(name: str, options: argparse.Namespace) -> list[dict]:
    """All rows of one case: the trained oracle, the exact one where there is one, and counting."""
    case, world = CASES[name], World(CASES[name].spec)
    simulated = simulate(world, options.sequences, seed=1)
    fresh = simulate(world, options.sequences if case.spec.drift else options.tested, seed=2)
    test = fresh.log.select(np.arange(len(fresh.log))[-options.tested :])
    codes = fresh.codes[-options.tested :]
    required, allowed, wrong = known(case, world)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        settings = TrainingSettings(
            preset=options.preset, gaps=False, epochs=options.epochs, batch_tokens=2048, learning_rate=3e-3, bf16=True
        )
        quality = train(simulated.log, Path(folder) / "trained", settings).quality
        seconds = time.monotonic() - started
        sources = {"trained": Path(folder) / "trained"}
        if case.spec.is_exact:
            save_oracle(world, Path(folder) / "exact")
            sources["exact"] = Path(folder) / "exact"
        for source, path in sources.items():
            found, scores = discovered(path, test, case.max_lag)
            row = {"case": name, "method": source, **judged(found, required, allowed, wrong)}
            if case.spec.is_exact:
                row |= by_lag(world, codes, scores, options.draws)
            if source == "trained":
                row |= {"loss": quality.loss, "seconds": seconds}
            if source == "trained" and case.spec.is_exact:
                knowable = math.log(case.spec.types) - simulated.entropy
                row["oracle_score"] = (quality.loss - simulated.entropy) / knowable
            rows.append(row)
    for method, score in (("bigram", bigram_adjacency), ("co-occurrence", windowed_cooccurrence)):
        log = simulated.log
        table = score(log.codes, log.offsets, case.spec.types, max_lag=case.max_lag)
        rows.append({"case": name, "method": method, **judged(best(table, len(required)), required, allowed, wrong)})
    return rows


def known(case: Case, world: World) -> tuple[Pairs, Pairs, Pairs]:
    """Pairs that should be found, pairs that may be, and pairs that are the error of the case."""
    last = world.drifted(case.spec.drift).acts()
    first, hidden = world.acts(), set(case.spec.hidden)

    def pairs(table: np.ndarray) -> Pairs:
        kept = ((int(cause), int(effect)) for cause, effect in np.argwhere(table))
        return frozenset((c, e) for c, e in kept if c != e and not hidden & {c, e})

    least = 0.0 if case.spec.edges else STRONG
    ended = pairs((first >= STRONG) & (last == 0)) if case.spec.drift else frozenset()
    return pairs(last > least), pairs(last != 0), case.wrong | ended


def discovered(folder: Path, log: EventLog, max_lag: int) -> tuple[Pairs, list]:
    """Edges of the population graph with default settings, and the scores behind them."""
    discover = CausalDiscoveryPipeline(model=load_model(folder))
    options = {"max_lag": max_lag, "proposal": "exhaustive"}
    scored = list(discover.scored(iter(log), **options))
    pool = PopulationPool(parse_threshold(discover.settings(**options).threshold))
    for sequence, scores in scored:
        pool.add(sequence, scores)
    code = {name: number for number, name in enumerate(log.event_types)}
    found = frozenset((code[edge["cause"]], code[edge["effect"]]) for edge in pool.graph().edges)
    return found, [scores for _, scores in scored]


def best(table: np.ndarray, count: int) -> Pairs:
    """The highest scores of a table, as many as asked for, self-loops left out."""
    table = np.where(np.eye(len(table), dtype=bool), -np.inf, table)
    highest = np.argsort(-table, axis=None, kind="stable")[:count]
    return frozenset((int(cell) // len(table), int(cell) % len(table)) for cell in highest)


def judged(found: Pairs, required: Pairs, allowed: Pairs, wrong: Pairs) -> dict:
    """Precision, recall and how many of the pairs that are the case's own error were found."""
    return {
        "found": len(found),
        "precision": len(found & allowed) / max(1, len(found)),
        "recall": len(found & required) / max(1, len(required)),
        "errors": len(found & wrong),
        "possible_errors": len(wrong),
        "false_edges": sorted(found - allowed),
        "missed_edges": sorted(required - found),
    }


def by_lag(world: World, codes: np.ndarray, scores: list, draws: int) -> dict:
    """Recall of true pairs of events: within the longest lag that was tested, and of all."""
    true, hit = np.zeros(world.spec.memory), np.zeros(world.spec.memory)
    for number, (sequence, found) in enumerate(zip(codes, scores, strict=True)):
        truth = replacement_scores(world, sequence, num_samples=draws, seed=number) > DELTA
        kept = (found.cmi > DELTA) & (found.lag <= world.spec.memory)
        table = np.zeros_like(truth)
        table[found.cause_position[kept], found.lag[kept] - 1] = True
        true, hit = true + truth.sum(0), hit + (truth & table).sum(0)
    return {"true_pairs_by_lag": true.astype(int).tolist(), "found_pairs_by_lag": hit.astype(int).tolist()}


def markdown(rows: list[dict]) -> str:
    """The table, readable."""
    lines = []
    for each in rows:
        own = f"{each['errors']} of {each['possible_errors']} {CASES[each['case']].error}"
        lines.append([
            each["case"], each["method"], each["found"], f"{each['precision']:.2f}", f"{each['recall']:.2f}",
            own if each["possible_errors"] else "", each.get("oracle_score", ""),
        ])  # fmt: skip
    columns = ("what is wrong", "oracle", "edges", "precision", "recall", "its own error", "oracle score")
    return table(columns, lines)


def measure(options: argparse.Namespace) -> Report:
    """The cases asked for."""
    rows, found = [], {}
    for name in options.case:
        rows += measure_case(name, options)
        print(markdown([row for row in rows if row["case"] == name]), flush=True)
    for row in rows:
        found |= named(row)
    return Report(rows, markdown(rows), found)


def named(row: dict) -> Metrics:
    """What ``expected.json`` holds of a row: nothing of counting."""
    tolerance = {"trained": 0.2, "exact": 0.1}.get(row["method"])
    columns = {key: (key, tolerance) for key in ("precision", "recall") if tolerance}
    if row["possible_errors"] and tolerance:
        columns["errors"] = ("errors", 2)
    return metrics([row], lambda row: f"{row['case']}, {row['method']}", columns)


RECIPE = Recipe(
    __file__,
    __doc__,
    "What goes wrong in a causal graph where an assumption does not hold?",
    measure,
    {
        "case": Size(list(CASES), ["nothing"]),
        "sequences": Size(5000, 40, "sequences to train on"),
        "tested": Size(40, 4, "fresh sequences to discover in"),
        "epochs": Size(2.0, 1.0),
        "preset": Size("tiny", "nano", "size of the model"),
        "draws": Size(200, 10, "of the truth of a pair of events"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
