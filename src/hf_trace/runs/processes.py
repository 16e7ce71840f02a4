"""The processes that a launcher such as ``accelerate launch`` has started to work on one run together."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import islice
from operator import itemgetter
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn, TypeVar

import torch

from hf_trace.errors import ProcessError, first_line
from hf_trace.runs.new_folders import new_folder

# A process may compute for long while others wait; one that has died breaks its connection at once.
_LONGEST_WAIT = timedelta(days=30)
_POLL_SECONDS = 0.1
# Set where `--processes` has started this one: that launcher tells the user what happened.
LAUNCHED = "HF_TRACE_LAUNCHED"
# Exit code of a process that ends because another has, so that the launcher knows which one to name.
LEFT_ALONE = 75
# Of unlike cost; more than one, so that processes wait less for each other.
ITEMS_A_ROUND = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is.

    Attributes:
        index: From 0; process 0 is the one that speaks and writes.
        count: How many there are.
        nodes: On how many machines.
    """

    index: int = 0
    count: int = 1
    nodes: int = 1
    _group: Any = field(default=None, repr=False)

    @property
    def is_main(self) -> bool:
        """Whether this process speaks and writes results."""
        return self.index == 0

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until all processes are here.

        Args:
            meanwhile: Called again and again, for progress.

        Raises:
            ProcessError: If another has ended before it came here.
        """
        if self.count == 1:
            return
        try:
            work = torch.distributed.barrier(group=self._group, async_op=True)
            while not work.is_completed():
                meanwhile()
                time.sleep(_POLL_SECONDS)
            work.wait()
        except RuntimeError as error:
            raise self._left_alone() from error

    def told(self, value: Any) -> Any:
        """What the main process says, in all of them.

        Raises:
            ProcessError: If the main process has ended.
        """
        if self.count == 1:
            return value
        box = [value]
        try:
            torch.distributed.broadcast_object_list(box, src=0, group=self._group)
        except RuntimeError as error:
            raise self._left_alone() from error
        return box[0]

    def gathered(self, values: list[Any]) -> list[Any]:
        """The lists of all processes, one after another, in all of them.

        Raises:
            ProcessError: If a process has ended.
        """
        if self.count == 1:
            return values
        found: list[Any] = [None] * self.count
        try:
            torch.distributed.all_gather_object(found, values, group=self._group)
        except RuntimeError as error:
            raise self._left_alone() from error
        return [value for part in found for value in part]

    def in_turn(self, items: Iterable[Item], compute: Callable[[Item], Result]) -> Iterator[Result]:
        """What is computed of every item, in their order and in all processes; each item is one process's work.

        Raises:
            ProcessError: If a process has ended.

        Example:
            >>> list(Processes().in_turn([1, 2], lambda item: 10 * item))
            [10, 20]
        """
        left, most = iter(items), self.count * (ITEMS_A_ROUND if self.count > 1 else 1)
        while several := list(islice(left, most)):
            found = self.gathered([compute(item) for item in several[self.index :: self.count]])
            # The first process has items 0, count, 2 count ..., the second 1, count + 1 ...
            place = sorted(range(len(several)), key=lambda number: number % self.count)
            yield from (result for _, result in sorted(zip(place, found, strict=True), key=itemgetter(0)))

    def _left_alone(self) -> BaseException:
        if not self.is_main or LAUNCHED in os.environ:  # others say it
            return SystemExit(LEFT_ALONE)
        return ProcessError(
            f"Another of the {self.count} processes has ended before its work was done. What is finished is kept: "
            "start the same command again with `--resume`."
        )


@cache
def joined() -> Processes:
    """Meet the other processes of the launch; alone where there is no launcher.

    Raises:
        ProcessError: If they do not find each other.
    """
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if asked < 2:
        return Processes()
    from accelerate import PartialState

    try:
        # Without `cpu` every process of a machine without accelerators takes itself for the only one.
        state = PartialState(cpu=on_cpu(), timeout=_LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise ProcessError(f"The {asked} processes did not find each other: {first_line(error)}.") from error
    if state.num_processes != asked:
        raise ProcessError(
            f"The launcher announced {asked} processes and {state.num_processes} met. Launch with `accelerate launch` "
            "or `torchrun`."
        )
    group = None if state.backend == "gloo" else torch.distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", asked))
    if state.process_index == 0:
        signal.signal(signal.SIGTERM, _stopped)
    return Processes(state.process_index, state.num_processes, -(-asked // local), group)


def on_cpu() -> bool:
    """Whether the CPU computes: where there is no accelerator, or the launcher was told so."""
    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    return asked or not torch.accelerator.is_available()


def _stopped(number: int, frame: FrameType | None) -> NoReturn:
    if LAUNCHED in os.environ:
        raise SystemExit(LEFT_ALONE)
    raise ProcessError(
        "The launcher has stopped this run, as it does when one of its processes has ended. What is finished is kept: "
        "start the same command again with `--resume`."
    )


@contextmanager
def output_folder(
    out: str | PathLike[str], *, overwrite: bool = True, leftovers: Sequence[Path] = ()
) -> Iterator[Path]:
    """``new_folder`` for the main process; for others one that is thrown away, so that all do the same.

    Args:
        out: The run folder.
        overwrite: Whether an older run may be replaced.
        leftovers: Further folders to remove once the new one has its name.

    Raises:
        OutputError: If the folder cannot be written or holds something else.
    """
    if joined().is_main:
        with new_folder(out, overwrite=overwrite, leftovers=leftovers) as folder:
            yield folder
    else:
        with TemporaryDirectory(prefix="hf-trace-") as name:
            yield Path(name)


def shared_out(costs: Sequence[int], processes: int) -> list[list[int]]:
    """Which shards each process computes: the dearest first, each to the process with the least to do so far.

    Example:
        >>> shared_out([3, 9, 4, 5], 2)
        [[0, 1], [2, 3]]
    """
    shares: list[list[int]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for shard in sorted(range(len(costs)), key=lambda shard: -costs[shard]):
        least = loads.index(min(loads))
        shares[least].append(shard)
        loads[least] += int(costs[shard])
    return [sorted(share) for share in shares]
