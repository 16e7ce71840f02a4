"""What if, inside a sequence, against every possible future of a world of three types."""

from itertools import product

import numpy as np
import pytest
import torch

from hf_trace.discovery.total_effects import Horizon
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots
from hf_trace.questions.what_if import Given, MeanEstimate, chances, what_if
from hf_trace.runs.world_model import WorldModel
from hf_trace.worlds.world import World, WorldSpec

# 0 brings 1, 1 brings 2, and 2 keeps 0 away; two events back count half as much.
SPEC = WorldSpec(types=3, memory=2, edges=((0, 1, 2.5), (1, 2, 2.5), (2, 0, -1.0)), decay=0.7, length=6)
SLOTS = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0))
SAMPLES = 2000


@pytest.fixture(scope="module")
def world():
    return World(SPEC)


@pytest.fixture(scope="module")
def oracle(world):
    return Oracle(WorldModel.of(world))


def enumerated(world, history, target, horizon):
    """P(target among the next events | history), over all futures."""
    total = 0.0
    for future in product(range(3), repeat=horizon):
        if target in future:
            events, chance = list(history), 1.0
            for event in future:
                chance *= float(world.log_probs(torch.tensor([events[:-3:-1]]))[0].double().exp()[event])
                events.append(event)
            total += chance
    return total


def given(history, horizon, samples=SAMPLES, **more):
    tokens = np.array([1, *(4 + event for event in history)])
    return Given(tokens[:-1], np.full(samples, tokens[-1]), horizon, **more)


@pytest.mark.parametrize("horizon", [1, 2, 3])
@pytest.mark.parametrize("replacement", [[2, 0, 0], [2, 0, 2], [2, 0]], ids=["self", "other", "removed"])
def test_both_chances_are_those_of_enumeration(world, oracle, replacement, horizon):
    observed = [2, 0, 0]
    found = what_if(oracle, given(observed, horizon), given(replacement, horizon), 2, SLOTS, Horizon(horizon), seed=0)
    factual = enumerated(world, observed, 2, horizon)
    intervened = enumerated(world, replacement, 2, horizon)
    for estimate, truth in (
        (found.factual, factual),
        (found.intervened, intervened),
        (found.difference, intervened - factual),
    ):
        assert abs(estimate.value - truth) <= 4.5 * estimate.standard_error + 1e-5
    assert (found.num_samples, found.covered) == (SAMPLES, 1.0)
    assert found.factual.standard_error < 0.02


def test_one_event_ahead_is_exact(world, oracle):
    found = what_if(oracle, given([2, 0], 1, 2), given([2, 1], 1, 2), 2, SLOTS, Horizon(1), seed=0)
    assert found.factual.value == pytest.approx(enumerated(world, [2, 0], 2, 1), abs=1e-5)
    assert found.intervened.value == pytest.approx(enumerated(world, [2, 1], 2, 1), abs=1e-5)
    assert found.factual.standard_error < 1e-6


def test_replacing_an_event_by_itself_changes_nothing(oracle):
    found = what_if(oracle, given([2, 0], 3, 8), given([2, 0], 3, 8), 2, SLOTS, Horizon(3), seed=0)
    assert (found.difference.value, found.difference.standard_error) == (0, 0)


def test_common_numbers_err_less_than_independent_ones(oracle):
    found = what_if(oracle, given([0, 0], 3, 400), given([1, 0], 3, 400), 2, SLOTS, Horizon(3), seed=0)
    apart = np.hypot(found.factual.standard_error, found.intervened.standard_error)
    assert found.difference.standard_error < apart


def test_histories_of_several_lengths_go_together(world, oracle):
    uniforms = np.random.default_rng(0).random((3, 500, 2))
    histories = [[2], [2, 0, 1], [0, 1]]
    together, _ = chances(oracle, [given(each, 2, 500) for each in histories], 0, SLOTS, Horizon(2), uniforms)
    for row, history in enumerate(histories):
        alone, _ = chances(oracle, [given(history, 2, 500)], 0, SLOTS, Horizon(2), uniforms[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


def test_each_history_has_its_own_limit(world, oracle):
    uniforms = np.random.default_rng(0).random((2, 4, 3))
    found, _ = chances(oracle, [given([2, 0], 1, 4), given([2, 0], 3, 4)], 2, SLOTS, Horizon(3), uniforms)
    assert found[0] == pytest.approx(enumerated(world, [2, 0], 2, 1), abs=1e-5)
    assert found[1].mean() > found[0].mean()


def test_one_future_has_no_error():
    assert np.isnan(MeanEstimate.of(np.array([0.5])).standard_error)
