"""Differences between two interventions, and values of one, as plain documents."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hf_trace.documents import Document
from hf_trace.effects.answers import Answer, AnswerSettings, answers
from hf_trace.effects.asking.answer_documents import (
    binning_notes,
    known_fields,
    missed_effect,
    missed_groups,
    scores_of,
    shown_answer,
)
from hf_trace.effects.asking.effect_request import EffectRequest
from hf_trace.effects.conditionals import Conditionals, Floats
from hf_trace.effects.contrasts import Contrast, counts_numbers, differences, row_columns
from hf_trace.effects.doubly_robust import plug_in_ate
from hf_trace.effects.identifying.transport import OtherPopulation, transported
from hf_trace.effects.queries import Continue, Follow, Force, Query
from hf_trace.effects.refuting.refutation import refuted, rows_compared
from hf_trace.effects.regimes.policy_values import policy_rows, policy_value
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.targeted import ESTIMATORS, POPULATIONS, estimated, overlap_warnings, population_of
from hf_trace.effects.training_intervals import difference_of_rows, interval_of_difference
from hf_trace.errors import QueryError


def _contrasted(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The difference between two interventions, in names."""
    request.check_rows()
    variable = model.schema[query.target]
    settings = request.settings(model.rows)
    contrast = contrast_of(model, query, record)
    scores, what = scores_of(variable, request.target_value)
    document: Document = {
        "target": variable.name,
        "contrast": contrast.kind,
        "of": what,
        "estimator": request.estimator,
    }
    if request.data is not None and model.only_read:
        return {**document, **_on_rows(model, contrast, scores, request), "settings": known_fields(settings)}
    population = None if request.elsewhere is None else OtherPopulation.read(model.schema, query, request.elsewhere)
    answering = answers if population is None else partial(_transported, population)
    found = differences(model.conditionals, [contrast], [scores], settings, answering)[0]
    if population is not None:
        document |= {
            "elsewhere": population.to_dict(),
            "population": f"the {population.rows:,} rows of the other table",
        }
    document |= {
        "value": found.value,
        "standard_error": found.standard_error,
        "standard_error_of": "draws",
        "means": {"treated": found.means[0], "control": found.means[1]},
        "treated": shown_answer(variable, found.answers[0]),
        "control": shown_answer(variable, found.answers[1]),
        "warnings": list(dict.fromkeys(warning for answer in found.answers for warning in answer.warnings)),
    }
    if request.estimator != ESTIMATORS[0]:
        estimates = _on_rows(model, contrast, scores, request)
        estimates["warnings"] = [*document["warnings"], *estimates["warnings"]]
        return {**document, **estimates, "plug_in": found.value, "settings": known_fields(settings)}
    is_mean = counts_numbers(variable, scores)
    if is_mean or found.binning_error is not None:
        document["binning_error"] = found.binning_error
    document["warnings"] += binning_notes(model, found.answers, is_mean=is_mean) + missed_groups(model, query)
    if found.answers[0].rows:
        document |= {"interval": known_fields(difference_of_rows(found, scores)), "standard_error_of": "rows"}
    elif population is None and (
        interval := interval_of_difference(request.members(model), contrast, scores, found, settings)
    ):
        missed = missed_effect(model, contrast, scores)
        document["interval"] = known_fields(
            replace(interval.with_binning(missed), binning_error=interval.binning_error)
        )
    return {**document, "settings": known_fields(settings)}


def _transported(
    population: OtherPopulation, conditionals: Conditionals, queries: Sequence[Query], settings: AnswerSettings | None
) -> list[Answer]:
    """Answers for another population."""
    if any(query.treated for query in queries):
        raise QueryError("The treated of another population are not known. Expected the contrast 'ate' or 'cate'.")
    return [transported(conditionals, query, population, settings or AnswerSettings()) for query in queries]


def contrast_of(model: TableModel, query: Query, record: Mapping[str, Any]) -> Contrast:
    """What a record compares; a forced variable of two values is compared with the other one unless it says more.

    Args:
        model: That is asked.
        query: The question under treatment.
        record: As a user wrote it.

    Raises:
        QueryError: If it does not say what is compared, or compares what cannot be.
    """
    versus = dict(record.get("versus") or {})
    for name, intervention in query.do.items():
        values = model.schema[name].values
        if name not in versus and isinstance(intervention, Force) and len(values) == 2:
            versus[name] = values[1 - intervention.code]
    if lacking := [name for name in query.do if name not in versus]:
        raise QueryError(
            f"The contrast does not say what {lacking[0]!r} is compared with. Pass a value (`versus`, `--versus "
            f"{lacking[0]}=…`)."
        )
    control = {name: _control(model, name, value) for name, value in versus.items()}
    return Contrast(record["contrast"], query, control)


