import math

import numpy as np
import pytest

from hf_trace.errors import EmptyLogError, UnknownEventError
from hf_trace.graphs.counting import bigram_loss, unigram_loss


def columns(sequences):
    codes = np.array([code for sequence in sequences for code in sequence], dtype=np.int64)
    return codes, np.cumsum([0, *map(len, sequences)])


def loop_losses(train, valid, n_types):
    events = [code for sequence in train for code in sequence]
    pairs = [pair for sequence in train for pair in zip(["start", *sequence], sequence, strict=False)]
    unigram, bigram = [], []
    for sequence in valid:
        for before, event in zip(["start", *sequence], sequence, strict=False):
            share = (events.count(event) + 1) / (len(events) + n_types)
            followers = [b for a, b in pairs if a == before]
            kinds = len(set(followers))
            mass = len(followers) + kinds
            unigram.append(-math.log(share))
            bigram.append(-math.log((followers.count(event) + kinds * share) / mass) if mass else -math.log(share))
    return np.mean(unigram), np.mean(bigram)


@pytest.mark.parametrize("seed", range(5))
def test_losses_are_the_loop(seed):
    rng = np.random.default_rng(seed)
    # Types 3 and 4 are rare in training or unseen, so that unseen contexts and pairs occur.
    train = [rng.integers(0, 4, length).tolist() for length in (0, 5, 1, 12)]
    valid = [rng.integers(0, 5, length).tolist() for length in (6, 0, 1, 9)]
    expected = loop_losses(train, valid, 5)
    arguments = (*columns(train), *columns(valid), 5)
    assert unigram_loss(*arguments) == pytest.approx(expected[0])
    assert bigram_loss(*arguments) == pytest.approx(expected[1])


def test_hand_computed():
    # Train: a b, a b, a a over {a, b}. p(a) = (4+1)/(6+2), p(b) = 3/8.
    train, valid = [[0, 1], [0, 1], [0, 0]], [[0, 1]]
    arguments = (*columns(train), *columns(valid), 2)
    assert unigram_loss(*arguments) == pytest.approx(-(math.log(5 / 8) + math.log(3 / 8)) / 2)
    # After the start, 3 times a, one kind: (3 + 5/8) / 4.
    # After a, b twice and a once, two kinds: (2 + 2 * 3/8) / 5.
    assert bigram_loss(*arguments) == pytest.approx(-(math.log(3.625 / 4) + math.log(2.75 / 5)) / 2)


def test_probabilities_of_all_next_types_sum_to_one():
    train = columns([[0, 1, 2, 0, 0], [2, 1]])
    for before in range(4):
        first = bigram_loss(*train, *columns([[before]]), 4)
        both = [bigram_loss(*train, *columns([[before, event]]), 4) for event in range(4)]
        assert sum(math.exp(-(2 * loss - first)) for loss in both) == pytest.approx(1)


def test_training_on_nothing_is_uniform():
    nothing, log = columns([]), columns([[0, 1, 2]])
    assert unigram_loss(*nothing, *log, 3) == pytest.approx(math.log(3))
    assert bigram_loss(*nothing, *log, 3) == pytest.approx(math.log(3))


@pytest.mark.parametrize("loss", [unigram_loss, bigram_loss])
def test_refused(loss):
    with pytest.raises(EmptyLogError) as caught:
        loss(*columns([[0]]), *columns([]), 1)
    assert str(caught.value) == "There is no event to predict, expected at least one."
    with pytest.raises(UnknownEventError) as caught_code:
        loss(*columns([[0]]), *columns([[1]]), 1)
    assert str(caught_code.value) == "Event code 1 is out of range, expected 0 to 0."
