"""Root causes of an event in a sequence: total effects of earlier events, and PageRank on the instance graph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.total_effects import Horizon
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import PROPOSALS, Alphabet, invert
from hf_trace.oracle.walks import Slots, Walk
from hf_trace.questions.what_if import REMOVED, Given, chances, padded

_DAMPING = 0.85
# The constant of reciprocal rank fusion (Cormack et al. 2009).
_FUSION = 60


@dataclass(frozen=True)
class Redraws:
    """How events are replaced.

    Attributes:
        proposal: ``model``, ``uniform``, ``unigram``, or ``removed``.
        frequencies: Frequency of each event type, for ``unigram``.
        num_samples: Number of replacements of each event, with one future each, and of futures of the event itself.
        seed: Seed of replacements and futures.
    """

    proposal: str
    frequencies: Float[np.ndarray, " type"]
    num_samples: int
    seed: int


@dataclass(frozen=True)
class EventEffects:
    """Effect of each candidate on the outcome; NaN where it is unknown.

    Attributes:
        with_event: Probability of the outcome within the horizon after the event.
        without: The same, had the event been replaced or removed.
        effect: Their difference; positive where the event made the outcome more likely.
        standard_error: Monte Carlo standard error of ``effect``.
        surprise: -ln p of the event given its past, in nats.
    """

    with_event: Float[np.ndarray, " candidate"]
    without: Float[np.ndarray, " candidate"]
    effect: Float[np.ndarray, " candidate"]
    standard_error: Float[np.ndarray, " candidate"]
    surprise: Float[np.ndarray, " candidate"]


def surprises(
    oracle: Oracle, candidates: Sequence[Given], slots: Slots
) -> tuple[Float[np.ndarray, " candidate"], Float[np.ndarray, "candidate type"]]:
    """Surprise of each event, in nats, and the probability of every type in its place.

    Args:
        oracle: The frozen model.
        candidates: Histories that end with the events.
        slots: Tokens of events and gaps.

    Returns:
        -ln p of each event given its past, infinite outside the vocabulary; and the probabilities.
    """
    context, present = padded([each.context for each in candidates])
    walk = Walk(oracle, len(candidates))
    walk.read(context, None if bool(present.all()) else present)
    log_probs = walk.log_probs(slots.events).numpy()
    index = {int(token): number for number, token in enumerate(slots.events)}
    known = [index.get(int(each.last[0])) for each in candidates]
    surprise = np.array([np.inf if place is None else -log_probs[row, place] for row, place in enumerate(known)])
    return surprise, np.exp(log_probs)


def effects_on(
    oracle: Oracle,
    candidates: Sequence[Given],
    target: int,
    slots: Slots,
    horizon: Horizon,
    redraws: Redraws,
    *,
    removed: Sequence[Given] = (),
) -> EventEffects:
    """Total effect of every candidate on an outcome, by forward simulation with common random numbers.

    Args:
        oracle: The frozen model.
        candidates: Histories that end with an event before the outcome, ``redraws.num_samples`` times.
        target: The outcome, as an index of an event type of ``slots``.
        slots: Tokens of events and gaps.
        horizon: How far ahead of each event to look.
        redraws: How events are replaced.
        removed: Histories without the events, for the proposal ``removed``.
    """
    surprise, expected = surprises(oracle, candidates, slots)
    num_samples = redraws.num_samples
    generators = [np.random.default_rng([redraws.seed, number]) for number in range(len(candidates))]
    uniforms = np.stack(
        [each.random((num_samples, 1 + horizon.events * slots.tokens_per_event)) for each in generators]
    )
    numbers = uniforms[..., 1:]
    observed, _ = chances(oracle, candidates, target, slots, horizon, numbers)
    if redraws.proposal == REMOVED:
        other, _ = chances(oracle, removed, target, slots, horizon, numbers)
    else:
        observed_tokens = torch.tensor([int(each.last[0]) for each in candidates])
        drawn = _drawn(expected, uniforms[..., 0], slots, redraws, observed_tokens)
        other = observed.copy()
        for some, samples in _alike(drawn != np.stack([each.last for each in candidates])):
            pairs = list(zip(some, samples, strict=True))
            given = [replace(candidates[place], last=drawn[place, chosen]) for place, chosen in pairs]
            parts = np.stack([numbers[place, chosen] for place, chosen in pairs])
            other[np.array(some)[:, None], samples], _ = chances(oracle, given, target, slots, horizon, parts)
    difference = observed - other
    spread = difference.std(1, ddof=1) if num_samples > 1 else np.full(len(candidates), np.nan)
    return EventEffects(
        with_event=observed.mean(1),
        without=other.mean(1),
        effect=difference.mean(1),
        standard_error=spread / np.sqrt(num_samples),
        surprise=surprise,
    )


def _alike(differs: Bool[np.ndarray, "candidate sample"]) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
    """Groups of candidates whose draws differ from the event about equally often, and the indices of those draws.

    A draw that equals the event changes nothing and is not simulated again. Within a group the rows of indices are
    filled to equal length by repetition.
    """
    counts = differs.sum(1)
    octaves = np.ceil(np.log2(np.maximum(counts, 1))).astype(int)
    for octave in np.unique(octaves[counts > 0]):
        some = np.flatnonzero((octaves == octave) & (counts > 0))
        width = int(counts[some].max())
        yield some.tolist(), np.stack([np.resize(np.flatnonzero(differs[place]), width) for place in some])


def _drawn(
    expected: Float[np.ndarray, "candidate type"],
    uniforms: Float[np.ndarray, "candidate sample"],
    slots: Slots,
    redraws: Redraws,
    observed: Int[Tensor, " candidate"],
) -> NDArray[np.int64]:
    alphabet = Alphabet(torch.arange(expected.shape[1]), torch.from_numpy(redraws.frequencies), slots.is_near)
    probabilities = PROPOSALS[redraws.proposal](alphabet, lambda: torch.from_numpy(expected).log())
    probabilities = alphabet.at_same_place(probabilities, (slots.events == observed[:, None]).int().argmax(1))
    probabilities = probabilities.index_fill(1, slots.ends, 0)  # an event is never replaced by the end of its sequence
    drawn = invert(probabilities, torch.from_numpy(uniforms))
    tokens: NDArray[np.int64] = slots.events[drawn].numpy()
    return tokens


def influence_graph(scores: PairScores, bound: float) -> "nx.DiGraph[int]":
    """The graph of pairs of positions that excite each other by more than a bound of the statistic.

    Example:
        >>> scores = PairScores(
        ...     np.array([0, 1]), np.array([1, 2]), np.array([0.4, 0.3]), np.array([0.2, -0.2]), np.zeros(2)
        ... )
        >>> list(influence_graph(scores, 0.05).edges(data="weight"))
        [(0, 1, 0.4)]
    """
    graph: nx.DiGraph[int] = nx.DiGraph()
    kept = np.flatnonzero((scores.cmi > bound) & (scores.gain > 0))
    graph.add_weighted_edges_from(
        (int(scores.cause_position[i]), int(scores.effect_position[i]), float(scores.cmi[i])) for i in kept
    )
    return graph


def pagerank_of_causes(graph: "nx.DiGraph[int]", outcome: int) -> dict[int, float]:
    """Personalized PageRank of all other positions, walking from the outcome against the edges.

    Returns:
        Shares that sum to 1 over the causes; empty if nothing reaches the outcome.

    Example:
        >>> chain = nx.DiGraph()
        >>> chain.add_weighted_edges_from([(0, 1, 0.5), (1, 2, 0.5)])
        >>> {place: round(share, 3) for place, share in pagerank_of_causes(chain, 2).items()}  # 1 : 0.85
        {0: 0.459, 1: 0.541}
    """
    if outcome not in graph or not graph.in_degree(outcome):
        return {}
    backwards = graph.subgraph(nx.ancestors(graph, outcome) | {outcome}).reverse()
    start = {outcome: 1.0}
    shares = nx.pagerank(backwards, alpha=_DAMPING, personalization=start, max_iter=1000, tol=1e-10)
    total = 1 - shares[outcome]
    return {int(place): share / total for place, share in sorted(shares.items()) if place != outcome}


def likeliest_path(graph: "nx.DiGraph[int]", cause: int, outcome: int) -> list[int]:
    """Positions from a cause to the outcome along the most probable walk of PageRank; empty if there is none.

    Example:
        >>> graph = nx.DiGraph()
        >>> graph.add_weighted_edges_from([(0, 2, 0.1), (0, 1, 0.9), (1, 2, 0.9)])
        >>> likeliest_path(graph, 0, 2)  # 0.9 and 1 against 0.1
        [0, 1, 2]
    """
    if cause not in graph or outcome not in graph:
        return []
    into = dict(graph.in_degree(weight="weight"))

    def length(start: int, end: int, edge: dict[str, float]) -> float:
        return float(np.log(into[end]) - np.log(edge["weight"]))

    try:
        return [int(place) for place in nx.dijkstra_path(graph, cause, outcome, weight=length)]
    except nx.NetworkXNoPath:
        return []


def reciprocal_ranks(scores: Sequence[Float[np.ndarray, " candidate"]]) -> Float[np.ndarray, " candidate"]:
    r"""Reciprocal rank fusion, :math:`\sum_r 1 / (60 + rank_r)`; equal scores share their mean rank.

    Args:
        scores: Higher is better; NaN ranks last.

    Example:
        >>> both = reciprocal_ranks([np.array([0.9, 0.1, 0.5]), np.array([0.2, 0.1, 0.3])])
        >>> (both * 1000).round(2).tolist()  # ranks 1 3 2 and 2 3 1
        [32.52, 31.75, 32.52]
    """
    found = np.zeros(len(scores[0]))
    for each in scores:
        found += 1 / (_FUSION + rankdata(-np.nan_to_num(each, nan=-np.inf)))
    return found
