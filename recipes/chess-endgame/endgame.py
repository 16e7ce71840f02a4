"""King and rook, or king and queen, against a king: rules, players and games.

Squares are numbered as in python-chess, a1 = 0 to h8 = 63. Rules are read off its tables of attacks; that they agree
with its board is tested in ``tests/recipes/test_chess_endgame.py``.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

try:
    import chess
except ModuleNotFoundError as error:
    raise SystemExit("This recipe needs python-chess, which is not installed. Run `pip install chess`.") from error

PLIES = 6
OVER = "-"
MATERIALS = {"rook": "R", "queen": "Q"}
SKILLS = ("expert", "careless", "beginner")
OUTCOMES = ("mate", "stalemate", "piece lost", "move limit")
START_KINGS, START_MEN, START_LONE = ("c5", "d6"), ("g2", "e4"), ("a8", "b8", "c8")


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


def _choice(scores: Sequence[float]) -> np.ndarray:
    """Softmax of the best two, the first of equals; one ten times less likely than the other is not played."""
    if not scores:
        return np.empty(0)
    weights = np.exp(np.array(scores) - max(scores))
    chosen = np.zeros_like(weights)
    best = np.argsort(-weights, kind="stable")[:2]
    chosen[best] = np.where(weights[best] < 0.1, 0.0, weights[best])
    return chosen / chosen.sum()


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
    return _choice(scores)


@cache
def careless(position: Position) -> np.ndarray:
    """Takes away squares without a look at what the black king may do then."""
    return _choice([0.6 * _restriction(after) for after in moves(position).values()])


@cache
def beginner(position: Position) -> np.ndarray:
    """Gives check and draws near, whatever it costs."""
    return _choice([_bustle(after) for after in moves(position).values()])


def _bustle(after: Position) -> float:
    """Whether a move gives check, and how near it brings White's pieces to the black king."""
    return 1.0 * in_check(after) - 0.5 * chess.square_distance(after.man, after.lone) - 0.5 * distance(after)


@cache
def defender(position: Position) -> np.ndarray:
    """Takes the piece if it can, else runs for the middle of the board."""
    scores = []
    for after in moves(position).values():
        rank, file = divmod(after.lone, 8)
        off_centre = max(abs(rank - 3.5), abs(file - 3.5))
        scores.append(9.0 if after.man == after.lone else -1.0 * off_centre)
    return _choice(scores)


STYLES: Mapping[str, Player] = {"expert": expert, "careless": careless, "beginner": beginner}
OWN_STYLE = 0.8


def _mostly(own: str) -> Player:
    """Plays in one style, and now and then in one of the others: no style's move is out of the question."""

    @cache
    def player(position: Position) -> np.ndarray:
        others = (1 - OWN_STYLE) / (len(STYLES) - 1)
        return sum((OWN_STYLE if name == own else others) * style(position) for name, style in STYLES.items())

    return player


PLAYERS: Mapping[str, Player] = {skill: _mostly(skill) for skill in SKILLS}


# Where games start, and who gets to play them.


@cache
def starts() -> tuple[Position, ...]:
    """All equally likely: White to move, the black king in the corner or near it and not in check."""
    found = []
    for piece, king, man, lone in product(MATERIALS.values(), START_KINGS, START_MEN, START_LONE):
        position = Position(piece, True, *map(chess.parse_square, (king, man, lone)))
        if not in_check(position):
            found.append(position)
    return tuple(found)


def skill_shares(position: Position) -> np.ndarray:
    """Hard positions, whose kings are far apart or whose black king is off the corner, go to experts."""
    hardness = (distance(position) - 2) + (position.lone % 8) / 2 + 2 * (position.piece == "R")
    scores = np.array([hardness - 2, 0.0, 2 - hardness])
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


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
    start: Position, skill: str, rng: np.random.Generator, forced: Mapping[int, str | Player] | None = None
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
    position, tokens = start, []
    for ply in range(1, PLIES + 1):
        if not moves(position):
            break
        shares = choices(position, skill, (forced or {}).get(ply))
        token = list(shares)[draw(np.array(list(shares.values())), rng)]
        tokens.append(token)
        position = moves(position)[token]
    tokens += [OVER] * (PLIES - len(tokens))
    return Game(start, skill, tuple(tokens), ending(position) or "move limit")


def observe(count: int, rng: np.random.Generator) -> list[Game]:
    """Games as they are played when nobody intervenes."""
    found = []
    for number in rng.integers(len(starts()), size=count):
        start = starts()[number]
        skill = SKILLS[draw(skill_shares(start), rng)]
        found.append(play(start, skill, rng))
    return found


def outcomes(
    start: Position, skill: str, forced: Mapping[int, str | Player] | None = None
) -> dict[tuple[str, int], float]:
    """Exact probabilities of an outcome after a number of plies: what ``play`` would show in endlessly many games.

    Args:
        start: White is to move.
        skill: Who plays White.
        forced: See ``play``.
    """
    found: dict[tuple[str, int], float] = defaultdict(float)
    reached = {start: 1.0}
    for ply in range(1, PLIES + 1):
        after: dict[Position, float] = defaultdict(float)
        for position, weight in reached.items():
            for token, share in choices(position, skill, (forced or {}).get(ply)).items():
                after[moves(position)[token]] += weight * share
        for position in [position for position in after if ending(position)]:
            found[ending(position), ply] += after.pop(position)
        reached = after
    found["move limit", PLIES] += sum(reached.values())
    return dict(found)


def choices(position: Position, skill: str, forced: str | Player | None = None) -> dict[str, float]:
    """Moves that may be played, and how likely each is.

    Raises:
        ValueError: If a forced move is illegal.
    """
    legal = moves(position)
    if isinstance(forced, str):
        if forced not in legal:
            raise ValueError(f"{forced} is forced, but not legal in {position}.")
        return {forced: 1.0}
    player = forced or (PLAYERS[skill] if position.white_moves else defender)
    return {token: share for token, share in zip(legal, player(position).tolist(), strict=True) if share}


@cache
def reachable() -> tuple[frozenset[Position], ...]:
    """Positions that come up before the first move and after every move, as these players play."""
    found = [frozenset(starts())]
    for _ in range(PLIES):
        pairs = ((position, token) for position in found[-1] for token in played(position))
        found.append(frozenset(moves(position)[token] for position, token in pairs))
    return tuple(found)


def played(position: Position) -> frozenset[str]:
    """Moves that some player makes there."""
    return frozenset(choices(position, SKILLS[0]))
