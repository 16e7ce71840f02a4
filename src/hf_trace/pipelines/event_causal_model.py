"""From a log to what causes what in one object, with the manners of scikit-learn."""

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from sklearn.utils.validation import check_is_fitted

from hf_trace.checks import near, one_of
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import EmptyLogError, HfTraceError, QueryError
from hf_trace.graphs.counted_graphs import counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log
from hf_trace.options import QUESTIONS, SEED
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
from hf_trace.pipelines.explanation import ExplanationSettings
from hf_trace.pipelines.fitted_runs import FittedRun, without_bars
from hf_trace.pipelines.log_questions import AskedLog, Explained, LogInWords, check_request, in_words
from hf_trace.pipelines.records import READING, log_as_trained
from hf_trace.pipelines.typed_results import OutcomesResult, RankResult, WhatIfResult
from hf_trace.report.findings_report import COUNTED, LogFindings
from hf_trace.report.log_report import LogReport, log_report
from hf_trace.report.page import ReportPage
from hf_trace.training.log_training import train

# Of what is left open, which is chosen for the log.
OPEN = None
_CHOICES = (
    *("question", "threshold", "max_lag", "horizon", "variable"),
    *("preset", "epochs", "window_length", "min_count"),
)
Own = TypeVar("Own", bound="EventCausalModel")


