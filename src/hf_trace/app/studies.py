"""What is learned of the logs that were sent: an oracle asked and counting beside it, kept for the next question."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from hf_trace.app.bounds import Bounds, Gate
from hf_trace.app.sent_logs import SentColumns, SentLog, read_sent
from hf_trace.checks import one_of
from hf_trace.errors import HfTraceError, QueryError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.diagnosis.findings import Suggestion
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log
from hf_trace.options import AUTO, QUESTIONS
from hf_trace.pipelines.explanation import COUNTED_FILE, GRAPH, PAGE, RUN, ExplanationSettings, explain_log
from hf_trace.pipelines.log_questions import LogInWords
from hf_trace.questions.state_runs import is_of_states
from hf_trace.report.findings_report import LogFindings
from hf_trace.report.log_report import log_report, noted
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.folders import local_run, run_kind

logger = logging.getLogger(__name__)
EXAMPLE = "telecom-alarms.csv"
_PRESET = "nano"
# Places where events are forced, for total effects: what is shown in a minute, not what is published.
_CONTEXTS = 64
Doing = Callable[[str, int | float], AbstractContextManager[Callable[[float], None]]]


@dataclass(frozen=True)
class Study:
    """A log, and all that was found in it.

    Attributes:
        sent: The log.
        model: The oracle that was asked.
        is_trained_here: Whether it learned from this very log.
        graphs: By question, the one that the log is fit to answer first; without those that cannot be asked.
        counted: The graph by counting alone; None where nothing can be counted.
        findings: All of it in words.
        page: All of it as a page of HTML.
    """

    sent: SentLog
    model: EventModel
    is_trained_here: bool
    graphs: dict[str, CausalGraph]
    counted: CausalGraph | None
    findings: LogFindings
    page: str

    @property
    def question(self) -> str:
        """What the log is fit to answer."""
        return next(iter(self.graphs))

    def graph(self, question: str = AUTO) -> CausalGraph:
        """The graph of a question; by default of the one that the log is fit to answer.

        Raises:
            QueryError: If the log cannot answer it.
        """
        one_of("question", question, (*QUESTIONS, AUTO))
        chosen = self.question if question == AUTO else question
        if chosen not in self.graphs:
            raise QueryError(f"The log cannot tell what {chosen}, only what {self.question}. Ask for that.")
        return self.graphs[chosen]


@contextmanager
def _silent(_: str, __: int | float) -> Iterator[Callable[[float], None]]:
    yield lambda _: None


class Studies:
    """Reads and studies logs, one at a time, and keeps the latest studies.

    Args:
        run: A run of events, which is asked about logs whose event types it knows; for others, and without one, a small
            oracle is trained.
        bounds: How much is taken.

    Raises:
        SettingsError: If the run is of a table or of states.
        ModelLoadError: If there is no run.
    """

    def __init__(self, run: str | Path | None = None, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self._run = None if run is None else str(run)
        self._ready = None if run is None else _loaded(run)
        self._reading, self._studying = Gate(self.bounds.waiting), Gate(self.bounds.waiting)
        self._kept: OrderedDict[str, Study] = OrderedDict()
        self._shelf = Lock()

    @property
    def has_example(self) -> bool:
        """Whether there is a log to begin with: that of the packaged alarms, for a run that knows them."""
        return self._ready is not None and set(alarms_log().event_types) <= set(self._ready.tokenizer.event_types)

    def example(self) -> SentLog:
        """The packaged alarms.

        Raises:
            SettingsError: If the run of this app is of something else.
        """
        if not self.has_example:
            raise SettingsError("This app has no example, and no log was sent. Send one: a file, or a text.")
        log = alarms_log()
        return SentLog(EXAMPLE, EXAMPLE, log, log_report(log), SentColumns())

    def read(self, data: bytes, name: str, columns: SentColumns) -> SentLog:
        """Read what was sent, in turn.

        Raises:
            BusyError: If too many others wait.
            HfTraceError: As ``read_sent``.
        """
        with self._reading.passed():
            return read_sent(data, name, columns, self.bounds)

    def study(self, sent: SentLog, *, doing: Doing = _silent) -> Study:
        """All that is found in a log; the same as before if it was studied before.

        Args:
            sent: The log.
            doing: Shows what is being done.

        Raises:
            BusyError: If too many others wait.
            HfTraceError: If the log has nothing to learn from.
        """
        with self._studying.queued():
            if (known := self._known(sent.key)) is not None:
                return known
        with self._studying.passed():
            if (known := self._known(sent.key)) is not None:
                return known
            found = self._studied(sent, doing)
        with self._shelf:
            self._kept[sent.key] = found
            while len(self._kept) > self.bounds.kept:
                self._kept.popitem(last=False)
        return found

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The only one that asks an oracle.

        Raises:
            BusyError: If too many others wait.
        """
        with self._studying.passed():
            yield

    def _known(self, key: str) -> Study | None:
        with self._shelf:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _studied(self, sent: SentLog, doing: Doing) -> Study:
        run = self._run if self._ready is not None and _is_known(sent.log, self._ready) else None
        settings = self._settings(sent.report.suggestions)
        about = LogInWords(sent.name, sent.report.verdict, sent.report.suggestions)
        with TemporaryDirectory(prefix="hf-trace-study-") as folder, noted() as notes:
            place = Path(folder)
            try:
                findings = explain_log(sent.log, place, settings, about, run=run, doing=doing)
            except HfTraceError as error:
                raise type(error)(str(error).replace(folder, sent.name)) from None
            graphs = {
                str(each.settings.question): CausalGraph.load(place / name)
                for number, each in enumerate(settings.requests)
                if (place / (name := f"graph-{each.settings.question}.json" if number else GRAPH)).exists()
            }
            counted = place / COUNTED_FILE
            for note in notes:
                logger.info("%s: %s", sent.name, note)
            return Study(
                sent,
                EventModel.load(place / RUN) if run is None or self._ready is None else self._ready,
                run is None,
                graphs,
                CausalGraph.load(counted) if counted.exists() else None,
                findings,
                (place / PAGE).read_text(encoding="utf-8"),
            )

    def _settings(self, chosen: Sequence[Suggestion]) -> ExplanationSettings:
        """What the log wants, with the bounds of an app."""
        settings = ExplanationSettings.of(chosen, preset=_PRESET, max_tokens=self.bounds.tokens)
        requests = (each.updated(num_contexts=_CONTEXTS) if each.is_total else each for each in settings.requests)
        return replace(settings, requests=tuple(requests))


def _loaded(run: str | Path) -> EventModel:
    if run_kind(local_run(run)) == "table" or is_of_states(run):
        raise SettingsError(
            f"The run {str(run)!r} is of a table or of states, expected one of an event log, as `hf-trace train LOG` "
            "writes it. Name another."
        )
    return EventModel.load(run)


def _is_known(log: EventLog, model: EventModel) -> bool:
    """Whether a model that learned from another log knows all events of this one, and reads it in the same way."""
    types = set(log.event_types) <= set(model.tokenizer.event_types)
    return types and (log.timestamps is not None or not model.tokenizer.writes_gaps)
