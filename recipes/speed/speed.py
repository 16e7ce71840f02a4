# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Measures the scoring engine: against seq2cause, against the machine, and as logs grow.

    python recipes/speed/speed.py --out runs/speed --seq2cause-python OTHER_ENV/bin/python

Every figure is the median of several runs in a process of its own, after a warm-up; peak memory is that process's
largest resident set, interpreter and libraries included. Models are random, sequences uniform: speed depends on
neither.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import worker
from harness import Metrics, NotMeasured, Recipe, Report, Size, panels, table
from matplotlib.figure import Figure
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from worker import PREFIX, SPECIAL

from hf_trace.logs.samples import alarms_log
from hf_trace.logs.windows import cut_windows
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import merge_draws
from hf_trace.oracle.rows import atomic
from hf_trace.pipelines.discovery_pipeline import load_pipeline
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.architectures import build_model
from hf_trace.training.log_training import TrainingSettings, train

HERE = Path(__file__).parent
AGAINST_PEER = [(1000, 64, 32), (1000, 128, 8), (1000, 256, 8), (29100, 64, 8), (29100, 128, 4)]
BY_TYPE = [(1000, 64, 32), (1000, 256, 8), (29100, 64, 8)]  # draws are the peer's
CONTEXT = 128
AXES = ("length", "types", "sequences")
LONG = 10_000  # events that are measured once
_PEER: dict[str, dict] = {}
SMALL = {"layers": 2, "width": 128}
WAYS = {
    "all_float32": (None, "float32"), "all_bfloat16": (None, "bfloat16"),
    "lag8_float32": (8, "float32"), "lag8_bfloat16": (8, "bfloat16"),
}  # fmt: skip
BY_TYPE_WAYS = {**WAYS, "lag16_float32": (16, "float32"), "lag16_bfloat16": (16, "bfloat16")}


def make_model(folder: str, types: int, context: int, *, layers: int = 4, width: int = 256, heads: int = 4) -> None:
    """A random Llama; the widest token count it must read is ``context``."""
    torch.manual_seed(0)
    shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    config = LlamaConfig(vocab_size=types, num_attention_heads=heads, max_position_embeddings=max(context, 16), **shape)
    LlamaForCausalLM(config).save_pretrained(folder)


def make_sequence(types: int, length: int, seed: int = 0) -> list[int]:
    """A start token and uniform events."""
    events = np.random.default_rng(seed).integers(SPECIAL, types, length - 1)
    return [1, *events.tolist()]


def matrix_rate(dtype: str, types: int, repeats: int) -> float:
    """FLOP per second of this machine on the model's own matrix shapes, weighted by their work."""
    kind, total, spent = getattr(torch, dtype), 0, 0.0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = [(256, 256, 4), (256, 1024, 2), (1024, 256, 1), (256, types, 0.25)]
    for inner, outer, times in shapes:
        left, right = (torch.randn(*size, dtype=kind, device=device) for size in ((2048, inner), (outer, inner)))
        best = min(
            timed(lambda left=left, right=right: torch.nn.functional.linear(left, right), repeats)
            for _ in range(min(5, repeats))
        )
        total += times * 2 * 2048 * inner * outer
        spent += times * best
    return total / spent


def timed(function: Callable[[], object], repeats: int) -> float:
    """Seconds of one call, averaged after a warm-up."""
    function()
    started = time.perf_counter()
    for _ in range(repeats):
        function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def call(python: str, script: str, job: dict) -> dict:
    """Run a job in a process of its own."""
    command = [python, str(HERE / script)]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"{script} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout)


def ours(options: argparse.Namespace, **job: object) -> dict:
    """One measurement of this package."""
    job = {"runs": options.runs, "dtype": "float32", **job}
    return worker.measured(job) if options.smoke else call(sys.executable, "worker.py", job)


def against_peer(folder: str, options: argparse.Namespace) -> list[dict]:
    """Wall ratios and peak memory, same model, sequence and number of draws."""
    found = []
    for cell in [(100, 16, 2)] if options.smoke else AGAINST_PEER:
        row = compared(folder, options, cell, WAYS)
        if options.seq2cause_python and cell[:2] == (1000, 64):
            model = f"{folder}/{cell[0]}-{cell[1]}"
            row |= agreement(folder, model, make_sequence(*cell[:2]), options.seq2cause_python)
        found.append(row)
        print(json.dumps(row), file=sys.stderr)
    return found


