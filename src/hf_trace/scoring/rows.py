"""Rows to score: where each leaves its sequence, what follows, and which of its tokens count.

A group is a set of rows that leave the same sequence at the same place. ``Branches`` describes groups without
building their rows: the tokens of a micro-batch are made when it is scored, so memory follows the micro-batch.

::

    sequence       x0  x1  x2  x3  x4          shared_length = 2
    row            x0  x1  u   x3              tail = [u, x3]: what the model still has to read
    predicts               x3  x4              targets = [x3, x4]: slot t is scored on the token after it
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

NO_TARGET = -1

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

    sequence: Int[Tensor, " group"]
    shared_length: Int[Tensor, " group"]
    samples: Int[Tensor, " group"]
    tail_length: Int[Tensor, " group"]
    tails: Tails

    def __len__(self) -> int:
        return len(self.sequence)


def micro_batches(
    width: Int[Tensor, " group"], branches: Branches, most_tokens: int
) -> Iterator[Int[Tensor, " group"]]:
    """Group indices of micro-batches of about ``most_tokens`` tokens, or of one group where that is more.

    ``width`` is what one row of each group costs, in tokens. The widest come first: neighbours are alike, so
    little is padded, and the largest batch is tried first, so memory runs out early or not at all.
    """
    keys = [part.cpu().numpy() for part in (branches.shared_length, branches.samples, width)]
    order = torch.from_numpy(np.lexsort(keys)[::-1].copy())
    most_samples = int(branches.samples.max()) if len(branches) else 1
    start = 0
    while start < len(order):
        size = most_tokens // (int(width[order[start]]) * most_samples)
        yield order[start : start + max(1, size)]
        start += max(1, size)


def few_lengths(length: int, per_octave: int = 16) -> int:
    """A length rounded up to one of a few per doubling, a sixteenth longer at most.

    Kernels of a new shape are compiled or planned anew, and kept: with every length its own shape that has cost
    more time and memory than the padding.

    Example:
        >>> [few_lengths(length) for length in (7, 31, 60, 61, 251)]
        [7, 31, 60, 62, 256]
    """
    step = 1 << max(0, length.bit_length() - per_octave.bit_length())
    return -(-length // step) * step
