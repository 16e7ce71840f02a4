"""Population pools in files: a zip archive of Parquet tables that any program can read.

``pool.json`` says how the pool was made; ``sequences``, ``sums``, ``lags`` and ``seconds`` hold what ``PoolState``
does.
"""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_trace.causal.pair_sums import PAIR, SUMS
from hf_trace.causal.pool_state import PoolState
from hf_trace.causal.tie_sums import COLUMNS as TIES
from hf_trace.data.writing import atomic_path
from hf_trace.errors import GraphFormatError, first_line

FORMAT = "hf_trace.population_pool"
VERSION = 1
_COLUMNS = {
    "sequences": ["id", "events", "context"],
    "sums": SUMS,
    "lags": [*PAIR, "lag", "size"],
    "seconds": [*PAIR, "seconds", "size"],
    "ties": TIES,
}


def save_pool(state: PoolState, made_by: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a pool, the whole file or nothing.

    Args:
        state: The pool.
        made_by: Whatever must be the same when it goes on, as JSON can hold it.
        path: Name of the file.

    Raises:
        OutputError: If the file cannot be written.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "event_types": list(state.event_types),
        "made_by": made_by,
    }
    contexts = [json.dumps(context, ensure_ascii=False) for context in state.contexts]
    sequences = pd.DataFrame({"id": list(state.ids), "events": list(state.events), "context": contexts})
    tables = {
        "sequences": sequences,
        "sums": state.by_sequence,
        "lags": state.lags,
        "seconds": state.seconds,
        "ties": state.ties,
    }
    with atomic_path(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        archive.writestr("pool.json", json.dumps(document, ensure_ascii=False, indent=1))
        for name, table in tables.items():
            written = table if len(table.columns) else pd.DataFrame(columns=_COLUMNS[name])
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pandas(written, preserve_index=False), buffer)
            archive.writestr(f"{name}.parquet", buffer.getvalue())


def load_pool(path: str | os.PathLike[str]) -> tuple[PoolState, dict[str, Any]]:
    """Read what ``save_pool`` wrote: the pool, and how it was made.

    Raises:
        GraphFormatError: If the file is something else, or was written by a newer version.
    """
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            document = json.loads(archive.read("pool.json"))
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
                tuple(tuple(map(tuple, json.loads(text))) for text in sequences["context"]),
                tables["sums"],
                tables["lags"],
                tables["seconds"],
                tables["ties"],
            )
            return state, document["made_by"]
    except GraphFormatError:
        raise
    except (OSError, zipfile.BadZipFile, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise GraphFormatError(
            f"{str(path)!r} cannot be read as a population pool ({first_line(error)}), expected a file that "
            "`hf-trace discover --update` wrote. Name another file to start a new pool."
        ) from error


def _table(archive: zipfile.ZipFile, name: str) -> pd.DataFrame:
    table: pd.DataFrame = pq.read_table(io.BytesIO(archive.read(f"{name}.parquet"))).to_pandas()
    return table[_COLUMNS[name]]
