# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""How well must a model be trained before its causal graphs can be believed?

    python recipes/oracle-quality/oracle_quality.py --out runs/oracle-quality --world small --seed 0
    python recipes/oracle-quality/oracle_quality.py --out runs/oracle-quality --report

A small Llama reads sequences of a world with known causes, every sequence once. On the way, and at the end, its oracle
score and the F1 of the graphs it gives are measured. Nothing looks at the causes: margin 0.05 nats, 32 draws. Beside it
stands the score of the additive model that ``hf-trace train`` reports, fitted to the first of the same sequences.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from exact_oracle import MAX_LAG, TRUTHS, encoded, labelled, scored, token_rows, true_effects
from harness import NotMeasured, Recipe, Report, Size, metrics, panels, table
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from transformers import PreTrainedModel, set_seed

from hf_trace.discovery.threshold_choice import mean_f1, recall_by_lag
from hf_trace.oracle.additive_model import TimedEvents, fit_additive
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.world_model import WorldModel, world_tokenizer
from hf_trace.training.architectures import build_model
from hf_trace.worlds.simulator import DELTA, simulate
from hf_trace.worlds.world import WORLDS, World, pasts

AVERAGED = 0.995


class Examination:
    """Fresh sequences of a world, their known causes, and how a model does on them."""

    def __init__(self, world: World, seed: int, *, tested: int, scored: int) -> None:
        self.world, self.seed = world, seed
        self.tokenizer = world_tokenizer(world.spec)
        self.codes = simulate(world, tested, seed=seed).codes
        self.effects = {draws: true_effects(world, self.codes, draws) for draws in TRUTHS}
        others = torch.from_numpy(simulate(world, scored, seed=seed + 500).codes)
        self.rows, self.events = token_rows(world, others), in_sequence(others)
        past = pasts(others, world.spec.memory, world.nothing).flatten(0, 1)
        self.exact = world.log_probs(past).double()
        self.entropy = self.cross_entropy(self.exact)

    def cross_entropy(self, log_probs: torch.Tensor) -> float:
        """Expected loss of predictions, whatever event happened to follow, in nats per event."""
        return -float((self.exact.exp() * log_probs).sum(1).mean())

    def score_of(self, log_probs: torch.Tensor) -> float:
        """(loss - H) / (ln types - H): 0 for the world itself, 1 for a model that knows nothing."""
        return (self.cross_entropy(log_probs) - self.entropy) / (math.log(self.world.spec.types) - self.entropy)

    @torch.inference_mode()
    def oracle_score(self, model: PreTrainedModel) -> float:
        """The score of a language model."""
        parts = [model(input_ids=part[:, :-1]).logits.float() for part in self.rows.split(64)]
        log_probs = torch.cat(parts).log_softmax(-1)[..., self.tokenizer.event_ids].flatten(0, 1).double()
        return self.score_of(log_probs)

    def additive_score(self, codes: np.ndarray) -> float:
        """The score of the additive model, fitted to as many of these sequences as it takes."""
        model = fit_additive(in_sequence(codes), self.world.spec.types, seed=self.seed)
        log_probs = model.class_log_probs(model.counted(self.events))
        return self.score_of(log_probs[:, model.class_of].double())

    def measure(self, model: PreTrainedModel) -> dict:
        """Oracle score, summary F1 and recall by lag."""
        ids = self.tokenizer.event_ids
        found = scored(Oracle(model), encoded(self.world, self.codes), ids, self.seed)
        known = {draws: labelled(self.codes, found, effects) for draws, effects in self.effects.items()}
        return {
            "oracle_score": self.oracle_score(model),
            **{f"f1_{draws}": mean_f1(pairs, DELTA) for draws, pairs in known.items()},
            "recall_by_lag": recall_by_lag(known[200], DELTA, MAX_LAG).tolist(),
            "predict_all": mean_f1(known[200], -np.inf),
        }


def in_sequence(codes: np.ndarray | torch.Tensor) -> TimedEvents:
    """Sequences of one length as one column of events without times."""
    codes = np.asarray(codes, dtype=np.int64)
    return TimedEvents(codes.ravel(), np.arange(len(codes) + 1) * codes.shape[1])


def written_sequences(world: World, seed: int, count: int, part: int = 0) -> np.ndarray:
    """A part of the sequences that are read in training."""
    return simulate(world, count, seed=1_000_000 * (seed + 1) + part).codes


