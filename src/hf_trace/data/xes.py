"""XES, the XML format of process mining, as a table with one row per event. Columns are chosen elsewhere."""

from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pandas as pd

from hf_trace.errors import LogFormatError

_VALUE_TAGS = frozenset({"string", "date", "int", "float", "boolean", "id"})
_TRACE_NAME = "case:concept:name"


def read_xes(stream: BufferedIOBase, *, name: str = "file") -> pd.DataFrame:
    """Read an XES document, whatever its namespace, one trace in memory at a time.

    Args:
        stream: The uncompressed document.
        name: What to call the document in errors.

    Returns:
        One row per event, all values as the texts in the file. Event attributes keep their key, attributes
        of the trace are prefixed with ``case:``. A trace without a name is named by its number, from 1.

    Raises:
        LogFormatError: If the document is not XML, or holds no trace.

    Example:
        >>> import io
        >>> trace = '<trace><event><string key="concept:name" value="start"/></event></trace>'
        >>> read_xes(io.BytesIO(f"<log>{trace}</log>".encode())).to_dict("records")
        [{'case:concept:name': '1', 'concept:name': 'start'}]
    """
    rows: list[dict[str, str]] = []
    traces = 0
    try:
        for trace in _traces(stream):
            traces += 1
            rows.extend(_trace_rows(trace, traces))
    except ElementTree.ParseError as error:
        raise LogFormatError(
            f"'{name}' is not well-formed XML ({error}), expected an XES log. Export it again, or rename it "
            "if it is another format."
        ) from None
    if traces == 0:
        raise LogFormatError(
            f"'{name}' is XML without a <trace> element, expected an XES log. Export the log as XES."
        )
    return pd.DataFrame(rows, dtype=object)


def is_xes(path: Path) -> bool:
    """Whether a file name ends like an XES log.

    Example:
        >>> is_xes(Path("helpdesk.XES.gz"))
        True
    """
    return path.name.lower().removesuffix(".gz").endswith(".xes")


def _traces(stream: BufferedIOBase) -> Iterator[Element]:
    root: Element | None = None
    for moment, element in ElementTree.iterparse(stream, events=("start", "end")):
        if root is None:
            root = element
        elif moment == "end" and _tag(element) == "trace":
            yield element
            root.clear()  # what was read is forgotten, or memory grows with the file


def _trace_rows(trace: Element, number: int) -> Iterator[dict[str, str]]:
    shared = {_TRACE_NAME: str(number)}
    shared |= {f"case:{key}": value for key, value in _attributes(trace).items()}
    for child in trace:
        if _tag(child) == "event":
            yield shared | _attributes(child)


def _attributes(element: Element) -> dict[str, str]:
    values = (child for child in element if _tag(child) in _VALUE_TAGS)
    return {child.get("key", ""): child.get("value", "") for child in values}


def _tag(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]
