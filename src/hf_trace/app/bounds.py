"""How much is taken from strangers: bytes, events, work at once, and what is kept of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from threading import BoundedSemaphore, Lock

from hf_trace.checks import whole
from hf_trace.errors import BusyError


@dataclass(frozen=True)
class Bounds:
    """What an app takes; the defaults fit two processors and 16 GB, as a free Space has them.

    Attributes:
        bytes: Of one log, as a text or a file.
        unpacked: Bytes that a compressed file may unpack to.
        events: Of one log.
        event_types: Of one log.
        tokens: Read in the training of one model, about two an event and round.
        futures: Sampled for one what-if question.
        waiting: Questions that wait for their turn; more are sent away at once.
        kept: Logs whose models and graphs are kept for the next question, the latest.
        requests: Requests of all kinds that are answered at a time.

    Raises:
        SettingsError: If one is no whole number above 0.
    """

    bytes: int = 5_000_000
    unpacked: int = 25_000_000
    events: int = 50_000
    event_types: int = 300
    tokens: int = 1_500_000
    futures: int = 2_000
    waiting: int = 12
    kept: int = 8
    requests: int = 100

    def __post_init__(self) -> None:
        for each in fields(self):
            whole(each.name, getattr(self, each.name))


class Gate:
    """Lets one question in at a time, and lets a few wait.

    Args:
        waiting: How many wait besides the one that is answered.

    Example:
        >>> gate = Gate(1)
        >>> with gate.passed(), gate.queued():  # one is answered, one waits: a third is sent away
        ...     with gate.queued():
        ...         pass
        Traceback (most recent call last):
            ...
        hf_trace.errors.BusyError: 2 questions are asked at the moment, as many as are taken. Ask again in a minute.
    """

    def __init__(self, waiting: int) -> None:
        self._most = waiting + 1
        self._places, self._turn = BoundedSemaphore(self._most), Lock()

    @contextmanager
    def queued(self) -> Iterator[None]:
        """A place in the queue.

        Raises:
            BusyError: If there is none.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError(
                f"{self._most} questions are asked at the moment, as many as are taken. Ask again in a minute."
            )
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """A place in the queue, and its turn.

        Raises:
            BusyError: If there is no place.
        """
        with self.queued(), self._turn:
            yield
