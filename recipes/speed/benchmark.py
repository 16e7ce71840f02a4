"""Measures the scoring engine: against seq2cause, against the machine, and as logs grow.

    python recipes/speed/benchmark.py --out runs/speed [--peer-python OTHER_ENV/bin/python] [--part PART]

Every figure is the median of several runs in a process of its own, after a warm-up; peak memory is that process's
largest resident set, interpreter and libraries included. Models are random, sequences uniform: speed depends on
neither.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

PREFIX = 4
RUNS = 3
SPECIAL = 4
AGAINST_PEER = [(1000, 64, 32), (1000, 128, 8), (1000, 256, 8), (29100, 64, 8), (29100, 128, 4)]
LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 100_000]
CONTEXT = 128
SMALL = {"layers": 2, "width": 128}
VOCABULARIES = [100, 300, 1000, 3000, 10000, 29100]
COUNTS = [1, 3, 10, 30, 100, 300, 1000]


def make_model(folder: str, types: int, context: int, *, layers: int = 4, width: int = 256, heads: int = 4) -> None:
    """A random Llama; the widest token count it must read is ``context``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    config = LlamaConfig(vocab_size=types, num_attention_heads=heads, max_position_embeddings=max(context, 16), **shape)
    LlamaForCausalLM(config).save_pretrained(folder)


def make_sequence(types: int, length: int, seed: int = 0) -> list[int]:
    """A start token and uniform events."""
    events = np.random.default_rng(seed).integers(SPECIAL, types, length - 1)
    return [1, *events.tolist()]


def worker(job: dict) -> dict:
    """Time discovery on ``job["sequences"]`` in this process."""
    from transformers import AutoModelForCausalLM

    from hf_trace.discovery.constructions import score_pairs
    from hf_trace.discovery.settings import DiscoverySettings
    from hf_trace.discovery.sliding import sliding_windows
    from hf_trace.logs.sequence import EncodedSequence
    from hf_trace.oracle.engine import Oracle
    from hf_trace.oracle.proposals import Alphabet

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    oracle = Oracle(model.to(device))
    types = model.config.vocab_size
    alphabet = Alphabet(torch.arange(SPECIAL, types), torch.ones(types - SPECIAL))
    settings = DiscoverySettings(max_lag=job["max_lag"], num_samples=job["draws"], prefix_length=PREFIX)
    encoded = [EncodedSequence(np.array(sequence), np.arange(len(sequence))) for sequence in job["sequences"]]
    windows = [
        (EncodedSequence(each.input_ids[w.start : w.stop], np.arange(w.stop - w.start)), w.tested(PREFIX))
        for each in encoded
        for w in sliding_windows(len(each.input_ids), length=oracle.context_length, max_lag=job["max_lag"])
    ]
    seconds = []
    for _ in range(job["runs"] + (job["runs"] > 1)):  # the first of several is a warm-up
        started = time.perf_counter()
        for start in range(0, len(windows), 32):
            block = windows[start : start + 32]
            tested = [causes for _, causes in block]
            score_pairs(oracle, [each for each, _ in block], alphabet, settings, tested=tested)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    middle = statistics.median(seconds[-job["runs"] :])
    return {"seconds": middle, "peak_bytes": peak, **work(job, model.config, middle)}


def work(job: dict, config: object, seconds: float) -> dict:
    """Tail tokens read, and the floating-point rate that their matrix products alone amount to."""
    tokens = 0
    for sequence in job["sequences"]:
        last = len(sequence) - 1
        reach = job["max_lag"] or last
        tokens += job["draws"] * sum(min(reach, last - cause) for cause in range(PREFIX, last))
    hidden, inner = config.hidden_size, config.intermediate_size
    body = config.num_hidden_layers * (4 * hidden**2 + 3 * hidden * inner)
    flop = 2 * tokens * (body + hidden * config.vocab_size)
    return {"tokens": tokens, "tokens_per_second": tokens / seconds, "flop_per_second": flop / seconds}


def matrix_rate(dtype: str, types: int) -> float:
    """FLOP per second of this machine on the model's own matrix shapes, weighted by their work."""
    kind, total, spent = getattr(torch, dtype), 0, 0.0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = [(256, 256, 4), (256, 1024, 2), (1024, 256, 1), (256, types, 0.25)]
    for inner, outer, times in shapes:
        left, right = (torch.randn(*size, dtype=kind, device=device) for size in ((2048, inner), (outer, inner)))
        best = min(timed(lambda left=left, right=right: torch.nn.functional.linear(left, right)) for _ in range(5))
        total += times * 2 * 2048 * inner * outer
        spent += times * best
    return total / spent


def timed(function: object, repeats: int = 20) -> float:
    """Seconds of one call, averaged after a warm-up."""
    function()
    started = time.perf_counter()
    for _ in range(repeats):
        function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def call(python: str, script: Path, job: dict) -> dict:
    """Run a job in a process of its own."""
    command = [python, str(script), *(["--worker"] if script == Path(__file__) else [])]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout)


