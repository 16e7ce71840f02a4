"""Seconds and memory of a by-type graph with a large vocabulary."""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.world_model import save_oracle
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import WORLDS, World

MEGABYTE = 2**20


def measured_memory(types: int, sequences: int, out: Path) -> dict:
    """The steep world as its own oracle, read from a file: drawing its weights takes more memory than scoring."""
    folder = out / "oracles" / f"steep-{types}"
    if not (folder / "config.json").exists():
        _alone(_written, types, folder)
    return _alone(_scored, types, sequences, folder)


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own, whose peak is that of nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _written(types: int, folder: Path) -> None:
    save_oracle(World(replace(WORLDS["steep"], types=types)), folder)


def _scored(types: int, sequences: int, folder: Path) -> dict:
    model = EventModel.load(folder)
    log = replace(simulate(model.model.exact, sequences).log, timestamps=None)
    before, started = _peak(), time.perf_counter()
    request = DiscoveryRequest().updated(level="population", construction="by-type")
    graph = log_result(model, log, request).graph
    weights = sum(part.numel() * part.element_size() for part in model.model.buffers()) / MEGABYTE
    return {
        "types": types, "sequences": sequences, "edges": len(graph), "seconds": time.perf_counter() - started,
        "weights_mb": weights, "before_mb": before, "peak_mb": _peak(),
    }  # fmt: skip


def _peak() -> float:
    """Largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
