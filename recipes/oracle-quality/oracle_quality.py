"""How well must a model be trained before its causal graphs can be believed?

    python recipes/oracle-quality/oracle_quality.py --out runs/oracle-quality --world small --seed 0
    python recipes/oracle-quality/oracle_quality.py --out runs/oracle-quality --report

A small Llama reads sequences of a world with known causes, every sequence once. On the way, and at the end, its oracle
score and the F1 of the graphs it gives are measured. Nothing looks at the causes: margin 0.05 nats, 32 draws.
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import PreTrainedModel, set_seed

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.threshold_choice import LabelledPairs, mean_f1, recall_by_lag
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.runs.simulated_worlds import WorldModel, world_tokenizer
from hf_trace.training.architectures import build_model
from hf_trace.worlds.simulator import DELTA, replacement_scores, simulate
from hf_trace.worlds.world import WORLDS, World, pasts

PREFIX, MAX_LAG, DRAWS = 6, 6, 32
TESTED, SCORED = 24, 256
CHUNK = 4096
AVERAGED = 0.995


class Examination:
    """Fresh sequences of a world, their known causes, and how a model does on them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.tokenizer = world_tokenizer(world.spec)
        self.codes = simulate(world, TESTED, seed=seed).codes
        self.truth = {
            draws: [
                replacement_scores(world, each, num_samples=draws, seed=10_000 * draws + number) > DELTA
                for number, each in enumerate(self.codes)
            ]
            for draws in (10, 200)
        }
        scored = torch.from_numpy(simulate(world, SCORED, seed=seed + 500).codes)
        self.rows = rows(scored, self.tokenizer)
        past = pasts(scored, world.spec.memory, world.nothing).flatten(0, 1)
        self.exact = world.log_probs(past).double()
        self.entropy = self.cross_entropy(self.exact)

    def cross_entropy(self, log_probs: torch.Tensor) -> float:
        """Expected loss of predictions, whatever event happened to follow, in nats per event."""
        return -float((self.exact.exp() * log_probs).sum(1).mean())

    @torch.inference_mode()
    def oracle_score(self, model: PreTrainedModel) -> float:
        """(loss - H) / (ln types - H): 0 for the world itself, 1 for a model that knows nothing."""
        parts = [model(input_ids=part[:, :-1]).logits.float() for part in self.rows.split(64)]
        log_probs = torch.cat(parts).log_softmax(-1)[..., self.tokenizer.event_ids].flatten(0, 1).double()
        return (self.cross_entropy(log_probs) - self.entropy) / (math.log(self.world.spec.types) - self.entropy)

    def measure(self, model: PreTrainedModel) -> dict:
        """Oracle score, summary F1 and recall by lag."""
        settings = DiscoverySettings(max_lag=MAX_LAG, num_samples=DRAWS, prefix_length=PREFIX, seed=self.seed)
        ids = torch.from_numpy(self.tokenizer.event_ids)
        encoded = [
            EncodedSequence(row.numpy(), np.arange(1, len(row)))
            for row in rows(torch.from_numpy(self.codes), self.tokenizer)
        ]
        found = score_pairs(Oracle(model), encoded, Alphabet(ids, torch.ones(len(ids))), settings)
        labelled = {
            draws: [LabelledPairs.of(*each) for each in zip(self.codes, found, known, strict=True)]
            for draws, known in self.truth.items()
        }
        return {
            "oracle_score": self.oracle_score(model),
            **{f"f1_{draws}": mean_f1(pairs, DELTA) for draws, pairs in labelled.items()},
            "recall_by_lag": recall_by_lag(labelled[200], DELTA, MAX_LAG).tolist(),
            "predict_all": mean_f1(labelled[200], -np.inf),
        }


def rows(codes: torch.Tensor, tokenizer) -> torch.Tensor:
    """Token rows: the start token, then one token per event."""
    ids = torch.from_numpy(tokenizer.event_ids)[codes]
    return torch.nn.functional.pad(ids, (1, 0), value=tokenizer.tokenizer.bos_token_id)


