"""Differences between two interventions, and how sure they are: over models, and over the rows of a table."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_trace.checks import one_of
from hf_trace.effects.answers import Answer, AnswerSettings, answers, error_of_mean
from hf_trace.effects.conditionals import Codes, Conditionals, Floats
from hf_trace.effects.doubly_robust import Rows
from hf_trace.effects.nuisances import corrected
from hf_trace.effects.queries import Force, Query, query_plan
from hf_trace.effects.table_model import TableModel
from hf_trace.errors import QueryError, TableError
from hf_trace.tables.encoding import DagTable, encode_table, read_table
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

KINDS = ("ate", "att", "cate")
Answering = Callable[[Conditionals, Sequence[Query], AnswerSettings | None], list[Answer]]


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
        one_of("contrast", self.kind, KINDS, error=QueryError)
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
            raise QueryError("The effect in a subgroup (cate) needs one: expected values given (`--given Z=z`).")

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
        binning_error: How far the value is off because the model reads numbers in bins; None where that is not known.
    """

    value: float
    standard_error: float
    means: tuple[float, float]
    answers: tuple[Answer, Answer]
    binning_error: float | None = None


def counts_numbers(variable: Variable, scores: Floats) -> bool:
    """Whether scores stand for numbers that were read in bins: every bin counts as the mean of its numbers.

    Example:
        >>> age = Variable("age", "numeric", edges=(40.0,), means=(31.0, 62.0), values=("< 40", "≥ 40"))
        >>> counts_numbers(age, np.array([31.0, 62.0])), counts_numbers(age, np.array([0.0, 1.0]))
        (True, False)
    """
    means = variable.numbers
    return variable.kind == "numeric" and means is not None and np.array_equal(means, scores, equal_nan=True)


def differences(
    conditionals: Conditionals,
    contrasts: Sequence[Contrast],
    scores: Sequence[Floats],
    settings: AnswerSettings | None = None,
    answering: Answering = answers,
) -> list[Difference]:
    """Plug-in estimates: what the model says under treatment minus what it says under control.

    Args:
        conditionals: The model.
        contrasts: What is compared.
        scores: For each, what every value of its target counts as, ``[value]``; NaN leaves a value out.
        settings: See ``AnswerSettings``.
        answering: What answers questions: by default of the population that the model has learned.
    """
    queries = [query for contrast in contrasts for query in contrast.pair]
    found = answering(conditionals, queries, settings)
    pairs = zip(found[::2], found[1::2], scores, strict=True)
    return [
        replace(
            _difference(treated, control, score),
            binning_error=_binning_error(conditionals.schema[treated.query.target], treated, control, score),
        )
        for treated, control, score in pairs
    ]


def _binning_error(variable: Variable, treated: Answer, control: Answer, scores: Floats) -> float | None:
    if treated.binning_error is None or control.binning_error is None:
        return None
    off = treated.binning_error - control.binning_error
    if variable.kind == "numeric":
        return float(off[0]) if counts_numbers(variable, scores) else None
    known = ~np.isnan(scores)
    return float(off[known] @ scores[known])


def _difference(treated: Answer, control: Answer, scores: Floats) -> Difference:
    (mean, error), (other, other_error) = treated.expectation(scores), control.expectation(scores)
    error = math.hypot(error, other_error)
    parts = treated.deviations(scores), control.deviations(scores)
    if len(parts[0]) == len(parts[1]) > 1:  # the same draws: what they share cancels
        error = error_of_mean(parts[0] - parts[1])
    return Difference(mean - other, error, (mean, other), (treated, control))


