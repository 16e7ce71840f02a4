"""What every dose of a treatment does: the outcome with each of its values forced in turn, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hf_trace.documents import Document
from hf_trace.effects.answers import Answer, AnswerSettings, answers
from hf_trace.effects.conditionals import Conditionals, Floats
from hf_trace.effects.doubly_robust import jackknife
from hf_trace.effects.queries import Force, Query
from hf_trace.tables.variables import Variable

EVERY_DOSE = "*"


@dataclass(frozen=True)
class Dose:
    """The outcome under one value of a treatment.

    Attributes:
        value: Its name; of a number that of the bin.
        number: What it counts as; None where the treatment has no numbers.
        mean: Of the outcome, all having that value.
        propensity: How often the value was seen in the circumstances in which it is forced, on average.
        low: Lower end of the 95 % interval of the mean; None where training left no models without a fold.
        high: Upper end.
    """

    value: str
    number: float | None
    mean: float
    propensity: float
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> Document:
        """As plain numbers."""
        return asdict(self)


def swept(record: Mapping[str, Any], variables: Mapping[str, Variable]) -> str | None:
    """The treatment of which a question asks all values: ``{"do": {"dose": "*"}}``; None if it asks one.

    Example:
        >>> dose = Variable("dose", values=("low", "high"))
        >>> swept({"target": "days", "do": {"dose": "*"}}, {"dose": dose})
        'dose'
    """
    done = record.get("do")
    for name, value in done.items() if isinstance(done, Mapping) else ():
        if value == EVERY_DOSE and name in variables and variables[name].is_finite:
            return None if EVERY_DOSE in variables[name].values else name
    return None


def dose_response(
    conditionals: Conditionals,
    members: Sequence[Conditionals],
    query: Query,
    treatment: str,
    scores: Floats,
    settings: AnswerSettings,
) -> list[Dose]:
    """The mean outcome under each value of a treatment, with intervals that hold what training may have got wrong.

    Where the outcome is a number read in bins, an interval also reaches to where the mean would be without.

    Args:
        conditionals: The model.
        members: Models that have each not seen a part of the rows, see ``jackknife``.
        query: The question, with any value of the treatment.
        treatment: Its name; a missing value is no dose.
        scores: What every value of the target counts as.
        settings: See ``AnswerSettings``.

    Raises:
        QueryError: If the question cannot be answered.
    """
    variable = conditionals.schema[treatment]
    codes = range(len(variable.values) - variable.has_missing)
    queries = [replace(query, do={**query.do, treatment: Force(code)}) for code in codes]
    found = answers(conditionals, queries, settings)
    free = replace(settings, training_rows=None)
    left_out = [answers(member, queries, free) for member in members] if len(members) > 1 else []
    return [
        _dose(variable, code, answer, [each[code] for each in left_out], scores) for code, answer in enumerate(found)
    ]


def _dose(variable: Variable, code: int, answer: Answer, left_out: Sequence[Answer], scores: Floats) -> Dose:
    numbers, mean = variable.numbers, answer.expectation(scores)[0]
    number = None if numbers is None or np.isnan(numbers[code]) else float(numbers[code])
    dose = Dose(variable.values[code], number, mean, answer.overlap[variable.name].mean)
    if not left_out:
        return dose
    means = np.array([each.expectation(scores)[0] for each in left_out])
    off = answer.binning_error
    is_number = off is not None and len(off) == 1
    sure = jackknife(means, mean).with_binning(float(off[0]) if is_number and off is not None else None)
    return replace(dose, low=sure.low, high=sure.high)
