"""Edges of causal graphs as Parquet: one row per edge, of one graph or of the graphs of many sequences.

Works on the plain mapping of ``CausalGraph.to_dict``. Tables are written a group of rows at a time, so that millions
of edges never lie in memory together.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from hf_trace.data.writing import atomic_path
from hf_trace.errors import GraphFormatError

Document: TypeAlias = dict[str, Any]

GRAPH_KEY, MANY_KEY = b"hf_trace.graph", b"hf_trace.graphs"
ROWS_AT_ONCE = 65_536
_OTHER = "other"
_COLUMNS = {
    **{
        "cause": pa.string(),
        "effect": pa.string(),
        "cause_position": pa.int64(),
        "effect_position": pa.int64(),
    },
    **{"lag": pa.int64(), "cmi": pa.float64(), "standard_error": pa.float64(), "gain": pa.float64()},
    **{"edge_cmi": pa.float64(), "confidence": pa.float64(), "direction": pa.string()},
    **{"frequency": pa.float64(), "frequency_low": pa.float64(), "frequency_high": pa.float64()},
    **{"support": pa.int64(), "lags": pa.list_(pa.int64()), "lag_seconds": pa.float64()},
}


class EdgeTable:
    """A Parquet file that grows by the edges of one sequence after another.

    Args:
        writer: What writes it.
    """

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[Document] = []

    def add(self, sequence: str | None, edges: list[Document]) -> None:
        """Add the edges of a sequence; ``sequence`` is its id, None for a graph of all."""
        self._rows += [_row(sequence, edge) for edge in edges]
        if len(self._rows) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the rows held as one group."""
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._writer.schema))
        self._rows = []


@contextmanager
def edge_table(path: str | os.PathLike[str], *, level: str) -> Iterator[EdgeTable]:
    """Write the edges of many graphs; the file appears when the block has ended well.

    Args:
        path: The file.
        level: Level of the graphs, kept with the table.

    Raises:
        OutputError: If it cannot be written.
    """
    schema = pa.schema([("id", pa.string()), *_fields()], metadata={MANY_KEY: level.encode()})
    with atomic_path(path) as unfinished, pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        table = EdgeTable(writer)
        yield table
        table.flush()


def write_parquet(document: Mapping[str, Any], path: Path) -> None:
    """Write one graph; everything but its edges goes into the metadata of the file."""
    rest = {key: value for key, value in document.items() if key != "edges"}
    schema = pa.schema(_fields(), metadata={GRAPH_KEY: json.dumps(rest, allow_nan=False).encode()})
    edges = document["edges"]
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, max(1, len(edges)), ROWS_AT_ONCE):
            rows = [_row(None, edge) for edge in edges[start : start + ROWS_AT_ONCE]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def read_parquet(path: Path) -> tuple[Document | None, list[Document]]:
    """What was kept beside the edges of one graph, None where another program wrote the file, and the rows.

    Raises:
        GraphFormatError: If the file is no Parquet, or holds the graphs of many sequences.
    """
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise GraphFormatError(f"it is no Parquet file ({str(error).splitlines()[0][:80]}).") from None
    metadata = table.schema.metadata or {}
    if MANY_KEY in metadata:
        raise GraphFormatError(
            "it holds the graphs of many sequences, expected one. Read it with `pandas.read_parquet`, a row per edge."
        )
    kept = json.loads(metadata[GRAPH_KEY]) if GRAPH_KEY in metadata else None
    return kept, [_edge(row) for row in table.to_pylist()]


def _fields() -> list[pa.Field]:
    return [pa.field(name, kind) for name, kind in {**_COLUMNS, _OTHER: pa.string()}.items()]


def _row(sequence: str | None, edge: Mapping[str, Any]) -> Document:
    row: Document = {name: edge[name] for name in _COLUMNS if name in edge}
    other = {name: value for name, value in edge.items() if name not in _COLUMNS}
    return row | {"id": sequence, _OTHER: json.dumps(other) if other else None}


def _edge(row: Mapping[str, Any]) -> Document:
    other = row.get(_OTHER)
    return {name: value for name, value in row.items() if value is not None and name != _OTHER} | (
        json.loads(other) if other else {}
    )
