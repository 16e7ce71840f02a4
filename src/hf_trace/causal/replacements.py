"""What tested events are replaced by: draws that depend on the seed, the sequence and the event alone."""

from dataclasses import dataclass

from torch import Tensor

from hf_trace.causal.blocks import Block, Causes, uniforms
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import PROPOSALS, Alphabet, Draws, enumerate_types, invert, merge_draws
from hf_trace.scoring.readers import Reading


@dataclass(frozen=True)
class Drawing:
    """How replacements are drawn.

    Attributes:
        proposal: ``uniform``, ``unigram``, ``model``, or ``exhaustive`` (also ``exhaustive:unigram`` and
            ``exhaustive:model``).
        num_samples: Draws per event; not used where all types are enumerated.
        seed: Seed of the draws.
    """

    proposal: str
    num_samples: int
    seed: int


def replacements(
    oracle: Oracle, reading: Reading, block: Block, causes: Causes, alphabet: Alphabet, drawing: Drawing
) -> Draws:
    """Weighted replacements of every cause.

    Args:
        oracle: Says what it expected, for proposals that ask.
        reading: The block as the oracle has read it.
        block: The sequences.
        causes: Events to replace.
        alphabet: What they may be replaced by.
        drawing: How.
    """
    kind, _, weighting = drawing.proposal.partition(":")
    exhaustive = kind == "exhaustive"
    proposal = PROPOSALS[(weighting or "uniform") if exhaustive else kind]

    def next_log_probs() -> Tensor:
        return oracle.next_log_probs(reading, causes.sequence, causes.position)

    probabilities = proposal(alphabet, next_log_probs)
    observed = block.input_ids[causes.sequence, causes.position]
    if exhaustive:
        return enumerate_types(alphabet.token_ids, probabilities, observed)
    numbers = uniforms(block, causes, drawing.num_samples, drawing.seed)
    return merge_draws(alphabet.token_ids[invert(probabilities, numbers)], observed)
