"""``pipeline("causal-discovery")``: event sequences in, causal graphs out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import cached_property
from itertools import chain, islice
from numbers import Integral
from os import PathLike
from typing import Any, cast, get_args

import torch
from transformers import Pipeline, PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY

from hf_trace.discovery.blocks import AllowedPairs
from hf_trace.discovery.confidence import pooled
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.pair_graphs import instance_graph, strongest_scores, summary_graph
from hf_trace.discovery.pairs import PairScores
from hf_trace.discovery.population.frequencies import LeastShare, parse_frequency
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.sliding import Window, joined_windows, sliding_windows
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.ties import BOTH, scored_in_both_orders
from hf_trace.discovery.total_run import total_effects_graph
from hf_trace.errors import ContextLengthError, ModelLoadError, PipelineInputError, SettingsError, preview
from hf_trace.graphs.graph import CausalGraph, Level
from hf_trace.graphs.knowledge import BackgroundKnowledge, as_knowledge, with_required
from hf_trace.logs.contexts import outcome_event
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.oracle.quality import quality_warning
from hf_trace.pipelines.records import as_sequence, is_single, sequences
from hf_trace.pipelines.saving import Publishable
from hf_trace.runs.folders import METRICS_FILE, TRAINING_FILE, AutoModelForCausalLM, check_vocabulary, read_json, run_of
from hf_trace.runs.members import doubt, load_members, member_seed
from hf_trace.tokenizers.event_tokenizer import EventTokenizer


def at_least_one(name: str, value: Any) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise SettingsError(f"{name} is {value!r}, expected a whole number of at least 1.")
    return int(value)


def frequency(value: Any) -> float | str:
    """A share as a number, or the name of a rule."""
    rule = parse_frequency(value)
    return rule.share if isinstance(rule, LeastShare) else str(value)


def resamples(value: Any, settings: DiscoverySettings, level: str) -> int:
    """How often to resample; 0 is never."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise SettingsError(f"bootstrap is {value!r}, expected a whole number of at least 0.")
    if value and (level != "population" or settings.effect == "total"):
        raise SettingsError(
            f"bootstrap is {value} with level {level!r} and {settings.effect} effects, expected a population graph of "
            "direct effects, whose sequences can be resampled. Leave `--bootstrap` out."
        )
    return int(value)


def columns(value: Any, settings: DiscoverySettings, level: str) -> list[str]:
    """Columns of the context whose groups are compared."""
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"compare is {value!r}, expected a list of names of context columns.")
    if value and (level != "population" or settings.effect == "total"):
        raise SettingsError(
            f"compare is {list(value)} with level {level!r} and {settings.effect} effects, expected a population graph "
            "of direct effects, whose sequences make groups."
        )
    return list(value)


class Decisions:
    """Methods of ``CausalDiscoveryPipeline``; what they need is loaded when they are called."""

    @cached_property
    def outcome_events(self) -> tuple[str, ...]:
        """Labels of whole sequences that the run was trained with, as events; none without an outcome column."""
        pipe = cast("CausalDiscoveryPipeline", self)
        path = run_of(pipe.model)
        column = read_json(path, TRAINING_FILE).get("outcome_column") if path else None
        if column is None:
            return ()
        begins = outcome_event(column, "")
        return tuple(name for name in pipe.events.event_types if name.startswith(begins))

    def what_if(self, record: Any, **parameters: Any) -> dict[str, Any]:
        """How likely a target follows a position of a sequence, as it was and had the event there been another.

        Args:
            record: ``{"events": [...], "timestamps": [...], "id": ...}`` or an ``EventSequence``.
            parameters: See ``hf_trace.questions.what_if.answer``: ``do``, ``target``, ``within``, ``num_samples``,
                ``unknown``, ``seed``.

        Example:
            >>> discover.what_if(record, do={3: "removed"}, target="outage", within="300s")  # doctest: +SKIP
        """
        from hf_trace.questions.what_if import answer

        return answer(cast("CausalDiscoveryPipeline", self), one(record), **parameters)

    def rank(self, record: Any, **parameters: Any) -> dict[str, Any]:
        """Root causes of an event of a sequence, the likeliest first.

        Args:
            record: The incident, as for a call.
            parameters: ``outcome``, ``position`` of its occurrence, ``reference`` (a pipeline of normal operation),
                and the fields of ``hf_trace.questions.ranking.RankSettings``.

        Example:
            >>> discover.rank(record, outcome="outage")["causes"][0]["event"]  # doctest: +SKIP
        """
        from hf_trace.questions.ranking import rank

        return rank(cast("CausalDiscoveryPipeline", self), one(record), **parameters)

    def outcomes(self, records: Any, **parameters: Any) -> Any:
        """Which events bring outcomes about, over all records or in each.

        Args:
            records: What a call takes; a label stands as an outcome event at the end of a record, as ``read_log``
                with ``outcome_column`` writes it.
            parameters: ``outcome`` and the fields of ``hf_trace.questions.outcome_causes.OutcomeSettings``.

        Returns:
            One result for all records, or with ``level="instance"`` one for each, a list for a list.

        Example:
            >>> found = discover.outcomes(read_log("blocks.csv", outcome_column="label"))  # doctest: +SKIP
            >>> found["outcomes"][0]["causes"]  # doctest: +SKIP
        """
        from hf_trace.questions.outcome_causes import outcomes

        found = outcomes(cast("CausalDiscoveryPipeline", self), sequences(records), **parameters)
        return found[0] if isinstance(found, list) and is_single(records) and len(found) == 1 else found


