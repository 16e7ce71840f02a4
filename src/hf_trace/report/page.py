"""A report as one HTML file that needs no network.

What the page shows comes from ``page_document``; how it looks and behaves is in ``page_files``. Names of events are
data: they travel as JSON and become text in the page, never markup.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from hf_trace.data.writing import atomic_path
from hf_trace.errors import OutputError

SUFFIXES = (".html", ".htm")
# In the order in which they are joined to one script.
_SCRIPTS = ("model", "elements", "geometry", "graph", "evidence", "table", "timeline", "exports", "main")
_UNSAFE = {char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def write_page(path: str | os.PathLike[str], document: Mapping[str, Any]) -> None:
    """Write the page of a document.

    Args:
        path: A name that ends in .html.
        document: What ``page_document`` returned.

    Raises:
        OutputError: If the suffix is another or the place cannot be written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"Cannot write a page to '{path}'. Expected a name that ends in {', '.join(SUFFIXES)}."
        )
    text = page_text(document)
    with atomic_path(path) as unfinished:
        # A name with half a surrogate pair becomes the JSON escape of it.
        unfinished.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def page_text(document: Mapping[str, Any]) -> str:
    """The page of a document as text; equal documents give equal pages.

    Example:
        >>> "<script>alert(1)" in page_text({"names": ["<script>alert(1)"]})
        False
    """
    style = _file("page.css")
    script = '(() => {\n"use strict";\n' + "\n".join(_file(f"{name}.js") for name in _SCRIPTS) + "})();\n"
    parts = {
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "document": _embedded(document),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


def _file(name: str) -> str:
    return (resources.files("hf_trace.report") / "page_files" / name).read_text(encoding="utf-8")


def _embedded(document: Mapping[str, Any]) -> str:
    """JSON that ends no script element and breaks no line."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: _UNSAFE[found[0]], text)


def _policy(style: str, script: str) -> str:
    """Allow this style and this script, and nothing from elsewhere."""
    return (
        f"default-src 'none'; img-src data: blob:; style-src {_digest(style)}; script-src {_digest(script)}"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
