"""Questions about mazes that are in no training table, and their true answers."""

from dataclasses import dataclass

import numpy as np
from maze_truth import CALLED, average_reached, complete, partial
from maze_world import (
    CELLS,
    GOALS,
    SKILLS,
    Bools,
    Floats,
    Rows,
    observe,
    random_walls,
    shown_program,
    shown_walls,
    ways,
    write,
)

# Who is called, [floor, skill]. Observed: experts where it is wet.
POLICIES = {
    "experts": np.array([[0.0, 1.0], [0.0, 1.0]]),
    "novices": np.array([[1.0, 0.0], [1.0, 0.0]]),
    "experts where it is dry": np.array([[0.0, 1.0], [1.0, 0.0]]),
}
KINDS = ("complete", "partial", "policy", "average")
PREFIXES = (1, 2, 3)


@dataclass(frozen=True)
class Question:
    """What would happen.

    Attributes:
        kind: ``complete``: the whole program is forced; ``partial``: how it begins; ``policy``: who writes it;
            ``average``: the whole program, over all mazes and goals.
        commands: Forced ones.
        walls: Of the maze; None where it is averaged over.
        goal: Of the robot; -1 where it is averaged over.
        policy: Name of a policy.
    """

    kind: str
    commands: tuple[int, ...] = ()
    walls: Bools | None = None
    goal: int = -1
    policy: str = ""

    def record(self, target: str) -> dict:
        """The question as the effect pipeline reads it."""
        if self.kind == "policy":
            dry, wet = (dict(zip(SKILLS, row, strict=True)) for row in POLICIES[self.policy].tolist())
            do = {"skill": [{"when": {"floor": "dry"}, "then": dry}, {"when": {"floor": "wet"}, "then": wet}]}
        else:
            names = shown_program(self.commands)
            do = {"program": [*names, "..."] if self.kind == "partial" else names}
        given = {} if self.walls is None else {"walls": shown_walls(self.walls), "goal": CELLS[self.goal]}
        return {"target": target, "do": do, "given": given}


@dataclass(frozen=True)
class Answers:
    """Answers to a list of questions.

    Attributes:
        reached: Probability that the robot ends at the goal, ``[question]``.
        steps: Expected number of commands that move it, ``[question]``.
        final: Probability of every cell, ``[question, cell]``; NaN where nothing is said of it.
    """

    reached: Floats
    steps: Floats
    final: Floats


def draw_questions(count: int, training: Rows, seed: int) -> dict[str, list[Question]]:
    """Questions of every kind; mazes of the training table are left out.

    Programs are written for the maze in question by writers who are called regardless of the floor. Half of them would
    lead to the goal if nothing slipped, as far as there are such.
    """
    rng = np.random.default_rng(seed)
    known = {row.tobytes() for row in np.packbits(training.walls, axis=1)}
    walls = random_walls(4 * count + 100, rng)
    goals = rng.choice(len(CELLS), size=len(walls), p=GOALS.mean(0))
    people = rng.integers(0, 2, (2, len(walls)))
    written = write(ways(walls), people[0], people[1], goals, rng)
    questions: dict[str, list[Question]] = {kind: [] for kind in KINDS}
    for number, (maze, goal) in enumerate(zip(walls, goals.tolist(), strict=True)):
        if np.packbits(maze).tobytes() in known:
            continue
        program = tuple(written[number][written[number] >= 0].tolist())
        length = PREFIXES[number % len(PREFIXES)]
        policy = list(POLICIES)[number % len(POLICIES)]
        leads_there = complete(maze, goal, program).reached > 0.03
        for kind, fits, question in (
            ("complete", len(program) > 0, Question("complete", program, maze, goal)),
            ("partial", len(program) > length, Question("partial", program[:length], maze, goal)),
            ("policy", True, Question("policy", (), maze, goal, policy)),
        ):
            fits = fits and (kind == "policy" or leads_there or len(questions[kind]) % 2 == 0)
            if fits and len(questions[kind]) < count:
                questions[kind].append(question)
    programs = [tuple(row[row >= 0].tolist()) for row in observe(50 * count, seed).program]
    often = [program for program in dict.fromkeys(programs) if program][:count]
    return questions | {"average": [Question("average", program) for program in often]}


def truths(questions: list[Question], mazes: int, seed: int, *, observed: bool = False) -> Answers:
    """By enumeration; averages over ``mazes`` random mazes.

    With ``observed`` the answers are those of somebody who confuses seeing with doing, and knows everything else.
    """
    walls = random_walls(mazes, np.random.default_rng(seed)) if questions[0].kind == "average" else None
    found = []
    for question in questions:
        if walls is not None:
            unsaid = np.full(len(CELLS), np.nan)
            found.append((average_reached(walls, question.commands), np.nan, unsaid))
            continue
        where = (question.walls, question.goal, question.commands)
        if question.kind == "complete":
            outcome = complete(*where, observed=observed)
        else:
            outcome = partial(*where, called=POLICIES.get(question.policy, CALLED), observed=observed)
        found.append((outcome.reached, outcome.steps, outcome.final))
    reached, steps, final = zip(*found, strict=True)
    return Answers(np.array(reached), np.array(steps), np.stack(final))
