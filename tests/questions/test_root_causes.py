"""Root causes against enumeration and closed forms."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import torch

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.total_effects import Horizon
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots
from hf_trace.questions.root_causes import (
    Redraws,
    effects_on,
    influence_graph,
    likeliest_path,
    pagerank_of_causes,
    reciprocal_ranks,
)
from hf_trace.questions.what_if import Given
from hf_trace.runs.world_model import WorldModel
from hf_trace.worlds.world import World, WorldSpec

# 0 brings 1, 1 brings 2.
SPEC = WorldSpec(types=3, memory=1, edges=((0, 1, 3.0), (1, 2, 3.0)), length=6)
SLOTS = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0, 2))


@pytest.fixture(scope="module")
def table():
    """p(next | event) of the world."""
    return World(SPEC).log_probs(torch.arange(3)[:, None]).double().exp().numpy()


@pytest.fixture(scope="module")
def oracle():
    return Oracle(WorldModel.of(World(SPEC)))


def candidates(events, horizon, samples=4000):
    return [given(events[: place + 1], horizon, samples) for place in range(1, len(events))]


def given(events, horizon, samples=4000):
    return Given(np.array([1, *(4 + event for event in events[:-1])]), np.full(samples, 4 + events[-1]), horizon)


def risk(table, horizon):
    """P(2 among the next events | event)."""
    before = np.zeros(3)
    for _ in range(horizon):
        before = table[:, 2] + table[:, :2] @ before[:2]
    return before


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("proposal", ["model", "uniform", "unigram"])
def test_effects_are_those_of_enumeration(oracle, table, proposal, horizon):
    frequencies = np.array([0.2, 0.5, 0.3])
    events = [2, 0, 1]
    redraws = Redraws(proposal, frequencies, num_samples=4000, seed=0)
    found = effects_on(oracle, candidates(events, horizon), 2, SLOTS, Horizon(horizon), redraws)
    for place, (previous, event) in enumerate(pairwise(events)):
        weights = {"model": table[previous], "uniform": np.full(3, 1 / 3), "unigram": frequencies}[proposal]
        reach = risk(table, horizon)
        truth = reach[event] - weights @ reach
        assert abs(found.effect[place] - truth) <= 4.5 * found.standard_error[place] + 1e-5
        assert found.effect[place] == pytest.approx(found.with_event[place] - found.without[place])
        assert found.surprise[place] == pytest.approx(-np.log(table[previous, event]), abs=1e-5)


def test_an_expected_event_changes_nothing():
    spec = WorldSpec(types=3, memory=1, edges=((0, 1, 40.0), (1, 2, 40.0), (2, 0, 40.0)), length=6)
    world = Oracle(WorldModel.of(World(spec)))
    redraws = Redraws("model", np.full(3, 1 / 3), num_samples=50, seed=0)
    found = effects_on(world, candidates([2, 0, 1], 2, 50), 2, SLOTS, Horizon(2), redraws)
    np.testing.assert_allclose(found.effect, 0, atol=1e-9)
    redraws = Redraws("uniform", np.full(3, 1 / 3), num_samples=50, seed=0)
    uniform = effects_on(world, candidates([2, 0, 1], 1, 50), 2, SLOTS, Horizon(1), redraws)
    assert uniform.effect[1] > 0.5


def test_a_removed_event_leaves_the_one_before(oracle, table):
    redraws = Redraws("removed", np.full(3, 1 / 3), num_samples=4000, seed=0)
    before = [given([1], 1), given([1, 0], 1)]
    found = effects_on(oracle, candidates([1, 0, 2], 1), 2, SLOTS, Horizon(1), redraws, removed=before)
    assert found.without[0] == pytest.approx(table[1, 2], abs=1e-5)
    assert found.without[1] == pytest.approx(table[0, 2], abs=1e-5)


def test_pagerank_is_its_linear_system():
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([(0, 3, 1.0), (1, 3, 3.0), (0, 1, 2.0), (2, 2, 1.0), (3, 4, 1.0)])
    # Of the walker at 3: a quarter to 0, three to 1; from 1 all to 0; from 0 back to 3; 2 and 4 are out of reach.
    steps = np.array([[0, 0, 0.25], [0, 0, 0.75], [0, 0, 0.0]])  # columns 0, 1, 3
    steps[0, 1], steps[2, 0] = 1, 1
    shares = np.linalg.solve(np.eye(3) - 0.85 * steps, 0.15 * np.array([0, 0, 1.0]))
    expected = shares[:2] / shares[:2].sum()
    found = pagerank_of_causes(graph, 3)
    assert list(found) == [0, 1]
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-7)
    assert pagerank_of_causes(graph, 0) == {}
    assert pagerank_of_causes(graph, 9) == {}


def test_only_what_makes_likelier_is_an_influence():
    scores = PairScores(
        np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.3, 0.01, 0.4]), np.array([0.1, 0.1, -0.3]),
        np.zeros(3),
    )  # fmt: skip
    assert list(influence_graph(scores, 0.05).edges) == [(0, 1)]


def test_paths():
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([(0, 1, 1.0), (1, 3, 1.0), (2, 3, 9.0), (0, 3, 0.2)])
    assert likeliest_path(graph, 0, 3) == [0, 1, 3]
    assert likeliest_path(graph, 3, 0) == []
    assert likeliest_path(graph, 8, 3) == []


def test_ranks_are_fused():
    fused = reciprocal_ranks([np.array([3.0, 2.0, np.nan]), np.array([1.0, 1.0, 0.0])])
    np.testing.assert_allclose(fused, [1 / 61 + 1 / 61.5, 1 / 62 + 1 / 61.5, 2 / 63])
