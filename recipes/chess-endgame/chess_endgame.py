"""What would the outcome of an endgame be if some of White's moves were forced and the rest played as usual?

    python recipes/chess-endgame/chess_endgame.py --out runs/chess-endgame            # fifteen minutes of one core
    python recipes/chess-endgame/chess_endgame.py --out runs/chess-smoke --smoke      # half a minute, proves nothing

A small language model reads games of players of unequal skill, who do not get equal positions. Its answers to partial
interventions are compared with the players themselves when they are forced, and with counting.
"""

import argparse
import datetime
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import torch
from endgame import OUTCOMES, observe, starts
from endgame_questions import (
    Outlook,
    Question,
    Shares,
    adjusted,
    agreeing,
    counts,
    is_legal,
    matches,
    naive,
    simulated,
    start,
    tabulated,
    total_variation,
    truth,
)
from legality import illegal_mass
from notation import START, row, schema, start_row, table
from transformers import pipeline

from hf_trace.training.table_training import DagTrainingSettings, train_dag


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    games: int = 300_000
    epochs: float = 450.0
    preset: str = "nano"
    draws: int = 20_000
    simulations: int = 20_000
    games_of_the_model: int = 2_000


SMOKE = Size(games=200, epochs=1.0, draws=50, simulations=100, games_of_the_model=20)

ROOK, QUEEN = {"material": "rook"}, {"material": "queen"}

# Where conditioning goes wrong, and all that is forced is seen now and then; both found out without the model.
QUESTIONS = [
    Question("first move, rook", start("rook", "d6", "g2", "b8"), {"move_1": "Rg8"}),
    Question("first move, queen", start("queen", "d6", "g2", "b8"), {"move_1": "Qc6"}),
    Question("first move, king", start("queen", "c5", "e4", "b8"), {"move_1": "Kb6"}),
    Question("second move", start("rook", "c5", "g2", "a8"), {"move_3": "Kb5"}),
    Question("two moves, rook", start("rook", "c5", "e4", "c8"), {"move_1": "Re7", "move_3": "Kc6"}),
    Question("two moves, hanging", start("rook", "c5", "e4", "c8"), {"move_1": "Kc6", "move_3": "Re8"}),
    Question("two moves, queen", start("queen", "c5", "g2", "b8"), {"move_1": "Kb6", "move_3": "Qd5"}),
    Question("second move by a beginner, rook", ROOK, {"move_3": "beginner"}),
    Question("second move by a beginner", {}, {"move_3": "beginner"}),
    Question("two moves by an expert, queen", QUEEN, {"move_1": "expert", "move_3": "expert"}),
    Question("an expert plays", {}, {"skill": "expert"}),
    Question("a beginner plays", {}, {"skill": "beginner"}),
]

METHODS = {
    "model": "language model",
    "table": "table of counts and the rules",
    "adjusted": "conditioning by start and player",
    "naive": "conditioning",
}


def examine(
    question: Question, effect: Any, frame: pd.DataFrame, shares: Shares, size: Size, seed: int
) -> dict[str, Any]:
    """Answer a question in every way."""
    rng = np.random.default_rng([seed, QUESTIONS.index(question)])
    true, weights = truth(question), matches(frame, question)
    answer, length = (
        effect({"target": target, **question.record}, num_samples=size.draws, seed=seed)
        for target in ("outcome", "plies")
    )
    outlooks = {
        "truth": true,
        "simulated": simulated(question, size.simulations, rng),
        "model": Outlook(
            np.array([answer["distribution"][outcome] for outcome in OUTCOMES]), length["expectation"]["mean"]
        ),
        "table": tabulated(question, shares),
        "adjusted": adjusted(frame, weights, question),
        "naive": naive(frame, weights, question),
    }
    legality = illegal_mass(
        effect.asked.conditionals, effect.asked.reader, beginnings(question, size, rng), question.record["do"], rng
    )
    return {
        "name": question.name,
        "asked": question.words,
        "outcome": {name: each.outcome.tolist() for name, each in outlooks.items()},
        "plies": {name: each.plies for name, each in outlooks.items()},
        "total_variation": {
            name: total_variation(each.outcome, true.outcome) for name, each in outlooks.items() if name != "truth"
        },
        "games": float(weights[agreeing(frame, question.given)].sum()),
        "standard_error": max(answer["standard_error"].values()),
        "legality": asdict(legality),
    }


