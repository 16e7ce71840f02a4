import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import EmptyLogError
from hf_trace.graphs.counting import bigram_loss
from hf_trace.oracle.additive_model import AdditiveModel, TimedEvents, additive_loss, fit_additive

LENGTH = 20


def told_by_gaps(sequences, seed):
    """Events of two types: 0 after a gap of one second, 1 after a gap of ten, and in one of ten cases the other one."""
    rng = np.random.default_rng(seed)
    is_long = rng.random((sequences, LENGTH)) < 0.5
    codes = (is_long ^ (rng.random(is_long.shape) < 0.1)).astype(np.int64)
    times = np.where(is_long, 10.0, 1.0).cumsum(axis=1)
    return TimedEvents(codes.ravel(), np.arange(0, codes.size + 1, LENGTH), times.ravel()), is_long


def echoes(sequences, seed):
    """Noise 0 all the time, a cause 1 now and then, and five seconds after each cause an effect 2."""
    rng = np.random.default_rng(seed)
    codes, times, offsets = [], [], [0]
    for _ in range(sequences):
        noise, causes = rng.uniform(0, 100, 100), np.arange(0, 90, 15.0) + rng.uniform(0, 5, 6)
        happened = np.concatenate([noise, causes, causes + 5])
        order = np.argsort(happened)
        codes.append(np.repeat([0, 1, 2], [100, 6, 6])[order])
        times.append(happened[order])
        offsets.append(offsets[-1] + len(order))
    return TimedEvents(np.concatenate(codes), np.array(offsets), np.concatenate(times))


def bigram(train, valid, n_types):
    return bigram_loss(train.codes, train.offsets, valid.codes, valid.offsets, n_types)


def test_what_the_gap_tells_is_learned_up_to_what_estimating_it_costs():
    train, _ = told_by_gaps(400, seed=1)
    valid, is_long = told_by_gaps(200, seed=2)
    as_told = (valid.codes == is_long.ravel()).reshape(-1, LENGTH)
    # The best additive model knows all: .9 and .1 after a gap; at the start 1/2, as both gaps are as likely.
    best = -np.where(as_told, math.log(0.9), math.log(0.1))
    best[:, 0] = math.log(2)
    # Of 2 types in 11 bins and 12 gaps one number each is free: k numbers cost k / 2N on average; four times that.
    numbers, events = 2 * 11 + 12, 0.9 * len(train.codes)
    assert additive_loss(train, valid, 2) == pytest.approx(best.mean(), abs=4 * numbers / (2 * events))
    # Who knows only the event before knows that both are as likely, and pays ln 2 for it.
    assert bigram(train, valid, 2) == pytest.approx(math.log(2), abs=0.01)


def test_how_long_ago_a_cause_was_is_more_than_the_event_before():
    train, valid = echoes(60, seed=1), echoes(20, seed=2)
    assert additive_loss(train, valid, 3) < bigram(train, valid, 3) - 0.03


def test_without_times_the_number_of_events_since_takes_their_place():
    # Every third event repeats the one three before it; the two between are drawn.
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (300, 30))
    codes[:, 3:] = np.where(rng.random((300, 27)) < 0.9, np.tile(codes[:, :3], 9), codes[:, 3:])
    events = TimedEvents(codes.ravel(), np.arange(0, codes.size + 1, 30))
    train, valid = events.select(np.arange(250)), events.select(np.arange(250, 300))
    assert additive_loss(train, valid, 4) < 0.6 < 1.0 < bigram(train, valid, 4)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_logits_are_the_sum_over_the_last_events(data):
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    lengths = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(sum))
    offsets = np.cumsum([0, *lengths])
    codes, n_types = rng.integers(0, 3, offsets[-1]), 3
    times = np.concatenate([np.sort(rng.integers(0, 50, length)) for length in lengths]).astype(float)
    events = TimedEvents(codes, offsets, times)
    model = AdditiveModel(events, n_types)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, generator=torch.Generator().manual_seed(seed))

    frequencies = np.log((np.bincount(codes, minlength=3) + 1) / (len(codes) + 3))
    # Inside, types stand in the order of how frequent they are.
    order = model.class_of
    of_type = (model.of_type + model.of_time).detach().numpy()[order][:, :, order]
    of_gap = model.of_gap.detach().numpy()[:, order]
    expected = []
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        for here in range(start, end):
            first = here == start
            logits = frequencies + of_gap[-1 if first else np.searchsorted(model.edges, times[here] - times[here - 1])]
            for past in range(max(start, here - 32), here):
                logits = logits + of_type[codes[past], np.searchsorted(model.edges, times[here] - times[past])]
            expected.append(logits[codes[here]] - np.logaddexp.reduce(logits))
    np.testing.assert_allclose(model.log_probs(events), expected, atol=1e-4)


