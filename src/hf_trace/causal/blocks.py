"""Sequences that are read together, the events to test in them, and the random numbers that belong to each."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.data.sequence import EncodedSequence
from hf_trace.scoring.proposals import Alphabet


@dataclass(frozen=True)
class Block:
    """Sequences padded to one table, and where their events are."""

    sequences: Sequence[EncodedSequence]
    input_ids: Int[Tensor, "sequence pos"]
    event: Int[Tensor, "sequence pos"]  # index of the event a token stands for; -1 for other tokens
    tested: Bool[Tensor, "sequence pos"]  # whether it is an event of the alphabet
    replaced: Bool[Tensor, "sequence pos"]  # whether it is tested as a cause

    @classmethod
    def build(
        cls, sequences: Sequence[EncodedSequence], alphabet: Alphabet, causes: Sequence[range]
    ) -> "Block":
        """Pad sequences on the right; ``causes`` are the events to test in each."""
        length = max(len(sequence.input_ids) for sequence in sequences)
        ids = np.zeros((len(sequences), length), dtype=np.int64)
        event = np.full_like(ids, -1)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.input_ids)] = sequence.input_ids
            event[row, sequence.event_positions] = np.arange(len(sequence.event_positions))
        tested = (event >= 0) & np.isin(ids, alphabet.token_ids.numpy())
        first, stop = (
            np.array([getattr(each, end) for each in causes])[:, None] for end in ("start", "stop")
        )
        replaced = tested & (event >= first) & (event < stop)
        tables = (torch.from_numpy(table) for table in (ids, event, tested, replaced))
        return cls(sequences, *tables)


@dataclass(frozen=True)
class Causes:
    """Events to replace: their sequence, token, index among events, and the last token they may reach."""

    sequence: Int[Tensor, " cause"]
    position: Int[Tensor, " cause"]
    event: Int[Tensor, " cause"]
    end: Int[Tensor, " cause"]

    def split(self, size: int) -> Iterator["Causes"]:
        """Parts of at most ``size`` causes."""
        for start in range(0, len(self.sequence), size):
            cut = slice(start, start + size)
            yield Causes(self.sequence[cut], self.position[cut], self.event[cut], self.end[cut])


def causes_of(block: Block, max_lag: int | None) -> Causes:
    """Events to replace that have a tested event within reach."""
    # Without a past there is nothing to predict the cause from, nor a token to leave behind.
    testable = block.replaced.clone()
    testable[:, 0] = False
    sequence, position = testable.nonzero(as_tuple=True)
    event = block.event[sequence, position]
    counts = torch.tensor([len(each.event_positions) for each in block.sequences])
    reach = counts[sequence] - 1 if max_lag is None else event + max_lag
    reach = torch.minimum(reach, counts[sequence] - 1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)[:-1]])
    tokens = torch.from_numpy(np.concatenate([each.event_positions for each in block.sequences]))
    end = tokens[offsets[sequence] + reach]
    before = block.tested.cumsum(1)
    reaches = before[sequence, end] > before[sequence, position]
    return Causes(sequence[reaches], position[reaches], event[reaches], end[reaches])


def effects_of(block: Block, causes: Causes) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
    """Pairs to test: for each, the index of its cause and the token of a tested event within its reach."""
    reach = int((causes.end - causes.position).max()) if len(causes.position) else 0
    after = causes.position[:, None] + torch.arange(1, reach + 1)
    inside = after.clamp(max=block.input_ids.shape[1] - 1)
    scored = (after <= causes.end[:, None]) & block.tested[causes.sequence[:, None], inside]
    cause, slot = scored.nonzero(as_tuple=True)
    return cause, after[cause, slot]


def pair_rows(
    block: Block,
    causes: Causes,
    pairs: tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]],
    values: Sequence[Float[Tensor, " pair"]],
) -> NDArray[np.float64]:
    """Rows ``(sequence, cause, effect, cmi, gain, standard_error)`` from pairs and their last three columns."""
    cause, effect = pairs
    sequence = causes.sequence[cause]
    columns = [sequence, causes.event[cause], block.event[sequence, effect], *values]
    return torch.stack([column.double() for column in columns], dim=-1).numpy()


def uniforms(block: Block, causes: Causes, num_samples: int, seed: int) -> Float[Tensor, "cause sample"]:
    """Uniform numbers that depend on the seed, the sequence and the event alone."""
    rows = causes.sequence.unique().tolist()
    tables = [
        generator_of(block.sequences[row], seed).random(
            (len(block.sequences[row].event_positions), num_samples)
        )
        for row in rows
    ]
    starts = np.zeros(len(block.sequences), dtype=np.int64)
    starts[rows] = np.cumsum([0, *map(len, tables)])[:-1]
    return torch.from_numpy(np.concatenate(tables)[starts[causes.sequence] + causes.event.numpy()])


def generator_of(sequence: EncodedSequence, seed: int) -> np.random.Generator:
    """A random generator that knows nothing but the seed and the tokens of a sequence."""
    digest = hashlib.blake2b(sequence.input_ids.tobytes(), digest_size=8, key=str(seed).encode())
    return np.random.Generator(np.random.Philox(int.from_bytes(digest.digest(), "little")))
