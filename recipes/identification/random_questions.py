"""Random graphs with latent variables, questions about them, and models in which the answers are known."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import networkx as nx
import numpy as np

from hf_trace.effects.identifying.estimands import Estimand, evaluated
from hf_trace.effects.identifying.formulas import CompleteQuestion


def questions(count: int, seed: int) -> Iterator[CompleteQuestion]:
    """Graphs of 3 to 8 observed variables, latent causes of two or three; up to three treatments, up to two given."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        names = [f"V{number}" for number in range(int(rng.integers(3, 9)))]
        order = [str(name) for name in rng.permutation(names)]
        density, hidden = rng.uniform(0.2, 0.75), rng.uniform(0.1, 0.5)
        graph = nx.DiGraph()
        graph.add_nodes_from(order)
        graph.add_edges_from(pair for pair in combinations(order, 2) if rng.random() < density)
        pairs = [pair for pair in combinations(names, 2) if rng.random() < hidden]
        for number, pair in enumerate(pairs):
            third = [str(rng.choice(names))] if rng.random() < 0.2 else []
            graph.add_edges_from((f"U{number}", name) for name in {*pair, *third})
        target, *others = (str(name) for name in rng.permutation(names))
        treatments = int(rng.integers(1, min(4, len(others) + 1)))
        given = others[treatments : treatments + int(rng.integers(0, 3))]
        sets = (frozenset(each) for each in (names, [target], others[:treatments], given))
        yield CompleteQuestion(graph, *sets)


def largest_error(question: CompleteQuestion, formula: Estimand, rng: np.random.Generator) -> float:
    """Of p(target | do, given) at all values, from exact probabilities of what is observed in a random model."""
    names = list(nx.topological_sort(question.graph))
    tables = {name: _table(question.graph, names, name, rng) for name in names}
    axis = {name: place for place, name in enumerate(names)}
    observed = [name for name in names if name in question.observed]

    def summed(chosen: Sequence[str], kept: Sequence[str]) -> np.ndarray:
        terms: list[object] = []
        for name in chosen:
            parts = sorted([*question.graph.predecessors(name), name], key=names.index)
            terms += [tables[name], [axis[each] for each in parts]]
        return np.einsum(*terms, [axis[name] for name in kept], optimize="greedy")

    asked = question.targets | question.do | question.given
    kept = [name for name in observed if name in asked]
    unforced = [name for name in names if name not in question.do]
    loose = [name for name in question.do if not any(name in question.graph.predecessors(each) for each in unforced)]
    truth = summed(unforced, [name for name in kept if name not in loose])
    truth = np.expand_dims(truth, tuple(place for place, name in enumerate(kept) if name in loose))
    truth = truth / truth.sum(axis=tuple(kept.index(name) for name in question.targets), keepdims=True)
    found = evaluated(formula, summed(names, observed), observed)
    gone = tuple(place for place, name in enumerate(observed) if name not in asked)
    return float(np.abs(np.squeeze(found, axis=gone) - truth).max())


def _table(graph: nx.DiGraph, names: list[str], name: str, rng: np.random.Generator) -> np.ndarray:
    parts = sorted([*graph.predecessors(name), name], key=names.index)
    chance = rng.uniform(0.1, 0.9, [2] * (len(parts) - 1))
    return np.stack([1 - chance, chance], axis=parts.index(name))
