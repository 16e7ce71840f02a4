"""``pipeline("causal-effect")``: what would happen if, asked of a run of a table with a known graph or of a log."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, overload

from transformers import PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY

from hf_trace.checks import refuse_unknown, updated, whole
from hf_trace.documents import Document
from hf_trace.effects.asking.effect_request import EffectRequest
from hf_trace.effects.question_records import RECORD_KEYS
from hf_trace.effects.table_model import TableModel
from hf_trace.effects.table_questions import answer_questions
from hf_trace.errors import ModelLoadError, PipelineInputError, preview
from hf_trace.logs.sequence import EventSequence
from hf_trace.pipelines.records import all_records, as_sequence, is_log, is_single, log_as_trained
from hf_trace.pipelines.saving import NoDefaultModel, Publishable
from hf_trace.pipelines.typed_results import EffectAnswer, EffectResult, WhatIfResult
from hf_trace.questions.what_if import WhatIfRequest, answer_what_if
from hf_trace.runs.doors import AutoModelForCausalLM, RefusedModel, admitted
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import RunTokenizer, run_kind, run_of
from hf_trace.tables.schema import DagSchema

TASK = "causal-effect"
_OF_SEQUENCES = ("events", "timestamps", "id", "context")
_ASKED = ("do", "target", "within")


def _answer_what_ifs(model: EventModel, records: Sequence[Any], request: WhatIfRequest) -> list[WhatIfResult]:
    """Answers about sequences; what is asked stands in each record beside its events."""
    return [_answer_one_what_if(model, record, request) for record in records]


def _answer_one_what_if(model: EventModel, record: Any, request: WhatIfRequest) -> WhatIfResult:
    if not isinstance(record, Mapping) or not {"events", "do", "target"} <= set(record):
        found = f"the keys {preview(record)}" if isinstance(record, Mapping) else f"a {type(record).__name__}"
        raise PipelineInputError(
            f'Got {found}, expected {{"events": [...], "do": {{POSITION: EVENT}}, "target": EVENT}}: this run was '
            "trained on an event log."
        )
    asked = updated(request, **{name: record[name] for name in _ASKED if name in record})
    return WhatIfResult(answer_what_if(model, as_sequence(record), asked))


def _answer_effects(model: TableModel, records: Sequence[Any], request: EffectRequest) -> list[EffectResult]:
    """Answers about a table."""
    return [EffectResult(each) for each in answer_questions(model, records, request)]


def _of_log(model: EventModel, inputs: Any) -> list[Any]:
    """Records to ask about: those given, or each sequence of a log."""
    if is_log(inputs):
        return log_as_trained(inputs, model.recipe).to_records()
    return [_record(each) for each in all_records(inputs)]


def _record(given: Any) -> Any:
    """A sequence as a mapping that a question can be added to."""
    if isinstance(given, list | tuple):
        return {"events": given}
    return {name: getattr(given, name) for name in _OF_SEQUENCES} if isinstance(given, EventSequence) else given


@dataclass(frozen=True)
class _Kind:
    """How runs of a kind are asked.

    Attributes:
        model: Makes what is asked of a loaded model, a tokenizer or None, and ``memory``.
        request: How questions are answered unless a user says otherwise.
        keys: What makes a question.
        records: Questions, or what they are about, of what a call was given.
        answers: EffectAnswers a list of questions put to the model.
    """

    model: Callable[..., Any]
    request: Any
    keys: tuple[str, ...]
    records: Callable[[Any, Any], list[Any]]
    answers: Callable[..., list[Any]]


_TABLE = _Kind(TableModel.of, EffectRequest(), RECORD_KEYS, lambda _, inputs: all_records(inputs), _answer_effects)
_EVENTS = _Kind(EventModel.of, WhatIfRequest(), (*_OF_SEQUENCES, *_ASKED), _of_log, _answer_what_ifs)
_KINDS = {"log": _EVENTS, "world": _EVENTS}


class CausalEffectPipeline(Publishable):
    """Interventional distributions and effects, from a language model of sequencified rows (arXiv 2409.18581).

    A question is ``{"target": Y, "do": {A: a}, "given": {Z: z}}``. What is done to a variable may be a value; for a
    sequence also a beginning, ``["N", "N", "..."]`` or ``{"prefix": ["N", "N"], "length": 5}``, that the model
    continues as it saw others do; or a policy: probabilities by value, rules ``[{"when": {Z: z}, "then": {a: 0.3, b:
    0.7}}, …]``, or a function from known values to probabilities. With ``"contrast": "ate"``, ``"att"`` or
    ``"cate"`` the answer is a difference to what ``"versus"`` says, by default the other value of the treatment.
    With ``"factual": {Z: z}`` it is about a single row in which that was seen, see ``counterfactual_of_row``; with
    ``"selection": S`` the rows of the table were chosen by the latent variable S, and the answer is for everybody.

    A run of an event log is asked how likely an event follows a position of a sequence, had the event there been
    another: ``{"events": [...], "timestamps": [...], "do": {3: "B"}, "target": "C", "within": "300s"}``, ``"removed"``
    for no event.

    Parameters, of the pipeline or of a call, are the fields of ``EffectRequest`` for a table, and of
    ``WhatIfRequest`` for a log.

    Attributes:
        asked: What questions are put to: a ``TableModel``, or an ``EventModel``.
        request: How they are answered where a call does not say otherwise.

    Example:
        >>> from transformers import pipeline
        >>> effect = pipeline("causal-effect", model="runs/sachs")  # doctest: +SKIP
        >>> effect({"target": "Akt", "do": {"Mek": "HIGH"}, "given": {"PKA": "LOW"}})  # doctest: +SKIP
    """

    def __init__(
        self,
        model: PreTrainedModel | RefusedModel,
        tokenizer: Any = None,
        *,
        memory: str | float | None = None,
        **kwargs: Any,
    ) -> None:
        model = admitted(model)
        run = run_of(model)
        self._kind = _KINDS.get(run_kind(run), _TABLE) if run else _TABLE
        self.request = self._kind.request
        super().__init__(model=model, **kwargs)
        self.asked = self._kind.model(self.model, tokenizer, memory=memory)
        self.tokenizer = self.asked.tokenizer.tokenizer

    @property
    def schema(self) -> DagSchema:
        """The graph and the variables of a table.

        Raises:
            ModelLoadError: If the run is of an event log.
        """
        if not isinstance(self.asked, TableModel):
            raise ModelLoadError("The run was trained on an event log, expected one of a table, which has a graph.")
        return self.asked.schema

    @property
    def run_tokenizer(self) -> RunTokenizer:
        """What ``save_pretrained`` writes."""
        tokenizer: RunTokenizer = self.asked.tokenizer
        return tokenizer

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, inputs: Mapping[str, Any] | EventSequence | None = None, **parameters: Any
        ) -> EffectAnswer: ...
        @overload
        def __call__(self, inputs: Any, **parameters: Any) -> list[EffectAnswer]: ...

    def __call__(
        self, inputs: Any = None, *, batch_size: int | None = None, num_workers: int | None = None, **parameters: Any
    ) -> Any:
        """Answer one question or many; those that differ only in values are answered together.

        Args:
            inputs: A question, or a list, generator, data set or ``KeyDataset`` of them. What is asked may also be
                said by keywords, ``effect(target="Akt", do={"Mek": "HIGH"})``, alone or of each input; a run of an
                event log so takes sequences, an ``EventLog``, a DataFrame or a path too.
            batch_size: Most questions that are answered together; all by default.
            num_workers: Accepted as every pipeline does; questions are read in this process.
            parameters: The keys of a question: of a table ``target``, ``do``, ``given``, ``contrast`` (``"ate"``,
                ``"att"``, ``"cate"``) and ``versus``; of an event log ``events``, ``timestamps``, ``do``, ``target``
                and ``within``. How it is answered: of a table ``num_samples``, ``most_states``, ``seed``,
                ``least_effective``, ``estimator`` (``"plug-in"``, ``"aipw"``), ``data``, ``target_value``,
                ``on_refusal``; of an event log ``num_samples``, ``unknown``, ``seed``.

        Returns:
            An ``EffectResult``, of an event log a ``WhatIfResult``, for one question; a list for several.

        Raises:
            PipelineInputError: If a record is no question, or there is none.
            SettingsError: If a parameter is unknown or has a value that may not be chosen.
            QueryError: If a question names what does not exist, contradicts itself, or has impossible evidence.
            NotIdentifiedError: If latent variables leave it open.
            OverlapError: If the data cannot support it.
        """
        keys = self._kind.keys
        refuse_unknown(parameters, dict.fromkeys((*(each.name for each in fields(self.request)), *keys)))
        asked = {name: parameters.pop(name) for name in keys if name in parameters}
        request = updated(self.request, **parameters)
        size = self._batch_size if batch_size is None else batch_size
        at_once = None if size is None else whole("batch_size", size)
        if num_workers is not None:
            whole("num_workers", num_workers, least=0)
        if inputs is None and not asked:
            raise PipelineInputError("Got no question. Pass one, or say it by keywords: `target=…, do={…}`.")
        is_one = inputs is None or is_single(inputs)
        records = [_record({} if inputs is None else inputs)] if is_one else self._kind.records(self.asked, inputs)
        if not records:
            raise PipelineInputError("Got an empty list, expected at least one question.")
        questions = [{**asked, **record} if isinstance(record, Mapping) else record for record in records]
        answers = [
            answer
            for start in range(0, len(questions), at_once or len(questions))
            for answer in self._kind.answers(self.asked, questions[start:][:at_once], request)
        ]
        return answers[0] if is_one else answers

    def _sanitize_parameters(self, **parameters: Any) -> tuple[Document, Document, Document]:
        """Parameters given at construction: the base class hands them over once, and calls start from them."""
        self.request = updated(self.request, **parameters)
        return {}, {}, {}

    def preprocess(self, question: Any) -> Any:
        """The question itself; ``__call__`` answers many together."""
        return question

    def _forward(self, question: Any) -> Any:
        return self(question)

    def postprocess(self, answer: Any) -> Any:
        """The answer itself."""
        return answer


def _register() -> None:
    """Teach Transformers the task."""
    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        pipeline_class=CausalEffectPipeline,
        pt_model=AutoModelForCausalLM,
        default=NoDefaultModel(TASK),
        type="text",
    )
    # With this attribute save_pretrained would copy this module into the checkpoint; see ``discovery_pipeline``.
    del CausalEffectPipeline._registered_impl


_register()
