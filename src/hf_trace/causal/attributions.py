"""Baselines that read a model's own gradients and attention instead of replacing events.

Both describe the model, not what would happen otherwise: a large value is no effect in nats, and thresholds of the
interventional constructions do not carry over. They are here to be compared with.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from hf_trace.causal.blocks import Block, causes_of, effects_of, pair_rows
from hf_trace.causal.cmi import ATTRIBUTION_STATISTICS
from hf_trace.causal.settings import DiscoverySettings
from hf_trace.scoring.attributions import attention_rollout, input_times_gradient
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import Alphabet
from hf_trace.scoring.readers import Reading


def saliency_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows of all tested pairs by input x gradient of the log-probability of the effect, in nats.

    ``gain`` is the signed value: positive where the cause's embedding, as it is, makes the effect more likely.
    """
    causes = causes_of(block, settings.max_lag)
    cause, effect = effects_of(block, causes)
    places = torch.stack([causes.sequence[cause], effect], dim=1)
    tokens, row_of = places.unique(dim=0, return_inverse=True)
    value = torch.full(cause.shape, torch.nan)
    for rows, contributions in input_times_gradient(oracle, reading, tokens[:, 0], tokens[:, 1]):
        place = torch.full((len(tokens),), -1)
        place[rows] = torch.arange(len(rows))
        (mine,) = (place[row_of] >= 0).nonzero(as_tuple=True)
        value[mine] = contributions[place[row_of[mine]], causes.position[cause[mine]]]
    score = ATTRIBUTION_STATISTICS[settings.statistic](value)
    yield pair_rows(block, causes, (cause, effect), (score, value, torch.zeros_like(value)))


def rollout_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows of all tested pairs by attention rollout: how much of what predicts the effect comes from the cause.

    ``gain`` repeats the score, as attention has no sign: edges read "excites" whatever the cause does.
    """
    causes = causes_of(block, settings.max_lag)
    cause, effect = effects_of(block, causes)
    sequence, value = causes.sequence[cause], torch.full(cause.shape, torch.nan)
    for rows, rollout in attention_rollout(oracle, block.input_ids):
        (mine,) = ((sequence >= rows.start) & (sequence < rows.stop)).nonzero(as_tuple=True)
        # The event at q is predicted from position q - 1.
        value[mine] = rollout[sequence[mine] - rows.start, effect[mine] - 1, causes.position[cause[mine]]]
    yield pair_rows(block, causes, (cause, effect), (value, value, torch.zeros_like(value)))