def by_type(folder: str, options: argparse.Namespace) -> list[dict]:
    """The same of by-type effects, whose rows are one for each type instead of one for each event and draw."""
    found = []
    for cell in [(100, 16, 2)] if options.smoke else BY_TYPE:
        found.append(compared(folder, options, cell, BY_TYPE_WAYS, by_type=True))
        print(json.dumps(found[-1]), file=sys.stderr)
    return found


def compared(folder: str, options: argparse.Namespace, cell: tuple[int, int, int], ways: dict, **job: object) -> dict:
    """Seconds and peak memory of one sequence, this package in several ways and the peer."""
    types, length, draws = cell
    model, sequence = f"{folder}/{types}-{length}", make_sequence(types, length)
    make_model(model, types, length)
    row: dict = {"types": types, "length": length, "draws": draws}
    for name, (lag, dtype) in ways.items():
        mine = ours(options, model=model, sequences=[sequence], draws=draws, max_lag=lag, dtype=dtype, **job)
        row |= {f"{name}_seconds": mine["seconds"], f"{name}_peak_bytes": mine["peak_bytes"]}
    if options.seq2cause_python:
        theirs = of_peer(options, model, sequence, draws)
        row |= {f"peer_{key}": value for key, value in theirs.items()}
        row |= {f"ratio_{name}": theirs["seconds"] / row[f"{name}_seconds"] for name in ways}
    return row


def of_peer(options: argparse.Namespace, model: str, sequence: list[int], draws: int) -> dict:
    """Seconds and peak memory of the peer's graph of a sequence, measured once for all parts."""
    if model not in _PEER:
        task = {"model": model, "sequence": sequence, "draws": draws, "prefix": PREFIX, "runs": options.runs}
        _PEER[model] = call(options.seq2cause_python, "peer.py", task)
    return _PEER[model]


def agreement(folder: str, model: str, sequence: list[int], peer: str) -> dict:
    """Largest difference of log-probabilities between the peer's forward and this engine on the same rows."""
    ids = torch.tensor([sequence])
    position = torch.arange(PREFIX, len(sequence) - 1)
    drawn = torch.randint(SPECIAL, 1000, (len(position), 1), generator=torch.Generator().manual_seed(0))
    drawn = drawn.where(drawn != ids[0, position, None], 5)
    rows = ids.repeat(len(position), 1)
    rows[torch.arange(len(position)), position] = drawn[:, 0]
    np.save(f"{folder}/rows.npy", rows.numpy())
    task = {"model": model, "sequence": sequence, "prefix": PREFIX, "rows": f"{folder}/rows.npy"}
    call(peer, "peer.py", {**task, "out": f"{folder}/scored.npy"})
    expected = torch.from_numpy(np.load(f"{folder}/scored.npy"))

    oracle = Oracle(AutoModelForCausalLM.from_pretrained(model))
    end = torch.full_like(position, len(sequence) - 1)
    branches = atomic(
        ids, torch.ones_like(ids) > 0, torch.zeros_like(position), position, end, merge_draws(drawn, ids[0, position])
    )
    largest = 0.0
    for groups, found in oracle.branch_log_probs(oracle.read(ids), branches):
        for group, scores in zip(groups.tolist(), found[:, 0], strict=True):
            scores = scores[~scores.isnan()]
            largest = max(largest, float((expected[group, -len(scores) :] - scores).abs().max()))
    return {"largest_log_prob_difference": largest}


def against_machine(folder: str, options: argparse.Namespace) -> list[dict]:
    """Share of the measured matrix rate that scoring reaches."""
    types, length, draws = (100, 16, 2) if options.smoke else (1000, 64, 32)
    make_model(f"{folder}/rate", types, length)
    rows = []
    for dtype in ("float32", "bfloat16"):
        job = {"model": f"{folder}/rate", "sequences": [make_sequence(types, length)], "draws": draws, "max_lag": None}
        found, rate = ours(options, **job, dtype=dtype), matrix_rate(dtype, types, 1 if options.smoke else 20)
        rows.append({"dtype": dtype, "matrix_rate": rate, **found, "share": found["flop_per_second"] / rate})
    return rows


def growth(folder: str, options: argparse.Namespace) -> list[dict]:
    """Seconds and memory against length, vocabulary and number of sequences."""
    rows = []
    for length in options.lengths:
        context = min(length, CONTEXT)
        model = f"{folder}/length-{context}"
        make_model(model, 1000, context, **SMALL)
        runs = 1 if length > LONG else options.runs
        found = ours(options, model=model, sequences=[make_sequence(1000, length)], draws=4, max_lag=16, runs=runs)
        rows.append(grown("length", length, found))
    for types in options.types:
        model = f"{folder}/types-{types}"
        make_model(model, types, 64)
        found = ours(options, model=model, sequences=[make_sequence(types, 64)], draws=options.draws, max_lag=16)
        size = sum(file.stat().st_size for file in Path(model).glob("*.safetensors"))
        rows.append({**grown("types", types, found), "model_bytes": size})
    make_model(f"{folder}/count", 1000, 64, **SMALL)
    for count in options.counts:
        sequences = [make_sequence(1000, 64, seed) for seed in range(count)]
        runs = 1 if 64 * count > LONG else options.runs
        found = ours(options, model=f"{folder}/count", sequences=sequences, draws=4, max_lag=8, runs=runs)
        rows.append(grown("sequences", count, found))
    return rows


