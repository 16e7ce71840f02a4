"""Partial interventions: what is asked, what is true, and what others than the model would say."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from endgame import (
    MATERIALS,
    OUTCOMES,
    OVER,
    PLIES,
    SKILLS,
    STYLES,
    Player,
    Position,
    choices,
    ending,
    moves,
    outcomes,
    play,
    played,
    skill_shares,
    starts,
)
from notation import GOES_ON, SQUARES, START, stands, start_row, tokens

Lengths = tuple(range(1, PLIES + 1))


@dataclass(frozen=True)
class Question:
    """p(outcome | do, given).

    Attributes:
        name: In tables.
        given: What is known of the start.
        do: Moves that are forced, or who makes them: the name of a player; or who plays all of White's moves.
    """

    name: str
    given: Mapping[str, str] = field(default_factory=dict)
    do: Mapping[str, str] = field(default_factory=dict)

    @property
    def forced(self) -> dict[int, str | Player]:
        """Forced moves, and players of single moves, by ply."""
        return {int(name[5:]): STYLES.get(what, what) for name, what in self.do.items() if name != "skill"}

    def starts(self) -> list[Position]:
        """Starting positions that agree with what is given."""
        return [start for start in starts() if self.given.items() <= start_row(start).items()]

    def skills(self, start: Position) -> dict[str, float]:
        """Who plays from there, and how often."""
        if "skill" in self.do:
            return {self.do["skill"]: 1.0}
        return dict(zip(SKILLS, skill_shares(start).tolist(), strict=True))

    def action(self, name: str) -> str | Callable[[Mapping[str, str]], dict[str, float]]:
        """What the pipeline is told to do: a value, or probabilities of moves by position."""
        what = self.do[name]
        return policy(name, STYLES[what]) if name != "skill" and what in STYLES else what

    @property
    def record(self) -> dict[str, dict]:
        """For the pipeline, without a target."""
        return {"do": {name: self.action(name) for name in self.do}, "given": dict(self.given)}

    @property
    def words(self) -> str:
        """The question as a formula."""
        start = ", ".join(self.given.values()) or "any start"
        return f"{start}; do({', '.join(f'{name} = {what}' for name, what in self.do.items())})"


def start(material: str, king: str, man: str, lone: str) -> dict[str, str]:
    """A starting position as what is given."""
    return dict(zip(START, (material, king, man, lone), strict=True))


def policy(move: str, player: Player) -> Callable[[Mapping[str, str]], dict[str, float]]:
    """A player as the pipeline wants it: from values of the move's parents to probabilities of moves."""
    ply = int(move[5:])
    before = stands()[ply - 1]

    def probabilities(known: Mapping[str, str]) -> dict[str, float]:
        squares = [SQUARES.index(known[name]) for name in before[:3]]
        position = Position(MATERIALS[known["material"]], True, *squares)
        if any(known[name] != GOES_ON for name in before.state):
            return {OVER: 1.0}
        # A model that errs may dream up a position that never comes up.
        shares = choices(position, "", player)
        return shares if shares and set(shares) <= tokens(ply) else {OVER: 1.0}

    return probabilities


def is_legal(question: Question) -> bool:
    """Whether, as these players play, no forced move is ever illegal and no game ends before the last of them."""
    reached = {(start, skill) for start in question.starts() for skill in question.skills(start)}
    forced = question.forced
    for ply in range(1, max(forced, default=0) + 1):
        after = set()
        for position, skill in reached:
            what = forced.get(ply)
            if isinstance(what, str) and what not in moves(position):
                return False
            after |= {(moves(position)[token], skill) for token in choices(position, skill, what)}
        named = [each for each, what in forced.items() if isinstance(what, str)]
        if ply < max(named, default=0) and any(ending(position) for position, _ in after):
            return False
        reached = {pair for pair in after if not ending(pair[0])}
    return True


@dataclass(frozen=True)
class Outlook:
    """What comes of games.

    Attributes:
        outcome: Probability of each of ``OUTCOMES``.
        plies: Mean plies.
    """

    outcome: np.ndarray
    plies: float


def outlook(weights: Mapping[tuple[str, int], float]) -> Outlook:
    """From weights of outcomes after so many plies."""
    total = sum(weights.values())
    shares = [sum(share for (end, _), share in weights.items() if end == name) for name in OUTCOMES]
    plies = sum(share * plies for (_, plies), share in weights.items())
    return Outlook(np.array(shares) / total, plies / total)


def truth(question: Question) -> Outlook:
    """Every line of play of the players, with what is forced, and its probability."""
    return _averaged(question, lambda start, skill: outcomes(start, skill, question.forced))


