# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Is a false discovery rate of 0.1 one? Edges against the known causes of simulated worlds, at three rates.

    python recipes/calibration/calibration.py --out runs/calibration [--world small] [--part exact|trained]

Exact oracles err by their draws alone; trained ones also by what they were trained on. No setting is chosen on the
sequences that are scored here.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from exact_oracle import MAX_LAG, scored, scored_exactly, true_effects
from harness import Recipe, Report, Size, interval, metrics, panels, table
from matplotlib.figure import Figure
from scipy.stats import false_discovery_control
from surrogates import frequency_bands, p_values, shuffled

from hf_trace.discovery.confidence import largest_set, pooled
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import Fdr
from hf_trace.logs.log import EventLog
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import event_log_probs
from hf_trace.runs.folders import load_model
from hf_trace.runs.members import member_folders, member_seed
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import DELTA, Simulation, simulate
from hf_trace.worlds.world import WORLDS, World

EXACT = ("steep", "medium", "flat", "small")
# Sequences trained on, tokens each oracle reads, oracles.
TRAINED = {"small": (20_000, 1_300_000, 4), "small-medium": (12_000, 800_000, 3)}
RATES = (0.05, 0.1, 0.2)
BANDS = 4
NO_EFFECT = 1e-3
BINS = np.array([0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0])
# Sequences scored are of other seeds than those trained on.
SCORED_SEED = 7_000_000


def score(oracle: Oracle, tokenizer: EventTokenizer, log: EventLog, seed: int) -> list[PairScores]:
    """Scores of all sequences of a log."""
    return scored(oracle, [tokenizer.encode(sequence) for sequence in log], tokenizer.event_ids, seed)


def true_scores(world: World, codes: np.ndarray, scores: list[PairScores]) -> list[np.ndarray]:
    """What replacing the cause really does to the effect, in nats, for every pair that was scored."""
    effects = true_effects(world, codes)
    return [effect[pairs.cause_position, pairs.lag - 1] for effect, pairs in zip(effects, scores, strict=True)]


def measured(world: str, seed: int, oracle: str, scores: list[PairScores], truth: list[np.ndarray]) -> dict:
    """Realised false discovery rate and recall at every nominal rate, with what confidence is worth."""
    confidence = [Fdr(0.1).confidence(pairs) for pairs in scores]
    kept = {
        f"fdr:{rate:g}": [largest_set(sure, rate) for sure in confidence] for rate in RATES
    }  # as Fdr(rate).keep, without fitting the prior again
    kept["margin:0.05"] = [pairs.cmi > DELTA for pairs in scores]
    rules = {name: counted(keep, truth) for name, keep in kept.items()}
    sure, known = np.concatenate(confidence), np.concatenate(truth) > DELTA
    band = np.clip(np.searchsorted(BINS, sure, side="right") - 1, 0, len(BINS) - 2)
    curve = [
        {
            "pairs": int((band == b).sum()),
            "confidence": float(sure[band == b].mean()),
            "true": float(known[band == b].mean()),
        }
        for b in range(len(BINS) - 1)
        if (band == b).any()
    ]
    facts = {"world": world, "seed": seed, "oracle": oracle, "base_rate": float(known.mean())}
    return {**facts, "rules": rules, "curve": curve}


def counted(keep: list[np.ndarray], truth: list[np.ndarray]) -> dict:
    """Discoveries and errors per sequence, so that intervals can resample sequences."""
    return {
        "found": [int(k.sum()) for k in keep],
        "false": [int((k & (t <= DELTA)).sum()) for k, t in zip(keep, truth, strict=True)],
        "null": [int((k & (t < NO_EFFECT)).sum()) for k, t in zip(keep, truth, strict=True)],
        "true": [int((t > DELTA).sum()) for t in truth],
    }


def exact(name: str, seed: int, count: int) -> list[dict]:
    """A world read by its exact oracle."""
    world = World(replace(WORLDS[name], seed=seed))
    simulation = simulate(world, count, seed=SCORED_SEED + seed)
    scores = scored_exactly(world, simulation.codes, seed)
    return [measured(name, seed, "exact", scores, true_scores(world, simulation.codes, scores))]


