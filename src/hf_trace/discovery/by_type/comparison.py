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
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.blocks import Block
from hf_trace.discovery.by_type.taking import Edit, Taking
from hf_trace.discovery.statistics import bernoulli_divergence, bernoulli_kl
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.readers import TokenFeatures
from hf_trace.oracle.rows import Branches, Groups, Places, rewritten

# Entries of a [place, type] table: 8 MB.
_TABLE_ENTRIES = 2**21
# Expected events per occurrence below which a pair is not kept: 0 in all but name.
_MOVED = 1e-4
# Changes of a probability: what adds nothing to a divergence, and what is not added up at all.
_LEAST_MOVE, _NO_MOVE = 1e-6, 1e-7
_MOST_WEIGHED = 256
_TINY = torch.finfo(torch.float32).tiny


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
        self.oracle, self.edits = oracle, edits
        self.ids = Block.build(encoded, taking.alphabet, [range(0)] * len(encoded)).input_ids
        self.reading = oracle.read(self.ids)
        self.tokens = torch.from_numpy(taking.own_ids)
        # A column of a table for each variable that can be an effect.
        owners = taking.variables.of_token(taking.own_ids)
        self.variables, columns = np.unique(owners, return_inverse=True)
        self.fold = None if (np.diff(owners) > 0).all() else torch.from_numpy(columns)
        self.column_of_token = torch.full((oracle.vocab_size,), -1)
        self.column_of_token[self.tokens] = torch.from_numpy(columns)
        column_of_variable = torch.full((len(taking.variables.names),), -1)
        column_of_variable[torch.from_numpy(self.variables)] = torch.arange(len(self.variables))
        self.sequence, self.shared, cause, self.occurrences = (
            torch.tensor([getattr(edit, name) for edit in edits])
            for name in ("sequence", "shared", "cause", "occurrences")
        )
        self.cause = column_of_variable[cause]
        # One entry per place that is compared.
        self.places = torch.tensor([len(edit.place) for edit in edits])
        self.edit = torch.repeat_interleave(self.places)
        self.place, self.nearest, self.token, self.edited_token = (
            torch.from_numpy(np.concatenate([getattr(edit, name) for edit in edits]))
            for name in ("place", "nearest", "token", "edited_token")
        )

    @torch.inference_mode()
    def tables(self) -> _Tables:
        """Pairs that move and what happened at each place, in the order of the edits."""
        pairs, places, width = [], [], len(self.variables)
        rows = max(1, _TABLE_ENTRIES // (len(self.tokens) * len(self.edits[0].tails)))
        slot, number = (torch.full((len(self.edits),), -1) for _ in range(2))
        for groups, features in self.oracle.branch_features(self.reading, self._branches()):
            slot[groups] = torch.arange(len(groups))
            for some in self._side_by_side(groups).split(max(1, _TABLE_ENTRIES // (4 * width))):
                number[some] = torch.arange(len(some))
                sums = torch.zeros((4, len(some), width), device=features.device)
                for part in self._places_of(some).split(rows):
                    with_cause, without = self._compared(part, features, slot[self.edit[part]])
                    _add_moves(sums, number[self.edit[part]], with_cause, without)
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

    def _side_by_side(self, groups: Groups) -> Groups:
        """Edits in the order of their first places: what stands side by side has predictions with causes in common."""
        first = self.token[self.places.cumsum(0) - self.places]
        return groups[(self.sequence * self.ids.shape[1] + first)[groups].argsort()]

    def _places_of(self, some: Groups) -> Places:
        """Entries of all places of some edits, edit by edit."""
        lengths = self.places[some]
        start = (self.places.cumsum(0) - self.places)[some] - (lengths.cumsum(0) - lengths)
        return torch.arange(int(lengths.sum())) + start.repeat_interleave(lengths)

    def _compared(
        self, part: Places, tails: Shaped[Tensor, "group sample slot feature"], group: Places
    ) -> tuple[Float[Tensor, "row effect"], Float[Tensor, "row effect"]]:
        """Predictions p' and m' at some places."""
        edit, before = self.edit[part], self.edited_token[part] - 1
        cause = self.cause[edit].to(tails.device)
        width, at = self.ids.shape[1], self.sequence[edit]
        here, row = torch.unique(at * width + self.token[part] - 1, return_inverse=True)
        with_cause = self._predicted(self.reading.features[here // width, here % width])
        with_cause = _given_other(with_cause[row.to(cause.device)], cause)

        slot = before - self.shared[edit]
        features = tails[group, :, slot.clamp(min=0)]
        in_shared = self.reading.features[at, before.where(slot < 0, 0)]
        features = torch.where((slot < 0)[:, None, None].to(features.device), in_shared[:, None], features)
        drawn = self._predicted(features.flatten(0, 1)).unflatten(0, list(features.shape[:2]))
        without = _given_other(drawn[:, 0] if drawn.shape[1] == 1 else drawn.mean(1), cause)
        return with_cause, without.mul_(common_factor(with_cause, without))

    def _predicted(self, features: TokenFeatures) -> Float[Tensor, "row effect"]:
        """Probability of every variable after given places, given that it is an own event."""
        probabilities = self.oracle.candidate_probabilities(features, self.tokens)
        if self.fold is None:
            return probabilities
        table = probabilities.new_zeros((len(features), len(self.variables)))
        return table.index_add_(1, self.fold.to(table.device), probabilities)

    def _moved(self, some: Groups, sums: Float[Tensor, "four edit effect"]) -> Float[np.ndarray, "pair five"]:
        moved = sums[-1].cpu() > _MOVED * self.occurrences[some, None]
        row, column = np.divmod(np.flatnonzero(moved.numpy()), sums.shape[-1])
        found = sums[:-1, row, column].cpu().double().numpy()
        return np.column_stack([some.numpy()[row], self.variables[column], *found])

    def _happened(
        self, part: Places, with_cause: Float[Tensor, "row effect"], without: Float[Tensor, "row effect"]
    ) -> Float[np.ndarray, "known six"]:
        edit = self.edit[part]
        effect = self.column_of_token[self.ids[self.sequence[edit], self.token[part]]]
        known = (effect >= 0).nonzero()[:, 0]
        p, m = (table[known, effect[known]].double().clamp(min=_TINY).cpu() for table in (with_cause, without))
        columns = [edit[known], self.nearest[part][known], self.place[part][known]]
        scores = [p.log() - m.log(), p - m, bernoulli_kl(p.log(), m.clamp(max=1).log())]
        return torch.stack([*(column.double() for column in columns), *scores], 1).numpy()


def _given_other(table: Float[Tensor, "row effect"], cause: Int[Tensor, " row"]) -> Float[Tensor, "row effect"]:
    """The same probabilities given that it is not the cause of the row, in place."""
    known = (cause >= 0).nonzero()[:, 0]
    table[known, cause[known]] = 0
    return table.div_(table.sum(1, keepdim=True).clamp(min=_TINY))


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
    weight, most = without.topk(min(_MOST_WEIGHED, without.shape[1]), sorted=False)
    ratio, order = (with_cause.gather(1, most) / weight.clamp(min=_TINY)).sort(1)
    weight = weight.double()
    half = weight.gather(1, order).cumsum(1) >= weight.sum(1, keepdim=True) / 2
    return ratio.gather(1, half.byte().argmax(1, keepdim=True))


def _add_moves(
    sums: Float[Tensor, "four edit effect"],
    number: Int[Tensor, " row"],
    with_cause: Float[Tensor, "row effect"],
    without: Float[Tensor, "row effect"],
) -> None:
    """Add gain, divergence, divergence of what becomes rarer, and absolute difference to those of the edits of rows.

    An effect that moves by 1e-7 at most in every row is passed over, so that of a large vocabulary little is left.
    """
    gain = with_cause - without
    moved = gain.abs().amax(0) > _NO_MOVE
    columns = slice(None) if moved.all() else moved.nonzero()[:, 0]
    gain, p, m = (table[:, columns] for table in (gain, with_cause, without))
    move = gain.abs()
    divergence = bernoulli_divergence(p, m.clamp(max=1)) * (move > _LEAST_MOVE)
    first, edits = int(number[0]), int(number[-1] - number[0]) + 1
    of_edit = (number - first).to(sums.device)
    values = (gain, divergence, divergence * (gain < 0), move)
    for total, value in zip(sums, values, strict=True):
        total[first : first + edits, columns] += value.new_zeros((edits, value.shape[1])).index_add_(0, of_edit, value)
