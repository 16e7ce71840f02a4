"""What counts of a context say, against counting models of the package and against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.amortised.context_counts import DISTRIBUTIONS, EXPERTS, PAIRS, ContextCounts
from hf_trace.amortised.pasts import Pasts, Places, Sequences, pasts_of
from hf_trace.graphs.counting import bigram_loss, unigram_loss

TYPES = 4
logs = st.lists(st.lists(st.integers(0, TYPES - 1), min_size=1, max_size=9), min_size=2, max_size=6)


def written(log: list[list[int]], gaps: int = 1) -> tuple[Pasts, np.ndarray]:
    """The pasts of all events of a log whose events are one second apart, and their types."""
    codes = np.full((len(log), max(map(len, log))), -1)
    for row, events in enumerate(log):
        codes[row, : len(events)] = events
    row, at = np.nonzero(codes >= 0)
    times = np.broadcast_to(np.arange(codes.shape[1]) * float(gaps), codes.shape)
    places = Places(row, at, at * float(gaps), np.where(at == 0, 1, 0))
    return pasts_of(Sequences(codes, times), places, TYPES), codes[row, at]


def flat(log: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(log), np.cumsum([0, *map(len, log)])


def log_probs(counts: ContextCounts, pasts: Pasts) -> np.ndarray:
    said = counts.said(pasts)
    return said.base + said.ratios.astype(np.float64)


@settings(max_examples=20, deadline=None)
@given(logs, logs)
def test_frequencies_and_the_last_event_are_the_unigram_and_the_bigram(context, asked):
    counts = ContextCounts(*written(context), TYPES)
    pasts, codes = written(asked)
    here = np.arange(len(codes)), codes
    assert -np.log(counts.share[codes]).mean() == pytest.approx(unigram_loss(*flat(context), *flat(asked), TYPES))
    told = -log_probs(counts, pasts)[0][here].mean()
    assert told == pytest.approx(bigram_loss(*flat(context), *flat(asked), TYPES), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(logs, logs)
def test_experts_give_probabilities(context, asked):
    counts = ContextCounts(*written(context), TYPES)
    said = log_probs(counts, written(asked)[0])
    assert said.shape == (len(EXPERTS) + len(PAIRS), sum(map(len, asked)), TYPES)
    sums = np.exp(said[: len(EXPERTS) + DISTRIBUTIONS]).sum(-1)
    assert np.allclose(sums, 1, atol=1e-4)
    assert np.isfinite(said).all()


@settings(max_examples=20, deadline=None)
@given(logs, logs, st.permutations(range(TYPES)))
def test_names_do_not_matter(context, asked, renamed):
    renamed = np.array(renamed)
    there = [[[int(renamed[code]) for code in events] for events in log] for log in (context, asked)]
    plain = log_probs(ContextCounts(*written(context), TYPES), written(asked)[0])
    other = log_probs(ContextCounts(*written(there[0]), TYPES), written(there[1])[0])
    assert np.allclose(other[..., renamed], plain, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(logs)
def test_pasts_are_what_a_loop_finds(log):
    pasts, _ = written(log, gaps=3)
    place = 0
    for events in log:
        for at in range(len(events)):
            before = events[:at]
            assert pasts.recent[place, :at].tolist() == before[::-1]
            assert pasts.counts[place].tolist() == [before.count(code) for code in range(TYPES)]
            ago = [3.0 * (before[::-1].index(code) + 1) if code in before else np.inf for code in range(TYPES)]
            assert pasts.ago[place].tolist() == ago
            assert pasts.latest[place].sum() == len(set(before))
            place += 1


def test_a_history_that_is_known_beats_one_that_is_not():
    """After 0 1 comes 2, after 3 1 comes 0, five times each: by the last two events p(2) = (5 + 1 p(2 | 1)) / 6."""
    log = [[0, 1, 2]] * 5 + [[3, 1, 0]] * 5
    counts = ContextCounts(*written(log), TYPES)
    said = counts.said(written([[0, 1, 2]])[0])
    names = [expert.name for expert in EXPERTS]
    last_1, last_2 = (np.exp(said.base[2] + said.ratios[names.index(name), 2, 2]) for name in ("last 1", "last 2"))
    assert last_1 == pytest.approx((5 + 2 * 6 / 34) / 12, rel=1e-5)
    assert last_2 == pytest.approx((5 + last_1) / 6, rel=1e-5)
    assert said.known[names.index("last 2"), 2] == 5
    assert said.kinds[names.index("last 1"), 2] == 2


def test_what_happened_before_explains_what_follows():
    """Half of all sequences have 0, and 1 follows there and nowhere else; of a 2 alone, one in three would be."""
    rng = np.random.default_rng(0)
    log = [[0, int(rng.integers(2, 4)), 1] if odd else [int(rng.integers(2, 4)), 2, 3] for odd in [True, False] * 100]
    counts = ContextCounts(*written(log), TYPES)
    said = np.exp(log_probs(counts, written([[0, 2, 1], [3, 2, 3]])[0]))
    time, lag = (said[len(EXPERTS) + number] for number in range(2))
    for told in (time, lag):
        assert told[2, 1] > 0.5
        assert told[5, 1] < 0.2
