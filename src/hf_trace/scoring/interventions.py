"""The batched intervention tensor, described without being built: which rows replace which events."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_trace.scoring.proposals import Draws
from hf_trace.scoring.rows import NO_TARGET, Branches


def atomic(
    input_ids: Int[Tensor, "sequence pos"],
    is_target: Bool[Tensor, "sequence pos"],
    sequence: Int[Tensor, " cause"],
    position: Int[Tensor, " cause"],
    end: Int[Tensor, " cause"],
    draws: Draws,
) -> Branches:
    """Rows that replace one event and keep everything else, mediators included, as observed.

    Args:
        input_ids: Sequences, padded on the right.
        is_target: Positions whose tokens are scored.
        sequence: Sequence of each cause.
        position: Token that is replaced; everything before it is shared.
        end: Last token to score, after ``position``; what follows it is never run.
        draws: Replacements of each cause.
    """

    def tails(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        slots = position[groups, None] + torch.arange(width)
        row = sequence[groups, None]
        last = input_ids.shape[1] - 1
        tail_ids = input_ids[row, slots.clamp(max=last)][:, None].repeat(1, samples, 1)
        tail_ids[:, :, 0] = draws.token_ids[groups, :samples]

        after = (slots + 1).clamp(max=last)
        scored = is_target[row, after] & (slots + 1 <= end[groups, None])
        targets = input_ids[row, after].where(scored, NO_TARGET)[:, None].repeat(1, samples, 1)
        unused = torch.arange(samples) >= draws.samples[groups, None]
        return tail_ids, targets.masked_fill(unused[..., None], NO_TARGET)

    return Branches(sequence, position, draws.samples, end - position, tails)


def staircase(
    input_ids: Int[Tensor, "sequence pos"],
    is_target: Bool[Tensor, "sequence pos"],
    sequence: Int[Tensor, " row"],
    position: Int[Tensor, " row"],
    end: Int[Tensor, " row"],
    noise: Int[Tensor, "sequence sample pos"],
) -> Branches:
    """Rows that keep all tokens up to a position and take every later one from ``noise``.

    Args:
        input_ids: Sequences, padded on the right.
        is_target: Positions whose observed tokens are scored.
        sequence: Sequence of each row.
        position: Last token that is kept.
        end: Last token to score.
        noise: Replacements of all tokens of each sequence, one row per draw.
    """

    def tails(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        slots = position[groups, None] + torch.arange(width)
        row = sequence[groups, None]
        last = input_ids.shape[1] - 1
        tail_ids = noise[row, :, slots.clamp(max=last)].transpose(1, 2).clone()
        tail_ids[:, :, 0] = input_ids[sequence[groups], position[groups]][:, None]

        after = (slots + 1).clamp(max=last)
        scored = is_target[row, after] & (slots + 1 <= end[groups, None])
        targets = input_ids[row, after].where(scored, NO_TARGET)[:, None].repeat(1, samples, 1)
        return tail_ids, targets

    samples = torch.full_like(position, noise.shape[1])
    return Branches(sequence, position, samples, end - position, tails)
