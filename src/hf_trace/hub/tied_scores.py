"""Scores of sequences with ties in both orders; see ``causal.ties``."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from hf_trace.causal.pairs import PairScores
from hf_trace.causal.ties import in_both_orders, longest_tie, reversed_ties
from hf_trace.data.sequence import EventSequence

_SEQUENCES_AT_ONCE = 32
ScoredSequence = tuple[EventSequence, PairScores]


def scored_in_both_orders(
    scored: Iterable[ScoredSequence],
    score: Callable[[Iterator[EventSequence], int], Iterable[ScoredSequence]],
    max_lag: int | None,
) -> Iterator[ScoredSequence]:
    """Lazily give sequences with scores in which pairs within ties favour no order.

    Args:
        scored: Sequences with their scores, as they are listed.
        score: Gives some sequences their scores, up to a lag.
        max_lag: Longest lag of ``scored``; within ties less is needed.
    """
    left = iter(scored)
    while block := list(islice(left, _SEQUENCES_AT_ONCE)):
        turned = [reversed_ties(sequence) for sequence, _ in block]
        longest = max(longest_tie(sequence) for sequence, _ in block) - 1
        lag = longest if max_lag is None else min(longest, max_lag)
        others = (each for each, _ in turned)
        found = [scores for _, scores in score(others, lag)] if lag else [part for _, part in block]
        for (sequence, scores), (_, positions), other in zip(block, turned, found, strict=True):
            yield sequence, in_both_orders(sequence, scores, other, positions)
