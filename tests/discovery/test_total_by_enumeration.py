"""Total effects against every possible future of a world of three types."""

import numpy as np
import pytest
import torch

from hf_trace.discovery.total_effects import Horizon, total_effects
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots
from hf_trace.runs.world_model import WorldModel
from hf_trace.worlds.world import World, WorldSpec

# 0 brings 1, 1 brings 2, and 2 keeps 0 away.
SPEC = WorldSpec(types=3, memory=1, edges=((0, 1, 2.5), (1, 2, 2.5), (2, 0, -1.0)), length=6)
CONTEXTS = 600


@pytest.fixture(scope="module")
def world():
    return World(SPEC)


@pytest.fixture(scope="module")
def found(world):
    slots = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0))
    contexts = [np.array([1, 4 + index % 3]) for index in range(CONTEXTS)]
    return total_effects(Oracle(WorldModel.of(world)), contexts, slots, Horizon(2), seed=1)


def within_two(world):
    """P(v among the next two | u), and its standard deviation over the first of them."""
    after = world.log_probs(torch.arange(3)[:, None]).double().exp().numpy()
    risk, spread = np.empty((3, 3)), np.empty((3, 3))
    for u in range(3):
        for v in range(3):
            outcomes = [after[u, v] + (w != v) * after[w, v] for w in range(3)]
            risk[u, v] = np.average(outcomes, weights=after[u])
            spread[u, v] = np.sqrt(np.average((outcomes - risk[u, v]) ** 2, weights=after[u]))
    return risk, spread


def test_risks_are_those_of_enumeration(world, found):
    risk, spread = within_two(world)
    assert found.contexts == CONTEXTS
    assert (np.abs(found.risk - risk) <= 5 * spread / np.sqrt(CONTEXTS) + 1e-5).all()


def test_gains_compare_with_the_other_causes(world, found):
    risk, _ = within_two(world)
    # Others than the cause and the effect itself; where cause and effect are one, both others.
    for u in range(3):
        for v in range(3):
            others = [w for w in range(3) if w not in (u, v)]
            gain = risk[u, v] - np.mean([risk[w, v] for w in others])
            assert abs(found.gain[u, v] - gain) <= 5 * found.gain_error[u, v] + 1e-5
    assert found.gain[0, 1] > 0.2
