"""Scores of a whole log, shard by shard, by one process or many, so that a run that is killed goes on where it was.

A shard is scored in the same batches whoever scores it, and read back from its file whoever did: neither a kill nor
the number of processes changes a result.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hf_trace import __version__
from hf_trace.causal.pairs import PairScores
from hf_trace.data.log import EventLog
from hf_trace.data.sequence import EventSequence
from hf_trace.errors import HfTraceError, ProcessError, SettingsError
from hf_trace.hub.pipelines import CausalDiscoveryPipeline
from hf_trace.hub.processes import Processes
from hf_trace.hub.runs import read_json, write_json
from hf_trace.hub.shards import (
    cut_shards,
    is_whole,
    read_scores,
    sequence_costs,
    shard_file,
    shared_out,
    write_scores,
)

MANIFEST = "settings.json"
# Where the work is done, which may change results in the last bits: kept from the start of a run to its end.
_SURROUNDINGS = "surroundings"
_SAMPLED_VALUES = 4096
Advance = Callable[[float], None]


@dataclass(frozen=True)
class LongRun:
    """Discovery over a log in shards that outlive the process.

    Attributes:
        discover: The pipeline.
        log: The sequences.
        folder: Where shards are kept.
        parameters: Call parameters of the pipeline.
        processes: Who works on it.
    """

    discover: CausalDiscoveryPipeline
    log: EventLog
    folder: Path
    parameters: dict[str, Any]
    processes: Processes = field(default_factory=Processes)

    @cached_property
    def shards(self) -> list[range]:
        """Which sequences are scored together."""
        _, forward, _ = self.discover._merged_parameters(self.parameters)
        return cut_shards(self._sequence_costs, forward["batch_size"])

    @cached_property
    def costs(self) -> list[int]:
        """What each shard costs, about."""
        return [int(self._sequence_costs[shard.start : shard.stop].sum()) for shard in self.shards]

    @cached_property
    def _sequence_costs(self) -> NDArray[np.int64]:
        return sequence_costs(self.log.sequence_lengths, self.discover.settings(**self.parameters).max_lag)

    @property
    def finished(self) -> int:
        """How many shards have their scores on disk."""
        return sum(map(self._is_done, range(len(self.shards))))

    def prepare(self, *, resume: bool) -> None:
        """Make the folder, or check what lies in it; every process calls this.

        Args:
            resume: Go on with what an interrupted run of the same settings has left, where there is something.

        Raises:
            SettingsError: If the interrupted run had other settings.
        """
        here = self._settings()
        if self.processes.is_main:
            earlier = read_json(self.folder, MANIFEST)
            if resume and earlier:
                _refuse_other(earlier["settings"], here)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                write_json(self.folder / MANIFEST, {"settings": here, _SURROUNDINGS: self._surroundings()})
        self.processes.wait()
        kept = read_json(self.folder, MANIFEST)[_SURROUNDINGS]
        oracles = [self.discover.oracle, *(self.discover.members if "members" in vars(self.discover) else [])]
        for oracle in oracles:
            oracle.budget = kept["memory_bytes"]
        self.processes.wait()

    def compute(self, advance: Advance = lambda _: None) -> None:
        """Score what is not scored yet; every process calls this, and all leave it together.

        Args:
            advance: Called with the share of the work done by all processes, 0 to 1.

        Raises:
            ProcessError: If another process has ended, or this one fails beside others.
        """
        left = [number for number in range(len(self.shards)) if not self._is_done(number)]
        self.processes.wait()  # all have seen the same shards before any writes another
        mine = shared_out([self.costs[number] for number in left], self.processes.count)[self.processes.index]
        total = max(1, sum(self.costs[number] for number in left))
        waiting = dict.fromkeys(left)

        def show(extra: float = 0.0) -> None:
            for number in [number for number in waiting if shard_file(self.folder, number).exists()]:
                del waiting[number]
            if self.processes.is_main:
                advance((total - sum(self.costs[number] for number in waiting) + extra) / total)

        try:
            for place in mine:
                self._score(left[place], show)
        except HfTraceError as error:
            if self.processes.count == 1 or isinstance(error, ProcessError):
                raise
            raise ProcessError(
                f"Process {self.processes.index + 1} of {self.processes.count}: {error}"
            ) from error
        self.processes.wait(show)

    def __iter__(self) -> Iterator[tuple[EventSequence, PairScores]]:
        """Every sequence with its scores, in the order of the log."""
        for number, shard in enumerate(self.shards):
            scores = read_scores(shard_file(self.folder, number))
            yield from zip((self.log[index] for index in shard), scores, strict=True)

    def _is_done(self, number: int) -> bool:
        return is_whole(shard_file(self.folder, number))

    def _score(self, number: int, show: Callable[[float], None]) -> None:
        shard = self.shards[number]
        lengths = self.log.sequence_lengths[shard.start : shard.stop]
        done, scores = 0, []
        for sequence, found in self.discover.scored(iter(self.log.select(list(shard))), **self.parameters):
            scores.append(found)
            done += len(sequence)
            show(self.costs[number] * done / lengths.sum())
        write_scores(shard_file(self.folder, number), scores)
        show(0.0)

    def _settings(self) -> dict[str, Any]:
        """Everything that decides the result."""
        preprocess, forward, options = self.discover._merged_parameters(self.parameters)
        settings = {
            **preprocess,
            **options["settings"].to_dict(),
            **options,
            "batch_size": forward["batch_size"],
        }
        del settings["settings"]
        models = [self.discover.oracle.model]
        if self.discover._oracles_asked(forward["settings"]) > 1:
            models += [member.model for member in self.discover.members]
        return settings | {
            "log": log_digest(self.log),
            "model": " ".join(map(model_digest, models)),
            "dtype": str(self.discover.model.dtype),
            "version of hf-trace": __version__,
            "version of torch": torch.__version__,
            "kind of device": self.discover.oracle.device.type,
        }

    def _surroundings(self) -> dict[str, Any]:
        return {"memory_bytes": self.discover.oracle.budget}


def _refuse_other(earlier: dict[str, Any], here: dict[str, Any]) -> None:
    for name in [*here, *(name for name in earlier if name not in here)]:
        was, now = earlier.get(name), here.get(name)
        if was == now:
            continue
        found = (
            f"another {name}"
            if name in ("log", "model", "knowledge")
            else f"{name} {was!r}, now it is {now!r}"
        )
        raise SettingsError(
            f"The interrupted run had {found}, expected the same to go on with it. Give the settings it had, or leave "
            "out `--resume` to start over."
        )


def log_digest(log: EventLog) -> str:
    """A short text that differs wherever two logs do.

    Example:
        >>> log = EventLog.from_sequences([EventSequence(("a",))])
        >>> log_digest(log) == log_digest(log.select([0]))
        True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (log.codes, log.offsets, *([] if log.timestamps is None else [log.timestamps])):
        digest.update(np.ascontiguousarray(part).tobytes())
    for names in (log.event_types, log.ids, [repr(context) for context in log.contexts]):
        digest.update("\0".join(f"{len(name)}:{name}" for name in names).encode())
    return digest.hexdigest()


def model_digest(model: PreTrainedModel) -> str:
    """A short text that differs for models of other shapes or weights; of large weights some values are looked at."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in sorted(model.state_dict().items()):
        values = parameter.flatten()
        some = values[:: max(1, values.numel() // _SAMPLED_VALUES)]
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(some.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
