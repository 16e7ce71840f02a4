"""Docstrings for the web: formulas of Sphinx become those of Markdown, an example becomes code."""

import re
import textwrap
from typing import Any

import griffe

_DISPLAYED = re.compile(r"^( *)\.\. math:: *(.*(?:\n(?:\1 +.+|[ ]*(?=\n\1 ))$)*)", flags=re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]+)`")
# "Examples" is a section of code to the parser, "Example" any text.
_EXAMPLE = re.compile(r"^( *)Example:$", flags=re.MULTILINE)
_LITERAL = re.compile(r"(?<=\w)::$|^ *::\n", flags=re.MULTILINE)


def as_markdown(text: str) -> str:
    """A docstring with formulas between dollars.

    Example:
        >>> as_markdown("So :math:`p` is").rstrip()
        'So $p$ is'
    """
    text = _DISPLAYED.sub(_displayed, text)
    text = _INLINE.sub(lambda found: f"${' '.join(found[1].split())}$", text)
    text = _EXAMPLE.sub(r"\1Examples:", text)
    return _LITERAL.sub(lambda found: ":" if found[0] == "::" else "", text)


def _displayed(found: "re.Match[str]") -> str:
    lines = " ".join(textwrap.dedent(found[2]).split())
    return textwrap.indent(f"\n$$\n{lines}\n$$\n", found[1], lambda line: bool(line.strip()))


class Formulas(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        del kwargs
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
