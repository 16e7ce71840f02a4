r"""How well rankings of causes find the true ones.

For one incident with causes V and a ranking R:

* :math:`AC@k = \frac{1}{\min(k, |V|)} \sum_{i \le k} 1\{R_i \in V\}`, and ``Avg@5`` is the mean of AC@1 to AC@5 (as in
  MicroCause, RCD and PyRCA);
* :math:`AP@k = \frac{1}{\min(k, |V|)} \sum_{i \le k} 1\{R_i \in V\} \cdot precision@i`, whose mean over incidents is
  ``MAP@3`` (as in causRCA).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import networkx as nx
import numpy as np
from harness import interval
from jaxtyping import Float

from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.logs.log import EventLog
from hf_trace.questions.root_causes import pagerank_of_causes


def accuracy_at(ranked: Sequence[str], causes: Collection[str], k: int) -> float:
    """AC@k: share of the causes, or of the first k places if those are fewer, that were found.

    Example:
        >>> [accuracy_at(["a", "x", "b"], ["a", "b"], k) for k in (1, 2, 3)]
        [1.0, 0.5, 1.0]
    """
    hits = len({each for each in ranked[:k] if each in causes})
    return hits / min(k, len(causes)) if causes else 0.0


def average_accuracy(ranked: Sequence[str], causes: Collection[str], k: int = 5) -> float:
    """Avg@k: mean of AC@1 to AC@k.

    Example:
        >>> average_accuracy(["x", "a"], ["a"], k=4)
        0.75
    """
    return float(np.mean([accuracy_at(ranked, causes, places) for places in range(1, k + 1)]))


def average_precision_at(ranked: Sequence[str], causes: Collection[str], k: int) -> float:
    """AP@k: precision at every place of a cause, averaged over the causes or k if that is fewer.

    Example:
        >>> round(average_precision_at(["a", "x", "b"], ["a", "b"], 3), 4)  # (1 + 2/3) / 2
        0.8333
    """
    found, total = set[str](), 0.0
    for place, each in enumerate(ranked[:k], start=1):
        if each in causes and each not in found:
            found.add(each)
            total += len(found) / place
    return total / min(k, len(causes)) if causes else 0.0


MEASURES: dict[str, Callable[[Sequence[str], Collection[str]], float]] = {
    "AC@1": lambda ranked, causes: accuracy_at(ranked, causes, 1),
    "AC@3": lambda ranked, causes: accuracy_at(ranked, causes, 3),
    "AC@5": lambda ranked, causes: accuracy_at(ranked, causes, 5),
    "MAP@3": lambda ranked, causes: average_precision_at(ranked, causes, 3),
    "Avg@5": average_accuracy,
}


def ranking_scores(incidents: Iterable[tuple[Sequence[str], Collection[str]]]) -> dict[str, dict[str, float]]:
    """All measures over incidents, with 95 % bootstrap intervals.

    Args:
        incidents: A ranking, best first, and the true causes of each.

    Returns:
        For each measure ``value``, ``low`` and ``high``.

    Example:
        >>> ranking_scores([(["a", "b"], ["a"]), (["a", "b"], ["b"])])["AC@1"]["value"]
        0.5
    """
    pairs, found = list(incidents), {}
    for name, measure in MEASURES.items():
        values = np.array([measure(ranked, causes) for ranked, causes in pairs])
        low, high = interval(values)
        found[name] = {"value": float(values.mean()), "low": low, "high": high}
    return found


Scores = Float[np.ndarray, " event"]


# Baselines that rank pairs, with the score of an event or outcome that was never counted.
_PAIRS = {"lift": 1.0, "onset": 0.0, "hawkes": 0.0}


class CountingRanks:
    """Scores of the events before an outcome, higher is more surely a cause.

    Args:
        log: Where events are counted.
        max_lag: How far apart two events may be to count as together.
    """

    def __init__(self, log: EventLog, *, max_lag: int = 16) -> None:
        self._types = {name: index for index, name in enumerate(log.event_types)}
        settings = CountingSettings(max_lag=max_lag)
        self._pairs = {name: BASELINES[name](log, settings).scores for name in ("cooccurrence", *_PAIRS)}
        self._graph = nx.from_numpy_array(self._pairs["cooccurrence"].clip(min=0), create_using=nx.DiGraph)

    def recency(self, events: Sequence[str], outcome: str) -> Scores:
        """The later, the likelier."""
        return np.arange(len(events), dtype=np.float64)

    def frequency(self, events: Sequence[str], outcome: str) -> Scores:
        """The more often before the outcome, the likelier."""
        counts = Counter(events)
        return np.array([float(counts[event]) for event in events])

    def pair(self, name: str, events: Sequence[str], outcome: str) -> Scores:
        """How surely the outcome is an effect of each event, by a counting baseline: lift, onset or hawkes."""
        effect, table = self._types.get(outcome), self._pairs[name]
        places = [self._types.get(event) for event in events]
        return np.array([_PAIRS[name] if None in (effect, place) else table[place, effect] for place in places])

    def pagerank(self, events: Sequence[str], outcome: str) -> Scores:
        """Personalised PageRank from the outcome on the reversed graph of what happens together."""
        effect = self._types.get(outcome)
        shares = {} if effect is None else pagerank_of_causes(self._graph, effect)
        return np.array([shares.get(self._types.get(event, -1), 0.0) for event in events])

    @property
    def all(self) -> dict[str, Callable[[Sequence[str], str], Scores]]:
        """Every ranking by name."""
        return {
            "recency": self.recency,
            "frequency": self.frequency,
            **{name: partial(self.pair, name) for name in _PAIRS},
            "co-occurrence PageRank": self.pagerank,
        }
