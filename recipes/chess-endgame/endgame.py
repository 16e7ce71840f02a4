"""King and rook, or king and queen, against a king: rules, players and games.

Squares are numbered as in python-chess, a1 = 0 to h8 = 63. Rules are read off its tables of attacks; that they agree
with its board is tested in ``tests/recipes/test_chess_endgame.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

try:
    import chess
except ModuleNotFoundError as error:
    raise SystemExit(
        "This recipe needs python-chess, which is not installed. Run `pip install chess`."
    ) from error

PLIES = 8
OVER = "-"
MATERIALS = {"rook": "R", "queen": "Q"}
SKILLS = ("expert", "careless", "beginner")
OUTCOMES = ("mate", "stalemate", "piece lost", "move limit")


class Position(NamedTuple):
    """Where the pieces stand and who moves.

    Attributes:
        piece: ``"R"`` or ``"Q"``.
        white_moves: Whether White is to move.
        king: Square of the white king.
        man: Square of the rook or queen.
        lone: Square of the black king; that of ``man`` once it was captured.
    """

    piece: str
    white_moves: bool
    king: int
    man: int
    lone: int


@cache
def moves(position: Position) -> dict[str, Position]:
    """Legal moves as tokens, a piece and the square it goes to, and where they lead; none once the game is over."""
    piece, white_moves, king, man, lone = position
    if man == lone:
        return {}
    if not white_moves:
        flights = chess.BB_KING_ATTACKS[lone] & ~_attacked(position)
        return {
            f"k{chess.SQUARE_NAMES[square]}": Position(piece, True, king, man, square)
            for square in chess.scan_forward(flights)
        }
    steps = chess.BB_KING_ATTACKS[king] & ~chess.BB_KING_ATTACKS[lone] & ~chess.BB_SQUARES[man]
    found = {
        f"K{chess.SQUARE_NAMES[square]}": Position(piece, False, square, man, lone)
        for square in chess.scan_forward(steps)
    }
    lines = _lines(piece, man, chess.BB_SQUARES[king] | chess.BB_SQUARES[lone]) & ~chess.BB_SQUARES[king]
    for square in chess.scan_forward(lines & ~chess.BB_SQUARES[lone]):
        found[f"{piece}{chess.SQUARE_NAMES[square]}"] = Position(piece, False, king, square, lone)
    return found


def _lines(piece: str, square: int, occupied: int) -> int:
    """Squares a rook or queen attacks."""
    lines = (
        chess.BB_RANK_ATTACKS[square][chess.BB_RANK_MASKS[square] & occupied]
        | chess.BB_FILE_ATTACKS[square][chess.BB_FILE_MASKS[square] & occupied]
    )
    if piece == "Q":
        lines |= chess.BB_DIAG_ATTACKS[square][chess.BB_DIAG_MASKS[square] & occupied]
    return lines


def _attacked(position: Position) -> int:
    """Squares on which the black king would stand in check; it hides nothing behind itself."""
    lines = _lines(position.piece, position.man, chess.BB_SQUARES[position.king])
    return chess.BB_KING_ATTACKS[position.king] | lines


def in_check(position: Position) -> bool:
    """Whether the black king is attacked."""
    return bool(_attacked(position) & chess.BB_SQUARES[position.lone])


def ending(position: Position) -> str | None:
    """How the game ended here, None while it goes on."""
    if position.man == position.lone:
        return "piece lost"
    if moves(position):
        return None
    return "mate" if in_check(position) else "stalemate"


def board(position: Position) -> chess.Board:
    """The position in python-chess."""
    found = chess.Board.empty()
    found.set_piece_at(position.king, chess.Piece(chess.KING, chess.WHITE))
    if position.man != position.lone:
        man = chess.ROOK if position.piece == "R" else chess.QUEEN
        found.set_piece_at(position.man, chess.Piece(man, chess.WHITE))
    found.set_piece_at(position.lone, chess.Piece(chess.KING, chess.BLACK))
    found.turn = chess.WHITE if position.white_moves else chess.BLACK
    return found


def distance(position: Position) -> int:
    """King's moves between the kings."""
    return chess.square_distance(position.king, position.lone)


# Players: probabilities of the legal moves, in their order.

Player = Callable[[Position], np.ndarray]


def _softmax(scores: Sequence[float]) -> np.ndarray:
    weights = np.exp(np.array(scores) - max(scores))
    return weights / weights.sum()


def _restriction(after: Position) -> float:
    """How little room a move leaves the black king, and how near the kings are."""
    return -1.5 * len(moves(after)) - 1.0 * distance(after)


