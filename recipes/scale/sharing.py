# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""What do more processes save? Seconds with one and two, beside what the sharing-out alone lets expect, also of four.

    python recipes/scale/sharing.py --out runs/sharing

Every process has one thread. What is expected with n processes is the time of one, times the largest share of the work
that a process gets: of shards, by cost, for pairs of events (``runs.processes.shared_out``); of rounds in which each
process does a part, for effects of types and for what follows (``Processes.in_turn``). The rest is what starting,
reading and meeting cost. Measured is what the command itself says it took after reading.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import NotMeasured, Recipe, Report, Size, table
from known_graph import made_once

from hf_trace.discovery.by_type.by_type_run import taking_of
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.shards import cut_shards, sequence_costs
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log
from hf_trace.logs.windows import first_sequences
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.processes import ITEMS_A_ROUND, shared_out
from hf_trace.training.log_training import TrainingSettings

BATCH = 8
ASKED = {
    "pairs of events": ("--construction", "atomic", "--max-lag", "8"),
    "effects of types": ("--question", "drives"),
    "what follows": ("--question", "follows"),
}


def largest_share(costs: list[int], processes: int) -> float:
    """Share of the work of the process with the most of it, where shards are shared out by cost."""
    shares = shared_out(costs, processes)
    return max(sum(costs[shard] for shard in share) for share in shares) / sum(costs)


def in_rounds(costs: list[int], processes: int) -> float:
    """The same where each process does a part of every round, and all wait for the dearest."""
    size = ITEMS_A_ROUND * processes
    rounds = [costs[start : start + size] for start in range(0, len(costs), size)]
    return sum(max(sum(part[index::processes]) for index in range(processes)) for part in rounds) / sum(costs)


def expected(model: EventModel, windows: EventLog, options: argparse.Namespace) -> dict[str, Callable[[int], float]]:
    """The largest share with a number of processes, for everything that is asked."""
    lengths = windows.sequence_lengths
    of_pairs = sequence_costs(lengths, 8)
    shards = [int(of_pairs[shard.start : shard.stop].sum()) for shard in cut_shards(of_pairs, BATCH)]
    of_types = by_type_costs(model, windows)
    batches = [sum(of_types[start : start + BATCH]) for start in range(0, len(of_types), BATCH)]
    groups = group_costs(windows, options.contexts, len(model.tokenizer.event_types))
    return {
        "pairs of events": lambda processes: largest_share(shards, processes),
        "effects of types": lambda processes: in_rounds(batches, processes),
        "what follows": lambda processes: in_rounds(groups, processes),
    }


def group_costs(windows: EventLog, contexts: int, types: int) -> list[int]:
    """Contexts that are continued together are equally long; each costs a row for every type, as far as the horizon."""
    places = np.concatenate([np.arange(1, length) for length in windows.sequence_lengths])
    drawn = np.random.default_rng(0).choice(places, min(contexts, len(places)), replace=False)
    at_once = max(1, 2048 // types)
    return [
        int(size)
        for count in np.unique(drawn, return_counts=True)[1]
        for size in np.diff([*range(0, count, at_once), count])
    ]


def by_type_costs(model: EventModel, windows: EventLog) -> list[int]:
    """Tokens that the rows of each sequence read."""
    taking = taking_of(model, DiscoveryRequest().updated(question="drives", level="population"))
    encoded = [model.tokenizer.encode(sequence) for sequence in windows]
    return [
        len(ids.input_ids) + sum(edit.tails.shape[1] for edit in taking.edits(0, sequence, ids))
        for sequence, ids in zip(windows, encoded, strict=True)
    ]


def measured(options: argparse.Namespace, asked: tuple[str, ...], processes: int) -> float:
    """Seconds that the command says it took."""
    run, log, graph = (str(options.out / name) for name in ("run", "log.jsonl", f"graph-{processes}.json"))
    size = ("--num-contexts", str(options.contexts)) if "follows" in asked else ("--batch-size", str(BATCH))
    command = [sys.executable, "-m", "hf_trace", "discover", run, log, *asked, *size]
    command += ["--processes", str(processes), "--out", graph]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"sequences in ([\d.]+) s", done.stderr)
    if done.returncode or found is None:
        raise NotMeasured(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return float(found[1])


def measure(options: argparse.Namespace) -> Report:
    """All that can be shared out."""
    options.out.mkdir(parents=True, exist_ok=True)
    log = alarms_log()
    model = EventModel.load(
        made_once(options.out / "run", log, TrainingSettings(window_length=64, epochs=options.epochs))
    )
    windows = first_sequences(model.windows(log).log, options.windows)
    records = "".join(json.dumps(record) + "\n" for record in windows.to_records())
    (options.out / "log.jsonl").write_text(records, encoding="utf-8")
    rows = []
    for name, share in expected(model, windows, options).items():
        row: dict = {"asked": name}
        for processes in options.processes:
            row[f"seconds with {processes}"] = measured(options, ASKED[name], processes)
            row[f"ratio with {processes}"] = row["seconds with 1"] / row[f"seconds with {processes}"]
        row |= {f"expected with {processes}": 1 / share(processes) for processes in (2, 4)}
        same = {(options.out / f"graph-{processes}.json").read_bytes() for processes in options.processes}
        rows.append(row | {"same bytes": len(same) == 1})
        print(json.dumps(rows[-1]), file=sys.stderr)
    keys = list(rows[0])
    named = {f"{row['asked']}: {key}": (row[key], 0.2 * row[key]) for row in rows for key in keys if "with" in key}
    named |= {f"{row['asked']}: same bytes": (float(row["same bytes"]), 0.0) for row in rows}
    lines = [[f"{row[key]:.3g}" if isinstance(row[key], float) else row[key] for key in keys] for row in rows]
    return Report(rows, table(keys, lines), {name: pair for name, pair in named.items() if np.isfinite(pair[0])})


RECIPE = Recipe(
    __file__,
    __doc__,
    "What do more processes save?",
    measure,
    {
        "processes": Size([1, 2], [1], "that are really started"),
        "windows": Size(400, 10, "of alarms"),
        "contexts": Size(512, 4, "in which events are forced"),
        "epochs": Size(4.0, 0.1, "of training"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
