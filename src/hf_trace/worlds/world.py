"""Worlds of TRACE's Eq. 21: what defines one, and the probability of every next event in closed form."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from hf_trace.checks import number, one_of, refuse_unknown, whole
from hf_trace.documents import Document, read_document
from hf_trace.errors import SettingsError, first_line, preview
from hf_trace.options import SEED

NONLINEARITIES = ("none", "relu", "product", "threshold")


@dataclass(frozen=True)
class WorldSpec:
    """Everything that decides which events a world writes.

    Attributes:
        types: Number of event types.
        memory: How many past events act on the next one (h of Eq. 21).
        decay: How fast the effect of an event fades with its lag (r); 0 is no fading.
        weight: Scale of the random weights (w).
        sparsity: Share of pairs of types that do not act on each other.
        bias: Scale of the types' own random logits (b).
        nonlinearity: ``none``; ``relu`` adds the hidden layer of Eq. 21; ``product`` multiplies the sums over odd
            and even lags, so that causes act only together; ``threshold`` lets a sum act only above ``weight``.
        edges: ``(cause, effect, weight)`` in place of random weights, types by number.
        noise: Share of events that are drawn uniformly, whatever came before.
        drift: Share of its weights that a world replaces on the way from its first sequence to its last.
        ties: Events that share a timestamp, in an order that says nothing; 1 writes none.
        hidden: Types that act but are never recorded.
        length: Events in a sequence, before hidden ones are taken out.
        seed: Seed of the weights.

    Raises:
        SettingsError: If a value is not understood.
    """

    types: int = 100
    memory: int = 6
    decay: float = 1.0
    weight: float = 4.0
    sparsity: float = 0.9
    bias: float = 0.0
    nonlinearity: str = "none"
    edges: tuple[tuple[int, int, float], ...] = ()
    noise: float = 0.0
    drift: float = 0.0
    ties: int = 1
    hidden: tuple[int, ...] = ()
    length: int = 64
    seed: int = SEED.default

    def __post_init__(self) -> None:
        one_of("nonlinearity", self.nonlinearity, NONLINEARITIES)
        for name, least in (("types", 2), ("memory", 1), ("ties", 1), ("length", 2), ("seed", 0)):
            whole(name, getattr(self, name), least=least)
        for name in ("sparsity", "noise", "drift"):
            number(name, getattr(self, name), least=0, most=1)
        for name in ("decay", "weight", "bias"):
            number(name, getattr(self, name), least=0)
        if not all(math.isfinite(edge[2]) for edge in self.edges):
            raise SettingsError("The weight of an edge is not finite, expected a number such as 2.5.")
        named = [*self.hidden, *(end for edge in self.edges for end in edge[:2])]
        outside = [number for number in named if not 0 <= number < self.types]
        if outside:
            raise SettingsError(f"Type {preview(outside)} is not one of the {self.types} types from 0.")
        if len(set(self.hidden)) == self.types:
            raise SettingsError("All types are hidden, so that nothing would be recorded. Leave one out of `hidden`.")
        if self.edges and self.drift:
            raise SettingsError("drift replaces random weights, but the world has `edges`. Give one of the two.")

    @property
    def is_exact(self) -> bool:
        """Whether what is recorded has a closed form: nothing hidden, drifting or out of order."""
        return not (self.hidden or self.drift or self.ties > 1)

    def to_dict(self) -> Document:
        """All values by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "WorldSpec":
        """Read what ``to_dict`` gave, or a part of it.

        Raises:
            SettingsError: If a name or a value is not understood.

        Example:
            >>> WorldSpec.from_dict({"types": 50}).memory
            6
        """
        refuse_unknown(document, [field.name for field in fields(cls)], what="world setting")
        values = dict(document)
        try:
            if "edges" in values:
                values["edges"] = tuple((int(a), int(b), float(w)) for a, b, w in values["edges"])
            if "hidden" in values:
                values["hidden"] = tuple(int(number) for number in values["hidden"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            if isinstance(error, SettingsError):
                raise
            raise SettingsError(f"The world cannot be read: {first_line(error)}.") from error


# The worlds of the gates benchmark; recipes/gates measures their redundancy and where their causes lie.
_GATE = WorldSpec(nonlinearity="relu", bias=0.5)
WORLDS: dict[str, WorldSpec] = {
    "steep": replace(_GATE, types=1000, weight=3.2, decay=1.0),
    "medium": replace(_GATE, types=1000, weight=2.6, decay=0.3),
    "flat": replace(_GATE, types=1000, weight=1.7, decay=0.0),
    "small": replace(_GATE, types=100, weight=4.0, decay=1.0),
    "small-medium": replace(_GATE, types=100, weight=3.4, decay=0.5),
}


def load_spec(name_or_path: str | Path) -> WorldSpec:
    """A world by name, or from a JSON file with the fields of ``WorldSpec``.

    Raises:
        SettingsError: If there is neither.

    Example:
        >>> load_spec("steep").types
        1000
    """
    if str(name_or_path) in WORLDS:
        return WORLDS[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        raise SettingsError(
            f"{str(name_or_path)!r} is neither a world ({', '.join(WORLDS)}) nor a file. Write its settings as JSON: "
            '{"types": 50, "memory": 6, "decay": 0.5, "weight": 3.0}.'
        )
    document = read_document(path, "world settings", error=SettingsError)
    if not isinstance(document, dict):
        raise SettingsError(f"{path.name!r} holds a {type(document).__name__}, expected an object of settings.")
    return WorldSpec.from_dict(document)


# Weights of more types are kept sparse: 29,100 types would fill 3.4 GB.
_MOST_DENSE_TYPES = 6_000
_EMBEDDING, _HIDDEN = 16, 64
_SPARSE_PASTS = 64
Past = Int[Tensor, "past lag"]
State = dict[str, Tensor]


class World:
    """A world with its weights drawn.

    Args:
        spec: What defines it.
        state: Its weights, where they are already known; else they follow from the seed.
    """

    def __init__(self, spec: WorldSpec, state: State | None = None) -> None:
        self.spec = spec
        self.state = draw_weights(spec) if state is None else state
        self.fading = torch.exp(-spec.decay * torch.arange(spec.memory, dtype=torch.float32))

    @property
    def nothing(self) -> int:
        """The code that stands for no event."""
        return self.spec.types

    def log_probs(self, past: Past) -> Float[Tensor, "past type"]:
        """Log-probability of every type after each past, in nats and float32."""
        logs = self.logits(past).float().log_softmax(-1)
        if not self.spec.noise:
            return logs
        uniform = torch.full_like(logs, math.log(self.spec.noise) - math.log(self.spec.types))
        if self.spec.noise == 1:
            return uniform
        return torch.logaddexp(logs + math.log1p(-self.spec.noise), uniform)

    def logits(self, past: Past) -> Float[Tensor, "past type"]:
        """Unnormalised log-probabilities, before noise events are mixed in."""
        kind = self.spec.nonlinearity
        if kind in ("none", "relu"):
            out = self._sums(past, self.fading)
            out = out + self._hidden_layer(past) if kind == "relu" else out
        elif kind == "product":
            odd = torch.arange(self.spec.memory, device=past.device) % 2 == 0
            out = self._sums(past, self.fading * odd) * self._sums(past, self.fading * ~odd)
        else:
            out = self._sums(past, self.fading)
            out = out * (out > self.spec.weight)
        return out + self.state["bias"]

    def _sums(self, past: Past, fading: Float[Tensor, " lag"]) -> Float[Tensor, "past type"]:
        """Weights of the past events on every type, added up."""
        if not self._is_sparse:
            weight = self.state["weight"]
            shares = fading.expand(past.shape).to(weight.dtype)
            return embedding_bag(past, weight, per_sample_weights=shares, mode="sum")
        parts = [self._sparse_sums(part, fading) for part in past.split(_SPARSE_PASTS)]
        return torch.cat(parts)

    def _sparse_sums(self, past: Past, fading: Float[Tensor, " lag"]) -> Float[Tensor, "past type"]:
        starts = self.state["rows"]
        events = past.flatten()
        counts = starts[events + 1] - starts[events]
        owner = torch.repeat_interleave(counts)
        first = counts.cumsum(0) - counts
        entry = starts[events][owner] + torch.arange(len(owner), device=past.device) - first[owner]
        cells = owner // past.shape[1] * self.spec.types + self.state["columns"][entry]
        values = self.state["values"][entry] * fading.repeat(len(past))[owner]
        out = values.new_zeros(len(past) * self.spec.types)
        return out.scatter_add_(0, cells, values).view(len(past), -1)

    def _hidden_layer(self, past: Past) -> Float[Tensor, "past type"]:
        embedded = self.state["embedding"][past.flip(1)].flatten(1)
        return torch.relu(embedded @ self.state["inner"]) @ self.state["outer"]

    def drifted(self, share: float) -> "World":
        """The world after a share of its way: so much of its weights is replaced by those of another seed.

        Raises:
            SettingsError: If the world is too large to keep all its weights.
        """
        if not share:
            return self
        self._check_dense("drift")
        other = World(replace(self.spec, seed=self.spec.seed + 1_000_003))
        kept = torch.rand(self.state["weight"].shape, generator=torch.Generator().manual_seed(self.spec.seed))
        mixed = torch.where(kept < share, other.state["weight"], self.state["weight"])
        return World(self.spec, {**self.state, "weight": mixed})

    def acts(self) -> Float[np.ndarray, "cause effect"]:
        """Weight of every type on every other at lag 1.

        Raises:
            SettingsError: If the world is too large to keep all its weights.
        """
        self._check_dense("a table of its weights")
        return self.state["weight"][:-1].numpy()

    @property
    def _is_sparse(self) -> bool:
        return "rows" in self.state

    def _check_dense(self, what: str) -> None:
        if self._is_sparse:
            raise SettingsError(
                f"The world has {self.spec.types} types, expected at most {_MOST_DENSE_TYPES} for {what}."
            )


def draw_weights(spec: WorldSpec) -> State:
    """Weights of a world from its seed; the last row, of no event, is zero.

    Dense weights are ``weight``; sparse ones are ``rows`` (where each starts), ``columns`` and ``values``.
    """
    generator = np.random.default_rng(spec.seed)
    state = _explicit(spec) if spec.edges else _random(spec, generator)
    state["bias"] = torch.from_numpy(generator.normal(size=spec.types) * spec.bias).float()
    if spec.nonlinearity == "relu":
        inner = spec.memory * _EMBEDDING
        embedding = torch.from_numpy(generator.normal(size=(spec.types, _EMBEDDING))).float()
        state["embedding"] = pad(embedding, (0, 0, 0, 1))
        state["inner"] = torch.from_numpy(generator.normal(size=(inner, _HIDDEN)) / np.sqrt(inner)).float()
        state["outer"] = torch.from_numpy(generator.normal(size=(_HIDDEN, spec.types)) / 8).float()
    return state


def _explicit(spec: WorldSpec) -> State:
    weight = torch.zeros(spec.types + 1, spec.types)
    for cause, effect, value in spec.edges:
        weight[cause, effect] = value
    return {"weight": weight}


def _random(spec: WorldSpec, generator: np.random.Generator) -> State:
    """Normal weights, most of them 0, drawn row by row so that dense and sparse worlds are the same."""
    dense = spec.types <= _MOST_DENSE_TYPES
    weight = np.zeros((spec.types + 1, spec.types), dtype=np.float32) if dense else None
    columns, values, counts = [], [], np.zeros(spec.types + 1, dtype=np.int64)
    for row in range(spec.types):
        kept = np.flatnonzero(generator.random(spec.types, dtype=np.float32) >= spec.sparsity)
        drawn = generator.standard_normal(len(kept), dtype=np.float32) * np.float32(spec.weight)
        if weight is not None:
            weight[row, kept] = drawn
        else:
            columns.append(kept.astype(np.int32))
            values.append(drawn)
            counts[row] = len(kept)
    if weight is not None:
        return {"weight": torch.from_numpy(weight)}
    starts = np.concatenate([[0], counts.cumsum()])
    return {
        "rows": torch.from_numpy(starts),
        "columns": torch.from_numpy(np.concatenate(columns)),
        "values": torch.from_numpy(np.concatenate(values)),
    }


def pasts(codes: Int[Tensor, "sequence event"], memory: int, nothing: int) -> Int[Tensor, "sequence event lag"]:
    """The past of every event: the ``memory`` events before it, the latest first.

    Example:
        >>> pasts(torch.tensor([[5, 7, 8]]), 2, 9).tolist()
        [[[9, 9], [5, 9], [7, 5]]]
    """
    padded = pad(codes, (memory, 0), value=nothing)
    return padded.unfold(1, memory, 1)[:, : codes.shape[1]].flip(-1)
