"""Scores of a whole log in shards, by one process or several, so that an interrupted run can resume."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import nn

from hf_trace import __version__
from hf_trace.discovery.scoring import ScoredSequence, oracles_asked, scored
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.statistics import PairScores
from hf_trace.documents import Document
from hf_trace.errors import HfTraceError, ProcessError
from hf_trace.logs.log import EventLog
from hf_trace.logs.writing import atomic_path
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import read_json, write_json
from hf_trace.runs.processes import Processes, shared_out
from hf_trace.runs.resuming import log_digest, refuse_other

# Enough to balance many processes, few enough to be files.
MOST_SHARDS = 1024
_SEQUENCES = b"sequences"


def sequence_costs(lengths: NDArray[np.int64], max_lag: int | None) -> NDArray[np.int64]:
    """Approximate cost of each sequence, in events read: itself once, and the tail of every replaced event.

    Example:
        >>> sequence_costs(np.array([1, 5, 5]), 2).tolist(), sequence_costs(np.array([5]), None).tolist()
        ([1, 12, 12], [15])
    """
    reach = np.maximum(lengths - 1, 0) if max_lag is None else np.minimum(max_lag, np.maximum(lengths - 1, 0))
    # Events with a full reach after them, then the last ones, with one event less each.
    tails = (lengths - 1 - reach).clip(0) * reach + reach * (reach + 1) // 2
    costs: NDArray[np.int64] = lengths + tails
    return costs


def cut_shards(costs: NDArray[np.int64], batch_size: int, most: int = MOST_SHARDS) -> list[range]:
    """Ranges of consecutive sequences of about equal cost, in whole batches.

    The cut depends only on the log, not on the number of processes: the batches are always the same, and so are the
    scores, to the last bit.

    Args:
        costs: Cost of every sequence.
        batch_size: Sequences per batch.
        most: Approximate maximum number of shards.

    Example:
        >>> cut_shards(np.array([5, 5, 1, 1, 1, 1]), 2, most=4)
        [range(0, 2), range(2, 6)]
    """
    starts = np.arange(0, len(costs), batch_size)
    if not len(starts):
        return []
    before = np.cumsum(np.add.reduceat(costs, starts))
    share = max(int(before[-1]) / most, 1.0)
    # A batch belongs to the shard in which its last event lies.
    number = np.ceil(before / share - 1e-9).astype(np.int64)
    first = starts[np.flatnonzero(np.diff(number, prepend=-1))]
    return [range(start, stop) for start, stop in zip(first, [*first[1:], len(costs)], strict=True)]


def write_scores(path: Path, scores: Sequence[PairScores]) -> None:
    """Write the scores of some sequences atomically and without loss of precision."""
    lengths = np.array([len(each) for each in scores], dtype=np.int64)
    columns = {"": np.repeat(np.arange(len(scores)), lengths)}
    oracles = max((len(each.by_oracle) for each in scores), default=0)
    columns |= _columns(scores, "")
    for number in range(oracles):
        columns |= _columns([each.by_oracle[number] for each in scores], f"{number}.")
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    table = table.replace_schema_metadata({_SEQUENCES: json.dumps(len(scores)).encode()})
    with atomic_path(path) as unfinished, pa.OSFile(str(unfinished), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)


def read_scores(path: Path) -> list[PairScores]:
    """Read what ``write_scores`` wrote."""
    with pa.OSFile(str(path), "rb") as source:
        table = pa.ipc.open_file(source).read_all()
    count = json.loads(table.schema.metadata[_SEQUENCES])
    cuts = np.searchsorted(table[""].to_numpy(), np.arange(count + 1))
    columns = {name: table[name].to_numpy() for name in table.column_names if name}
    return [_scores(columns, slice(start, stop)) for start, stop in pairwise(cuts.tolist())]


def is_whole(path: Path) -> bool:
    """Whether a shard file exists and can be read."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            return _SEQUENCES in (pa.ipc.open_file(source).schema.metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _columns(scores: Sequence[PairScores], prefix: str) -> dict[str, NDArray[Any]]:
    """All arrays of the scores, concatenated."""
    return {
        prefix + name: np.concatenate([getattr(each, name) for each in scores])
        for name in _arrays()
        if scores and all(getattr(each, name) is not None for each in scores)
    }


def _arrays() -> Iterator[str]:
    return (field.name for field in fields(PairScores) if field.name != "by_oracle")


def _scores(columns: dict[str, NDArray[Any]], span: slice) -> PairScores:
    own: dict[str, Any] = {name: values[span] for name, values in columns.items() if "." not in name}
    oracles = sorted({int(name.partition(".")[0]) for name in columns if "." in name})
    each: list[dict[str, Any]] = [
        {name: columns[f"{number}.{name}"][span] for name in own if f"{number}.{name}" in columns} for number in oracles
    ]
    return PairScores(**own, by_oracle=tuple(PairScores(**arrays) for arrays in each))


MANIFEST = "settings.json"
# The memory budget sets the batches of a run, and so the last bits of its results: a resumed run keeps it.
_SURROUNDINGS = "surroundings"
_SAMPLED_VALUES = 4096
Advance = Callable[[float], None]


