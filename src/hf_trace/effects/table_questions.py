"""What a user asks of a table: the model of its rows, how to answer, and answers as plain documents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hf_trace.checks import one_of
from hf_trace.documents import Document
from hf_trace.effects.answers import Answer, AnswerSettings, answers, answers_or_refusals
from hf_trace.effects.bound_answers import bounds_of_answer, bounds_of_contrast
from hf_trace.effects.conditionals import Conditionals, Floats
from hf_trace.effects.contrasts import Contrast, counts_numbers, differences, row_columns
from hf_trace.effects.counterfactuals.row_answers import RowQuestion, counterfactual_of_row
from hf_trace.effects.dose_response import dose_response, swept
from hf_trace.effects.doubly_robust import Estimate, Rows, plug_in_ate
from hf_trace.effects.identifying.estimands import as_latex, as_text
from hf_trace.effects.identifying.transport import OtherPopulation, transported
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.effects.refuting.refutation import refuted, rows_compared
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.targeted import ESTIMATORS, POPULATIONS, estimated, overlap_warnings, population_of
from hf_trace.effects.training_intervals import (
    TrainingInterval,
    difference_of_rows,
    interval_of_difference,
    interval_of_rows,
    intervals_of_answers,
)
from hf_trace.errors import NotIdentifiedError, QueryError, SettingsError
from hf_trace.tables.variables import Variable

REFUSALS = ("raise", "report")


@dataclass(frozen=True)
class EffectRequest:
    """How questions about a table are to be answered.

    Attributes:
        num_samples: See ``AnswerSettings``, as for the next three.
        most_states: See there.
        seed: See there.
        least_effective: See there.
        estimator: ``"plug-in"``, or doubly robust on the rows of ``data``, with the model's propensities and outcome
            means, cross-fitted where the run was trained with folds; numbers count as they stand there: ``"aipw"``, or
            ``"tmle"``, whose means do not leave the range of the outcome.
        data: A DataFrame or table file with the rows of the training table. Plug-in answers of a graph with
            latent variables are moved towards these rows where they say better, see ``towards_rows``, and have an
            interval.
        target_value: The value whose probability a contrast compares; by default the mean of a target with numbers,
            or the last value of one without.
        intervals: Whether plug-in answers have an interval that holds what training may have got wrong, where the run
            has folds: each question is then put to the model of every fold, too.
        population: Whom a doubly robust contrast is about, see ``estimated``.
        bounds: Whether a question that observations do not tell is answered by an interval: how far it may lie.
        refute: Whether contrasts are put to everything that could speak against them, on the rows of ``data``.
        elsewhere: A DataFrame or table file of another population that plug-in answers are to be for: how often its
            covariates have their values.
        note_rows: Called with the rows behind a doubly robust contrast, as ``row_columns`` gives them: for figures.
        on_refusal: ``"raise"``, or ``"report"``: a question that cannot be answered gives ``{"error": reason}``.

    Raises:
        SettingsError: If a value is not one that may be chosen.
    """

    num_samples: int = AnswerSettings.num_samples
    most_states: int = AnswerSettings.most_states
    seed: int = AnswerSettings.seed
    least_effective: float = AnswerSettings.least_effective
    estimator: str = ESTIMATORS[0]
    data: Any = field(default=None, compare=False, repr=False)
    target_value: Any = None
    on_refusal: str = REFUSALS[0]
    bounds: bool = False
    refute: bool = False
    population: str = POPULATIONS[0]
    elsewhere: Any = field(default=None, compare=False, repr=False)
    intervals: bool = True
    note_rows: Callable[[Rows], object] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.settings(None)
        one_of("estimator", self.estimator, ESTIMATORS)
        one_of("population", self.population, POPULATIONS)
        one_of("on_refusal", self.on_refusal, REFUSALS)
        if self.elsewhere is not None and (self.estimator != ESTIMATORS[0] or self.refute or self.bounds):
            raise SettingsError(
                "Answers for another population are the model's: expected the estimator 'plug-in', without `refute` "
                "and `bounds`. Leave out either."
            )

    @property
    def moves_formulas(self) -> bool:
        """Whether formulas of the model are moved towards the rows of ``data``: not where these are to refute them."""
        return self.data is not None and self.estimator == ESTIMATORS[0] and not self.refute

    def settings(self, rows: int | None) -> AnswerSettings:
        """What single answers need of it.

        Args:
            rows: That the model was trained on, if known.
        """
        return AnswerSettings(self.num_samples, self.most_states, self.seed, rows, self.least_effective)

    def check_rows(self) -> None:
        """Refuse an estimator that works on rows where none are given.

        Raises:
            SettingsError: If there are none.
        """
        if self.refute and self.data is None:
            raise SettingsError("An effect is refuted by rows, but none were given. Pass `data` (`--data TABLE`).")
        if self.estimator != ESTIMATORS[0] and self.data is None:
            raise SettingsError(
                f"The {self.estimator} estimator works on rows, but none were given. Pass `data` (`--data TABLE`)."
            )
        if self.estimator == ESTIMATORS[0] and self.population != POPULATIONS[0]:
            raise SettingsError(
                f"The population is {self.population!r}, and the plug-in estimator weighs no rows. Add `estimator` "
                "'tmle' (`--estimator tmle`), or leave it out."
            )


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
    plain = [query for query, record in asked if isinstance(query, Query) and not _apart(model, record, request)]
    answered = (answers_or_refusals if kept or request.bounds else answers)(model.conditionals, plain, settings)
    shown = [each for each in answered if isinstance(each, Answer)]
    intervals = iter(intervals_of_answers(_members(model, request), shown, settings))
    found = iter(answered)
    documents = []
    for result, record in zip(parsed, records, strict=True):
        if isinstance(result, Query):
            apart = _apart(model, record, request)
            result = attempt(apart, model, result, record, request) if apart else next(found)
        if isinstance(result, NotIdentifiedError) and request.bounds:
            result = attempt(_bounded, model, record, request, result)
        if isinstance(result, QueryError) and not kept:
            raise result
        if isinstance(result, Answer):
            result = {**_shown_with_notes(model, result, next(intervals)), "settings": _known(settings)}
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


def _apart(model: TableModel, record: Mapping[str, Any], request: EffectRequest) -> Callable[..., Document] | None:
    """What answers a question that is not answered together with others."""
    if swept(record, model.schema.by_name):
        return _every_dose
    if record.get("factual") or record.get("monotone"):
        return _would_have_been
    if record.get("contrast"):
        return _compared
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
    found = dose_response(model.conditionals, _members(model, request), query, treatment, scores, settings)
    return {
        "target": variable.name,
        "of": what,
        "treatment": treatment,
        "response": [each.to_dict() for each in found],
        "warnings": _missed_groups(model, query),
        "settings": _known(settings),
    }


def _elsewhere(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The answer for another population."""
    settings = request.settings(model.rows)
    population = OtherPopulation.read(model.schema, query, request.elsewhere)
    answer = transported(model.conditionals, query, population, settings)
    shown = _shown_with_notes(model, answer)
    return {**shown, "elsewhere": population.to_dict(), "settings": _known(settings)}