def _control(model: TableModel, name: str, value: Any) -> int | Follow:
    """What a variable is compared with: a value, or a policy."""
    is_policy = model.schema.observed(name).is_finite and (callable(value) or isinstance(value, Mapping | list | tuple))
    found = model.reader.intervention(name, value) if is_policy else None
    return found if isinstance(found, Follow) else model.reader.code(name, value)


def compared(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The difference between two interventions, and what speaks against it where that is asked for.

    Args:
        model: That is asked.
        query: The question under treatment.
        record: As a user wrote it.
        request: How it is to be answered.

    Raises:
        QueryError: If it cannot be answered so.
        SettingsError: If there are no rows for the estimator.
    """
    if query.selection and (request.refute or request.estimator != ESTIMATORS[0]):
        raise QueryError(
            "Rows were chosen, and only the plug-in estimator knows how to speak of everybody then. Expected estimator "
            "'plug-in', without `refute`."
        )
    document = _contrasted(model, query, record, request)
    if request.refute:
        contrast, (scores, _) = (
            contrast_of(model, query, record),
            scores_of(model.schema[query.target], request.target_value),
        )
        rows = rows_compared(model.schema, contrast, scores, request.data)
        document["refutation"] = refuted(rows, model.schema, document["value"], seed=request.seed).to_dict()
    return document


def _on_rows(model: TableModel, contrast: Contrast, scores: Floats, request: EffectRequest) -> Document:
    """The estimate that was asked for, and the plug-in beside it: of all rows, or of the treated."""
    if contrast.has_policy:
        one, other = contrast.query.do, contrast.others
        policies = [each for name in one for each in (one[name], other[name]) if not isinstance(each, Continue)]
        return _value_on_rows(model, contrast.query, policies, scores, request)
    rows = row_columns(model, contrast, scores, request.data, request.settings(model.rows))
    of_treated = contrast.kind == "att"
    if request.note_rows is not None:
        request.note_rows(rows)
    chosen = estimated(rows, estimator=request.estimator, of_treated=of_treated, population=request.population)
    return {
        **known_fields(chosen),
        "means": dict(zip(("treated", "control"), chosen.means or (), strict=False)),
        "standard_error_of": "rows",
        "plug_in": plug_in_ate(rows.only_treated() if of_treated else rows).value,
        "population": "the treated" if of_treated else population_of(rows, request.population),
        "cross_fitted": model.folds is not None,
        "warnings": overlap_warnings(chosen, population=request.population),
    }


def valued(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The mean outcome under what is done, doubly robust: a value of the treatment, or a policy.

    Args:
        model: That is asked.
        query: The question.
        record: As a user wrote it.
        request: How it is to be answered.

    Raises:
        QueryError: If it cannot be answered so.
        SettingsError: If there are no rows for the estimator.
    """
    request.check_rows()
    if query.selection or request.refute:
        raise QueryError("What is refuted is a contrast, and rows that were chosen need the estimator 'plug-in'.")
    variable, settings = model.schema[query.target], request.settings(model.rows)
    scores, what = scores_of(variable, request.target_value)
    policies = [each for each in query.do.values() if not isinstance(each, Continue)]
    found = _value_on_rows(model, query, policies, scores, request)
    if not model.only_read:
        found["plug_in"] = answers(model.conditionals, [query], settings)[0].expectation(scores)[0]
    head = {"target": variable.name, "of": what, "estimator": request.estimator}
    return {**head, **found, "settings": known_fields(settings)}


def _value_on_rows(
    model: TableModel, query: Query, policies: Sequence[Force | Follow], scores: Floats, request: EffectRequest
) -> Document:
    """The value of a policy, or the difference of two."""
    if request.population != POPULATIONS[0]:
        raise QueryError(
            f"The population is {request.population!r}, and policies are of all rows. Expected no population."
        )
    rows = policy_rows(model, query, policies, scores, request.data, request.settings(model.rows))
    chosen = policy_value(rows, targeted=request.estimator == "tmle")
    means = {"means": dict(zip(("treated", "control"), chosen.means, strict=True))} if chosen.means else {}
    return {
        **known_fields(chosen),
        **means,
        "standard_error_of": "rows",
        "population": "all rows",
        "cross_fitted": model.folds is not None,
        "warnings": overlap_warnings(chosen, population=request.population),
    }
