"""What a user asks of variables, as names and values, to questions in codes; files of questions in parts."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.checks import near, whole
from hf_trace.documents import Document, parse_json
from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.queries import Continue, Follow, Force, Intervention, Query
from hf_trace.errors import HfTraceError, PipelineInputError, ProcessError, QueryError, preview
from hf_trace.runs.processes import Processes, shared_out
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

RECORD_KEYS = ("target", "do", "given", "contrast", "versus", "factual", "monotone", "selection")
REST = "..."


class QuestionReader:
    """Reads records for one model.

    Args:
        tokenizer: How values are written.
        conditionals: Where values that are not finite get their numbers.
    """

    def __init__(self, tokenizer: DagTokenizer, conditionals: Conditionals) -> None:
        self.tokenizer, self.conditionals = tokenizer, conditionals
        self.schema = tokenizer.schema

    def query(self, record: Any) -> Query:
        """The question of a record.

        Raises:
            PipelineInputError: If the record is not a mapping with a target.
            QueryError: If a variable or value does not exist.
        """
        check_record(record)
        do, given = record.get("do") or {}, record.get("given") or {}
        return Query(
            self.schema.observed(record["target"]).name,
            {name: self.intervention(name, value) for name, value in do.items()},
            {name: self.code(name, value) for name, value in given.items()},
            selection=self._selection(record.get("selection")),
        )

    def _selection(self, name: Any) -> str | None:
        """By which variable rows were chosen."""
        return None if name is None else self.schema[name].name

    def code(self, name: str, value: Any) -> int:
        """Number of a value."""
        self.schema.observed(name)
        return self.conditionals.code(name, self.tokenizer.content(name, value))

    def intervention(self, name: str, value: Any) -> Intervention:
        """What is done to a variable: a value, a beginning, or a policy."""
        variable = self.schema.observed(name)
        if variable.is_finite:
            is_policy = callable(value) or isinstance(value, (Mapping, list, tuple))
            return self._policy(variable, value) if is_policy else Force(self.code(name, value))
        if isinstance(value, Mapping):
            return self._beginning(variable, value)
        items = value.replace(",", " ").split() if isinstance(value, str) and variable.kind == "sequence" else value
        if isinstance(items, Sequence) and not isinstance(items, str) and items and items[-1] in (REST, ...):
            return self._beginning(variable, {"prefix": items[:-1]})
        return Force(self.code(name, items))

    def _beginning(self, variable: Variable, value: Mapping[str, Any]) -> Continue:
        if wrong := [key for key in value if key not in ("prefix", "length")]:
            raise QueryError(f"do[{variable.name!r}] has the key {wrong[0]!r}, expected 'prefix' or 'length' or both.")
        prefix = self.tokenizer.content(variable.name, value.get("prefix") or ("" if variable.kind == "text" else []))
        length = value.get("length")
        most, what = self.tokenizer.variables[variable.name].max_length, f"length of {variable.name!r}"
        if length is not None and whole(what, length, least=0, most=most, error=QueryError) < len(prefix) - 1:
            raise QueryError(
                f"length of {variable.name!r} is {length}, but its prefix has {len(prefix) - 1} items. Expected at "
                "least as many."
            )
        return Continue(prefix[:-1], length)

    def _policy(self, variable: Variable, value: Any) -> Follow:
        if callable(value):
            reads = tuple(getattr(value, "reads", self.conditionals.parents(variable.name)))
            return Follow(reads, self._by_row(variable, reads, value))
        rules = [value] if isinstance(value, Mapping) else list(value)
        if not rules or not all(map(_is_rule, rules)):
            raise QueryError(
                f"do[{variable.name!r}] is {str(value)[:80]!r}, expected one value, probabilities by value, or rules "
                '[{"when": {variable: value}, "then": {value: probability}}, …].'
            )
        rules = [rule if "then" in rule else {"when": {}, "then": rule} for rule in rules]
        for rule in rules:
            _distribution(variable, rule["then"])
            for name, known in (rule.get("when") or {}).items():
                self.code(name, known)
        reads = tuple(dict.fromkeys(name for rule in rules for name in rule.get("when") or {}))

        def first_that_fits(known: Mapping[str, str]) -> Any:
            for rule in rules:
                when = rule.get("when") or {}
                if all(self.code(name, each) == self.code(name, known[name]) for name, each in when.items()):
                    return rule["then"]
            raise QueryError(
                f"No rule of the policy of {variable.name!r} fits {dict(known)}. Add one without `when` at the end."
            )

        return Follow(reads, self._by_row(variable, reads, first_that_fits))

    def _by_row(
        self, variable: Variable, reads: tuple[str, ...], policy: Callable[[dict[str, str]], Any]
    ) -> Callable[[Codes], Floats]:
        """A function of names to one of codes; asked once for rows that agree."""
        for name in reads:
            self.schema.observed(name)

        def probabilities(codes: Codes) -> Floats:
            if not reads:
                return np.repeat(_distribution(variable, policy({}))[None], len(codes), axis=0)
            kinds, place = np.unique(codes, axis=0, return_inverse=True)
            known = [
                {name: self.shown(name, code) for name, code in zip(reads, row, strict=True)} for row in kinds.tolist()
            ]
            return np.stack([_distribution(variable, policy(each)) for each in known])[place.reshape(-1)]

        return probabilities

    def shown(self, name: str, code: int) -> str:
        """A value as the user wrote it."""
        if self.schema[name].is_finite:
            return self.schema[name].values[code]
        return self.tokenizer.text(name, self.conditionals.contents[name][code])


def _is_rule(rule: Any) -> bool:
    return isinstance(rule, Mapping) and isinstance(rule.get("when") or {}, Mapping)


def _distribution(variable: Variable, given: Any) -> Floats:
    """Probabilities of all values from a mapping, or certainty from one value."""
    shares = np.zeros(len(variable.values))
    if not isinstance(given, Mapping):
        shares[variable.code(given)] = 1.0
        return shares
    for value, share in given.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise QueryError(
                f"The policy of {variable.name!r} gives {value!r} the probability {share!r}, expected 0 to 1."
            )
        shares[variable.code(value)] += share
    if abs(shares.sum() - 1) > 1e-6:
        raise QueryError(
            f"The probabilities of the policy of {variable.name!r} add up to {shares.sum():.6g}, expected 1."
        )
    return np.asarray(shares / shares.sum())


def check_record(record: Any) -> None:
    """Refuse what is not a question.

    Raises:
        PipelineInputError: With what a question looks like.
    """
    example = '{"target": "Y", "do": {"A": "a"}, "given": {"Z": "z"}}'
    if not isinstance(record, Mapping):
        raise PipelineInputError(f"Got {type(record).__name__}, expected a question such as {example}.")
    for key in record:
        if key not in RECORD_KEYS:
            expected = f"expected: {', '.join(RECORD_KEYS)}.{near(key, RECORD_KEYS)}"
            raise PipelineInputError(f"The question has the key {key!r}, {expected}")
    if not isinstance(record.get("target"), str):
        raise PipelineInputError(f"The question has no target, expected the name of a variable: {example}.")
    for key in ("do", "given", "versus", "factual"):
        if not isinstance(record.get(key) or {}, Mapping):
            raise PipelineInputError(f"{key!r} is {record[key]!r}, expected values by variable: {example}.")


def read_questions(queries: Path) -> list[Document]:
    """The questions of a file with a JSON document in every line.

    Raises:
        QueryError: If it is not UTF-8, a line is no JSON or no mapping, or there is none.
    """
    try:
        text = queries.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise QueryError(
            f"{str(queries)!r} is not UTF-8 (byte {wrong.start + 1:,}), expected a JSON document in every line. Save "
            "it as UTF-8."
        ) from wrong
    found = []
    for number, line in enumerate(text.split("\n"), 1):  # other ends of lines may stand within a text
        if line.strip():
            try:
                found.append(parse_json(line))
            except ValueError as wrong:
                reason = wrong.msg if isinstance(wrong, json.JSONDecodeError) else str(wrong)
                raise QueryError(f"Line {number} of {str(queries)!r} is no JSON: {reason}.") from wrong
            if not isinstance(found[-1], dict):
                raise QueryError(
                    f"Line {number} of {str(queries)!r} is {preview([line])}, expected a question such as "
                    '{"target": "Y", "do": {"A": "a"}}.'
                )
    if not found:
        raise QueryError(f"{str(queries)!r} holds no question, expected a JSON document in every line.")
    return found


# Questions that are answered together; more gain little.
TOGETHER = 256
Answerer = Callable[[list[Document]], list[Document]]


def parts_of(records: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Numbers of questions that are answered together: those that ask about the same variables, some at a time.

    The parts depend only on the questions, not on the number of processes: neither do the answers.

    Example:
        >>> asked = [{"target": "Y", "do": {"A": value}} for value in "ab"] + [{"target": "Z"}]
        >>> parts_of(asked)
        [[0, 1], [2]]
    """
    alike: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        alike.setdefault(_form(record), []).append(number)
    return [group[start : start + TOGETHER] for group in alike.values() for start in range(0, len(group), TOGETHER)]


def answered(answer: Answerer, records: Sequence[Document], processes: Processes) -> list[Document]:
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
    found: list[tuple[int, Document]] = []
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
