"""XES documents as tables: every event with the attributes of its trace."""

import logging
from collections.abc import Iterator
from io import BufferedIOBase
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pandas as pd

from hf_trace.errors import LogFormatError

logger = logging.getLogger(__name__)

_VALUE_TAGS = frozenset({"string", "date", "int", "float", "boolean", "id"})
_TRACE_NAME = "case:concept:name"


def read_xes(stream: BufferedIOBase, *, name: str = "file") -> pd.DataFrame:
    """Read an XES document, whatever its namespace, one trace in memory at a time.

    Args:
        stream: The uncompressed document.
        name: What to call the document in errors.

    Returns:
        One row per event, all values as the texts in the file. Event attributes keep their key, attributes
        of the trace are prefixed with ``case:``. A trace without a name is named by its number, from 1, and one
        whose name another had before is numbered on; the log of the program says so.

    Raises:
        LogFormatError: If the document is not XML, or holds no trace.

    Example:
        >>> import io
        >>> trace = '<trace><event><string key="concept:name" value="start"/></event></trace>'
        >>> read_xes(io.BytesIO(f"<log>{trace}</log>".encode())).to_dict("records")
        [{'case:concept:name': '1', 'concept:name': 'start'}]
    """
    rows: list[dict[str, str]] = []
    names = _TraceNames()
    try:
        for trace in _traces(stream):
            rows.extend(_trace_rows(trace, names))
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two about encodings
        raise LogFormatError(
            f"'{name}' is not well-formed XML ({error}), expected an XES log. Export it again, or rename it "
            "if it is another format."
        ) from None
    if names.count == 0:
        raise LogFormatError(f"'{name}' is XML without a <trace> element, expected an XES log. Export the log as XES.")
    for note in names.notes():
        logger.warning("'%s': %s", name, note)
    return pd.DataFrame(rows, dtype=object)


def _traces(stream: BufferedIOBase) -> Iterator[Element]:
    root: Element | None = None
    for moment, element in ElementTree.iterparse(stream, events=("start", "end")):
        if root is None:
            root = element
        elif moment == "end" and _tag(element) == "trace":
            yield element
            root.clear()  # what was read is forgotten, or memory grows with the file


class _TraceNames:
    """Names under which no two traces are one."""

    def __init__(self) -> None:
        self.count = 0
        self._used: set[str] = set()
        self._nameless = 0
        self._changed: tuple[str, str] | None = None
        self._repeated = 0

    def next(self, given: str | None) -> str:
        self.count += 1
        self._nameless += not given
        name = wanted = given or str(self.count)
        number = 1
        while name in self._used:
            number += 1
            name = f"{wanted} ({number})"
        self._used.add(name)
        if name != wanted:
            self._repeated += 1
            self._changed = self._changed or (wanted, name)
        return name

    def notes(self) -> Iterator[str]:
        if self._nameless:
            yield f"{self._nameless:,} of {self.count:,} traces have no name and are named by their number."
        if self._changed is not None:
            wanted, name = self._changed
            yield (
                f"{self._repeated:,} of {self.count:,} traces have a name that another had before; they stay apart, "
                f"the second {wanted!r} as {name!r}. If they belong together, name another `--case-column`."
            )


def _trace_rows(trace: Element, names: _TraceNames) -> Iterator[dict[str, str]]:
    shared = {f"case:{key}": value for key, value in _attributes(trace).items()}
    shared = {_TRACE_NAME: ""} | shared
    shared[_TRACE_NAME] = names.next(shared[_TRACE_NAME])
    for child in trace:
        if _tag(child) == "event":
            yield shared | _attributes(child)


def _attributes(element: Element) -> dict[str, str]:
    values = (child for child in element if _tag(child) in _VALUE_TAGS)
    return {child.get("key", ""): child.get("value", "") for child in values}


def _tag(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]