def test_rare_types_are_one_and_told_apart_by_frequency(monkeypatch):
    monkeypatch.setattr("hf_trace.oracle.additive_model.MOST_TYPES", 3)
    rng = np.random.default_rng(0)
    codes = np.minimum(rng.geometric(0.3, 4000) - 1, 9)
    train = TimedEvents(codes, np.arange(0, 4001, 20))
    model = fit_additive(train, 10)
    assert len(model.start) == 4
    every = [TimedEvents(np.array([0, 1, code]), np.array([0, 3])) for code in range(10)]
    assert sum(math.exp(model.log_probs(each)[-1]) for each in every) == pytest.approx(1, abs=1e-5)
    last = {code: model.log_probs(every[code])[-1] for code in (4, 5)}
    counts = np.bincount(model_learned(train), minlength=10)
    assert last[4] - last[5] == pytest.approx(math.log((counts[4] + 1) / (counts[5] + 1)))


def model_learned(train):
    """Events of the sequences that ``fit_additive`` learns from: all but a tenth, drawn with seed 0."""
    order = np.random.default_rng(0).permutation(len(train.offsets) - 1)
    return train.select(np.sort(order[round(0.1 * len(order)) :])).codes


def test_a_large_vocabulary_takes_seconds():
    rng = np.random.default_rng(0)
    codes = np.minimum(rng.zipf(1.3, 60_000) - 1, 29_099).astype(np.int64)
    events = TimedEvents(codes, np.arange(0, 60_001, 50), np.cumsum(rng.exponential(size=60_000)))
    began = time.process_time()
    loss = additive_loss(events, events.select(np.arange(50)), 29_100)
    assert time.process_time() - began < 30
    assert 0 < loss < math.log(29_100)


def test_types_that_may_not_come_next_are_past_only():
    # 0 alone may come next, so nothing is uncertain.
    codes = np.tile([1, 0, 1, 0], 10)
    events = TimedEvents(codes, np.arange(0, 41, 4), np.arange(40.0))
    model = fit_additive(events, 2, is_predicted=np.array([True, False]))
    log_probs = model.log_probs(events)
    assert log_probs.shape == (20,)
    np.testing.assert_allclose(log_probs, 0, atol=1e-6)


def test_the_same_seed_gives_the_same_model():
    train, _ = told_by_gaps(30, seed=1)
    first, again, other = (fit_additive(train, 2, seed=seed).log_probs(train) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sequences_are_selected_whole():
    events = TimedEvents(np.arange(6), np.array([0, 1, 3, 6]), np.arange(6.0))
    chosen = events.select(np.array([2, 0]))
    assert (chosen.codes.tolist(), chosen.offsets.tolist()) == ([3, 4, 5, 0], [0, 3, 4])
    assert chosen.times.tolist() == [3.0, 4.0, 5.0, 0.0]


def test_refused():
    one, two = (TimedEvents(np.array([0, 1, 0]), np.array(offsets)) for offsets in ([0, 3], [0, 2, 3]))
    with pytest.raises(EmptyLogError) as caught:
        additive_loss(one, one, 2)
    assert str(caught.value) == ("There are fewer than two sequences to learn from, expected one, and one to check on.")
    nothing = TimedEvents(np.empty(0, dtype=np.int64), np.array([0]))
    with pytest.raises(EmptyLogError) as caught_nothing:
        additive_loss(two, nothing, 2)
    assert str(caught_nothing.value) == "There is no event to predict, expected at least one."
