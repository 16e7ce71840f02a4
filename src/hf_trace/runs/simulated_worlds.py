"""``hf-trace simulate``: a world's log, its truth and its exact oracle as one folder that is also a data set."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from hf_trace.checks import whole
from hf_trace.documents import Document
from hf_trace.errors import SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.options import SEED
from hf_trace.runs.folders import TRAINING_FILE, write_json
from hf_trace.runs.new_folders import WORLD, check_replaceable, new_folder
from hf_trace.runs.world_model import save_oracle
from hf_trace.worlds.process_intensity import type_log_probs
from hf_trace.worlds.process_simulator import ProcessSimulation, simulate_process
from hf_trace.worlds.process_spec import ProcessSpec
from hf_trace.worlds.simulator import DELTA, Simulation, replacement_scores, simulate, type_names
from hf_trace.worlds.world import World, WorldSpec

EVENTS_FILE, TRUTH_FILE, PAIRS_FILE = "events.parquet", "truth.json", "true_pairs.parquet"
VARIABLES_FILE = "true_variables.json"
EQ_21 = "Eq. 21 of TRACE ([arXiv 2602.01135](https://arxiv.org/abs/2602.01135))"
PROCESS = "a Hawkes process (Biometrika 58, 1971) with what real logs have beside it"
SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
# Structural truth lists every pair with a weight.
_MOST_LISTED_TYPES = 2_000
_TRUTH_SEQUENCES = 100
Advance = Callable[[float], None]


@dataclass(frozen=True)
class SimulatedWorld:
    """What was written.

    Attributes:
        folder: Where.
        log: The recorded events.
        truth: Which types cause which.
        entropy: Nats per event that no model can beat, where they are known.
    """

    folder: Path
    log: EventLog
    truth: CausalGraph
    entropy: float | None


def simulate_folder(
    spec: WorldSpec,
    out: str | PathLike[str],
    *,
    sequences: int = 1000,
    truth_sequences: int | None = None,
    truth_samples: int = 200,
    seed: int = SEED.default,
    overwrite: bool = True,
    advance: Advance = lambda _: None,
) -> SimulatedWorld:
    """Write ``events.parquet``, ``truth.json``, ``true_pairs.parquet``, ``training.json``, a card and ``oracle/``.

    Where what is recorded has a closed form, truth is TRACE's: pairs of events whose replacement moves the
    probability by more than 0.05 nats, and the pairs of types they carry. Else it is structural: pairs of types
    with a weight.

    Args:
        spec: The world.
        out: Folder to write.
        sequences: How many sequences.
        truth_sequences: Of how many the truth is computed, from the first; by default 100 or all.
        truth_samples: Uniform draws behind the truth.
        seed: Seed of the events and of the truth's draws.
        overwrite: Whether an older world in ``out`` is replaced.
        advance: Called with the share that is done, 0 to 100.

    Raises:
        SettingsError: If a number is below 1, or the world is too large for a structural truth.
        OutputError: If the folder cannot be written or holds something else.
    """
    if truth_sequences is None:
        truth_sequences = min(sequences, _TRUTH_SEQUENCES)
    counts = {"sequences": sequences, "truth_sequences": truth_sequences, "truth_samples": truth_samples}
    for name, value in counts.items():
        whole(name, value)
    if not spec.is_exact and spec.types > _MOST_LISTED_TYPES:
        raise SettingsError(
            f"The world has {spec.types} types and no exact truth, expected at most {_MOST_LISTED_TYPES}."
        )
    check_replaceable(out, WORLD, overwrite=overwrite)
    world = World(spec)
    simulation = simulate(world, sequences, seed=seed, advance=lambda done: advance(50 * done / sequences))
    pairs = _true_pairs(world, simulation, min(sequences, truth_sequences), truth_samples, seed, advance)
    truth = _pair_graph(spec, pairs) if spec.is_exact else _structural_graph(world)
    truth.metadata.update(world=spec.to_dict(), entropy=simulation.entropy, delta=DELTA)
    with new_folder(out, WORLD, overwrite=overwrite) as folder:
        _events(simulation.log).to_parquet(folder / EVENTS_FILE, index=False)
        truth.save(folder / TRUTH_FILE)
        if spec.is_exact:
            pairs.to_parquet(folder / PAIRS_FILE, index=False)
            save_oracle(world, folder / "oracle")
        document = {
            "kind": "world",
            "world": spec.to_dict(),
            "sequences": sequences,
            "seed": seed,
            "entropy": simulation.entropy,
        }
        write_json(folder / TRAINING_FILE, document)
        (folder / "README.md").write_text(_card(simulation.log, document, truth, _EQ_21_FILES), encoding="utf-8")
    return SimulatedWorld(Path(out), simulation.log, truth, simulation.entropy)


def simulate_process_folder(
    spec: ProcessSpec,
    out: str | PathLike[str],
    *,
    sequences: int = 60,
    seed: int = SEED.default,
    overwrite: bool = True,
    advance: Advance = lambda _: None,
) -> SimulatedWorld:
    """Write ``events.parquet``, ``truth.json``, ``training.json``, a card and, with variables, ``true_variables.json``.

    The entropy is that of an event's type given its time and the past, measured on the first 100 sequences; it is known
    where the world is exact.

    Args:
        spec: The world, in continuous time.
        out: Folder to write.
        sequences: How many sequences.
        seed: Seed of the events.
        overwrite: Whether an older world in ``out`` is replaced.
        advance: Called with the share that is done, 0 to 100.

    Raises:
        SettingsError: If a number is below 1, or nothing or far too much would happen.
        OutputError: If the folder cannot be written or holds something else.
    """
    check_replaceable(out, WORLD, overwrite=overwrite)
    written = simulate_process(spec, sequences, seed=seed, advance=lambda done: advance(50 * done / sequences))
    entropy = _type_entropy(spec, written, advance) if spec.is_exact else None
    log, truth = written.log, written.truth
    truth.metadata.update(world=spec.to_dict(), entropy=entropy)
    document = {
        "kind": "world",
        "world": spec.to_dict(),
        "written_from": PROCESS,
        "sequences": sequences,
        "seed": seed,
        "entropy": entropy,
    }
    with new_folder(out, WORLD, overwrite=overwrite) as folder:
        _events(log).to_parquet(folder / EVENTS_FILE, index=False)
        truth.save(folder / TRUTH_FILE)
        if written.variables is not None:
            written.variables.save(folder / VARIABLES_FILE)
        write_json(folder / TRAINING_FILE, document)
        (folder / "README.md").write_text(_card(log, document, truth, _PROCESS_FILES), encoding="utf-8")
    return SimulatedWorld(Path(out), log, truth, entropy)


def _type_entropy(spec: ProcessSpec, written: ProcessSimulation, advance: Advance) -> float:
    """Mean nats of an event's type, given its time and all before it, in the first sequences."""
    log, nats = written.log, []
    count = min(len(log), _TRUTH_SEQUENCES)
    for number in range(count):
        span = slice(*log.offsets[number : number + 2])
        logs = type_log_probs(spec, log[number], log[number].timestamps or ())
        nats.append(-logs[np.arange(len(logs)), log.codes[span]])
        advance(50 + 50 * (number + 1) / count)
    return float(np.concatenate(nats).mean())


