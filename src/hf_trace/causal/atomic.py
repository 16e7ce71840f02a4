"""The atomic construction: one event is replaced, everything else, mediators included, stays as observed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.causal.blocks import Block, Causes, causes_of, uniforms
from hf_trace.causal.cmi import STATISTICS, kl_to_mixture_error, probability_gain
from hf_trace.causal.settings import DiscoverySettings
from hf_trace.scoring.interventions import atomic
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import PROPOSALS, Alphabet, Draws, enumerate_types, invert, merge_draws
from hf_trace.scoring.readers import Reading
from hf_trace.scoring.rows import NO_TARGET, Branches

# Entries of the [cause, type] tables that proposals make: 32 MB in float64.
_TABLE_ENTRIES = 2**22


def atomic_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows ``(sequence, cause, effect, cmi, gain, standard_error)`` of all tested pairs, in no order."""
    observed = _observed_log_probs(oracle, reading, block)
    at_once = max(64, _TABLE_ENTRIES // len(alphabet.token_ids))
    for some in causes_of(block, settings.max_lag).split(at_once):
        yield from _score_causes(oracle, reading, block, observed, some, alphabet, settings)


def _observed_log_probs(oracle: Oracle, reading: Reading, block: Block) -> Float[Tensor, "sequence pos"]:
    """Log p of every tested event given all before it, in nats; NaN elsewhere."""
    wanted = block.tested.clone()
    wanted[:, 0] = False
    sequence, position = wanted.nonzero(as_tuple=True)
    table = torch.full(block.input_ids.shape, torch.nan)
    table[sequence, position] = oracle.log_probs(reading, sequence, position)
    return table


def _score_causes(
    oracle: Oracle,
    reading: Reading,
    block: Block,
    observed: Tensor,
    causes: Causes,
    alphabet: Alphabet,
    settings: DiscoverySettings,
) -> Iterator[NDArray[np.float64]]:
    """Rows (sequence, cause, effect, cmi, gain, error) of tested pairs, a micro-batch at a time."""
    draws = _draw(oracle, reading, block, causes, alphabet, settings)
    branches = _on_allowed(
        block,
        causes,
        atomic(block.input_ids, block.tested, causes.sequence, causes.position, causes.end, draws),
    )
    statistic = STATISTICS[settings.statistic]
    for groups, replaced in oracle.branch_log_probs(reading, branches):
        samples, width = replaced.shape[1:]
        row = causes.sequence[groups, None]
        after = causes.position[groups, None] + 1 + torch.arange(width)
        within = after <= causes.end[groups, None]
        after = after.clamp(max=block.input_ids.shape[1] - 1)
        log_p = observed[row, after]
        # A draw that equals the observed event changes nothing: it joins as one more sample.
        log_r = torch.cat([replaced, log_p[:, None]], dim=1)
        log_w = torch.cat([draws.log_weights[groups, :samples], draws.observed_log_weight[groups, None]], 1)

        score = statistic(log_p, log_r, log_w)
        error = (
            kl_to_mixture_error(log_p, log_r, log_w, draws.num_samples)
            if settings.statistic == "kl_to_mixture"
            else torch.full_like(score, torch.nan)
        )
        columns = [
            row.expand_as(after),
            causes.event[groups, None].expand_as(after),
            block.event[row, after],
            score,
            probability_gain(log_p, log_r, log_w),
            error,
        ]
        table = torch.stack([column.double() for column in columns], dim=-1)
        yield table[within & block.testable(row, causes.position[groups, None], after)].numpy()


def _on_allowed(block: Block, causes: Causes, branches: Branches) -> Branches:
    """The same rows, scored only on events that the cause may act on."""
    if block.allowed is None:
        return branches

    def tails(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        tail_ids, targets = branches.tails(groups, samples, width)
        row, cause = causes.sequence[groups, None], causes.position[groups, None]
        after = (cause + 1 + torch.arange(width)).clamp(max=block.input_ids.shape[1] - 1)
        return tail_ids, targets.masked_fill(~block.testable(row, cause, after)[:, None], NO_TARGET)

    return replace(branches, tails=tails)


def _draw(
    oracle: Oracle,
    reading: Reading,
    block: Block,
    causes: Causes,
    alphabet: Alphabet,
    settings: DiscoverySettings,
) -> Draws:
    kind, _, weighting = settings.proposal.partition(":")
    exhaustive = kind == "exhaustive"
    proposal = PROPOSALS[(weighting or "uniform") if exhaustive else kind]

    def next_log_probs() -> Tensor:
        return oracle.next_log_probs(reading, causes.sequence, causes.position)

    probabilities = proposal(alphabet, next_log_probs)
    observed = block.input_ids[causes.sequence, causes.position]
    if exhaustive:
        return enumerate_types(alphabet.token_ids, probabilities, observed)
    drawn = alphabet.token_ids[
        invert(probabilities, uniforms(block, causes, settings.num_samples, settings.seed))
    ]
    return merge_draws(drawn, observed)
