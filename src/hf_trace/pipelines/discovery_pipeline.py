"""``pipeline("causal-discovery")``: event sequences in, causal graphs out."""

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, overload

from transformers import PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY

from hf_trace.checks import updated, whole
from hf_trace.discovery.results import population_result, sequence_result, sequence_results
from hf_trace.discovery.scoring import ScoredSequence, scored
from hf_trace.discovery.settings import DiscoveryRequest, DiscoverySettings
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.oracle.engine import Oracle
from hf_trace.pipelines.call_parameters import DiscoveryParameters, LeveledParameters
from hf_trace.pipelines.records import is_single, one, read_inputs, readable
from hf_trace.pipelines.saving import NoDefaultModel, Publishable
from hf_trace.pipelines.typed_results import DiscoveryResult, OutcomesResult, RankResult, WhatIfResult
from hf_trace.questions.outcome_causes import OutcomeSettings, outcomes
from hf_trace.questions.ranking import RankSettings, rank
from hf_trace.questions.what_if import WhatIfRequest, answer_what_if
from hf_trace.runs.doors import AutoModelForCausalLM, RefusedModel, admitted
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import load_model, own_tokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

TASK = "causal-discovery"


class CausalDiscoveryPipeline(Publishable):
    """Causal graphs of event sequences from a frozen causal language model (TRACE, arXiv 2602.01135).

    Parameters, at construction or of a call, are the fields of ``DiscoverySettings``, where ``knowledge`` may also be
    a mapping or a JSON file, and those of ``DiscoveryRequest``: ``level``, ``batch_size``, ``return_scores``,
    ``unknown``, ``slide``, ``min_frequency``, ``min_support``, ``bootstrap`` and ``compare``. With ``level``
    ``"instance"`` (default) or ``"summary"`` there is one output per record, with the graph of that level under
    ``"graph"``; with ``"population"`` one output for all records.

    Attributes:
        event_model: Model, vocabulary, further oracles and quality of the run.

    Example:
        >>> from transformers import pipeline
        >>> discover = pipeline("causal-discovery", model="runs/alarms")  # doctest: +SKIP
        >>> discover({"events": ["A", "disk full", "B"]}, max_lag=8)["edges"]  # doctest: +SKIP
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
        vocabulary = own_tokenizer(EventTokenizer, model, tokenizer)
        super().__init__(model=model, tokenizer=vocabulary.tokenizer, **kwargs)
        # The base class may have moved the model to another device.
        self.event_model = EventModel.of(self.model, vocabulary, memory=memory)

    @property
    def run_tokenizer(self) -> EventTokenizer:
        """The vocabulary that ``save_pretrained`` writes."""
        return self.event_model.tokenizer

    @property
    def events(self) -> EventTokenizer:
        """The vocabulary."""
        return self.event_model.tokenizer

    @property
    def oracle(self) -> Oracle:
        """The model that scores."""
        return self.event_model.oracle

    @property
    def members(self) -> list[Oracle]:
        """Further oracles of the run; see ``EventModel``."""
        return self.event_model.members

    @property
    def quality(self) -> Mapping[str, Any]:
        """Losses on held-out events; see ``EventModel``."""
        return self.event_model.quality

    @property
    def outcome_events(self) -> tuple[str, ...]:
        """Labels of whole sequences that the run was trained with, as events."""
        return self.event_model.outcome_labels

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, inputs: Any, *, level: Literal["population"], **parameters: Unpack[DiscoveryParameters]
        ) -> DiscoveryResult: ...
        @overload
        def __call__(
            self, inputs: Mapping[str, Any] | EventSequence, **parameters: Unpack[LeveledParameters]
        ) -> DiscoveryResult: ...
        @overload
        def __call__(
            self, inputs: Iterator[Any], **parameters: Unpack[LeveledParameters]
        ) -> Iterator[DiscoveryResult]: ...
        @overload
        def __call__(self, inputs: Any, **parameters: Unpack[LeveledParameters]) -> list[DiscoveryResult]: ...

    def __call__(self, inputs: Any, *, num_workers: int | None = None, **parameters: Any) -> Any:
        """Discover the graph of one record, of each record, or of all together.

        With ``level="population"`` sequences that are longer than the model reads are cut into windows, as they were in
        training; one by one they are refused, or read whole with ``slide=True``.

        Args:
            inputs: ``{"events": [...], "timestamps": [...], "id": ...}``, an ``EventSequence``, or a list,
                generator, ``KeyDataset`` or ``datasets.Dataset`` of those; or a log: an ``EventLog``, a DataFrame or a
                data set with a row per event, or the path of a file or folder, read as the log of the run was.
            num_workers: Accepted as every pipeline does; records are read in this process, a batch at a time.
            parameters: Fields of ``DiscoverySettings`` and ``DiscoveryRequest``, by name: ``level`` (``"instance"``,
                ``"summary"`` or ``"population"``), ``question`` (``"drives"`` or ``"follows"``), ``threshold``
                (``"margin:0.05"``, ``"fdr:0.1"``), ``max_lag`` (events), ``num_samples``, ``proposal``,
                ``construction``, ``statistic``, ``effect``, ``horizon``, ``num_contexts``, ``refine``,
                ``prefix_length``, ``seed``, ``self_loops``, ``ties``, ``variable``, ``knowledge``, ``batch_size``,
                ``return_scores``, ``unknown``, ``slide``, ``min_frequency``, ``min_support``, ``bootstrap``,
                ``compare``.

        Returns:
            A ``DiscoveryResult`` for one record or for ``level="population"``; a list for a list or a log; an
            iterator for a generator or an ``IterableDataset``.

        Raises:
            PipelineInputError: If a record has no list of event names.
            SettingsError: If a parameter is unknown or has a value that is not understood.
            ContextLengthError: If a single sequence is longer than the model reads.
            UnknownEventError: If an event is not in the vocabulary.
        """
        request = self.request(**parameters)
        records = self._read(inputs, num_workers)
        if request.level == "population":
            windows, whole = readable(self.event_model, records, request)
            return DiscoveryResult(population_result(self.event_model, windows, request, whole=whole).to_dict())
        items = scored(self.event_model, records, request)
        outputs = (DiscoveryResult(found.to_dict()) for found in sequence_results(self.event_model, items, request))
        if is_single(inputs):
            return next(outputs)
        return list(outputs) if isinstance(records, EventLog) or hasattr(inputs, "__len__") else outputs

    def _read(self, inputs: Any, num_workers: int | None = None) -> EventLog | Iterator[EventSequence]:
        """What to look at; the number of workers is checked, and changes nothing."""
        if num_workers is not None:
            whole("num_workers", num_workers, least=0)
        return read_inputs(inputs, self.event_model.recipe)

    def request(self, **parameters: Any) -> DiscoveryRequest:
        """The request of a call: its parameters override those given at construction, which override the defaults."""
        request: DiscoveryRequest = self._forward_params["request"]
        if self._batch_size is not None:  # the base class keeps this parameter for itself
            request = request.updated(batch_size=self._batch_size)
        return request.updated(**parameters)

    def settings(self, **parameters: Any) -> DiscoverySettings:
        """How a call with these parameters scores pairs."""
        return self.request(**parameters).settings

    def scored(self, inputs: Any, **parameters: Any) -> Iterator[ScoredSequence]:
        """Lazily give each sequence with the scores of its tested pairs, for loops that show progress."""
        return scored(self.event_model, self._read(inputs), self.request(**parameters))

    def what_if(self, record: Any, **parameters: Any) -> WhatIfResult:
        """How likely a target follows a position of a sequence, as observed and had the event there been different.

        Args:
            record: ``{"events": [...], "timestamps": [...], "id": ...}`` or an ``EventSequence``.
            parameters: The fields of ``hf_trace.questions.what_if.WhatIfRequest``.

        Example:
            >>> discover.what_if(record, do={3: "removed"}, target="outage", within="300s")  # doctest: +SKIP
        """
        request = updated(WhatIfRequest(), **parameters)
        return WhatIfResult(answer_what_if(self.event_model, one(record), request))

    def rank(
        self,
        record: Any,
        *,
        outcome: str,
        position: int | None = None,
        reference: "CausalDiscoveryPipeline | None" = None,
        **parameters: Any,
    ) -> RankResult:
        """Root causes of an event of a sequence, most likely first.

        Args:
            record: The incident, as for a call.
            outcome: The event to explain.
            position: The position of the outcome, from 0; by default its first occurrence.
            reference: A pipeline of normal operation.
            parameters: The fields of ``hf_trace.questions.ranking.RankSettings``.

        Example:
            >>> discover.rank(record, outcome="outage")["causes"][0]["event"]  # doctest: +SKIP
        """
        normal = None if reference is None else reference.event_model
        settings = updated(RankSettings(), **parameters)
        return RankResult(rank(self.event_model, one(record), outcome, settings, position=position, reference=normal))

    def outcomes(
        self, records: Any, *, outcome: Any = None, advance: Callable[[float], None] = lambda _: None, **parameters: Any
    ) -> Any:
        """Events that cause outcomes, over all records or in each.

        Args:
            records: As for a call; a label is an outcome event at the end of a record, as written by
                ``read_log(outcome_column=...)``.
            outcome: A label or several, by default all of the run; or an event.
            advance: Called with the number of sequences done.
            parameters: The fields of ``hf_trace.questions.outcome_causes.OutcomeSettings``.

        Returns:
            One result for all records; with ``level="instance"`` one per record, as a list for a list.

        Example:
            >>> found = discover.outcomes(read_log("blocks.csv", outcome_column="label"))  # doctest: +SKIP
            >>> found["outcomes"][0]["causes"]  # doctest: +SKIP
        """
        settings = updated(OutcomeSettings(), **parameters)
        found = outcomes(self.event_model, self._read(records), settings, outcome=outcome, advance=advance)
        if not isinstance(found, list):
            return OutcomesResult(found)
        results = [OutcomesResult(each) for each in found]
        return results[0] if is_single(records) and len(results) == 1 else results

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Called by the base class at construction only; calls use ``request``."""
        return {}, {"request": DiscoveryRequest().updated(**parameters)}, {}

    def preprocess(self, record: Any) -> EventSequence:
        """The sequence of a record."""
        return one(record)

    def _forward(self, sequence: EventSequence, request: DiscoveryRequest) -> ScoredSequence:
        return next(scored(self.event_model, [sequence], request))

    def postprocess(self, item: ScoredSequence) -> DiscoveryResult:
        """The graph of a scored sequence."""
        return DiscoveryResult(sequence_result(self.event_model, item, self.request()).to_dict())


def load_pipeline(
    run: str | PathLike[str],
    *,
    dtype: str = "float32",
    memory: str | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = TRUST_REMOTE_CODE.default,
) -> CausalDiscoveryPipeline:
    """The discovery pipeline of a run folder or Hub id; arguments and errors as for ``EventModel.load``."""
    model = load_model(run, dtype=dtype, device_map=device_map, trust_remote_code=trust_remote_code)
    return CausalDiscoveryPipeline(model=model, memory=memory)


def _register() -> None:
    """Register the task with transformers."""
    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        pipeline_class=CausalDiscoveryPipeline,
        pt_model=AutoModelForCausalLM,
        default=NoDefaultModel(TASK),
        type="text",
    )
    # With this attribute, save_pretrained copies this module into the checkpoint, which then needs trust_remote_code
    # even where the package is imported.
    del CausalDiscoveryPipeline._registered_impl


_register()
