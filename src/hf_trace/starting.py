"""Ctrl-C while the program or a library is still being loaded: it ends without a traceback."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from types import FrameType
from typing import NoReturn


def is_program(arguments: Sequence[str], command: Sequence[str]) -> bool:
    """Whether this process runs ``hf-trace``, and not another program that uses the package.

    Args:
        arguments: As ``sys.argv``, which begins with ``-m`` while a module is being looked for.
        command: As ``sys.orig_argv``.

    Example:
        >>> is_program(["/usr/bin/hf-trace", "demo"], []), is_program(["-m"], ["python", "-m", "hf_trace", "demo"])
        (True, True)
        >>> is_program(["mine.py"], ["python", "mine.py"])
        False
    """
    if arguments[:1] == ["-m"]:
        return any(pair == ("-m", "hf_trace") for pair in pairwise(command))
    return os.path.basename(arguments[0] if arguments else "") == "hf-trace"


_pressed: list[int] = []


def _end(number: int, frame: FrameType | None) -> NoReturn:
    # Nothing is begun yet that would have to be cleaned up, and half-loaded libraries are not asked.
    os.write(2, b"error: Interrupted.\n")
    os._exit(130)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _pressed.append(number)
    raise KeyboardInterrupt


def end_loading() -> None:
    """From here on commands are interrupted as they expect it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _interrupt)


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed: libraries that are being loaded make another exception of it."""
    return bool(_pressed)


def end_now(code: int) -> NoReturn:
    """End the process: libraries that were cut short while they were loaded may crash when they are unloaded.

    Args:
        code: Its exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


if is_program(sys.argv, sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
