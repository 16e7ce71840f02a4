"""Robots in random mazes: who wrote which program on which floor, where it led, and what any other would have done.

A program is a list of moves. A robot that is told to move goes to the next cell unless it slips or something is in the
way; then it stays where it is and takes the next command. Writers know where the goal is, but not what will become of
their commands. The floor (dry or wet) makes robots slip and decides who writes, how far away the goal is and how
carefully is written: it confounds programs and outcomes, and so do the walls, which experts look at. Every truth is
computed by running all that can happen, with its probability; only averages over mazes are taken over random ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]

SIDE, LONGEST = 4, 8
COUNT = SIDE**2
CELLS = tuple(f"{column}{row}" for row, column in product(range(1, SIDE + 1), "abcdefgh"[:SIDE]))
MOVES = ("N", "E", "S", "W")
END = len(MOVES)
FLOORS, SKILLS = ("dry", "wet"), ("novice", "expert")
START = CELLS.index("a1")
_STEP = ((0, 1), (1, 0), (0, -1), (-1, 0))

WALL = 0.25  # share of walls that stand
EXPERT = np.array([0.10, 0.90])  # by floor: share of programs written by experts
SLIP = np.array([0.03, 0.30])  # by floor: share of commands that fail
SPARE = np.array([0.05, 0.60])  # by floor: share of straight runs with a command to spare
GIVE_UP = np.array([0.02, 0.06])  # by floor: share of programs that end early, at every command
FAR = np.array([0.0, -0.3])  # by floor: how much likelier a goal is per step of distance, as a logarithm
CARELESS = np.array([0.20, 0.05])  # by skill: share of commands chosen blindly
LOOKS = np.array([0.5, 0.95])  # by skill: share that takes the way that is open, where only one is
GOES_ON = 0.1  # share that writes on, blindly, when the plan is done


def _neighbours() -> Codes:
    """Cell behind each side of a cell, the cell itself at the border, ``[cell, move]``."""
    found = np.repeat(np.arange(COUNT)[:, None], 4, axis=1)
    for cell, (move, (right, up)) in product(range(COUNT), enumerate(_STEP)):
        column, row = cell % SIDE + right, cell // SIDE + up
        if 0 <= column < SIDE and 0 <= row < SIDE:
            found[cell, move] = row * SIDE + column
    return found


BEHIND = _neighbours()
DOORS = tuple((cell, move) for cell, move in product(range(COUNT), (0, 1)) if BEHIND[cell, move] != cell)
WALLS = tuple(f"{CELLS[cell]}|{CELLS[BEHIND[cell, move]]}" for cell, move in DOORS)
ACROSS = np.arange(COUNT) % SIDE - START % SIDE  # of every cell: columns to the right of the start
UP = np.arange(COUNT) // SIDE - START // SIDE
_DISTANCE = np.abs(ACROSS) + np.abs(UP)
# How a plan is carried out: sideways first or upwards first, and a command to spare on the way sideways, upwards.
PLANS = tuple(product((0, 1), repeat=3))


def _goal_shares() -> Floats:
    """``[floor, cell]``: goals are at least two steps away."""
    shares = np.exp(FAR[:, None] * _DISTANCE) * (_DISTANCE >= 2)
    return shares / shares.sum(1, keepdims=True)


def _planned() -> Codes:
    """Moves of every plan for every goal, ``[goal, plan, place]``; ``END`` after the last."""
    found = np.full((COUNT, len(PLANS), LONGEST), END)
    for goal, (number, (upwards_first, *spare)) in product(range(COUNT), enumerate(PLANS)):
        sideways = [1 if ACROSS[goal] > 0 else 3] * (abs(ACROSS[goal]) + spare[0] * (ACROSS[goal] != 0))
        upwards = [0 if UP[goal] > 0 else 2] * (abs(UP[goal]) + spare[1] * (UP[goal] != 0))
        moves = upwards + sideways if upwards_first else sideways + upwards
        found[goal, number, : len(moves)] = moves
    return found


GOALS, PLANNED = _goal_shares(), _planned()


def schema() -> DagSchema:
    """The graph. Walls are the list of those that stand; a program is the list of its commands."""
    return DagSchema(
        (
            Variable("walls", "sequence", values=WALLS, max_length=len(WALLS)),
            Variable("floor", values=FLOORS),
            Variable("skill", values=SKILLS, parents=("floor",)),
            Variable("goal", values=CELLS, parents=("floor",)),
            Variable("program", "sequence", ("walls", "floor", "skill", "goal"), MOVES, max_length=LONGEST),
            Variable("path", "sequence", ("walls", "floor", "program"), CELLS, max_length=LONGEST),
            Variable("final", parents=("path",), values=CELLS),
            Variable("reached", parents=("goal", "final"), values=("no", "yes")),
            Variable("steps", "ordinal", ("path",), tuple(map(str, range(LONGEST + 1)))),
        )
    )


def random_walls(count: int, rng: np.random.Generator) -> Bools:
    """Mazes in which every cell can be reached, ``[maze, wall]``."""
    kept: list[Bools] = []
    while sum(map(len, kept)) < count:
        walls = rng.random((2 * count, len(WALLS))) < WALL
        kept.append(walls[_is_connected(ways(walls))])
    return np.concatenate(kept)[:count]


def ways(walls: Bools) -> Codes:
    """Where every move leads from every cell if the robot does not slip, ``[maze, cell, move]``."""
    leads = np.repeat(BEHIND[None], len(walls), axis=0)
    for wall, (cell, move) in enumerate(DOORS):
        other = BEHIND[cell, move]
        leads[:, cell, move] = np.where(walls[:, wall], cell, other)
        leads[:, other, move + 2] = np.where(walls[:, wall], other, cell)
    return leads


def _is_connected(leads: Codes) -> Bools:
    seen = np.zeros((len(leads), COUNT), dtype=bool)
    seen[:, START] = True
    for _ in range(COUNT):
        seen |= np.take_along_axis(seen, leads.reshape(len(leads), -1), axis=1).reshape(leads.shape).any(2)
    return seen.all(1)


def plan_shares(leads: Codes, floor: Codes, skill: Codes, goal: Codes) -> Floats:
    """How likely each plan is, ``[row, plan]``; ``leads`` belongs to the row's maze, ``[row, cell, move]``."""
    sideways, upwards = (~_is_walled(leads, goal, PLANS.index((order, 0, 0))) for order in (0, 1))
    looks = LOOKS[skill]
    first_up = np.where(upwards == sideways, 0.5, np.where(upwards, looks, 1 - looks))
    spare = SPARE[floor]
    shares = [
        (first_up if plan[0] else 1 - first_up) * (spare if plan[1] else 1 - spare) * (spare if plan[2] else 1 - spare)
        for plan in PLANS
    ]
    return np.stack(shares, axis=1)


