"""Batches of sequences, the events to test in them, and their replacements."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.graphs.knowledge import ANY, BackgroundKnowledge
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import PROPOSALS, Alphabet, Draws, enumerate_types, invert, merge_draws
from hf_trace.oracle.readers import Reading

# Whether each cause may cause each effect; both are tokens, of shapes that broadcast.
Allowed = Callable[[Tensor, Tensor], Tensor]
# Entries of the [cause, position] tables of what a cause may act on: 32 MB of int64.
_TABLE_ENTRIES = 2**22


@dataclass(frozen=True)
class Block:
    """Sequences padded to one table, and the positions of their events."""

    sequences: Sequence[EncodedSequence]
    input_ids: Int[Tensor, "sequence pos"]
    event: Int[Tensor, "sequence pos"]  # index of the event a token stands for; -1 for other tokens
    tested: Bool[Tensor, "sequence pos"]  # whether it is an event of the alphabet
    replaced: Bool[Tensor, "sequence pos"]  # whether it is tested as a cause
    allowed: Allowed | None = None  # which pairs may be tested; None: all

    @classmethod
    def build(
        cls,
        sequences: Sequence[EncodedSequence],
        alphabet: Alphabet,
        causes: Sequence[range],
        allowed: Allowed | None = None,
    ) -> "Block":
        """Pad sequences on the right; ``causes`` are the events to test in each, ``allowed`` the pairs."""
        length = max(len(sequence.input_ids) for sequence in sequences)
        ids = np.zeros((len(sequences), length), dtype=np.int64)
        event = np.full_like(ids, -1)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.input_ids)] = sequence.input_ids
            event[row, sequence.event_positions] = np.arange(len(sequence.event_positions))
        tested = (event >= 0) & np.isin(ids, alphabet.token_ids.numpy())
        first, stop = (np.array([getattr(each, end) for each in causes])[:, None] for end in ("start", "stop"))
        replaced = tested & (event >= first) & (event < stop)
        tensor = torch.from_numpy
        return cls(sequences, tensor(ids), tensor(event), tensor(tested), tensor(replaced), allowed)

    def testable(
        self, sequence: Int[Tensor, "*#pair"], cause: Int[Tensor, "*#pair"], effect: Int[Tensor, "*#pair"]
    ) -> Bool[Tensor, "*pair"]:
        """Whether the token at ``effect`` is an event that the token at ``cause`` may act on; all broadcast."""
        is_event = self.tested[sequence, effect]
        if self.allowed is None:
            return is_event
        return is_event & self.allowed(self.input_ids[sequence, cause], self.input_ids[sequence, effect])


@dataclass(frozen=True)
class Causes:
    """Events to replace: their sequence, token position, index among events, and the last token within reach."""

    sequence: Int[Tensor, " cause"]
    position: Int[Tensor, " cause"]
    event: Int[Tensor, " cause"]
    end: Int[Tensor, " cause"]

    def select(self, chosen: Int[Tensor, " chosen"]) -> "Causes":
        """Some of the causes, in the order given."""
        return Causes(self.sequence[chosen], self.position[chosen], self.event[chosen], self.end[chosen])

    def split(self, size: int) -> Iterator["Causes"]:
        """Parts of at most ``size`` causes."""
        for start in range(0, len(self.sequence), size):
            yield self.select(torch.arange(start, min(start + size, len(self.sequence))))


def causes_of(block: Block, max_lag: int | None) -> Causes:
    """Events to replace that have a tested event within reach."""
    # The first token has no past to be predicted from, and replacing it would leave no context.
    sequence, position = block.replaced[:, 1:].nonzero(as_tuple=True)
    position = position + 1
    event = block.event[sequence, position]
    counts = torch.tensor([len(each.event_positions) for each in block.sequences])
    reach = counts[sequence] - 1 if max_lag is None else event + max_lag
    reach = torch.minimum(reach, counts[sequence] - 1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)[:-1]])
    tokens = torch.from_numpy(np.concatenate([each.event_positions for each in block.sequences]))
    end = tokens[offsets[sequence] + reach]
    causes = Causes(sequence, position, event, end)
    last = _last_tested(block, causes) if block.allowed is None else _last_allowed(block, causes)
    return Causes(sequence, position, event, last).select((last > position).nonzero()[:, 0])


def _last_tested(block: Block, causes: Causes) -> Int[Tensor, " cause"]:
    """Last tested event within reach; at most the cause where there is none."""
    places = torch.arange(block.tested.shape[1]).where(block.tested, -1)
    return places.cummax(1).values[causes.sequence, causes.end]


def _last_allowed(block: Block, causes: Causes) -> Int[Tensor, " cause"]:
    """Last event within reach that each cause may act on; the cause itself where there is none."""
    last = causes.position.clone()
    reach = int((causes.end - causes.position).max()) if len(last) else 0
    for some in torch.arange(len(last)).split(max(1, _TABLE_ENTRIES // max(1, reach))):
        position, sequence = causes.position[some, None], causes.sequence[some, None]
        after = position + torch.arange(reach + 1)
        inside = after.clamp(max=block.input_ids.shape[1] - 1)
        acts = (after > position) & (after <= causes.end[some, None])
        acts = acts & block.testable(sequence, position, inside)
        last[some] = after.where(acts, position).amax(1)
    return last


def effects_of(block: Block, causes: Causes) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
    """Pairs to test: for each, the index of its cause and the token of a tested event within its reach."""
    reach = int((causes.end - causes.position).max()) if len(causes.position) else 0
    after = causes.position[:, None] + torch.arange(1, reach + 1)
    inside = after.clamp(max=block.input_ids.shape[1] - 1)
    testable = block.testable(causes.sequence[:, None], causes.position[:, None], inside)
    scored = (after <= causes.end[:, None]) & testable
    cause, slot = scored.nonzero(as_tuple=True)
    return cause, after[cause, slot]


def pair_rows(
    block: Block,
    causes: Causes,
    pairs: tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]],
    values: Sequence[Float[Tensor, " pair"]],
) -> NDArray[np.float64]:
    """Rows ``(sequence, cause, effect, cmi, gain, standard_error)``; ``values`` are the last three columns."""
    cause, effect = pairs
    sequence = causes.sequence[cause]
    columns = [sequence, causes.event[cause], block.event[sequence, effect], *values]
    return torch.stack([column.double() for column in columns], dim=-1).numpy()


def uniforms(block: Block, causes: Causes, num_samples: int, seed: int) -> Float[Tensor, "cause sample"]:
    """Uniform numbers that depend only on the seed, the sequence and the event.

    Every sequence draws a table ``[event, sample]`` for all of its events, whichever of them are causes here. The
    tables are stacked: row ``starts[s] + e`` is of event e of sequence s.
    """
    rows = causes.sequence.unique().tolist()
    tables = [
        generator_of(block.sequences[row], seed).random((len(block.sequences[row].event_positions), num_samples))
        for row in rows
    ]
    starts = np.zeros(len(block.sequences), dtype=np.int64)
    starts[rows] = np.cumsum([0, *map(len, tables)])[:-1]
    return torch.from_numpy(np.concatenate(tables)[starts[causes.sequence] + causes.event.numpy()])


def generator_of(sequence: EncodedSequence, seed: int) -> np.random.Generator:
    """A random generator seeded by ``seed`` and the tokens of a sequence, not by its place in the log."""
    digest = hashlib.blake2b(sequence.input_ids.tobytes(), digest_size=8, key=str(seed).encode())
    return np.random.Generator(np.random.Philox(int.from_bytes(digest.digest(), "little")))


@dataclass(frozen=True)
class Drawing:
    """How replacements are drawn.

    Attributes:
        proposal: ``uniform``, ``unigram``, ``model``, or ``exhaustive`` (also ``exhaustive:unigram`` and
            ``exhaustive:model``).
        num_samples: Draws per event; ignored by ``exhaustive``.
        seed: Seed of the draws.
    """

    proposal: str
    num_samples: int
    seed: int


def replacements(
    oracle: Oracle, reading: Reading, block: Block, causes: Causes, alphabet: Alphabet, drawing: Drawing
) -> Draws:
    """Weighted replacements of every cause.

    Args:
        oracle: The frozen model; the proposal ``model`` draws from its predictions.
        reading: The block as read by the oracle.
        block: The sequences.
        causes: Events to replace.
        alphabet: Event types to replace them by.
        drawing: Proposal, number of draws and seed.
    """
    kind, _, weighting = drawing.proposal.partition(":")
    exhaustive = kind == "exhaustive"
    proposal = PROPOSALS[(weighting or "uniform") if exhaustive else kind]

    def next_log_probs() -> Tensor:
        return oracle.next_log_probs(reading, causes.sequence, causes.position)

    observed = block.input_ids[causes.sequence, causes.position]
    probabilities = alphabet.at_same_place(proposal(alphabet, next_log_probs), observed)
    if exhaustive:
        return enumerate_types(alphabet.token_ids, probabilities, observed)
    numbers = uniforms(block, causes, drawing.num_samples, drawing.seed)
    return merge_draws(alphabet.token_ids[invert(probabilities, numbers)], observed)


_NONE = -1


@dataclass(frozen=True)
class AllowedPairs:
    """Background knowledge by token: tables over tokens and lists of pairs, never a table of all pairs.

    Attributes:
        tier: Tier of each token; -1 for none.
        group: Group of each token; -1 for none.
        neighbours: Keys of pairs of groups that act on each other, sorted.
        forbidden: Keys of forbidden pairs of tokens, sorted.
        never_cause: Tokens forbidden as a cause of anything.
        never_effect: Tokens forbidden as an effect of anything.
    """

    tier: Int[Tensor, " token"]
    group: Int[Tensor, " token"]
    neighbours: Int[Tensor, " link"]
    forbidden: Int[Tensor, " pair"]
    never_cause: Bool[Tensor, " token"]
    never_effect: Bool[Tensor, " token"]

    @classmethod
    def of(
        cls,
        knowledge: BackgroundKnowledge,
        event_types: Sequence[str],
        token_ids: Int[Tensor, " type"],
        vocab_size: int,
    ) -> "AllowedPairs":
        """Translate the names in rules into tokens.

        Args:
            knowledge: The rules.
            event_types: All names.
            token_ids: The token of each.
            vocab_size: Number of tokens, those of no event included.

        Raises:
            UnknownEventError: If a rule names something other than an event type.
        """
        knowledge.check_names(event_types)
        token = dict(zip(event_types, token_ids.tolist(), strict=True))
        groups = [name for name, types in knowledge.groups.items() if types]
        number = {name: index for index, name in enumerate(groups)}
        links = [
            (number[cause], number[effect])
            for one, other in knowledge.neighbours
            for cause, effect in ((one, other), (other, one))
            if one in number and other in number
        ]
        listed = [(cause, effect) for cause, effect in knowledge.forbidden if ANY not in (cause, effect)]
        everything = (ANY, ANY) in knowledge.forbidden
        causes = (cause for cause, effect in knowledge.forbidden if effect == ANY != cause)
        effects = (effect for cause, effect in knowledge.forbidden if cause == ANY != effect)
        return cls(
            tier=_numbered(enumerate(knowledge.tiers), token, vocab_size),
            group=_numbered(((number[name], knowledge.groups[name]) for name in groups), token, vocab_size),
            neighbours=_keys(links, vocab_size),
            forbidden=_keys([(token[cause], token[effect]) for cause, effect in listed], vocab_size),
            never_cause=_marked(causes, token, vocab_size) | everything,
            never_effect=_marked(effects, token, vocab_size) | everything,
        )

    def __call__(self, cause: Int[Tensor, "*#pair"], effect: Int[Tensor, "*#pair"]) -> Bool[Tensor, "*pair"]:
        """Whether each cause may cause each effect; both are tokens, and broadcast."""
        size = len(self.tier)
        early, late = self.tier[cause], self.tier[effect]
        one, other = self.group[cause], self.group[effect]
        refused = self.never_cause[cause] | self.never_effect[effect]
        refused = refused | ((early > late) & (late != _NONE))
        refused = refused | _among(cause * size + effect, self.forbidden)
        apart = (one != other) & (one != _NONE) & (other != _NONE)
        return ~(refused | (apart & ~_among(one * size + other, self.neighbours)))


@dataclass(frozen=True)
class OwnEffects:
    """Own events alone are effects; what is known of an event holds wherever it happened.

    Attributes:
        is_near: Which tokens are events of neighbours.
        plain: Of each token that of the same event at the place itself.
        known: What is known of pairs of own events.
    """

    is_near: Bool[Tensor, " token"]
    plain: Int[Tensor, " token"]
    known: Allowed | None = None

    def __call__(self, cause: Int[Tensor, "*#pair"], effect: Int[Tensor, "*#pair"]) -> Bool[Tensor, "*pair"]:
        """Whether each cause may cause each effect; both are tokens, and broadcast."""
        is_own = ~self.is_near[effect].expand(torch.broadcast_shapes(cause.shape, effect.shape))
        return is_own if self.known is None else is_own & self.known(self.plain[cause], effect)


def _numbered(parts: Iterable[tuple[int, Sequence[str]]], token: Mapping[str, int], size: int) -> Int[Tensor, " token"]:
    numbers = torch.full((size,), _NONE)
    for number, names in parts:
        numbers[[token[name] for name in names]] = number
    return numbers


def _marked(names: Iterable[str], token: Mapping[str, int], size: int) -> Bool[Tensor, " token"]:
    marks = torch.zeros(size, dtype=torch.bool)
    marks[[token[name] for name in names]] = True
    return marks


def _keys(pairs: Sequence[tuple[int, int]], size: int) -> Int[Tensor, " pair"]:
    return torch.tensor([one * size + other for one, other in pairs], dtype=torch.long).sort().values


def _among(keys: Int[Tensor, "*pair"], listed: Int[Tensor, " key"]) -> Bool[Tensor, "*pair"]:
    """Whether each key is one of a sorted list."""
    if not len(listed):
        return torch.zeros(keys.shape, dtype=torch.bool)
    place = torch.searchsorted(listed, keys).clamp(max=len(listed) - 1)
    return listed[place] == keys
