"""A log as states: its variables, what each held in every sequence, and when alarms came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_trace.checks import near
from hf_trace.documents import Document
from hf_trace.errors import QueryError
from hf_trace.logs.log import EventLog
from hf_trace.logs.states.state_histories import StateHistory, seconds_held, state_history, values_of
from hf_trace.logs.states.state_names import State, state_names


@dataclass(frozen=True, eq=False)
class StateLog:
    """The sequences of a log as values of variables.

    Attributes:
        names: What each event type stands for.
        histories: One per sequence.
        log: Where the events are.
    """

    names: Mapping[str, State]
    histories: tuple[StateHistory, ...]
    log: EventLog

    @classmethod
    def of(
        cls,
        log: EventLog,
        patterns: Sequence[str] = (),
        pairs: Sequence[str] = (),
        known: Mapping[str, Sequence[str]] | None = None,
    ) -> "StateLog":
        """Read the events of a log as states.

        Args:
            log: The events.
            patterns: See ``state_names``.
            pairs: See ``state_names``.
            known: Values of variables of which another log knows more.

        Raises:
            SettingsError: If a pattern or a pair is not understood.

        Example:
            >>> from hf_trace.logs.sequence import EventSequence
            >>> log = EventLog.from_sequences([EventSequence(("pump=on", "pump=off"), (1.0, 5.0), "x")])
            >>> StateLog.of(log).histories[0].at(6.0)
            {'pump': Held(value='off', since=5.0)}
        """
        names = state_names(log.event_types, patterns, pairs)
        values = dict(known or {})
        for name, own in values_of(names.values()).items():
            values[name] = tuple(dict.fromkeys((*own, *values.get(name, ()))))
        return cls(names, tuple(state_history(each, names, values) for each in log), log)

    def variables(self) -> list[Document]:
        """Every variable with its values, how often it changes, and the share of time of each value."""
        changes: dict[str, int] = {}
        for name, each in (pair for history in self.histories for pair in history.changes.items()):
            changes[name] = changes.get(name, 0) + len(each.values) - 1
        return [
            {"variable": name, "changes": changes[name], "shares": {value: s / total for value, s in held.items()}}
            for name, held in seconds_held(self.histories).items()
            if (total := sum(held.values()) or 1.0)
        ]

    def raised(self, number: int, outcomes: Sequence[str]) -> dict[str, float]:
        """When each of some events first came in a sequence, in the order of time.

        Args:
            number: Which sequence.
            outcomes: Names of events; those that the sequence does not hold are left out.

        Raises:
            QueryError: If the log has no such event.
        """
        for name in outcomes:
            if name not in self.log.event_types:
                hint = near(name, self.log.event_types) or f" It has {len(self.log.event_types)} event types."
                raise QueryError(f"No event of the log is called {name!r}.{hint}")
        span = slice(self.log.offsets[number], self.log.offsets[number + 1])
        codes, times = self.log.codes[span], self.histories[number].times
        found = {}
        for name in dict.fromkeys(outcomes):
            places = np.flatnonzero(codes == self.log.event_types.index(name))
            if len(places):
                found[name] = float(times[places[0]])
        return dict(sorted(found.items(), key=lambda pair: pair[1]))
