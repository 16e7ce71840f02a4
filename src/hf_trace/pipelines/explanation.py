"""From a log to what was found in it: an oracle is trained and asked, counting stands beside, all of it in one folder.

Every step leaves its file and is not done again while the file is there; so whatever stops it, it goes on.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hf_trace.discovery.by_type.by_type_run import by_type_pairs, log_of_variables
from hf_trace.discovery.by_type.event_variables import variable_names
from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import SUGGESTED, DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import parse_horizon
from hf_trace.discovery.which_question import check_more_than_one_type
from hf_trace.documents import Document, read_document
from hf_trace.errors import HfTraceError, OutputError
from hf_trace.graphs.counted_graphs import counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.pictures.figure import draw_graph
from hf_trace.logs.diagnosis.findings import Finding, Suggestion
from hf_trace.logs.log import EventLog, duration
from hf_trace.logs.places.histories import near_types, own_events
from hf_trace.logs.places.near_names import plain_name
from hf_trace.logs.windows import sampled_sequences
from hf_trace.logs.writing import atomic_path
from hf_trace.options import SEED
from hf_trace.report.evidence import EvidenceCollector
from hf_trace.report.findings_report import COUNTED, MEANING, LogFindings, beats_counting, log_findings
from hf_trace.report.page import page_document, write_page
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.resuming import log_digest, refuse_other
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.training.loop import ProgressCallback
from hf_trace.training.time_estimates import discovery_seconds

RUN, GRAPH, COUNTED_FILE, PICTURE = "run", "graph.json", "counted.json", "graph.png"
PAGE, TEXT, STATE = "report.html", "findings.md", "explain.json"
_BEGAN = ("{folder} was begun with {{}}", "go on", "another `--out`, or begin anew with `--overwrite`")
# Where there are more events a part of them is asked about, as large as is asked in so many seconds.
_LARGE, _PATIENCE = 200_000, 600.0
# Events that are forced in all: as many as 32 types at 256 places.
_FORCED, _LEAST_CONTEXTS = 8_192, 32
_SHOWN = 200
# What is chosen for each question alone.
_OF_QUESTION = {"drives": ("max_lag", "variable"), "follows": ("horizon",)}
_WHOLE = ("window_length", "min_count", "max_lag")
Doing = Callable[[str, int | float], AbstractContextManager[Callable[[float], None]]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class ExplanationSettings:
    """What is done with a log.

    Attributes:
        training: How the oracle is trained.
        requests: What is asked of a population, one question each; the first is what the reader wants to know.
    """

    training: TrainingSettings
    requests: Sequence[DiscoveryRequest]

    def to_dict(self) -> Document:
        """All that makes another result."""
        asked = {str(each.settings.question): each.settings.to_dict() | each.pooling for each in self.requests}
        return {**{f"training {name}": value for name, value in asdict(self.training).items()}, **asked}

    @classmethod
    def of(cls, chosen: Sequence[Suggestion], *, seed: int = SEED.default, **training: Any) -> "ExplanationSettings":
        """What is done with choices: the training, the question that was chosen, and then the other one.

        Args:
            chosen: As ``LogReport.suggestions``.
            seed: Of the training and of what is drawn.
            training: What else ``TrainingSettings`` are told.

        Example:
            >>> settings = ExplanationSettings.of([Suggestion("discover", "question", "follows", "as you asked")])
            >>> [each.settings.question for each in settings.requests]
            ['follows', 'drives']
        """
        own = {each.option: _value(each) for each in chosen if each.command == "train"}
        asking = {each.option: _value(each) for each in chosen if each.command == "discover"}
        if variable := tuple(each.value for each in chosen if each.option == "variable"):
            asking["variable"] = variable
        question = asking.get("question", "drives")
        plain = DiscoveryRequest(level="population").updated(seed=seed)

        def asked(each: str, *more: str) -> DiscoveryRequest:
            of_it = {name: asking[name] for name in (*_OF_QUESTION[each], *more) if name in asking}
            return plain.updated(question=each, **of_it)

        requests = asked(question, "threshold"), *(asked(each) for each in _OF_QUESTION if each != question)
        return cls(TrainingSettings(seed=seed, **{**own, **training}), requests)


def _value(each: Suggestion) -> Any:
    if each.option == "epochs":
        return float(each.value)
    return int(each.value) if each.option in _WHOLE else each.value


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


@contextmanager
def _silent(_: str, __: int | float) -> Iterator[Callable[[float], None]]:
    yield lambda _: None


def explain_log(
    log: EventLog,
    folder: str | PathLike[str],
    settings: ExplanationSettings,
    about: LogInWords,
    *,
    run: str | PathLike[str] | None = None,
    overwrite: bool = False,
    doing: Doing = _silent,
    say: Say = lambda _: None,
) -> LogFindings:
    """Train, ask, count and report; the folder then holds the run, graphs, a page, a picture and the findings.

    Args:
        log: Whole, as it was read.
        folder: New, empty, or one that this function began with the same log and settings: then it goes on.
        settings: What to do.
        about: What is said of the log.
        run: An oracle that is there already, which is then asked in place of a new one.
        overwrite: Whether what the folder holds of this kind is made anew.
        doing: Shows what is being done, as ``cli.console.progress``.
        say: Is told what was written.

    Raises:
        OutputError: If the folder holds something else.
        SettingsError: If it was begun with another log or other settings.
    """
    for each in settings.requests:
        _check(log, each)
    ready = {} if run is None else {"run": str(run)}
    place = _Place.of(Path(folder), {"log": log_digest(log), **ready, **settings.to_dict()}, overwrite=overwrite)
    if run is None:
        run = place.folder / RUN
        with doing("training (%)", 100) as advance:
            callbacks = [ProgressCallback(advance, settings.training.ensemble)]
            trained = train(log, run, settings.training, resume=True, callbacks=callbacks)
        say(f"{trained.quality}. Wrote {trained.folder}")
    asked = _Asked(EventModel.load(run), log, doing, say)
    first = settings.requests[0]
    graphs = [
        (graph, asked.in_variables(each))
        for number, each in enumerate(settings.requests)
        if (graph := asked.graph(place, each, number)) is not None
    ]
    with suppress(HfTraceError):  # what cannot be counted is found all the same
        counted = place.graph(COUNTED_FILE, lambda: counted_graph(own_events(log)), say)
        counted = counted.with_metadata(question=f"{COUNTED}: {MEANING[COUNTED]}")
        # Where the model foresees no better than counting, its graph is not what to read first.
        graphs.insert(len(graphs) if beats_counting(graphs[0][0]) else 0, (counted, log))
    findings = log_findings(about.name, graphs, verdict=about.verdict, chosen=about.chosen, advice=about.advice)
    graph, *others = [each for each, _ in graphs]
    document = page_document(
        graph,
        others=others,
        log=log,
        analyzed=asked.windows,
        evidence=asked.evidence(graph, first),
        findings=findings.to_dict(),
        command=about.command,
        title=findings.title,
    )
    place.report(graph, document, findings, say)
    return findings


def _check(log: EventLog, request: DiscoveryRequest) -> None:
    """Refuse before any work what would be refused when the oracle is asked."""
    check_more_than_one_type(log)
    variable_names(log.event_types, request.settings.variable, near_types(log))
    if request.settings.horizon != SUGGESTED:
        parse_horizon(request.settings.horizon)


@dataclass(frozen=True)
class _Place:
    """The folder, and what of it is there already."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, settings: Document, *, overwrite: bool) -> "_Place":
        """The folder, new or to go on with.

        What is made with other settings would differ, so that it is not gone on with.
        """
        plain = json.loads(json.dumps(settings, default=str))
        about = folder / STATE
        if about.exists() and overwrite:
            for name in (
                GRAPH,
                COUNTED_FILE,
                PICTURE,
                PAGE,
                TEXT,
                *(file.name for file in folder.glob("graph-*.json")),
            ):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / RUN, ignore_errors=True)
        elif about.exists():
            earlier = read_document(about, "what an explanation was begun with", error=OutputError)
            began, wanted, way_out = _BEGAN
            refuse_other(earlier, plain, (began.format(folder=folder), wanted, way_out))
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(
                f"{str(folder)!r} exists and is no folder of an explanation. Choose a new folder for `--out`."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(about) as unfinished:
            unfinished.write_text(json.dumps(plain, indent=1), encoding="utf-8")
        return cls(folder)

    def graph(self, name: str, make: Callable[[], CausalGraph], say: Say) -> CausalGraph:
        """The graph of a file, made where it is not there."""
        path = self.folder / name
        if path.exists():
            say(f"{path} is there already.")
            return CausalGraph.load(path)
        made = make()
        made.save(path)
        say(f"Wrote {path}")
        return made

    def report(self, graph: CausalGraph, document: Document, findings: LogFindings, say: Say) -> None:
        """Write what is read by people."""
        page, picture, text = (self.folder / name for name in (PAGE, PICTURE, TEXT))
        draw_graph(graph, picture)
        write_page(page, document)
        with atomic_path(text) as unfinished:
            unfinished.write_text(findings.to_markdown(PICTURE), encoding="utf-8", errors="backslashreplace")
        for path in (picture, page, text):
            say(f"Wrote {path}")


class _Asked:
    """An oracle, and the log that it is asked about."""

    def __init__(self, model: EventModel, log: EventLog, doing: Doing, say: Say) -> None:
        self._model, self._log, self._doing, self._say = model, log, doing, say
        self.windows = model.windows(log).log

    def graph(self, place: _Place, request: DiscoveryRequest, number: int) -> CausalGraph | None:
        """The graph of one question; None of a further one that cannot be asked."""
        question = str(request.settings.question)
        try:
            return place.graph(
                GRAPH if number == 0 else f"graph-{question}.json", lambda: self._found(request), self._say
            )
        except HfTraceError as error:
            if number == 0:
                raise
            self._say(f"What {question} is left out: {error}")
            return None

    def _found(self, request: DiscoveryRequest) -> CausalGraph:
        windows, request = self._enough(request), self._with_contexts(request)
        steps = request.settings.num_contexts if request.is_total else len(windows.codes)
        with self._doing(f"asking what {request.settings.question}", steps) as advance:
            return log_result(self._model, windows, request, whole=self._log, advance=advance).graph

    def _enough(self, request: DiscoveryRequest) -> EventLog:
        """All windows, or of very many as many as are asked about in ten minutes."""
        if len(self.windows.codes) <= _LARGE or request.is_total:
            return self.windows
        seconds = discovery_seconds(self._model, self._log, self.windows, request)
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
        return log_of_variables(self._model, self._log, request) if request.is_pooled_by_type else self._log

    def evidence(self, graph: CausalGraph, request: DiscoveryRequest) -> EvidenceCollector:
        """Examples of the edges of a graph in some windows, where single events have scores."""
        threshold = parse_threshold(request.settings.threshold)
        evidence = EvidenceCollector(threshold)
        if not request.is_pooled_by_type:
            return evidence
        shown = sampled_sequences(self.windows, _SHOWN, request.settings.seed)
        single, kept = request.updated(level="instance"), {graph.ends(edge) for edge in graph.edges}
        with self._doing("collecting examples", len(shown.codes)) as advance:
            done = 0
            for sequence, scores in by_type_pairs(self._model, shown, single):
                names = np.array([plain_name(event) for event in sequence.events], dtype=object)
                ends = zip(names[scores.cause_position], names[scores.effect_position], strict=True)
                evidence.add(sequence, scores.select(np.array([pair in kept for pair in ends], dtype=bool)))
                done += len(sequence)
                advance(done)
        return evidence
