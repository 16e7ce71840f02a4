"""The maze recipe: its truths against simulation, its questions against the engine."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def maze(recipe):
    return tuple(recipe("maze", name) for name in ("maze_world", "maze_truth", "maze_questions"))


@pytest.fixture(scope="module")
def one_maze(maze):
    """Walls of a maze, a goal in it, and many programs that were written for it, with who wrote them where."""
    world, _, _ = maze
    rng, count, goal = np.random.default_rng(0), 60_000, world.CELLS.index("c3")
    walls = world.random_walls(20, rng)[7]
    weight = world.GOALS[:, goal]
    floor = (rng.random(count) < weight[1] / weight.sum()).astype(int)
    skill = (rng.random(count) < world.EXPERT[floor]).astype(int)
    leads = np.repeat(world.ways(walls[None]), count, axis=0)
    programs = world.write(leads, floor, skill, np.full(count, goal), rng)
    return walls, goal, programs, floor


def walked(world, walls, programs, floor, rng):
    """Where robots end, and how many commands move them."""
    leads = world.ways(walls[None])[0]
    cell, steps = np.full(len(programs), world.START), np.zeros(len(programs))
    for move in programs.T:
        goes = (move >= 0) & (rng.random(len(cell)) >= world.SLIP[floor])
        new = np.where(goes, leads[cell, move], cell)
        steps += new != cell
        cell = new
    return cell, steps


def test_what_happens_of_itself_and_after_a_beginning_is_what_simulation_shows(maze, one_maze):
    world, truth, _ = maze
    walls, goal, programs, floor = one_maze
    final, steps = walked(world, walls, programs, floor, np.random.default_rng(1))
    # Without a forced beginning nothing is done; among those who began so, seeing is conditioning.
    for prefix in ((), (1,), (0, 1)):
        mine = (programs[:, : len(prefix)] == np.array(prefix, dtype=int)).all(1)
        expected = truth.partial(walls, goal, prefix, observed=True)
        error = 4 / np.sqrt(mine.sum())
        assert abs((final[mine] == goal).mean() - expected.reached) < error / 2
        assert abs(steps[mine].mean() - expected.steps) < 2 * error
        assert np.abs(np.bincount(final[mine], minlength=16) / mine.sum() - expected.final).max() < error / 2


def test_a_forced_program_is_run_on_the_floors_as_they_are(maze, one_maze):
    world, truth, _ = maze
    walls, goal, _, floor = one_maze
    program = (1, 1, 0, 0)
    forced = np.tile([*program, -1, -1, -1, -1], (len(floor), 1))
    final, steps = walked(world, walls, forced, floor, np.random.default_rng(2))
    expected = truth.complete(walls, goal, program)
    assert abs((final == goal).mean() - expected.reached) < 0.01
    assert abs(steps.mean() - expected.steps) < 0.02
    seen = truth.complete(walls, goal, program, observed=True)
    assert abs(seen.steps - expected.steps) > 0.05  # the floor confounds


def test_forcing_a_beginning_then_the_rest_is_forcing_the_whole(maze, one_maze):
    world, truth, _ = maze
    walls, goal, _, _ = one_maze
    whole = (0, 1, 1, 0, 2, 3, 0, 1)
    assert len(whole) == world.LONGEST
    begun = truth.partial(walls, goal, whole)
    assert begun.reached == pytest.approx(truth.complete(walls, goal, whole).reached)


def test_averages_over_mazes_are_means_of_single_mazes(maze):
    world, truth, _ = maze
    walls, program = world.random_walls(12, np.random.default_rng(3)), (0, 1, 0)
    single = [
        world.GOALS[:, goal].mean() * truth.complete(maze, goal, program).reached
        for maze in walls
        for goal in range(world.COUNT)
        if world.GOALS[:, goal].any()
    ]
    assert truth.average_reached(walls, program) == pytest.approx(sum(single) / len(walls))


def test_questions_are_about_new_mazes_and_can_be_read(maze):
    from hf_trace.tables.encoding import encode_table
    from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

    world, _, asking = maze
    rows = world.observe(50, seed=1)
    assert len(encode_table(world.schema(), rows.frame())) == 50
    tokenizer = DagTokenizer.from_schema(world.schema(), history="full", order="fixed")
    questions = asking.draw_questions(6, rows, seed=2)
    assert {kind: len(each) for kind, each in questions.items()} == dict.fromkeys(asking.KINDS, 6)
    known = {row.tobytes() for row in rows.walls}
    for question in questions["complete"]:
        assert question.walls.tobytes() not in known
        record = question.record("reached")
        assert len(tokenizer.content("program", record["do"]["program"])) == len(question.commands) + 1
        tokenizer.content("walls", record["given"]["walls"])


def test_nothing_to_report_is_refused(recipe, tmp_path, capsys):
    with pytest.raises(SystemExit):
        recipe("maze", "maze").RECIPE.main(["--report", "--out", str(tmp_path)])
    assert "Nothing was measured in" in capsys.readouterr().err
