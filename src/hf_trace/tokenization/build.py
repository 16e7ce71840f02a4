"""The ready tokenizers of ``tokenizer/``, each built anew from its source."""

from os import PathLike
from pathlib import Path

import numpy as np

from hf_trace.data.samples import alarms_log
from hf_trace.data.sequence import EventSequence
from hf_trace.data.windows import cut_windows
from hf_trace.data.writing import write_json_lines
from hf_trace.tokenization.event_tokenizer import EventTokenizer

VOCABULARY_FILE = "vocabulary.txt"
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
    (folder / VOCABULARY_FILE).write_text(
        "".join(f"{name}\n" for name in tokenizer.event_types), encoding="utf-8"
    )

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
