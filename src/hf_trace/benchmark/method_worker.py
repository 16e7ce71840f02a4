"""Runs one method, a function of a file, on one log: by itself, in whatever environment the method needs.

    python method_worker.py FILE FUNCTION LOG.npz ANSWER.npz

This file is read by interpreters that know nothing of the package around it: it imports NumPy and nothing else.
"""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Events(NamedTuple):
    """A log as a method gets it; where the package is installed, ``EventLog(*events)`` is the same with its methods.

    Attributes:
        event_types: Names of the types; the index is the code.
        codes: Type of every event, sequence after sequence.
        offsets: Sequence ``i`` is ``codes[offsets[i]:offsets[i + 1]]``.
        timestamps: Seconds, never decreasing within a sequence.
        ids: Name of every sequence.
    """

    event_types: tuple[str, ...]
    codes: np.ndarray
    offsets: np.ndarray
    timestamps: np.ndarray
    ids: tuple[str, ...]


def load_function(file: str, name: str) -> Any:
    """A function of a file that need not be in a package; what lies beside the file can be imported by it."""
    sys.path.insert(0, str(Path(file).resolve().parent))
    spec = importlib.util.spec_from_file_location("method", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def tables_of_method(function: Any, events: Events) -> dict[str, Any]:
    """What a method says of a log: scores, edges where it names some, and its processor seconds.

    Raises:
        ValueError: If it is no table of all pairs of types, or holds no numbers.
    """
    started = time.process_time()
    found = function(events)
    seconds = time.process_time() - started
    scores, edges = found if isinstance(found, tuple) else (found, None)
    size = len(events.event_types)
    tables = {"scores": np.asarray(scores, dtype=np.float64)}
    if edges is not None:
        tables["edges"] = np.asarray(edges, dtype=bool)
    for name, table in tables.items():
        if table.shape != (size, size):
            raise ValueError(f"{name} have the shape {table.shape}, expected ({size}, {size}): [cause, effect].")
    finite = np.isfinite(tables["scores"])
    if not finite.any():
        raise ValueError("scores hold no finite number, expected one for every pair.")
    # A pair that was not looked at comes last.
    tables["scores"] = np.where(finite, tables["scores"], tables["scores"][finite].min())
    return {**tables, "seconds": seconds}


def run_method(file: str, name: str, log: str, answer: str) -> None:
    """Read the log, call the function, write what it says."""
    sys.path.pop(0)  # the folder of this file, whose modules are not the method's
    with np.load(log) as job:
        names = {key: tuple(job[key].tolist()) for key in ("event_types", "ids")}
        events = Events(**{key: names.get(key, job[key]) for key in Events._fields})
    np.savez(answer, **tables_of_method(load_function(file, name), events))


if __name__ == "__main__":
    run_method(*sys.argv[1:])
