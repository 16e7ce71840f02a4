"""Methods that are not of the package: a function of somebody's file, run by itself, maybe in another environment."""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_trace.benchmark import method_worker, peer_methods
from hf_trace.benchmark.methods import PairsFound
from hf_trace.checks import one_of
from hf_trace.documents import Document
from hf_trace.errors import ProcessError, SettingsError, preview, visible
from hf_trace.logs.log import EventLog


@dataclass(frozen=True)
class ForeignMethod:
    """A function that takes a log and gives scores of all pairs of its types.

    The function gets an object with ``event_types``, ``codes``, ``offsets``, ``timestamps`` and ``ids`` (see
    ``method_worker.Events``) and returns scores ``[cause, effect]``, or a pair of scores and edges. It sees no truth.

    Attributes:
        name: What it is called in tables.
        file: The Python file.
        function: Its name there.
        python: The interpreter that runs it.
    """

    name: str
    file: Path
    function: str
    python: str = sys.executable

    @property
    def about(self) -> str:
        """Where it is from, in a line."""
        return f"`{self.function}` of {self.file.name}, run by itself"

    def answer(self, log: EventLog, limit: float) -> PairsFound:
        """Run it on a log.

        Args:
            log: The events.
            limit: Seconds after which it is ended.

        Raises:
            ProcessError: If it fails, does not end, or says something else than scores of all pairs.
        """
        with tempfile.TemporaryDirectory() as folder:
            job, answer = Path(folder, "log.npz"), Path(folder, "answer.npz")
            arrays: Document = {name: np.asarray(getattr(log, name)) for name in method_worker.Events._fields}
            np.savez(job, **arrays)
            command = [self.python, method_worker.__file__, str(self.file), self.function, str(job), str(answer)]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=limit,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise ProcessError(f"{self.name} has not ended within {limit:.0f} s. Allow more: `--limit`.") from None
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise ProcessError(f"{self.name} failed: {visible(last)[:300]}")
            return PairsFound.read(answer)


def named_function(text: str) -> ForeignMethod:
    """What ``--method FILE.py:FUNCTION`` names.

    Raises:
        SettingsError: If it is no such pair, or there is no such file or function.

    Example:
        >>> named_function("nowhere.py:scores")
        Traceback (most recent call last):
        hf_trace.errors.SettingsError: There is no file 'nowhere.py'. Expected FILE.py:FUNCTION.
    """
    file, _, function = text.rpartition(":")
    if not file or not function.isidentifier():
        raise SettingsError(f"method is {text!r}, expected FILE.py:FUNCTION, such as mine.py:scores.")
    if not Path(file).is_file():
        raise SettingsError(f"There is no file {file!r}. Expected FILE.py:FUNCTION.")
    if function not in (names := _names(Path(file))):
        raise SettingsError(f"{file!r} has {preview(names) if names else 'no names'}, expected {function!r}. Name one.")
    return ForeignMethod(function, Path(file).resolve(), function)


def _names(file: Path) -> list[str]:
    """What a file of Python defines or imports."""
    try:
        parts = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError) as error:
        raise SettingsError(f"{str(file)!r} is no Python ({error}). Expected FILE.py:FUNCTION.") from None
    found: list[str] = []
    for part in parts:
        if isinstance(part, ast.FunctionDef):
            found.append(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            found += [each.asname or each.name for each in part.names]
        elif isinstance(part, ast.Assign):
            found += [each.id for each in part.targets if isinstance(each, ast.Name)]
    return found


def named_peer(text: str) -> ForeignMethod:
    """What ``--peer NAME=PYTHON`` names: a package, and the interpreter of an environment that has it.

    Raises:
        SettingsError: If the package is not one that is known, or there is no such interpreter.

    Example:
        >>> named_peer("tigramit=env/bin/python")
        Traceback (most recent call last):
        hf_trace.errors.SettingsError: ...Did you mean 'tigramite'?
    """
    name, _, python = text.partition("=")
    one_of("peer", name, peer_methods.PEERS)
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        raise SettingsError(
            f"peer is {text!r}, and {python!r} is no interpreter. Expected {name}=ENV/bin/python, of an environment "
            f"with {name}: `python -m venv ENV; ENV/bin/pip install {name}`."
        )
    return ForeignMethod(name, Path(peer_methods.__file__), peer_methods.PEERS[name], python)


def methods_by_name(methods: Sequence[ForeignMethod], taken: Mapping[str, object]) -> dict[str, ForeignMethod]:
    """Methods by name.

    Raises:
        SettingsError: If two have one name.
    """
    found: dict[str, ForeignMethod] = {}
    for each in methods:
        if each.name in taken or each.name in found:
            raise SettingsError(f"Two methods are called {each.name!r}. Give the function another name.")
        found[each.name] = each
    return found
