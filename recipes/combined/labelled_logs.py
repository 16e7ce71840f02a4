"""Logs whose edges are known: where they act, and what of them is one cause."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hf_trace.discovery.by_type.event_variables import variable_names
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.place_network import PlaceNetwork


@dataclass(frozen=True)
class LabelledLog:
    """A log and its edges.

    Attributes:
        kind: What sort of log it is.
        log: The events; with a network, each place is a sequence.
        edges: Names of causes and effects, event types or variables; a name that never occurs is passed over.
        network: Which places are joined, where that is known.
        variable: Patterns that make one cause of several event types.
    """

    kind: str
    log: EventLog
    edges: Sequence[tuple[str, str]]
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
        owner = dict(zip(self.log.event_types, self.owners, strict=True))
        place = {name: number for number, name in enumerate(dict.fromkeys(owner.values()))}
        truth = np.zeros((len(place),) * 2, dtype=bool)
        for edge in self.edges:
            cause, effect = (place.get(owner.get(name, name), -1) for name in edge)
            if cause >= 0 and effect >= 0 and cause != effect:
                truth[cause, effect] = True
        return truth
