# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Measures the scoring engine on a GPU: is it right there, how fast, against what the card could do.

    python recipes/speed/gpu.py --out runs/gpu

Under 8 minutes on one GPU; `--device cpu --small` shows in seconds that everything runs. Every part has seconds of its
own: when they are spent it stops with what it has, and everything measured is on disk after every row. Models are
random (training apart) and sequences uniform, since speed depends on neither.
"""

import argparse
import datetime
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import transformers
from exact_oracle import encoded, labelled, scored, true_effects
from harness import Recipe, Report, hardware, table
from torch import Tensor
from torch.nn.functional import linear
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.threshold_choice import mean_f1
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proofs import proven, whole_rows
from hf_trace.oracle.proposals import Alphabet, merge_draws
from hf_trace.oracle.rows import atomic
from hf_trace.runs.world_model import WorldModel, world_tokenizer
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.worlds.simulator import DELTA, type_names
from hf_trace.worlds.world import WORLDS, World

PREFIX, SPECIAL = 4, 4
Row = dict[str, Any]

SHAPES: dict[str, dict[str, int]] = {
    "2 x 128": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512},
    "4 x 256": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
    "135 M": {
        "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "intermediate_size": 1536, "tie_word_embeddings": True,
    },
}  # fmt: skip
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
# Grouped heads, windows, soft caps, positions in a table: what attention can differ in.
KINDS: dict[str, dict[str, Any]] = {
    "llama": {**TINY, "num_key_value_heads": 2},
    "mistral": {**TINY, **GROUPED, "sliding_window": 9},
    "gemma2": {**TINY, **GROUPED, "sliding_window": 9},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64},
}


class Job(NamedTuple):
    """What is scored: ``sequences`` of ``length`` tokens, ``draws`` for every event, lags up to ``lag`` (None: all)."""

    shape: str
    types: int
    length: int
    draws: int
    sequences: int
    lag: int | None = None

    @property
    def tokens(self) -> int:
        """Tail tokens that are read, before equal draws are merged."""
        last = self.length - 1
        reach = self.lag or last
        return self.sequences * self.draws * sum(min(reach, last - cause) for cause in range(PREFIX, last))

    def shrunk(self) -> "Job":
        """The same in small."""
        return self._replace(types=50, length=14, draws=2, sequences=2, lag=self.lag and 3)


FULL_JOBS = {
    "2 x 128": Job("2 x 128", 1000, 64, 32, 128),
    "4 x 256": Job("4 x 256", 1000, 64, 32, 128),
    "135 M": Job("135 M", 49_152, 256, 16, 4),
}


@dataclass
class Bench:
    """Where and how much is measured.

    Attributes:
        device: ``cuda`` or ``cpu``.
        small: Whether it is only to be seen that everything runs.
    """

    device: torch.device
    small: bool

    def wait(self) -> None:
        """Until the device has done what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, function: Callable[[], object], runs: int = 3, warm: int = 1) -> float:
        """The best of several runs after others that warm up."""
        found = []
        for _ in range(warm + (1 if self.small else runs)):
            self.wait()
            started = time.perf_counter()
            function()
            self.wait()
            found.append(time.perf_counter() - started)
        return min(found[warm:])

    def job(self, job: Job) -> Job:
        """A job in the size that is asked for."""
        return job.shrunk() if self.small else job

    def model(self, job: Job, dtype: torch.dtype, device: torch.device | None = None) -> PreTrainedModel:
        """A random Llama."""
        torch.manual_seed(0)
        shape = SHAPES[job.shape]
        if self.small:
            shape = {**shape, "num_hidden_layers": 1, "hidden_size": 16 * shape["num_attention_heads"]}
        config = LlamaConfig(vocab_size=job.types, max_position_embeddings=max(job.length, 16), **shape)
        return LlamaForCausalLM(config).to(device or self.device, dtype).eval()

    def rate(self, dtype: torch.dtype) -> float:
        """FLOP per second of one large matrix product."""
        size = 256 if self.small else 8192 if self.device.type == "cuda" else 2048
        left, right = (torch.randn(size, size, device=self.device, dtype=dtype) for _ in range(2))
        return 2 * size**3 / self.seconds(lambda: left @ right, runs=10, warm=3)


def sequences_of(job: Job) -> list[EncodedSequence]:
    """A start token and uniform events."""
    generator = np.random.default_rng(0)
    ids = generator.integers(SPECIAL, job.types, (job.sequences, job.length))
    ids[:, 0] = 1
    return [EncodedSequence(row, np.arange(job.length)) for row in ids]


