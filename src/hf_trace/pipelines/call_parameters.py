"""Parameters of a call of ``causal-discovery``, for editors and type checkers; a test holds them to the fields."""

from typing import Any, Literal, TypedDict

from hf_trace.graphs.knowledge import BackgroundKnowledge


class DiscoveryParameters(TypedDict, total=False):
    """Fields of ``DiscoverySettings`` and ``DiscoveryRequest``, which explain them."""

    max_lag: int | None
    threshold: str
    num_samples: int
    proposal: str | None
    construction: str
    statistic: str | None
    effect: Literal["direct", "total"]
    horizon: str
    num_contexts: int
    refine: bool
    prefix_length: int
    seed: int
    self_loops: bool
    knowledge: BackgroundKnowledge | Any
    ties: str
    variable: str | tuple[str, ...]
    question: Literal["drives", "follows"] | None
    batch_size: int | None
    return_scores: bool
    unknown: Literal["error", "map"] | None
    slide: bool
    min_frequency: float | str
    min_support: int
    bootstrap: int
    compare: tuple[str, ...] | list[str]
    num_workers: int | None


class LeveledParameters(DiscoveryParameters, total=False):
    """The same with the level of graphs of single sequences."""

    level: Literal["instance", "summary"]
