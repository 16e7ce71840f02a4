"""Rows of tokens that grow step by step, and sampled futures made of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from hf_trace.errors import ContextLengthError, NonFiniteError
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import invert
from hf_trace.oracle.readers import Reading, StepReader, as_one_reading

_ROOM = 32  # tokens that may be added before keys and values move


class GrowingLayer(DynamicLayer):
    """Keys and values that grow in place: a ``DynamicLayer`` copies all of them for every token that is added."""

    keys: Tensor
    values: Tensor
    _room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values, ``[row, head, token, feature]``; gives all of them."""
        new, known = (key_states, value_states), self.get_seq_length()
        length = known + key_states.shape[-2]
        if not known:
            self.lazy_initialization(*new)
            self._room = _rooms(new, length, len(key_states))
        elif self._room is None or not self._lies_in(self._room[0]) or self._room[0].shape[-2] < length:
            old = (self.keys, self.values)
            self._room = _rooms(old, length, len(key_states))
            for room, states in zip(self._room, old, strict=True):
                room[..., :known, :] = states
        for room, states in zip(self._room, new, strict=True):
            room[..., known:length, :] = states
        self.keys, self.values = (room[..., :length, :] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, with room for more tokens."""
        if known := self.get_seq_length():
            old = (self.keys, self.values)
            self._room = _rooms(old, known, len(indices))
            for room, states in zip(self._room, old, strict=True):
                torch.index_select(states, 0, indices, out=room[..., :known, :])
            self.keys, self.values = (room[..., :known, :] for room in self._room)

    def _lies_in(self, room: Tensor) -> bool:
        """Whether the keys are still those in the room, and not others that were put in their place."""
        return self.keys.data_ptr() == room.data_ptr() and len(self.keys) == len(room)


def _rooms(states: tuple[Tensor, Tensor], length: int, rows: int) -> tuple[Tensor, Tensor]:
    """Room for keys and values of as many tokens, and some more."""
    room = length + max(_ROOM, length // 4)
    keys, values = (each.new_empty((rows, *each.shape[1:-2], room, each.shape[-1])) for each in states)
    return keys, values


class Walk:
    """Rows that are read token by token.

    Args:
        oracle: The frozen model.
        rows: Number of rows at first; all are empty.

    Example:
        >>> walk = Walk(oracle, 1)  # doctest: +SKIP
        >>> walk.read(torch.tensor([[1, 5]]))  # doctest: +SKIP
        >>> walk.select(torch.tensor([0, 0]))  # doctest: +SKIP
        >>> walk.log_probs(torch.tensor([6, 7]))  # doctest: +SKIP
    """

    def __init__(self, oracle: Oracle, rows: int = 1) -> None:
        self.oracle = oracle
        device = oracle.device
        self.ids = torch.empty((rows, 0), dtype=torch.long, device=device)
        self.present = torch.empty((rows, 0), dtype=torch.bool, device=device)
        self.last: Tensor | None = None
        self.steps = oracle.reader.steps
        self.past = Cache(layer_class_to_replicate=GrowingLayer)  # stays empty where no steps are read

    def __len__(self) -> int:
        return len(self.ids)

    @torch.inference_mode()
    def read(
        self, tokens: Int[Tensor, "row slot"], present: Bool[Tensor, "row slot"] | None = None
    ) -> Shaped[Tensor, "row slot feature"]:
        """Read a step of every row.

        Args:
            tokens: What comes next in each row.
            present: Which slots hold a token; all by default.

        Returns:
            What the output head needs to predict the token after each slot; anything where a slot is empty.

        Raises:
            ContextLengthError: If rows get longer than the model can read.
        """
        tokens = tokens.to(self.oracle.device)
        given = torch.ones_like(tokens, dtype=torch.bool) if present is None else present.to(tokens.device)
        self.ids = torch.cat([self.ids, tokens], dim=1)
        self.present = torch.cat([self.present, given], dim=1)
        self._check_length()
        if self.steps is not None and not given.all() and not self.steps.reads_gaps:
            self.steps = None
        slots = tokens.shape[1]
        features = self._read_whole(slots) if self.steps is None else self._read_on(self.steps, tokens)
        self._remember(features, given)
        return features

    def _remember(self, features: Tensor, given: Tensor) -> None:
        """Keep the features of the last token of every row."""
        slots = torch.arange(1, given.shape[1] + 1, device=given.device)
        final = (given * slots).argmax(dim=1)
        newest = features[torch.arange(len(features), device=features.device), final]
        if self.last is not None and not (read := given.any(dim=1)).all():
            newest = torch.where(read[:, None], newest, self.last)
        self.last = newest

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        rows = rows.to(self.oracle.device)
        self.ids, self.present = self.ids[rows], self.present[rows]
        if self.last is not None:
            self.last = self.last[rows]
        if self.steps is not None:
            self.past.batch_select_indices(rows)

    @torch.inference_mode()
    def log_probs(self, candidates: Int[Tensor, " token"]) -> Float[Tensor, "row token"]:
        """Log-probability, in nats and float64, of each candidate after each row, where nothing else may follow.

        Raises:
            NonFiniteError: If the model returns NaN.
        """
        if self.last is None:
            raise ValueError("Nothing was read yet.")
        return self.scores(self.last, candidates).log_softmax(-1)

    @torch.inference_mode()
    def scores(
        self, features: Shaped[Tensor, "*some feature"], candidates: Int[Tensor, " token"]
    ) -> Float[Tensor, "*some token"]:
        """Logits of the candidates, in float64 and on the CPU."""

        def score(features: Tensor) -> Tensor:
            return self.oracle.head.candidate_logits(features, candidates.to(features.device)).double().cpu()

        logits = self.oracle.memory.in_pieces("scoring candidates", score, features.flatten(0, -2))
        if torch.isnan(logits).any():
            raise NonFiniteError("The model returned NaN logits, expected finite ones. Load it with dtype='float32'.")
        return logits.view(*features.shape[:-1], -1)

    def _check_length(self) -> None:
        limit = self.oracle.context_length
        longest = int(self.present.sum(1).max()) if len(self.present) else 0
        if limit is not None and longest > limit:
            raise ContextLengthError(
                f"A row has {longest} tokens, the model reads at most {limit}. Shorten texts and sequences, or train "
                "with a longer context."
            )

    def _read_on(self, steps: StepReader, tokens: Tensor) -> Tensor:
        known = self.ids.shape[1] - tokens.shape[1]

        def read(row: Tensor, tokens: Tensor, present: Tensor) -> Reading:
            # An attempt that ran out of memory has left some layers with the new tokens: pieces take the known ones.
            past = self.past if len(row) == len(self) else _part(self.past, row, known)
            return Reading(tokens, steps.read(past, tokens, present), past)

        rows = torch.arange(len(self))
        reading = self.oracle.memory.in_pieces("reading on", read, rows, tokens, self.present, join=as_one_reading)
        self.past = reading.past or self.past
        return reading.features

    def _read_whole(self, slots: int) -> Tensor:
        """Read the rows again from their first token, those of one length together."""
        oracle, lengths = self.oracle, self.present.sum(1)
        place = (self.present.cumsum(1) - 1).clamp(min=0)[:, -slots:]
        features: Tensor | None = None

        def read(ids: Tensor, place: Tensor) -> Tensor:
            whole = oracle.reader.read(ids).features
            return whole.gather(1, place[..., None].expand(-1, -1, whole.shape[-1]))

        for length in lengths.unique().tolist():
            at_once = max(1, oracle.budget // (oracle.token_bytes(length) * max(1, length)))
            for rows in (lengths == length).nonzero()[:, 0].split(at_once):
                compact = self.ids[rows][self.present[rows]].view(len(rows), length)
                read_rows = oracle.memory.in_pieces("reading whole rows", read, compact, place[rows])
                if features is None:
                    features = read_rows.new_zeros((len(self.ids), *read_rows.shape[1:]))
                features[rows] = read_rows
        if features is None:
            raise ValueError("There are no rows to read.")
        return features


def _part(past: Cache, row: Int[Tensor, " row"], length: int) -> Cache:
    """The first positions of neighboring rows."""
    rows = slice(int(row[0]), int(row[-1]) + 1)
    layers = [(layer.keys[rows, :, :length], layer.values[rows, :, :length]) for layer in past.layers]
    return DynamicCache(layers) if length else DynamicCache()


# Finished rows are dropped once fewer than this share go on: dropping copies the keys and values of all others.
_MOST_GOING = 0.8


@dataclass(frozen=True)
class Slots:
    """Which tokens may stand where: events only, or gaps and events in turn.

    Attributes:
        events: Tokens of event types.
        gaps: Tokens of gap bins; empty where no time is written.
        gap_bounds: Shortest and longest time that each gap token stands for, in seconds.
        ends: Indices of the types that end a sequence: labels of whole sequences.
        forbidden: Index of a type that is never sampled: the others are, as if it could not happen.
        is_near: Which types are events of neighbours; None where there are none.
    """

    events: Int[Tensor, " type"]
    gaps: Int[Tensor, " bin"]
    gap_bounds: Float[Tensor, "bin 2"]
    ends: Int[Tensor, " end"] = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    forbidden: int | None = None
    is_near: Bool[Tensor, " type"] | None = None

    @property
    def tokens_per_event(self) -> int:
        """Tokens that one more event costs."""
        return 2 if len(self.gaps) else 1


@dataclass(frozen=True)
class Step:
    """One event slot of all rows.

    Attributes:
        probabilities: Of every event type in this slot, a forbidden one included, given all before it in its row; 0
            where the sequence has ended before.
        event: Index of the sampled type.
        ended: Whether the sequence has ended, with this event or before.
        seconds: Time since the last given token of the row; 0 where no time is written.
        row: Which of the requested rows these are: all, unless some are finished.
    """

    probabilities: Float[Tensor, "row type"]
    event: Int[Tensor, " row"]
    ended: Bool[Tensor, " row"]
    seconds: Float[Tensor, " row"]
    row: Int[Tensor, " row"]


def time_within(
    bins: Float[Tensor, "row bin"],
    drawn: Int[Tensor, " row"],
    uniforms: Float[Tensor, " row"],
    bounds: Float[Tensor, "bin 2"],
) -> Float[Tensor, " row"]:
    """A time in the bin that each number in [0, 1) has drawn, in seconds: where in the bin it fell says which.

    Together with the bins this is a density of the next time, which is the same everywhere in a bin: on a logarithmic
    scale, or in a bin that begins at 0 on a plain one.

    Args:
        bins: Probabilities of all bins, up to a factor.
        drawn: What ``invert`` makes of the numbers.
        uniforms: The numbers.
        bounds: Of the bins.

    Example:
        >>> bins, bounds = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0], [1.0, 16.0]])
        >>> time_within(bins, torch.tensor([1]), torch.tensor([0.75]), bounds)
        tensor([4.])
    """
    above = bins.double().cumsum(1)
    mass, above = (each.gather(1, drawn[:, None])[:, 0] for each in (bins.double(), above / above[:, -1:]))
    mass = mass / bins.double().sum(1)
    share = (1 - (above - uniforms) / mass.clamp(min=torch.finfo(mass.dtype).tiny)).clamp(0, 1)
    low, high = bounds.double()[drawn].unbind(1)
    return torch.where(low > 0, low * (high / low.where(low > 0, 1)) ** share, share * high).float()


def sample_futures(
    oracle: Oracle,
    context: Int[Tensor, "context pos"],
    last: Int[Tensor, "context sample"],
    slots: Slots,
    uniforms: Float[Tensor, "context sample slot"],
    *,
    present: Bool[Tensor, "context pos"] | None = None,
    least_gap: Int[Tensor, " context"] | None = None,
    finished: Callable[[], Bool[Tensor, " row"]] | None = None,
) -> Iterator[Step]:
    """Continue every context after each of its last tokens, an event slot at a time.

    Args:
        oracle: The frozen model.
        context: Tokens that are read once for all rows of a context.
        last: Event tokens that end the given part of each row.
        slots: What may follow.
        uniforms: A number in [0, 1) for every token to sample: of the gap and then of the event of each slot where
            time is written, else of the event. Their number sets the length of the continuation.
        present: Which slots of a context hold a token, where contexts differ in length; the first ones do.
        least_gap: Shortest gap bin that may follow the last token of each context: nothing has happened for that long.
        finished: Asked after each step which of all rows need not go on; these may be left out from then on.

    Yields:
        A ``Step`` for each event; rows of a context are adjacent.

    Raises:
        ContextLengthError: If context and continuation are longer than the model can read.
    """
    longest = context.shape[1] if present is None else int(present.sum(1).max())
    needed = longest + uniforms.shape[2]
    if oracle.context_length is not None and needed > oracle.context_length:
        raise ContextLengthError(
            f"A context of {longest} tokens and a continuation of {uniforms.shape[2]} are longer than the "
            f"{oracle.context_length} that the model reads. Cut the contexts or shorten the horizon."
        )
    tokens = last.flatten().to(oracle.device)
    numbers = uniforms.flatten(0, 1)
    seconds = torch.zeros(len(tokens))
    walk = Walk(oracle, len(context))
    walk.read(context, present)
    walk.select(torch.arange(len(context)).repeat_interleave(last.shape[1]))
    # uniforms, for one row:   with gaps    gap 0, event 0, gap 1, event 1, ...    slot k: 2k and 2k + 1
    #                          without      event 0, event 1, ...                  slot k: k
    # A row keeps its numbers when others are dropped, so nobody's future depends on who else goes on.
    per_event = slots.tokens_per_event
    rows, ended = torch.arange(len(tokens)), torch.zeros(len(tokens), dtype=torch.bool)
    for slot in range(uniforms.shape[2] // per_event):
        if per_event == 2:
            walk.read(tokens[:, None])
            bins = walk.log_probs(slots.gaps).exp()
            if slot == 0 and least_gap is not None:
                shortest = least_gap.repeat_interleave(last.shape[1])[:, None]
                bins = bins.masked_fill(torch.arange(bins.shape[1]) < shortest, 0)
            drawn = invert(bins, numbers[rows, 2 * slot, None])[:, 0]
            seconds = seconds + time_within(bins, drawn, numbers[rows, 2 * slot], slots.gap_bounds)
            tokens = slots.gaps[drawn].to(oracle.device)
        walk.read(tokens[:, None])
        probabilities = walk.log_probs(slots.events).exp()
        allowed = probabilities
        if slots.forbidden is not None:
            allowed = probabilities.index_fill(1, torch.tensor(slots.forbidden), 0)
        event = invert(allowed, numbers[rows, per_event * slot + per_event - 1, None])[:, 0]
        tokens = slots.events[event].to(oracle.device)
        possible = probabilities.masked_fill(ended[:, None], 0)
        ended = ended | torch.isin(event, slots.ends)
        yield Step(possible, event, ended, seconds, rows)
        going = None if finished is None else ~finished()[rows]
        if going is not None and float(going.float().mean()) < _MOST_GOING:
            if not bool(going.any()):
                return
            walk.select(going.nonzero()[:, 0])
            rows, seconds, ended = rows[going], seconds[going], ended[going]
            tokens = tokens[going.to(tokens.device)]