def world_facts(document: Document, truth: CausalGraph) -> dict[str, str]:
    """What cards say of a world beside its size: its entropy, where it is known, and how many pairs are true.

    Args:
        document: What ``training.json`` holds.
        truth: Its known graph.
    """
    entropy, types = document["entropy"], document["world"]["types"]
    given, count = (" given its time", len(types)) if "written_from" in document else ("", types)
    nats = "" if entropy is None else f"{entropy:.3f} nats (uniform: {np.log(count):.3f})"
    facts = {f"entropy of the next event{given}": nats} if nats else {}
    return {**facts, "true pairs of types": f"{len(truth.edges):,} ({truth.metadata['truth']})"}


def _true_pairs(
    world: World, simulation: Simulation, count: int, num_samples: int, seed: int, advance: Advance
) -> pd.DataFrame:
    """All pairs of positions within memory, with their exact score."""
    columns = ["id", "cause_position", "effect_position", "cause", "effect", "cmi"]
    if not world.spec.is_exact:
        return pd.DataFrame(columns=columns)
    names, parts = np.array(type_names(world.spec.types), dtype=object), []
    for number in range(count):
        codes = simulation.codes[number]
        scores = replacement_scores(world, codes, num_samples=num_samples, seed=seed + 7_919 * (number + 1))
        cause, lag = np.isfinite(scores).nonzero()
        effect = cause + lag + 1
        table = (str(number), cause, effect, names[codes[cause]], names[codes[effect]], scores[cause, lag])
        parts.append(pd.DataFrame(dict(zip(columns, table, strict=True))))
        advance(50 + 50 * (number + 1) / count)
    return pd.concat(parts, ignore_index=True)