def score(oracle: Oracle, job: Job) -> Callable[[], object]:
    """Discovery, ready to run."""
    alphabet = Alphabet(torch.arange(SPECIAL, job.types), torch.ones(job.types - SPECIAL))
    settings = DiscoverySettings(max_lag=job.lag, num_samples=job.draws, prefix_length=PREFIX)
    sequences = sequences_of(job)

    def run() -> None:
        for start in range(0, len(sequences), 64):
            score_pairs(oracle, sequences[start : start + 64], alphabet, settings)

    return run


def flop_per_token(model: PreTrainedModel) -> float:
    """Of the matrix products with weights alone: what attention and everything else costs counts for nothing."""
    layers = sum(part.weight.numel() for part in model.base_model.modules() if isinstance(part, torch.nn.Linear))
    return 2.0 * (layers + model.get_output_embeddings().weight.numel())


def speed(bench: Bench, oracle: Oracle, job: Job, rate: float | None = None, runs: int = 3) -> Row:
    """Positions per second, and the share of a rate that their matrix products alone come to."""
    seconds = bench.seconds(score(oracle, job), runs)
    reached = job.tokens * flop_per_token(oracle.model) / seconds
    row = {
        "model": job.shape, "dtype": named(oracle.model.dtype), "types": job.types,
        "length": job.length, "draws": job.draws, "sequences": job.sequences, "lag": job.lag or "all",
        "seconds": seconds, "positions_per_second": job.tokens / seconds, "tflop_per_second": reached / 1e12,
    }  # fmt: skip
    return row if rate is None else {**row, "share_of_matrix_rate": reached / rate}


def oracles(model: PreTrainedModel, *, compiles: bool = True) -> Iterator[tuple[str, Oracle]]:
    """A model read in all ways that it can be on this device."""
    yield "plain", Oracle(model, fit=proven(model))
    if model.device.type != "cuda":
        return
    with_kernels = Oracle(model)
    if with_kernels.reader.is_flash:
        yield "flash", with_kernels
    if compiles:
        yield "compiled", Oracle(model, compiled=True)


def equality(bench: Bench) -> Iterator[Row]:
    """The same rows on the card, on a CPU in float32, and one by one without sharing."""
    for kind, shape in KINDS.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, vocab_size=99, max_position_embeddings=64, **shape)
        model = AutoModelForCausalLM.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(3)  # predictions that depend on the past
        on_cpu = rows_scored(Oracle(model))
        for dtype in (torch.float32, torch.bfloat16):
            model.to(bench.device, dtype)
            whole = rows_scored(Oracle(model, fit=whole_rows(model)))
            for way, oracle in oracles(model, compiles=kind == "llama"):  # a quarter of a minute each
                found = rows_scored(oracle)
                yield {
                    "model": kind, "dtype": named(dtype), "reader": oracle.reader.name, "kernels": way,
                    "scores": int(found.isfinite().sum()), "largest_difference_from_cpu": difference(found, on_cpu),
                    "largest_difference_from_full_rows": difference(found, whole),
                }  # fmt: skip


def named(dtype: torch.dtype) -> str:
    """Without the package it is of."""
    return str(dtype).removeprefix("torch.")


def difference(one: Tensor, other: Tensor) -> float:
    """The largest; infinite where only one of them is a number."""
    if not torch.equal(one.isnan(), other.isnan()):
        return float("inf")
    return float((one - other).nan_to_num().abs().max())


