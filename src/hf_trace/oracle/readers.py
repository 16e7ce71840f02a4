"""Ways to run a model over sequences and over the rows that leave them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from hf_trace.oracle.rows import Branches
from hf_trace.oracle.shared_attention import Branching, read_branches, read_past


@dataclass(frozen=True)
class Reading:
    """Sequences a model has read.

    Attributes:
        input_ids: The sequences, padded on the right.
        features: What the output head needs to predict the token after each position.
        past: Keys and values of every position, if the reader keeps them.
    """

    input_ids: Int[Tensor, "sequence pos"]
    features: Shaped[Tensor, "sequence pos feature"]
    past: Cache | None = None


@runtime_checkable
class Reader(Protocol):
    """A way to get features of sequences and of the tails of rows."""

    name: str

    def read(self, input_ids: Int[Tensor, "sequence pos"]) -> Reading:
        """Read whole sequences."""
        ...

    def branch(
        self,
        reading: Reading,
        sequence: Int[Tensor, " group"],
        shared_length: Int[Tensor, " group"],
        tail_ids: Int[Tensor, "group sample tail"],
    ) -> Shaped[Tensor, "row tail feature"]:
        """Features of every tail token of rows that leave ``reading``; rows of a group are adjacent."""
        ...

    def width(self, branches: Branches) -> Int[Tensor, " group"]:
        """Tokens that one row of each group costs."""
        ...


class SharedPastReader:
    """Computes the keys and values of a sequence once and shares them with all rows that leave it."""

    name = "shared past"

    def __init__(self, model: PreTrainedModel, *, position_offset: int = 0) -> None:
        self.model = model
        self.position_offset = position_offset

    def read(self, input_ids: Int[Tensor, "sequence pos"]) -> Reading:
        """See ``Reader``."""
        hidden, past = read_past(self.model, input_ids)
        return Reading(input_ids, hidden, past)

    def branch(
        self,
        reading: Reading,
        sequence: Int[Tensor, " group"],
        shared_length: Int[Tensor, " group"],
        tail_ids: Int[Tensor, "group sample tail"],
    ) -> Shaped[Tensor, "row tail feature"]:
        """See ``Reader``."""
        if reading.past is None:
            raise ValueError("This reading holds no past; use the reader that made it.")
        _, samples, tail = tail_ids.shape
        branching = Branching(reading.past, sequence, shared_length, samples, tail)
        return read_branches(self.model, branching, tail_ids.flatten(0, 1), position_offset=self.position_offset)

    def width(self, branches: Branches) -> Int[Tensor, " group"]:
        """See ``Reader``."""
        return branches.tail_length


class MarkovReader:
    """Reads a model whose predictions depend on the last few tokens alone: those tokens are its features."""

    name = "last tokens"

    def __init__(self, model: PreTrainedModel, order: int, padding: int) -> None:
        self.model = model
        self.order = order
        self.padding = padding

    def logits(self, last_tokens: Int[Tensor, "token feature"]) -> Shaped[Tensor, "token vocab"]:
        """What follows the given tokens; this reader's output head."""
        return self.model(input_ids=last_tokens, logits_to_keep=1).logits[:, -1]

    def read(self, input_ids: Int[Tensor, "sequence pos"]) -> Reading:
        """See ``Reader``."""
        return Reading(input_ids, self._windows(input_ids, input_ids.shape[1]))

    def branch(
        self,
        reading: Reading,
        sequence: Int[Tensor, " group"],
        shared_length: Int[Tensor, " group"],
        tail_ids: Int[Tensor, "group sample tail"],
    ) -> Shaped[Tensor, "row tail feature"]:
        """See ``Reader``."""
        samples, tail = tail_ids.shape[1:]
        padded = torch.nn.functional.pad(reading.input_ids, (self.order, 0), value=self.padding)
        slots = shared_length[:, None] + torch.arange(self.order, device=tail_ids.device)
        past = padded[sequence[:, None], slots].repeat_interleave(samples, 0)
        return self._windows(torch.cat([past, tail_ids.flatten(0, 1)], dim=1), tail)

    def width(self, branches: Branches) -> Int[Tensor, " group"]:
        """See ``Reader``."""
        return branches.tail_length

    def _windows(self, ids: Int[Tensor, "row pos"], last: int) -> Int[Tensor, "row last feature"]:
        """The last tokens up to each of the last positions."""
        padded = torch.nn.functional.pad(ids, (self.order, 0), value=self.padding)
        return padded.unfold(1, self.order, 1)[:, -last:]


class FullRowReader:
    """Scores every row alone and whole, through the model's public forward."""

    name = "full rows"

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def read(self, input_ids: Int[Tensor, "sequence pos"]) -> Reading:
        """See ``Reader``."""
        return Reading(input_ids, self.model(input_ids=input_ids).logits)

    def branch(
        self,
        reading: Reading,
        sequence: Int[Tensor, " group"],
        shared_length: Int[Tensor, " group"],
        tail_ids: Int[Tensor, "group sample tail"],
    ) -> Shaped[Tensor, "row tail feature"]:
        """See ``Reader``."""
        _, samples, tail = tail_ids.shape
        length = int(shared_length.max()) + tail
        start = shared_length.repeat_interleave(samples)[:, None]
        slots = start + torch.arange(tail, device=tail_ids.device)
        rows = torch.nn.functional.pad(reading.input_ids, (0, length))[sequence, :length]
        rows = rows.repeat_interleave(samples, 0).scatter(1, slots, tail_ids.flatten(0, 1))
        logits = self.model(input_ids=rows).logits
        return logits.gather(1, slots[..., None].expand(-1, -1, logits.shape[-1]))

    def width(self, branches: Branches) -> Int[Tensor, " group"]:
        """See ``Reader``."""
        return branches.shared_length + branches.tail_length
