"""What would the outcome of an endgame be if some of White's moves were forced and the rest played as usual?

    python recipes/chess-endgame/chess_endgame.py --out runs/chess-endgame            # about 25 minutes, one thread
    python recipes/chess-endgame/chess_endgame.py --out runs/chess-smoke --smoke      # half a minute, proves nothing

A small language model reads games of players of unequal skill, who do not get equal positions. Its answers to partial
interventions are compared with games in which these moves really are forced, and with counting and regression.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import torch
from endgame import (
    OUTCOMES,
    SKILLS,
    Game,
    Position,
    draw,
    moves,
    observe,
    play,
    skill_shares,
    starts,
)
from legality import illegal_mass
from notation import row, table, untrained
from sklearn.ensemble import HistGradientBoostingClassifier
from transformers import pipeline

from hf_trace.hub.dag_training import DagTrainingSettings, train_dag


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    games: int = 60_000
    epochs: float = 6.0
    hidden_size: int = 64
    layers: int = 3
    draws: int = 4_000
    simulations: int = 20_000
    histories: int = 1_000


LEARNING_RATE = 5e-3
SMOKE = Size(games=300, epochs=1.0, hidden_size=32, layers=1, draws=50, simulations=100, histories=20)


@dataclass(frozen=True)
class Question:
    """p(outcome | do, given).

    Attributes:
        name: In tables.
        given: What is known of the start.
        do: Moves that are forced, or who plays.
    """

    name: str
    given: Mapping[str, str]
    do: Mapping[str, str]

    @property
    def forced(self) -> dict[int, str]:
        """Forced moves by ply."""
        return {int(name[5:]): move for name, move in self.do.items() if name != "skill"}

    def starts(self) -> tuple[list[Position], np.ndarray]:
        """Starting positions that agree with what is given, and their shares."""
        known = starts()
        agree = [
            all(row(Game(start, "", (), ""))[name] == value for name, value in self.given.items())
            for start in known.positions
        ]
        shares = known.shares * agree
        found = [start for start, fits in zip(known.positions, agree, strict=True) if fits]
        return found, shares[shares > 0] / shares.sum()


def start(material: str, king: str, man: str, lone: str) -> dict[str, str]:
    """A starting position as what is given."""
    return {"material": material, "king_0": king, "man_0": man, "lone_0": lone}


# Forced moves are legal whatever happens before them, and in every start that agrees with what is given; `main` checks.
QUESTIONS = [
    Question("one move, rook", start("rook", "c6", "g2", "a8"), {"move_1": "Rb2"}),
]


def always_legal(question: Question) -> bool:
    """Whether no game can make a forced move illegal, or end before it."""
    positions = set(question.starts()[0])
    forced = question.forced
    for ply in range(1, max(forced, default=0) + 1):
        legal = [moves(position) for position in positions]
        if not all(forced[ply] in each if ply in forced else each for each in legal):
            return False
        positions = {
            after for each in legal for token, after in each.items() if token == forced.get(ply, token)
        }
    return True


def distribution(games: Sequence[Game]) -> np.ndarray:
    """Share of every outcome."""
    counts = Counter(game.outcome for game in games)
    return np.array([counts[outcome] / max(1, len(games)) for outcome in OUTCOMES])


def total_variation(left: np.ndarray, right: np.ndarray) -> float:
    """Half the sum of all differences."""
    return float(0.5 * np.abs(left - right).sum())


def simulate(question: Question, count: int, rng: np.random.Generator) -> np.ndarray:
    """The truth: games in which the moves are forced."""
    known, shares = question.starts()
    games = []
    for number in rng.choice(len(known), size=count, p=shares):
        position = known[number]
        skill = question.do.get("skill") or SKILLS[draw(skill_shares(position), rng)]
        games.append(play(position, skill, rng, question.forced))
    return distribution(games)


def agreeing(frame: pd.DataFrame, wanted: Mapping[str, str]) -> np.ndarray:
    """Rows with these values."""
    return np.logical_and.reduce([frame[name] == value for name, value in wanted.items()])


def counted(frame: pd.DataFrame, wanted: Mapping[str, str]) -> tuple[np.ndarray, int]:
    """Outcomes of the rows with these values, and how many there are; alike if there is none."""
    outcomes = frame["outcome"][agreeing(frame, wanted)]
    if not len(outcomes):
        return np.full(len(OUTCOMES), 1 / len(OUTCOMES)), 0
    return np.array([(outcomes == outcome).mean() for outcome in OUTCOMES]), len(outcomes)


def features(frame: pd.DataFrame, do: Mapping[str, str]) -> pd.DataFrame:
    """The start, who plays, and which forced moves were played, as numbers."""
    columns = {"material": frame["material"] == "queen"}
    for square in ("king_0", "man_0", "lone_0"):
        columns |= {
            f"{square} file": frame[square].str[0].map(ord),
            f"{square} rank": frame[square].str[1].map(int),
        }
    columns |= {skill: frame["skill"] == skill for skill in SKILLS}
    columns |= {name: frame[name] == value for name, value in do.items() if name != "skill"}
    return pd.DataFrame(columns).astype(float)


def regressed(frame: pd.DataFrame, question: Question, seed: int) -> np.ndarray:
    """Boosted trees from the start, the skill and the forced moves to the outcome, averaged over matching games."""
    model = HistGradientBoostingClassifier(random_state=seed)
    model.fit(features(frame, question.do), frame["outcome"])
    asked = frame[agreeing(frame, question.given)] if question.given else frame
    shares = model.predict_proba(features(asked.assign(**question.do), question.do)).mean(axis=0)
    found = dict(zip(model.classes_, shares, strict=True))
    return np.array([found.get(outcome, 0.0) for outcome in OUTCOMES])


@dataclass(frozen=True)
class Result:
    """What was found of one question.

    Attributes:
        name: Of the question.
        asked: It in words.
        distributions: Of the outcome, by method.
        total_variation: To the simulated distribution, by method.
        rows: Games in which the moves happen to be played, from any start and from such a start.
        standard_error: Largest Monte Carlo error of the model's answer.
        illegal: Probability of illegal moves in games drawn from the model under the intervention.
    """

    name: str
    asked: str
    distributions: dict[str, list[float]]
    total_variation: dict[str, float]
    rows: tuple[int, int]
    standard_error: float
    illegal: dict = field(default_factory=dict)


METHODS = {
    "model": "language model",
    "regression": "regression on start, skill and moves",
    "same start": "counting, same start and moves",
    "naive": "counting, same moves",
}


def examine(question: Question, effect, frame: pd.DataFrame, size: Size, seed: int) -> Result:
    """Answer a question in every way."""
    rng = np.random.default_rng([seed, QUESTIONS.index(question)])
    truth = simulate(question, size.simulations, rng)
    answer = effect(
        {"target": "outcome", "do": question.do, "given": question.given}, num_samples=size.draws, seed=seed
    )
    naive, anywhere = counted(frame, question.do)
    same, here = counted(frame, {**question.given, **question.do})
    found = {
        "model": np.array([answer["distribution"][outcome] for outcome in OUTCOMES]),
        "regression": regressed(frame, question, seed),
        "same start": same,
        "naive": naive,
    }
    return Result(
        name=question.name,
        asked=asked(question),
        distributions={"simulated": truth.tolist(), **{name: each.tolist() for name, each in found.items()}},
        total_variation={name: total_variation(each, truth) for name, each in found.items()},
        rows=(anywhere, here),
        standard_error=max(answer["standard_error"].values()),
        illegal=asdict(
            illegal_mass(effect.conditionals, effect.variables, histories(question, size, rng), rng)
        ),
    )


def histories(question: Question | None, size: Size, rng: np.random.Generator) -> dict[str, list[str]]:
    """Starts, and what is forced, of games that the model is to play."""
    known, shares = (starts().positions, starts().shares) if question is None else question.starts()
    numbers = rng.choice(len(known), size=size.histories, p=shares)
    rows = [row(Game(known[number], "", (), "")) for number in numbers]
    found = {name: [each[name] for each in rows] for name in ("material", "king_0", "man_0", "lone_0")}
    return found | {name: [value] * len(rows) for name, value in (question.do if question else {}).items()}


def asked(question: Question) -> str:
    """A question in words."""
    given = ", ".join(question.given.values()) or "any start"
    return f"{given}; do({', '.join(f'{name} = {value}' for name, value in question.do.items())})"


def main() -> None:
    """Play, train, ask, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/chess-endgame"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--smoke", action="store_true", help="a run that proves nothing but that everything runs"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = run(options.out, SMOKE if options.smoke else Size(), options.seed)
    print((options.out / "chess_endgame.md").read_text(encoding="utf-8"))
    print(f"{report['seconds']:.0f} CPU seconds")


