"""How much probability a model gives to illegal moves, in games that it plays itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from endgame import OVER, PLIES, Position, ending, moves
from notation import GOES_ON, SQUARES, START, Stand, position_of, stands

from hf_trace.effects.conditionals import Conditionals, inverted
from hf_trace.effects.queries import Follow, Force
from hf_trace.effects.question_records import QuestionReader


@dataclass(frozen=True)
class Legality:
    """What was found.

    Attributes:
        mass: Mean probability of illegal moves, where a move was to be made and all before it were legal.
        by_ply: The same, ply by ply; None where no move was left to the model.
        over: Mean probability of a move where the game was over.
        wrong: Share of legal moves after which the model puts a piece where it does not stand, or errs about whether
            the game is over.
        games: Share of games in which something illegal or wrong was drawn.
        moves: Moves that were looked at.
    """

    mass: float
    by_ply: tuple[float | None, ...]
    over: float
    wrong: float
    games: float
    moves: int


def illegal_mass(
    conditionals: Conditionals,
    reader: QuestionReader,
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
    seen, broken = _Seen(), 0
    for number in range(len(written["material"])):
        game = {name: values[number] for name, values in written.items()}
        left = {
            name: dict(zip(conditionals.schema[name].values, each[number], strict=True))
            for name, each in shares.items()
        }
        broken += not _look(game, left, seen)
    every = [mass for each in seen.illegal.values() for mass in each]
    return Legality(
        mass=_mean(every),
        by_ply=tuple(_mean(each) if each else None for each in seen.illegal.values()),
        over=_mean(seen.over),
        wrong=1 - _mean(seen.agrees),
        games=broken / len(written["material"]),
        moves=len(every),
    )


@dataclass
class _Seen:
    illegal: dict[int, list[float]] = field(default_factory=lambda: {ply: [] for ply in range(1, PLIES + 1)})
    over: list[float] = field(default_factory=list)
    agrees: list[bool] = field(default_factory=list)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def played(
    conditionals: Conditionals,
    reader: QuestionReader,
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
    written = {name: [conditionals.schema[name].values[code] for code in each] for name, each in codes.items()}
    return written, shares


def _look(game: Mapping[str, str], left: Mapping[str, Mapping[str, float]], seen: _Seen) -> bool:
    """Go through a game as far as it is right; False if something in it is not.

    Args:
        game: Values of the variables.
        left: Probabilities of all moves, where the model chose.
        seen: What was found so far.
    """
    position = position_of({name: game[name] for name in START})
    for ply, stand in enumerate(stands()[1:], start=1):
        name = f"move_{ply}"
        legal = moves(position)
        if name in left:
            mass = 1.0 - sum(left[name].get(token, 0.0) for token in legal or [OVER])
            (seen.illegal[ply] if legal else seen.over).append(mass)
        if game[name] not in (legal or [OVER]):
            return False
        position = legal.get(game[name], position)
        seen.agrees.append(_agrees(game, stand, position))
        if not seen.agrees[-1]:
            return False
    return True


def _agrees(game: Mapping[str, str], stand: Stand, position: Position) -> bool:
    """Whether the model says of a position what the rules say."""
    told = [game[name] for name in (*stand[:3], *stand.state)]
    squares = [SQUARES[square] for square in (position.king, position.man, position.lone)]
    return told == [*squares, ending(position) or GOES_ON]
