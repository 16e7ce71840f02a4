"""Population pools that are kept in a file: new sequences are added to those pooled before."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.causal.pool_files import load_pool, save_pool
from hf_trace.causal.pool_state import PoolState
from hf_trace.causal.population import PopulationPool
from hf_trace.causal.thresholds import parse_threshold
from hf_trace.data.log import EventLog
from hf_trace.errors import SettingsError, preview
from hf_trace.hub.pipelines import CausalDiscoveryPipeline


@dataclass(frozen=True)
class StoredPool:
    """A pool and the sequences that are still to be added to it.

    Attributes:
        path: Its file.
        pool: What was pooled so far.
        new: Sequences of the log that are not in it.
        known: How many of the log are.
        made_by: What must be the same for the pool to go on: settings, and a digest of the model.
    """

    path: Path
    pool: PopulationPool
    new: EventLog
    known: int
    made_by: dict[str, Any]

    def save(self) -> None:
        """Write the pool with all that was added.

        Raises:
            OutputError: If the file cannot be written.
        """
        save_pool(self.pool.state(), self.made_by, self.path)


def open_pool(
    discover: CausalDiscoveryPipeline, log: EventLog, path: str | PathLike[str], **parameters: Any
) -> StoredPool:
    """Read the pool of a file, or start one where there is none.

    Args:
        discover: The pipeline that scores the new sequences.
        log: Sequences; those that are in the pool already are left out.
        path: The file.
        parameters: Call parameters of the pipeline.

    Raises:
        GraphFormatError: If the file is no pool.
        SettingsError: If its sequences were scored by another model or with other settings, or a sequence of the log
            has the name of one in the pool but other events.
    """
    path = Path(path)
    preprocess, forward, _ = discover._merged_parameters({**parameters, "level": "population"})
    settings = forward["settings"]
    digests = [_digest(discover.model)]
    if parse_threshold(settings.threshold).has_confidence:
        digests += [_digest(member.model) for member in discover.members]
    made_by = {**settings.to_dict(), **preprocess, "model": " ".join(digests)}
    threshold = parse_threshold(settings.threshold)
    if not path.exists():
        pool = PopulationPool(threshold, self_loops=settings.self_loops, keep_sequences=True)
        return StoredPool(path, pool, log, 0, made_by)
    state, earlier = load_pool(path)
    _refuse_other(path, earlier, made_by)
    pool = PopulationPool.from_state(threshold, state, self_loops=settings.self_loops)
    new = _new_sequences(state, log)
    return StoredPool(path, pool, log.select(new), len(log) - len(new), made_by)


def _new_sequences(state: PoolState, log: EventLog) -> list[int]:
    """Indices of the sequences that are not in the pool."""
    code = {name: number for number, name in enumerate(state.event_types)}
    codes = np.array([code.get(name, -1) for name in log.event_types], dtype=np.int64)
    known = dict(zip(state.ids, state.events, strict=True))
    new, changed = [], []
    for index, name in enumerate(log.ids):
        if name not in known:
            new.append(index)
        elif not np.array_equal(known[name], codes[log.codes[log.offsets[index] : log.offsets[index + 1]]]):
            changed.append(name)
    if changed:
        noun = "sequence has" if len(changed) == 1 else "sequences have"
        raise SettingsError(
            f"{len(changed)} {noun} the name of one in the pool but other events: {preview(changed)}. A pool adds "
            "sequences and cannot replace them: start a new one, or give new sequences names of their own."
        )
    return new


def _refuse_other(path: Path, earlier: Mapping[str, Any], made_by: Mapping[str, Any]) -> None:
    for name in dict.fromkeys([*made_by, *earlier]):
        was, now = earlier.get(name), made_by.get(name)
        if was != now:
            found = f"another {name}" if name in ("model", "knowledge") else f"{name} {was!r}, not {now!r}"
            raise SettingsError(
                f"The pool {str(path)!r} was made with {found}, expected the same to add to it. Give the settings it "
                "had, or start a new pool."
            )


def _digest(model: Any) -> str:
    """A text that differs for other weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