def by_type_growth(folder: str, options: argparse.Namespace) -> list[dict]:
    """Seconds and memory of by-type effects against length, event types and number of sequences, lags to 16."""
    job: dict = {"draws": 1, "max_lag": 16, "by_type": True}
    rows = []
    for length in options.by_type_lengths:
        make_model(f"{folder}/long-{length}", 1000, length, **SMALL)
        found = ours(options, **job, model=f"{folder}/long-{length}", sequences=[make_sequence(1000, length)])
        rows.append(grown("length", length, found))
    for types in options.types:
        make_model(f"{folder}/types-{types}", types, 64)
        found = ours(options, **job, model=f"{folder}/types-{types}", sequences=[make_sequence(types, 64)])
        rows.append(grown("types", types, found))
    make_model(f"{folder}/few", 40, 64, **SMALL)
    for count in options.counts:
        sequences = [make_sequence(40, 64, seed) for seed in range(count)]
        runs = 1 if 64 * count > LONG else options.runs
        rows.append(
            grown("sequences", count, ours(options, **job, model=f"{folder}/few", sequences=sequences, runs=runs))
        )
    return rows


def alarms(folder: str, options: argparse.Namespace) -> list[dict]:
    """1,000 sequences of real alarms, every alarm a cause, on a model of the preset users train."""
    log = alarms_log()
    tokenizer = EventTokenizer.from_log(log, gaps=False)
    windows = cut_windows(log, length=34)
    model = f"{folder}/alarms"
    torch.manual_seed(0)
    build_model(tokenizer, context_length=64).save_pretrained(model)
    sequences = [tokenizer.encode(window).input_ids.tolist() for window in list(windows)[: options.windows]]
    found = ours(options, model=model, sequences=sequences, draws=2 * options.draws, max_lag=16, runs=1)
    return [{"sequences": len(sequences), "events": sum(map(len, sequences)) - len(sequences), **found}]


def truncation(folder: str, options: argparse.Namespace) -> list[dict]:
    """Scores with a cut-off past against scores with the whole past, on a trained model."""
    log = alarms_log()
    small = {"preset": "nano", "epochs": 0.05} if options.smoke else {"epochs": 12}
    train(log, f"{folder}/long", TrainingSettings(window_length=256, **small))
    discover = load_pipeline(f"{folder}/long")
    windows = [each for each in cut_windows(log, length=256) if len(each) >= 200][:12]
    if options.smoke:
        windows = [windows[0].part(0, 48)]
    how = {"max_lag": 8, "proposal": "exhaustive", "slide": True}
    whole = [scores for _, scores in discover.scored(windows, **how)]
    rows = []
    for length in options.cut:
        discover.event_model.oracle.context_length = 2 * length
        cut = [scores for _, scores in discover.scored(windows, **how)]
        one, other = (np.concatenate([scores.cmi for scores in each]) for each in (whole, cut))
        edges, kept = one > 0.05, other > 0.05
        rows.append({
            "window_events": length, "pairs": len(one), "edges_whole_past": int(edges.sum()),
            "edges_cut_past": int(kept.sum()), "jaccard": float((edges & kept).sum() / max((edges | kept).sum(), 1)),
            "mean_abs_difference_nats": float(np.abs(one - other).mean()), "mean_cmi_nats": float(one.mean()),
        })  # fmt: skip
    return rows


def grown(axis: str, value: int, found: dict) -> dict:
    """One point of a growth curve."""
    point = {"axis": axis, "value": value, "seconds": found["seconds"], "peak_bytes": found["peak_bytes"]}
    print(json.dumps(point), file=sys.stderr)
    return point


def slope(points: list[dict]) -> float:
    """Exponent of seconds against value, by least squares on logarithms."""
    x, y = (np.log([point[key] for point in points]) for key in ("value", "seconds"))
    return float(np.polyfit(x, y, 1)[0])