def _is_walled(leads: Codes, goal: Codes, plan: int) -> Bools:
    """Whether something is in the way of a plan without spare commands, ``[row]``."""
    rows, cell = np.arange(len(goal)), np.full(len(goal), START)
    for place in range(LONGEST):
        move = PLANNED[goal, plan, place]
        cell = np.where(move == END, cell, leads[rows, cell, np.minimum(move, 3)])
    return cell != goal


def command_shares(planned: Codes, floor: Codes, skill: Codes) -> Floats:
    """What is written where the plan says ``planned``: four moves and the end, ``[row, 5]``."""
    done = planned == END
    end = np.where(done, 1 - GOES_ON, GIVE_UP[floor])
    blind = np.where(done, 1, CARELESS[skill])[:, None]
    moves = (1 - blind) * (planned[:, None] == np.arange(4)) + blind / 4
    return np.concatenate([moves * (1 - end)[:, None], end[:, None]], axis=1)


@dataclass(frozen=True)
class Rows:
    """What was observed, in codes; -1 after the end of programs and paths.

    Attributes:
        walls: ``[row, wall]``.
        floor: ``[row]``.
        skill: ``[row]``.
        goal: ``[row]``.
        program: ``[row, command]``.
        path: Cell after each command, ``[row, command]``.
        final: ``[row]``.
        reached: Whether the goal is where the robot ended, ``[row]``.
        steps: Commands that moved it, ``[row]``.
    """

    walls: Bools
    floor: Codes
    skill: Codes
    goal: Codes
    program: Codes
    path: Codes
    final: Codes
    reached: Codes
    steps: Codes

    def __len__(self) -> int:
        return len(self.floor)

    def frame(self) -> pd.DataFrame:
        """A table with the columns of the schema."""
        return pd.DataFrame(
            {
                "walls": [shown_walls(row) for row in self.walls],
                "floor": np.array(FLOORS)[self.floor],
                "skill": np.array(SKILLS)[self.skill],
                "goal": np.array(CELLS)[self.goal],
                "program": [shown_program(row) for row in self.program.tolist()],
                "path": [[CELLS[code] for code in row if code >= 0] for row in self.path.tolist()],
                "final": np.array(CELLS)[self.final],
                "reached": np.where(self.reached == 1, "yes", "no"),
                "steps": self.steps.astype(str),
            }
        )


def shown_walls(walls: Bools) -> list[str]:
    """Names of the walls that stand."""
    return [WALLS[wall] for wall in np.flatnonzero(walls)]


def shown_program(program: Iterable[int]) -> list[str]:
    """Names of commands, up to the end."""
    return [MOVES[code] for code in program if code >= 0]


def observe(count: int, seed: int) -> Rows:
    """Draw rows as they come about when nobody intervenes."""
    rng = np.random.default_rng(seed)
    walls = random_walls(count, rng)
    floor = rng.integers(0, 2, count)
    skill = (rng.random(count) < EXPERT[floor]).astype(np.int64)
    goal = _drawn(GOALS[floor], rng)
    leads = ways(walls)
    program = write(leads, floor, skill, goal, rng)
    path, steps = np.full((count, LONGEST), -1), np.zeros(count, dtype=np.int64)
    cell = np.full(count, START)
    for place in range(LONGEST):
        told = program[:, place]
        goes = (told >= 0) & (rng.random(count) >= SLIP[floor])
        new = np.where(goes, leads[np.arange(count), cell, told], cell)
        steps += new != cell
        cell = new
        path[told >= 0, place] = cell[told >= 0]
    return Rows(walls, floor, skill, goal, program, path, cell, (cell == goal).astype(np.int64), steps)


def _drawn(shares: Floats, rng: np.random.Generator) -> Codes:
    drawn = (rng.random((len(shares), 1)) > shares.cumsum(1)).sum(1)
    return np.minimum(drawn, shares.shape[1] - 1)


def write(leads: Codes, floor: Codes, skill: Codes, goal: Codes, rng: np.random.Generator) -> Codes:
    """Programs, ``[row, command]``; -1 after the end."""
    count = len(goal)
    plan = PLANNED[goal, _drawn(plan_shares(leads, floor, skill, goal), rng)]
    program, running = np.full((count, LONGEST), -1), np.ones(count, dtype=bool)
    for place in range(LONGEST):
        chosen = _drawn(command_shares(plan[:, place], floor, skill), rng)
        running &= chosen < END
        program[running, place] = chosen[running]
    return program
