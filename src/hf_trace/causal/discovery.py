"""Scores of cause and effect positions in single sequences: TRACE's intervention tensor, or a baseline.

Nothing here decides what an edge is (``thresholds``) or builds graphs (``graphs``).
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hf_trace.causal.atomic import atomic_scores
from hf_trace.causal.attributions import rollout_scores, saliency_scores
from hf_trace.causal.blocks import Allowed, Block
from hf_trace.causal.pairs import PairScores, scores_by_sequence
from hf_trace.causal.settings import DiscoverySettings
from hf_trace.causal.shapley import shapley_scores
from hf_trace.causal.staircase import staircase_scores
from hf_trace.data.sequence import EncodedSequence
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import Alphabet
from hf_trace.scoring.readers import Reading

_Scores = Callable[[Oracle, Reading, Block, Alphabet, DiscoverySettings], Iterator[NDArray[np.float64]]]
_SCORES: dict[str, _Scores] = {
    "atomic": atomic_scores,
    "staircase": staircase_scores,
    "saliency": saliency_scores,
    "attention": rollout_scores,
    "shapley": shapley_scores,
}


def score_pairs(
    oracle: Oracle,
    sequences: Sequence[EncodedSequence],
    alphabet: Alphabet,
    settings: DiscoverySettings,
    *,
    tested: Sequence[range] | None = None,
    allowed: Allowed | None = None,
) -> list[PairScores]:
    """Score how much each event informs each later one, in a block of sequences read together.

    Args:
        oracle: The frozen model.
        sequences: Encoded sequences; events outside ``alphabet`` are read but never tested.
        alphabet: Event types that are tested and drawn.
        settings: See ``DiscoverySettings``.
        tested: For each sequence the events to test as causes; by default all after the prefix.
        allowed: Which pairs of tokens are tested, for example an ``AllowedPairs``; by default all. A cause that may
            act on nothing within reach is never replaced.

    Returns:
        One ``PairScores`` per sequence, in order. The numbers of a sequence depend on it and the seed alone,
        not on the block it is in.
    """
    if tested is None:
        tested = [range(settings.prefix_length, len(each.event_positions)) for each in sequences]
    block = Block.build(sequences, alphabet, tested, allowed)
    reading = oracle.read(block.input_ids)
    score = _SCORES[settings.construction]
    return scores_by_sequence(list(score(oracle, reading, block, alphabet, settings)), len(sequences))
