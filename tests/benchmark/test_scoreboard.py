"""The table: figures by hand."""

import math

import numpy as np

from hf_trace.benchmark.methods import PairsFound
from hf_trace.benchmark.scoreboard import Board, Judged, chance, judged

TRUTH = np.array([[False, True, True], [False, False, False], [False, False, False]])


def test_a_row_by_hand():
    # The six pairs in order of score: 01 (true), 10, 02 (true), then the rest.
    scores = np.array([[9.0, 6.0, 4.0], [5.0, 9.0, 3.0], [2.0, 1.0, 9.0]])
    found = judged("x", "m", PairsFound(scores, scores >= 5, 1.25), TRUTH)
    assert found.auprc == (1 / 1 + 2 / 3) / 2
    assert found.auroc == (4 + 3) / 8
    assert (found.f1, found.edges, found.seconds) == (2 * 1 / (2 + 2), 2, 1.25)
    without = judged("x", "m", PairsFound(scores, None, 1.25), TRUTH)
    assert (without.auprc, without.f1, without.edges) == (found.auprc, None, None)


def test_skill_is_the_way_from_chance_to_one():
    rows = [
        Judged("real", "m", auroc=0.9, auprc=2 / 3, f1=0.5, edges=3, seconds=1.0), *chance("real", TRUTH),
        Judged("world", "m", auroc=0.5, auprc=1 / 3, seconds=2.0), *chance("world", TRUTH),
        Judged("real", "ends", failed="not ended"), Judged("world", "ends", auroc=1.0, auprc=1.0, seconds=0.5),
    ]  # fmt: skip
    board = Board(rows, frozenset({"world"}))
    assert (board.logs, board.methods) == (["real", "world"], ["m", "ends"])
    mine, other = board.summary()
    assert math.isclose(mine["real"], (2 / 3 - 1 / 3) / (1 - 1 / 3))
    assert (mine["simulated"], mine["seconds"]) == (0.0, 3.0)
    assert other["real"] is None
    assert (other["simulated"], other["seconds"]) == (1.0, 0.5)
    text = board.markdown()
    for line in (
        "| m | .500 | .000 | 3.0 |",
        "| ends | – | 1.000 | 0.5 |",
        "| m | .900 / .667 | .500 / .333 |",
        "| ends | – | 1.000 / 1.000 |",
        "| chance | .500 / .333 | .500 / .333 |",
        "| m | .500 (3) | – |",
        "| every pair | .500 (6) | .500 (6) |",
        "* ends on real: not ended",
    ):
        assert line in text.splitlines()
    assert len(board.figure().axes) == 2
