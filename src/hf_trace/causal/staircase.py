r"""The staircase construction of the paper (Def. 4.6): row i keeps all events up to i and replaces all later ones.

A cause j is tested by contrasting row j, where it is observed, with row j - 1, where it is replaced. Between a
cause and an effect further on everything is noise in both rows, so delayed effects all but vanish (arXiv 2609.01108);
it is here to be compared with. ``replaced`` of a statistic is row j - 1 and ``observed`` row j, draw by draw.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.causal.blocks import Block, Causes, causes_of, effects_of, generator_of, pair_rows
from hf_trace.causal.cmi import STAIRCASE_STATISTICS
from hf_trace.causal.settings import DiscoverySettings
from hf_trace.scoring.interventions import staircase
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import PROPOSALS, Alphabet, invert
from hf_trace.scoring.readers import Reading


def staircase_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows ``(sequence, cause, effect, cmi, gain, standard_error)`` of all tested pairs."""
    causes = causes_of(block, settings.max_lag)
    if not len(causes.event):
        return
    noise = _noise(block, alphabet, settings)
    # Row j - 1 keeps the token right before the cause; what follows there is noise.
    kept = [causes.position, causes.position - 1]
    both = [_log_probs(oracle, reading, block, causes, position, noise) for position in kept]

    cause, effect = effects_of(block, causes)
    observed, replaced = (
        table[cause, :, effect - position[cause] - 1] for table, position in zip(both, kept, strict=True)
    )

    score = STAIRCASE_STATISTICS[settings.statistic](observed, replaced)
    gain = (observed.double().exp() - replaced.double().exp()).mean(1)
    yield pair_rows(block, causes, (cause, effect), (score, gain, score * torch.nan))


def _log_probs(
    oracle: Oracle,
    reading: Reading,
    block: Block,
    causes: Causes,
    kept: Int[Tensor, " cause"],
    noise: Int[Tensor, "sequence sample pos"],
) -> Float[Tensor, "cause sample slot"]:
    """Log-probability of each observed event after the last kept token, under every draw of noise."""
    width = int((causes.end - kept).max())
    table = torch.full((len(kept), noise.shape[1], width), torch.nan)
    branches = staircase(block.input_ids, block.tested, causes.sequence, kept, causes.end, noise)
    for groups, scored in oracle.branch_log_probs(reading, branches):
        table[groups, :, : scored.shape[2]] = scored
    return table


def _noise(
    block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Int[Tensor, "sequence sample pos"]:
    """Replacements of all events of every sequence, shared by its rows; other tokens stay."""
    probabilities = PROPOSALS[settings.proposal](alphabet, _no_model)
    noise = block.input_ids[:, None].repeat(1, settings.num_samples, 1)
    for row, sequence in enumerate(block.sequences):
        numbers = generator_of(sequence, settings.seed).random(
            (settings.num_samples, len(sequence.event_positions))
        )
        noise[row][:, sequence.event_positions] = alphabet.token_ids[
            invert(probabilities, torch.from_numpy(numbers))
        ]
    return noise


def _no_model() -> Tensor:
    raise ValueError("The staircase replaces by uniform or unigram draws.")
