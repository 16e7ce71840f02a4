"""Attention of tails to shared pasts without any table of scores: to the past and to the tail apart, then merged.

Every row attends to its own tail, causally, and all rows of a group together to their past. Softmax over both is the
mean of the two, weighted by their normalizers, which the kernel gives beside its output (Dao et al., arXiv 2205.14135,
section 3.1).
"""

from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hf_trace.oracle.transfers import sent

try:
    from torch.nn.attention.varlen import AuxRequest, varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None  # type: ignore[assignment]

# That heads share keys need not be said to a version that cannot be told.
_GROUPED: dict[str, Any] = {"enable_gqa": True}
if varlen_attn is not None and "enable_gqa" not in signature(varlen_attn).parameters:
    _GROUPED = {}
HALF = (torch.bfloat16, torch.float16)  # what the kernel reads
Packed = Float[Tensor, "token head dim"]
Keys = Float[Tensor, "key kv_head dim"]


@dataclass(frozen=True)
class Packing:
    """Where rows and pasts begin when they stand one after another.

    Attributes:
        sequence: Of each token of the pasts, the sequence it stands in.
        position: Its position there.
        past_starts: Where the past of each group begins, and the end of the last.
        group_starts: The same for all tails of each group.
        row_starts: The same for the tail of each row.
        past_weight: Log-weight of the past for each token: 0, or -inf where its group shares nothing.
        longest_past: Tokens of the longest past.
        samples: Rows of a group.
        tail: Tokens of a tail.
    """

    sequence: Int[Tensor, " past_token"]
    position: Int[Tensor, " past_token"]
    past_starts: Int[Tensor, " start"]
    group_starts: Int[Tensor, " start"]
    row_starts: Int[Tensor, " row_start"]
    past_weight: Float[Tensor, " token"]
    longest_past: int
    samples: int
    tail: int


def packing(
    sequence: Int[Tensor, " group"], shared_length: Int[Tensor, " group"], samples: int, tail: int, device: torch.device
) -> Packing:
    """How rows that leave sequences stand one after another; a past of no token is given one, which counts nothing.

    Args:
        sequence: Which sequence each group leaves; on the CPU.
        shared_length: How much of it its rows share; on the CPU.
        samples: Rows of a group.
        tail: Tokens of a tail.
        device: Where attention runs.

    Example:
        >>> at = packing(torch.tensor([0, 2]), torch.tensor([3, 0]), samples=2, tail=5, device=torch.device("cpu"))
        >>> at.sequence.tolist(), at.position.tolist(), at.past_starts.tolist()
        ([0, 0, 0, 2], [0, 1, 2, 0], [0, 3, 4])
        >>> at.group_starts.tolist(), at.row_starts.tolist()
        ([0, 10, 20], [0, 5, 10, 15, 20])
    """
    lengths = shared_length.clamp(min=1)
    ends = lengths.cumsum(0)
    places = torch.arange(int(ends[-1])) - (ends - lengths).repeat_interleave(lengths)
    past_starts = torch.cat([ends.new_zeros(1), ends])
    rows = len(sequence) * samples
    starts = {
        "past_starts": past_starts.int(),
        "group_starts": torch.arange(0, rows * tail + 1, samples * tail, dtype=torch.int32),
        "row_starts": torch.arange(0, rows * tail + 1, tail, dtype=torch.int32),
    }
    return Packing(
        sequence=sent(sequence.repeat_interleave(lengths), device),
        position=sent(places, device),
        past_weight=sent((shared_length > 0).float().log().repeat_interleave(samples * tail), device),
        longest_past=int(lengths.max()),
        samples=samples,
        tail=tail,
        **{name: sent(part, device) for name, part in starts.items()},
    )


def attend_apart(
    at: Packing,
    query: Packed,
    key: Float[Tensor, "token kv_head dim"],
    value: Float[Tensor, "token kv_head dim"],
    past: tuple[Keys, Keys],
    scaling: float,
) -> Packed:
    """Attention of packed tails to what each sees of its own row and of the past of its group.

    Raises:
        NotImplementedError: If this version of torch has no such attention.
    """
    queries = at.samples * at.tail
    own, own_normalizer = _attend(
        (query, key, value), (at.row_starts, at.row_starts), (at.tail, at.tail), scaling, window=(-1, 0)
    )
    shared, shared_normalizer = _attend(
        (query, *past), (at.group_starts, at.past_starts), (queries, at.longest_past), scaling, window=(-1, -1)
    )
    return merged(own, own_normalizer, shared, shared_normalizer, at.past_weight)


def _attend(
    tensors: tuple[Tensor, Tensor, Tensor],
    starts: tuple[Tensor, Tensor],
    longest: tuple[int, int],
    scaling: float,
    window: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Attention and the logarithms of its normalizers, ``[head, token]``."""
    if varlen_attn is None:
        raise NotImplementedError("Attention to pasts of several lengths needs torch 2.11")
    out, normalizer = varlen_attn(
        *tensors, *starts, *longest, return_aux=AuxRequest(lse=True), scale=scaling, window_size=window, **_GROUPED
    )
    return out, normalizer


def merged(
    own: Packed,
    own_normalizer: Float[Tensor, "head token"],
    shared: Packed,
    shared_normalizer: Float[Tensor, "head token"],
    past_weight: Float[Tensor, " token"],
) -> Packed:
    """Attention over two sets of keys from that over each, and the logarithms of their normalizers.

    Example:
        >>> one, other, even = torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.zeros(1, 1)
        >>> round(merged(one, even, other, even + torch.tensor(3.0).log(), torch.zeros(1)).item(), 4)
        0.75
    """
    share = torch.sigmoid(shared_normalizer + past_weight - own_normalizer)
    return torch.lerp(own, shared, share.T[..., None].to(own.dtype))
