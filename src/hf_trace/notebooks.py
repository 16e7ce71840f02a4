"""What a notebook shows in the place of a value: tables, pictures and whole pages as HTML, with all text escaped."""

import base64
from html import escape
from typing import Any

import pandas as pd

_ROWS, _LONGEST = 10, 60


def table_html(frame: pd.DataFrame, caption: str = "", *, rows: int = _ROWS) -> str:
    """The first rows of a table, and how many there are.

    Args:
        frame: Any table.
        caption: What stands above it.
        rows: Most rows shown.

    Example:
        >>> "&lt;b&gt;" in table_html(pd.DataFrame({"event": ["<b>"]}), "1 event")
        True
    """
    shown = frame.head(rows).map(_short)
    head = f"<p><b>{escape(caption)}</b></p>" if caption else ""
    more = f"<p>{rows:,} of {len(frame):,} rows</p>" if len(frame) > rows else ""
    return f"{head}{shown.to_html(index=False, border=0, na_rep='')}{more}" if len(frame) else head


def _short(value: Any) -> Any:
    """A cell: three digits of a number, the beginning of a long text."""
    if isinstance(value, float):
        return f"{value:.3g}" if value == value else ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"{text[: _LONGEST - 1]}…" if isinstance(text, str) and len(text) > _LONGEST else text


def picture_html(png: bytes, description: str = "") -> str:
    """A picture that needs no file.

    Example:
        >>> picture_html(b"", "one arrow")
        '<img style="max-width:100%" alt="one arrow" src="data:image/png;base64,">'
    """
    data = base64.b64encode(png).decode()
    return f'<img style="max-width:100%" alt="{escape(description)}" src="data:image/png;base64,{data}">'


def page_html(page: str, *, height: int = 720) -> str:
    """A whole page in a frame of its own, which can reach nothing outside it.

    Args:
        page: Its HTML.
        height: Of the frame, in pixels.

    Example:
        >>> page_html("<p>")[-28:]
        'srcdoc="&lt;p&gt;"></iframe>'
    """
    return (
        f'<iframe sandbox="allow-scripts allow-downloads" width="100%" height="{height}" frameborder="0" '
        f'srcdoc="{escape(page)}"></iframe>'
    )
