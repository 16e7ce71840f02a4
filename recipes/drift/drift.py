"""Which edges change on the way through a log, and how many that do not are flagged all the same?

Two worlds with random weights: in one, half of the weights are replaced between the first sequence and the last, in the
other none. An oracle is trained on each and told which of four parts of the log a sequence belongs to; in a fresh log
of the same world the parts are compared edge by edge. A second oracle is not told.

python recipes/drift/drift.py --out runs/drift
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.causal.population import PopulationPool
from hf_trace.causal.thresholds import parse_threshold
from hf_trace.data.contexts import with_derived
from hf_trace.data.worlds.simulate import simulate
from hf_trace.data.worlds.spec import WorldSpec
from hf_trace.data.worlds.world import World
from hf_trace.hub.discovery_run import load_pipeline
from hf_trace.hub.training import TrainingSettings, train

WORLD = WorldSpec(types=16, memory=3, decay=0.7, weight=3.0, sparsity=0.9, length=48)
PARTS = "@parts:4"
OPTIONS: dict[str, Any] = {"max_lag": 3, "proposal": "exhaustive"}
# Weights above this are causes that discovery should see; an edge changes that has one and loses or gains it.
STRONG = 2.0


@dataclass(frozen=True)
class Size:
    """How much is simulated and trained."""

    training: int
    tested: int
    epochs: float
    seeds: int


FULL = Size(training=5000, tested=400, epochs=2.0, seeds=3)
SMALL = Size(training=300, tested=48, epochs=1.0, seeds=1)


def compared(spec: WorldSpec, size: Size, folder: Path, *, told: bool) -> tuple[PopulationPool, float]:
    """A pool of fresh sequences of a world, scored by an oracle that is told their part or not."""
    world = World(spec)
    learned = with_derived(simulate(world, size.training, seed=1).log, [PARTS])
    fresh = with_derived(simulate(world, size.tested, seed=2).log, [PARTS])
    settings = TrainingSettings(
        gaps=False, epochs=size.epochs, batch_tokens=2048, learning_rate=3e-3, bf16=True
    )
    log = learned if told else replace(learned, contexts=())
    quality = train(log, folder, settings).quality
    discover = load_pipeline(folder)
    pool = PopulationPool(parse_threshold("margin:0.05"), keep_sequences=True)
    for sequence, scores in discover.scored(iter(fresh), **OPTIONS):
        pool.add(sequence, scores)
    return pool, quality.loss


def kinds(spec: WorldSpec) -> dict[str, set[tuple[str, str]]]:
    """Pairs of types that gain or lose a strong weight, and those whose weight stays as it is."""
    first, last = World(spec).acts(), World(spec).drifted(spec.drift).acts()
    names = simulate(World(spec), 1, seed=0).log.event_types

    def pairs(table: np.ndarray) -> set[tuple[str, str]]:
        return {(names[c], names[e]) for c, e in np.argwhere(table) if c != e}

    low, high = np.minimum(first, last), np.maximum(first, last)
    return {
        "changed": pairs((high >= STRONG) & (low <= 0)),
        "kept": pairs((first == last) & (first >= STRONG)),
        "same": pairs(first == last),
    }


def judged(pool: PopulationPool, spec: WorldSpec) -> dict[str, Any]:
    """Flags of the pairs that were compared, by what is true of them."""
    found = pool.compared([PARTS])[0]
    names = pool.event_types
    of = {(names[c], names[e]): number for number, (c, e) in enumerate(found.pairs)}
    tested = {pair for pair, number in of.items() if not np.isnan(found.p_value[number])}
    counts = {}
    for kind, pairs in kinds(spec).items():
        numbers = [of[pair] for pair in pairs & tested]
        counts[kind] = {
            "pairs": len(pairs & set(of)),
            "compared": len(numbers),
            "flagged": int(found.differs[numbers].sum()),
            "p below .05": int((found.p_value[numbers] < 0.05).sum()),
        }
    return counts


def added_up(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of several seeds."""
    return {
        kind: {name: sum(part[kind][name] for part in parts) for name in parts[0][kind]} for kind in parts[0]
    }


def measure(size: Size) -> list[dict[str, Any]]:
    """One row for each world and oracle."""
    rows = []
    for name, drift, told in (
        ("half of the weights drift", 0.5, True),
        ("half of the weights drift, the oracle is not told", 0.5, False),
        ("nothing drifts", 0.0, True),
    ):
        started, parts, losses = time.monotonic(), [], []
        for seed in range(1, size.seeds + 1):
            spec = replace(WORLD, drift=drift, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                pool, loss = compared(spec, size, Path(folder) / "run", told=told)
            parts.append(judged(pool, spec))
            losses.append(loss)
        seconds = round(time.monotonic() - started)
        rows.append({"world": name, **added_up(parts), "losses": losses, "seconds": seconds})
        print(markdown(rows[-1:]), flush=True)
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, readable."""
    lines = [
        "| world | edges that come or go: flagged | edges that stay: flagged | pairs of unchanged weight: flagged |",
        "|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{row[kind]['flagged']} of {row[kind]['pairs']}" for kind in ("changed", "kept", "same")]
        lines.append(f"| {row['world']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all worlds and write JSON and Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/drift"))
    parser.add_argument("--smoke", action="store_true", help="everything in small, to see that it runs")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = measure(SMALL if options.smoke else FULL)
    (options.out / "drift.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (options.out / "drift.md").write_text(markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
