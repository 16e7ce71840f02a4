"""A file of questions, in parts that processes share."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hf_trace.errors import HfTraceError, ProcessError
from hf_trace.hub.processes import Processes
from hf_trace.hub.shards import shared_out

# Questions that are answered together; more gain little.
TOGETHER = 256
Answerer = Callable[[list[Mapping[str, Any]]], list[dict[str, Any]]]


def parts_of(records: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Numbers of questions that are answered together: those that ask about the same variables, some at a time.

    The parts depend on the questions alone, never on the number of processes: neither do the answers.

    Example:
        >>> asked = [{"target": "Y", "do": {"A": value}} for value in "ab"] + [{"target": "Z"}]
        >>> parts_of(asked)
        [[0, 1], [2]]
    """
    alike: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        alike.setdefault(_form(record), []).append(number)
    return [
        group[start : start + TOGETHER]
        for group in alike.values()
        for start in range(0, len(group), TOGETHER)
    ]


def answered(
    answer: Answerer, records: Sequence[Mapping[str, Any]], processes: Processes
) -> list[dict[str, Any]]:
    """The answers to all questions, in their order, in every process.

    Args:
        answer: Answers a list of questions.
        records: The questions.
        processes: Who answers.

    Raises:
        ProcessError: If this process fails beside others, or another has ended.
    """
    parts = parts_of(records)
    mine = shared_out([len(part) for part in parts], processes.count)[processes.index]
    found: list[tuple[int, dict[str, Any]]] = []
    try:
        for place in mine:
            some = [records[number] for number in parts[place]]
            found += zip(parts[place], answer(some), strict=True)
    except HfTraceError as error:
        if processes.count == 1:
            raise
        raise ProcessError(f"Process {processes.index + 1} of {processes.count}: {error}") from error
    together = dict(processes.gathered(found))
    return [together[number] for number in range(len(records))]


def _form(record: Any) -> str:
    """What a question asks about, without the values."""
    if not isinstance(record, Mapping):
        return ""
    asked = {name: sorted(value) if isinstance(value, Mapping) else value for name, value in record.items()}
    return json.dumps(asked, sort_keys=True, default=str)
