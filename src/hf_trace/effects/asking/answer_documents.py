"""Answers about a table as plain documents, with what a user must know beside them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hf_trace.documents import Document
from hf_trace.effects.answers import Answer, AnswerSettings
from hf_trace.effects.conditionals import Floats
from hf_trace.effects.contrasts import Contrast
from hf_trace.effects.doubly_robust import Estimate
from hf_trace.effects.identifying.estimands import as_latex, as_text
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.training_intervals import TrainingInterval, interval_of_rows
from hf_trace.tables.variables import Variable


def shown_answer(variable: Variable, answer: Answer, interval: TrainingInterval | None = None) -> Document:
    """An answer in names, as plain numbers.

    Args:
        variable: The target.
        answer: In codes.
        interval: Of the answer, if it is known.
    """
    names = variable.values
    document: Document = {
        "target": variable.name,
        "distribution": dict(zip(names, answer.probabilities.tolist(), strict=True)),
        "standard_error": dict(zip(names, answer.standard_error.tolist(), strict=True)),
        "effective_sample_size": answer.effective_sample_size,
        "method": "sampling" if answer.draws else "enumeration",
        "num_samples": answer.draws,
        "order": list(answer.order),
        "identification": answer.identification.explanation,
        "adjustment": {name: list(each) for name, each in answer.identification.adjustment.items()},
        "overlap": {name: asdict(each) for name, each in answer.overlap.items()},
        "evidence_probability": answer.evidence_probability,
        "warnings": list(answer.warnings),
    }
    if (estimand := answer.identification.estimand) is not None:
        document |= {"formula": as_text(estimand), "latex": as_latex(estimand)}
    if variable.numbers is not None:
        mean, error = answer.expectation(variable.numbers)
        document["expectation"] = {"mean": mean, "standard_error": error}
        if variable.kind == "numeric":
            off = answer.binning_error
            document["expectation"]["binning_error"] = None if off is None else float(off[0])
    if answer.rows:
        interval = interval_of_rows(answer)
        document["interval_of"] = "rows"
    if interval is not None:
        ends = zip(interval.low.tolist(), interval.high.tolist(), strict=True)
        document["interval"] = dict(zip(names, map(list, ends), strict=True))
        if variable.numbers is not None:
            document["expectation"] |= dict(zip(("low", "high"), interval.of_mean(variable.numbers), strict=True))
    if policies := [name for name, each in answer.query.do.items() if isinstance(each, Follow)]:
        document["policy"] = policies
    return document


def shown_with_notes(model: TableModel, answer: Answer, interval: TrainingInterval | None = None) -> Document:
    """The same, with what is known of the model that bears on it.

    Args:
        model: That has answered.
        answer: In codes.
        interval: Of the answer, if it is known.
    """
    shown = shown_answer(model.schema[answer.query.target], answer, interval)
    shown["warnings"] += binning_notes(model, [answer], is_mean=True) + missed_groups(model, answer.query)
    return shown


def binning_notes(model: TableModel, found: Sequence[Answer], *, is_mean: bool) -> list[str]:
    """What nobody can read off the numbers of plug-in answers to one question: errors of bins that are not in them.

    Args:
        model: That has answered.
        found: Answers that differ in what is done.
        is_mean: Whether a mean is told of the target.
    """
    target = model.schema[found[0].query.target]
    notes = []
    if is_mean and target.kind == "numeric" and target.means and target.name not in model.binning.within:
        notes.append(
            f"How far the mean of {target.name!r} is off because it is read in {_bins(target)} bins is not known of "
            "this run, and in no error. Train it anew, or use `--estimator aipw` with `--data`."
        )
    for name in _unseen_causes(model, found[0]):
        notes.append(
            f"{name!r} is adjusted for in {_bins(model.schema[name])} bins: what its values do within a bin is in no "
            "error. `--estimator aipw` with `--data` reads the values themselves; or train with more `--bins`."
        )
    return notes


def missed_groups(model: TableModel, query: Query) -> list[str]:
    """Where what is said is known to miss what rows did that had a treatment by themselves."""
    return [
        f"Where {miss['parent']!r} is {miss['group']!r} ({miss['rows']:,.0f} rows), the model says "
        f"{miss['predicted']:.3g} on average of {(miss['value'] or query.target)!r}, the rows {miss['observed']:.3g} ± "
        f"{miss['standard_error']:.2g}: more than chance. The interval of an effect reaches to where it is not; "
        "`--estimator tmle` with `--data` corrects it."
        for miss in model.misses
        if miss["variable"] == query.target and miss["parent"] in query.do
    ]


def missed_effect(model: TableModel, contrast: Contrast, scores: Floats) -> float:
    """How much of a plug-in effect on a probability comes of groups that the model is known to miss, see ``misses``.

    What it misses of numbers is in the error of binning, see ``Binning.with_unexplained``.

    Args:
        model: That has answered.
        contrast: Of two values of one treatment; of others nothing is known.
        scores: What every value of the target counts as.
    """
    pair, variable = [each.do for each in contrast.pair], model.schema[contrast.query.target]
    if contrast.has_policy or len(contrast.query.do) != 1:
        return 0.0
    (parent,) = contrast.query.do
    arms = [each[parent] for each in pair]
    signs = {
        model.schema[parent].values[arm.code]: sign
        for arm, sign in zip(arms, (1, -1), strict=True)
        if isinstance(arm, Force) and model.schema[parent].is_finite
    }
    counts_as = dict(zip(variable.values, np.nan_to_num(scores).tolist(), strict=True))
    missed = (
        signs[miss["group"]] * counts_as.get(miss["value"], 0.0) * (miss["predicted"] - miss["observed"])
        for miss in model.misses
        if miss["variable"] == variable.name and miss["parent"] == parent and miss["group"] in signs
    )
    return float(sum(missed))


def _unseen_causes(model: TableModel, answer: Answer) -> list[str]:
    """Numbers that are adjusted for in bins, where it is not known what that costs."""
    query, schema = answer.query, model.schema
    return [
        name
        for name in dict.fromkeys(name for names in answer.identification.adjustment.values() for name in names)
        if schema[name].kind == "numeric"
        and _bins(schema[name]) > 1
        and not model.binning.knows(query.target, name, query.do)
    ]


def _bins(variable: Variable) -> int:
    return len(variable.values) - variable.has_missing


def scores_of(variable: Variable, value: Any = None) -> tuple[Floats, str]:
    """What each value of a target counts as in a mean, and a name for that mean.

    Example:
        >>> scores_of(Variable("ill", values=("no", "yes")))
        (array([0., 1.]), 'p(ill = yes)')
    """
    if value is None and variable.numbers is not None:
        return variable.numbers, f"mean of {variable.name}"
    code = len(variable.values) - 1 - variable.has_missing if value is None else variable.code(value)
    return np.eye(len(variable.values))[code], f"p({variable.name} = {variable.values[code]})"


def known_fields(result: AnswerSettings | Estimate) -> Document:
    """What is known of it, by name."""
    return {name: value for name, value in asdict(result).items() if value is not None}
