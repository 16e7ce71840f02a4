"""How much probability a model gives to illegal moves, in games that it plays itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import chess
import numpy as np
import torch
from endgame import MATERIALS, OVER, PLIES, Position, moves

from hf_trace.causal.conditionals import Conditionals
from hf_trace.causal.values import Drawing, inverted
from hf_trace.tokenization.dag_tokenizer import DagTokenizer

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Legality:
    """What was found.

    Attributes:
        mass: Mean probability of illegal moves, where a move was to be made and all before it were legal.
        by_ply: The same, ply by ply; None where no move was left to the model.
        over: Mean probability of a move where the game was over.
        board: Mean probability of squares on which White's pieces do not stand.
        games: Share of games in which something illegal was drawn.
        moves: Moves that were looked at.
    """

    mass: float
    by_ply: tuple[float | None, ...]
    over: float
    board: float
    games: float
    moves: int


def illegal_mass(
    conditionals: Conditionals,
    tokenizer: DagTokenizer,
    known: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> Legality:
    """Let the model play games and look at what else it might have played.

    A move is written letter by letter; at each letter whatever leads to no legal move counts as illegal, an end that
    comes too early included.

    Args:
        conditionals: The model.
        tokenizer: How variables are written.
        known: Values that are forced, one per game; the squares of the start among them.
        rng: Decides what the model draws.
    """
    rows = played(conditionals, tokenizer, known, rng)
    found: dict[str, list[float]] = {"over": [], "board": []}
    found |= {f"move_{ply}": [] for ply in range(1, PLIES + 1)}
    broken = 0
    for number, (row, logits) in enumerate(zip(rows, _logits(conditionals, rows), strict=True)):
        start = {name: str(known[name][number]) for name in ("material", "king_0", "man_0", "lone_0")}
        broken += not _look(_Row(tokenizer, row, logits), _position(start), set(known), found)
    plies = [found[f"move_{ply}"] for ply in range(1, PLIES + 1)]
    every = [mass for each in plies for mass in each]
    return Legality(
        mass=_mean(every),
        by_ply=tuple(_mean(each) if each else None for each in plies),
        over=_mean(found["over"]),
        board=_mean(found["board"]),
        games=broken / len(rows),
        moves=len(every),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def played(
    conditionals: Conditionals,
    tokenizer: DagTokenizer,
    known: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> list[list[int]]:
    """Games drawn from the model, as tokens up to the last move; values that are known are forced."""
    count = len(next(iter(known.values())))
    history = conditionals.history(count)
    order = tokenizer.schema.topological_order
    for name in order[: order.index(f"move_{PLIES}") + 1]:
        if name in known:
            codes = [conditionals.code(name, tokenizer.content(name, value)) for value in known[name]]
            history.force(name, np.array(codes), scored=False)
        elif conditionals.schema[name].is_finite:
            history.append(name, inverted(history.log_probs(name), rng.random(count)))
        else:
            history.draw(name, Drawing(lambda _: rng.random(count)))
    walk = history.walk
    return [walk.ids[row][walk.present[row]].tolist() for row in history.row]


@torch.inference_mode()
def _logits(conditionals: Conditionals, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """What the model says after every token of every row, ``[pos, vocab]`` each."""
    found = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = [torch.tensor(row) for row in rows[first : first + ROWS_AT_ONCE]]
        # Padding stands at the end, where no token that is looked at can see it.
        ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        found += list(conditionals.oracle.model(input_ids=ids).logits.double().numpy())
    return found


class _Row:
    """A game as the model wrote it."""

    def __init__(self, tokenizer: DagTokenizer, ids: Sequence[int], logits: np.ndarray) -> None:
        self.tokenizer, self.ids, self.logits = tokenizer, ids, logits

    def outside(self, name: str, options: Sequence[str]) -> tuple[float, str | None]:
        """Probability of everything but these values, and which of them was written, None if none was."""
        tokens = self.tokenizer.variables[name]
        legal = {self.tokenizer.content(name, option): option for option in options}
        first = self.ids.index(tokens.start)
        mass, written = 0.0, ()
        for place in range(tokens.max_length):
            nexts = {content[place] for content in legal if content[:place] == written}
            mass += 1 - self._probability(first + place, tokens.allowed, nexts)
            written = (*written, self.ids[first + 1 + place])
            if written[-1] not in nexts:
                return mass, None
            if written[-1] == tokens.end:
                return mass, legal[written]
        return mass, legal[(*written, tokens.end)]

    def _probability(self, place: int, allowed: np.ndarray, wanted: set[int]) -> float:
        logits = self.logits[place]
        weights = np.exp(logits - logits[allowed].max())
        return float(weights[list(wanted)].sum() / weights[allowed].sum())


def _position(start: Mapping[str, str]) -> Position:
    squares = [chess.parse_square(start[name]) for name in ("king_0", "man_0", "lone_0")]
    return Position(MATERIALS[start["material"]], True, *squares)


def _look(row: _Row, position: Position, forced: set[str], found: dict[str, list[float]]) -> bool:
    """Go through a game as far as it is legal; False if something in it is not."""
    for ply in range(1, PLIES + 1):
        legal = moves(position)
        mass, token = row.outside(f"move_{ply}", list(legal) or [OVER])
        if f"move_{ply}" not in forced:
            found[f"move_{ply}" if legal else "over"].append(mass)
        if token is None:
            return False
        position = legal.get(token, position)
        if ply % 2:
            names = chess.SQUARE_NAMES
            stand = names[position.king] + names[position.man] if legal else OVER
            mass, token = row.outside(f"board_{ply}", [stand])
            found["board"].append(mass)
            if token is None:
                return False
    return True
