"""Writes the tokenizers of ``tokenizer/``, each anew from its source.

python recipes/ready_tokenizers.py --out tokenizer    # seconds; chess needs python-chess
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.logs.samples import alarms_log
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows
from hf_trace.logs.writing import write_json_lines
from hf_trace.tables.schema import DagSchema, random_order
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

RECIPES = Path(__file__).parent
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


@contextmanager
def importing(recipe: str) -> Iterator[None]:
    """Within the block, modules of a recipe can be imported."""
    sys.path.insert(0, str(RECIPES / recipe))
    try:
        yield
    finally:
        sys.path.remove(str(RECIPES / recipe))


def build_maze(folder: str | PathLike[str]) -> DagTokenizer:
    """The tokenizer of robots in mazes, written as its recipe trains."""
    with importing("maze"):
        from maze_world import schema
    return build_dag(schema(), folder, history="full")


def build_chess(folder: str | PathLike[str]) -> DagTokenizer:
    """The tokenizer of rook and queen endgames, written as its recipe trains."""
    with importing("chess-endgame"):
        from notation import schema
    return build_dag(schema(), folder)


def build_pump(folder: str | PathLike[str]) -> DagTokenizer:
    """The tokenizer of the pumping station of recipe ``checkpoints``."""
    with importing("checkpoints"):
        from pump_station import schema
    return build_dag(schema(), folder, history="full", order="random")


BUILDERS = {"alarms": build_alarms, "pump_dag": build_pump, "maze": build_maze, "chess": build_chess}


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RECIPES.parent / "tokenizer")
    folder = parser.parse_args().out
    for name, build in BUILDERS.items():
        build(folder / name)


if __name__ == "__main__":
    main()
