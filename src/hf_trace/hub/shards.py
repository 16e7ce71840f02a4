"""A log cut into shards, and the scores of each shard in a file of its own.

What is computed in which process is decided in ``long_run``; what the scores mean, in ``hf_trace.causal``.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from hf_trace.causal.pairs import PairScores
from hf_trace.data.writing import atomic_path

# Enough to share out among many processes, and few enough to be files.
MOST_SHARDS = 1024
_SEQUENCES = b"sequences"


def sequence_costs(lengths: NDArray[np.int64], max_lag: int | None) -> NDArray[np.int64]:
    """What scoring each sequence costs, about, in events read: itself once, and the tail of every replaced event.

    Example:
        >>> sequence_costs(np.array([1, 5, 5]), 2).tolist(), sequence_costs(np.array([5]), None).tolist()
        ([1, 12, 12], [15])
    """
    reach = np.maximum(lengths - 1, 0) if max_lag is None else np.minimum(max_lag, np.maximum(lengths - 1, 0))
    # Events with a full reach after them, and the last ones, of which each has one event less.
    tails = (lengths - 1 - reach).clip(0) * reach + reach * (reach + 1) // 2
    costs: NDArray[np.int64] = lengths + tails
    return costs


def cut_shards(costs: NDArray[np.int64], batch_size: int, most: int = MOST_SHARDS) -> list[range]:
    """Consecutive sequences of about equal cost, in whole batches.

    How a log is cut depends on the log alone, never on the number of processes: sequences are read together in the
    same batches, and come out the same to the last bit, however many there are.

    Args:
        costs: Cost of every sequence.
        batch_size: Sequences read together.
        most: Shards at most, about.

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


def shard_file(folder: Path, number: int) -> Path:
    """Where the scores of a shard lie."""
    return folder / f"shard-{number:05d}.arrow"


def write_scores(path: Path, scores: Sequence[PairScores]) -> None:
    """Write the scores of some sequences, whole or not at all; every number is kept to the last bit."""
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
    """Whether a shard was written and can be read."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            return _SEQUENCES in (pa.ipc.open_file(source).schema.metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _columns(scores: Sequence[PairScores], prefix: str) -> dict[str, NDArray[Any]]:
    """All arrays of the scores, end to end."""
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
        {name: columns[f"{number}.{name}"][span] for name in own if f"{number}.{name}" in columns}
        for number in oracles
    ]
    return PairScores(**own, by_oracle=tuple(PairScores(**arrays) for arrays in each))