def _pair_graph(spec: WorldSpec, pairs: pd.DataFrame) -> CausalGraph:
    """Pairs of types that carry a true pair of positions somewhere."""
    kept = pairs[(pairs["cmi"] > DELTA) & (pairs["cause"] != pairs["effect"])]
    grouped = kept.groupby(["cause", "effect"])["cmi"].agg(["max", "size"]).reset_index()
    edges = tuple(
        {"cause": row["cause"], "effect": row["effect"], "cmi": float(row["max"]), "support": int(row["size"])}
        for row in grouped.to_dict("records")
    )
    return CausalGraph("summary", type_names(spec.types), edges, {"truth": "replacement"})


def _structural_graph(world: World) -> CausalGraph:
    """Pairs of recorded types with a weight at the start or, where the world drifts, at the end."""
    names = type_names(world.spec.types)
    first, last = world.acts(), world.drifted(world.spec.drift).acts()
    seen = np.setdiff1d(np.arange(len(names)), world.spec.hidden)
    edges = tuple(
        {"cause": names[cause], "effect": names[effect], "weight": float(first[cause, effect])}
        for cause, effect in zip(*np.nonzero((first != 0) | (last != 0)), strict=True)
        if cause != effect and cause in seen and effect in seen
    )
    return CausalGraph("summary", tuple(names[code] for code in seen), edges, {"truth": "structural"})


def _events(log: EventLog) -> pd.DataFrame:
    """One row per event, with the split of its sequence."""
    lengths = log.sequence_lengths
    bounds = np.cumsum(list(SPLITS.values())) * len(log)
    split = np.array(list(SPLITS), dtype=object)[np.searchsorted(bounds[:-1], np.arange(len(log)), "right")]
    return pd.DataFrame({
        "id": np.repeat(np.array(log.ids, dtype=object), lengths),
        "event": np.array(log.event_types, dtype=object)[log.codes],
        "time": log.timestamps,
        "split": np.repeat(split, lengths),
    })  # fmt: skip


_EQ_21_FILES = f"""`{TRUTH_FILE}` the pairs of types that are
true causes. Where the world has a closed form, `{PAIRS_FILE}` has the exact score of every pair of events of the
first sequences and `oracle/` is the world as a model that `AutoModelForCausalLM` loads after `import hf_trace`."""
_PROCESS_FILES = f"""`{TRUTH_FILE}` the pairs of types that are
true causes, with the expected number of caused events (`weight`), the mean delay in seconds and the direction. Where
types are values of variables, `{VARIABLES_FILE}` has the same between variables."""


def _card(log: EventLog, document: Document, truth: CausalGraph, files: str) -> str:
    """A data card that `datasets` reads its configuration from."""
    facts = {
        "sequences": f"{len(log):,}",
        "events": f"{len(log.codes):,}",
        "event types": f"{len(log.event_types):,}",
        **world_facts(document, truth),
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"""---
pretty_name: Event sequences of a simulated world with known causes
tags: [causal-discovery, event-sequences, synthetic]
license: apache-2.0
configs:
- config_name: events
  data_files: {EVENTS_FILE}
---
# Event sequences of a simulated world with known causes

Written by `hf-trace simulate` from {document.get("written_from", EQ_21)}.

| | |
|---|---|
{rows}

`{EVENTS_FILE}` has one row per event (`id`, `event`, `time`, `split`), {files}

The world:

```json
{json.dumps(document["world"])}
```
"""
