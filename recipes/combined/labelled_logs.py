"""Logs whose edges are known: where they act, and what of them is one cause."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hf_trace.discovery.by_type.event_variables import variable_names
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork

# A consequence of less is none; ways of more edges are not followed.
_MUCH, _LONGEST_WAY = 0.1, 20


@dataclass(frozen=True)
class LabelledLog:
    """A log and its edges.

    Attributes:
        kind: What sort of log it is.
        log: The events; with a network, each place is a sequence.
        edges: Causes and effects, event types or variables, and how many effects an event of the cause has on average
            (NaN where that is not known); a name that never occurs is passed over.
        network: Which places are joined, where that is known.
        variable: Patterns that make one cause of several event types.
    """

    kind: str
    log: EventLog
    edges: Mapping[tuple[str, str], float]
    network: PlaceNetwork | None = None
    variable: tuple[str, ...] = ()

    @property
    def owners(self) -> list[str]:
        """The variable of each event type."""
        return variable_names(self.log.event_types, self.variable)

    @property
    def counted(self) -> EventLog:
        """The log with variables for event types."""
        of_type, names = pd.factorize(np.array(self.owners, dtype=object))
        return replace(self.log, event_types=tuple(names), codes=of_type[self.log.codes].astype(self.log.codes.dtype))

    @property
    def truth(self) -> np.ndarray:
        """Whether each type of ``counted`` causes each other one."""
        truth = np.zeros((len(set(self.owners)),) * 2, dtype=bool)
        for cause, effect, _ in self._ends():
            truth[cause, effect] = cause != effect
        return truth

    @property
    def follows(self) -> np.ndarray:
        """Whether an event of each type has more than a tenth of an event of each other one for consequence, in all.

        Sums over all ways from one to the other, of the products of the weights on each; a value of a variable stands
        for all of them. Where weights are not known it is the truth itself.
        """
        direct = np.zeros((len(set(self.owners)),) * 2)
        for cause, effect, weight in self._ends():
            direct[cause, effect] += weight
        if np.isnan(direct).any():
            return self.truth
        values = np.bincount([place for _, place in sorted(self._places().items())], minlength=len(direct))
        direct /= np.maximum(values, 1)[:, None]
        total, way = np.zeros_like(direct), direct
        for _ in range(_LONGEST_WAY):
            total, way = total + way, np.minimum(way @ direct, 1.0)
        np.fill_diagonal(total, 0)
        return total > _MUCH

    def _places(self) -> dict[str, int]:
        """Which row of the tables each event type is in."""
        number = {name: place for place, name in enumerate(dict.fromkeys(self.owners))}
        return {name: number[owner] for name, owner in zip(self.log.event_types, self.owners, strict=True)}

    def _ends(self) -> Iterator[tuple[int, int, float]]:
        """Rows, columns and weights of the edges between what occurs."""
        by_type = self._places()
        by_owner = {owner: by_type[name] for name, owner in zip(self.log.event_types, self.owners, strict=True)}
        for ends, weight in self.edges.items():
            cause, effect = (by_type.get(name, by_owner.get(name, -1)) for name in ends)
            if cause >= 0 and effect >= 0:
                yield cause, effect, weight