def one(record: Any) -> Any:
    """The sequence of one record.

    Raises:
        PipelineInputError: If there are several, or none.
    """
    if not is_single(record):
        raise PipelineInputError(
            f'Got a {type(record).__name__}, expected one record: {{"events": [...]}}, optionally with "timestamps" '
            'and "id".'
        )
    return as_sequence(record)


TASK = "causal-discovery"
LEVELS = get_args(Level)
_SETTINGS = tuple(field.name for field in fields(DiscoverySettings))
_POOLING = ("min_frequency", "min_support", "bootstrap", "compare")
_CALL_OPTIONS = ("level", "batch_size", "return_scores", "unknown", "slide", *_POOLING)
_SEQUENCES_AT_ONCE = 32
ScoredSequence = tuple[EventSequence, PairScores]


class CausalDiscoveryPipeline(Decisions, Publishable, Pipeline):
    """Causal graphs of event sequences, read off a frozen causal language model (TRACE, arXiv 2602.01135).

    Call parameters are the fields of ``DiscoverySettings``, where ``knowledge`` may also be a mapping or a JSON
    file, and:

    * ``level``: ``"instance"`` (default) and ``"summary"`` give one output per record, with the graph of that
      level under ``"graph"``; ``"population"`` gives one output for all records.
    * ``batch_size``: sequences read at a time; changes scores by no more than rounding.
    * ``return_scores``: also return all tested pairs, edges or not.
    * ``unknown``: ``"error"`` or ``"map"``, for events outside the vocabulary.
    * ``slide``: read sequences longer than the model in overlapping windows, instead of refusing them; a cause then
      has at least half a window of past.
    * ``min_frequency``, ``min_support``: see ``PopulationPool.graph``.
    * ``bootstrap``: how often to resample the sequences of a population, for intervals of its edges; 0 (default)
      gives none.
    * ``compare``: columns of the context of the sequences (``read_log(context_columns=...)``, or ``"context"`` of a
      record) whose groups are compared, edge by edge.

    Example:
        >>> from transformers import pipeline
        >>> discover = pipeline("causal-discovery", model="runs/alarms")  # doctest: +SKIP
        >>> discover({"events": ["A", "disk full", "B"]}, max_lag=8)["edges"]  # doctest: +SKIP
    """

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
        self.events = (
            tokenizer
            if isinstance(tokenizer, EventTokenizer)
            else EventTokenizer.from_pretrained(tokenizer or path)
            if tokenizer is None or isinstance(tokenizer, (str, PathLike))
            else EventTokenizer(tokenizer)
        )
        check_vocabulary(self.events, model)
        super().__init__(model=model, tokenizer=self.events.tokenizer, **kwargs)
        self.oracle = Oracle(self.model, memory=memory)
        self._memory = memory
        self.quality = read_json(path, METRICS_FILE).get("validation", {}) if path else {}
        # Labels of whole sequences are no events: nothing is replaced by them.
        acts = torch.tensor([name not in self.outcome_events for name in self.events.event_types])
        ids, shares = (torch.from_numpy(each) for each in (self.events.event_ids, self.events.frequencies))
        self.alphabet = Alphabet(ids[acts], shares[acts])

    @property
    def run_tokenizer(self) -> EventTokenizer:
        """What ``save_pretrained`` writes."""
        return self.events

    @cached_property
    def members(self) -> list[Oracle]:
        """Further oracles of the run, from bootstrap samples; read from disk when they are first asked for."""
        return load_members(self.model, memory=self._memory)

    def __call__(self, inputs: Any, **parameters: Any) -> Any:
        """Discover the graph of one record, of each record, or of all together.

        Args:
            inputs: ``{"events": [...], "timestamps": [...], "id": ...}``, an ``EventSequence``, or a list,
                generator, ``EventLog`` or ``datasets.Dataset`` of those.
            parameters: See the class.

        Returns:
            A dict for one record or for ``level="population"``; a list for a list; an iterator for a
            generator or an ``IterableDataset``.

        Raises:
            PipelineInputError: If a record has no list of event names.
            SettingsError: If a parameter is unknown or has a value that is not understood.
            ContextLengthError: If a sequence is longer than the model reads.
            UnknownEventError: If an event is not in the vocabulary.
        """
        preprocess, forward, postprocess = self._merged_parameters(parameters)
        records = sequences(inputs)
        if forward["settings"].effect == "total":
            return self.total_output(records, preprocess["unknown"], **postprocess)
        scored = self._scored(records, preprocess, forward)
        if postprocess["level"] == "population":
            return self._population(scored, postprocess)
        outputs = (self.postprocess(item, **postprocess) for item in scored)
        if is_single(inputs):
            return next(outputs)
        return list(outputs) if hasattr(inputs, "__len__") else outputs

    def scored(self, inputs: Any, **parameters: Any) -> Iterator[ScoredSequence]:
        """Lazily give each sequence with the scores of its tested pairs; for loops that show progress."""
        preprocess, forward, _ = self._merged_parameters(parameters)
        return self._scored(sequences(inputs), preprocess, forward)

    def settings(self, **parameters: Any) -> DiscoverySettings:
        """What a call with these parameters would use."""
        return self._merged_parameters(parameters)[1]["settings"]

    def _merged_parameters(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Call parameters over those given at construction, over defaults."""
        defaults = {**self._preprocess_params, **self._forward_params, **self._postprocess_params}
        if self._batch_size is not None:  # the base class takes this one for itself
            defaults["batch_size"] = self._batch_size
        return self._sanitize_parameters(**{**_flat(defaults), **parameters})

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = (*_SETTINGS, *_CALL_OPTIONS)
        wrong = [name for name in parameters if name not in known]
        if wrong:
            raise SettingsError(f"Unknown parameter {preview(wrong)}, expected one of: {', '.join(known)}.")
        chosen = {name: parameters[name] for name in _SETTINGS if name in parameters}
        chosen["knowledge"] = as_knowledge(chosen.get("knowledge"))
        settings = replace(DiscoverySettings(), **chosen)
        level = parameters.get("level", "instance")
        if level not in LEVELS:
            raise SettingsError(f"level is {level!r}, expected one of: {', '.join(LEVELS)}.")
        unknown = parameters.get("unknown", "error")
        if unknown not in ("error", "map"):
            raise SettingsError(f"unknown is {unknown!r}, expected 'error' or 'map'.")
        if settings.effect == "total" and level != "population":
            raise SettingsError(
                f"effect is 'total' and level {level!r}: total effects pool many contexts. Expected level='population' "
                "(`--level population`)."
            )
        batch_size = parameters.get("batch_size")
        options = {
            "settings": settings,
            "level": level,
            "return_scores": bool(parameters.get("return_scores", False)),
            "min_frequency": frequency(parameters.get("min_frequency", 0.05)),
            "min_support": at_least_one("min_support", parameters.get("min_support", 2)),
            "bootstrap": resamples(parameters.get("bootstrap", 0), settings, level),
            "compare": columns(parameters.get("compare", ()), settings, level),
        }
        at_once = _SEQUENCES_AT_ONCE if batch_size is None else at_least_one("batch_size", batch_size)
        slide = bool(parameters.get("slide", False))
        return {"unknown": unknown, "slide": slide}, {"settings": settings, "batch_size": at_once}, options

    @property
    def most_events(self) -> int | None:
        """Events the model reads at once; None if there is no bound."""
        limit = self.oracle.context_length
        return None if limit is None else self.events.most_events(limit)

    def preprocess(
        self, sequence: EventSequence, max_lag: int | None, unknown: str = "error", slide: bool = False
    ) -> list[tuple[Window, EncodedSequence]]:
        """Encode one sequence, in windows where it is longer than the model reads and may slide."""
        most = self.most_events
        if most is not None and len(sequence) > most and not slide:
            raise ContextLengthError(
                f"The sequence {sequence.id or ''!r} has {len(sequence)} events, the model reads at most {most}. Cut "
                f"it with `hf_trace.cut_windows(log, length={most})` (`--window-length {most}`), pass slide=True "
                "(`--slide`), or train with a longer window."
            )
        windows = sliding_windows(len(sequence), length=most, max_lag=max_lag)
        parts = [sequence.part(window.start, window.stop) for window in windows]
        encoded = [self.events.encode(part, unknown=unknown) for part in parts]
        return list(zip(windows, encoded, strict=True))

    def _forward(
        self,
        block: list[tuple[Window, EncodedSequence]],
        settings: DiscoverySettings,
        allowed: AllowedPairs | None = None,
        number: int = 0,
    ) -> list[PairScores]:
        """Scores of a block from the run itself, or from a further oracle with draws of its own."""
        oracle = self.oracle if number == 0 else self.members[number - 1]
        settings = replace(settings, seed=member_seed(settings.seed, number))
        encoded = [sequence for _, sequence in block]
        tested = [window.tested(settings.prefix_length) for window, _ in block]
        return score_pairs(oracle, encoded, self.alphabet, settings, tested=tested, allowed=allowed)

    def _scored(
        self, records: Iterator[EventSequence], preprocess: dict[str, Any], forward: dict[str, Any]
    ) -> Iterator[ScoredSequence]:
        settings: DiscoverySettings = forward["settings"]
        scored = self._as_listed(records, preprocess, forward)
        if settings.ties != BOTH:
            return scored

        def score(some: Iterator[EventSequence], lag: int) -> Iterator[ScoredSequence]:
            within = {**forward, "settings": replace(settings, max_lag=lag)}
            return self._as_listed(some, preprocess, within)

        return scored_in_both_orders(scored, score, settings.max_lag)

    def _as_listed(
        self, records: Iterator[EventSequence], preprocess: dict[str, Any], forward: dict[str, Any]
    ) -> Iterator[ScoredSequence]:
        forward = {**forward, "allowed": self._allowed(forward["settings"].knowledge)}
        numbers = range(self._oracles_asked(forward["settings"]))
        while block := list(islice(records, forward["batch_size"])):
            windows = [self.preprocess(each, forward["settings"].max_lag, **preprocess) for each in block]
            every = list(chain.from_iterable(windows))
            by_oracle = [self._in_batches(every, number=number, **forward) for number in numbers]
            for sequence, mine in zip(block, windows, strict=True):
                found = [joined_windows([(window, next(scores)) for window, _ in mine]) for scores in by_oracle]
                yield sequence, pooled(found)

    def _oracles_asked(self, settings: DiscoverySettings) -> int:
        """All where the threshold says how sure it is, else the run alone."""
        return 1 + len(self.members) if parse_threshold(settings.threshold).has_confidence else 1

    def _in_batches(
        self, windows: list[tuple[Window, EncodedSequence]], batch_size: int, **forward: Any
    ) -> Iterator[PairScores]:
        for start in range(0, len(windows), batch_size):
            yield from self._forward(windows[start : start + batch_size], **forward)

    def _allowed(self, knowledge: BackgroundKnowledge | None) -> AllowedPairs | None:
        """Background knowledge in terms of the tokens of this model."""
        if knowledge is None:
            return None
        vocab_size = self.oracle.vocab_size
        tokens = torch.from_numpy(self.events.event_ids)
        return AllowedPairs.of(knowledge, self.events.event_types, tokens, vocab_size)

    def postprocess(self, scored: ScoredSequence, **options: Any) -> dict[str, Any]:
        """Graphs of one scored sequence."""
        sequence, scores = scored
        settings: DiscoverySettings = options["settings"]
        instance = instance_graph(sequence, scores, parse_threshold(settings.threshold))
        summary = summary_graph(instance, self_loops=settings.self_loops)
        if settings.knowledge is not None:
            required = settings.knowledge.required_among(summary.events)
            summary = with_required(summary, settings.knowledge, strongest_scores(sequence, scores, required))
        graph = instance if options["level"] == "instance" else summary
        output = {
            "id": sequence.id,
            "edges": list(instance.edges),
            "summary": list(summary.edges),
            **self._provenance(graph, options),
        }
        if options["return_scores"]:
            names = ("cause_position", "effect_position", "cmi", "gain", "standard_error")
            output["scores"] = {name: getattr(scores, name) for name in names}
        return output

    def _population(self, scored: Iterable[ScoredSequence], options: dict[str, Any]) -> dict[str, Any]:
        pool = self.new_pool(**options)
        for sequence, scores in scored:
            pool.add(sequence, scores)
        return self.population_output(pool, **options)

    def new_pool(self, **options: Any) -> PopulationPool:
        """An empty pool for what ``scored`` gives; see ``population_output``."""
        settings: DiscoverySettings = options["settings"]
        threshold = parse_threshold(settings.threshold)
        keep = options["bootstrap"] > 0 or bool(options["compare"])
        return PopulationPool(threshold, self_loops=settings.self_loops, keep_sequences=keep)

    def population_output(self, pool: PopulationPool, **options: Any) -> dict[str, Any]:
        """What a call with ``level="population"`` returns, from sequences already pooled."""
        least = {name: options[name] for name in ("min_frequency", "min_support")}
        settings: DiscoverySettings = options["settings"]
        graph = pool.graph(
            **least,
            knowledge=settings.knowledge,
            resamples=options["bootstrap"],
            compare=options["compare"],
            seed=settings.seed,
        )
        if options["bootstrap"]:
            found = pool.stability(**least, seed=settings.seed)
            measured = {"mean": float(found.mean()), "least": float(found.min()), "halvings": len(found)}
            graph = replace(graph, metadata={**graph.metadata, "stability": measured})
        return {"edges": list(graph.edges), "sequences": pool.sequences, **self._provenance(graph, options)}

    def total_output(
        self,
        records: Iterable[EventSequence],
        unknown: str,
        *,
        advance: Callable[[float], None] = lambda _: None,
        **options: Any,
    ) -> dict[str, Any]:
        """What a call with ``effect="total"`` returns; ``advance`` is told the contexts done."""
        graph = total_effects_graph(
            [self.oracle], self.events, records, options["settings"], unknown=unknown, advance=advance
        )
        return {"edges": list(graph.edges), **self._provenance(graph, options)}

    def _provenance(self, graph: CausalGraph, options: dict[str, Any]) -> dict[str, Any]:
        """The graph with everything needed to judge and to repeat it."""
        settings = options["settings"].to_dict() | {"level": options["level"]}
        if options["level"] == "population":
            settings |= {name: options[name] for name in _POOLING}
        oracle = {**self.quality, "reader": self.oracle.reader.name}
        warnings = [quality_warning(self.quality)]
        if parse_threshold(options["settings"].threshold).has_confidence:
            oracle["oracles"] = self._oracles_asked(options["settings"])
            warnings.append(doubt(self.model, oracle["oracles"]))
        if any(warnings):
            oracle["warning"] = " ".join(filter(None, warnings))
        graph = replace(graph, metadata={**graph.metadata, "settings": settings, "oracle": oracle})
        return {"graph": graph.to_dict(), "oracle": oracle, "settings": settings}


def _flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Sanitized parameters back as call parameters."""
    flat = {name: value for name, value in parameters.items() if name != "settings"}
    return {**(parameters["settings"].to_dict() if "settings" in parameters else {}), **flat}


def _register() -> None:
    """Teach Transformers the task."""
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=CausalDiscoveryPipeline, pt_model=AutoModelForCausalLM, type="text"
    )
    # With this attribute save_pretrained would copy this module into the checkpoint, which then asks every
    # reader for trust_remote_code, those who imported the package included.
    del CausalDiscoveryPipeline._registered_impl


_register()
