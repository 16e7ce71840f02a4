"""By-type effects: all events of a type leave a sequence at once, and the oracle's whole predictions are compared.

One event of a burst tells little that its twins do not tell too, so replacing one at a time finds little. Here every
event of a cause u is taken out, or replaced, together. At every later place that had u among its last ``max_lag``
events the oracle predicts all types v twice: with u (p) and without (m). Both are conditioned on the event not being
another u, so that u's own bursts count as nothing, and m' is scaled by what u does to all others alike::

    p'(v) = p(v) / (1 - p(u))        m'(v) = c m(v) / (1 - m(u))        c: see ``common_factor``

In histories with neighbours u may be own or near and v is own: places are own events, and both predictions are given
that the event is one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.blocks import Block, generator_of
from hf_trace.discovery.by_type.event_variables import Variables
from hf_trace.discovery.settings import REMOVAL
from hf_trace.discovery.statistics import bernoulli_kl
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet, invert
from hf_trace.oracle.rows import Branches, rewritten
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

# Entries of a [place, type] table: 8 MB in float64.
_TABLE_ENTRIES = 2**20
# Expected events per occurrence below which a pair is not kept: 0 in all but name.
_MOVED = 1e-4
_LEAST_MOVE = 1e-6
_MOST_WEIGHED = 256


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
                rows, kept = self._rows(sequence, encoded, taken, int(cause))
                edited = kept[place]
                shared = max(1, min(_common(ids, rows), int(edited.max()) - 1))
                yield Edit(
                    number, int(cause), int(taken.sum()), shared, rows[:, shared : edited.max()], place, nearest[place],
                    positions[place], edited,
                )  # fmt: skip

    def _rows(
        self, sequence: EventSequence, encoded: EncodedSequence, taken: Bool[np.ndarray, " event"], cause: int
    ) -> tuple[Int[np.ndarray, "sample pos"], Int[np.ndarray, " event"]]:
        """The edited sequences, and where each event stands in them."""
        if self.proposal == REMOVAL:
            written = self.tokenizer.encode(sequence.without(taken), unknown=self.unknown)
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


@dataclass(frozen=True)
class ByTypeScores:
    """What each cause of one sequence tells about each effect: sums over places.

    Attributes:
        causes: Variables that were taken out, in order; those that nothing follows are not.
        occurrences: Number of events of each.
        pair_cause: Index into ``causes`` of each pair that moves.
        pair_effect: Variable of its effect.
        gain: Sum of p' - m', in expected events.
        kl: Sum of the divergences KL_B(p' || m'), in nats.
        rarer: Sum of those where p' is below m'.
        place_cause: Index into ``causes`` of each place that was compared.
        cause_event: Last event of the cause before the place.
        effect_event: The event at the place.
        place_log_ratio: log p' - log m' of what happened there, in nats.
        place_gain: p' - m' of what happened there.
        place_kl: KL_B(p' || m') of what happened there, in nats.
    """

    causes: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    pair_cause: NDArray[np.int64]
    pair_effect: NDArray[np.int64]
    gain: NDArray[np.float64]
    kl: NDArray[np.float64]
    rarer: NDArray[np.float64]
    place_cause: NDArray[np.int64]
    cause_event: NDArray[np.int64]
    effect_event: NDArray[np.int64]
    place_log_ratio: NDArray[np.float64]
    place_gain: NDArray[np.float64]
    place_kl: NDArray[np.float64]


def by_type_scores(
    oracle: Oracle, sequences: Iterable[EventSequence], taking: Taking, *, batch_size: int
) -> Iterator[tuple[EventSequence, ByTypeScores]]:
    """Lazily give each sequence with what its causes tell.

    One row is read for every cause of a sequence (and draw), from the first event of the cause on.

    Args:
        oracle: The frozen model.
        sequences: No longer than the model reads.
        taking: How causes are taken out.
        batch_size: Sequences read at a time; changes scores only by rounding.

    Raises:
        UnknownEventError: If an event is not in the vocabulary.
        ContextLengthError: If a sequence is longer than the model reads.
    """
    left = iter(sequences)
    while batch := list(islice(left, batch_size)):
        encoded = [taking.tokenizer.encode(sequence, unknown=taking.unknown) for sequence in batch]
        edits = [
            edit
            for number, (sequence, ids) in enumerate(zip(batch, encoded, strict=True))
            for edit in taking.edits(number, sequence, ids)
        ]
        tables = _Comparison(oracle, encoded, edits, taking).tables() if edits else _NOTHING
        for number, sequence in enumerate(batch):
            mine = [index for index, edit in enumerate(edits) if edit.sequence == number]
            yield sequence, _scores_of(mine, edits, tables)


# Columns: edit, effect, gain, kl, rarer; and edit, cause event, effect event, log ratio, gain, kl.
_Tables = tuple[NDArray[np.float64], NDArray[np.float64]]
_NOTHING: _Tables = (np.zeros((0, 5)), np.zeros((0, 6)))


def _scores_of(mine: Sequence[int], edits: Sequence[Edit], tables: _Tables) -> ByTypeScores:
    """What the edits of one sequence, which stand side by side, have found."""
    first = mine[0] if mine else 0
    pairs, places = (table[slice(*np.searchsorted(table[:, 0], [first, first + len(mine)]))].T for table in tables)
    edit, effect = pairs[:2].astype(np.int64)
    at, cause_event, effect_event = places[:3].astype(np.int64)
    return ByTypeScores(
        np.array([edits[index].cause for index in mine], dtype=np.int64),
        np.array([edits[index].occurrences for index in mine], dtype=np.int64),
        *(edit - first, effect, *pairs[2:]),
        *(at - first, cause_event, effect_event, *places[3:]),
    )


class _Comparison:
    """Predictions with and without each cause of a batch of sequences."""

    def __init__(
        self, oracle: Oracle, encoded: Sequence[EncodedSequence], edits: Sequence[Edit], taking: Taking
    ) -> None:
        self.oracle, self.edits, self.variables = oracle, edits, len(taking.variables.names)
        self.ids = Block.build(encoded, taking.alphabet, [range(0)] * len(encoded)).input_ids
        self.reading = oracle.read(self.ids)
        self.tokens = torch.from_numpy(taking.own_ids)
        self.variable_of_token = torch.from_numpy(taking.variables.of_token(np.arange(oracle.vocab_size)))
        self.sequence, self.shared, self.cause, self.occurrences = (
            torch.tensor([getattr(edit, name) for edit in edits])
            for name in ("sequence", "shared", "cause", "occurrences")
        )
        # One entry per place that is compared.
        self.edit = torch.repeat_interleave(torch.tensor([len(edit.place) for edit in edits]))
        self.place, self.nearest, self.token, self.edited_token = (
            torch.from_numpy(np.concatenate([getattr(edit, name) for edit in edits]))
            for name in ("place", "nearest", "token", "edited_token")
        )

    def tables(self) -> _Tables:
        """Pairs that move and what happened at each place, in the order of the edits."""
        pairs, places = [], []
        for groups, features in self.oracle.branch_features(self.reading, self._branches()):
            slot = torch.full((len(self.edits),), -1)
            slot[groups] = torch.arange(len(groups))
            for some in groups.split(max(1, _TABLE_ENTRIES // self.variables)):
                number = torch.full((len(self.edits),), -1)
                number[some] = torch.arange(len(some))
                sums = torch.zeros((len(some), 4, self.variables), dtype=torch.float64)
                rows = torch.isin(self.edit, some).nonzero()[:, 0]
                for part in rows.split(max(1, _TABLE_ENTRIES // len(self.tokens))):
                    edit = self.edit[part]
                    with_cause = self._given_other(self._predicted(part), edit)
                    without = self._given_other(self._predicted_without(part, features, slot[edit]), edit)
                    without = without * common_factor(with_cause, without)
                    sums.index_add_(0, number[edit], _moves(with_cause, without))
                    places.append(self._happened(part, with_cause, without))
                pairs.append(self._moved(some, sums))
        by_edit = (np.concatenate(tables) for tables in (pairs, places))
        first, second = (table[np.argsort(table[:, 0], kind="stable")] for table in by_edit)
        return first, second

    def _branches(self) -> Branches:
        length = torch.tensor([edit.tails.shape[1] for edit in self.edits]).clamp(min=1)
        tails = np.zeros((len(self.edits), len(self.edits[0].tails), int(length.max())), dtype=np.int64)
        for number, edit in enumerate(self.edits):
            tails[number, :, : edit.tails.shape[1]] = edit.tails
        return rewritten(self.sequence, self.shared, torch.from_numpy(tails), length)

    def _predicted(self, part: Int[Tensor, " place"]) -> Float[Tensor, "place type"]:
        """Probability of every type at places of the sequences as they are."""
        features = self.reading.features[self.sequence[self.edit[part]], self.token[part] - 1]
        return self.oracle.candidate_log_probs(features, self.tokens).exp()

    def _predicted_without(
        self,
        part: Int[Tensor, " place"],
        tails: Shaped[Tensor, "group sample slot feature"],
        group: Int[Tensor, " place"],
    ) -> Float[Tensor, "place type"]:
        """The same without the cause: the mean over draws."""
        edit, before = self.edit[part], self.edited_token[part] - 1
        slot = before - self.shared[edit]
        features = tails[group, :, slot.clamp(min=0)]
        in_shared = self.reading.features[self.sequence[edit], before.where(slot < 0, 0)]
        features = torch.where((slot < 0)[:, None, None].to(features.device), in_shared[:, None], features)
        log_probs = self.oracle.candidate_log_probs(features.flatten(0, 1), self.tokens)
        drawn: Tensor = log_probs.exp().unflatten(0, list(features.shape[:2]))
        return drawn.mean(1)

    def _given_other(
        self, probabilities: Float[Tensor, "place type"], edit: Int[Tensor, " place"]
    ) -> Float[Tensor, "place variable"]:
        """Probability of every variable, given that it is not the cause."""
        table = torch.zeros((len(probabilities), self.variables), dtype=torch.float64)
        table.index_add_(1, self.variable_of_token[self.tokens], probabilities)
        table.scatter_(1, self.cause[edit, None], 0.0)
        return table / table.sum(1, keepdim=True).clamp(min=torch.finfo(table.dtype).tiny)

    def _moved(
        self, some: Int[Tensor, " edit"], sums: Float[Tensor, "edit four variable"]
    ) -> Float[np.ndarray, "pair five"]:
        moved = sums[:, -1] > _MOVED * self.occurrences[some, None]
        row, effect = moved.nonzero(as_tuple=True)
        return torch.column_stack([some[row], effect, sums[row, :-1, effect]]).numpy()

    def _happened(
        self,
        part: Int[Tensor, " place"],
        with_cause: Float[Tensor, "place variable"],
        without: Float[Tensor, "place variable"],
    ) -> Float[np.ndarray, "known six"]:
        edit = self.edit[part]
        effect = self.variable_of_token[self.ids[self.sequence[edit], self.token[part]]]
        known = (effect >= 0).nonzero()[:, 0]
        p, m = (table[known, effect[known]] for table in (with_cause, without))
        columns = [edit[known], self.nearest[part][known], self.place[part][known]]
        scores = [p.log() - m.log(), p - m, bernoulli_kl(p.log(), m.clamp(max=1).log())]
        return torch.stack([*(column.double() for column in columns), *scores], 1).numpy()


def common_factor(
    with_cause: Float[Tensor, "place variable"], without: Float[Tensor, "place variable"]
) -> Float[Tensor, "place 1"]:
    """What a cause does to all others alike: the median of p' / m', weighted by m', over the most probable variables.

    Probabilities add up to 1, so what makes one variable likelier makes all others rarer. Intensities do not: where a
    cause adds to a few of them only, p' / m' is the same for all the rest.

    Example:
        >>> p, m = torch.tensor([[0.55, 0.3, 0.15]]), torch.tensor([[0.1, 0.6, 0.3]])
        >>> round(common_factor(p, m).item(), 6)  # the first became likelier, the others half as likely
        0.5
    """
    weight, most = without.topk(min(_MOST_WEIGHED, without.shape[1]))
    ratio, order = (with_cause.gather(1, most) / weight.clamp(min=torch.finfo(weight.dtype).tiny)).sort(1)
    half = weight.gather(1, order).cumsum(1) >= weight.sum(1, keepdim=True) / 2
    return ratio.gather(1, half.byte().argmax(1, keepdim=True))


def _moves(
    with_cause: Float[Tensor, "place variable"], without: Float[Tensor, "place variable"]
) -> Float[Tensor, "place four variable"]:
    """Gain, divergence, divergence of what becomes rarer, and absolute difference of every effect."""
    gain = with_cause - without
    divergence = torch.zeros_like(gain)
    # Logarithms of what hardly moves would be most of the time.
    moved = gain.abs() > _LEAST_MOVE
    divergence[moved] = bernoulli_kl(with_cause[moved].log(), without[moved].clamp(max=1).log())
    return torch.stack([gain, divergence, divergence * (gain < 0), gain.abs()], 1)
