"""How games are written: the variables, their graph, and a small vocabulary of chess words that all of them share.

Squares and moves are short texts, ``d6`` and ``Rh8``, read letter by letter, so that a rook's move to h8 is the same
at every ply and what is learned at one helps at the others. After each of White's moves a variable says where White's
two pieces stand.
"""

from collections.abc import Sequence
from pathlib import Path

import chess
import pandas as pd
import torch
from endgame import MATERIALS, OUTCOMES, OVER, PLIES, SKILLS, Game, moves
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_trace.data.dags.encoding import encode_table
from hf_trace.data.dags.schema import DagSchema
from hf_trace.data.dags.table import DagTable
from hf_trace.data.dags.variables import Variable

WORDS = "KRQkabcdefgh12345678" + OVER
SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
NAMES = {letter: name for name, letter in MATERIALS.items()}


def schema() -> DagSchema:
    """What causes what: the position and who plays cause a move, a move and the position cause the next position."""
    squares = ("king_0", "man_0", "lone_0")
    listed = [
        Variable("material", values=tuple(MATERIALS)),
        Variable("king_0", "text", ("material",), max_length=2),
        Variable("man_0", "text", ("material", "king_0"), max_length=2),
        Variable("lone_0", "text", ("material", "king_0", "man_0"), max_length=2),
        Variable("skill", parents=("material", *squares), values=SKILLS),
    ]
    white, lone = squares[:2], squares[2]
    for ply in range(1, PLIES + 1):
        move, board = f"move_{ply}", f"board_{ply}"
        knows = ("material", *white, lone)
        if ply % 2:
            listed.append(Variable(move, "text", ("skill", *knows), max_length=3))
            listed.append(Variable(board, "text", (*white, move), max_length=4))
            white = (board,)
        else:
            listed.append(Variable(move, "text", knows, max_length=3))
            lone = move
    written = tuple(variable.name for variable in listed if variable.name != "skill")
    listed.append(Variable("outcome", parents=written, values=OUTCOMES))
    played = tuple(name for name in written if name.startswith("move"))
    listed.append(Variable("plies", "ordinal", played, values=tuple(map(str, range(1, PLIES + 1)))))
    return DagSchema(tuple(listed))


def row(game: Game) -> dict[str, str]:
    """A game as values of the variables."""
    position = game.start
    names = chess.SQUARE_NAMES
    found = {
        "material": NAMES[position.piece],
        "king_0": names[position.king],
        "man_0": names[position.man],
        "lone_0": names[position.lone],
        "skill": game.skill,
    }
    for ply, token in enumerate(game.tokens, start=1):
        found[f"move_{ply}"] = token
        position = position if token == OVER else moves(position)[token]
        if ply % 2:
            stand = names[position.king] + names[position.man]
            found[f"board_{ply}"] = OVER if token == OVER else stand
    return {**found, "outcome": game.outcome, "plies": str(game.plies)}


def table(games: Sequence[Game]) -> DagTable:
    """Games as a table."""
    return encode_table(schema(), pd.DataFrame([row(game) for game in games]))


def untrained(folder: Path, *, hidden_size: int, layers: int, heads: int, seed: int) -> Path:
    """A model with random weights and a tokenizer that knows the letters of chess, in one folder."""
    words = [*SPECIAL.values(), *WORDS]
    backend = Tokenizer(
        WordLevel({word: number for number, word in enumerate(words)}, unk_token=SPECIAL["unk_token"])
    )
    backend.pre_tokenizer = Split(Regex("."), "isolated")
    backend.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL.values()])
    PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL).save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