def batches(world: World, seed: int, options: argparse.Namespace) -> Iterator[torch.Tensor]:
    """Sequences that nobody has seen before, batch after batch."""
    per_chunk = options.chunk // options.batch
    for step in range(options.sequences // options.batch):
        if step % per_chunk == 0:
            written = token_rows(world, written_sequences(world, seed, options.chunk, step // per_chunk))
        first = step % per_chunk * options.batch
        yield written[first : first + options.batch]


def trained(world: World, seed: int, options: argparse.Namespace) -> Iterator[tuple[int, PreTrainedModel]]:
    """Train and give the averaged weights after some steps, ever further apart."""
    set_seed(seed)
    steps = options.sequences // options.batch
    model = build_model(world_tokenizer(world.spec), context_length=world.spec.length + 2, preset=options.preset)
    averaged = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    stops = set(np.geomspace(min(60, steps), steps, options.checkpoints).round().astype(int).tolist())
    for step, ids in enumerate(batches(world, seed, options), 1):
        share = min(1, step / 50) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * share
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            pairs = zip(averaged.parameters(), model.parameters(), strict=True)
            for mean, current in pairs:
                mean.lerp_(current, 1 - min(AVERAGED, step / (step + 10)))
        if step in stops:
            yield step, averaged


def study(name: str, seed: int, options: argparse.Namespace) -> None:
    """One world, one seed: train, measure on the way, write as it goes."""
    world = World(replace(WORLDS[name], seed=seed))
    examination = Examination(world, seed, tested=options.tested, scored=options.scored)
    document = {
        "world": name, "seed": seed, "preset": options.preset, "batch": options.batch,
        "learning_rate": options.learning_rate, "entropy": examination.entropy,
        "exact": examination.measure(WorldModel.of(world)),
        "additive": examination.additive_score(written_sequences(world, seed, options.chunk)), "checkpoints": [],
    }  # fmt: skip
    found = {key: document["exact"][key] for key in ("f1_10", "f1_200")}
    print(name, seed, "exact", found, "additive", round(document["additive"], 4), flush=True)
    started = time.process_time()
    for step, model in trained(world, seed, options):
        line = {"steps": step, "sequences": step * options.batch, "cpu_seconds": time.process_time() - started}
        line |= examination.measure(model)
        document["checkpoints"].append(line)
        path = options.out / f"{name}-{seed}-{options.sequences}.json"
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print({key: value if isinstance(value, list) else round(value, 4) for key, value in line.items()}, flush=True)


def measure(options: argparse.Namespace) -> Report:
    """Train and measure, unless it is only to be reported; then join every checkpoint that was measured."""
    for name in [] if options.report else options.world:
        for seed in options.seed:
            study(name, seed, options)
    documents = [json.loads(path.read_text()) for path in sorted(options.out.glob("*-*-*.json"))]
    if not documents:
        raise NotMeasured(f"Nothing was measured in {str(options.out)!r} yet. Leave out --report.")
    columns = ("world", "seed", "sequences", "oracle score", "F1, 10-draw truth", "F1, 200-draw truth")
    lines, named = [], {}
    for document in documents:
        world, seed, additive = document["world"], document["seed"], document["additive"]
        named[f"{world}, seed {seed}: oracle score, additive model"] = (additive, 0.01)
        for each in [*document["checkpoints"], {"sequences": "exact", **document["exact"]}]:
            recall = " ".join(f"{value:.2f}".lstrip("0") for value in each["recall_by_lag"])
            count = each["sequences"] if isinstance(each["sequences"], str) else f"{each['sequences']:,}"
            lines.append(
                [world, seed, count, *(each[key] for key in ("oracle_score", "f1_10", "f1_200")), recall, additive]
            )
        keys = {"oracle_score": (columns[3], 0.01), "f1_200": (columns[5], 0.02), "f1_10": (columns[4], 0.02)}
        last = document["checkpoints"][-1]
        named |= metrics([last], lambda row, w=world, s=seed: f"{w}, seed {s}, {row['sequences']:,} sequences", keys)
    return Report(
        documents, table((*columns, "recall by lag 1-6", "oracle score, additive model"), lines), named, draw(documents)
    )


def draw(documents: list[dict]) -> Figure:
    """F1 against oracle score and against the sequences read."""
    figure, (left, right) = panels(9, 3.8, 1, 2, sharey=True)
    colours = dict(zip(dict.fromkeys(each["world"] for each in documents), ("#0072B2", "#D55E00"), strict=False))
    for document in documents:
        points = document["checkpoints"]
        f1 = [each["f1_200"] for each in points]
        style = {"color": colours[document["world"]], "marker": "o", "ms": 3, "alpha": 0.8}
        label = document["world"] if document["seed"] == 0 else None
        left.plot([each["oracle_score"] for each in points], f1, label=label, **style)
        right.plot([each["sequences"] for each in points], f1, **style)
        if document["seed"] == 0:
            for panel in (left, right):
                panel.axhline(document["exact"]["f1_200"], color=style["color"], ls=":", lw=1)
    left.axvline(0.1, color="grey", lw=0.8)
    left.set(xscale="log", xlabel="oracle score (lower is better)", ylabel="summary F1, 200-draw truth", ylim=(0.7, 1))
    right.set(xscale="log", xlabel="sequences read, each once")
    for panel in (left, right):
        panel.xaxis.set_minor_formatter(NullFormatter())
    left.legend(title="dotted: exact oracle", fontsize=8)
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "How well must a model be trained before its causal graphs can be believed?",
    measure,
    {
        "world": Size(["small", "small-medium"], ["small"]),
        "seed": Size([0, 1, 2, 3, 4], [0], "of world and training"),
        "sequences": Size(60_000, 96, "sequences that are read, each once"),
        "checkpoints": Size(8, 1),
        "preset": Size("tiny", "nano", "size of the model"),
        "learning_rate": Size(3e-3, 3e-3),
        "batch": Size(32, 32, "sequences per step"),
        "chunk": Size(4096, 96, "sequences that are simulated at once"),
        "tested": Size(24, 1, "sequences in which graphs are found"),
        "scored": Size(256, 8, "sequences whose loss is measured"),
    },
    can_report=True,
)

if __name__ == "__main__":
    RECIPE.main()