def batches(world: World, seed: int, batch: int, steps: int) -> Iterator[torch.Tensor]:
    """Sequences that nobody has seen before, batch after batch."""
    tokenizer, per_chunk = world_tokenizer(world.spec), CHUNK // batch
    for step in range(steps):
        if step % per_chunk == 0:
            number = 1_000_000 * (seed + 1) + step // per_chunk
            table = rows(torch.from_numpy(simulate(world, CHUNK, seed=number).codes), tokenizer)
        first = step % per_chunk * batch
        yield table[first : first + batch]


def trained(world: World, seed: int, options: argparse.Namespace) -> Iterator[tuple[int, PreTrainedModel]]:
    """Train and give the averaged weights after some steps, ever further apart."""
    set_seed(seed)
    steps = options.sequences // options.batch
    model = build_model(world_tokenizer(world.spec), context_length=world.spec.length + 2, preset=options.preset)
    averaged = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    stops = set(np.geomspace(min(60, steps), steps, options.checkpoints).round().astype(int).tolist())
    for step, ids in enumerate(batches(world, seed, options.batch, steps), 1):
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
    examination = Examination(world, seed)
    document = {
        "world": name, "seed": seed, "preset": options.preset, "batch": options.batch,
        "learning_rate": options.learning_rate, "entropy": examination.entropy,
        "exact": examination.measure(WorldModel.of(world)), "checkpoints": [],
    }  # fmt: skip
    print(name, seed, "exact", {key: document["exact"][key] for key in ("f1_10", "f1_200")}, flush=True)
    started = time.process_time()
    for step, model in trained(world, seed, options):
        line = {"steps": step, "sequences": step * options.batch, "cpu_seconds": time.process_time() - started}
        line |= examination.measure(model)
        document["checkpoints"].append(line)
        path = options.out / f"{name}-{seed}-{options.sequences}.json"
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print({key: value if isinstance(value, list) else round(value, 4) for key, value in line.items()}, flush=True)


def report(out: Path) -> None:
    """Join what was measured: every checkpoint, and the final models by world."""
    documents = [json.loads(path.read_text()) for path in sorted(out.glob("*-*-*.json"))]
    lines = ["| world | seed | sequences | oracle score | F1, 10-draw truth | F1, 200-draw truth | recall by lag 1-6 |"]
    lines.append("|---|---|---|---|---|---|---|")
    for document in documents:
        for each in [*document["checkpoints"], {"sequences": "exact", **document["exact"]}]:
            recall = " ".join(f"{value:.2f}".lstrip("0") for value in each["recall_by_lag"])
            count = each["sequences"] if isinstance(each["sequences"], str) else f"{each['sequences']:,}"
            lines.append(
                f"| {document['world']} | {document['seed']} | {count} | {each['oracle_score']:.3f} | "
                f"{each['f1_10']:.3f} | {each['f1_200']:.3f} | {recall} |"
            )
    text = "\n".join(lines) + "\n"
    (out / "oracle_quality.md").write_text(text, encoding="utf-8")
    (out / "oracle_quality.json").write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")
    draw(documents, out / "oracle_quality.png")
    print(text)


def draw(documents: list[dict], path: Path) -> None:
    """F1 against oracle score and against the sequences read."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
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
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train and measure, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/oracle-quality"))
    parser.add_argument("--world", choices=["small", "small-medium"], action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--sequences", type=int, default=60_000, help="sequences that are read, each once")
    parser.add_argument("--checkpoints", type=int, default=8)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=32, help="sequences per step")
    parser.add_argument("--report", action="store_true", help="only join what was measured")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.report:
        for name in options.world or ["small", "small-medium"]:
            for seed in options.seed or range(5):
                study(name, seed, options)
    report(options.out)


if __name__ == "__main__":
    main()