def _row_predictions(
    conditionals: Conditionals,
    columns: Mapping[str, Codes],
    contrast: Contrast,
    scores: Floats,
    settings: AnswerSettings,
) -> tuple[Floats, Floats]:
    """Propensities and outcome means of rows, ``[row, 2]`` each: under treatment and under control.

    ``columns`` are codes of what is adjusted for, ``[row]`` each; rows that agree in it are asked once.
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
    found = answers(conditionals, queries, replace(settings, training_rows=None))
    mean = np.array([answer.expectation(scores)[0] for answer in found]).reshape(2, len(kinds)).T
    propensity = np.array([answer.overlap[treatment].mean for answer in found]).reshape(2, len(kinds)).T
    return propensity[place.reshape(-1)], mean[place.reshape(-1)]


def _adjusted_for(conditionals: Conditionals, contrast: Contrast) -> tuple[str, ...]:
    """What stands before the only treatment in the order in which its effect is walked."""
    if len(contrast.query.do) != 1:
        raise QueryError(
            f"There are {len(contrast.query.do)} treatments, expected one: doubly robust estimates are of a single one."
        )
    (treatment,) = contrast.query.do
    plan = query_plan(conditionals, Query(contrast.query.target, contrast.query.do))
    if plan.identification.estimand is not None:
        raise QueryError(
            "The effect follows from a formula and not from adjustment, so there is nothing to be doubly robust with. "
            "Expected estimator 'plug-in'."
        )
    order = plan.order
    return order[: order.index(treatment)]


def row_columns(
    model: TableModel,
    contrast: Contrast,
    scores: Floats,
    data: pd.DataFrame | str | PathLike[str],
    settings: AnswerSettings,
) -> Rows:
    """What a model says of the rows of a table: with folds, the member that has not seen them (cross-fitting).

    Numbers that the model reads in bins count as they stand in the table: as outcomes themselves, and what is adjusted
    for by regressions of the treatment and of the outcome, see ``corrected``.

    Args:
        model: Of the rows.
        contrast: Of one treatment; with ``cate`` the rows are those with what is given.
        scores: What every value of the target counts as; rows where that is NaN are left out.
        data: The training table.
        settings: See ``AnswerSettings``.

    Raises:
        TableError: If the table is not the one the run was trained on, or no row has what is given.
    """
    frame = data if isinstance(data, pd.DataFrame) else read_table(data)
    table = encode_table(model.schema, frame)
    fold = model.folds.of_rows(len(table)) if model.folds else np.zeros(len(table), dtype=np.int64)
    members = model.members if model.folds else [model.conditionals]
    kept = _rows_that_count(table, model.tokenizer, members[0], contrast, scores)
    table, fold = table.select(kept), fold[kept]
    (treatment,) = contrast.query.do
    propensity, mean = np.empty((len(table), 2)), np.empty((len(table), 2))
    names: tuple[str, ...] = ()
    for number, member in enumerate(members):
        mine = fold == number
        if mine.any():
            names = _adjusted_for(member, contrast)
            columns = {name: _coded(model.tokenizer, member, table.select(mine), name) for name in names}
            propensity[mine], mean[mine] = _row_predictions(member, columns, contrast, scores, settings)
    received = np.asarray(table.columns[treatment])
    arm = contrast.query.do[treatment]
    rows = Rows(
        treated=received == (arm.code if isinstance(arm, Force) else -1),
        control=received == contrast.control[treatment],
        outcome=outcomes_of_rows(table, contrast.query.target, scores),
        propensity=propensity,
        mean=mean,
        weights=table.weights,
    )
    is_binned = counts_numbers(model.schema[contrast.query.target], scores)
    binned = [name for name in names if model.schema[name].kind == "numeric"]
    return corrected(rows, table, names, fold if model.folds else None) if is_binned or binned else rows


def outcomes_of_rows(table: DagTable, target: str, scores: Floats) -> Floats:
    """What the target counts as in every row: where bins count as the mean of their numbers, the number itself.

    Args:
        table: The rows.
        target: A finite variable.
        scores: What every value of it counts as.

    Example:
        >>> from hf_trace.tables.schema import DagSchema
        >>> schema = DagSchema((Variable("ill", values=("no", "yes")),))
        >>> table = DagTable(schema, {"ill": np.array([1, 0])}, np.ones(2))
        >>> outcomes_of_rows(table, "ill", np.array([0.0, 1.0])).tolist()
        [1.0, 0.0]
    """
    outcome = np.asarray(scores[np.asarray(table.columns[target])])
    if not counts_numbers(table.schema[target], scores) or target not in table.numbers:
        return outcome
    return np.asarray(np.where(np.isnan(table.numbers[target]), outcome, table.numbers[target]))


def _coded(tokenizer: DagTokenizer, conditionals: Conditionals, table: DagTable, name: str) -> Codes:
    """Codes of a column as a model counts its values."""
    if tokenizer.variables[name].is_finite:
        return np.asarray(table.columns[name])
    return conditionals.codes(name, tokenizer.contents(table, name))


def _rows_that_count(
    table: DagTable, tokenizer: DagTokenizer, model: Conditionals, contrast: Contrast, scores: Floats
) -> NDArray[np.bool_]:
    """Rows with an outcome and, for subgroups, with what is given."""
    kept = ~np.isnan(scores[np.asarray(table.columns[contrast.query.target])])
    before = set(_adjusted_for(model, contrast))
    for name, code in contrast.query.given.items():
        if name not in before:
            raise QueryError(
                f"{name!r} does not come before the treatment, so it defines no subgroup for a doubly robust estimate. "
                "Expected a variable before it, or estimator 'plug-in'."
            )
        kept &= _coded(tokenizer, model, table, name) == code
    if not kept.any():
        raise TableError("No row of the table has what is given. Expected at least one; give less.")
    return np.asarray(kept)
