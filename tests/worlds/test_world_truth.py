"""True causes against enumeration of every replacement."""

import math

import numpy as np
import torch

from hf_trace.worlds.simulator import replacement_scores, simulate
from hf_trace.worlds.world import World, WorldSpec

SPEC = WorldSpec(types=6, memory=3, decay=0.3, weight=2.0, sparsity=0.5, nonlinearity="relu", length=9, seed=1)
DRAWS = 4000


def probability(world, codes, position):
    """P(event at a position | the events before it)."""
    past = [*codes[:position][::-1], *[world.nothing] * world.spec.memory][: world.spec.memory]
    return math.exp(world.log_probs(torch.tensor([past]))[0, codes[position]])


def replaced_probabilities(world, codes, cause, effect):
    """The same for every type in place of a cause."""
    return [probability(world, [*codes[:cause], code, *codes[cause + 1 :]], effect) for code in range(world.spec.types)]


def bernoulli_kl(p, r):
    return p * math.log(p / r) + (1 - p) * math.log((1 - p) / (1 - r))


def test_scores_are_those_of_enumeration_within_monte_carlo_error():
    world = World(SPEC)
    codes = simulate(world, 1, seed=4).codes[0]
    found = replacement_scores(world, codes, num_samples=DRAWS, seed=0)
    assert found.shape == (9, 3)
    largest = 0.0
    for cause, lag in np.argwhere(np.isfinite(found)):
        effect = cause + lag + 1
        p = probability(world, codes.tolist(), effect)
        replaced = replaced_probabilities(world, codes.tolist(), cause, effect)
        r = float(np.mean(replaced))
        slope = abs(r - p) / (r * (1 - r))
        error = np.std(replaced) / math.sqrt(DRAWS)
        curvature = (p / r**2 + (1 - p) / (1 - r) ** 2) * (5 * error) ** 2
        assert abs(found[cause, lag] - bernoulli_kl(p, r)) <= 5 * slope * error + curvature + 1e-5
        largest = max(largest, found[cause, lag])
    assert largest > 0.3  # there was something to get wrong


def test_only_pairs_inside_the_sequence_have_a_score():
    world = World(SPEC)
    for length in (1, 2, 3, 9):
        scores = replacement_scores(world, np.arange(length) % 6, num_samples=4, seed=0)
        inside = np.arange(length)[:, None] + np.arange(1, 4) < length
        assert np.array_equal(np.isfinite(scores), inside)


def test_the_draws_follow_the_seed():
    world, codes = World(SPEC), np.arange(9) % 6
    first, again, other = (replacement_scores(world, codes, num_samples=10, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)