def beginnings(question: Question, size: Size, rng: np.random.Generator) -> dict[str, list[str]]:
    """Starts of games that the model is to play."""
    known = question.starts()
    rows = [start_row(known[number]) for number in rng.integers(len(known), size=size.games_of_the_model)]
    return {name: [each[name] for each in rows] for name in START}


def main() -> None:
    """Play, train, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/chess-endgame"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a run that proves nothing but that everything runs")
    parser.add_argument("--again", action="store_true", help="ask the model that an earlier run left in --out again")
    options = parser.parse_args()
    if options.again and not (options.out / "training_seconds.json").exists():
        parser.error(f"No run has left a model in {str(options.out)!r} yet. Leave out --again.")
    torch.set_num_threads(1)
    size = SMOKE if options.smoke else Size()
    report = run(options.out, size, options.seed, train=not options.again)
    print((options.out / "chess_endgame.md").read_text(encoding="utf-8"))
    print(f"{report['seconds']['all']:.0f} CPU seconds")


def run(out: Path, size: Size, seed: int, *, train: bool = True) -> dict[str, Any]:
    """All of it; writes JSON, Markdown and a figure."""
    if wrong := [question.name for question in QUESTIONS if not is_legal(question)]:
        raise SystemExit(f"The question {wrong[0]!r} forces a move that may be illegal. Choose another move.")
    out.mkdir(parents=True, exist_ok=True)
    games = observe(size.games, np.random.default_rng(seed))
    frame = pd.DataFrame([row(game) for game in games])
    played = time.process_time()
    settings = DagTrainingSettings(
        preset=size.preset,
        epochs=size.epochs,
        # Nearly every move is illegal in a given position, so none may be taken for possible before it is seen.
        smoothing=0.0,
        batch_tokens=4096,
        patience=12,
        refit=False,
        validation_share=0.02,
        seed=seed,
    )
    cost = out / "training_seconds.json"
    if train:
        train_dag(table(games), out / "model", settings)
        cost.write_text(json.dumps(time.process_time() - played), encoding="utf-8")
    to_train = json.loads(cost.read_text(encoding="utf-8"))
    asked = time.process_time()
    effect = pipeline("causal-effect", model=str(out / "model"))
    shares = counts(frame)
    results = [examine(question, effect, frame, shares, size, seed) for question in QUESTIONS]
    rng = np.random.default_rng([seed, 99])
    model, nothing = effect.asked, beginnings(Question("nothing"), size, rng)
    unforced = illegal_mass(model.conditionals, model.reader, nothing, {}, rng)
    trained = model.metrics
    to_ask = time.process_time() - asked
    report = {
        "size": asdict(size),
        "seed": seed,
        "starts": len(starts()),
        "variables": len(schema().variables),
        "outcomes": [float((frame["outcome"] == outcome).mean()) for outcome in OUTCOMES],
        "parameters": trained["parameters"],
        "rows merged": trained["rows_merged"],
        "results": results,
        "nothing forced": asdict(unforced),
        "seconds": {"play": played, "train": to_train, "ask": to_ask, "all": played + to_train + to_ask},
    }
    for name, document in (("chess_endgame", report), ("expected", expected(report))):
        (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "chess_endgame.md").write_text(shown(report), encoding="utf-8")
    figure(report, out / "chess_endgame.png")
    return report


def expected(report: Mapping[str, Any]) -> dict[str, Any]:
    """What another run is to be compared with; tolerances are for another seed or machine."""
    results = report["results"]
    distances = {name: np.array([each["total_variation"][name] for each in results]) for name in METHODS}
    lengths = [abs(each["plies"]["model"] - each["plies"]["truth"]) for each in results]
    illegal = np.array([each["legality"]["mass"] for each in results])
    measured = {
        "mean total variation": (distances["model"].mean(), 0.01),
        "largest total variation": (distances["model"].max(), 0.05),
        "mean total variation, conditioning": (distances["naive"].mean(), 0.01),
        "mean total variation, conditioning by start and player": (distances["adjusted"].mean(), 0.01),
        "mean total variation, table of counts": (distances["table"].mean(), 0.005),
        "probability of illegal moves, nothing forced": (report["nothing forced"]["mass"], 0.004),
        "probability of illegal moves, median of the questions": (np.median(illegal), 0.005),
        "probability of illegal moves, worst question": (illegal.max(), 0.1),
        "mean error of the mean number of plies": (np.mean(lengths), 0.05),
    }
    seconds = report["seconds"]
    return {
        "question": "What would the outcome of an endgame be if some of White's moves were forced?",
        "date": datetime.date.today().isoformat(),
        "hardware": "2 CPU cores shared with other work, one thread",
        "command": "python recipes/chess-endgame/chess_endgame.py --out runs/chess-endgame",
        "cost": {
            f"playing {report['size']['games']:,} games": round(seconds["play"]),
            "training": round(seconds["train"]),
            f"{len(results)} questions in every way": round(seconds["ask"]),
        },
        "metrics": {
            name: {"value": round(float(value), 4), "tolerance": tolerance}
            for name, (value, tolerance) in measured.items()
        },
    }


def shown(report: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    results = report["results"]
    lines = [
        "| total variation to the truth | games with this | " + " | ".join(METHODS.values()) + " | illegal |",
        "|---|---|" + "---|" * (len(METHODS) + 1),
    ]
    for result in results:
        distances = " | ".join(f"{result['total_variation'][name]:.3f}" for name in METHODS)
        lines.append(
            f"| {result['name']}: {result['asked']} | {result['games']:,.0f} | {distances} | "
            f"{result['legality']['mass']:.2%} |"
        )
    means = [np.mean([each["total_variation"][name] for each in results]) for name in METHODS]
    nothing = report["nothing forced"]["mass"]
    lines.append("| mean | | " + " | ".join(f"{mean:.3f}" for mean in means) + " | |")
    lines.append("| nothing forced | | " + "| " * len(METHODS) + f"| {nothing:.2%} |")
    lines += [
        "",
        "| question | method | " + " | ".join(OUTCOMES) + " | plies |",
        "|---|---|" + "---|" * (len(OUTCOMES) + 1),
    ]
    for result in results:
        for name, shares in result["outcome"].items():
            numbers = " | ".join(f"{share:.3f}" for share in shares)
            lines.append(f"| {result['name']} | {name} | {numbers} | {result['plies'][name]:.2f} |")
    return "\n".join([*lines, ""])


def figure(report: Mapping[str, Any], path: Path) -> None:
    """Distances by question, and the distributions behind them."""
    from matplotlib.figure import Figure

    results = report["results"]
    drawn = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = drawn.subplots(1, 2)
    places = np.arange(len(results))
    for number, (name, label) in enumerate(METHODS.items()):
        heights = [result["total_variation"][name] for result in results]
        left.barh(places + 0.2 * (number - 1.5), heights, 0.2, label=label)
    left.set(yticks=places, yticklabels=[result["name"] for result in results], xlabel="total variation to the truth")
    left.invert_yaxis()
    left.legend(fontsize=7)
    for number, (outcome, marker) in enumerate(zip(OUTCOMES, "osD^", strict=True)):
        color = f"C{number}"
        for name, filled in (("model", color), ("naive", "none")):
            pairs = [(each["outcome"]["truth"][number], each["outcome"][name][number]) for each in results]
            label = f"{outcome}, {METHODS[name]}" if name == "model" else None
            x, y = zip(*pairs, strict=True)
            right.plot(x, y, marker, ms=5, color=color, markerfacecolor=filled, label=label)
    right.plot([0, 1], [0, 1], color="grey", lw=0.8)
    right.set(xlabel="true probability", ylabel="answer (filled: language model, hollow: conditioning)")
    right.legend(fontsize=7)
    drawn.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
