"""The chess recipe: its rules against python-chess, its games, and the whole of it on a small scale."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

chess = pytest.importorskip("chess", reason="python-chess is not installed: pip install chess")

FOLDER = Path(__file__).parents[2] / "recipes" / "chess-endgame"


@pytest.fixture(scope="module")
def endgame():
    sys.path.insert(0, str(FOLDER))
    try:
        import endgame

        yield endgame
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def positions(endgame):
    """Legal positions from all over the board, either side to move."""
    rng = np.random.default_rng(0)
    found = []
    while len(found) < 1500:
        piece, white_moves = rng.choice(["R", "Q"]), bool(rng.integers(2))
        squares = [int(square) for square in rng.choice(64, size=3, replace=False)]
        position = endgame.Position(str(piece), white_moves, *squares)
        if endgame.board(position).is_valid():
            found.append(position)
    return found


def as_token(board, move):
    return board.piece_at(move.from_square).symbol() + chess.square_name(move.to_square)


def test_legal_moves_are_those_of_python_chess(endgame, positions):
    for position in positions:
        board = endgame.board(position)
        expected = {as_token(board, move) for move in board.legal_moves}
        assert set(endgame.moves(position)) == expected, board.fen()


def test_moves_lead_where_python_chess_says(endgame, positions):
    for position in positions[:300]:
        board = endgame.board(position)
        for move in board.legal_moves:
            after = endgame.moves(position)[as_token(board, move)]
            board.push(move)
            assert board.board_fen() == endgame.board(after).board_fen()
            assert board.turn == endgame.board(after).turn
            board.pop()


def expected_ending(board):
    if board.is_checkmate():
        return "mate"
    if board.is_stalemate():
        return "stalemate"
    return "piece lost" if board.is_insufficient_material() else None


def test_games_end_as_python_chess_says(endgame, positions):
    on_edges = [
        endgame.Position(piece, False, king, man, lone)
        for piece, king, man, lone in product("RQ", range(40, 48), range(64), range(56, 60))
        if len({king, man, lone}) == 3
    ]
    legal = [position for position in on_edges if endgame.board(position).is_valid()]
    seen = set()
    for position in [*positions, *legal]:
        found = endgame.ending(position)
        assert found == expected_ending(endgame.board(position))
        seen.add(found)
    assert seen == {None, "mate", "stalemate"}


def test_a_captured_piece_ends_the_game(endgame):
    position = endgame.Position("R", False, chess.A1, chess.D7, chess.D8)
    after = endgame.moves(position)["kd7"]
    assert endgame.ending(after) == expected_ending(endgame.board(after)) == "piece lost"
    assert not endgame.moves(after)


def test_starts_are_legal_and_go_on(endgame):
    for position in endgame.starts().positions:
        assert endgame.board(position).is_valid()
        assert endgame.ending(position) is None
    assert endgame.starts().shares.sum() == pytest.approx(1)


def test_observed_games_replay_on_a_board(endgame):
    outcomes = set()
    for game in endgame.observe(300, np.random.default_rng(1)):
        board = endgame.board(game.start)
        for token in game.tokens[: game.plies]:
            assert expected_ending(board) is None
            (move,) = [move for move in board.legal_moves if as_token(board, move) == token]
            board.push(move)
        assert set(game.tokens[game.plies :]) <= {endgame.OVER}
        assert game.outcome == (expected_ending(board) or "move limit")
        assert game.outcome != "move limit" or game.plies == endgame.PLIES
        outcomes.add(game.outcome)
    assert outcomes == set(endgame.OUTCOMES)


def test_players_give_probabilities_of_legal_moves(endgame, positions):
    for position in positions[:200]:
        players = endgame.PLAYERS.values() if position.white_moves else [endgame.defender]
        for player in players:
            shares = player(position)
            assert len(shares) == len(endgame.moves(position))
            if len(shares):
                assert shares.sum() == pytest.approx(1)


def test_skill_and_position_matter(endgame):
    games = endgame.observe(3000, np.random.default_rng(2))
    mates = {
        skill: np.mean([game.outcome == "mate" for game in games if game.skill == skill])
        for skill in endgame.SKILLS
    }
    assert mates["expert"] > mates["careless"] > mates["beginner"]
    far = np.mean([endgame.distance(game.start) > 2 for game in games if game.skill == "expert"])
    assert far > np.mean([endgame.distance(game.start) > 2 for game in games if game.skill == "beginner"])


def test_forced_moves_are_played(endgame):
    rng = np.random.default_rng(0)
    position = endgame.Position("R", True, chess.C6, chess.G2, chess.A8)
    for _ in range(20):
        game = endgame.play(position, "beginner", rng, {1: "Rb2", 3: endgame.expert})
        assert game.tokens[0] == "Rb2"
    with pytest.raises(ValueError, match="Ra1 is forced at ply 1, but not legal"):
        endgame.play(position, "beginner", rng, {1: "Ra1"})
