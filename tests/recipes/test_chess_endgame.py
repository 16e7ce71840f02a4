"""The chess recipe: its rules against python-chess, and its games."""

from itertools import product

import numpy as np
import pytest

chess = pytest.importorskip("chess", reason="python-chess is not installed: pip install chess")


@pytest.fixture(scope="module")
def endgame(recipe):
    return recipe("chess-endgame", "endgame")


@pytest.fixture(scope="module")
def asking(recipe):
    return recipe("chess-endgame", "endgame_questions")


@pytest.fixture(scope="module")
def questions(recipe):
    return recipe("chess-endgame", "chess_endgame").QUESTIONS


@pytest.fixture(scope="module")
def notation(recipe):
    return recipe("chess-endgame", "notation")


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
    assert len(endgame.starts()) == 20
    for position in endgame.starts():
        assert endgame.board(position).is_valid()
        assert endgame.ending(position) is None
        assert endgame.skill_shares(position).sum() == pytest.approx(1)


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
        skill: np.mean([game.outcome == "mate" for game in games if game.skill == skill]) for skill in endgame.SKILLS
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
    with pytest.raises(ValueError, match="Ra1 is forced, but not legal"):
        endgame.play(position, "beginner", rng, {1: "Ra1"})


def test_true_probabilities_are_what_many_games_show(asking, questions):
    rng = np.random.default_rng(3)
    for question in questions[::3]:
        true, shown = asking.truth(question), asking.simulated(question, 3000, rng)
        assert true.outcome.sum() == pytest.approx(1)
        assert np.abs(true.outcome - shown.outcome).max() < 4 * 0.5 / np.sqrt(3000)
        assert abs(true.plies - shown.plies) < 4 * 3 / np.sqrt(3000)


def test_no_question_forces_an_illegal_move(asking, questions):
    assert all(asking.is_legal(question) for question in questions)
    rook = asking.start("rook", "d6", "g2", "b8")
    assert not asking.is_legal(asking.Question("through a king", rook, {"move_1": "Rc6"}))
    assert not asking.is_legal(asking.Question("perhaps over by then", rook, {"move_5": "Kd5"}))


def test_names_of_questions_and_kinds_of_interventions(questions):
    names = [question.name for question in questions]
    assert len(set(names)) == len(names) >= 5
    kinds = {tuple(question.do) for question in questions}
    assert kinds >= {("move_1",), ("move_3",), ("move_1", "move_3"), ("skill",)}


def test_where_nothing_confounds_all_ways_of_counting_agree(asking, endgame, notation):
    """From one start by one player a first move is as good as forced."""
    rng, start = np.random.default_rng(4), endgame.starts()[3]
    games = [endgame.play(start, "careless", rng) for _ in range(4000)]
    frame = asking.pd.DataFrame([notation.row(game) for game in games])
    token = frame["move_1"].mode()[0]
    question = asking.Question("", notation.start_row(start), {"move_1": token})
    weights = asking.matches(frame, question)
    naive, adjusted = (asking.naive(frame, weights, question), asking.adjusted(frame, weights, question))
    assert naive.outcome == pytest.approx(adjusted.outcome)
    true = asking.outlook(endgame.outcomes(start, "careless", {1: token}))
    assert asking.total_variation(naive.outcome, true.outcome) < 0.05


def test_games_can_be_read_and_written(endgame, notation):
    games = endgame.observe(50, np.random.default_rng(5))
    assert len(notation.table(games)) == 50
    for start in endgame.starts():
        assert notation.position_of(notation.start_row(start)) == start
