"""Total effects against every possible future of a world of three types."""

import numpy as np
import pytest
import torch

from hf_trace.discovery.total_effects import Horizon, risk_of, total_effects
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
    slots = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0, 2))
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


def test_what_ends_a_sequence_causes_nothing_and_nothing_follows_it(world):
    slots = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0, 2), ends=torch.tensor([1]))
    contexts = [np.array([1, 4 + index % 3]) for index in range(CONTEXTS)]
    found = total_effects(Oracle(WorldModel.of(world)), contexts, slots, Horizon(2), seed=1)
    after = world.log_probs(torch.arange(3)[:, None]).double().exp().numpy()
    for u in (0, 2):
        for v in range(3):
            risk = after[u, v] + sum(after[u, w] * after[w, v] for w in range(3) if w not in (v, 1))
            assert found.risk[u, v] == pytest.approx(risk, abs=0.03)
    assert np.isnan(found.risk[1]).all()
    assert found.gain[0, 0] == pytest.approx(found.risk[0, 0] - found.risk[2, 0])
    assert np.isnan(found.baseline[0, 2])  # both others are out of the comparison: the end, and the effect itself


def test_few_contexts_leave_risks_within_bounds_nearly_unbiased_and_with_their_errors(world):
    slots = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0, 2))
    oracle, count, seeds = Oracle(WorldModel.of(world)), 8, 120
    contexts = [np.array([1, 4 + index % 3]) for index in range(count)]
    found = [total_effects(oracle, contexts, slots, Horizon(2), seed=seed) for seed in range(seeds)]
    risks, gains = np.array([each.risk for each in found]), np.array([each.gain for each in found])
    truth, _ = within_two(world)
    assert 0 <= risks.min() <= risks.max() <= 1
    bias, noise = np.abs(risks.mean(0) - truth), risks.std(0) / np.sqrt(seeds)
    assert (bias <= 0.25 / count + 4 * noise).all()
    told = np.sqrt(np.mean([each.gain_error**2 for each in found], axis=0))
    assert (np.abs(told / gains.std(0) - 1) < 0.35).all()


def test_the_risk_errs_less_than_hazards_or_occurrences_alone(world):
    # One type that is likely, one that is not: hazards are best where P is small, occurrences where it is large.
    probability = torch.tensor([0.85, 0.02])
    generator = np.random.default_rng(0)
    sizes = {name: [] for name in ("risk", "hazard", "occurred")}
    for _ in range(400):
        alive, hazard, occurred = np.ones((50, 2)), np.zeros((50, 2)), np.zeros((50, 2))
        for _ in range(3):
            hazard += alive * probability.numpy()
            happened = alive * (generator.random((50, 2)) < probability.numpy())
            occurred += happened
            alive -= happened
        sizes["risk"].append(risk_of(hazard.sum(0), occurred.sum(0), 50))
        sizes["hazard"].append(hazard.mean(0))
        sizes["occurred"].append(occurred.mean(0))
    spread = {name: np.std(values, axis=0) for name, values in sizes.items()}
    assert max(np.max(values) for values in sizes["hazard"]) > 1 >= max(np.max(values) for values in sizes["risk"])
    assert spread["risk"][0] < spread["hazard"][0] / 3
    assert spread["risk"][1] < spread["occurred"][1] / 3
    np.testing.assert_allclose(np.mean(sizes["risk"], axis=0), 1 - (1 - probability.numpy()) ** 3, atol=0.002)
