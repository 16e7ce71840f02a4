"""What the page shows: answers as texts and tables in which names of events mean nothing to a browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from hf_trace.app.log_answers import change_of, comparison_of, incident_of, ranking_of, what_if_of
from hf_trace.app.sent_logs import SentColumns, SentLog, sent_text
from hf_trace.app.studies import Doing, Studies, Study
from hf_trace.documents import Document
from hf_trace.errors import QueryError
from hf_trace.publishing.model_card import as_markdown
from hf_trace.questions.named_events import listed_events
from hf_trace.questions.what_if import REMOVED
from hf_trace.report.log_report import SECTIONS

_MOST_NAMES = 300
_CAUSES = ("rank", "event", "position", "lag", "effect", "standard_error", "probability", "stands_out")
Rows = list[list[Any]]


@dataclass(frozen=True)
class Choices:
    """What can be chosen of a log.

    Attributes:
        events: Its event types.
        sequences: Ids of its first sequences.
    """

    events: list[str]
    sequences: list[str]


class Desk:
    """Takes logs and questions of a person, and hands out what is shown.

    Args:
        studies: Reads and studies the logs.
    """

    def __init__(self, studies: Studies) -> None:
        self._studies = studies

    @property
    def has_example(self) -> bool:
        """Whether there is a log to begin with."""
        return self._studies.has_example

    def example(self) -> SentLog:
        """The log to begin with."""
        return self._studies.example()

    def receive(self, data: bytes | None, name: str, text: str, columns: SentColumns) -> SentLog:
        """Read a file, or without one the text.

        Raises:
            HfTraceError: As ``Studies.read``.
        """
        if data is None:
            data, name = sent_text(text)
        return self._studies.read(data, name, columns)

    def choices(self, sent: SentLog) -> Choices:
        """What can be chosen of a log."""
        return Choices(list(sent.log.event_types), list(sent.log.ids[:_MOST_NAMES]))

    def events(self, sent: SentLog, sequence: str) -> list[str]:
        """Names of the events of a sequence, as ``what_if`` knows them."""
        if sequence not in sent.log.ids:
            return []
        rows = listed_events(sent.log[sent.log.ids.index(sequence)])
        return [str(row["name"]) for row in rows[:_MOST_NAMES]]

    def report(self, sent: SentLog) -> str:
        """What a log is like, in Markdown."""
        sections = [sent.report.section(name) for name in SECTIONS]
        parts = [
            f"### {title}\n" + "\n".join(f"* {as_markdown(each)}" for each in lines)
            for title, lines in sections
            if lines
        ]
        return "\n\n".join([f"## {as_markdown(sent.name)}", *parts])

    def study(self, sent: SentLog, doing: Doing) -> Study:
        """All that is found in a log."""
        return self._studies.study(sent, doing=doing)

    def beside_counting(self, study: Study) -> tuple[str, Rows]:
        """In words how far counting agrees, and a row for each link of either."""
        found = comparison_of(study)
        answer, losses = found["answer"], found["baseline"]["nats_per_event"]
        foreseen = ", ".join(f"{as_markdown(name)} {value:.3f}" for name, value in losses.items())
        rows = [
            [*pair, who]
            for who, name in (
                ("both", "both"),
                ("the model alone", "model_alone"),
                ("counting alone", "counting_alone"),
            )
            for pair in answer[name]
        ]
        return f"{as_markdown(answer['in_words'])}\n\nNats per held-out event, less is better: {foreseen}.", rows

    def ranking(self, sent: SentLog, outcome: str | None, sequence: str | None, doing: Doing) -> tuple[str, Rows]:
        """What led to an event: a caution with the baseline, and a row for each cause."""
        if not outcome:
            raise QueryError("No outcome is chosen, expected the event to explain. Choose one.")
        incident, study = incident_of(sent.log, outcome, sequence or ""), self.study(sent, doing)
        with self._studies.turn():
            found = ranking_of(study, outcome, incident, 10)
        answer, beside = found["answer"], found["baseline"]
        where = f"{as_markdown(outcome)} at position {answer['position']} of sequence {as_markdown(answer['sequence'])}"
        counted = " > ".join(map(as_markdown, beside["by_counting_alone"][:5])) or "nothing"
        text = (
            f"**{where}.** {as_markdown(answer['caution'])}\n\nCounting alone would say: {counted}. Of all events "
            f"{beside['share_of_all_events']:.1%} are this one."
        )
        rows = [{**one, **two} for one, two in zip(answer["causes"], found["evidence"], strict=True)]
        return text, [[_cell(row.get(key)) for key in _CAUSES] for row in rows]

    def what_if(self, sent: SentLog, asked: Document, doing: Doing) -> str:
        """What would have been likely, in Markdown.

        Args:
            sent: The log.
            asked: ``event``, ``instead``, ``target``, ``sequence`` and ``within``.
            doing: Shows what is being done.
        """
        if not (asked["event"] and asked["target"]):
            raise QueryError("An event and a target are needed, expected both. Choose them.")
        names = (asked["event"], asked["instead"] or REMOVED, asked["target"], asked["sequence"] or "")
        changed, study = change_of(sent.log, *names), self.study(sent, doing)
        with self._studies.turn():
            found = what_if_of(study, changed, asked["target"], asked["within"], self._studies.bounds.futures)
        answer, beside = found["answer"], found["baseline"]
        around = " → ".join(
            f"**{as_markdown(row['event'])}**" if row["position"] == answer["position"] else as_markdown(row["event"])
            for row in found["evidence"]["around"]
        )
        return (
            f"{as_markdown(answer['in_words'])}\n\nAround it: {around}\n\nCounted in the whole log, within "
            f"{as_markdown(beside['within'])}: it follows {_share(beside['follows_such_an_event'])} of "
            f"{beside['occurrences']:,} such events, and {_share(beside['follows_other_events'])} of the others."
        )

    @staticmethod
    def columns_of_causes() -> Sequence[str]:
        """Headings of the rows of a ranking."""
        return [name.replace("_", " ") for name in _CAUSES]


def framed(page: str) -> str:
    """A page within another: a frame of its own origin, which reaches nothing around it.

    Example:
        >>> framed('<p title="x">').partition("srcdoc=")[2]
        '"&lt;p title=&quot;x&quot;&gt;"></iframe>'
    """
    return (
        '<iframe class="report" title="Causal graph" sandbox="allow-scripts allow-downloads" '
        f'srcdoc="{escape(page)}"></iframe>'
    )


def _cell(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1%}"