@cache
def expert(position: Position) -> np.ndarray:
    """Mates where there is a mate, keeps clear of stalemate and of losing the piece, and takes away squares."""
    scores = []
    for after in moves(position).values():
        end = ending(after)
        hangs = any(reply.man == reply.lone for reply in moves(after).values())
        scores.append({"mate": 8.0, "stalemate": -9.0}.get(end or "", _restriction(after) - 9.0 * hangs))
    return _softmax(scores)


@cache
def careless(position: Position) -> np.ndarray:
    """Takes away squares without a look at what the black king may do then."""
    return _softmax([_restriction(after) for after in moves(position).values()])


@cache
def beginner(position: Position) -> np.ndarray:
    """Any legal move."""
    return np.full(len(moves(position)), 1 / len(moves(position)))


@cache
def defender(position: Position) -> np.ndarray:
    """Takes the piece if it can, else runs for the middle of the board."""
    scores = []
    for after in moves(position).values():
        rank, file = divmod(after.lone, 8)
        off_centre = max(abs(rank - 3.5), abs(file - 3.5))
        scores.append(9.0 if after.man == after.lone else -1.0 * off_centre)
    return _softmax(scores)


PLAYERS: Mapping[str, Player] = {"expert": expert, "careless": careless, "beginner": beginner}


# Where games start, and who gets to play them.


@dataclass(frozen=True)
class Starts:
    """Starting positions and how often each is drawn."""

    positions: tuple[Position, ...]
    shares: np.ndarray


@cache
def starts() -> Starts:
    """White to move, the black king on the eighth rank at files a to d (the others are mirror images)."""
    found, weights = [], []
    for piece in MATERIALS.values():
        for lone in range(chess.A8, chess.E8):
            for king in range(chess.A5, chess.A7):
                for man in range(chess.A1, chess.A4):
                    position = Position(piece, True, king, man, lone)
                    if not 2 <= distance(position) <= 4 or abs(king % 8 - lone % 8) > 2 or in_check(position):
                        continue
                    found.append(position)
                    weights.append(1.0)
    shares = np.array(weights)
    return Starts(tuple(found), shares / shares.sum())


def skill_shares(position: Position) -> np.ndarray:
    """Hard positions, whose kings are far apart or whose black king is off the corner, go to experts."""
    hardness = (distance(position) - 2) + (position.lone % 8) / 3 + (position.piece == "R")
    return _softmax([0.8 * (hardness - 1.5), 0.0, -0.5 * (hardness - 1.5)])


# Games.


@dataclass(frozen=True)
class Game:
    """One game.

    Attributes:
        start: Its first position.
        skill: Of White.
        tokens: A move per ply, ``OVER`` after the last.
        outcome: One of ``OUTCOMES``.
    """

    start: Position
    skill: str
    tokens: tuple[str, ...]
    outcome: str

    @property
    def plies(self) -> int:
        """Moves of both sides until the end."""
        return sum(token != OVER for token in self.tokens)


def draw(shares: np.ndarray, rng: np.random.Generator) -> int:
    """A number drawn with these probabilities."""
    return min(int(np.searchsorted(shares.cumsum(), rng.random(), side="right")), len(shares) - 1)


def play(
    start: Position,
    skill: str,
    rng: np.random.Generator,
    forced: Mapping[int, str | Player] | None = None,
) -> Game:
    """Play a game.

    Args:
        start: White is to move.
        skill: Who plays White.
        rng: Decides between moves.
        forced: By ply, from 1: a move that is played instead, if the game still goes on, or another player.

    Raises:
        ValueError: If a forced move is illegal.
    """
    position, tokens, forced = start, [], forced or {}
    for ply in range(1, PLIES + 1):
        legal = moves(position)
        if not legal:
            break
        token = forced.get(ply)
        if not isinstance(token, str):
            player = token or (PLAYERS[skill] if position.white_moves else defender)
            token = list(legal)[draw(player(position), rng)]
        if token not in legal:
            raise ValueError(f"{token} is forced at ply {ply}, but not legal in {position}.")
        tokens.append(token)
        position = legal[token]
    tokens += [OVER] * (PLIES - len(tokens))
    return Game(start, skill, tuple(tokens), ending(position) or "move limit")


def observe(count: int, rng: np.random.Generator) -> list[Game]:
    """Games as they are played when nobody intervenes."""
    found = []
    known = starts()
    for number in rng.choice(len(known.positions), size=count, p=known.shares):
        start = known.positions[number]
        skill = SKILLS[draw(skill_shares(start), rng)]
        found.append(play(start, skill, rng))
    return found