def trained(name: str, options: argparse.Namespace) -> list[dict]:
    """A world read by an ensemble trained on its log, by one oracle of it, and beside a surrogate null."""
    world = World(WORLDS[name])
    out, count = options.out, options.sequences
    sequences, tokens, ensemble = (200, 3_000, 2) if options.smoke else TRAINED[name]
    log = simulate(world, sequences, seed=0).log
    preset = "nano" if options.smoke else "tiny"
    settings = TrainingSettings(preset=preset, gaps=False, max_tokens=tokens, ensemble=ensemble)
    run, null_run = out / name, out / f"{name}-surrogate"
    for folder, data, how in ((run, log, settings), (null_run, shuffled(log, 0), replace(settings, ensemble=1))):
        if not (folder / "metrics.json").exists():
            train(data, folder, how)
    tokenizer = EventTokenizer.from_pretrained(run)
    simulation = simulate(world, count, seed=SCORED_SEED)
    oracles = [Oracle(load_model(folder)) for folder in (run, *member_folders(run))]
    by_oracle = [
        score(oracle, tokenizer, simulation.log, member_seed(0, number)) for number, oracle in enumerate(oracles)
    ]
    truth = true_scores(world, simulation.codes, by_oracle[0])
    together = [pooled(each) for each in zip(*by_oracle, strict=True)]
    rows = [
        measured(name, 0, "trained, one", by_oracle[0], truth),
        measured(name, 0, f"trained, {len(oracles)}", together, truth),
    ]
    rows.append(surrogate(name, null_run, tokenizer, log, simulation, by_oracle[0], truth))
    quality = [excess_loss(world, oracle, tokenizer, simulation) for oracle in oracles]
    return [{**row, "oracle_score": quality} for row in rows]


def excess_loss(world: World, oracle: Oracle, tokenizer: EventTokenizer, simulation: Simulation) -> float:
    """(loss - H) / (ln types - H) on the sequences scored: 0 is perfect, below 0.1 is usable."""
    loss = -float(np.mean(event_log_probs(oracle, [tokenizer.encode(each) for each in simulation.log])))
    return (loss - simulation.entropy) / (np.log(world.spec.types) - simulation.entropy)


def surrogate(
    name: str,
    run: Path,
    tokenizer: EventTokenizer,
    log: EventLog,
    simulation: Simulation,
    scores: list[PairScores],
    truth: list[np.ndarray],
) -> dict:
    """Benjamini-Hochberg on p-values from a model of the same events in no order."""
    null_log = shuffled(simulate(World(WORLDS[name]), 4 * len(truth), seed=SCORED_SEED + 1).log, 1)
    null = score(Oracle(load_model(run)), EventTokenizer.from_pretrained(run), null_log, 0)
    counts = np.bincount(log.codes, minlength=len(log.event_types))
    band_of = dict(zip(log.event_types, frequency_bands(counts, BANDS), strict=True))

    def strata(sequences: EventLog, pairs: list[PairScores]) -> list[np.ndarray]:
        bands = [np.array([band_of[event] for event in sequence.events]) for sequence in sequences]
        return [band[each.effect_position] * MAX_LAG + each.lag for band, each in zip(bands, pairs, strict=True)]

    null_scores = np.concatenate([pairs.cmi for pairs in null])
    null_strata = np.concatenate(strata(null_log, null))
    p = [
        p_values(pairs.cmi, stratum, null_scores, null_strata)
        for pairs, stratum in zip(scores, strata(simulation.log, scores), strict=True)
    ]
    # One family of hypotheses: all pairs of all sequences.
    cuts, adjusted = np.cumsum([len(each) for each in p])[:-1], false_discovery_control(np.concatenate(p))
    rules = {f"bh:{rate:g}": counted(np.split(adjusted <= rate, cuts), truth) for rate in RATES}
    known = np.concatenate(truth)
    return {
        "world": name, "seed": 0, "oracle": "surrogate", "base_rate": float((known > DELTA).mean()),
        "no_effect": float((known < NO_EFFECT).mean()), "rules": rules, "curve": [],
    }  # fmt: skip


def table_of(rows: list[dict]) -> list[dict]:
    """Rates over all seeds of a world, with 95 % intervals from resampled sequences."""
    lines = []
    for world, oracle in dict.fromkeys((row["world"], row["oracle"]) for row in rows):
        mine = [row for row in rows if (row["world"], row["oracle"]) == (world, oracle)]
        for rule in mine[0]["rules"]:
            sums = {what: np.concatenate([row["rules"][rule][what] for row in mine]) for what in mine[0]["rules"][rule]}
            low, high = interval(sums["false"], whole=sums["found"])
            lines.append({
                "world": world, "oracle": oracle, "rule": rule,
                "fdr": share(sums["false"], sums["found"]), "fdr_low": low, "fdr_high": high,
                "null_fdr": share(sums["null"], sums["found"]),
                "recall": share(sums["found"] - sums["false"], sums["true"]),
                "found": int(sums["found"].sum()),
            })  # fmt: skip
    return lines


