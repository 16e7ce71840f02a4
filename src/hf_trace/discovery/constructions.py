"""All constructions by name: atomic, the staircase of the paper, and attribution baselines."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.atomic import atomic_scores
from hf_trace.discovery.blocks import Allowed, Block, Causes, causes_of, effects_of, generator_of, pair_rows
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.shapley import shapley_scores
from hf_trace.discovery.statistics import ATTRIBUTION_STATISTICS, STAIRCASE_STATISTICS, PairScores
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.attributions import attention_rollout, input_times_gradient
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import PROPOSALS, Alphabet, invert
from hf_trace.oracle.readers import Reading
from hf_trace.oracle.rows import staircase


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


def _noise(block: Block, alphabet: Alphabet, settings: DiscoverySettings) -> Int[Tensor, "sequence sample pos"]:
    """Replacements of all events of every sequence, shared by its rows; other tokens are kept."""
    probabilities = PROPOSALS[settings.proposal](alphabet, _no_model)
    noise = block.input_ids[:, None].repeat(1, settings.num_samples, 1)
    for row, sequence in enumerate(block.sequences):
        numbers = generator_of(sequence, settings.seed).random((settings.num_samples, len(sequence.event_positions)))
        at = alphabet.at_same_place(probabilities, block.input_ids[row, sequence.event_positions])
        noise[row][:, sequence.event_positions] = alphabet.token_ids[invert(at, torch.from_numpy(numbers).T).T]
    return noise


def _no_model() -> Tensor:
    raise ValueError("The staircase replaces by uniform or unigram draws.")


def saliency_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows of all tested pairs by input x gradient of the log-probability of the effect, in nats.

    ``gain`` is the signed value: positive where the embedding of the cause makes the effect more likely.
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
    """Rows of all tested pairs by attention rollout: the share of the attention behind the effect that is on the cause.

    ``gain`` repeats the score: attention has no sign, so every edge reads "excites".
    """
    causes = causes_of(block, settings.max_lag)
    cause, effect = effects_of(block, causes)
    sequence, value = causes.sequence[cause], torch.full(cause.shape, torch.nan)
    for rows, rollout in attention_rollout(oracle, block.input_ids):
        (mine,) = ((sequence >= rows.start) & (sequence < rows.stop)).nonzero(as_tuple=True)
        # The event at q is predicted from position q - 1.
        value[mine] = rollout[sequence[mine] - rows.start, effect[mine] - 1, causes.position[cause[mine]]]
    yield pair_rows(block, causes, (cause, effect), (value, value, torch.zeros_like(value)))


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
    """Score how much each event informs each later one, in a batch of sequences.

    Args:
        oracle: The frozen model.
        sequences: Encoded sequences; events outside ``alphabet`` are read but never tested.
        alphabet: Event types that are tested and drawn.
        settings: See ``DiscoverySettings``.
        tested: The events of each sequence to test as causes; by default all after the prefix.
        allowed: Which pairs of tokens are tested, such as ``AllowedPairs``; by default all. A cause without an allowed
            effect within reach is never replaced.

    Returns:
        One ``PairScores`` per sequence, in order. They depend on the sequence and the seed, not on the batch.
    """
    if tested is None:
        tested = [range(settings.prefix_length, len(each.event_positions)) for each in sequences]
    block = Block.build(sequences, alphabet, tested, allowed)
    reading = oracle.read(block.input_ids)
    score = _SCORES[settings.construction]
    return _by_sequence(list(score(oracle, reading, block, alphabet, settings)), len(sequences))


def _by_sequence(found: Sequence[NDArray[np.float64]], sequences: int) -> list[PairScores]:
    """Sort rows ``(sequence, cause, effect, cmi, gain, standard_error)`` into one ``PairScores`` per sequence."""
    table = np.concatenate(found) if found else np.empty((0, 6))
    table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
    cuts = np.searchsorted(table[:, 0], np.arange(sequences + 1))
    return [
        PairScores(
            cause_position=part[:, 1].astype(np.int64),
            effect_position=part[:, 2].astype(np.int64),
            cmi=part[:, 3],
            gain=part[:, 4],
            standard_error=part[:, 5],
        )
        for part in np.split(table, cuts[1:-1])
    ]
