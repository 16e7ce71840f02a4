# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Ten million events: generated, trained on in one pass, a sample of them analysed, with the memory of every stage.

python recipes/scale/scale.py --out runs/scale

A hundred million, of which the first million are simulated and trained on, and come again under other names:

python recipes/scale/scale.py --out runs/larger --events 100_000_000 --distinct 1_000_000 --train-files 'part-000[0-3]'
"""

import argparse
import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from harness import NotMeasured, Recipe, Report, Size, panels, table
from matplotlib.figure import Figure
from transformers import LlamaConfig

from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, load_spec

WORLD, LENGTH = "small", 64
DRAWS, LAG = 16, 6
SECONDS_BETWEEN = 0.5
READ_WHOLE = 20_000_000  # more would fill the memory of many machines
# Small, so that ten million events are a few minutes of one core.
SHAPE = {
    "vocab_size": 104, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": LENGTH + 2,
}  # fmt: skip


def generate(folder: Path, options: argparse.Namespace) -> dict:
    """Parquet files of sequences of a world, one after another."""
    folder.mkdir(parents=True, exist_ok=True)
    per_file = options.sequences_per_file
    world, started = World(load_spec(WORLD)), time.monotonic()
    files, distinct = (-(-events // (per_file * LENGTH)) for events in (options.events, options.distinct))
    simulated = cache(lambda number: simulate(world, per_file, seed=number))
    entropies = []
    for number in range(files):
        written = simulated(number % distinct) if distinct < files else simulate(world, per_file, seed=number)
        log = written.log
        entropies.append(written.entropy)
        cases = np.repeat(np.arange(len(log)) + number * per_file, log.sequence_lengths)
        names = pa.DictionaryArray.from_arrays(log.codes, list(log.event_types)).cast(pa.string())
        rows = pa.table({"case": cases, "event": names, "time": log.timestamps})
        pq.write_table(rows, folder / f"part-{number:04d}.parquet", row_group_size=65_536)
    return {
        "files": files,
        "events": files * per_file * LENGTH,
        "sequences": files * per_file,
        "megabytes": round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1),
        "entropy": float(np.mean(entropies)),
        "seconds": round(time.monotonic() - started, 1),
    }


def watched(command: list[str]) -> tuple[float, list[tuple[float, float]]]:
    """Seconds of a command, and its resident megabytes over time."""
    started, memory = time.monotonic(), []
    process = subprocess.Popen(command)
    seen = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            memory.append((round(time.monotonic() - started, 1), round(seen.memory_info().rss / 1e6, 1)))
        except psutil.Error:
            break
        time.sleep(SECONDS_BETWEEN)
    if process.wait():
        raise NotMeasured(f"{' '.join(command[1:5])} ended with {process.returncode}.")
    return time.monotonic() - started, memory


def growth(memory: list[tuple[float, float]]) -> float:
    """Megabytes by which the last quarter is above the second one: what comes after everything is loaded."""
    values = np.array([megabytes for _, megabytes in memory])
    quarter = len(values) // 4
    if not quarter:
        return 0.0
    return round(float(np.median(values[-quarter:]) - np.median(values[quarter : 2 * quarter])), 1)


def draw(memory: dict[str, list[tuple[float, float]]]) -> Figure:
    """Resident memory of the stages over time."""
    figure, axes = panels(7, 3.5)
    for name, points in memory.items():
        axes.plot(*np.array(points).T, label=name)
    axes.set(xlabel="seconds", ylabel="resident memory (MB)", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The stages."""
    run, config, events = options.out / "run", options.out / "config", options.out / "events"
    files = f"{events}/*.parquet"
    LlamaConfig(**SHAPE).save_pretrained(config)
    cli = [sys.executable, "-m", "hf_trace"]
    stages = {
        "train --stream": [
            *cli, "train", f"{events}/{options.train_files}.parquet", "--stream", "--no-gaps",
            "--window-length", str(LENGTH), "--model", str(config), "--out", str(run),
        ],
        "discover --stream --sample": [
            *cli, "discover", str(run), files, "--stream", "--sample", str(options.sample), "--max-lag", str(LAG),
            "--num-samples", str(DRAWS), "--out", str(options.out / "graph.json"),
        ],
    }  # fmt: skip
    if options.events <= READ_WHOLE:
        stages["read whole"] = [sys.executable, "-c", f"import hf_trace; hf_trace.read_log({files!r})"]
    return stages


def measure(options: argparse.Namespace) -> Report:
    """Run all stages."""
    found: dict[str, dict] = {"generated": generate(options.out / "events", options)}
    memory, total = {}, found["generated"]["events"]
    for name, command in commands(options).items():
        seconds, memory[name] = watched(command)
        found[name] = {
            "seconds": round(seconds, 1),
            "peak_megabytes": max(megabytes for _, megabytes in memory[name]),
            "growth_megabytes": growth(memory[name]),
        }
    for name in memory:
        read = total
        if name == "train --stream":
            read = len(list((options.out / "events").glob(f"{options.train_files}.parquet"))) * total
            read //= found["generated"]["files"]
        found[name]["events_per_second"] = round(read / found[name]["seconds"])
    trained = json.loads((options.out / "run" / "metrics.json").read_text(encoding="utf-8"))
    found["train --stream"] |= {key: trained[key] for key in ("seconds_counting", "steps", "validation")}
    stages = list(memory)
    rows = [[name, found[name]["seconds"], f"{found[name]['peak_megabytes']:,.0f} MB"] for name in stages]
    loss = {f"validation loss, {key}": trained["validation"][key] for key in ("loss", "bigram")}
    named = {
        "events": (total, 0), "train --stream: events per second": (found[stages[0]]["events_per_second"], 12_000),
        **{f"{name}: peak megabytes": (found[name]["peak_megabytes"], 150) for name in stages},
        **{f"{name}: growth in megabytes": (found[name]["growth_megabytes"], 10) for name in stages[:2]},
        **{name: (value, 0.05) for name, value in loss.items()},
        "entropy of the world": (found["generated"]["entropy"], 0.01),
    }  # fmt: skip
    cost = {name: found[name]["seconds"] for name in ("generated", *stages)}
    return Report(found, table(("stage", "seconds", "peak memory"), rows, digits=0), named, draw(memory), cost)


RECIPE = Recipe(
    __file__,
    __doc__,
    "Ten million events in constant memory?",
    measure,
    {
        "events": Size(10_000_000, 4_000),
        "sequences_per_file": Size(4096, 32),
        "sample": Size(1000, 4, "sequences that are analysed"),
        "distinct": Size(10**9, 10**9, "events that are simulated; more are the same again under other names"),
        "train_files": Size("*", "*", "names of the files that are trained on, without their ending"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
