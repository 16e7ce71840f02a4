"""The ready tokenizers of ``tokenizer/``, each built anew from its source."""

import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.logs.samples import alarms_log
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows
from hf_trace.logs.writing import write_json_lines
from hf_trace.tables.schema import DagSchema, random_order
from hf_trace.tables.variables import MISSING, Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

VOCABULARY_FILE = "vocabulary.txt"
DAG_FILE = "dag.json"
EXAMPLES_FILE = "examples.jsonl"
_EXAMPLES = 10
_EXAMPLE_LENGTH = 8


def build_alarms(folder: str | PathLike[str]) -> EventTokenizer:
    """Write the tokenizer of the packaged telecom alarms, with gap tokens between events.

    Beside ``tokenizer.json`` and ``tokenizer_config.json`` there is ``vocabulary.txt`` (the event types in the
    order of their ids) and ``examples.jsonl`` (records, their tokens and ids).

    Args:
        folder: Where to write; made if absent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    log = alarms_log()
    tokenizer = EventTokenizer.from_log(log)
    tokenizer.save_pretrained(folder)
    (folder / VOCABULARY_FILE).write_text("".join(f"{name}\n" for name in tokenizer.event_types), encoding="utf-8")

    windows = cut_windows(log, length=_EXAMPLE_LENGTH)
    spread = np.linspace(0, len(windows) - 1, _EXAMPLES).astype(int)
    write_json_lines(folder / EXAMPLES_FILE, [_example(tokenizer, windows[int(index)]) for index in spread])
    return tokenizer


def _example(tokenizer: EventTokenizer, sequence: EventSequence) -> dict[str, object]:
    record: dict[str, object] = {"id": sequence.id, "events": list(sequence.events)}
    if sequence.timestamps is not None:
        record["timestamps"] = list(sequence.timestamps)
    ids = tokenizer.encode(sequence).input_ids.tolist()
    return {"record": record, "tokens": tokenizer.tokenizer.convert_ids_to_tokens(ids), "input_ids": ids}


def pump_schema() -> DagSchema:
    """A small graph with variables of every kind but text: why a pumping station overflows."""
    bins, levels = ("< 20", "20 – 60", "≥ 60", MISSING), ("none", "basic", "full")
    means = (11.0, 38.0, 84.0, math.nan)
    return DagSchema(
        (
            Variable("weather", values=("dry", "rain")),
            Variable("maintenance", "ordinal", values=levels),
            Variable("inflow", "numeric", ("weather",), bins, (20.0, 60.0), means),
            Variable("pump", values=("off", "slow", "fast"), parents=("maintenance", "inflow")),
            Variable("alarms", "sequence", ("inflow", "pump"), ("high level", "vibration", "leak"), max_length=4),
            Variable("overflow", values=("no", "yes"), parents=("weather", "alarms", "pump")),
        )
    )


def build_pump_dag(folder: str | PathLike[str]) -> DagTokenizer:
    """Write the tokenizer of the pumping station; see ``build_dag``."""
    return build_dag(pump_schema(), folder, history="full", order="random")


def build_dag(
    schema: DagSchema, folder: str | PathLike[str], *, history: str = "parents", order: str = "fixed"
) -> DagTokenizer:
    """Write the tokenizer of a table whose variables have a known graph.

    Beside ``tokenizer.json`` and ``tokenizer_config.json`` there is ``dag.json`` (the graph) and ``examples.jsonl``
    (records of values drawn at random, the order of their variables, their tokens and ids).

    Args:
        schema: The graph.
        folder: Where to write; made if absent.
        history: ``"parents"`` or ``"full"``, see ``DagTokenizer``.
        order: ``"fixed"`` or ``"random"``, see ``DagTokenizer``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = DagTokenizer.from_schema(schema, history=history, order=order)
    tokenizer.save_pretrained(folder)
    schema.save(folder / DAG_FILE)
    rng = np.random.default_rng(0)
    write_json_lines(folder / EXAMPLES_FILE, [_row_example(tokenizer, rng) for _ in range(_EXAMPLES)])
    return tokenizer


def _row_example(tokenizer: DagTokenizer, rng: np.random.Generator) -> dict[str, object]:
    record = {variable.name: _drawn(variable, rng) for variable in tokenizer.schema.variables}
    order = random_order(tokenizer.schema, rng)
    contents = {name: tokenizer.content(name, value) for name, value in record.items()}
    ids = tokenizer.sequencify(contents, order)
    tokens = tokenizer.tokenizer.convert_ids_to_tokens(ids)
    return {"record": record, "order": order, "tokens": tokens, "input_ids": ids}


def _drawn(variable: Variable, rng: np.random.Generator) -> Any:
    """A value as a user would write it."""
    if variable.kind == "sequence":
        return rng.choice(variable.values, rng.integers(variable.max_length or 1, endpoint=True)).tolist()
    if variable.kind == "numeric" and rng.random() < 0.5:
        return round(float(rng.uniform(0, 100)), 1)
    return str(rng.choice(variable.values))
