"""What if, inside a sequence, against every possible future of a world of three types."""

from dataclasses import replace
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
SLOTS = Slots(torch.arange(4, 7), torch.empty(0, dtype=torch.long), torch.empty(0, 2))
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


def random_question(number):
    """A world of three to five types, a history, a target and a horizon of up to eight events."""
    generator = np.random.default_rng([11, number])
    types = int(generator.integers(3, 6))
    edges = tuple(
        (cause, effect, float(generator.normal(0, 3)))
        for cause in range(types)
        for effect in range(types)
        if cause != effect and generator.random() < 0.6
    )
    world = World(WorldSpec(types=types, memory=2, edges=edges, decay=0.7, length=6))
    history = generator.integers(0, types, 3).tolist()
    return world, history, int(generator.integers(types)), int(generator.integers(1, 9))


def summed(world, history, target, horizon, end=None):
    """P(target among the next events, before the end | history), by a sum over the last two events, step by step."""
    types = world.spec.types
    pairs = torch.cartesian_prod(torch.arange(types), torch.arange(types))
    after = world.log_probs(pairs).double().exp().numpy().reshape(types, types, types)  # by newest and next newest
    going, found = np.zeros((types, types)), 0.0
    going[history[-1], history[-2]] = 1
    for _ in range(horizon):
        going = np.einsum("ab,abe->ea", going, after)
        found += going[target].sum()
        going[target if end is None else [target, end]] = 0
    return found


def test_nothing_follows_the_end_of_a_sequence(world, oracle):
    ended = replace(SLOTS, ends=torch.tensor([1]))
    uniforms = np.random.default_rng(0).random((1, 4000, 4))
    found, covered = chances(oracle, [given([2, 0], 4, 4000)], 2, ended, Horizon(4, (5.0,)), uniforms)
    estimate = MeanEstimate.of(found[0])
    assert abs(estimate.value - summed(world, [2, 0], 2, 4, end=1)) < 4.5 * estimate.standard_error
    assert summed(world, [2, 0], 2, 4, end=1) < summed(world, [2, 0], 2, 4) - 0.1
    # A sequence that has ended keeps nothing open; the clock of this world stands still.
    over = summed(world, [2, 0], 1, 4, end=2) + summed(world, [2, 0], 2, 4, end=1)
    assert covered.mean() == pytest.approx(over, abs=0.02)


@pytest.mark.parametrize("questions", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_random_questions_are_answered_within_bounds_and_errors(questions):
    errors, told, extremes, samples = [], [], [], 200
    for number in range(questions):
        world, history, target, horizon = random_question(number)
        slots = replace(SLOTS, events=torch.arange(4, 4 + world.spec.types))
        uniforms = np.random.default_rng(number).random((1, samples, horizon))
        oracle = Oracle(WorldModel.of(world))
        found, _ = chances(oracle, [given(history, horizon, samples)], target, slots, Horizon(horizon), uniforms)
        estimate = MeanEstimate.of(found[0])
        extremes += [found.min(), found.max()]
        errors.append(estimate.value - summed(world, history, target, horizon))
        told.append(estimate.standard_error)
    assert 0 <= min(extremes) <= max(extremes) <= 1
    sizes, told = np.abs(errors), np.array(told)
    assert abs(sum(errors)) < 3 * np.sqrt(sum(told**2))  # no bias
    assert np.mean(sizes <= 1.96 * told + 1e-5) > 0.85
    # A branch that no future took has a probability below 3 in as many futures, at 95 %.
    assert (sizes <= 4.5 * told + 3 / samples).all()


def test_the_sum_over_pairs_is_the_enumeration(world):
    assert summed(world, [2, 0], 2, 3) == pytest.approx(enumerated(world, [2, 0], 2, 3), abs=1e-6)
