"""Background knowledge in terms of tokens: which token may cause which, asked for many pairs at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_trace.causal.knowledge import ANY, BackgroundKnowledge

_NONE = -1


@dataclass(frozen=True)
class AllowedPairs:
    """Rules as tables over tokens and lists of pairs: memory follows what is listed, never tokens squared.

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
        """Translate names into tokens.

        Args:
            knowledge: The rules.
            event_types: All names.
            token_ids: The token of each.
            vocab_size: Number of all tokens; those of no event are under no rule.

        Raises:
            UnknownEventError: If a rule names something else than an event type.
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


def _numbered(
    parts: Iterable[tuple[int, Sequence[str]]], token: Mapping[str, int], size: int
) -> Int[Tensor, " token"]:
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
