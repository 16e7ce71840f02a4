"""Scores of cause and effect positions in single sequences: TRACE's intervention tensor, read by an oracle.

Nothing here decides what an edge is (``thresholds``) or builds graphs (``graphs``).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.causal.cmi import STATISTICS, kl_to_mixture_error, probability_gain
from hf_trace.causal.settings import DiscoverySettings
from hf_trace.data.sequence import EncodedSequence
from hf_trace.scoring.interventions import atomic
from hf_trace.scoring.oracle import Oracle
from hf_trace.scoring.proposals import PROPOSALS, Alphabet, Draws, enumerate_types, invert, merge_draws
from hf_trace.scoring.readers import Reading

# Causes drawn at a time: bounds the [cause, type] tables of proposals.
_CAUSES_AT_ONCE = 4096


@dataclass(frozen=True)
class PairScores:
    """Every tested pair of positions of one sequence, as parallel arrays ordered by cause, then effect.

    Attributes:
        cause_position: Index of the cause among the events of the sequence.
        effect_position: Index of the effect; always later.
        cmi: The statistic of the run, in nats for the divergences.
        gain: p minus the mean probability after replacement; its sign is the direction.
        standard_error: Monte Carlo standard error of ``cmi``, in nats; 0 if nothing was sampled, NaN if unknown.
    """

    cause_position: NDArray[np.int64]
    effect_position: NDArray[np.int64]
    cmi: NDArray[np.float64]
    gain: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cmi)

    @property
    def lag(self) -> NDArray[np.int64]:
        """Distance from cause to effect, in events."""
        return self.effect_position - self.cause_position


def score_pairs(
    oracle: Oracle,
    sequences: Sequence[EncodedSequence],
    alphabet: Alphabet,
    settings: DiscoverySettings,
    *,
    tested: Sequence[range] | None = None,
) -> list[PairScores]:
    """Score how much each event informs each later one, in a block of sequences read together.

    Args:
        oracle: The frozen model.
        sequences: Encoded sequences; events outside ``alphabet`` are read but never tested.
        alphabet: Event types that are tested and drawn.
        settings: See ``DiscoverySettings``.
        tested: For each sequence the events to test as causes; by default all after the prefix.

    Returns:
        One ``PairScores`` per sequence, in order. The numbers of a sequence depend on it and the seed alone,
        not on the block it is in.
    """
    if tested is None:
        tested = [range(settings.prefix_length, len(each.event_positions)) for each in sequences]
    block = _Block.build(sequences, alphabet, tested)
    reading = oracle.read(block.input_ids)
    observed = _observed_log_probs(oracle, reading, block)
    causes = _causes(block, settings)
    found = [
        part
        for some in causes.split(_CAUSES_AT_ONCE)
        for part in _score_causes(oracle, reading, block, observed, some, alphabet, settings)
    ]
    return _by_sequence(found, len(sequences))


@dataclass(frozen=True)
class _Block:
    """Sequences padded to one table, and where their events are."""

    sequences: Sequence[EncodedSequence]
    input_ids: Int[Tensor, "sequence pos"]
    event: Int[Tensor, "sequence pos"]  # index of the event a token stands for; -1 for other tokens
    tested: Bool[Tensor, "sequence pos"]  # whether it is an event of the alphabet
    replaced: Bool[Tensor, "sequence pos"]  # whether it is tested as a cause

    @classmethod
    def build(
        cls, sequences: Sequence[EncodedSequence], alphabet: Alphabet, causes: Sequence[range]
    ) -> "_Block":
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
class _Causes:
    """Events to replace: their sequence, token, index among events, and the last token they may reach."""

    sequence: Int[Tensor, " cause"]
    position: Int[Tensor, " cause"]
    event: Int[Tensor, " cause"]
    end: Int[Tensor, " cause"]

    def split(self, size: int) -> Iterator["_Causes"]:
        for start in range(0, len(self.sequence), size):
            cut = slice(start, start + size)
            yield _Causes(self.sequence[cut], self.position[cut], self.event[cut], self.end[cut])


def _causes(block: _Block, settings: DiscoverySettings) -> _Causes:
    """Events to replace that have a tested event within reach."""
    # Without a past there is nothing to predict the cause from, nor a token to leave behind.
    testable = block.replaced.clone()
    testable[:, 0] = False
    sequence, position = testable.nonzero(as_tuple=True)
    event = block.event[sequence, position]
    counts = torch.tensor([len(each.event_positions) for each in block.sequences])
    reach = counts[sequence] - 1 if settings.max_lag is None else event + settings.max_lag
    reach = torch.minimum(reach, counts[sequence] - 1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)[:-1]])
    tokens = torch.from_numpy(np.concatenate([each.event_positions for each in block.sequences]))
    end = tokens[offsets[sequence] + reach]
    before = block.tested.cumsum(1)
    reaches = before[sequence, end] > before[sequence, position]
    return _Causes(sequence[reaches], position[reaches], event[reaches], end[reaches])


def _observed_log_probs(oracle: Oracle, reading: Reading, block: _Block) -> Float[Tensor, "sequence pos"]:
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
    block: _Block,
    observed: Tensor,
    causes: _Causes,
    alphabet: Alphabet,
    settings: DiscoverySettings,
) -> Iterator[NDArray[np.float64]]:
    """Rows (sequence, cause, effect, cmi, gain, error) of tested pairs, a micro-batch at a time."""
    draws = _draw(oracle, reading, block, causes, alphabet, settings)
    branches = atomic(block.input_ids, block.tested, causes.sequence, causes.position, causes.end, draws)
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
        yield table[within & block.tested[row, after]].numpy()


def _draw(
    oracle: Oracle,
    reading: Reading,
    block: _Block,
    causes: _Causes,
    alphabet: Alphabet,
    settings: DiscoverySettings,
) -> Draws:
    kind, _, weighting = settings.proposal.partition(":")
    exhaustive = kind == "exhaustive"
    proposal = PROPOSALS[(weighting or "uniform") if exhaustive else kind]

    def next_log_probs() -> Tensor:
        return oracle.next_log_probs(reading, causes.sequence, causes.position)

    probabilities = proposal(alphabet, next_log_probs, len(causes.sequence))
    observed = block.input_ids[causes.sequence, causes.position]
    if exhaustive:
        return enumerate_types(alphabet.token_ids, probabilities, observed)
    drawn = alphabet.token_ids[invert(probabilities, _uniforms(block, causes, settings))]
    return merge_draws(drawn, observed)


def _uniforms(block: _Block, causes: _Causes, settings: DiscoverySettings) -> Float[Tensor, "cause sample"]:
    """Uniform numbers that depend on the seed, the sequence and the event alone."""
    rows = causes.sequence.unique().tolist()
    tables = [
        _generator(block.sequences[row], settings.seed).random(
            (len(block.sequences[row].event_positions), settings.num_samples)
        )
        for row in rows
    ]
    starts = np.zeros(len(block.sequences), dtype=np.int64)
    starts[rows] = np.cumsum([0, *map(len, tables)])[:-1]
    return torch.from_numpy(np.concatenate(tables)[starts[causes.sequence] + causes.event.numpy()])


def _generator(sequence: EncodedSequence, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(sequence.input_ids.tobytes(), digest_size=8, key=str(seed).encode())
    return np.random.Generator(np.random.Philox(int.from_bytes(digest.digest(), "little")))


def _by_sequence(found: list[NDArray[np.float64]], sequences: int) -> list[PairScores]:
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
