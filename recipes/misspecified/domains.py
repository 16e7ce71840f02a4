"""Five domains as networks whose probabilities are known, and questions about them."""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hf_trace.tables.bif import read_bif
from hf_trace.tables.network import Network
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Question:
    """p(target | do, given) for one treatment."""

    target: str
    do: dict[str, str]
    given: dict[str, str]


@dataclass(frozen=True)
class Domain:
    """A truth, and what is asked of it."""

    name: str
    network: Network
    questions: list[Question]


def _neighbour(folder: str, module: str) -> ModuleType:
    """A module of another recipe."""
    sys.path.insert(0, str(HERE.parent / folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.pop(0)


def _network(**parts: tuple[tuple[str, ...], tuple[str, ...], np.ndarray]) -> Network:
    """From values, parents and probabilities of every variable."""
    variables = tuple(Variable(name, values=values, parents=parents) for name, (values, parents, _) in parts.items())
    return Network(DagSchema(variables), {name: table for name, (_, _, table) in parts.items()})


def sachs(options: argparse.Namespace) -> Domain:
    """Proteins of a cell (Sachs et al. 2005), with all questions of one protein forced and another asked about."""
    network = read_bif(Path(options.data) / "sachs.bif")
    exact = json.loads((Path(options.data) / "exact_do_sachs.json").read_text(encoding="utf-8"))
    asked = [Question(each["y"], {each["a"]: each["a_value"]}, {}) for each in exact]
    return Domain("sachs", network, asked[: options.questions])


def random_networks(options: argparse.Namespace) -> list[Domain]:
    """Eight variables of two or three values, up to three causes each."""
    found = []
    for seed in range(options.networks):
        rng = np.random.default_rng([5, seed])
        names = [f"V{number}" for number in range(8)]
        size = {name: int(rng.integers(2, 4)) for name in names}
        parts = {}
        for place, name in enumerate(names):
            count = min(place, int(rng.integers(1, 4)))
            causes = sorted(rng.choice(names[:place], count, replace=False)) if count else []
            shape = [size[each] for each in causes]
            table = rng.dirichlet(np.ones(size[name]), size=shape)
            parts[name] = (tuple(map(str, range(size[name]))), tuple(map(str, causes)), table)
        network = _network(**parts)
        pairs = [pair for pair in product(names, names) if pair[0] in network.schema.ancestors([pair[1]]) - {pair[1]}]
        asked = [Question(effect, {cause: value}, {}) for cause, effect in pairs for value in parts[cause][0]]
        chosen = rng.permutation(len(asked))[: options.questions]
        found.append(Domain(f"random {seed}", network, [asked[index] for index in chosen]))
    return found


def chess_endgame(options: argparse.Namespace) -> Domain:
    """The first move of a king and rook or queen against a king, its player, and how the game ends."""
    game = _neighbour("chess-endgame", "endgame")
    starts = game.starts()
    tokens = sorted({token for start in starts for token in game.choices(start, "expert")})
    moves, ends = np.zeros((len(starts), 3, len(tokens))), np.full((len(starts), 3, len(tokens), 4), 0.25)
    for (row, start), (column, skill) in product(enumerate(starts), enumerate(game.SKILLS)):
        for token, share in game.choices(start, skill).items():
            place = tokens.index(token)
            moves[row, column, place] = share
            ends[row, column, place] = 0
            for (outcome, _), chance in game.outcomes(start, skill, {1: token}).items():
                ends[row, column, place, game.OUTCOMES.index(outcome)] += chance
    names = tuple(f"start {number}" for number in range(len(starts)))
    skills = np.array([game.skill_shares(start) for start in starts])
    network = _network(
        start=(names, (), np.full(len(starts), 1 / len(starts))),
        skill=(game.SKILLS, ("start",), skills),
        move=(tuple(tokens), ("start", "skill"), moves),
        outcome=(game.OUTCOMES, ("start", "skill", "move"), ends),
    )
    often = np.einsum("sk,skm->sm", skills, moves)
    order = np.argsort(-often, axis=None)[: options.questions]
    pairs = [divmod(index, len(tokens)) for index in order.tolist()]
    asked = [Question("outcome", {"move": tokens[move]}, {"start": names[start]}) for start, move in pairs]
    return Domain("chess-endgame", network, asked)


def maze(options: argparse.Namespace) -> Domain:
    """One maze: the floor, who wrote a program for which goal, and whether the robot gets there."""
    world = _neighbour("maze", "maze_world")
    rng, count, most = np.random.default_rng(3), options.programs, 12
    leads = np.repeat(world.ways(world.random_walls(1, rng)), count, axis=0)
    floor = rng.integers(0, 2, count)
    skill = (rng.random(count) < world.EXPERT[floor]).astype(int)
    goal = (rng.random((count, 1)) > world.GOALS[floor].cumsum(1)).sum(1).clip(max=world.COUNT - 1)
    written = world.write(leads, floor, skill, goal, rng)
    shown = np.array(["".join(world.shown_program(row)) or "nothing" for row in written])
    names, numbers = np.unique(shown, return_counts=True)
    kept = [str(name) for name in names[np.argsort(-numbers)][:most]]
    place = np.array([kept.index(name) if name in kept else most for name in shown])
    shares = np.full((2, 2, world.COUNT, most + 1), 1e-3)
    np.add.at(shares, (floor, skill, goal, place), 1.0)
    reached = np.array([[_reached(world, leads[0], name, slip) for name in kept] for slip in world.SLIP])
    other = place == most
    rest = np.full((2, world.COUNT, 2), 1e-3)
    arrived = (_ends(world, leads, written, floor, rng) == goal).astype(int)
    np.add.at(rest, (floor[other], goal[other], arrived[other]), 1.0)
    rest = rest / rest.sum(-1, keepdims=True)
    chance = np.concatenate([reached.transpose(0, 2, 1), rest[..., 1:]], axis=2)
    network = _network(
        floor=(world.FLOORS, (), np.array([0.5, 0.5])),
        skill=(world.SKILLS, ("floor",), np.stack([1 - world.EXPERT, world.EXPERT], axis=1)),
        goal=(world.CELLS, ("floor",), world.GOALS),
        program=((*kept, "other"), ("floor", "skill", "goal"), shares / shares.sum(-1, keepdims=True)),
        reached=(("no", "yes"), ("floor", "goal", "program"), np.stack([1 - chance, chance], axis=-1)),
    )
    asked = np.argsort(-np.bincount(goal * (most + 1) + place, minlength=world.COUNT * (most + 1)))
    pairs = [(index % (most + 1), index // (most + 1)) for index in asked.tolist() if index % (most + 1) != most]
    some = [Question("reached", {"program": kept[one]}, {"goal": world.CELLS[other]}) for one, other in pairs]
    return Domain("maze", network, some[: options.questions])


def _reached(world: ModuleType, leads: np.ndarray, program: str, slip: float) -> np.ndarray:
    """Where a program ends, of every cell."""
    here = np.eye(world.COUNT)[world.START]
    for move in "" if program == "nothing" else program:
        moved = np.zeros(world.COUNT)
        np.add.at(moved, leads[:, world.MOVES.index(move)], (1 - slip) * here)
        here = slip * here + moved
    return here


def _ends(
    world: ModuleType, leads: np.ndarray, written: np.ndarray, floor: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Where every program ended."""
    cell = np.full(len(floor), world.START)
    for told in written.T:
        goes = (told >= 0) & (rng.random(len(told)) >= world.SLIP[floor])
        cell = np.where(goes, leads[np.arange(len(told)), cell, told], cell)
    return cell


def peerread(options: argparse.Namespace) -> Domain:
    """Whether an abstract is buzzy, treated, accepted, at the strong level of confounding; the words are left out."""
    papers = _neighbour("peerread", "abstracts")
    odds = papers.LEVELS["medium"] * 3 * (papers.PROPENSITY - 0.25)
    chance = 1 / (1 + np.exp(-(odds[:, None] + np.array([0.0, papers.EFFECT]))))
    words = ("no", "yes")
    network = _network(
        buzzy=(words, (), np.array([0.6, 0.4])),
        treated=(words, ("buzzy",), np.stack([1 - papers.PROPENSITY, papers.PROPENSITY], axis=1)),
        accepted=(words, ("buzzy", "treated"), np.stack([1 - chance, chance], axis=-1)),
    )
    return Domain("peerread", network, [Question("accepted", {"treated": word}, {}) for word in words])


def domains(options: argparse.Namespace) -> list[Domain]:
    """All that are asked for; a domain whose data or package is missing is left out."""
    single: list[Callable[[Any], Domain]] = [maze, chess_endgame, peerread]
    found = [*random_networks(options)]
    if options.data is not None and (Path(options.data) / "sachs.bif").exists():
        found.insert(0, sachs(options))
    for make in single:
        try:
            found.append(make(options))
        except SystemExit as reason:  # python-chess is not installed
            print(reason)
    return found
