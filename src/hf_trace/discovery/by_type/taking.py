"""What is left of a sequence when all events of one cause are taken out, or others stand in their places."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from hf_trace.discovery.blocks import generator_of
from hf_trace.discovery.by_type.event_variables import Variables
from hf_trace.discovery.settings import REMOVAL
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.proposals import Alphabet, invert
from hf_trace.tokenizers.event_tokenizer import EventTokenizer


@dataclass(frozen=True)
class Edit:
    """A sequence from which one cause was taken.

    Attributes:
        sequence: Index of the sequence in its batch.
        cause: The variable taken out.
        occurrences: Number of its events.
        shared: Tokens that the edited sequence shares with the sequence itself.
        tails: The tokens after those, for each draw.
        place: Events at which predictions are compared.
        nearest: The last event of the cause before each.
        token: Token of each place in the sequence itself.
        edited_token: Its token in the edited sequence.
    """

    sequence: int
    cause: int
    occurrences: int
    shared: int
    tails: Int[np.ndarray, "sample slot"]
    place: Int[np.ndarray, " place"]
    nearest: Int[np.ndarray, " place"]
    token: Int[np.ndarray, " place"]
    edited_token: Int[np.ndarray, " place"]


@dataclass(frozen=True)
class Taking:
    """How a cause is taken out of a sequence.

    Attributes:
        tokenizer: Writes what is left, with its gaps.
        alphabet: Event types that may be taken out and drawn.
        variables: Which types are one cause.
        proposal: ``removal``: as if the events had not been; ``uniform`` or ``unigram``: others in their places.
        num_samples: Draws of the others.
        max_lag: How many events after a cause it may act; None for all.
        prefix_length: Events at the start that stay.
        seed: Seed of the draws.
        unknown: See ``EventTokenizer.encode``.
    """

    tokenizer: EventTokenizer
    alphabet: Alphabet
    variables: Variables
    proposal: str
    num_samples: int
    max_lag: int | None
    prefix_length: int
    seed: int
    unknown: str

    @property
    def own_ids(self) -> NDArray[np.int64]:
        """Tokens of effects: all event types but those of neighbours."""
        return self.tokenizer.event_ids[~self.tokenizer.is_near]

    def edits(self, number: int, sequence: EventSequence, encoded: EncodedSequence) -> Iterator[Edit]:
        """The sequence without each of its causes that has an event after it."""
        ids, positions = encoded.input_ids, encoded.event_positions
        times = None if sequence.timestamps is None else np.asarray(sequence.timestamps, dtype=np.float64)
        acts = np.isin(ids[positions], self.alphabet.token_ids.numpy()) & (positions > 0)
        acts[: self.prefix_length] = False
        of_event = np.where(acts, self.variables.of_token(ids[positions]), -1)
        effects = np.isin(ids[positions], self.own_ids) | (not self.tokenizer.reads_neighbours)
        at = np.arange(len(positions))
        for cause in np.unique(of_event[of_event >= 0]):
            taken = of_event == cause
            nearest = np.maximum.accumulate(np.where(taken, at, -1))
            reach = len(at) if self.max_lag is None else self.max_lag
            place = np.flatnonzero(effects & ~taken & (nearest >= 0) & (at - nearest <= reach))
            if len(place):
                rows, kept = self._rows(encoded, times, taken, int(cause))
                edited = kept[place]
                shared = max(1, min(_common(ids, rows), int(edited.max()) - 1))
                yield Edit(
                    number, int(cause), int(taken.sum()), shared, rows[:, shared : edited.max()], place, nearest[place],
                    positions[place], edited,
                )  # fmt: skip

    def _rows(
        self,
        encoded: EncodedSequence,
        times: Float[np.ndarray, " event"] | None,
        taken: Bool[np.ndarray, " event"],
        cause: int,
    ) -> tuple[Int[np.ndarray, "sample pos"], Int[np.ndarray, " event"]]:
        """The edited sequences, and where each event stands in them."""
        if self.proposal == REMOVAL:
            written = self.tokenizer.without(encoded, times, taken)
            kept = np.full(len(taken), -1)
            kept[~taken] = written.event_positions
            return written.input_ids[None], kept
        rows = np.repeat(encoded.input_ids[None], self.num_samples, 0)
        rows[:, encoded.event_positions[taken]] = self._draws(encoded, taken, cause)
        return rows, encoded.event_positions

    def _draws(
        self, encoded: EncodedSequence, taken: Bool[np.ndarray, " event"], cause: int
    ) -> Int[np.ndarray, "sample taken"]:
        """Others in place of the events of a cause: the same numbers whatever is taken."""
        tokens = self.alphabet.token_ids
        weights = self.alphabet.frequencies if self.proposal == "unigram" else torch.ones(len(tokens))
        is_cause = torch.from_numpy(self.variables.of_token(tokens.numpy()) == cause)
        others = weights.double() * ~is_cause
        if (near := self.alphabet.is_near) is not None:
            others = others * (near == near[is_cause].any())
        if not others.any():
            others = torch.ones_like(others)
        numbers = generator_of(encoded, self.seed).random((self.num_samples, len(taken)))[:, taken]
        drawn = invert((others / others.sum()).expand(len(numbers), -1), torch.from_numpy(numbers))
        drawn_tokens: NDArray[np.int64] = tokens[drawn].numpy()
        return drawn_tokens


def _common(ids: Int[np.ndarray, " pos"], rows: Int[np.ndarray, "sample pos2"]) -> int:
    """Length of the beginning that rows have in common with a sequence."""
    length = min(len(ids), rows.shape[1])
    differs = (rows[:, :length] != ids[:length]).any(0)
    return int(differs.argmax()) if differs.any() else length
