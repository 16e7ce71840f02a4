"""The conditionals of worlds against Eq. 21 written out, type by type and lag by lag."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_trace.errors import SettingsError
from hf_trace.worlds import world as world_module
from hf_trace.worlds.world import World, WorldSpec, pasts

SPEC = WorldSpec(types=5, memory=3, decay=0.7, weight=1.5, sparsity=0.4, bias=0.8, length=10, seed=3)
NOTHING = 5
# The latest event first.
PASTS = torch.tensor([[0, 1, 2], [4, 4, 0], [3, NOTHING, NOTHING], [NOTHING] * 3, [2, 2, 2]])


def lag_sum(world, past, effect, lags):
    return sum(
        math.exp(-world.spec.decay * (lag - 1)) * float(world.state["weight"][past[lag - 1], effect])
        for lag in lags
        if past[lag - 1] != NOTHING
    )


def hidden_layer(world, past, effect):
    """The ReLU term; the oldest event comes first, and an event that is missing is embedded as zeros."""
    inputs = [value for code in past[::-1] for value in world.state["embedding"][code].tolist()]
    inner, outer = world.state["inner"].tolist(), world.state["outer"]
    hidden = [max(0.0, sum(x * row[unit] for x, row in zip(inputs, inner, strict=True))) for unit in range(64)]
    return sum(value * float(outer[unit, effect]) for unit, value in enumerate(hidden))


def plain_logit(world, past, effect):
    lags = range(1, world.spec.memory + 1)
    total = lag_sum(world, past, effect, lags)
    kind = world.spec.nonlinearity
    if kind == "relu":
        total += hidden_layer(world, past, effect)
    elif kind == "product":
        parts = [lag_sum(world, past, effect, [lag for lag in lags if lag % 2 == odd]) for odd in (1, 0)]
        total = parts[0] * parts[1]
    elif kind == "threshold":
        total = total if total > world.spec.weight else 0.0
    return total + float(world.state["bias"][effect])


def plain_probabilities(world, past):
    weights = [math.exp(plain_logit(world, past, effect)) for effect in range(world.spec.types)]
    noise = world.spec.noise
    return [(1 - noise) * weight / sum(weights) + noise / world.spec.types for weight in weights]


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["none", "relu", "product", "threshold"])
def test_conditionals_are_eq_21(kind, noise):
    world = World(replace(SPEC, nonlinearity=kind, noise=noise))
    expected = [plain_probabilities(world, past) for past in PASTS.tolist()]
    np.testing.assert_allclose(world.log_probs(PASTS).exp().numpy(), expected, atol=2e-6)


def test_the_threshold_is_seen_from_both_sides():
    spec = replace(SPEC, nonlinearity="threshold", bias=0.0, edges=((0, 1, 1.4), (2, 1, 1.6)))
    logits = World(spec).logits(torch.tensor([[0, NOTHING, NOTHING], [2, NOTHING, NOTHING]]))
    assert logits[:, 1].tolist() == pytest.approx([0.0, 1.6])


def test_causes_of_a_product_act_only_together():
    spec = replace(SPEC, nonlinearity="product", bias=0.0, decay=0.0, edges=((0, 1, 2.0), (2, 1, 3.0)))
    alone_and_together = torch.tensor([[0, 4, 4], [4, 2, 4], [0, 2, 4], [0, 4, 2]])
    assert World(spec).logits(alone_and_together)[:, 1].tolist() == [0.0, 0.0, 6.0, 0.0]


@pytest.mark.parametrize("kind", ["none", "relu", "product", "threshold"])
def test_sparse_weights_give_the_same_world(kind, monkeypatch):
    spec = replace(SPEC, types=30, nonlinearity=kind, noise=0.1)
    dense = World(spec)
    monkeypatch.setattr(world_module, "_MOST_DENSE_TYPES", 10)
    sparse = World(spec)
    assert "weight" not in sparse.state
    generator = torch.Generator().manual_seed(0)
    past = torch.randint(31, (150, 3), generator=generator)  # more than are summed at once
    torch.testing.assert_close(sparse.log_probs(past), dense.log_probs(past), rtol=0, atol=1e-5)
    for what, call in (("drift", lambda: sparse.drifted(0.5)), ("a table of its weights", sparse.acts)):
        with pytest.raises(SettingsError) as caught:
            call()
        assert str(caught.value) == f"The world has 30 types, expected at most 10 for {what}."


def test_weights_follow_from_the_seed_alone():
    first, again, other = (World(replace(SPEC, seed=seed)).state for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["weight"], other["weight"])


def test_the_weights_are_those_asked_for():
    spec = WorldSpec(types=300, weight=2.5, sparsity=0.9, bias=0.5, seed=1)
    weight = World(spec).state["weight"]
    kept = weight[weight != 0]
    cells = 300 * 300
    assert abs(len(kept) / cells - 0.1) < 5 * math.sqrt(0.1 * 0.9 / cells)
    assert abs(float(kept.std()) / 2.5 - 1) < 5 / math.sqrt(2 * len(kept))
    assert not weight[300].any()
    edges = WorldSpec(types=4, edges=((0, 1, 2.0), (3, 0, -1.0)))
    assert np.argwhere(World(edges).acts()).tolist() == [[0, 1], [3, 0]]


def test_drift_replaces_more_and_more_weights():
    world = World(replace(SPEC, drift=1.0))
    assert world.drifted(0.0) is world
    changed = [world.drifted(share).state["weight"] != world.state["weight"] for share in (0.3, 0.7, 1.0)]
    assert bool((changed[0] <= changed[1]).all() and (changed[1] <= changed[2]).all())
    assert 0 < int(changed[0].sum()) < int(changed[1].sum()) < int(changed[2].sum())
    end = World(replace(SPEC, seed=SPEC.seed + 1_000_003)).state["weight"]
    assert torch.equal(world.drifted(1.0).state["weight"], end)


def test_pasts_start_from_nothing():
    assert pasts(torch.tensor([[5, 7, 8]]), 4, 9).tolist() == [[[9] * 4, [5, 9, 9, 9], [7, 5, 9, 9]]]
