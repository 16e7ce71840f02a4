# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace[chess]"]
# ///
"""What would the outcome of an endgame be if some of White's moves were forced and the rest played as usual?

    python recipes/chess-endgame/chess_endgame.py --out runs/chess-endgame    # fifteen minutes of one core
    python recipes/chess-endgame/chess_endgame.py --out runs/chess-smoke --smoke      # half a minute, proves nothing

A small language model reads games of players of unequal skill, who do not get equal positions. Its answers to partial
interventions are compared with the players themselves when they are forced, and with counting.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

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
from harness import Metrics, NotMeasured, Recipe, Report, Size, panels
from harness import table as markdown_table
from legality import illegal_mass
from matplotlib.figure import Figure
from notation import START, row, schema, start_row, table
from transformers import pipeline

from hf_trace.training.table_training import DagTrainingSettings, train_dag

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
    question: Question, effect: Any, frame: pd.DataFrame, shares: Shares, options: argparse.Namespace
) -> dict[str, Any]:
    """Answer a question in every way."""
    rng = np.random.default_rng([options.seed, QUESTIONS.index(question)])
    true, weights = truth(question), matches(frame, question)
    answer, length = (
        effect({"target": target, **question.record}, num_samples=options.draws, seed=options.seed)
        for target in ("outcome", "plies")
    )
    outlooks = {
        "truth": true,
        "simulated": simulated(question, options.simulations, rng),
        "model": Outlook(
            np.array([answer["distribution"][outcome] for outcome in OUTCOMES]), length["expectation"]["mean"]
        ),
        "table": tabulated(question, shares),
        "adjusted": adjusted(frame, weights, question),
        "naive": naive(frame, weights, question),
    }
    model, begun = effect.asked, beginnings(question, options.games_of_the_model, rng)
    legality = illegal_mass(model.conditionals, model.reader, begun, question.record["do"], rng)
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


def beginnings(question: Question, count: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """Starts of games that the model is to play."""
    known = question.starts()
    rows = [start_row(known[number]) for number in rng.integers(len(known), size=count)]
    return {name: [each[name] for each in rows] for name in START}


def measure(options: argparse.Namespace) -> Report:
    """Play, train, ask, compare."""
    out, seed = options.out, options.seed
    cost = out / "training_seconds.json"
    if options.again and not cost.exists():
        raise NotMeasured(f"No run has left a model in {str(out)!r} yet. Leave out --again.")
    if wrong := [question.name for question in QUESTIONS if not is_legal(question)]:
        raise NotMeasured(f"The question {wrong[0]!r} forces a move that may be illegal. Choose another move.")
    torch.set_num_threads(1)
    began = time.process_time()
    games = observe(options.games, np.random.default_rng(seed))
    frame = pd.DataFrame([row(game) for game in games])
    played = time.process_time()
    settings = DagTrainingSettings(
        preset="nano",
        epochs=options.epochs,
        # Nearly every move is illegal in a given position, so none may be taken for possible before it is seen.
        smoothing=0.0,
        batch_tokens=4096,
        patience=12,
        refit=False,
        validation_share=0.02,
        seed=seed,
    )
    if not options.again:
        train_dag(table(games), out / "model", settings)
        cost.write_text(json.dumps(time.process_time() - played), encoding="utf-8")
    to_train = json.loads(cost.read_text(encoding="utf-8"))
    asked = time.process_time()
    effect = pipeline("causal-effect", model=str(out / "model"))
    shares = counts(frame)
    results = [examine(question, effect, frame, shares, options) for question in QUESTIONS]
    rng = np.random.default_rng([seed, 99])
    model, nothing = effect.asked, beginnings(Question("nothing"), options.games_of_the_model, rng)
    unforced = illegal_mass(model.conditionals, model.reader, nothing, {}, rng)
    report = {
        "games": options.games,
        "seed": seed,
        "starts": len(starts()),
        "variables": len(schema().variables),
        "outcomes": [float((frame["outcome"] == outcome).mean()) for outcome in OUTCOMES],
        "parameters": model.metrics["parameters"],
        "rows merged": model.metrics["rows_merged"],
        "results": results,
        "nothing forced": asdict(unforced),
    }
    seconds = {
        f"playing {options.games:,} games": round(played - began),
        "training": round(to_train),
        f"{len(results)} questions in every way": round(time.process_time() - asked),
    }
    return Report(report, shown(report), named(report), draw(report), seconds)


def named(report: Mapping[str, Any]) -> Metrics:
    """What another run is to be compared with; tolerances are for another seed or machine."""
    results = report["results"]
    distances = {name: np.array([each["total_variation"][name] for each in results]) for name in METHODS}
    lengths = [abs(each["plies"]["model"] - each["plies"]["truth"]) for each in results]
    illegal = np.array([each["legality"]["mass"] for each in results])
    return {
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


def shown(report: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    results = report["results"]
    lines = [
        [
            f"{result['name']}: {result['asked']}",
            f"{result['games']:,.0f}",
            *(result["total_variation"][name] for name in METHODS),
            f"{result['legality']['mass']:.2%}",
        ]
        for result in results
    ]
    means = [float(np.mean([each["total_variation"][name] for each in results])) for name in METHODS]
    lines.append(["mean", "", *means, ""])
    lines.append(["nothing forced", "", *[""] * len(METHODS), f"{report['nothing forced']['mass']:.2%}"])
    columns = ("total variation to the truth", "games with this", *METHODS.values(), "illegal")
    answers = [
        [result["name"], name, *shares, f"{result['plies'][name]:.2f}"]
        for result in results
        for name, shares in result["outcome"].items()
    ]
    distributions = markdown_table(("question", "method", *OUTCOMES, "plies"), answers)
    return f"{markdown_table(columns, lines)}\n\n{distributions}"


def draw(report: Mapping[str, Any]) -> Figure:
    """Distances by question, and the distributions behind them."""
    results = report["results"]
    figure, (left, right) = panels(10, 4.6, 1, 2)
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
    return figure


RECIPE = Recipe(
    __file__,
    __doc__,
    "What would the outcome of an endgame be if some of White's moves were forced?",
    measure,
    {
        "games": Size(300_000, 100),
        "epochs": Size(450.0, 1.0),
        "draws": Size(20_000, 50, "draws of an answer"),
        "simulations": Size(20_000, 100, "games with what is forced"),
        "games_of_the_model": Size(2_000, 8, "games in which illegal moves are counted"),
    },
    lambda parser: parser.add_argument(
        "--again", action="store_true", help="ask the model that an earlier run left in --out again"
    ),
    seed=0,
)

if __name__ == "__main__":
    RECIPE.main()
