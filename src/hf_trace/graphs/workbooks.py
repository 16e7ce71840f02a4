"""Causal graphs as workbooks for spreadsheets: to be read by people, so that nothing in them is computed."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hf_trace.errors import OutputError

_MOST_ROWS = 1_048_575
# What XML cannot hold; and what spreadsheets take for the beginning of a formula.
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Tables over all pairs of types.
_TABLES = ("scores", "baselines")
_WIDEST = 40


def write_workbook(document: Mapping[str, Any], path: Path) -> None:
    """Write the mapping of a graph as three sheets: ``edges``, ``events``, and what it says of itself, ``about``.

    Args:
        document: As ``CausalGraph.to_dict`` gives it.
        path: Where to.

    Raises:
        OutputError: If the package that writes workbooks is not there, or there are too many edges.
    """
    try:
        from openpyxl import Workbook  # an extra: most never write a workbook
    except ImportError:
        raise OutputError(
            "Workbooks are written by openpyxl, which is not installed. Run `pip install 'hf-trace[excel]'`, or save "
            "the graph as .csv."
        ) from None
    edges = document["edges"]
    if len(edges) > _MOST_ROWS:
        raise OutputError(
            f"A sheet holds {_MOST_ROWS:,} rows, and the graph has {len(edges):,} edges. Save it as .csv or .parquet, "
            "or its `strongest(1000)`."
        )
    columns = list(dict.fromkeys(("cause", "effect", *(key for edge in edges for key in edge))))
    about = {"level": document["level"], **document["metadata"]}
    book = Workbook()
    book.remove(book.active)
    _add(book, "edges", columns, ([edge.get(name) for name in columns] for edge in edges))
    _add(book, "events", ["event"], ([event] for event in document["events"]))
    _add(book, "about", ["name", "value"], (item for item in about.items() if item[0] not in _TABLES))
    book.save(path)


def _add(book: Any, name: str, columns: list[str], rows: Iterable[Iterable[Any]]) -> None:
    sheet = book.create_sheet(name)
    for number, row in enumerate([columns, *rows], start=1):
        for place, value in enumerate(row, start=1):
            cell = sheet.cell(number, place, _cell(value))
            if isinstance(cell.value, str) and cell.value.startswith(_FORMULA):
                cell.data_type, cell.quotePrefix = "s", True
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    for cells in sheet.iter_cols(max_row=100):
        longest = max(len(str(cell.value)) for cell in cells if cell.value is not None)
        sheet.column_dimensions[cells[0].column_letter].width = min(_WIDEST, longest + 2)


def _cell(value: Any) -> Any:
    """Numbers as they are; anything nested as JSON; text without what XML cannot hold."""
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _UNWRITABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
