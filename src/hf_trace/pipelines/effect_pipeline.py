"""``pipeline("causal-effect")``: questions about the variables of a known graph in, probabilities with errors out."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import Pipeline, PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY

from hf_trace.effects.answers import Answer, AnswerSettings, answers, answers_or_refusals
from hf_trace.effects.conditionals import Conditionals
from hf_trace.effects.contrasts import Contrast, RowColumns, differences, row_columns, shown_estimate, with_jackknife
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.effects.question_records import QuestionReader, is_question, questions
from hf_trace.errors import ModelLoadError, QueryError, SettingsError, preview
from hf_trace.oracle.engine import Oracle
from hf_trace.pipelines.saving import Publishable
from hf_trace.runs.folders import (
    METRICS_FILE,
    TRAINING_FILE,
    AutoModelForCausalLM,
    check_vocabulary,
    load_model,
    read_json,
    run_of,
)
from hf_trace.runs.members import Folds, member_folders
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

TASK = "causal-effect"
ESTIMATORS = ("plug-in", "aipw")
_SETTINGS = tuple(field.name for field in fields(AnswerSettings) if field.name != "training_rows")
_CALL_OPTIONS = ("estimator", "data", "target_value", "on_refusal")


class CausalEffectPipeline(Publishable, Pipeline):
    """Interventional distributions and effects, from a language model of sequencified rows (arXiv 2409.18581).

    A question is ``{"target": Y, "do": {A: a}, "given": {Z: z}}``. What is done to a variable may be a value; for a
    sequence also a beginning, ``["N", "N", "..."]`` or ``{"prefix": ["N", "N"], "length": 5}``, that the model
    continues as it saw others do; or a policy: probabilities by value, rules ``[{"when": {Z: z}, "then": {a: 0.3, b:
    0.7}}, …]``, or a function from known values to probabilities. With ``"contrast": "ate"``, ``"att"`` or
    ``"cate"`` the answer is a difference to what ``"versus"`` says, by default the other value of the treatment.

    Call parameters are the fields of ``AnswerSettings`` but ``training_rows``, and:

    * ``estimator``: ``"plug-in"``, or ``"aipw"``: doubly robust on the rows of ``data``, with the model's
      propensities and outcome means, cross-fitted where the run was trained with folds.
    * ``data``: a DataFrame or table file with the rows of the training table.
    * ``on_refusal``: ``"raise"``, or ``"report"``: a question that cannot be answered gives ``{"error": reason}``.
    * ``target_value``: the value whose probability a contrast compares; by default the mean of a target with
      numbers, or the last value of one without.

    Example:
        >>> from transformers import pipeline
        >>> effect = pipeline("causal-effect", model="runs/sachs")  # doctest: +SKIP
        >>> effect({"target": "Akt", "do": {"Mek": "HIGH"}, "given": {"PKA": "LOW"}})  # doctest: +SKIP
    """

    def __new__(cls, model: PreTrainedModel, *arguments: Any, **kwargs: Any) -> Any:
        """A pipeline of events where the model was trained on an event log."""
        # Importing it loads the discovery pipeline, which may be what is being imported right now.

        from hf_trace.pipelines.event_effects import EventEffectPipeline, reads_events

        if reads_events(model):
            return EventEffectPipeline(model, *arguments, **kwargs)
        return super().__new__(cls)

    _load_tokenizer = False
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any = None, *, memory: str | float | None = None, **kwargs: Any
    ) -> None:
        path = run_of(model)
        if tokenizer is None and not path:
            raise ModelLoadError(
                "The model came without a tokenizer and from no folder one could be read from. Pass `tokenizer=`."
            )
        self.variables = _dag_tokenizer(tokenizer or path)
        check_vocabulary(self.variables, model)
        super().__init__(model=model, tokenizer=self.variables.tokenizer, **kwargs)
        self._memory, self._path = memory, path
        self.metrics = read_json(path, METRICS_FILE) if path else {}
        self.conditionals = conditionals_of(self.variables, Oracle(self.model, memory=memory), self._only_read())
        self.reader = QuestionReader(self.variables, self.conditionals)

    @property
    def schema(self) -> DagSchema:
        """The graph and its variables."""
        return self.variables.schema

    @property
    def run_tokenizer(self) -> DagTokenizer:
        """What ``save_pretrained`` writes."""
        return self.variables

    @cached_property
    def members(self) -> list[Conditionals]:
        """Models of the run that have each seen all rows but those of a fold; read when first asked for."""
        folders = member_folders(run_of(self.model, members=True)) if self._path else []
        models = (load_model(folder, device=self.model.device).to(self.model.dtype) for folder in folders)
        only_read = self.conditionals.only_read
        return [conditionals_of(self.variables, Oracle(each, memory=self._memory), only_read) for each in models]

    def _only_read(self) -> frozenset[str]:
        """Variables that the run was not taught to predict."""
        training = read_json(self._path, TRAINING_FILE) if self._path else {}
        learned = training.get("learn")
        return frozenset() if learned is None else frozenset(self.variables.variables) - set(learned)

    def __call__(self, inputs: Any, **parameters: Any) -> Any:
        """Answer one question or many; those that differ in values alone are answered together.

        Args:
            inputs: A question, or a list or generator of them.
            parameters: See the class.

        Returns:
            A dict for one question, a list for several.

        Raises:
            PipelineInputError: If a record is no question.
            QueryError: If a question names what does not exist, contradicts itself, or has impossible evidence.
            NotIdentifiedError: If latent variables leave it open.
            OverlapError: If the data cannot support it.
        """
        _, options, _ = self._sanitize_parameters(**{**self._forward_params, **parameters})
        records = questions(inputs)
        found = list(self._answers(records, **options))
        return found[0] if is_question(inputs) else found

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = (*_SETTINGS, *_CALL_OPTIONS)
        if wrong := [name for name in parameters if name not in known]:
            raise SettingsError(f"Unknown parameter {preview(wrong)}, expected one of: {', '.join(known)}.")
        if parameters.get("estimator", ESTIMATORS[0]) not in ESTIMATORS:
            raise SettingsError(f"estimator is {parameters['estimator']!r}, expected one of: {', '.join(ESTIMATORS)}.")
        if parameters.get("estimator") == "aipw" and parameters.get("data") is None:
            raise SettingsError("The aipw estimator works on rows, but none were given. Pass `data` (`--data TABLE`).")
        if parameters.get("on_refusal", "raise") not in ("raise", "report"):
            raise SettingsError(f"on_refusal is {parameters['on_refusal']!r}, expected 'raise' or 'report'.")
        for name in ("num_samples", "most_states"):
            value = parameters.get(name, 1)
            if isinstance(value, bool) or not isinstance(value, int) or value < (name == "num_samples"):
                raise SettingsError(f"{name} is {value!r}, expected a whole number of at least 1.")
        return {}, dict(parameters), {}

    def settings(self, **parameters: Any) -> AnswerSettings:
        """What a call with these parameters would use."""
        chosen = {name: parameters[name] for name in _SETTINGS if name in parameters}
        return replace(AnswerSettings(), training_rows=self.metrics.get("rows"), **chosen)

    def preprocess(self, record: Any) -> Any:
        """The question of a record, in codes."""
        return self.reader.query(record)

    def _forward(self, query: Any, **options: Any) -> Answer:
        return answers(self.conditionals, [query], self.settings(**options))[0]

    def postprocess(self, answer: Answer) -> dict[str, Any]:
        """An answer in names."""
        return shown_answer(self.schema[answer.query.target], answer)

    def _answers(self, records: list[Mapping[str, Any]], **options: Any) -> Iterator[dict[str, Any]]:
        settings = self.settings(**options)
        kept = options.get("on_refusal") == "report"
        parsed = [self._parsed(record, kept) for record in records]
        asked = [(query, record) for query, record in zip(parsed, records, strict=True) if isinstance(query, Query)]
        plain = [query for query, record in asked if not record.get("contrast")]
        found = iter((answers_or_refusals if kept else answers)(self.conditionals, plain, settings))
        for query, record in zip(parsed, records, strict=True):
            try:
                if isinstance(query, QueryError):
                    raise query
                if record.get("contrast"):
                    yield self._contrast(self._parsed_contrast(query, record), settings, options)
                    continue
                answer = next(found)
                if isinstance(answer, QueryError):
                    raise answer
                yield {**self.postprocess(answer), "settings": _shown_settings(settings)}
            except QueryError as refusal:
                if not kept:
                    raise
                yield {"target": record.get("target"), "error": str(refusal)}

    def _parsed(self, record: Mapping[str, Any], kept: bool) -> Query | QueryError:
        try:
            return self.preprocess(record)
        except QueryError as refusal:
            if not kept:
                raise
            return refusal

    def _parsed_contrast(self, query: Any, record: Mapping[str, Any]) -> Contrast:
        versus = dict(record.get("versus") or {})
        for name, intervention in query.do.items():
            values = self.schema[name].values
            if name not in versus and isinstance(intervention, Force) and len(values) == 2:
                versus[name] = values[1 - intervention.code]
        if lacking := [name for name in query.do if name not in versus]:
            raise QueryError(
                f"The contrast does not say what {lacking[0]!r} is compared with. Pass a value (`versus`, `--versus "
                f"{lacking[0]}=…`)."
            )
        control = {name: self.reader.code(name, value) for name, value in versus.items()}
        return Contrast(record["contrast"], query, control)

    def _contrast(self, contrast: Contrast, settings: AnswerSettings, options: dict[str, Any]) -> dict[str, Any]:
        variable = self.schema[contrast.query.target]
        scores, what = scores_of(variable, options.get("target_value"))
        document = {
            "target": variable.name,
            "contrast": contrast.kind,
            "of": what,
            "estimator": options.get("estimator", ESTIMATORS[0]),
        }
        if options.get("data") is not None and self.conditionals.only_read:
            columns = self._on_rows(contrast, scores, settings, options)
            document["means"] = dict(zip(("treated", "control"), columns.means(), strict=True))
            return {**document, **_estimates(columns, options), "settings": _shown_settings(settings)}
        found = differences(self.conditionals, [contrast], [scores], settings)[0]
        document |= {
            "value": found.value,
            "standard_error": found.standard_error,
            "means": {"treated": found.means[0], "control": found.means[1]},
            "treated": self.postprocess(found.answers[0]),
            "control": self.postprocess(found.answers[1]),
        }
        if options.get("estimator") == "aipw":
            columns = self._on_rows(contrast, scores, settings, options)
            document |= {**_estimates(columns, options), "plug_in": found.value}
        else:
            interval = with_jackknife(self.members, contrast, scores, found.value, settings)
            document |= {"interval": shown_estimate(interval)} if interval else {}
        return {**document, "settings": _shown_settings(settings)}

    def _on_rows(
        self, contrast: Contrast, scores: NDArray[np.float64], settings: AnswerSettings, options: dict[str, Any]
    ) -> RowColumns:
        """What models say of the rows of a table, cross-fitted where the run has members."""
        folds = Folds.of_run(self._path) if self._path else None
        models = self.members if folds else [self.conditionals]
        return row_columns(self.variables, models, folds, contrast, scores, options["data"], settings)


def _estimates(columns: RowColumns, options: dict[str, Any]) -> dict[str, Any]:
    """The estimate that was asked for, and the plug-in beside it."""
    plug_in = columns.plug_in()
    chosen = columns.aipw() if options.get("estimator") == "aipw" else plug_in
    found = {**shown_estimate(chosen), "plug_in": plug_in.value}
    return {**found, "cross_fitted": columns.is_cross_fitted}


def conditionals_of(tokenizer: DagTokenizer, oracle: Oracle, only_read: frozenset[str] = frozenset()) -> Conditionals:
    """A model with the way its variables are written."""
    return Conditionals(
        oracle=oracle,
        schema=tokenizer.schema,
        tokens=tokenizer.variables,
        begin=tokenizer.begin,
        parents_only=tokenizer.history == "parents",
        fixed_order=tokenizer.order == "fixed",
        only_read=only_read,
    )


def _dag_tokenizer(tokenizer: Any) -> DagTokenizer:
    if isinstance(tokenizer, DagTokenizer):
        return tokenizer
    if isinstance(tokenizer, (str, PathLike)):
        return DagTokenizer.from_pretrained(tokenizer)
    return DagTokenizer(tokenizer)


def scores_of(variable: Variable, value: Any = None) -> tuple[NDArray[np.float64], str]:
    """What each value of a target counts as in a mean, and a name for that mean.

    Example:
        >>> scores_of(Variable("ill", values=("no", "yes")))
        (array([0., 1.]), 'p(ill = yes)')
    """
    if value is None and variable.numbers is not None:
        return variable.numbers, f"mean of {variable.name}"
    code = len(variable.values) - 1 - variable.has_missing if value is None else variable.code(value)
    return np.eye(len(variable.values))[code], f"p({variable.name} = {variable.values[code]})"


def shown_answer(variable: Variable, answer: Answer) -> dict[str, Any]:
    """An answer in names, as plain numbers."""
    names = variable.values
    document: dict[str, Any] = {
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
    if variable.numbers is not None:
        mean, error = answer.expectation(variable.numbers)
        document["expectation"] = {"mean": mean, "standard_error": error}
    if any(isinstance(each, Follow) for each in answer.query.do.values()):
        document["policy"] = [name for name, each in answer.query.do.items() if isinstance(each, Follow)]
    return document


def _shown_settings(settings: AnswerSettings) -> dict[str, Any]:
    return {name: value for name, value in asdict(settings).items() if value is not None and value != math.inf}


def _register() -> None:
    """Teach Transformers the task."""
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=CausalEffectPipeline, pt_model=AutoModelForCausalLM, type="text"
    )
    # With this attribute save_pretrained would copy this module into the checkpoint; see pipelines.py.
    del CausalEffectPipeline._registered_impl


_register()
