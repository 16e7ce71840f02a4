"""What worlds write: frequencies and entropy against exact ones, and what is recorded of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from hf_trace.worlds.simulator import simulate, type_names
from hf_trace.worlds.world import World, WorldSpec

CHAIN = WorldSpec(types=4, memory=1, weight=1.5, sparsity=0.2, bias=0.3, length=12, seed=5)


def exact_rows(world):
    """Distribution of the first event, and of the next one after each type."""
    probabilities = world.log_probs(torch.tensor([[world.nothing], *([code] for code in range(4))])).exp()
    return probabilities[0].double().numpy(), probabilities[1:].double().numpy()


def test_frequencies_are_the_conditionals():
    world = World(CHAIN)
    first, after = exact_rows(world)
    codes = simulate(world, 3000, seed=2).codes
    observed = [np.bincount(codes[:, 0], minlength=4)]
    expected = [first / first.sum() * len(codes)]
    for code in range(4):
        counts = np.bincount(codes[:, 1:][codes[:, :-1] == code], minlength=4)
        observed.append(counts)
        expected.append(after[code] / after[code].sum() * counts.sum())
    for seen, known in zip(observed, expected, strict=True):
        assert chisquare(seen, known).pvalue > 1e-3


def test_entropy_is_that_of_enumeration():
    world = World(CHAIN)
    first, after = exact_rows(world)
    state, total = first, -(first * np.log(first)).sum()
    by_type = -(after * np.log(after)).sum(1)
    for _ in range(CHAIN.length - 1):
        total += state @ by_type
        state = state @ after
    found = simulate(world, 2000, seed=1).entropy
    assert abs(found - total / CHAIN.length) < 5 * np.ptp(by_type) / math.sqrt(2000)


@pytest.mark.parametrize("change", [{}, {"ties": 3}, {"hidden": (0,)}, {"drift": 0.8}])
def test_the_seed_decides(change):
    world = World(replace(CHAIN, **change))
    first, again, other = (simulate(world, 60, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.codes, again.codes)
    assert np.array_equal(first.log.codes, again.log.codes)
    assert np.array_equal(first.log.timestamps, again.log.timestamps)
    assert first.entropy == again.entropy
    assert not np.array_equal(first.codes, other.codes)


def test_a_plain_log_has_all_events_at_their_positions():
    found = simulate(World(CHAIN), 5, seed=0)
    assert found.log.codes.reshape(5, 12).tolist() == found.codes.tolist()
    assert found.log.timestamps.reshape(5, 12).tolist() == [list(range(12))] * 5
    assert (found.log.event_types, found.log.ids) == (("e0", "e1", "e2", "e3"), ("0", "1", "2", "3", "4"))


def test_ties_share_a_time_in_any_order():
    found = simulate(World(replace(CHAIN, ties=3)), 200, seed=0)
    codes = found.log.codes.reshape(200, 4, 3)
    happened = found.codes.reshape(200, 4, 3)
    assert found.log.timestamps.reshape(200, 12)[7].tolist() == [0] * 3 + [3] * 3 + [6] * 3 + [9] * 3
    assert np.array_equal(np.sort(codes, axis=2), np.sort(happened, axis=2))
    # Which of three comes first says nothing: each is there in a third of the groups.
    distinct = np.array([len(set(group)) == 3 for group in happened.reshape(-1, 3).tolist()])
    first = (happened == codes[:, :, :1]).reshape(-1, 3)[distinct].argmax(1)
    assert chisquare(np.bincount(first, minlength=3)).pvalue > 1e-3


def test_hidden_types_act_but_are_not_recorded():
    found = simulate(World(replace(CHAIN, hidden=(0, 2))), 50, seed=0)
    assert np.array_equal(found.codes, simulate(World(CHAIN), 50, seed=0).codes)
    for number, record in enumerate(found.log):
        kept = [(f"e{code}", time) for time, code in enumerate(found.codes[number]) if code in (1, 3)]
        assert list(zip(record.events, record.timestamps, strict=True)) == kept
    assert found.log.event_types == ("e0", "e1", "e2", "e3")


@pytest.mark.parametrize("sequences", [1, 20, 300])
def test_drift_goes_on_through_the_whole_log(monkeypatch, sequences):
    world = World(replace(CHAIN, drift=0.8))
    shares = []

    def drifted(share):
        shares.append(share)
        return world

    monkeypatch.setattr(world, "drifted", drifted)
    assert simulate(world, sequences, seed=0).codes.shape == (sequences, 12)
    assert len(shares) == min(sequences, 50)
    assert np.allclose(shares, 0.8 * (np.arange(len(shares)) + 0.5) / len(shares))


def test_progress_counts_sequences():
    done = []
    simulate(World(CHAIN), 2050, seed=0, advance=done.append)
    assert done == [1024, 2048, 2050]


def test_names_sort_like_codes():
    assert list(type_names(120)) == sorted(type_names(120))
