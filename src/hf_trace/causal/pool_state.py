"""Everything a population pool consists of, to be stored and gone on from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.data.contexts import Context
from hf_trace.data.log import EventLog
from hf_trace.data.sequence import EventSequence


@dataclass(frozen=True)
class PoolState:
    """What a pool that keeps its sequences consists of.

    Attributes:
        event_types: Names of the types, in the order of their numbers.
        ids: Names of the sequences.
        events: Numbers of the events of each sequence.
        contexts: What is known of each sequence beside its events.
        by_sequence: Sums of each pair of types in each sequence.
        lags: How many edges of each pair have each lag, in events.
        seconds: Likewise in seconds, rounded to two digits.
        ties: Sums of each pair of types within ties in each sequence.
    """

    event_types: tuple[str, ...]
    ids: tuple[str, ...]
    events: tuple[NDArray[np.int32], ...]
    contexts: tuple[Context, ...]
    by_sequence: pd.DataFrame
    lags: pd.DataFrame
    seconds: pd.DataFrame
    ties: pd.DataFrame

    def log(self) -> EventLog:
        """The sequences as a log, without times."""
        return EventLog.from_sequences(
            EventSequence(tuple(self.event_types[code] for code in codes), id=name, context=context)
            for name, codes, context in zip(self.ids, self.events, self.contexts, strict=True)
        )