def ours(**job: object) -> dict:
    """One measurement of this package."""
    return call(sys.executable, Path(__file__), {"runs": RUNS, "dtype": "float32", **job})


def against_peer(folder: str, peer: str | None) -> list[dict]:
    """Wall ratios and peak memory, same model, sequence and number of draws."""
    table = []
    for types, length, draws in AGAINST_PEER:
        model = f"{folder}/{types}-{length}"
        make_model(model, types, length)
        sequence = make_sequence(types, length)
        job = {"model": model, "sequences": [sequence], "draws": draws}
        row: dict = {"types": types, "length": length, "draws": draws}
        for name, lag, dtype in (
            ("all_float32", None, "float32"), ("all_bfloat16", None, "bfloat16"),
            ("lag8_float32", 8, "float32"), ("lag8_bfloat16", 8, "bfloat16"),
        ):  # fmt: skip
            found = ours(**job, max_lag=lag, dtype=dtype)
            row |= {f"{name}_seconds": found["seconds"], f"{name}_peak_bytes": found["peak_bytes"]}
        if peer:
            task = {"model": model, "sequence": sequence, "draws": draws, "prefix": PREFIX, "runs": RUNS}
            found = call(peer, Path(__file__).with_name("peer.py"), task)
            row |= {f"peer_{key}": value for key, value in found.items()}
            row |= agreement(folder, model, sequence, peer) if (types, length) == (1000, 64) else {}
            row |= {
                f"ratio_{name.removesuffix('_seconds')}": found["seconds"] / value
                for name, value in list(row.items())
                if name.endswith("_seconds") and not name.startswith("peer") and "seconds" in found
            }
        table.append(row)
        print(json.dumps(row), file=sys.stderr)
    return table


def agreement(folder: str, model: str, sequence: list[int], peer: str) -> dict:
    """Largest difference of log-probabilities between the peer's forward and this engine on the same rows."""
    from transformers import AutoModelForCausalLM

    from hf_trace.oracle.engine import Oracle
    from hf_trace.oracle.proposals import merge_draws
    from hf_trace.oracle.rows import atomic

    ids = torch.tensor([sequence])
    position = torch.arange(PREFIX, len(sequence) - 1)
    drawn = torch.randint(SPECIAL, 1000, (len(position), 1), generator=torch.Generator().manual_seed(0))
    drawn = drawn.where(drawn != ids[0, position, None], 5)
    rows = ids.repeat(len(position), 1)
    rows[torch.arange(len(position)), position] = drawn[:, 0]
    np.save(f"{folder}/rows.npy", rows.numpy())
    task = {"model": model, "sequence": sequence, "prefix": PREFIX, "rows": f"{folder}/rows.npy"}
    call(peer, Path(__file__).with_name("peer.py"), {**task, "out": f"{folder}/scored.npy"})
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


def against_machine(folder: str) -> list[dict]:
    """Share of the measured matrix rate that scoring reaches."""
    make_model(f"{folder}/rate", 1000, 64)
    table = []
    for dtype in ("float32", "bfloat16"):
        job = {"model": f"{folder}/rate", "sequences": [make_sequence(1000, 64)], "draws": 32, "max_lag": None}
        found, rate = ours(**job, dtype=dtype), matrix_rate(dtype, 1000)
        table.append({"dtype": dtype, "matrix_rate": rate, **found, "share": found["flop_per_second"] / rate})
    return table


def growth(folder: str) -> list[dict]:
    """Seconds and memory against length, vocabulary and number of sequences."""
    table = []
    for length in LENGTHS:
        context = min(length, CONTEXT)
        model = f"{folder}/length-{context}"
        make_model(model, 1000, context, **SMALL)
        found = ours(model=model, sequences=[make_sequence(1000, length)], draws=4, max_lag=16, runs=runs(length))
        table.append(grown("length", length, found))
    for types in VOCABULARIES:
        model = f"{folder}/types-{types}"
        make_model(model, types, 64)
        found = ours(model=model, sequences=[make_sequence(types, 64)], draws=16, max_lag=16)
        size = sum(file.stat().st_size for file in Path(model).glob("*.safetensors"))
        table.append({**grown("types", types, found), "model_bytes": size})
    make_model(f"{folder}/count", 1000, 64, **SMALL)
    for count in COUNTS:
        sequences = [make_sequence(1000, 64, seed) for seed in range(count)]
        found = ours(model=f"{folder}/count", sequences=sequences, draws=4, max_lag=8, runs=runs(64 * count))
        table.append(grown("sequences", count, found))
    return table


def alarms(folder: str) -> list[dict]:
    """1,000 sequences of real alarms, every alarm a cause, on a model of the preset users train."""
    from hf_trace.logs.samples import alarms_log
    from hf_trace.logs.windows import cut_windows
    from hf_trace.tokenizers.event_tokenizer import EventTokenizer
    from hf_trace.training.architectures import build_model

    log = alarms_log()
    tokenizer = EventTokenizer.from_log(log, gaps=False)
    windows = cut_windows(log, length=34)
    model = f"{folder}/alarms"
    torch.manual_seed(0)
    build_model(tokenizer, context_length=64).save_pretrained(model)
    sequences = [tokenizer.encode(window).input_ids.tolist() for window in list(windows)[:1000]]
    found = ours(model=model, sequences=sequences, draws=32, max_lag=16, runs=1)
    return [{"sequences": len(sequences), "events": sum(map(len, sequences)) - len(sequences), **found}]


