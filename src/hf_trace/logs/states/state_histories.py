"""What every variable of a sequence held, and since when."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_trace.errors import TimestampError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.states.state_names import ENDED, HAPPENED, NOT_YET, STARTED, State

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """What a variable holds at a moment.

    Attributes:
        value: The value.
        since: When it took it; None where it held it before anything is known.
    """

    value: str
    since: float | None


@dataclass(frozen=True, eq=False)
class Changes:
    """The values of a variable, one after another.

    Attributes:
        times: When each was taken, in seconds (positions, where a log has no times); -inf: before the sequence began.
        values: The values.
    """

    times: Times
    values: tuple[str, ...]

    def place(self, time: float, *, before: bool = False) -> int:
        """Which value is held at a time, or just before it; -1 where none is known."""
        return int(np.searchsorted(self.times, time, side="left" if before else "right")) - 1


@dataclass(frozen=True, eq=False)
class StateHistory:
    """One sequence as values of variables.

    Attributes:
        id: Of the sequence.
        start: When it begins.
        end: When it ends.
        changes: By variable.
        times: When each event was.
    """

    id: str | None
    start: float
    end: float
    changes: Mapping[str, Changes]
    times: Times

    def at(self, time: float, *, before: bool = False) -> dict[str, Held]:
        """The snapshot at a time: what every variable of which something is known holds, and since when.

        Args:
            time: In seconds.
            before: Leave out what happened at the very time.

        Example:
            >>> history = state_history(
            ...     EventSequence(("pump=on", "pump=off"), (1.0, 5.0)),
            ...     {"pump=on": State("pump", "on"), "pump=off": State("pump", "off")},
            ... )
            >>> history.at(6.0), history.at(5.0, before=True)
            ({'pump': Held(value='off', since=5.0)}, {'pump': Held(value='on', since=None)})
        """
        places = {name: each.place(time, before=before) for name, each in self.changes.items()}
        return {name: self._held(name, place) for name, place in places.items() if place >= 0}

    def _held(self, name: str, place: int) -> Held:
        since = float(self.changes[name].times[place])
        # What is said at the very beginning is how things were, not what changed.
        return Held(self.changes[name].values[place], since if since > self.start else None)

    def onsets(self, name: str, time: float) -> list[float]:
        """When a variable took the value that it holds at a time, in order; empty if it held it from the beginning."""
        changes = self.changes[name]
        place = changes.place(time)
        value = changes.values[place]
        times = [float(changes.times[i]) for i in range(place + 1) if changes.values[i] == value]
        return [each for each in times if each > self.start]

    def seconds(self) -> Iterator[tuple[str, str, float]]:
        """How long each variable held each value, stay by stay."""
        for name, changes in self.changes.items():
            times = np.append(np.maximum(changes.times, self.start), self.end)
            yield from ((name, value, float(each)) for value, each in zip(changes.values, np.diff(times), strict=True))

    def moments(self, generator: np.random.Generator, count: int) -> Times:
        """Times drawn for snapshots: every other at an event, the others anywhere."""
        anywhere = generator.uniform(self.start, self.end, count)
        return np.where(generator.random(count) < 0.5, generator.choice(self.times, count), anywhere)


def state_history(
    sequence: EventSequence, names: Mapping[str, State], values: Mapping[str, Sequence[str]] | None = None
) -> StateHistory:
    """The states that the events of a sequence tell of.

    What a variable of two values held before its first event is the other one, unless that event is at the very
    beginning; what may happen is ``not yet`` before it does.

    Args:
        sequence: The events.
        names: What each event type stands for.
        values: The values of each variable, where other sequences know more of them.

    Example:
        >>> names = {"on": State("pump", "on"), "off": State("pump", "off"), "boot": State("boot", "happened")}
        >>> history = state_history(EventSequence(("off", "off"), (4.0, 5.0), "x"), names)
        >>> {name: each.values for name, each in history.changes.items()}
        {'boot': ('not yet',), 'pump': ('off',)}
    """
    known = values_of(names.values()) if values is None else values
    times = np.arange(len(sequence), dtype=np.float64) if sequence.timestamps is None else np.array(sequence.timestamps)
    start, end = (float(times[0]), float(times[-1])) if len(times) else (0.0, 0.0)
    found: dict[str, tuple[list[float], list[str]]] = {
        name: ([-np.inf], [NOT_YET]) for name, each in known.items() if NOT_YET in each
    }
    for event, time in zip(sequence.events, times.tolist(), strict=True):
        state = names[event]
        when, what = found.setdefault(state.variable, ([], []))
        others = [each for each in known.get(state.variable, ()) if each != state.value]
        if not what and time > start and len(others) == 1:
            when, what = found[state.variable] = [-np.inf], others
        if not what or what[-1] != state.value:
            when.append(time)
            what.append(state.value)
    changes = {name: Changes(np.array(when), tuple(what)) for name, (when, what) in found.items()}
    return StateHistory(sequence.id, start, end, changes, times)


def values_of(states: Iterable[State]) -> dict[str, tuple[str, ...]]:
    """The values of every variable, in the order in which they are met; ``not yet`` before what happens.

    Example:
        >>> values_of([State("pump", "on"), State("boot", "happened"), State("pump", "off")])
        {'pump': ('on', 'off'), 'boot': ('not yet', 'happened')}
    """
    found: dict[str, dict[str, None]] = {}
    for state in states:
        found.setdefault(state.variable, {NOT_YET: None} if state.value == HAPPENED else {})[state.value] = None
    return {name: tuple(each) for name, each in found.items()}


def seconds_held(histories: Iterable[StateHistory]) -> dict[str, dict[str, float]]:
    """How long each variable held each value in all sequences together.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> names = {"on": State("pump", "on"), "off": State("pump", "off")}
        >>> seconds_held([state_history(EventSequence(("on", "off", "on"), (0.0, 3.0, 7.0)), names)])
        {'pump': {'on': 3.0, 'off': 4.0}}
    """
    found: dict[str, dict[str, float]] = {}
    for name, value, seconds in (each for history in histories for each in history.seconds()):
        held = found.setdefault(name, {})
        held[value] = held.get(value, 0.0) + seconds
    return found


def with_ends(starts: EventLog, ends: EventLog) -> EventLog:
    """A log of alarms that last: each begins in one log and ends in the other, under the same name.

    Args:
        starts: When each began.
        ends: When each ended; what has not is left out.

    Raises:
        TimestampError: If there are no times.

    Example:
        >>> begun, ended = (EventLog.from_sequences([EventSequence(("leak",), (time,), "x")]) for time in (1.0, 4.0))
        >>> with_ends(begun, ended)[0].events
        ('leak=on', 'leak=off')
    """
    if starts.timestamps is None or ends.timestamps is None:
        raise TimestampError("States that last begin and end at times, and the log has none. Name the time columns.")
    logs = [
        replace(log, event_types=tuple(f"{name}={value}" for name in log.event_types))
        for log, value in ((starts, STARTED), (ends, ENDED))
    ]
    return replace(EventLog.concat(logs, join_ids=True), network=starts.network)
