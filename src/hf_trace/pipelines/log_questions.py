"""What is asked of a log as a whole: graphs that answer questions, and all of them in words and on one page."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from hf_trace.discovery.by_type.by_type_run import by_type_pairs, log_of_variables, variable_of_type
from hf_trace.discovery.by_type.event_variables import variable_names
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import SUGGESTED, DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import parse_horizon
from hf_trace.discovery.which_question import check_more_than_one_type
from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.diagnosis.findings import Finding
from hf_trace.logs.log import EventLog, duration
from hf_trace.logs.places.histories import near_types
from hf_trace.logs.places.near_names import plain_name
from hf_trace.logs.windows import sampled_sequences
from hf_trace.questions.normal_states import NormalStates
from hf_trace.report.evidence import EvidenceCollector
from hf_trace.report.findings_report import COUNTED, MEANING, LogFindings, beats_counting, log_findings
from hf_trace.report.incident_answers import IncidentSettings, with_answers
from hf_trace.report.incident_rankings import Suspects
from hf_trace.report.page import page_document
from hf_trace.runs.event_model import EventModel
from hf_trace.training.time_estimates import discovery_seconds

# Where there are more events a part of them is asked about, as large as is asked in so many seconds.
_LARGE, _PATIENCE = 200_000, 600.0
# Events that are forced in all: as many as 32 types at 256 places.
_FORCED, _LEAST_CONTEXTS = 8_192, 32
_SHOWN = 200
# Some seconds' worth: a page is read, not computed with.
_WHAT_IFS = IncidentSettings(num_samples=16, most_events=20)
_MOST_BEFORE = 8  # events that are suspected of another; futures are as long
Doing = Callable[[str, int | float], AbstractContextManager[Callable[[float], None]]]
Say = Callable[[str], None]


@contextmanager
def silent(_: str, __: int | float) -> Iterator[Callable[[float], None]]:
    """Show nothing of what is being done."""
    yield lambda _: None


@dataclass(frozen=True)
class LogInWords:
    """What is known of a log before anything is learned from it.

    Attributes:
        name: What it is called.
        verdict: Whether it is enough.
        chosen: What was chosen for it, with reasons.
        advice: What could help: columns that were not used.
        command: How all of it is made again.
    """

    name: str
    verdict: str
    chosen: Sequence[Finding] = ()
    advice: Sequence[str] = ()
    command: str = ""


def check_request(log: EventLog, request: DiscoveryRequest) -> None:
    """Refuse before any work what would be refused when the oracle is asked.

    Raises:
        HfTraceError: If the request cannot be answered of this log.
    """
    check_more_than_one_type(log)
    variable_names(log.event_types, request.settings.variable, near_types(log))
    if request.settings.horizon != SUGGESTED:
        parse_horizon(request.settings.horizon)


class AskedLog:
    """An oracle, and the log that it is asked about.

    Args:
        model: The oracle.
        log: Whole, as it was read.
        doing: Shows what is being done.
        say: Is told what was left out.
        normal: What normal operation is like, where states are suspected rather than events.

    Attributes:
        log: Whole, as it was read.
        windows: The log as the oracle reads it.
    """

    def __init__(
        self,
        model: EventModel,
        log: EventLog,
        doing: Doing = silent,
        say: Say = lambda _: None,
        normal: NormalStates | None = None,
    ) -> None:
        self._model, self.log, self._doing, self._say = model, log, doing, say
        self.windows = model.windows(log).log
        self._normal = normal

    def graph(self, request: DiscoveryRequest) -> CausalGraph:
        """The graph of a population that answers a request.

        Raises:
            HfTraceError: If it cannot be asked of this log.
        """
        windows, request = self._enough(request), self._with_contexts(request)
        steps = request.settings.num_contexts if request.is_total else len(windows.codes)
        with self._doing(f"asking what {request.settings.question}", steps) as advance:
            return log_result(self._model, windows, request, whole=self.log, advance=advance).graph

    def _enough(self, request: DiscoveryRequest) -> EventLog:
        """All windows, or of very many as many as are asked about in ten minutes."""
        if len(self.windows.codes) <= _LARGE or request.is_total:
            return self.windows
        seconds = discovery_seconds(self._model, self.log, self.windows, request)
        if seconds <= _PATIENCE:
            return self.windows
        part = sampled_sequences(self.windows, _PATIENCE / seconds, request.settings.seed)
        self._say(
            f"Asking about {len(part):,} of {len(self.windows):,} windows, drawn at random: all would take about "
            f"{duration(seconds)}. `hf-trace discover` asks about all."
        )
        return part

    def _with_contexts(self, request: DiscoveryRequest) -> DiscoveryRequest:
        """Total effects force every type at many places; of many types, at fewer."""
        most = max(_LEAST_CONTEXTS, _FORCED // len(self._model.tokenizer.event_types))
        if not request.is_total or request.settings.num_contexts <= most:
            return request
        self._say(f"Forcing every event at {most} places, as there are many types; `hf-trace discover` takes more.")
        return request.updated(num_contexts=most)

    def in_variables(self, request: DiscoveryRequest) -> EventLog:
        """The log by what the graph calls causes and effects."""
        return log_of_variables(self._model, self.log, request) if request.is_pooled_by_type else self.log

    def evidence(self, graph: CausalGraph, request: DiscoveryRequest) -> EvidenceCollector:
        """Examples of the edges of a graph in some windows, where single events have scores."""
        threshold = parse_threshold(request.settings.threshold)
        evidence = EvidenceCollector(threshold)
        if not request.is_pooled_by_type:
            return evidence
        shown = sampled_sequences(self.windows, _SHOWN, request.settings.seed)
        single, kept = request.updated(level="instance"), {graph.ends(edge) for edge in graph.edges}
        owner = variable_of_type(self._model, request)
        with self._doing("collecting examples", len(shown.codes)) as advance:
            done = 0
            for sequence, scores in by_type_pairs(self._model, shown, single):
                events = tuple(owner.get(event, event) for event in sequence.events)
                names = np.array([plain_name(event) for event in events], dtype=object)
                ends = zip(names[scores.cause_position], names[scores.effect_position], strict=True)
                carrying = scores.select(np.array([pair in kept for pair in ends], dtype=bool))
                evidence.add(replace(sequence, events=events), carrying)
                done += len(sequence)
                advance(done)
        return evidence

    def with_answers(self, page: Document, request: DiscoveryRequest) -> Document:
        """A page that says of its incidents what is suspected, and what would have followed without each event."""
        with self._doing("asking what if", 2) as advance:
            within = min(request.settings.max_lag or _MOST_BEFORE, _MOST_BEFORE)
            suspects = Suspects(self._model, self.windows, within, self._normal, self.log)
            ranked = suspects.added(page, advance=advance)
            asked = with_answers(ranked, self._model, self.windows, _WHAT_IFS, advance=lambda done: advance(1 + done))
        return asked


@dataclass(frozen=True)
class Explained:
    """A log in words.

    Attributes:
        graph: What to read first.
        findings: What was found.
        page: The document of its page.
    """

    graph: CausalGraph
    findings: LogFindings
    page: Document


def in_words(
    asked: AskedLog,
    graphs: Sequence[tuple[DiscoveryRequest, CausalGraph]],
    counted: CausalGraph | None,
    about: LogInWords,
) -> Explained:
    """Put graphs of a log into words and on a page.

    Where the model foresees no better than counting, its graph is not what to read first.

    Args:
        asked: The log and its oracle.
        graphs: What answers each question, the first what the reader wants to know.
        counted: What counting says of the log; None where it cannot be counted.
        about: What is said of the log.
    """
    found = [(graph, asked.in_variables(request)) for request, graph in graphs]
    if counted is not None:
        counted = counted.with_metadata(question=f"{COUNTED}: {MEANING[COUNTED]}")
        found.insert(len(found) if beats_counting(found[0][0]) else 0, (counted, asked.log))
    findings = log_findings(about.name, found, verdict=about.verdict, chosen=about.chosen, advice=about.advice)
    graph, *others = [each for each, _ in found]
    page = page_document(
        graph,
        others=others,
        log=asked.log,
        analyzed=asked.windows,
        evidence=asked.evidence(graph, graphs[0][0]),
        findings=findings.to_dict(),
        command=about.command,
        title=findings.title,
    )
    return Explained(graph, findings, asked.with_answers(page, graphs[0][0]))
