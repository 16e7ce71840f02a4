"""Ten million events: generated, trained on in one pass, a sample of them analysed, with the memory of every stage.

python recipes/scale/scale.py --out runs/scale
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import LlamaConfig

from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, load_spec

WORLD, LENGTH, SEQUENCES_PER_FILE = "small", 64, 4096
SAMPLE, DRAWS, LAG = 1000, 16, 6
SECONDS_BETWEEN = 0.5
# Small, so that ten million events are a few minutes of one core.
SHAPE = {
    "vocab_size": 104, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": LENGTH + 2,
}  # fmt: skip


def generate(folder: Path, events: int) -> dict:
    """Parquet files of sequences of a world, one after another."""
    folder.mkdir(parents=True, exist_ok=True)
    world, started, entropies = World(load_spec(WORLD)), time.monotonic(), []
    files = -(-events // (SEQUENCES_PER_FILE * LENGTH))
    for number in range(files):
        written = simulate(world, SEQUENCES_PER_FILE, seed=number)
        log = written.log
        entropies.append(written.entropy)
        cases = np.repeat(np.arange(len(log)) + number * SEQUENCES_PER_FILE, log.sequence_lengths)
        names = pa.DictionaryArray.from_arrays(log.codes, list(log.event_types)).cast(pa.string())
        table = pa.table({"case": cases, "event": names, "time": log.timestamps})
        pq.write_table(table, folder / f"part-{number:04d}.parquet", row_group_size=65_536)
    return {
        "files": files,
        "events": files * SEQUENCES_PER_FILE * LENGTH,
        "sequences": files * SEQUENCES_PER_FILE,
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
        sys.exit(process.returncode)
    return time.monotonic() - started, memory


def growth(memory: list[tuple[float, float]]) -> float:
    """Megabytes by which the last quarter is above the second one: what comes after everything is loaded."""
    values = np.array([megabytes for _, megabytes in memory])
    quarter = len(values) // 4
    return round(float(np.median(values[-quarter:]) - np.median(values[quarter : 2 * quarter])), 1)


def picture(memory: dict[str, list[tuple[float, float]]], out: Path) -> None:
    """Resident memory of the stages over time."""
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for name, points in memory.items():
        axes.plot(*np.array(points).T, label=name)
    axes.set(xlabel="seconds", ylabel="resident memory (MB)", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=120)


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=10_000_000)
    task = parser.parse_args()
    events, run = task.out / "events", task.out / "run"
    found = {"generated": generate(events, task.events)}
    files, total = f"{events}/*.parquet", found["generated"]["events"]
    cli = [sys.executable, "-m", "hf_trace"]
    config = task.out / "config"
    LlamaConfig(**SHAPE).save_pretrained(config)
    stages = {
        "train --stream": [
            *cli, "train", files, "--stream", "--no-gaps", "--window-length", str(LENGTH), "--model", str(config),
            "--out", str(run),
        ],
        "discover --stream --sample": [
            *cli, "discover", str(run), files, "--stream", "--sample", str(SAMPLE), "--max-lag", str(LAG),
            "--num-samples", str(DRAWS), "--out", str(task.out / "graph.json"),
        ],
        "read whole": [sys.executable, "-c", f"import hf_trace; hf_trace.read_log({files!r})"],
    }  # fmt: skip
    memory = {}
    for name, command in stages.items():
        seconds, memory[name] = watched(command)
        found[name] = {
            "seconds": round(seconds, 1),
            "peak_megabytes": max(megabytes for _, megabytes in memory[name]),
            "growth_megabytes": growth(memory[name]),
        }
    for name in ("train --stream", "read whole"):
        found[name]["events_per_second"] = round(total / found[name]["seconds"])
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    found["train --stream"] |= {key: metrics[key] for key in ("seconds_counting", "steps", "validation")}
    (task.out / "expected.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    picture(memory, task.out / "memory.png")


if __name__ == "__main__":
    main()
