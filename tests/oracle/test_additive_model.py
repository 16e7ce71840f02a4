"""The additive yardstick against loops, autograd and worlds whose best additive model is known."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from hf_trace.errors import EmptyLogError
from hf_trace.graphs.counting import bigram_loss, unigram_loss
from hf_trace.oracle.additive_model import MOST_TYPES, AdditiveYardstick, TimedEvents, additive_loss, fit_additive


def events_of(sequences, times=None):
    codes = np.array([code for sequence in sequences for code in sequence], dtype=np.int64)
    flat = None if times is None else np.concatenate([np.asarray(each, dtype=np.float64) for each in times])
    return TimedEvents(codes, np.cumsum([0, *map(len, sequences)]), flat)


def chains(rng, count, length, stays=0.9):
    """Sequences of two types, each event of the type before it with a given chance; the first is of either."""
    changes = rng.random((count, length)) >= stays
    changes[:, 0] = rng.random(count) < 0.5
    return events_of((changes.cumsum(1) % 2).tolist())


def test_a_chain_is_learned_to_its_entropy():
    rng = np.random.default_rng(0)
    train, valid = chains(rng, 200, 30), chains(rng, 200, 30)
    same = np.diff(valid.codes) == 0
    is_first = np.isin(np.arange(len(valid.codes)), valid.offsets[:-1])
    exact = -np.log(np.where(is_first, 0.5, np.where(np.append(False, same), 0.9, 0.1))).mean()
    found = additive_loss(train, valid, 2)
    # The loss of the world itself on the same events, and per free number 1 / (2 n), at most: 2 x 12 + 13 + 2 of them.
    assert exact - 0.004 < found < exact + 4 * 39 / (2 * 5_400)


def test_what_the_gap_tells_is_learned_to_its_entropy():
    """Type 0 after a gap of one second, 1 after one of ten, and in one of ten cases the other one."""
    rng = np.random.default_rng(7)
    is_long = rng.random((600, 20)) < 0.5
    is_told = rng.random(is_long.shape) < 0.9
    events = events_of((is_long == is_told).astype(int).tolist(), np.where(is_long, 10.0, 1.0).cumsum(1))
    train, valid = events.select(np.arange(400)), events.select(np.arange(400, 600))
    exact = -np.log(np.where(is_told[400:], 0.9, 0.1))
    exact[:, 0] = math.log(2)  # no gap tells the first event
    found = additive_loss(train, valid, 2)
    assert exact.mean() - 0.004 < found < exact.mean() + 4 * 39 / (2 * 7_200)
    bigram = bigram_loss(train.codes, train.offsets, valid.codes, valid.offsets, 2)
    assert bigram == pytest.approx(math.log(2), abs=0.01)


def after_a_while(rng, count, length=30):
    """Type 1 comes when type 0 was between 10 and 40 seconds ago, else type 2; type 0 by chance."""
    gaps = rng.exponential(12.0, (count, length))
    times, codes = gaps.cumsum(1), np.zeros((count, length), dtype=np.int64)
    for row in range(count):
        last = -np.inf
        for place in range(length):
            since = times[row, place] - last
            codes[row, place] = 0 if rng.random() < 0.15 else (1 if 10 < since < 40 else 2)
            last = times[row, place] if codes[row, place] == 0 else last
    return events_of(codes.tolist(), times)


def test_where_only_time_matters_it_beats_the_event_before_and_itself_without_times():
    rng = np.random.default_rng(1)
    train, valid = after_a_while(rng, 150), after_a_while(rng, 100)
    bigram = bigram_loss(train.codes, train.offsets, valid.codes, valid.offsets, 3)
    timeless = additive_loss(train._replace(times=None), valid._replace(times=None), 3)
    found = additive_loss(train, valid, 3)
    assert found < bigram - 0.1
    assert found < timeless - 0.1


def test_rows_are_counted_as_in_the_loop():
    rng = np.random.default_rng(2)
    lengths = [0, 40, 1, 7]
    events = events_of(
        [rng.integers(0, 3, n).tolist() for n in lengths], [rng.exponential(5, n).cumsum() for n in lengths]
    )
    model = AdditiveYardstick(events, 3)
    bins = len(model.edges) + 1
    expected = np.zeros((48, 3 * bins + bins + 1 + 3))
    for start, stop in pairwise(events.offsets):
        for here in range(start, stop):
            since = events.times[here] - events.times[max(start, here - 32) : here]
            found = np.searchsorted(model.edges, since)
            expected[here, 3 * bins + (found[-1] if len(found) else bins)] += 1
            if here > start:
                expected[here, 3 * bins + bins + 1 + model.class_of[events.codes[here - 1]]] += 1
            for code, place in zip(events.codes[max(start, here - 32) : here], found, strict=True):
                expected[here, model.class_of[code] * bins + place] += 1
    assert (model.counted(events).toarray() == expected).all()


def test_gradients_are_those_of_the_mean_loss():
    events = chains(np.random.default_rng(3), 5, 9)
    model = AdditiveYardstick(events, 2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    counted, classes = model.sample(events)
    model.learn(counted, classes)
    logits = model.start + torch.from_numpy(counted.toarray()) @ model.table()
    expected = torch.autograd.grad(
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(classes)), list(model.parameters())
    )
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_at_first_it_is_the_frequencies():
    events = events_of([[0, 0, 1]])
    found = np.exp(AdditiveYardstick(events, 2).log_probs(events))
    assert found == pytest.approx([3 / 5, 3 / 5, 2 / 5])


@pytest.mark.parametrize("is_masked", [False, True])
def test_a_large_vocabulary_costs_no_more_and_is_still_a_distribution(is_masked, monkeypatch):
    rng = np.random.default_rng(4)
    types = 30_000
    events = events_of((rng.pareto(0.5, (40, 50)).astype(np.int64) % types).tolist())
    is_predicted = np.arange(types) % 3 > 0 if is_masked else None
    assert AdditiveYardstick(events, types, is_predicted).table().shape[1] == MOST_TYPES + 1 + is_masked
    monkeypatch.setattr("hf_trace.oracle.additive_model.MOST_TYPES", 20)
    model = fit_additive(events, types, is_predicted=is_predicted)
    of_class = model.class_log_probs(model.counted(events)).numpy()[:5]
    everything = np.exp(of_class[:, model.class_of] + model.within)
    assert everything.sum(1) == pytest.approx(np.ones(5), abs=1e-4)
    assert len(model.log_probs(events)) == (2_000 if is_predicted is None else is_predicted[events.codes].sum())
    assert np.isfinite(model.log_probs(events)).all()


def test_rare_types_are_counted_in_all_sequences_though_few_are_learned_from(monkeypatch):
    """Of types of chance alone nothing is to be learned: the model is no worse than their frequencies."""
    monkeypatch.setattr("hf_trace.oracle.additive_model.MOST_CELLS", 50_000)
    monkeypatch.setattr("hf_trace.oracle.additive_model.MOST_TYPES", 10)
    types, length = 2_000, 10
    codes = (np.random.default_rng(7).pareto(0.7, 100_000) * 3).astype(np.int64) % types
    events = TimedEvents(codes, np.arange(0, len(codes) + 1, length))
    valid = events.select(np.arange(500))
    frequencies = unigram_loss(events.codes, events.offsets, valid.codes, valid.offsets, types)
    assert additive_loss(events, valid, types) == pytest.approx(frequencies, abs=0.02)


def test_what_is_not_predicted_is_still_seen_in_the_past():
    """Type 2 tells which of the others comes next; it is none of those that may."""
    rng = np.random.default_rng(5)
    draws = rng.integers(0, 2, (50, 8))
    events = events_of([[code for draw in row for code in (([2] if draw else []) + [int(draw)])] for row in draws])
    loss = additive_loss(events, events, 3, is_predicted=np.array([True, True, False]))
    assert loss < 0.1 < np.log(2)


def test_the_same_seed_gives_the_same_model_and_nothing_else_is_drawn():
    rng = np.random.default_rng(6)
    train, valid = chains(rng, 20, 10), chains(rng, 20, 10)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert additive_loss(train, valid, 2) == additive_loss(train, valid, 2)
    assert (torch.get_rng_state() == before).all()
    assert additive_loss(train, valid, 2, seed=1) != additive_loss(train, valid, 2)


def test_windows_of_one_case_decide_together():
    """Every case repeats a type of its own: other windows of the same case tell nothing of cases that are held out."""
    rng = np.random.default_rng(8)
    own = np.repeat(rng.integers(0, 8, 20), 5)[:, None]
    events = events_of(np.where(rng.random((100, 12)) < 0.7, own, rng.integers(0, 8, (100, 12))).tolist())
    cases = np.repeat(np.arange(20), 5)
    train, valid = events._replace(cases=cases).select(np.arange(90)), events.select(np.arange(90, 100))
    assert train.cases.tolist() == cases[:90].tolist()
    found = fit_additive(train, 8).log_probs(valid)
    assert np.isfinite(found).all()
    # Alone, each sequence is a case of its own: others decide, and another model is found.
    assert not np.array_equal(found, fit_additive(train._replace(cases=None), 8).log_probs(valid))
    # Of fewer than ten cases the windows decide.
    few = fit_additive(train._replace(cases=np.zeros(90, dtype=np.int64)), 8)
    np.testing.assert_array_equal(few.log_probs(valid), fit_additive(train._replace(cases=None), 8).log_probs(valid))


def test_too_little_is_said():
    one = events_of([[0, 1]])
    with pytest.raises(EmptyLogError, match="fewer than two sequences"):
        fit_additive(one, 2)
    with pytest.raises(EmptyLogError, match="no event to predict"):
        additive_loss(chains(np.random.default_rng(0), 4, 4), events_of([[]]), 2)
