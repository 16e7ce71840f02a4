"""Which places are joined, in files: the edges of networks, as topologies are written, or a square matrix."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_trace.checks import one_of
from hf_trace.documents import parse_json
from hf_trace.edges.edge_documents import document_edges
from hf_trace.edges.edge_reader import BROKEN, ENDS, EdgeReader, Pair, gml_network, graphml_network, numbered_rows
from hf_trace.errors import GraphFormatError, first_line, preview

_READER = EdgeReader(
    GraphFormatError,
    str,
    'expected {"edges": [["a", "b"], …]} or a list of pairs of joined places',
    "Leave the mark out: joined places have no direction.",
    noun="place",
)
_NOT_JOINED = ("", "0", "0.0", "false")


def read_joined_places(path: str | os.PathLike[str], places: Sequence[str] = ()) -> tuple[Pair, ...]:
    """Read pairs of joined places; a pair may be written in one direction or in both.

    CSV, TSV and TXT hold two columns, with or without a line of names, or a square matrix with names in the first line
    and the first column; JSON, GML and GraphML what networkx writes of a graph with or without arrows. A ``.npy``
    matrix, or one in a table without names, joins by position: ``[i, j]`` places i and j.

    Args:
        path: The file.
        places: Names of all places that there are, for a matrix without names: its positions are those of the sorted
            names, unless they are whole numbers that it has as positions. Empty: positions ``"0"`` to ``"n-1"``.

    Raises:
        GraphFormatError: If the file is missing or holds no edges, or a matrix is not square or of another size.
    """
    suffix = Path(path).suffix.lower()
    one_of(f"The suffix of the topology '{path}'", suffix, _READERS, error=GraphFormatError)
    try:
        return tuple(_READERS[suffix](Path(path), places))
    except GraphFormatError as error:
        raise GraphFormatError(f"Cannot read the topology '{path}': {error}") from error
    except OSError as error:
        reason = (error.strerror or first_line(error)).lower()
        raise GraphFormatError(f"Cannot read the topology '{path}': {reason}.") from error
    except BROKEN as error:
        raise GraphFormatError(f"Cannot read the topology '{path}' as {suffix[1:]}: {first_line(error)}.") from error


def matrix_pairs(matrix: NDArray[Any], places: Sequence[str] = ()) -> list[Pair]:
    """The pairs that a square matrix without names joins.

    Args:
        matrix: 0 where two places are not joined.
        places: See ``read_joined_places``.

    Raises:
        GraphFormatError: If it is not square, holds no numbers, or has another size than there are places.

    Example:
        >>> matrix_pairs(np.array([[0, 1], [0, 0]]), ["valve", "pump"]), matrix_pairs(np.array([[0, 1], [0, 0]]))
        ([('pump', 'valve')], [('0', '1')])
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise GraphFormatError(f"got a matrix of shape {matrix.shape}, expected a square one, [place, place].")
    if matrix.dtype.kind not in "biuf" or np.isnan(matrix).any():
        raise GraphFormatError("got a matrix with other cells than numbers, expected 0 where places are not joined.")
    size, known = len(matrix), sorted(set(places))
    names = [str(number) for number in range(size)]
    if not set(known) <= set(names):
        if len(known) != size:
            raise GraphFormatError(
                f"got a matrix of {size} places without names, and the log has {len(known)}: {preview(known)}. "
                "Expected as many, in the order of their sorted names, or a table with names in the first line and "
                "column."
            )
        names = known
    return [(names[one], names[other]) for one, other in np.argwhere(matrix)]


def _table(path: Path, delimiter: str, places: Sequence[str]) -> list[Pair]:
    rows = numbered_rows(path.read_text(encoding="utf-8-sig"), delimiter)
    cells = [[cell.strip() for cell in row] for _, row in rows]
    if len(cells) > 2 and len(cells[0]) > 2 and _is_matrix(cells):
        return _cell_pairs(cells, places)
    pairs = [(edge["cause"], edge["effect"]) for edge in _READER.table(rows)]
    # The first line may name the columns in words of its own, which are no places.
    others = {*places, *(name for pair in pairs[1:] for name in pair)}
    names_columns = places and len(pairs) > 1 and not {*pairs[0]} & others
    return pairs[1:] if names_columns else pairs


def _is_matrix(cells: Sequence[Sequence[str]]) -> bool:
    """Whether all but the first line and column is numbers, and the first line does not name the ends of edges."""
    header = [cell.lower() for cell in cells[0]]
    if any(cause in header and effect in header for cause, effect in ENDS):
        return False
    has_names = cells[0][0] == "" or len(header) > 3 or all(map(_is_number, header))
    return has_names and all(_is_number(cell) for row in cells[1:] for cell in row[1:])


def _is_number(cell: str) -> bool:
    return cell == "" or cell.lower() in ("true", "false") or cell.replace(".", "", 1).replace("-", "", 1).isdigit()


def _cell_pairs(cells: Sequence[Sequence[str]], places: Sequence[str]) -> list[Pair]:
    columns, rows = cells[0][1:], [row[0] for row in cells[1:]]
    if len({len(row) for row in cells}) == 1 and len(cells) == len(cells[0]) and sorted(columns) == sorted(rows):
        if len(set(rows)) < len(rows):
            raise GraphFormatError(f"the matrix names {preview([n for n in rows if rows.count(n) > 1])} twice.")
        return [
            (row[0], name)
            for row in cells[1:]
            for name, cell in zip(columns, row[1:], strict=True)
            if cell.lower() not in _NOT_JOINED
        ]
    if all(_is_number(cell) for cell in cells[0]) and {len(row) for row in cells} == {len(cells)}:
        return matrix_pairs(np.array([[cell.lower() not in _NOT_JOINED for cell in row] for row in cells]), places)
    raise GraphFormatError(
        f"the matrix has {len(rows)} lines of {len(columns)} cells below {preview(columns, limit=4)}, expected as many "
        "of both, and the same names in the first line and the first column."
    )


def _json(path: Path, _: Sequence[str]) -> list[Pair]:
    content = parse_json(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, list):
        return [(edge["cause"], edge["effect"]) for edge in map(_READER.edge, content)]
    if not isinstance(content, dict):
        raise GraphFormatError(f"The document holds {str(content)[:40]}, {_READER.expected}.")
    return list(document_edges(_READER, content | {"directed": True}).pairs)


def _network(network: Any) -> list[Pair]:
    name = _READER.shown(list(network.nodes(data=True)), numbers_only=False)
    return [(name[one], name[other]) for one, other in network.edges()]


def _adjacency(path: Path, places: Sequence[str]) -> list[Pair]:
    with path.open("rb") as file:
        return matrix_pairs(np.lib.format.read_array(file, allow_pickle=False), places)


_READERS: dict[str, Callable[[Path, Sequence[str]], list[Pair]]] = {
    ".csv": lambda path, places: _table(path, ",", places),
    ".tsv": lambda path, places: _table(path, "\t", places),
    ".txt": lambda path, places: _table(path, " ", places),
    ".json": _json,
    ".gml": lambda path, _: _network(gml_network(path.read_text(encoding="utf-8-sig"))),
    ".graphml": lambda path, _: _network(graphml_network(path.read_bytes())),
    ".npy": _adjacency,
}
