"""What would happen in the mazes of ``maze_world``, by running all that can happen with its probability."""

from dataclasses import dataclass

import numpy as np
from maze_world import (
    COUNT,
    END,
    EXPERT,
    GOALS,
    LONGEST,
    PLANNED,
    SLIP,
    START,
    Bools,
    Codes,
    Floats,
    command_shares,
    plan_shares,
    ways,
)

CALLED = np.stack([1 - EXPERT, EXPERT], axis=1)
_FLOORS = np.arange(2)


@dataclass(frozen=True)
class Outcome:
    """What happens, as probabilities.

    Attributes:
        reached: Probability that the robot ends at the goal.
        steps: Expected number of commands that move it.
        final: Of every cell, ``[cell]``.
    """

    reached: float
    steps: float
    final: Floats


def complete(walls: Bools, goal: int, program: tuple[int, ...], *, observed: bool = False) -> Outcome:
    """Of do(program) in a maze with a goal.

    Args:
        walls: Of the maze.
        goal: Its goal.
        program: Commands, all that are given.
        observed: Instead of do(program): among those who wrote this program of themselves.
    """
    leads, joint = ways(walls[None])[0], _at_start()
    for move in program:
        joint = _told(joint, leads, move)
    ended = (*program, END) if len(program) < LONGEST else program
    weight = _people(leads, goal, ended if observed else (), CALLED)
    return _outcome(np.tensordot(weight.sum(1), joint, 1), goal)


def partial(
    walls: Bools, goal: int, prefix: tuple[int, ...] = (), *, called: Floats = CALLED, observed: bool = False
) -> Outcome:
    """Of forcing how a program begins; the writer goes on as those do who began so.

    Args:
        walls: Of the maze.
        goal: Its goal.
        prefix: Commands that are forced.
        called: Who writes, ``[floor, skill]``; by default as observed.
        observed: Instead of forcing: among those who began so of themselves.
    """
    leads = ways(walls[None])[0]
    weight = _people(leads, goal, prefix if observed else (), called)
    joint = sum(np.tensordot(weight[:, skill], _written(leads, goal, prefix, skill), 1) for skill in range(2))
    return _outcome(joint, goal)


def average_reached(walls: Bools, program: tuple[int, ...]) -> float:
    """p(reached | do(program)) over mazes, floors and goals."""
    leads, joint = ways(walls), np.zeros((2, len(walls), COUNT))
    joint[:, :, START] = 1
    every = np.arange(len(walls))
    for move in program:
        after = SLIP[:, None, None] * joint
        for cell in range(COUNT):
            after[:, every, leads[:, cell, move]] += (1 - SLIP)[:, None] * joint[:, :, cell]
        joint = after
    return float((joint.mean(1) * GOALS).sum(1).mean())


def _at_start() -> Floats:
    """Robots before the first command, ``[floor, cell, steps]``."""
    joint = np.zeros((2, COUNT, LONGEST + 1))
    joint[:, START, 0] = 1
    return joint


def _told(joint: Floats, leads: Codes, move: int) -> Floats:
    """One command to robots, ``[floor, cell, steps]``."""
    after = joint.copy()
    for cell in np.flatnonzero(leads[:, move] != np.arange(COUNT)):
        goes = (1 - SLIP)[:, None] * joint[:, cell]
        after[:, cell] -= goes
        after[:, leads[cell, move], 1:] += goes[:, :-1]
    return after


def _outcome(joint: Floats, goal: int) -> Outcome:
    final = joint.sum(1)
    return Outcome(float(final[goal]), float(joint.sum(0) @ np.arange(LONGEST + 1)), final)


def _plans(leads: Codes, goal: int, commands: tuple[int, ...], skill: int) -> Floats:
    """Probability of each plan together with a beginning, ``[floor, plan]``."""
    both = np.full(2, goal), np.full(2, skill)
    weight = plan_shares(np.stack([leads, leads]), _FLOORS, both[1], both[0])
    for place, command in enumerate(commands):
        weight = weight * _shares(goal, place, skill)[:, :, command]
    return weight


def _shares(goal: int, place: int, skill: int) -> Floats:
    """What is written at a place, ``[floor, plan, 5]``."""
    planned = PLANNED[goal, :, place] if place < LONGEST else np.full(PLANNED.shape[1], END)
    return np.stack(
        [command_shares(planned, np.full(len(planned), floor), np.full(len(planned), skill)) for floor in _FLOORS]
    )


def _people(leads: Codes, goal: int, commands: tuple[int, ...], called: Floats) -> Floats:
    """Share of floors and skills where somebody begins with these commands, ``[floor, skill]``."""
    weight = GOALS[:, goal, None] * called
    weight = weight * np.stack([_plans(leads, goal, commands, skill).sum(1) for skill in range(2)], axis=1)
    return weight / weight.sum()


def _written(leads: Codes, goal: int, prefix: tuple[int, ...], skill: int) -> Floats:
    """Cell and steps after programs that begin so, by writers of one skill, ``[floor, cell, steps]``."""
    begun = _at_start()
    for move in prefix:
        begun = _told(begun, leads, move)
    plans = _plans(leads, goal, prefix, skill)
    plans = plans / plans.sum(1, keepdims=True)
    ended = np.zeros_like(begun)
    for plan in range(plans.shape[1]):
        running = begun * plans[:, plan, None, None]
        for place in range(len(prefix), LONGEST):
            shares = _shares(goal, place, skill)[:, plan]
            ended += running * shares[:, END, None, None]
            running = sum(_told(running * shares[:, move, None, None], leads, move) for move in range(END))
        ended += running
    return ended
