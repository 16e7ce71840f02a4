"""Scores of several oracles of one log, put together."""

from collections.abc import Sequence

import numpy as np

from hf_trace.causal.pairs import PairScores
from hf_trace.causal.spread import signed_root


def pooled(by_oracle: Sequence[PairScores]) -> PairScores:
    """One score for every pair from several oracles.

    Args:
        by_oracle: Divergences of the same pairs of the same sequence, from draws independent between oracles.

    Returns:
        ``cmi`` is the square of the mean signed root: where oracles disagree on the sign of an effect, their mean
        divergence would still be large. ``gain`` is the mean, ``standard_error`` that of the draws, ``by_oracle``
        what was given. A single oracle's scores come back as they are.
    """
    first = by_oracle[0]
    if len(by_oracle) == 1:
        return first
    effects, errors = (np.stack(each) for each in zip(*map(signed_root, by_oracle), strict=True))
    effect = effects.mean(0)
    return PairScores(
        cause_position=first.cause_position,
        effect_position=first.effect_position,
        cmi=effect**2,
        gain=np.mean([scores.gain for scores in by_oracle], axis=0),
        standard_error=2 * np.abs(effect) * np.sqrt((errors**2).sum(0)) / len(by_oracle),
        by_oracle=tuple(by_oracle),
    )