def run(out: Path, size: Size, seed: int) -> dict:
    """All of it; writes JSON, Markdown and a figure."""
    if wrong := [question.name for question in QUESTIONS if not always_legal(question)]:
        raise SystemExit(f"The question {wrong[0]!r} forces a move that may be illegal. Choose another move.")
    out.mkdir(parents=True, exist_ok=True)
    games = observe(size.games, np.random.default_rng(seed))
    frame = pd.DataFrame([row(game) for game in games])
    played = time.process_time()
    shape = {"hidden_size": size.hidden_size, "layers": size.layers, "heads": 4}
    settings = DagTrainingSettings(
        model=str(untrained(out / "untrained", seed=seed, **shape)),
        history="full",
        epochs=size.epochs,
        learning_rate=LEARNING_RATE,
        validation_share=0.03,
        seed=seed,
    )
    trained = train_dag(table(games), out / "model", settings)
    learned = time.process_time()
    effect = pipeline("causal-effect", model=str(out / "model"))
    results = [examine(question, effect, frame, size, seed) for question in QUESTIONS]
    rng = np.random.default_rng([seed, 99])
    unforced = illegal_mass(effect.conditionals, effect.variables, histories(None, size, rng), rng)
    report = {
        "size": asdict(size),
        "seed": seed,
        "starts": len(starts().positions),
        "outcomes": distribution(games).tolist(),
        "parameters": trained.metrics["parameters"],
        "validation": trained.metrics["validation"],
        "results": [asdict(result) for result in results],
        "illegal, nothing forced": asdict(unforced),
        "seconds to play": played,
        "seconds to train": learned - played,
        "seconds": time.process_time(),
    }
    (out / "chess_endgame.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / "chess_endgame.md").write_text(shown(report), encoding="utf-8")
    figure(report, out / "chess_endgame.png")
    return report


def shown(report: Mapping) -> str:
    """The results as Markdown."""
    lines = [
        "| question | games with these moves (and start) | " + " | ".join(METHODS.values()) + " | illegal |",
        "|---|---|" + "---|" * (len(METHODS) + 1),
    ]
    for result in report["results"]:
        distances = " | ".join(f"{result['total_variation'][name]:.3f}" for name in METHODS)
        anywhere, here = result["rows"]
        lines.append(
            f"| {result['name']}: {result['asked']} | {anywhere:,} ({here:,}) | {distances} | "
            f"{result['illegal']['mass']:.2%} |"
        )
    means = [np.mean([each["total_variation"][name] for each in report["results"]]) for name in METHODS]
    lines.append("| mean | | " + " | ".join(f"{mean:.3f}" for mean in means) + " | |")
    lines += [
        "",
        "| question | method | " + " | ".join(OUTCOMES) + " |",
        "|---|---|" + "---|" * len(OUTCOMES),
    ]
    for result in report["results"]:
        for name, shares in result["distributions"].items():
            lines.append(
                f"| {result['name']} | {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |"
            )
    return "\n".join([*lines, ""])


def figure(report: Mapping, path: Path) -> None:
    """Distances by question, and the distributions behind them."""
    from matplotlib.figure import Figure

    results = report["results"]
    drawn = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = drawn.subplots(1, 2)
    places = np.arange(len(results))
    for number, (name, label) in enumerate(METHODS.items()):
        heights = [result["total_variation"][name] for result in results]
        left.barh(places + 0.2 * (number - 1.5), heights, 0.2, label=label)
    left.set(
        yticks=places,
        yticklabels=[result["name"] for result in results],
        xlabel="total variation to the truth",
    )
    left.invert_yaxis()
    left.legend(fontsize=7)
    for outcome, marker in zip(OUTCOMES, "osD^", strict=True):
        number = OUTCOMES.index(outcome)
        pairs = [(each["distributions"]["simulated"], each["distributions"]["model"]) for each in results]
        right.plot([x[number] for x, _ in pairs], [y[number] for _, y in pairs], marker, ms=5, label=outcome)
    right.plot([0, 1], [0, 1], color="grey", lw=0.8)
    right.set(xlabel="share in simulated games", ylabel="probability from the model")
    right.legend(fontsize=7)
    drawn.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
