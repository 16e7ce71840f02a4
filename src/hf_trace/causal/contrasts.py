"""Differences between two interventions: average effects, on everybody, on the treated, and in subgroups."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_trace.causal.conditionals import Conditionals
from hf_trace.causal.effects import Answer, AnswerSettings, answers
from hf_trace.causal.queries import Force, Query
from hf_trace.causal.query_plan import query_plan
from hf_trace.errors import QueryError

KINDS = ("ate", "att", "cate")
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Contrast:
    """One intervention against another.

    Attributes:
        kind: ``"ate"``: everybody; ``"cate"``: those with what is given; ``"att"``: those who were treated.
        query: The question under treatment.
        control: Values of the treated variables to compare with.
    """

    kind: str
    query: Query
    control: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise QueryError(f"contrast is {self.kind!r}, expected one of: {', '.join(KINDS)}.")
        if set(self.control) != set(self.query.do) or not self.query.do:
            raise QueryError(
                f"The contrast compares {sorted(self.query.do)} with {sorted(self.control)}, expected values of the "
                "same variables, at least one."
            )
        if loose := [name for name, each in self.query.do.items() if not isinstance(each, Force)]:
            raise QueryError(f"{loose[0]!r} is not forced to a value, expected one to compare with another.")
        same = [name for name, each in self.query.do.items() if each == Force(self.control[name])]
        if len(same) == len(self.control):
            raise QueryError("Both interventions are the same, expected two that differ.")
        if self.kind == "cate" and not self.query.given:
            raise QueryError(
                "The effect in a subgroup (cate) needs one: expected values given (`--given Z=z`)."
            )

    @property
    def pair(self) -> tuple[Query, Query]:
        """The questions under treatment and under control."""
        query = self.query
        if self.kind == "att":
            treated = {name: each.code for name, each in query.do.items() if isinstance(each, Force)}
            query = replace(query, treated=treated)
        return query, replace(query, do={name: Force(code) for name, code in self.control.items()})


@dataclass(frozen=True)
class Difference:
    """How much an intervention changes a mean.

    Attributes:
        value: Mean of the scores under treatment minus that under control, in the unit of the scores.
        standard_error: Its Monte Carlo error; what training got wrong is not in it.
        means: Under treatment and under control.
        answers: The two answers.
    """

    value: float
    standard_error: float
    means: tuple[float, float]
    answers: tuple[Answer, Answer]


def differences(
    conditionals: Conditionals,
    contrasts: Sequence[Contrast],
    scores: Sequence[Floats],
    settings: AnswerSettings | None = None,
) -> list[Difference]:
    """Plug-in estimates: what the model says under treatment minus what it says under control.

    Args:
        conditionals: The model.
        contrasts: What is compared.
        scores: For each, what every value of its target counts as, ``[value]``; NaN leaves a value out.
        settings: See ``AnswerSettings``.
    """
    queries = [query for contrast in contrasts for query in contrast.pair]
    found = answers(conditionals, queries, settings)
    pairs = zip(found[::2], found[1::2], scores, strict=True)
    return [_difference(treated, control, score) for treated, control, score in pairs]


def _difference(treated: Answer, control: Answer, scores: Floats) -> Difference:
    means, parts = [], []
    for answer in (treated, control):
        mean, _ = answer.expectation(scores)
        means.append(mean)
        parts.append(answer.deviations(scores))
    errors = [answer.expectation(scores)[1] for answer in (treated, control)]
    error = math.hypot(*errors)
    if parts[0].shape == parts[1].shape and len(parts[0]) > 1:  # the same draws: what they share cancels
        apart = parts[0] - parts[1]
        error = float(np.sqrt((apart**2).sum() / (len(apart) * (len(apart) - 1))))
    return Difference(means[0] - means[1], error, (means[0], means[1]), (treated, control))


@dataclass(frozen=True)
class RowPredictions:
    """What a model says of every row of a table; what doubly robust estimators are made of.

    Attributes:
        propensity: Probability of the treatment and of the control, given what precedes them, ``[row, 2]``.
        mean: Mean score of the target under each, given the same, ``[row, 2]``.
    """

    propensity: Floats
    mean: Floats


def row_predictions(
    conditionals: Conditionals,
    columns: Mapping[str, Codes],
    contrast: Contrast,
    scores: Floats,
    settings: AnswerSettings | None = None,
) -> RowPredictions:
    """Propensities and outcome means of rows; rows that agree in what is adjusted for are asked once.

    Args:
        conditionals: The model; for cross-fitting one that has not seen the rows.
        columns: Codes of the variables that precede the treatment, ``[row]`` each; see ``adjusted_for``.
        contrast: Of one treatment variable.
        scores: What every value of the target counts as, ``[value]``.
        settings: See ``AnswerSettings``.
    """
    names = list(columns)
    rows = np.stack([columns[name] for name in names], axis=1) if names else np.zeros((1, 0), dtype=np.int64)
    kinds, place = np.unique(rows, axis=0, return_inverse=True)
    (treatment,) = contrast.query.do
    arms = [contrast.query.do[treatment], Force(contrast.control[treatment])]
    queries = [
        Query(contrast.query.target, {treatment: arm}, dict(zip(names, row.tolist(), strict=True)))
        for arm in arms
        for row in kinds
    ]
    # A row's own circumstances may be rare; what that does to the estimate is the estimator's business.
    settings = replace(settings or AnswerSettings(), training_rows=None)
    found = answers(conditionals, queries, settings)
    mean = np.array([answer.expectation(scores)[0] for answer in found]).reshape(2, len(kinds)).T
    propensity = np.array([answer.overlap[treatment].mean for answer in found]).reshape(2, len(kinds)).T
    return RowPredictions(propensity[place.reshape(-1)], mean[place.reshape(-1)])


def adjusted_for(conditionals: Conditionals, contrast: Contrast) -> tuple[str, ...]:
    """What stands before the treatment in the order in which its effect is walked.

    Raises:
        QueryError: If there are several treatments.
    """
    if len(contrast.query.do) != 1:
        raise QueryError(
            f"There are {len(contrast.query.do)} treatments, expected one: doubly robust estimates are of a single one."
        )
    (treatment,) = contrast.query.do
    order = query_plan(conditionals, Query(contrast.query.target, contrast.query.do)).order
    return order[: order.index(treatment)]
