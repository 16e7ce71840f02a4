"""From a log to what was found in it: an oracle is trained and asked, counting stands beside, all of it in one folder.

Every step leaves its file and is not done again while the file is there; so whatever stops it, it goes on.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.documents import Document, read_document
from hf_trace.errors import HfTraceError, OutputError
from hf_trace.graphs.counted_graphs import counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.pictures.figure import draw_graph
from hf_trace.logs.diagnosis.findings import Suggestion
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import own_events
from hf_trace.logs.writing import atomic_path
from hf_trace.options import SEED
from hf_trace.pipelines.log_questions import (
    AskedLog,
    Doing,
    Explained,
    LogInWords,
    Say,
    check_request,
    in_words,
    silent,
)
from hf_trace.questions.state_runs import load_states
from hf_trace.report.findings_report import LogFindings
from hf_trace.report.page import write_page
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.resuming import log_digest, refuse_other
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.training.loop import ProgressCallback

RUN, GRAPH, COUNTED_FILE, PICTURE = "run", "graph.json", "counted.json", "graph.png"
PAGE, TEXT, STATE = "report.html", "findings.md", "explain.json"
_BEGAN = ("{folder} was begun with {{}}", "go on", "another `--out`, or begin anew with `--overwrite`")
# What is chosen for each question alone.
_OF_QUESTION = {"drives": ("max_lag", "variable"), "follows": ("horizon",)}
_QUICKLY = "It was learned in fewer, larger steps; `--no-quick` takes longer and may foresee events a little better."
_WHOLE = ("window_length", "min_count", "max_lag")


@dataclass(frozen=True)
class ExplanationSettings:
    """What is done with a log.

    Attributes:
        training: How the oracle is trained.
        requests: What is asked of a population, one question each; the first is what the reader wants to know.
        states: A run of states: incidents on the page then name the states that are suspected.
    """

    training: TrainingSettings
    requests: Sequence[DiscoveryRequest]
    states: str | None = None

    def to_dict(self) -> Document:
        """All that makes another result."""
        asked = {str(each.settings.question): each.settings.to_dict() | each.pooling for each in self.requests}
        suspected = {} if self.states is None else {"states": self.states}
        return {**{f"training {name}": value for name, value in asdict(self.training).items()}, **asked, **suspected}

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


def explain_log(
    log: EventLog,
    folder: str | PathLike[str],
    settings: ExplanationSettings,
    about: LogInWords,
    *,
    run: str | PathLike[str] | None = None,
    overwrite: bool = False,
    doing: Doing = silent,
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
        check_request(log, each)
    normal = None if settings.states is None else load_states(settings.states)
    if normal is not None:
        normal.read(log.select([0]))  # a log with another topology is refused before any work
    ready = {} if run is None else {"run": str(run)}
    place = _Place.of(Path(folder), {"log": log_digest(log), **ready, **settings.to_dict()}, overwrite=overwrite)
    counted = None
    with suppress(HfTraceError):  # what cannot be counted is found all the same
        counted = place.graph(COUNTED_FILE, lambda: counted_graph(own_events(log)), say)
        say(f"It is counted, in seconds and without a model. What the model finds will be in {place.folder / GRAPH}.")
    if run is None:
        run = place.folder / RUN
        with doing("training (%)", 100) as advance:
            callbacks = [ProgressCallback(advance, settings.training.ensemble)]
            trained = train(log, run, settings.training, resume=True, callbacks=callbacks)
        say(f"{trained.quality}. Wrote {trained.folder}")
    model = EventModel.load(run)
    if not ready and model.recipe.get("quick"):
        say(_QUICKLY)
    asked = AskedLog(model, log, doing, say, normal)
    graphs = [
        (each, graph)
        for number, each in enumerate(settings.requests)
        if (graph := _graph(asked, place, each, number, say)) is not None
    ]
    found = in_words(asked, graphs, counted, about)
    place.report(found, say)
    return found.findings


def _graph(asked: AskedLog, place: "_Place", request: DiscoveryRequest, number: int, say: Say) -> CausalGraph | None:
    """The graph of one question; None of a further one that cannot be asked."""
    question = str(request.settings.question)
    try:
        return place.graph(GRAPH if number == 0 else f"graph-{question}.json", lambda: asked.graph(request), say)
    except HfTraceError as error:
        if number == 0:
            raise
        say(f"What {question} is left out: {error}")
        return None


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

    def report(self, found: Explained, say: Say) -> None:
        """Write what is read by people."""
        page, picture, text = (self.folder / name for name in (PAGE, PICTURE, TEXT))
        draw_graph(found.graph, picture)
        write_page(page, found.page)
        with atomic_path(text) as unfinished:
            unfinished.write_text(found.findings.to_markdown(PICTURE), encoding="utf-8", errors="backslashreplace")
        for path in (picture, page, text):
            say(f"Wrote {path}")
