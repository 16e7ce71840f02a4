"""What holds for every world and for every length."""

from unittest.mock import patch

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.oracle.rows import few_lengths
from hf_trace.worlds import world as world_module
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import NONLINEARITIES, World, WorldSpec

SHARES = st.floats(0, 1)
WORLDS = st.fixed_dictionaries({
    "types": st.integers(3, 12),
    "memory": st.integers(1, 7),
    "decay": st.floats(0, 3),
    "weight": st.floats(0, 8),
    "sparsity": SHARES,
    "bias": st.floats(0, 3),
    "nonlinearity": st.sampled_from(NONLINEARITIES),
    "noise": SHARES,
    "ties": st.integers(1, 4),
    "hidden": st.sets(st.integers(0, 2), max_size=2),
    "length": st.integers(2, 9),
    "seed": st.integers(0, 2**32),
})  # fmt: skip


def some_pasts(spec):
    generator = torch.Generator().manual_seed(spec.seed)
    return torch.randint(spec.types + 1, (20, spec.memory), generator=generator)


@settings(deadline=None, max_examples=40)
@given(WORLDS)
def test_probabilities_sum_to_1_and_noise_is_their_floor(world):
    spec = WorldSpec.from_dict(world)
    probabilities = World(spec).log_probs(some_pasts(spec)).double().exp()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert float(probabilities.min()) >= spec.noise / spec.types * (1 - 1e-5)


@settings(deadline=None, max_examples=40)
@given(WORLDS)
def test_dense_and_sparse_worlds_are_the_same(world):
    spec = WorldSpec.from_dict(world)
    dense = World(spec)
    with patch.object(world_module, "_MOST_DENSE_TYPES", 1):
        sparse = World(spec)
    past = some_pasts(spec)
    torch.testing.assert_close(sparse.log_probs(past), dense.log_probs(past), rtol=1e-5, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(WORLDS, st.integers(1, 5))
def test_a_log_records_all_events_that_are_not_hidden(world, sequences):
    spec = WorldSpec.from_dict(world)
    found = simulate(World(spec), sequences, seed=spec.seed)
    assert found.codes.shape == (sequences, spec.length)
    for number in range(sequences):
        start, stop = found.log.offsets[number : number + 2]
        seen = [code for code in found.codes[number].tolist() if code not in spec.hidden]
        assert sorted(found.log.codes[start:stop].tolist()) == sorted(seen)
        assert (np.diff(found.log.timestamps[start:stop]) >= 0).all()
    assert 0 <= found.entropy <= np.log(spec.types) + 1e-6


@given(st.integers(1, 2**20), st.integers(1, 64))
def test_few_lengths_are_a_little_longer_and_few(length, per_octave):
    rounded = few_lengths(length, per_octave)
    steps = 1 << (per_octave.bit_length() - 1)  # the power of two at or below
    assert length <= rounded <= length * (1 + 1 / steps)
    assert few_lengths(rounded, per_octave) == rounded
    assert few_lengths(length + 1, per_octave) >= rounded


@given(st.integers(4, 12))
def test_few_lengths_of_an_octave_are_as_many_as_asked_for(octave):
    lengths = {few_lengths(length) for length in range(2**octave + 1, 2 ** (octave + 1) + 1)}
    assert len(lengths) == 16
