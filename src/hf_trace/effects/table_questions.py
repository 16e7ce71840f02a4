"""What a user asks of a table: the model of its rows, how to answer, and answers as plain documents."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hf_trace.documents import Document
from hf_trace.effects.answers import Answer, answers, answers_or_refusals
from hf_trace.effects.asking.answer_documents import known_fields, missed_groups, scores_of, shown_with_notes
from hf_trace.effects.asking.contrast_answers import compared, contrast_of, valued
from hf_trace.effects.asking.effect_request import EffectRequest as EffectRequest
from hf_trace.effects.bound_answers import bounds_of_answer, bounds_of_contrast
from hf_trace.effects.counterfactuals.row_answers import RowQuestion, counterfactual_of_row
from hf_trace.effects.dose_response import dose_response, swept
from hf_trace.effects.identifying.transport import OtherPopulation, transported
from hf_trace.effects.queries import Follow, Query
from hf_trace.effects.regimes.dose_curves import doses_on_rows
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.targeted import ESTIMATORS
from hf_trace.effects.training_intervals import intervals_of_answers
from hf_trace.errors import NotIdentifiedError, QueryError


def answer_questions(model: TableModel, records: Sequence[Any], request: EffectRequest) -> list[Document]:
    """Answer questions about a table, those that differ only in values together.

    Args:
        model: Of the rows.
        records: Questions: ``{"target": Y, "do": {A: a}, "given": {Z: z}}``, perhaps with ``contrast``, ``versus``;
            with ``factual`` and ``monotone`` about a single row; with ``selection`` where rows were chosen.
        request: How to answer them.

    Returns:
        One document for each.

    Raises:
        PipelineInputError: If a record is no question.
        SettingsError: If there are no rows for the estimator.
        QueryError: If a question names what does not exist, contradicts itself, or has impossible evidence.
        NotIdentifiedError: If latent variables leave it open.
        OverlapError: If the data cannot support it.
    """
    settings = request.settings(model.rows)
    kept = request.on_refusal == "report"
    if request.moves_formulas and model.schema.latent and not model.only_read:
        model = model.with_rows(request.data)

    def attempt(part: Callable[..., Any], *given: Any) -> Any:
        try:
            return part(*given)
        except QueryError as refusal:
            if not kept and not (request.bounds and isinstance(refusal, NotIdentifiedError)):
                raise
            return refusal

    parsed = [attempt(_query_of, model, record) for record in records]
    asked = zip(parsed, records, strict=True)
    plain = [query for query, record in asked if isinstance(query, Query) and not _apart(model, query, record, request)]
    answered = (answers_or_refusals if kept or request.bounds else answers)(model.conditionals, plain, settings)
    shown = [each for each in answered if isinstance(each, Answer)]
    intervals = iter(intervals_of_answers(request.members(model), shown, settings))
    found = iter(answered)
    documents = []
    for result, record in zip(parsed, records, strict=True):
        if isinstance(result, Query):
            apart = _apart(model, result, record, request)
            result = attempt(apart, model, result, record, request) if apart else next(found)
        if isinstance(result, NotIdentifiedError) and request.bounds:
            result = attempt(_bounded, model, record, request, result)
        if isinstance(result, QueryError) and not kept:
            raise result
        if isinstance(result, Answer):
            result = {**shown_with_notes(model, result, next(intervals)), "settings": known_fields(settings)}
        documents.append(
            {"target": record.get("target"), "error": str(result)} if isinstance(result, QueryError) else result
        )
    return documents


def _query_of(model: TableModel, record: Any) -> Query:
    """The question of a record; one about every dose as it is for the first."""
    treatment = swept(record, model.schema.by_name) if isinstance(record, Mapping) else None
    if treatment is not None:
        record = {**record, "do": {**record["do"], treatment: model.schema[treatment].values[0]}}
    return model.reader.query(record)


def _apart(
    model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest
) -> Callable[..., Document] | None:
    """What answers a question that is not answered together with others."""
    if swept(record, model.schema.by_name):
        return _every_dose
    if record.get("factual") or record.get("monotone"):
        return _would_have_been
    if record.get("contrast"):
        return compared
    if request.estimator != ESTIMATORS[0] and any(isinstance(each, Follow) for each in query.do.values()):
        return valued
    return None if request.elsewhere is None else _elsewhere


def _every_dose(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The outcome under every value of a treatment."""
    treatment = swept(record, model.schema.by_name)
    if treatment is None or record.get("contrast") or request.elsewhere is not None:
        raise QueryError(
            "A question about every dose (`*`) compares nothing by itself: leave out `contrast` and table."
        )
    variable, settings = model.schema[query.target], request.settings(model.rows)
    scores, what = scores_of(variable, request.target_value)
    if request.estimator == ESTIMATORS[0]:
        found = dose_response(model.conditionals, request.members(model), query, treatment, scores, settings)
    else:
        request.check_rows()
        found = doses_on_rows(model, query, treatment, scores, request.data, request.estimator, settings)
    return {
        "target": variable.name,
        "of": what,
        "treatment": treatment,
        "response": [each.to_dict() for each in found],
        "warnings": missed_groups(model, query),
        "settings": known_fields(settings),
    }


def _elsewhere(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The answer for another population."""
    settings = request.settings(model.rows)
    population = OtherPopulation.read(model.schema, query, request.elsewhere)
    answer = transported(model.conditionals, query, population, settings)
    shown = shown_with_notes(model, answer)
    return {**shown, "elsewhere": population.to_dict(), "settings": known_fields(settings)}


def _would_have_been(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """What the target would have been in a single row."""
    if record.get("contrast") or query.selection or request.elsewhere is not None:
        raise QueryError(
            "A contrast, rows that were chosen and another population are about averages, and of a single row something"
            " was seen (`factual`). Leave out either."
        )
    factual = {name: model.reader.code(name, value) for name, value in (record.get("factual") or {}).items()}
    settings = request.settings(model.rows)
    asked = RowQuestion(query, factual, bool(record.get("monotone")))
    return {**counterfactual_of_row(model.conditionals, asked, settings), "settings": known_fields(settings)}


def _bounded(
    model: TableModel, record: Mapping[str, Any], request: EffectRequest, refusal: NotIdentifiedError
) -> Document:
    """How far the answer to a question may lie that observations do not tell."""
    query, settings = model.reader.query(record), request.settings(model.rows)
    if query.selection:
        raise refusal
    if record.get("contrast"):
        contrast = contrast_of(model, query, record)
        if contrast.has_policy:
            raise refusal
        scores, what = scores_of(model.schema[query.target], request.target_value)
        found = bounds_of_contrast(model.conditionals, contrast, scores, settings)
        found = {"target": query.target, "contrast": contrast.kind, "of": what, **found}
    else:
        found = bounds_of_answer(model.conditionals, query, settings)
    return {**found, "not_identified": str(refusal), "settings": known_fields(settings)}