@dataclass(frozen=True)
class LongRun:
    """Scores of a log in shards, which are kept in a folder if one is given.

    A shard is scored in the same batches by any process and stored without loss of precision, so neither interruptions
    nor the number of processes change a result.

    Attributes:
        model: The scoring model.
        log: The sequences.
        request: How they are scored.
        folder: Where shards are kept; None for a single process that need not resume.
        processes: The processes that share the work.
    """

    model: EventModel
    log: EventLog
    request: DiscoveryRequest
    folder: Path | None = None
    processes: Processes = field(default_factory=Processes)

    @cached_property
    def shards(self) -> list[range]:
        """The sequences of each shard."""
        return cut_shards(self._sequence_costs, self.request.batch_size)

    @cached_property
    def costs(self) -> list[int]:
        """Approximate cost of each shard."""
        return [int(self._sequence_costs[shard.start : shard.stop].sum()) for shard in self.shards]

    @cached_property
    def _sequence_costs(self) -> NDArray[np.int64]:
        return sequence_costs(self.log.sequence_lengths, self.request.settings.max_lag)

    @property
    def finished(self) -> int:
        """Number of shards whose scores are on disk."""
        return sum(map(self._is_done, range(len(self.shards))))

    def prepare(self, *, resume: bool) -> None:
        """Create the folder, or check its contents; every process calls this.

        Args:
            resume: Whether to continue an interrupted run of the same settings, if there is one.

        Raises:
            SettingsError: If the interrupted run had other settings.
        """
        if self.folder is None:
            return
        here = self._settings()
        if self.processes.is_main:
            earlier = read_json(self.folder, MANIFEST)
            # No sequences are left where the pool that they were for was written before the run was killed.
            if resume and earlier and len(self.log):
                refuse_other(
                    earlier["settings"],
                    here,
                    ("The interrupted run had {}", "go on with it", "leave out `--resume` to start over"),
                )
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                surroundings = {"memory_bytes": self.model.oracle.budget}
                write_json(self.folder / MANIFEST, {"settings": here, _SURROUNDINGS: surroundings})
        self.processes.wait()
        kept = read_json(self.folder, MANIFEST)[_SURROUNDINGS]
        for oracle in [self.model.oracle, *(self.model.members if "members" in vars(self.model) else [])]:
            oracle.spend_at_most(kept["memory_bytes"])
        self.processes.wait()

    def share_out(self, advance: Advance = lambda _: None) -> None:
        """Score this process's part of the remaining shards; every process calls this, and all return together.

        A single process does nothing here: it scores while ``scores`` is read.

        Args:
            advance: Called with the share of the work done by all processes, 0 to 1.

        Raises:
            ProcessError: If this process or another one fails.
        """
        if self.processes.count == 1:
            return
        left = [number for number in range(len(self.shards)) if not self._is_done(number)]
        self.processes.wait()  # no process writes a shard before all have listed them
        mine = shared_out([self.costs[number] for number in left], self.processes.count)[self.processes.index]
        total = max(1, sum(self.costs[number] for number in left))
        waiting = dict.fromkeys(left)

        def show(extra: float = 0.0) -> None:
            for number in [number for number in waiting if self._file(number).exists()]:
                del waiting[number]
            if self.processes.is_main:
                advance((total - sum(self.costs[number] for number in waiting) + extra) / total)

        try:
            for place in mine:
                self._score(left[place], show)
                show()
        except ProcessError:
            raise
        except HfTraceError as error:
            raise ProcessError(f"Process {self.processes.index + 1} of {self.processes.count}: {error}") from error
        self.processes.wait(show)

    def scores(self, advance: Advance = lambda _: None) -> Iterator[ScoredSequence]:
        """Every sequence with its scores, in the order of the log; shards that are not finished are scored now.

        Args:
            advance: Called with the share of the work done, 0 to 1.
        """
        done, total = 0, max(1, sum(self.costs))
        for number, shard in enumerate(self.shards):
            before = done
            found = self._stored(number)
            if found is None:
                found = self._score(number, lambda extra, before=before: advance((before + extra) / total))  # type: ignore[misc]
            done += self.costs[number]
            advance(done / total)
            yield from zip((self.log[index] for index in shard), found, strict=True)

    def _file(self, number: int) -> Path:
        """The file of a shard."""
        return (self.folder or Path()) / f"shard-{number:05d}.arrow"

    def _is_done(self, number: int) -> bool:
        return self.folder is not None and is_whole(self._file(number))

    def _stored(self, number: int) -> list[PairScores] | None:
        """The scores of a shard that are on disk; None where there are none, or they are damaged."""
        if not self._is_done(number):
            return None
        try:
            found = read_scores(self._file(number))
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError):
            return None
        return found if len(found) == len(self.shards[number]) else None

    def _score(self, number: int, show: Advance) -> list[PairScores]:
        shard = self.shards[number]
        lengths = self.log.sequence_lengths[shard.start : shard.stop]
        done, scores = 0, []
        for sequence, found in scored(self.model, self.log.select(list(shard)), self.request):
            scores.append(found)
            done += len(sequence)
            show(self.costs[number] * done / lengths.sum())
        if self.folder is not None:
            write_scores(self._file(number), scores)
        return scores

    def _settings(self) -> Document:
        """Everything that determines the result."""
        models = [self.model.model]
        if oracles_asked(self.model, self.request) > 1:
            models += [member.model for member in self.model.members]
        return {
            "unknown": self.model.unknown(self.request.unknown),
            **{name: value for name, value in self.request.to_dict().items() if name != "unknown"},
            "log": log_digest(self.log),
            "model": " ".join(map(model_digest, models)),
            "dtype": str(self.model.model.dtype),
            "version of hf-trace": __version__,
            "version of torch": torch.__version__,
            "kind of device": self.model.oracle.device.type,
        }


def model_digest(model: nn.Module) -> str:
    """A hash of the shapes and weights of a model; of large weights it samples values."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in sorted(model.state_dict().items()):
        values = parameter.flatten()
        some = values[:: max(1, values.numel() // _SAMPLED_VALUES)]
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(some.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