def rows_scored(oracle: Oracle) -> Tensor:
    """Log-probabilities of all rows that replace an event of some sequences, NaN elsewhere."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(SPECIAL, 99, (3, 40), generator=generator)
    sequence, position = (
        axis.flatten() for axis in torch.meshgrid(torch.arange(3), torch.arange(1, 39), indexing="ij")
    )
    drawn = torch.randint(SPECIAL, 99, (len(position), 6), generator=generator)
    draws = merge_draws(drawn, ids[sequence, position])
    branches = atomic(ids, ids > 0, sequence, position, torch.full_like(position, 39), draws)
    table = torch.full((len(position), draws.token_ids.shape[1], 39), torch.nan)
    for groups, found in oracle.branch_log_probs(oracle.read(ids), branches):
        table[groups, : found.shape[1], : found.shape[2]] = found
    return table


def machine(bench: Bench) -> Iterator[Row]:
    """What the card gives: one large product, and the products of each model at their own sizes."""
    for dtype in (torch.bfloat16, torch.float32):
        row: Row = {"dtype": named(dtype), "large_product": bench.rate(dtype) / 1e12}
        for shape, job in FULL_JOBS.items():
            model = bench.model(bench.job(job), dtype)
            row[f"products_of_{shape}"] = own_rate(bench, model) / 1e12
        yield row


def own_rate(bench: Bench, model: PreTrainedModel) -> float:
    """FLOP per second of a model's own matrices, one after another, on as many tokens as are read at once."""
    tokens, work, spent = 64 if bench.small else 65_536, 0.0, 0.0
    weights = [part.weight for part in model.base_model.modules() if isinstance(part, torch.nn.Linear)]
    for weight in [*weights[: len(weights) // model.config.num_hidden_layers], model.get_output_embeddings().weight]:
        times = 1 if weight.shape[0] == model.config.vocab_size else model.config.num_hidden_layers
        rows = min(tokens, 2**28 // weight.shape[0])
        given = torch.randn(rows, weight.shape[1], device=weight.device, dtype=weight.dtype)
        with torch.inference_mode():
            seconds = bench.seconds(lambda given=given, weight=weight: linear(given, weight), runs=5, warm=2) / rows
        work, spent = work + times * 2 * weight.numel(), spent + times * seconds
    return work / spent


# Compiling takes a quarter of a minute for each model and precision: only where it may pay.
MEASURED = (
    ("135 M", torch.bfloat16, True), ("4 x 256", torch.bfloat16, True), ("2 x 128", torch.bfloat16, False),
    ("4 x 256", torch.float32, True), ("2 x 128", torch.float32, False),
)  # fmt: skip


def positions(bench: Bench) -> Iterator[Row]:
    """Positions per second and share of the measured rate of one large product."""
    rates = {dtype: bench.rate(dtype) for dtype in (torch.bfloat16, torch.float32)}
    for name, dtype, compiles in MEASURED:
        job = bench.job(FULL_JOBS[name])
        for way, oracle in oracles(bench.model(job, dtype), compiles=compiles):
            yield {"kernels": way, **speed(bench, oracle, job, rates[dtype], runs=1 if name == "135 M" else 2)}


# Kernels by what is in their names.
FAMILIES = {
    "attention kernels": ("flash",), "matrix products": ("nvjet", "gemm", "cutlass"), "softmax": ("softmax",),
    "compiled": ("triton",), "joining and indexing": ("cat", "index", "gather", "scatter"),
    "copies from and to the CPU": ("memcpy",), "elementwise": ("elementwise",), "reductions": ("reduce",),
}  # fmt: skip


def profile(bench: Bench) -> Iterator[Row]:
    """Where the card's seconds go, by kind of kernel."""
    job = bench.job(FULL_JOBS["135 M"]._replace(sequences=1))
    for way, oracle in oracles(bench.model(job, torch.bfloat16)):
        run = score(oracle, job)
        run()
        wall = bench.seconds(run, runs=1)
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if bench.device.type == "cuda":
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=kinds) as found:
            run()
            bench.wait()
        spent = dict.fromkeys([*FAMILIES, "other"], 0.0)
        for event in found.key_averages():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                spent[family(event.key)] += event.self_device_time_total / 1e6
        yield {"kernels": way, "seconds": wall, "on_the_card": sum(spent.values()), **spent}


def family(kernel: str) -> str:
    """What kind a kernel is of."""
    return next((name for name, signs in FAMILIES.items() if any(sign in kernel.lower() for sign in signs)), "other")


def against_full_rows(bench: Bench) -> Iterator[Row]:
    """The same discovery three ways: shared pasts, full rows through the engine, and a loop over causes."""
    jobs = [Job("4 x 256", 1000, 64, 32, 8), Job("4 x 256", 1000, 256, 8, 1), Job("135 M", 49_152, 128, 8, 1)]
    for job in map(bench.job, jobs):
        model = bench.model(job, torch.float32)
        ours = bench.seconds(score(Oracle(model), job))
        full = bench.seconds(score(Oracle(model, fit=whole_rows(model)), job), runs=1)
        loop = bench.seconds(lambda model=model, job=job: loop_over_causes(model, job), runs=1)
        yield {
            "model": job.shape, "length": job.length, "draws": job.draws, "sequences": job.sequences,
            "seconds": ours, "full_rows_seconds": full, "loop_seconds": loop,
            "times_faster_than_full_rows": full / ours, "times_faster_than_loop": loop / ours,
        }  # fmt: skip


@torch.inference_mode()
def loop_over_causes(model: PreTrainedModel, job: Job) -> list[Tensor]:
    """What discovery is without an engine: for each event all draws as whole rows, a forward pass, a mean."""
    found = []
    for sequence in sequences_of(job):
        ids = torch.from_numpy(sequence.input_ids).to(model.device)
        for cause in range(PREFIX, job.length - 1):
            rows = ids.repeat(job.draws, 1)
            rows[:, cause] = torch.randint(SPECIAL, job.types, (job.draws,), device=model.device)
            probabilities = model(input_ids=rows).logits[:, cause:-1].float().softmax(-1)
            after = ids[cause + 1 :].expand(job.draws, -1)[..., None]
            found.append(probabilities.gather(-1, after)[..., 0].mean(0).log().cpu())
    return found


def against_cpu(bench: Bench) -> Iterator[Row]:
    """The card beside two threads of the processor next to it."""
    threads = torch.get_num_threads()
    for dtype in (torch.float32, torch.bfloat16):
        job = bench.job(FULL_JOBS["4 x 256"])
        few = job._replace(sequences=2)
        on_card = speed(bench, Oracle(bench.model(job, dtype)), job)
        torch.set_num_threads(2)
        try:
            cpu = Oracle(bench.model(few, dtype, torch.device("cpu")))
            on_cpu = speed(bench, cpu, few, runs=1)
        finally:
            torch.set_num_threads(threads)
        rates = {"card": on_card["positions_per_second"], "two_threads": on_cpu["positions_per_second"]}
        yield {"model": job.shape, "dtype": on_card["dtype"], **rates, "times": rates["card"] / rates["two_threads"]}


def lengths(bench: Bench) -> Iterator[Row]:
    """Sequences of several lengths, all lags as far as 512 events and lag 64 beyond."""
    jobs = [
        Job("4 x 256", 1000, 64, 16, 256), Job("4 x 256", 1000, 256, 16, 16), Job("4 x 256", 1000, 512, 16, 4),
        Job("4 x 256", 1000, 1024, 16, 8, 64), Job("4 x 256", 1000, 4096, 16, 2, 64),
        Job("4 x 256", 1000, 256, 16, 64, 8),
    ]  # fmt: skip
    for job in map(bench.job, jobs):
        yield speed(bench, Oracle(bench.model(job, torch.bfloat16)), job, runs=1)


def micro_batches(bench: Bench) -> Iterator[Row]:
    """How many tokens are best read at once."""
    for name in ("4 x 256", "135 M"):
        job = bench.job(FULL_JOBS[name]._replace(sequences=64 if name == "4 x 256" else 2))
        oracle = Oracle(bench.model(job, torch.bfloat16), compiled=True)
        for tokens in [64] if bench.small else [2**15, 2**16, 2**17, 2**18]:
            oracle.memory.most_tokens = tokens
            yield {"tokens_at_once": tokens, **speed(bench, oracle, job, runs=1)}


def many_types(bench: Bench) -> Iterator[Row]:
    """As many types as a fleet of vehicles writes."""
    for dtype in (torch.bfloat16, torch.float32):
        job = bench.job(Job("4 x 256", 29_100, 128, 16, 16))
        yield speed(bench, Oracle(bench.model(job, dtype)), job, bench.rate(dtype), runs=2)


def training(bench: Bench) -> Iterator[Row]:
    """A world of 1,000 types is learned, and its causes are found; beside it the world itself, and every pair."""
    spec = replace(WORLDS["steep"], length=64)
    if bench.small:
        spec = replace(spec, types=20, length=16)
    world = World(spec)
    count, tested = (40, 2) if bench.small else (100_000, 12)
    started = time.perf_counter()
    log = log_of(spec.types, written(world, count, 1, bench.device))
    simulated = time.perf_counter() - started
    settings = TrainingSettings(
        preset="nano" if bench.small else "small", gaps=False, epochs=1.0 if bench.small else 2.0,
        batch_tokens=64 if bench.small else 16_384, learning_rate=2e-3, validation_share=0.02,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = train(log, f"{folder}/run", settings)
        trained = time.perf_counter() - started
        model = AutoModelForCausalLM.from_pretrained(run.folder).to(bench.device)
    codes = written(world, tested, 2, bench.device)
    truth = true_effects(world, codes)
    ids = world_tokenizer(spec).event_ids
    started = time.perf_counter()
    found = labelled(codes, scored(Oracle(model), encoded(world, codes), ids, 0), truth)
    discovery = time.perf_counter() - started
    exact = labelled(codes, scored(Oracle(WorldModel.of(world)), encoded(world, codes), ids, 0), truth)
    events = run.metrics["epochs"] * count * spec.length
    yield {
        "types": spec.types, "events_read": events, "simulation_seconds": simulated, "training_seconds": trained,
        "events_per_second": events / trained, "loss": run.quality.loss, "discovery_seconds": discovery,
        "f1": mean_f1(found, DELTA), "f1_of_the_world_itself": mean_f1(exact, DELTA),
        "f1_of_every_pair": mean_f1(found, -np.inf),
    }  # fmt: skip


@torch.inference_mode()
def written(world: World, sequences: int, seed: int, device: torch.device) -> np.ndarray:
    """Sequences of a world, written where the models are."""
    there = World(world.spec, {name: part.to(device) for name, part in world.state.items()})
    there.fading = there.fading.to(device)
    generator = torch.Generator(device).manual_seed(seed)
    parts = []
    for start in range(0, sequences, 8192):
        past = torch.full((min(8192, sequences - start), world.spec.memory), world.nothing, device=device)
        codes = []
        for _ in range(world.spec.length):
            event = torch.multinomial(there.log_probs(past).exp(), 1, generator=generator)
            codes.append(event)
            past = torch.cat([event, past[:, :-1]], dim=1)
        parts.append(torch.cat(codes, dim=1).cpu())
    return torch.cat(parts).numpy()


def log_of(types: int, codes: np.ndarray) -> EventLog:
    """A log of sequences of one length, without times."""
    offsets = np.arange(len(codes) + 1, dtype=np.int64) * codes.shape[1]
    ids = tuple(map(str, range(len(codes))))
    return EventLog(type_names(types), codes.ravel().astype(np.int32), offsets, None, ids)


# Seconds after which a part stops with what it has, and after which none begins.
PARTS: dict[str, tuple[float, Callable[[Bench], Iterator[Row]]]] = {
    "machine": (15, machine),
    "equality": (60, equality),
    "positions": (120, positions),
    "profile": (60, profile),
    "cpu": (40, against_cpu),
    "full_rows": (40, against_full_rows),
    "types": (20, many_types),
    "lengths": (30, lengths),
    "micro_batches": (30, micro_batches),
    "training": (80, training),
}
MOST_SECONDS = 400


def measure(options: argparse.Namespace) -> Report:
    """All parts asked for; on disk after every row."""
    bench = Bench(torch.device(options.device), options.smoke)
    begun, results = time.monotonic(), about(options.device)
    for name in options.part:
        most, part = PARTS[name]
        rows = results[name] = []
        started = time.monotonic()
        if started - begun > MOST_SECONDS:
            continue
        for row in part(bench):
            rows.append(row)
            print(name, json.dumps(row), file=sys.stderr, flush=True)
            (options.out / "gpu.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            if time.monotonic() - started > most:
                break
        results["seconds"][name] = round(time.monotonic() - started, 1)
    return Report(results, markdown(results))


def about(device: str) -> Row:
    """When, where and with what."""
    return {
        "date": datetime.date.today().isoformat(), "device": device, "hardware": hardware(),
        "torch": torch.__version__, "transformers": transformers.__version__, "seconds": {},
    }  # fmt: skip


def markdown(results: Row) -> str:
    """A table for each part."""
    parts = [f"{results['hardware']}, torch {results['torch']}, {results['date']}"]
    for name, rows in results.items():
        if name in PARTS and rows:
            keys = list(dict.fromkeys(key for row in rows for key in row))
            lines = [[shown(row.get(key)) for key in keys] for row in rows]
            parts.append(f"## {name}\n\n{table([key.replace('_', ' ') for key in keys], lines)}")
    return "\n\n".join(parts)


def shown(value: object) -> object:
    """Numbers to three digits."""
    return (
        f"{value:,.0f}"
        if isinstance(value, float) and value >= 1000
        else f"{value:.3g}"
        if isinstance(value, float)
        else value
    )


def more_options(parser: argparse.ArgumentParser) -> None:
    """What this recipe has beside the others."""
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--small", dest="smoke", action="store_true", help="the same as --smoke")
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))


RECIPE = Recipe(__file__, __doc__, "What does a GPU add?", measure, options=more_options)

if __name__ == "__main__":
    RECIPE.main()