def _members(model: TableModel, request: EffectRequest) -> Sequence[Conditionals]:
    """The models that an interval comes from."""
    return model.members if request.intervals else ()


def _shown_with_notes(model: TableModel, answer: Answer, interval: TrainingInterval | None = None) -> Document:
    shown = _shown_answer(model.schema[answer.query.target], answer, interval)
    shown["warnings"] += _binning_notes(model, [answer], is_mean=True) + _missed_groups(model, answer.query)
    return shown


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
    return {**counterfactual_of_row(model.conditionals, asked, settings), "settings": _known(settings)}


def _shown_answer(variable: Variable, answer: Answer, interval: TrainingInterval | None = None) -> Document:
    """An answer in names, as plain numbers."""
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


def _transported(
    population: OtherPopulation, conditionals: Conditionals, queries: Sequence[Query], settings: AnswerSettings | None
) -> list[Answer]:
    """Answers for another population."""
    if any(query.treated for query in queries):
        raise QueryError("The treated of another population are not known. Expected the contrast 'ate' or 'cate'.")
    return [transported(conditionals, query, population, settings or AnswerSettings()) for query in queries]


def _known(result: AnswerSettings | Estimate) -> Document:
    """What is known of it, by name."""
    return {name: value for name, value in asdict(result).items() if value is not None}


