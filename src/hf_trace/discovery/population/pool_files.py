"""Files of population pools, to which sequences can be added: zip archives of Parquet tables."""

import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_trace.discovery.population.pool import PoolState, PopulationPool
from hf_trace.discovery.population.sums import COLUMNS as TIES
from hf_trace.discovery.population.sums import PAIR, SUMS
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.documents import parse_json
from hf_trace.errors import GraphFormatError, SettingsError, first_line, preview
from hf_trace.logs.formats import parquet_bytes, refuse_unpacked
from hf_trace.logs.log import EventLog
from hf_trace.logs.writing import atomic_path
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.resuming import refuse_other

FORMAT = "hf_trace.population_pool"
VERSION = 1
_COLUMNS = {
    "sequences": ["id", "events", "context"],
    "sums": SUMS,
    "lags": [*PAIR, "lag", "size"],
    "seconds": [*PAIR, "seconds", "size"],
    "ties": TIES,
}
_TYPES = (*PAIR, "first", "second")
# What the readers of archives, tables and documents raise where something within is damaged.
_BROKEN = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, pa.ArrowException),
    *(AttributeError, LookupError, MemoryError, OverflowError, RuntimeError, TypeError, ValueError),
)


def save_pool(state: PoolState, made_by: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a pool atomically.

    Args:
        state: The pool.
        made_by: Settings that must be the same when sequences are added, as JSON.
        path: Name of the file.

    Raises:
        OutputError: If the file cannot be written.
    """
    document = {"format": FORMAT, "version": VERSION, "event_types": list(state.event_types), "made_by": made_by}
    contexts = [json.dumps(context, ensure_ascii=False) for context in state.contexts]
    sequences = pd.DataFrame({"id": list(state.ids), "events": list(state.events), "context": contexts})
    tables = {
        "sequences": sequences,
        "sums": state.by_sequence,
        **{name: getattr(state, name) for name in ("lags", "seconds", "ties")},
    }
    with atomic_path(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        archive.writestr("pool.json", json.dumps(document, ensure_ascii=False, indent=1))
        for name, table in tables.items():
            written = table if len(table.columns) else pd.DataFrame(columns=_COLUMNS[name])
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pandas(written, preserve_index=False), buffer)
            archive.writestr(f"{name}.parquet", buffer.getvalue())


def load_pool(path: str | os.PathLike[str]) -> tuple[PoolState, dict[str, Any]]:
    """Read what ``save_pool`` wrote: the pool and its settings.

    Raises:
        GraphFormatError: If the file is not a pool, or was written by a newer version.
    """
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            packed = Path(path).stat().st_size
            refuse_unpacked(Path(path).name, sum(each.file_size for each in archive.infolist()), packed)
            document = parse_json(archive.read("pool.json").decode())
            version = document["version"] if document["format"] == FORMAT else None
            if version != VERSION:
                raise GraphFormatError(
                    f"{str(path)!r} holds a {document['format']!r} of version {document['version']}, expected "
                    f"{FORMAT!r} of version {VERSION}. Update hf_trace, or start a new pool."
                )
            tables = {name: _table(archive, name) for name in _COLUMNS}
            sequences = tables["sequences"]
            state = PoolState(
                tuple(document["event_types"]),
                tuple(sequences["id"]),
                tuple(np.asarray(codes, dtype=np.int32) for codes in sequences["events"]),
                tuple(tuple(map(tuple, parse_json(text))) for text in sequences["context"]),
                *(tables[name] for name in ("sums", "lags", "seconds", "ties")),
            )
            _check_state(state)
            return state, dict(document["made_by"])
    except GraphFormatError:
        raise
    except _BROKEN as error:
        raise GraphFormatError(
            f"{str(path)!r} cannot be read as a population pool ({first_line(error)}), expected a file that "
            "`hf-trace discover --update` wrote. Name another file to start a new pool."
        ) from error


def _table(archive: zipfile.ZipFile, name: str) -> pd.DataFrame:
    content = archive.read(f"{name}.parquet")
    with pq.ParquetFile(io.BytesIO(content)) as file:
        refuse_unpacked(f"{name}.parquet", parquet_bytes(file.metadata), len(content))
        table: pd.DataFrame = file.read().to_pandas(ignore_metadata=True)
    return table[_COLUMNS[name]]


def _check_state(state: PoolState) -> None:
    """Refuse numbers that stand for no event type or no sequence, which a damaged file may hold.

    Raises:
        ValueError: If there is one.
    """
    types, ids = len(state.event_types), len(state.ids)
    for what, names in (("event types", state.event_types), ("sequences", state.ids)):
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError(f"its names of {what} are no texts, or not all different")
    if any(len(codes) and not 0 <= codes.min() <= codes.max() < types for codes in state.events):
        raise ValueError("its sequences hold numbers of no event type")
    if not all(_is_context(context) for context in state.contexts):
        raise ValueError("its contexts are no names and values")
    for table in (state.by_sequence, state.lags, state.seconds, state.ties):
        for name in table.columns if len(table) else ():
            column, most = table[name].to_numpy(), {"sequence": ids, **dict.fromkeys(_TYPES, types)}.get(name)
            if column.dtype.kind not in ("iuf" if most is None else "iu"):
                raise ValueError(f"its column {name!r} holds something else than numbers")
            if most is not None and not 0 <= column.min() <= column.max() < most:
                raise ValueError(f"its column {name!r} holds numbers of nothing")


def _is_context(context: Any) -> bool:
    return all(len(pair) == 2 and all(isinstance(each, str) for each in pair) for pair in context)


@dataclass(frozen=True)
class StoredPool:
    """A pool from a file, and the sequences to add to it.

    Attributes:
        path: The file.
        pool: The pool so far.
        new: Sequences of the log that are not in it.
        known: Number of sequences of the log that are.
        made_by: Settings and a hash of the model, which must not change between updates.
    """

    path: Path
    pool: PopulationPool
    new: EventLog
    known: int
    made_by: dict[str, Any]

    def save(self) -> None:
        """Write the pool.

        Raises:
            OutputError: If the file cannot be written.
        """
        save_pool(self.pool.state(), self.made_by, self.path)


def open_pool(model: EventModel, log: EventLog, path: str | os.PathLike[str], request: DiscoveryRequest) -> StoredPool:
    """Read the pool of a file, or start one if there is none.

    Args:
        model: The scoring model.
        log: Sequences; those already in the pool are skipped.
        path: The file.
        request: How they are scored.

    Raises:
        GraphFormatError: If the file is not a pool.
        SettingsError: If its sequences were scored by another model or with other settings, or a sequence of the log
            has the name of one in the pool but other events.
    """
    path, settings = Path(path), request.settings
    threshold = parse_threshold(settings.threshold)
    models = [model.model, *(member.model for member in (model.members if threshold.has_confidence else []))]
    made_by = {
        **settings.to_dict(),
        "unknown": model.unknown(request.unknown),
        "slide": request.slide,
        "model": " ".join(map(_digest, models)),
    }
    if not path.exists():
        pool = PopulationPool(threshold, self_loops=settings.self_loops, keep_sequences=True)
        return StoredPool(path, pool, log, 0, made_by)
    state, earlier = load_pool(path)
    refuse_other(earlier, made_by, (f"The pool {str(path)!r} was made with {{}}", "add to it", "start a new pool"))
    pool = PopulationPool.from_state(threshold, state, self_loops=settings.self_loops)
    new = _new_sequences(state, log)
    return StoredPool(path, pool, log.select(new), len(log) - len(new), made_by)


def _new_sequences(state: PoolState, log: EventLog) -> list[int]:
    """Indices of the sequences that are not in the pool."""
    code = {name: number for number, name in enumerate(state.event_types)}
    codes = np.array([code.get(name, -1) for name in log.event_types], dtype=np.int64)
    known = dict(zip(state.ids, state.events, strict=True))
    new, changed = [], []
    for index, name in enumerate(log.ids):
        if name not in known:
            new.append(index)
        elif not np.array_equal(known[name], codes[log.codes[log.offsets[index] : log.offsets[index + 1]]]):
            changed.append(name)
    if changed:
        noun = "sequence has" if len(changed) == 1 else "sequences have"
        raise SettingsError(
            f"{len(changed)} {noun} the name of one in the pool but other events: {preview(changed)}. A pool adds "
            "sequences and cannot replace them: start a new one, or give new sequences names of their own."
        )
    return new


def _digest(model: Any) -> str:
    """A hash of all weights of a model."""
    digest = hashlib.blake2b(digest_size=16)
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
