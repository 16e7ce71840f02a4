"""How much probability a model gives to illegal moves, in games that it plays itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from endgame import OVER, PLIES, Position, ending, moves
from notation import GOES_ON, SQUARES, START, Stand, position_of, stands

from hf_trace.causal.conditionals import Conditionals
from hf_trace.causal.queries import Follow, Force
from hf_trace.causal.values import inverted
from hf_trace.hub.effect_records import Reader


@dataclass(frozen=True)
class Legality:
    """What was found.

    Attributes:
        mass: Mean probability of illegal moves, where a move was to be made and all before it were legal.
        by_ply: The same, ply by ply; None where no move was left to the model.
        over: Mean probability of a move where the game was over.
        moved: Share of moves after which the model put a piece on another square than where it went, or took the game
            for over or not over when it was not.
        games: Share of games in which something illegal or wrong was drawn.
        moves: Moves that were looked at.
    """

    mass: float
    by_ply: tuple[float | None, ...]
    over: float
    moved: float
    games: float
    moves: int


def illegal_mass(
    conditionals: Conditionals,
    reader: Reader,
    starts: Mapping[str, Sequence[str]],
    do: Mapping[str, object],
    rng: np.random.Generator,
) -> Legality:
    """Let the model play games and look at what else it might have played.

    Args:
        conditionals: The model.
        reader: Reads what is done.
        starts: Starting positions, one per game.
        do: What is done, as in a question.
        rng: Decides what the model draws.
    """
    written, shares = played(conditionals, reader, starts, do, rng)
    found: dict[int, list[float]] = {ply: [] for ply in range(1, PLIES + 1)}
    over: list[float] = []
    moved: list[bool] = []
    broken = 0
    for number in range(len(written["material"])):
        game = {name: values[number] for name, values in written.items()}
        broken += not _look(
            game, {name: each[number] for name, each in shares.items()}, conditionals, found, over, moved
        )
    every = [mass for each in found.values() for mass in each]
    return Legality(
        mass=_mean(every),
        by_ply=tuple(_mean(each) if each else None for each in found.values()),
        over=_mean(over),
        moved=_mean(moved),
        games=broken / len(written["material"]),
        moves=len(every),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def played(
    conditionals: Conditionals,
    reader: Reader,
    starts: Mapping[str, Sequence[str]],
    do: Mapping[str, object],
    rng: np.random.Generator,
) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Games drawn from the model, and the probabilities ``[game, value]`` of all moves that were left to it."""
    count = len(starts["material"])
    history = conditionals.history(count)
    codes: dict[str, np.ndarray] = {}
    shares: dict[str, np.ndarray] = {}
    for name in conditionals.schema.topological_order:
        if name in starts:
            codes[name] = np.array([reader.code(name, value) for value in starts[name]])
        else:
            action = reader.intervention(name, do[name]) if name in do else None
            if isinstance(action, Force):
                codes[name] = np.full(count, action.code)
            elif isinstance(action, Follow):
                known = np.stack([codes[each] for each in action.reads], axis=1)
                codes[name] = inverted(np.log(action.probabilities(known) + 1e-300), rng.random(count))
            else:
                log_probs = history.log_probs(name)
                codes[name] = inverted(log_probs, rng.random(count))
                if name.startswith("move"):
                    shares[name] = np.exp(log_probs)
        history.append(name, codes[name])
    written = {
        name: [conditionals.schema[name].values[code] for code in each] for name, each in codes.items()
    }
    return written, shares


def _look(
    game: Mapping[str, str],
    shares: Mapping[str, np.ndarray],
    conditionals: Conditionals,
    found: Mapping[int, list[float]],
    over: list[float],
    moved: list[bool],
) -> bool:
    """Go through a game as far as it is right; False if something in it is not."""
    position = position_of({name: game[name] for name in START})
    for ply, stand in enumerate(stands()[1:], start=1):
        name = f"move_{ply}"
        legal = moves(position)
        if name in shares:
            values = conditionals.schema[name].values
            right = sum(shares[name][values.index(token)] for token in legal or [OVER] if token in values)
            (found[ply] if legal else over).append(float(1 - right))
        token = game[name]
        if token not in (legal or [OVER]):
            return False
        position = legal.get(token, position)
        moved.append(_agrees(game, stand, position))
        if not moved[-1]:
            return False
    return True


def _agrees(game: Mapping[str, str], stand: Stand, position: Position) -> bool:
    """Whether the model says of a position what the rules say."""
    told = [game[name] for name in (*stand[:3], *stand.state)]
    squares = [SQUARES[square] for square in (position.king, position.man, position.lone)]
    return told == [*squares, ending(position) or GOES_ON]