def _contrasted(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The difference between two interventions, in names."""
    request.check_rows()
    variable = model.schema[query.target]
    settings = request.settings(model.rows)
    contrast = _contrast(model, query, record)
    scores, what = scores_of(variable, request.target_value)
    document: Document = {
        "target": variable.name,
        "contrast": contrast.kind,
        "of": what,
        "estimator": request.estimator,
    }
    if request.data is not None and model.only_read:
        rows = row_columns(model, contrast, scores, request.data, settings)
        return {**document, **_estimates(model, contrast, rows, request), "settings": _known(settings)}
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
        "treated": _shown_answer(variable, found.answers[0]),
        "control": _shown_answer(variable, found.answers[1]),
        "warnings": list(dict.fromkeys(warning for answer in found.answers for warning in answer.warnings)),
    }
    if request.estimator != ESTIMATORS[0]:
        rows = row_columns(model, contrast, scores, request.data, settings)
        estimates = _estimates(model, contrast, rows, request)
        estimates["warnings"] = [*document["warnings"], *estimates["warnings"]]
        return {**document, **estimates, "plug_in": found.value, "settings": _known(settings)}
    is_mean = counts_numbers(variable, scores)
    if is_mean or found.binning_error is not None:
        document["binning_error"] = found.binning_error
    document["warnings"] += _binning_notes(model, found.answers, is_mean=is_mean) + _missed_groups(model, query)
    if found.answers[0].rows:
        document |= {"interval": _known(difference_of_rows(found, scores)), "standard_error_of": "rows"}
    elif population is None and (
        interval := interval_of_difference(_members(model, request), contrast, scores, found, settings)
    ):
        document["interval"] = _known(interval)
    return {**document, "settings": _known(settings)}


def _binning_notes(model: TableModel, found: Sequence[Answer], *, is_mean: bool) -> list[str]:
    """What nobody can read off the numbers of plug-in answers to one question: errors of bins that are not in them."""
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


def _missed_groups(model: TableModel, query: Query) -> list[str]:
    """Where what is said is known to miss what rows did that had a treatment by themselves."""
    return [
        f"Where {miss['parent']!r} is {miss['group']!r} ({miss['rows']:,.0f} rows), the model says "
        f"{miss['predicted']:.3g} on average of {(miss['value'] or query.target)!r}, the rows {miss['observed']:.3g} ± "
        f"{miss['standard_error']:.2g}: more than chance. `--estimator tmle` with `--data` corrects that."
        for miss in model.misses
        if miss["variable"] == query.target and miss["parent"] in query.do
    ]


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


def _contrast(model: TableModel, query: Query, record: Mapping[str, Any]) -> Contrast:
    """What a record compares; a forced variable of two values is compared with the other one unless it says more."""
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
    control = {name: model.reader.code(name, value) for name, value in versus.items()}
    return Contrast(record["contrast"], query, control)


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


def _compared(model: TableModel, query: Query, record: Mapping[str, Any], request: EffectRequest) -> Document:
    """The difference between two interventions, and what speaks against it where that is asked for."""
    if query.selection and (request.refute or request.estimator != ESTIMATORS[0]):
        raise QueryError(
            "Rows were chosen, and only the plug-in estimator knows how to speak of everybody then. Expected estimator "
            "'plug-in', without `refute`."
        )
    document = _contrasted(model, query, record, request)
    if request.refute:
        contrast, (scores, _) = (
            _contrast(model, query, record),
            scores_of(model.schema[query.target], request.target_value),
        )
        rows = rows_compared(model.schema, contrast, scores, request.data)
        document["refutation"] = refuted(rows, model.schema, document["value"], seed=request.seed).to_dict()
    return document


def _bounded(
    model: TableModel, record: Mapping[str, Any], request: EffectRequest, refusal: NotIdentifiedError
) -> Document:
    """How far the answer to a question may lie that observations do not tell."""
    query, settings = model.reader.query(record), request.settings(model.rows)
    if query.selection:
        raise refusal
    if record.get("contrast"):
        contrast = _contrast(model, query, record)
        scores, what = scores_of(model.schema[query.target], request.target_value)
        found = bounds_of_contrast(model.conditionals, contrast, scores, settings)
        found = {"target": query.target, "contrast": contrast.kind, "of": what, **found}
    else:
        found = bounds_of_answer(model.conditionals, query, settings)
    return {**found, "not_identified": str(refusal), "settings": _known(settings)}


def _estimates(model: TableModel, contrast: Contrast, rows: Rows, request: EffectRequest) -> Document:
    """The estimate that was asked for, and the plug-in beside it: of all rows, or of the treated."""
    of_treated = contrast.kind == "att"
    if request.note_rows is not None:
        request.note_rows(rows)
    chosen = estimated(rows, estimator=request.estimator, of_treated=of_treated, population=request.population)
    return {
        **_known(chosen),
        "means": dict(zip(("treated", "control"), chosen.means or (), strict=False)),
        "standard_error_of": "rows",
        "plug_in": plug_in_ate(rows.only_treated() if of_treated else rows).value,
        "population": "the treated" if of_treated else population_of(rows, request.population),
        "cross_fitted": model.folds is not None,
        "warnings": overlap_warnings(chosen, population=request.population),
    }