def simulated(question: Question, count: int, rng: np.random.Generator) -> Outlook:
    """Games in which it is forced."""
    found: dict[tuple[str, int], float] = defaultdict(float)
    known = question.starts()
    for number in rng.integers(len(known), size=count):
        skills = question.skills(known[number])
        skill = list(skills)[rng.choice(len(skills), p=list(skills.values()))]
        game = play(known[number], skill, rng, question.forced)
        found[game.outcome, game.plies] += 1
    return outlook(found)


def _averaged(question: Question, of: Callable[[Position, str], Mapping[tuple[str, int], float]]) -> Outlook:
    found: dict[tuple[str, int], float] = defaultdict(float)
    for start in question.starts():
        for skill, share in question.skills(start).items():
            for end, weight in of(start, skill).items():
                found[end] += share * weight
    return outlook(found)


def matches(frame: pd.DataFrame, question: Question) -> np.ndarray:
    """Which games agree with what is done: a player's move is one that this player may make; ``[game]`` of 0 and 1."""
    weights = np.ones(len(frame))
    for name in question.do:
        action = question.action(name)
        if callable(action):
            before = stands()[int(name[5:]) - 1]
            names = ["material", *before[:3], *before.state]
            groups = frame.groupby([*names, name], observed=True).ngroup().to_numpy()
            _, first, place = np.unique(groups, return_index=True, return_inverse=True)
            rows = frame.iloc[first][[*names, name]].to_dict("records")
            weights *= np.array([each[name] in action(each) for each in rows])[place]
        else:
            weights *= (frame[name] == action).to_numpy()
    return weights


def naive(frame: pd.DataFrame, weights: np.ndarray, question: Question) -> Outlook:
    """Conditioning: games from such starts in which it happens to be played."""
    asked = agreeing(frame, question.given)
    return _weighed(frame[asked], weights[asked])


def agreeing(frame: pd.DataFrame, given: Mapping[str, str]) -> np.ndarray:
    """Games with these values, ``[game]``."""
    return np.logical_and.reduce([np.ones(len(frame), bool), *(frame[name] == value for name, value in given.items())])


def adjusted(frame: pd.DataFrame, weights: np.ndarray, question: Question) -> Outlook:
    """The same, start by start and player by player, averaged as starts and players are distributed."""
    strata = list(START) if "skill" in question.do else [*START, "skill"]
    asked = agreeing(frame, question.given)
    frame, weights = frame[asked], weights[asked]
    group = frame.groupby(strata, observed=True).ngroup().to_numpy()
    found = np.bincount(group, weights)
    # A stratum in which it was never played cannot be asked.
    scale = np.divide(np.bincount(group), found, out=np.zeros(len(found)), where=found > 0)
    return _weighed(frame, weights * scale[group])


def _weighed(frame: pd.DataFrame, weights: np.ndarray) -> Outlook:
    if not weights.any():
        weights = np.ones(len(frame))
    sums = pd.Series(weights).groupby([frame["outcome"].to_numpy(), frame["plies"].astype(int).to_numpy()]).sum()
    return outlook(sums.to_dict())


Shares = Mapping[tuple[Position, str], Mapping[str, float]]


def counts(frame: pd.DataFrame) -> Shares:
    """How often which move was played in every position, by White's player; Black's has no name."""
    found: dict[tuple[Position, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for ply, before in enumerate(stands()[:-1], start=1):
        names = ["material", *before[:3], "skill", f"move_{ply}"]
        for (material, *squares, skill, token), number in frame[names].value_counts().items():
            if token != OVER:
                places = (SQUARES.index(square) for square in squares)
                position = Position(MATERIALS[material], bool(ply % 2), *places)
                found[position, skill if ply % 2 else ""][token] += number
    return found


def tabulated(question: Question, shares: Shares) -> Outlook:
    """A table of counts, with the rules of chess known; where no game was seen, any move that some player makes."""

    def seen(skill: str) -> Player:
        def player(position: Position) -> np.ndarray:
            legal = moves(position)
            known = shares.get((position, skill if position.white_moves else ""), {})
            weights = np.array([known.get(token, 0.0) for token in legal])
            if not weights.any():
                weights = np.array([token in played(position) for token in legal], dtype=float)
            return weights / weights.sum()

        return player

    def of(start: Position, skill: str) -> Mapping[tuple[str, int], float]:
        forced = {ply: seen(skill) for ply in Lengths} | question.forced
        return outcomes(start, skill, forced)

    return _averaged(question, of)


def total_variation(left: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> float:
    """Half the sum of all differences."""
    return float(0.5 * np.abs(np.asarray(left) - np.asarray(right)).sum())
