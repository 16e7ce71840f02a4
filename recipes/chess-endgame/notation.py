"""How games are written: the variables, their graph, and one token for every square and move.

The position is three variables, the squares of the three pieces, written anew after every move of the piece's side.
A move's parents are the position, what became of the game so far and, for White's, who plays. So the model reads a
position and nothing else before it says a move, and games that come to one position are one row to learn from.
"""

import itertools
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import chess
import pandas as pd
from endgame import MATERIALS, OUTCOMES, OVER, PLIES, SKILLS, Game, Position, ending, moves, played, reachable

from hf_trace.tables.encoding import DagTable, encode_table
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

SQUARES = tuple(chess.SQUARE_NAMES)
GOES_ON = "goes on"
STATES = (GOES_ON, "mate", "stalemate", "piece lost")
NAMES = {letter: name for name, letter in MATERIALS.items()}
START = ("material", "king_0", "man_0", "lone_0")


class Stand(NamedTuple):
    """Names of the variables that say where the pieces stand, and what became of the game."""

    king: str
    man: str
    lone: str
    state: tuple[str, ...]


def stands() -> list[Stand]:
    """Before the first move, and after every move."""
    found = [Stand("king_0", "man_0", "lone_0", ())]
    for ply in range(1, PLIES + 1):
        king, man, lone, _ = found[-1]
        white = (f"king_{ply}", f"man_{ply}", lone)
        squares = white if ply % 2 else (king, man, f"lone_{ply}")
        found.append(Stand(*squares, (f"state_{ply}",)))
    return found


@cache
def tokens(ply: int) -> frozenset[str]:
    """Moves that are made at a ply, by some player in some position."""
    return frozenset(token for position in reachable()[ply - 1] for token in played(position))


def squares_of(piece: str, ply: int) -> tuple[str, ...]:
    """Squares on which a piece (``"king"``, ``"man"``, ``"lone"``) stands after a ply, or stood when the game ended."""
    stood = {getattr(position, piece) for each in reachable()[: ply + 1] for position in each}
    return tuple(SQUARES[square] for square in sorted(stood))


def schema() -> DagSchema:
    """What causes what: the position and who plays cause a move, a move and the position cause the next position."""
    listed = [Variable("material", values=tuple(MATERIALS))]
    for number, name in enumerate(START[1:], start=1):
        listed.append(Variable(name, parents=START[:number], values=squares_of(name[:-2], 0)))
    listed.append(Variable("skill", parents=START, values=SKILLS))
    every = stands()
    for ply, (before, after) in enumerate(itertools.pairwise(every), start=1):
        move = f"move_{ply}"
        position = ("material", *before[:3], *before.state)
        parents = ("skill", *position) if ply % 2 else position
        listed.append(Variable(move, parents=parents, values=(*sorted(tokens(ply)), OVER)))
        for piece, old, new in zip(Stand._fields, before[:3], after[:3], strict=False):
            if new != old:
                listed.append(Variable(new, parents=(old, move), values=squares_of(piece, ply)))
        state = ("material", *after[:3], *before.state)
        listed.append(Variable(*after.state, parents=state, values=STATES))
    states = tuple(f"state_{ply}" for ply in range(1, PLIES + 1))
    listed.append(Variable("outcome", parents=states[-1:], values=OUTCOMES))
    plies = tuple(map(str, range(1, PLIES + 1)))
    listed.append(Variable("plies", "ordinal", states, values=plies))
    return DagSchema(tuple(listed))


def start_row(position: Position) -> dict[str, str]:
    """A starting position as values of variables."""
    squares = [SQUARES[square] for square in (position.king, position.man, position.lone)]
    return dict(zip(START, (NAMES[position.piece], *squares), strict=True))


def position_of(start: dict[str, str]) -> Position:
    """Undoes ``start_row``."""
    return Position(MATERIALS[start["material"]], True, *(SQUARES.index(start[name]) for name in START[1:]))


def row(game: Game) -> dict[str, str]:
    """A game as values of the variables."""
    position, found = game.start, {**start_row(game.start), "skill": game.skill}
    for ply, (token, stand) in enumerate(zip(game.tokens, stands()[1:], strict=True), start=1):
        found[f"move_{ply}"] = token
        position = position if token == OVER else moves(position)[token]
        if ply % 2:
            found[stand.king], found[stand.man] = SQUARES[position.king], SQUARES[position.man]
        else:
            found[stand.lone] = SQUARES[position.lone]
        found[stand.state[0]] = ending(position) or GOES_ON
    return {**found, "outcome": game.outcome, "plies": str(game.plies)}


def table(games: Sequence[Game]) -> DagTable:
    """Games as a table."""
    return encode_table(schema(), pd.DataFrame([row(game) for game in games]))