def share(part: np.ndarray, whole: np.ndarray) -> float:
    """A rate over all sequences; 0 where there is nothing."""
    return float(part.sum() / max(whole.sum(), 1))


def markdown(lines: list[dict]) -> str:
    """The table, readable."""
    columns = (
        "world",
        "oracle",
        "rule",
        "false (at most 0.05 nats)",
        "without effect (below 0.001)",
        "recall",
        "pairs",
    )
    rows = [
        [
            *(each[name] for name in columns[:3]),
            f"{each['fdr']:.3f} ({each['fdr_low']:.3f}-{each['fdr_high']:.3f})",
            each["null_fdr"],
            each["recall"],
            f"{each['found']:,}",
        ]
        for each in lines
    ]
    return table(columns, rows)


def draw(rows: list[dict], lines: list[dict]) -> Figure:
    """Nominal against realised rates, and confidence against the share of true pairs."""
    figure, (rates, curves) = panels(9, 4.2, 1, 2)
    for axis, top in ((rates, 0.4), (curves, 1.0)):
        axis.plot([0, top], [0, top], color="0.7", lw=1)
    for world, oracle in dict.fromkeys((row["world"], row["oracle"]) for row in rows):
        label, style = f"{world}, {oracle}", "o-" if oracle == "exact" else "s--"
        prefix, what = ("bh:", "null_fdr") if oracle == "surrogate" else ("fdr:", "fdr")
        found = {row["rule"]: row[what] for row in lines if (row["world"], row["oracle"]) == (world, oracle)}
        rates.plot(RATES, [found[f"{prefix}{rate:g}"] for rate in RATES], style, ms=4, lw=1, label=label)
        points = pooled_curve([row["curve"] for row in rows if (row["world"], row["oracle"]) == (world, oracle)])
        curves.plot(*points, style, ms=4, lw=1, label=label)
    rates.set(xlabel="false discovery rate asked for", ylabel="realised (surrogate: no effect at all)")
    curves.set(xlabel="confidence", ylabel="share of pairs that are true")
    rates.legend(fontsize=6)
    return figure


def pooled_curve(curves: list[list[dict]]) -> list[list[float]]:
    """Mean confidence and share of true pairs in every bin, over seeds."""
    bins: dict[int, list[dict]] = {}
    for point in (point for curve in curves for point in curve):
        bins.setdefault(int(np.searchsorted(BINS, point["confidence"], side="right")), []).append(point)
    ordered = [bins[number] for number in sorted(bins)]
    weights = [[point["pairs"] for point in points] for points in ordered]
    return [
        [
            float(np.average([point[name] for point in points], weights=weight))
            for points, weight in zip(ordered, weights, strict=True)
        ]
        for name in ("confidence", "true")
    ]


def measure(options: argparse.Namespace) -> Report:
    """Every part and world asked for, joined with what earlier runs have left in the folder."""
    worlds = {"exact": EXACT, "trained": TRAINED}
    for part in options.part:
        for world in (each for each in worlds[part] if each in options.world):
            if part == "exact":
                rows = [row for seed in range(options.seeds) for row in exact(world, seed, options.sequences)]
            else:
                rows = trained(world, options)
            (options.out / f"{part}-{world}.json").write_text(json.dumps(rows) + "\n", encoding="utf-8")
            print(markdown(table_of(rows)), flush=True)
    paths = sorted(options.out.glob("*-*.json"))
    rows = [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]
    lines = table_of(rows)
    columns = {"fdr": "false", "null_fdr": "without effect", "recall": "recall"}
    named: dict = {}
    for line in lines:
        tolerance = 0.04 if line["oracle"] == "exact" else 0.08
        named |= metrics(
            [line], lambda row: "{world}, {oracle}, {rule}".format(**row),
            {key: (name, tolerance) for key, name in columns.items()},
        )  # fmt: skip
    return Report({"table": lines, "rows": rows}, markdown(lines), named, draw(rows, lines))


RECIPE = Recipe(
    __file__,
    __doc__,
    "Is a false discovery rate of 0.1 one?",
    measure,
    {
        "world": Size(sorted({*EXACT, *TRAINED}), ["small"]),
        "part": Size(["exact", "trained"], ["exact", "trained"]),
        "seeds": Size(3, 1, "worlds of each kind read by exact oracles"),
        "sequences": Size(16, 2, "sequences scored of each world"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
