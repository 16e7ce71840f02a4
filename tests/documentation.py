"""Code blocks of pages: read from Markdown, and run in the order in which they stand, in one folder and namespace.

What a block is, its first line says::

    ```python                             run; names last to the end of the page
    ```console                            every `$ hf-trace …` is run and must end well
    ```console title="Refused"            its last command must fail with the `error: …` that is shown
    ```text title="Prints"                what the block before it prints on stdout, word for word
    ```text title="Prints, for example"   the same, where numbers follow the machine: not compared
    ```json title="known.json"            written to a file of that name
    ```… title="Not run: why"             shown only
"""

import contextlib
import io
import re
import shlex
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)(?P<rest>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
RUN = ("python", "console")
NOT_RUN = "Not run"


@dataclass(frozen=True)
class Block:
    """One block of a page, and the line it begins on."""

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.language in RUN and not self.is_marked

    @property
    def is_marked(self) -> bool:
        return self.title.startswith(NOT_RUN)

    @property
    def commands(self) -> list[str]:
        """What stands after the dollars, lines that go on joined."""
        joined = re.sub(r"\\\n\s*>?\s*", "", self.text)
        return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        title = re.search(r'title="([^"]*)"', fence["rest"])
        line = text.count("\n", 0, fence.start()) + 1
        body = textwrap.dedent(fence["text"])
        page = str(path.relative_to(ROOT))
        found.append(Block(page, line, fence["language"], title[1] if title else "", body))
    return found


def pages() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


class Reader:
    """Someone who follows a page, block by block, in the working folder."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "page"}
        self.printed = ""
        self.run = 0

    def follow(self, block: Block) -> None:
        if block.is_marked:
            return
        if block.language == "python":
            self._python(block)
        elif block.language == "console":
            self._console(block)
        elif block.language == "text" and block.title == "Prints":
            assert _lines(self.printed) == _lines(block.text), f"{block}: printed\n{self.printed}"
        elif re.fullmatch(r"[\w-]+\.\w+", block.title):
            Path(block.title).write_text(block.text, encoding="utf-8")
        self.run += block.is_run

    def _python(self, block: Block) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile("\n" * block.line + block.text, block.page, "exec"), self.names)
        self.printed = out.getvalue()

    def _console(self, block: Block) -> None:
        self.printed = ""
        for number, command in enumerate(block.commands, 1):
            refused = block.title == "Refused" and number == len(block.commands)
            code, out, err = command_line(command)
            assert code == int(refused), f"{block}: {command}\n{err}"
            self.printed += out
            if refused:
                told = [line for line in block.text.splitlines() if line.startswith("error: ")]
                assert _lines(err)[-1:] == told, f"{block}: {err}"


def command_line(command: str) -> tuple[int, str, str]:
    """Run ``hf-trace …`` in this process; exit code, stdout, stderr."""
    from hf_trace import cli
    from hf_trace.cli import console

    words = shlex.split(command, comments=True)
    assert words[0] == "hf-trace", f"{command!r} is no command of ours; mark its block as not run"
    before, out, err = sys.argv, io.StringIO(), io.StringIO()
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    finally:
        sys.argv = before
        console._stdout.quiet = console._stderr.quiet = False
    raise AssertionError("a command line ends with SystemExit")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