class EventCausalModel(FittedRun):
    """Which events of a log cause which: an oracle is trained on the log, and asked.

    Whatever is None is chosen for the log by rules that know no cause, as ``hf-trace explain`` does;
    ``model.diagnosis_.suggestions`` says what was chosen, and why.

    Attributes:
        question: What ``graph()`` answers: ``"drives"`` or ``"follows"``.
        threshold: What makes an edge, see ``DiscoverySettings``.
        max_lag: Longest distance between cause and effect, in events.
        horizon: How soon an effect follows, such as ``"1h"``.
        variable: Patterns of event types that are one cause and one effect, such as ``"pump=*"``.
        preset: Size of the model: ``"nano"``, ``"tiny"``, ``"small"`` or ``"base"``.
        epochs: Most passes over the log.
        window_length: Longest window, in events.
        min_count: Event types seen less often are read as unknown.
        ensemble: Oracles in all, for ``threshold="fdr:0.1"`` of single sequences.
        seed: Of everything that is drawn.
        folder: Where the run is kept; None: nowhere, until it is saved.
        log_: The log that is asked about, once there is one.
        diagnosis_: What the log is like, and what was chosen for it.
        settings_: How the oracle was trained, and what it is asked.
        pipeline_: The trained oracle as a pipeline.

    Example:
        >>> import hf_trace
        >>> model = hf_trace.EventCausalModel(preset="nano").fit("alarms.csv")  # doctest: +SKIP
        >>> model.graph().strongest(3).to_pandas()  # doctest: +SKIP
        >>> model.what_if("device-7", do={3: "removed"}, target="outage", within="1h")  # doctest: +SKIP
        >>> model.save_pretrained("runs/alarms")  # doctest: +SKIP
    """

    pipeline_: CausalDiscoveryPipeline
    log_: EventLog
    diagnosis_: LogReport
    settings_: ExplanationSettings

    def __init__(  # noqa: PLR0913 - scikit-learn wants them by name
        self,
        *,
        question: str | None = OPEN,
        threshold: str | None = OPEN,
        max_lag: int | None = OPEN,
        horizon: str | None = OPEN,
        variable: str | Sequence[str] | None = OPEN,
        preset: str | None = OPEN,
        epochs: float | None = OPEN,
        window_length: int | None = OPEN,
        min_count: int | None = OPEN,
        ensemble: int = 1,
        seed: int = SEED.default,
        folder: str | PathLike[str] | None = None,
    ) -> None:
        self.question, self.threshold, self.max_lag = question, threshold, max_lag
        self.horizon, self.variable = horizon, variable
        self.preset, self.epochs, self.window_length, self.min_count = preset, epochs, window_length, min_count
        self.ensemble, self.seed, self.folder = ensemble, seed, folder

    def fit(self: Own, log: Any, y: None = None, **columns: Any) -> Own:
        """Train the oracle.

        Args:
            log: An ``EventLog``, a DataFrame, a data set, records, or the path of a file or folder.
            y: Nothing; scikit-learn passes it.
            columns: How the log is read, as for ``read_log``: ``case_column``, ``event_column``, ``time_column``, …

        Returns:
            This model.

        Raises:
            HfTraceError: If the log cannot be read or is too small, or a setting is not understood.
        """
        found = log if isinstance(log, EventLog) else read_log(log, **columns)
        reading = {name: _as_typed(columns[name]) for name in READING if columns.get(name) is not None}
        self._look_at(
            found,
            _name_of(log),
            ensemble=self.ensemble,
            outcome_column=columns.get("outcome_column"),
            context_columns=tuple(columns.get("context_columns") or ()),
            reading=reading or None,
        )
        with without_bars():
            run = train(found, self._run_folder(), self.settings_.training).folder
            self.pipeline_ = CausalDiscoveryPipeline.from_pretrained(run)
        return self

    @classmethod
    def from_pretrained(
        cls: type[Own], run: str | PathLike[str], log: Any = None, *, loading: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Own:  # fmt: skip
        """The model of a run folder or Hub id, asked about a log.

        Args:
            run: As ``save_pretrained`` or ``hf-trace train`` wrote it.
            log: What to ask about, read as the log of the run was; None: ``on`` says it later.
            loading: Of ``load_model``: ``dtype``, ``device``, ``device_map``, ``trust_remote_code``.
            parameters: Of this class, for what is asked.

        Raises:
            ModelLoadError: If there is no run of an event log.
        """
        model = cls(**parameters)
        with without_bars():
            model.pipeline_ = CausalDiscoveryPipeline.from_pretrained(run, **(loading or {}))
        return model if log is None else model.on(log)

    def on(self: Own, log: Any, **columns: Any) -> Own:
        """The same oracle asked about another log, without any training.

        Args:
            log: As for ``fit``; without ``columns`` it is read as the log of the run was.
            columns: As for ``fit``.

        Raises:
            NotFittedError: If there is no oracle yet.
            HfTraceError: If the log cannot be read.
        """
        check_is_fitted(self)
        recipe = self.pipeline_.event_model.recipe
        other = copy.copy(self)
        other._look_at(read_log(log, **columns) if columns else log_as_trained(log, recipe), _name_of(log))
        return other

    @property
    def quality(self) -> Mapping[str, Any]:
        """Losses on held-out events, in nats, beside those of counting models."""
        check_is_fitted(self)
        return self.pipeline_.quality

    def graph(self, question: str | None = None, **parameters: Any) -> CausalGraph:
        """The graph of the whole log that answers a question.

        Args:
            question: ``"drives"`` or ``"follows"``; by default that of the model; ``"counted"`` for what counting says
                without any model, the graph that another has to be better than.
            parameters: Of ``DiscoverySettings`` and ``DiscoveryRequest``, in place of those chosen.

        Raises:
            HfTraceError: If it cannot be asked of this log.
        """
        self._check_log()
        if question is not None:
            one_of("question", question, (*QUESTIONS, COUNTED))
        if question == COUNTED:
            return counted_graph(own_events(self.log_), **parameters)
        first, *others = self.settings_.requests
        asked = next((each for each in (first, *others) if each.settings.question == question), first)
        return self._answer(asked.updated(**parameters, level="population"))

    def _answer(self, request: DiscoveryRequest) -> CausalGraph:
        """The graph of a request, found once."""
        key = json.dumps(request.to_dict(), sort_keys=True, default=str)
        if key not in self._graphs:
            self._graphs[key] = self._asked().graph(request)
        return self._graphs[key]

    def findings(self) -> LogFindings:
        """What was found, in words, for somebody who decides."""
        return self._explained().findings

    def report(self) -> ReportPage:
        """All of it on one page, which a notebook shows; ``report().save("report.html")`` writes it."""
        return ReportPage(self._explained().page)

    def what_if(self, record: Any, *, do: Mapping[int, str | None], target: str, **parameters: Any) -> WhatIfResult:
        """How likely a target follows a position of a sequence, as observed and had the event there been different.

        Args:
            record: The id or the number of a sequence of the log, or a record.
            do: A position, from 0, and the event to put there; ``"removed"`` for none.
            target: The event whose probability is asked for.
            parameters: ``within``, ``num_samples``, ``unknown``, ``seed``, see ``WhatIfRequest``.
        """
        check_is_fitted(self)
        return self.pipeline_.what_if(self._sequence(record), do=do, target=target, **parameters)

    def rank(self, record: Any, *, outcome: str, **parameters: Any) -> RankResult:
        """Root causes of an event of a sequence, most likely first.

        Args:
            record: As for ``what_if``.
            outcome: The event to explain.
            parameters: ``position`` of the outcome and the fields of ``RankSettings``.
        """
        check_is_fitted(self)
        return self.pipeline_.rank(self._sequence(record), outcome=outcome, **parameters)

    def outcomes(self, outcome: str | Sequence[str] | None = None, **parameters: Any) -> OutcomesResult:
        """Events of the log that cause outcomes.

        Args:
            outcome: A label or several, by default all that the run was trained with; or an event.
            parameters: The fields of ``OutcomeSettings``.
        """
        self._check_log()
        windows = self._asked().windows
        found = self.pipeline_.outcomes(windows, outcome=outcome, **{**parameters, "level": "population"})
        result: OutcomesResult = found
        return result

    def _look_at(self, log: EventLog, name: str, **training: Any) -> None:
        """Choose for a log what was left open, and refuse what cannot be asked of it."""
        given = {each: getattr(self, each) for each in _CHOICES if getattr(self, each) is not None}
        report = log_report(log)
        chosen = report.choose(given)
        settings = ExplanationSettings.of(chosen, seed=self.seed, **training)
        check_request(log, settings.requests[0])
        self.log_, self.diagnosis_, self.settings_ = log, report, settings
        self._about = LogInWords(name, report.verdict, chosen, report.section("possible_columns")[1])
        self._graphs: dict[str, CausalGraph] = {}
        self._questions: AskedLog | None = None
        self._words: Explained | None = None

    def _check_log(self) -> None:
        check_is_fitted(self)
        if not hasattr(self, "log_"):
            raise EmptyLogError("The model was loaded without a log to ask about. Pass one: `model.on(log)`.")

    def _asked(self) -> AskedLog:
        if self._questions is None:
            self._questions = AskedLog(self.pipeline_.event_model, self.log_)
        return self._questions

    def _explained(self) -> Explained:
        self._check_log()
        if self._words is None:
            first, *others = self.settings_.requests
            graphs = [(first, self._answer(first))]
            for each in others:
                with suppress(HfTraceError):  # a question that cannot be asked is left out
                    graphs.append((each, self._answer(each)))
            counted = None
            with suppress(HfTraceError):
                counted = self.graph(COUNTED)
            self._words = in_words(self._asked(), graphs, counted, self._about)
        return self._words

    def _sequence(self, record: Any) -> Any:
        """A sequence of the log by its id or number; a record is given back as it is."""
        if isinstance(record, Mapping | EventSequence):
            return record
        self._check_log()
        if isinstance(record, int) and 0 <= record < len(self.log_):
            return self.log_[record]
        if str(record) not in self.log_.ids:
            raise QueryError(
                f"The log has no sequence {record!r}, expected an id or a number from 0 to {len(self.log_) - 1}."
                f"{near(record, self.log_.ids)}"
            )
        return self.log_[self.log_.ids.index(str(record))]


def _name_of(log: Any) -> str:
    return Path(log).name if isinstance(log, str | PathLike) else "The log"


def _as_typed(column: Any) -> str:
    return ",".join(column) if isinstance(column, list | tuple) else str(column)
