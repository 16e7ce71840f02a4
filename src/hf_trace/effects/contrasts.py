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
from hf_trace.effects.queries import Continue, Follow, Force, Query, query_plan
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
        control: What to do to the treated variables instead: codes of values, or policies.
    """

    kind: str
    query: Query
    control: Mapping[str, int | Follow]

    def __post_init__(self) -> None:
        one_of("contrast", self.kind, KINDS, error=QueryError)
        if set(self.control) != set(self.query.do) or not self.query.do:
            raise QueryError(
                f"The contrast compares {sorted(self.query.do)} with {sorted(self.control)}, expected values of the "
                "same variables, at least one."
            )
        if loose := [name for name, each in self.query.do.items() if isinstance(each, Continue)]:
            raise QueryError(
                f"Only the beginning of {loose[0]!r} is forced, expected one value to compare with another."
            )
        if self.has_policy and self.kind == "att":
            raise QueryError(
                "A policy treats nobody in particular, so it has no effect on the treated. Expected 'ate'."
            )
        same = [name for name, each in self.query.do.items() if each == self.others[name]]
        if len(same) == len(self.control):
            raise QueryError("Both interventions are the same, expected two that differ.")
        if self.kind == "cate" and not self.query.given:
            raise QueryError("The effect in a subgroup (cate) needs one: expected values given (`--given Z=z`).")

    @property
    def others(self) -> dict[str, Force | Follow]:
        """The interventions that are compared with."""
        return {name: Force(each) if isinstance(each, int) else each for name, each in self.control.items()}

    @property
    def has_policy(self) -> bool:
        """Whether what is done depends on the row, or on chance."""
        return any(isinstance(each, Follow) for each in (*self.query.do.values(), *self.control.values()))

    @property
    def pair(self) -> tuple[Query, Query]:
        """The questions under treatment and under control."""
        query = self.query
        if self.kind == "att":
            treated = {name: each.code for name, each in query.do.items() if isinstance(each, Force)}
            query = replace(query, treated=treated)
        return query, replace(query, do=self.others)


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


@dataclass(frozen=True)
class ArmRows:
    """Rows of a table as a model sees them that has not seen them, under several values of a treatment.

    Attributes:
        table: The rows.
        names: What is adjusted for.
        fold: In which part of the table each row is; None where the run has no folds.
        outcome: What the target counts as, ``[row]``.
        propensity: Of each value, ``[row, arm]``.
        mean: Of the outcome under each value, ``[row, arm]``.
        arms: The values.
        treatment: Whose values these are.
    """

    table: DagTable
    names: tuple[str, ...]
    fold: Codes | None
    outcome: Floats
    propensity: Floats
    mean: Floats
    arms: tuple[int, ...]
    treatment: str

    def select(self, rows: Codes) -> "ArmRows":
        """Some of the rows."""
        return replace(
            self,
            table=self.table.select(rows),
            fold=None if self.fold is None else self.fold[rows],
            outcome=self.outcome[rows],
            propensity=self.propensity[rows],
            mean=self.mean[rows],
        )

    def pair(self, one: int, other: int, *, is_binned: bool) -> Rows:
        """Two of the values, with what numbers say beyond their bins, see ``corrected``.

        Args:
            one: Place of the first among the values.
            other: Of the second.
            is_binned: Whether the outcome is a number that the model reads in bins.
        """
        received = np.asarray(self.table.columns[self.treatment])
        rows = Rows(
            treated=received == self.arms[one],
            control=received == self.arms[other],
            outcome=self.outcome,
            propensity=self.propensity[:, [one, other]],
            mean=self.mean[:, [one, other]],
            weights=self.table.weights,
        )
        has_numbers = any(self.table.schema[name].kind == "numeric" for name in self.names)
        return corrected(rows, self.table, self.names, self.fold) if is_binned or has_numbers else rows


def _row_predictions(
    conditionals: Conditionals,
    columns: Mapping[str, Codes],
    asked: Query,
    arms: Sequence[int],
    scores: Floats,
    settings: AnswerSettings,
) -> tuple[Floats, Floats]:
    """Propensities and outcome means of rows, ``[row, arm]`` each.

    ``columns`` are codes of what is adjusted for, ``[row]`` each; rows that agree in it are asked once.
    """
    names = list(columns)
    rows = np.stack([columns[name] for name in names], axis=1) if names else np.zeros((1, 0), dtype=np.int64)
    kinds, place = np.unique(rows, axis=0, return_inverse=True)
    (treatment,) = asked.do
    queries = [
        Query(asked.target, {treatment: Force(arm)}, dict(zip(names, row.tolist(), strict=True)))
        for arm in arms
        for row in kinds
    ]
    # A row's own circumstances may be rare; what that does to the estimate is the estimator's business.
    found = answers(conditionals, queries, replace(settings, training_rows=None))
    mean = np.array([answer.expectation(scores)[0] for answer in found]).reshape(len(arms), len(kinds)).T
    propensity = np.array([answer.overlap[treatment].mean for answer in found]).reshape(len(arms), len(kinds)).T
    return propensity[place.reshape(-1)], mean[place.reshape(-1)]


def _adjusted_for(conditionals: Conditionals, asked: Query) -> tuple[str, ...]:
    """What stands before the only treatment in the order in which its effect is walked."""
    if len(asked.do) != 1:
        raise QueryError(
            f"There are {len(asked.do)} treatments, expected one: doubly robust estimates are of a single one."
        )
    (treatment,) = asked.do
    plan = query_plan(conditionals, Query(asked.target, asked.do))
    if plan.identification.estimand is not None:
        raise QueryError(
            "The effect follows from a formula and not from adjustment, so there is nothing to be doubly robust with. "
            "Expected estimator 'plug-in'."
        )
    order = plan.order
    return order[: order.index(treatment)]


def arm_rows(
    model: TableModel,
    asked: Query,
    arms: Sequence[int],
    scores: Floats,
    data: pd.DataFrame | str | PathLike[str],
    settings: AnswerSettings,
) -> ArmRows:
    """What a model says of the rows of a table: with folds, the member that has not seen them (cross-fitting).

    Args:
        model: Of the rows.
        asked: What is done to one treatment; where values are given, the rows are those with them.
        arms: Values of the treatment.
        scores: What every value of the target counts as; rows where that is NaN are left out.
        data: The training table.
        settings: See ``AnswerSettings``.

    Raises:
        TableError: If the table is not the one the run was trained on, or no row has what is given.
        QueryError: If there is not one treatment, or nothing to adjust by.
    """
    frame = data if isinstance(data, pd.DataFrame) else read_table(data)
    table = encode_table(model.schema, frame)
    fold = model.folds.of_rows(len(table)) if model.folds else np.zeros(len(table), dtype=np.int64)
    members = model.members if model.folds else [model.conditionals]
    kept = _rows_that_count(table, model.tokenizer, members[0], asked, scores)
    table, fold = table.select(kept), fold[kept]
    propensity, mean = np.empty((len(table), len(arms))), np.empty((len(table), len(arms)))
    names: tuple[str, ...] = ()
    for number, member in enumerate(members):
        mine = fold == number
        if mine.any():
            names = _adjusted_for(member, asked)
            columns = {name: _coded(model.tokenizer, member, table.select(mine), name) for name in names}
            propensity[mine], mean[mine] = _row_predictions(member, columns, asked, arms, scores, settings)
    outcome = outcomes_of_rows(table, asked.target, scores)
    (treatment,) = asked.do
    parts = fold if model.folds else None
    return ArmRows(table, names, parts, outcome, propensity, mean, tuple(arms), treatment)


def row_columns(
    model: TableModel,
    contrast: Contrast,
    scores: Floats,
    data: pd.DataFrame | str | PathLike[str],
    settings: AnswerSettings,
) -> Rows:
    """The rows of a table under the two values of a contrast, see ``arm_rows``.

    Numbers that the model reads in bins count as they stand in the table: as outcomes themselves, and what is adjusted
    for by regressions of the treatment and of the outcome, see ``corrected``.

    Args:
        model: Of the rows.
        contrast: Of two values of one treatment; with ``cate`` the rows are those with what is given.
        scores: What every value of the target counts as; rows where that is NaN are left out.
        data: The training table.
        settings: See ``AnswerSettings``.

    Raises:
        TableError: If the table is not the one the run was trained on, or no row has what is given.
        QueryError: If there is not one treatment, a policy decides, or there is nothing to adjust by.
    """
    done = [*contrast.query.do.values(), *contrast.others.values()]
    arms = [each.code for each in done if isinstance(each, Force)]
    if len(arms) < len(done):
        raise QueryError("What is done depends on the row, and two values were expected. See `policy_rows`.")
    found = arm_rows(model, contrast.query, arms, scores, data, settings)
    return found.pair(0, 1, is_binned=counts_numbers(model.schema[contrast.query.target], scores))


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
    table: DagTable, tokenizer: DagTokenizer, model: Conditionals, asked: Query, scores: Floats
) -> NDArray[np.bool_]:
    """Rows with an outcome and, for subgroups, with what is given."""
    kept = ~np.isnan(scores[np.asarray(table.columns[asked.target])])
    before = set(_adjusted_for(model, asked))
    for name, code in asked.given.items():
        if name not in before:
            raise QueryError(
                f"{name!r} does not come before the treatment, so it defines no subgroup for a doubly robust estimate. "
                "Expected a variable before it, or estimator 'plug-in'."
            )
        kept &= _coded(tokenizer, model, table, name) == code
    if not kept.any():
        raise TableError("No row of the table has what is given. Expected at least one; give less.")
    return np.asarray(kept)