def draw(curves: dict[str, list[dict]]) -> Figure:
    """A row of panels for each way to score, one panel per axis."""
    figure, axes = panels(11, 3.4 * len(curves), len(curves), 3)
    for row, (name, points) in zip(np.atleast_2d(axes), curves.items(), strict=True):
        draw_row(row, CURVES[name], points)
    return figure


def draw_row(panels_of_row: np.ndarray, name: str, points: list[dict]) -> None:
    """Seconds and memory against length, event types and sequences."""
    for panel, axis in zip(panels_of_row, AXES, strict=True):
        mine = [point for point in points if point["axis"] == axis]
        values = [point["value"] for point in mine]
        panel.loglog(values, [point["seconds"] for point in mine], "o-", color="#0072B2", label="seconds")
        panel.set(xlabel=axis, ylabel="seconds", title=f"{name}slope {slopes(points)[axis]:.2f}")
        memory = panel.twinx()
        memory.plot(values, [point["peak_bytes"] / 2**20 for point in mine], "s--", color="#D55E00")
        memory.set_ylabel("peak MB", color="#D55E00")
        memory.set_ylim(bottom=0)


def slopes(points: list[dict]) -> dict[str, float]:
    """Exponents by axis; of length where the context is full."""
    least = {"length": min(CONTEXT, max(p["value"] for p in points if p["axis"] == "length") // 2)}
    return {axis: slope([p for p in points if p["axis"] == axis and p["value"] >= least.get(axis, 1)]) for axis in AXES}


def markdown(results: dict[str, list[dict]]) -> str:
    """All tables, readable."""
    parts = []
    for name, rows in results.items():
        keys = list(dict.fromkeys(key for row in rows for key in row))
        lines = [[shown(row.get(key, "")) for key in keys] for row in rows]
        parts.append(f"## {name}\n\n{table(keys, lines)}")
    return "\n\n".join(parts)


def shown(value: object) -> str:
    """Numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def named(results: dict[str, Any]) -> Metrics:
    """What ``expected.json`` holds."""
    found: dict[str, tuple[float, float]] = {}
    for part, beside in (("peer", ""), ("by-type", "by type, ")):
        for row in results.get(part, []):
            for name in [key.removeprefix("ratio_") for key in row if key.startswith("ratio_")]:
                called = beside + name.replace("_", ", ").replace("lag", "lag ").replace("all", "all lags")
                ratio = row[f"ratio_{name}"]
                found[f"{row['types']:,} types, {row['length']} events, {called}: times faster"] = (ratio, 0.3 * ratio)
    for row in results.get("machine", []):
        found[f"{row['dtype']}: share of the matrix rate"] = (row["share"], 0.2)
    for row in results.get("truncation", []):
        found[f"window of {row['window_events']} events: Jaccard of edges"] = (row["jaccard"], 0.05)
    for part, beside in CURVES.items():
        if part in results:
            found |= {f"{beside}slope against {axis}": (value, 0.1) for axis, value in slopes(results[part]).items()}
    return found


PARTS = {
    "peer": against_peer, "by-type": by_type, "machine": against_machine, "alarms": alarms, "truncation": truncation,
    "growth": growth, "by-type-growth": by_type_growth,
}  # fmt: skip
CURVES = {"growth": "", "by-type-growth": "by type: "}


def measure(options: argparse.Namespace) -> Report:
    """The parts asked for."""
    with tempfile.TemporaryDirectory() as folder:
        results = {part: PARTS[part](folder, options) for part in options.part}
    curves = {part: results[part] for part in CURVES if part in results}
    figure = draw(curves) if curves else None
    return Report({"torch": torch.__version__, **results}, markdown(results), named(results), figure)


RECIPE = Recipe(
    __file__,
    __doc__,
    "What does discovery cost?",
    measure,
    {
        "part": Size(list(PARTS), list(PARTS)),
        "runs": Size(3, 1, "timed runs after the warm-up"),
        "lengths": Size([64, 128, 256, 512, 1024, 2048, 4096, 8192, 100_000], [16, 24], "of one sequence"),
        "by_type_lengths": Size([32, 64, 128, 256, 512, 1024], [16, 24], "of one sequence, by type"),
        "types": Size([100, 300, 1000, 3000, 10_000, 29_100], [20, 40], "event types"),
        "counts": Size([1, 3, 10, 30, 100, 300, 1000], [1, 2], "sequences of 64 events"),
        "draws": Size(16, 2, "draws against event types, and twice as many for alarms"),
        "windows": Size(1000, 2, "windows of alarms"),
        "cut": Size([24, 32, 64, 128], [24], "events of a past that is cut"),
    },
    peers=("seq2cause",),
)

if __name__ == "__main__":
    RECIPE.main()