def truncation(folder: str) -> list[dict]:
    """Scores with a cut-off past against scores with the whole past, on a trained model."""
    from hf_trace.logs.samples import alarms_log
    from hf_trace.logs.windows import cut_windows
    from hf_trace.pipelines.discovery_run import load_pipeline
    from hf_trace.training.log_training import TrainingSettings, train

    log = alarms_log()
    train(log, f"{folder}/long", TrainingSettings(window_length=256, epochs=12))
    discover = load_pipeline(f"{folder}/long")
    windows = [each for each in cut_windows(log, length=256) if len(each) >= 200][:12]
    options = {"max_lag": 8, "proposal": "exhaustive", "slide": True}
    whole = [scores for _, scores in discover.scored(windows, **options)]
    table = []
    for length in (24, 32, 64, 128):
        discover.oracle.context_length = 2 * length
        cut = [scores for _, scores in discover.scored(windows, **options)]
        one, other = (np.concatenate([scores.cmi for scores in each]) for each in (whole, cut))
        edges, kept = one > 0.05, other > 0.05
        table.append({
            "window_events": length, "pairs": len(one), "edges_whole_past": int(edges.sum()),
            "edges_cut_past": int(kept.sum()), "jaccard": float((edges & kept).sum() / (edges | kept).sum()),
            "mean_abs_difference_nats": float(np.abs(one - other).mean()), "mean_cmi_nats": float(one.mean()),
        })  # fmt: skip
    return table


def runs(events: int) -> int:
    """Long measurements need no repeats."""
    return 1 if events > 10_000 else RUNS


def grown(axis: str, value: int, found: dict) -> dict:
    """One point of a growth curve."""
    point = {"axis": axis, "value": value, "seconds": found["seconds"], "peak_bytes": found["peak_bytes"]}
    print(json.dumps(point), file=sys.stderr)
    return point


def slope(points: list[dict]) -> float:
    """Exponent of seconds against value, by least squares on logarithms."""
    x, y = (np.log([point[key] for point in points]) for key in ("value", "seconds"))
    return float(np.polyfit(x, y, 1)[0])


def draw_growth(points: list[dict], path: Path) -> None:
    """One panel per axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for panel, axis in zip(axes, ("length", "types", "sequences"), strict=True):
        mine = [point for point in points if point["axis"] == axis]
        bounded = [point for point in mine if axis != "length" or point["value"] >= CONTEXT]
        values = [point["value"] for point in mine]
        panel.loglog(values, [point["seconds"] for point in mine], "o-", color="#0072B2", label="seconds")
        panel.set(xlabel=axis, ylabel="seconds", title=f"slope {slope(bounded):.2f}")
        memory = panel.twinx()
        memory.plot(values, [point["peak_bytes"] / 2**20 for point in mine], "s--", color="#D55E00")
        memory.set_ylabel("peak MB", color="#D55E00")
        memory.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


def markdown(results: dict) -> str:
    """All tables, readable."""
    parts = []
    for name, rows in results.items():
        if not isinstance(rows, list) or not rows:
            continue
        keys = list(dict.fromkeys(key for row in rows for key in row))
        lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
        lines += ["| " + " | ".join(shown(row.get(key, "")) for key in keys) + " |" for row in rows]
        parts.append(f"## {name}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def shown(value: object) -> str:
    """Numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure the parts asked for and write JSON, Markdown and a figure."""
    global RUNS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--peer-python", help="Python of an environment that has seq2cause")
    parser.add_argument("--part", choices=["peer", "machine", "growth", "alarms", "truncation"], action="append")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=RUNS, help="timed runs after the warm-up")
    options = parser.parse_args()
    RUNS = options.runs
    if options.worker:
        json.dump(worker(json.load(sys.stdin)), sys.stdout)
        return
    parts = options.part or ["peer", "machine", "growth", "alarms", "truncation"]
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        if "peer" in parts:
            results["against_peer"] = against_peer(folder, options.peer_python)
        if "machine" in parts:
            results["against_machine"] = against_machine(folder)
        if "alarms" in parts:
            results["alarms"] = alarms(folder)
        if "truncation" in parts:
            results["truncation"] = truncation(folder)
        if "growth" in parts:
            results["growth"] = growth(folder)
            results["slopes"] = [
                {axis: slope([p for p in results["growth"] if p["axis"] == axis and p["value"] >= least])}
                for axis, least in (("length", CONTEXT), ("types", 1), ("sequences", 1))
            ]
            draw_growth(results["growth"], options.out / "growth.png")
    (options.out / "speed.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (options.out / "speed.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
