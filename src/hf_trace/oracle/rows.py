"""Rows to score: where each leaves its sequence, what follows, and which of its tokens count."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_trace.oracle.proposals import Draws

Ids = Int[Tensor, "sequence pos"]
Flags = Bool[Tensor, "sequence pos"]
Groups = Int[Tensor, " group"]
Causes = Int[Tensor, " cause"]
Places = Int[Tensor, " row"]
NO_TARGET = -1
# What one more micro-batch costs beside its tokens: this share of a whole one.
_OF_A_MICRO_BATCH = 16
Tails = Callable[[Tensor, int, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Branches:
    """Groups of rows that leave sequences already read.

    Attributes:
        sequence: Index of the sequence each group leaves.
        shared_length: Tokens of that sequence shared by the rows of the group.
        samples: Rows in each group.
        tail_length: Tokens each row still has to read; at least 1.
        tails: ``tails(groups, samples, width)`` gives the tail tokens and the target after each of them,
            both ``[group, sample, width]``; ``NO_TARGET`` where nothing is to be scored.
    """

    sequence: Groups
    shared_length: Groups
    samples: Groups
    tail_length: Groups
    tails: Tails

    def __len__(self) -> int:
        return len(self.sequence)


def micro_batches(width: Groups, branches: Branches, most_tokens: int) -> Iterator[Groups]:
    """Group indices of micro-batches of about ``most_tokens`` tokens, or of one group where that is more.

    Rows are padded to the longest of their micro-batch; where padding would cost more than one more micro-batch does,
    another begins. ``width`` is what one row of each group costs, in tokens.
    """
    # Longest rows first: neighbors are alike, so little is padded, and the largest batch is tried first, so memory
    # runs out early or not at all.
    keys = [part.cpu().numpy() for part in (branches.shared_length, branches.samples, width)]
    order = np.lexsort(keys)[::-1].copy()
    widths = np.maximum(keys[-1][order], 1)
    samples = int(branches.samples.max()) if len(branches) else 1
    start = 0
    while start < len(order):
        # Where there is only one event type nothing can take its place, and there are groups without rows.
        stop = start + max(1, most_tokens // (int(widths[start]) * max(1, samples)))
        while True:
            some = widths[start:stop]
            saved = (some[0] - some) * np.arange(len(some), 0, -1) * samples
            if saved.max() * _OF_A_MICRO_BATCH <= most_tokens:
                break
            stop = start + int(saved.argmax())
        yield torch.from_numpy(order[start:stop])
        start = stop


def few_lengths(length: int, per_octave: int = 16) -> int:
    """A length rounded up to one of a few per octave (from a power of two to the next), by a sixteenth at most.

    Kernels of a new shape are compiled or planned anew, and kept: with every length its own shape that has cost
    more time and memory than the padding.

    Example:
        >>> [few_lengths(length) for length in (7, 31, 60, 61, 251)]
        [7, 31, 60, 62, 256]
    """
    # Octaves of 16 lengths: up to 32 in steps of 1, up to 64 in steps of 2, up to 128 in steps of 4, ...
    step = 1 << max(0, length.bit_length() - per_octave.bit_length())
    return -(-length // step) * step


def _observed_targets(input_ids: Tensor, is_target: Tensor, sequence: Tensor, position: Tensor, end: Tensor) -> Tails:
    """Where tails that start at ``position`` stand in their sequence, and the observed token after each slot."""
    last = input_ids.shape[1] - 1

    def targets_of(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        slots, row = position[groups, None] + torch.arange(width), sequence[groups, None]
        after = (slots + 1).clamp(max=last)
        scored = is_target[row, after] & (slots + 1 <= end[groups, None])
        targets = input_ids[row, after].where(scored, NO_TARGET)
        return slots.clamp(max=last), targets[:, None].repeat(1, samples, 1)

    return targets_of


def atomic(input_ids: Ids, is_target: Flags, sequence: Causes, position: Causes, end: Causes, draws: Draws) -> Branches:
    """Rows that replace one event and keep everything else, mediators included, as observed.

    Args:
        input_ids: Sequences, padded on the right.
        is_target: Positions whose tokens are scored.
        sequence: Sequence of each cause.
        position: Token that is replaced; everything before it is shared.
        end: Last token to score, after ``position``; what follows it is never run.
        draws: Replacements of each cause.
    """
    targets_of = _observed_targets(input_ids, is_target, sequence, position, end)

    def tails(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        slots, targets = targets_of(groups, samples, width)
        tail_ids = input_ids[sequence[groups, None], slots][:, None].repeat(1, samples, 1)
        tail_ids[:, :, 0] = draws.token_ids[groups, :samples]
        unused = torch.arange(samples) >= draws.samples[groups, None]
        return tail_ids, targets.masked_fill(unused[..., None], NO_TARGET)

    return Branches(sequence, position, draws.samples, end - position, tails)


def staircase(
    input_ids: Ids,
    is_target: Flags,
    sequence: Places,
    position: Places,
    end: Places,
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
    targets_of = _observed_targets(input_ids, is_target, sequence, position, end)

    def tails(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        slots, targets = targets_of(groups, samples, width)
        tail_ids = noise[sequence[groups, None], :, slots].transpose(1, 2).clone()
        tail_ids[:, :, 0] = input_ids[sequence[groups], position[groups]][:, None]
        return tail_ids, targets

    samples = torch.full_like(position, noise.shape[1])
    return Branches(sequence, position, samples, end - position, tails)


def rewritten(
    sequence: Groups, shared_length: Groups, tails: Int[Tensor, "group sample slot"], tail_length: Groups
) -> Branches:
    """Rows that go on with tokens of their own, of which nothing is scored as a target.

    Args:
        sequence: Sequence of each group.
        shared_length: Tokens of that sequence that the rows of the group begin with.
        tails: What follows in every row, padded on the right.
        tail_length: Tokens of the tails of each group that are to be read; at least 1.
    """

    def tails_of(groups: Tensor, samples: int, width: int) -> tuple[Tensor, Tensor]:
        tail_ids = tails[groups, :samples, :width]
        tail_ids = torch.nn.functional.pad(tail_ids, (0, width - tail_ids.shape[2]))
        return tail_ids, torch.full_like(tail_ids, NO_TARGET)

    return Branches(sequence, shared_length, torch.full_like(sequence, tails.shape[1]), tail_length, tails_of)
