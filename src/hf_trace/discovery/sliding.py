"""Sequences longer than a model reads: overlapping windows, each event tested as a cause in exactly one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_trace.discovery.pairs import PairScores
from hf_trace.errors import SettingsError


@dataclass(frozen=True)
class Window:
    """A part of a sequence that is read at once, and the causes tested in it.

    Attributes:
        start: First event read.
        stop: One past the last event read.
        first: First event tested as a cause.
        last: One past the last event tested as a cause.
    """

    start: int
    stop: int
    first: int
    last: int

    def tested(self, prefix_length: int = 0) -> range:
        """Causes after the prefix of the sequence, counted from the start of the window."""
        return range(max(self.first, prefix_length) - self.start, self.last - self.start)


def sliding_windows(events: int, *, length: int | None, max_lag: int | None) -> list[Window]:
    """Windows over a sequence that test every event as a cause once.

    Args:
        events: Events in the sequence.
        length: Most events read at once; None if there is no bound.
        max_lag: Longest lag tested, in events; None for all.

    Raises:
        SettingsError: If the sequence needs windows and ``max_lag`` leaves no room for a past in them.

    Example:
        >>> [(w.start, w.stop, w.first, w.last) for w in sliding_windows(14, length=8, max_lag=2)]
        [(0, 8, 0, 6), (2, 10, 6, 8), (4, 12, 8, 10), (6, 14, 10, 14)]
    """
    if length is None or events <= length:
        return [Window(0, events, 0, events)]
    past = length // 2
    if max_lag is None or max_lag >= length - past:
        raise SettingsError(
            f"max_lag is {max_lag}, expected less than {length - past} events: sequences of {events} events are read "
            f"in windows of {length}, half of each for the past. Pass a smaller max_lag or a longer model."
        )
    windows = [Window(0, length, 0, length - max_lag)]
    while windows[-1].stop < events:
        first = windows[-1].last
        stop = min(first - past + length, events)
        windows.append(Window(first - past, stop, first, events if stop == events else stop - max_lag))
    return windows


def joined_windows(parts: Sequence[tuple[Window, PairScores]]) -> PairScores:
    """Scores of the windows of one sequence as scores of the whole sequence."""
    if len(parts) == 1:
        return parts[0][1]
    return PairScores(
        cause_position=np.concatenate([scores.cause_position + window.start for window, scores in parts]),
        effect_position=np.concatenate([scores.effect_position + window.start for window, scores in parts]),
        cmi=np.concatenate([scores.cmi for _, scores in parts]),
        gain=np.concatenate([scores.gain for _, scores in parts]),
        standard_error=np.concatenate([scores.standard_error for _, scores in parts]),
    )
