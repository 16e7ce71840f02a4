"""Rankings of causes that need no model: when events happened, how often, and what they happen with."""

from collections import Counter
from collections.abc import Callable, Sequence

import networkx as nx
import numpy as np
from jaxtyping import Float

from hf_trace.causal.baselines import cooccurrence_lift, windowed_cooccurrence
from hf_trace.causal.root_causes import pagerank_of_causes
from hf_trace.data.log import EventLog

Scores = Float[np.ndarray, " event"]


class CountingRanks:
    """Scores of the events before an outcome, higher is more surely a cause.

    Args:
        log: Where events are counted.
        max_lag: How far apart two events may be to count as together.
    """

    def __init__(self, log: EventLog, *, max_lag: int = 16) -> None:
        self._types = {name: index for index, name in enumerate(log.event_types)}
        sizes = (log.codes, log.offsets, len(log.event_types))
        self._lift = cooccurrence_lift(*sizes, max_lag=max_lag)
        together = windowed_cooccurrence(*sizes, max_lag=max_lag)
        self._graph = nx.from_numpy_array(together.clip(min=0), create_using=nx.DiGraph)

    def recency(self, events: Sequence[str], outcome: str) -> Scores:
        """The later, the likelier."""
        return np.arange(len(events), dtype=np.float64)

    def frequency(self, events: Sequence[str], outcome: str) -> Scores:
        """The more often before the outcome, the likelier."""
        counts = Counter(events)
        return np.array([float(counts[event]) for event in events])

    def lift(self, events: Sequence[str], outcome: str) -> Scores:
        """How much more often the outcome comes soon after such an event than after any."""
        effect = self._types.get(outcome)
        places = [self._types.get(event) for event in events]
        return np.array(
            [1.0 if effect is None or place is None else self._lift[place, effect] for place in places]
        )

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
            "lift": self.lift,
            "co-occurrence PageRank": self.pagerank,
        }
