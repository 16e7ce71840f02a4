"""What was found in a log, for somebody who decides: five sentences, the edges in words, what to look at next."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.diagnosis.findings import Finding, percent
from hf_trace.logs.log import EventLog, count, duration
from hf_trace.logs.places.histories import own_events
from hf_trace.options import QUESTIONS
from hf_trace.report.beside_counting import onset_columns
from hf_trace.report.edge_findings import USUAL, EdgeFinding, edge_findings, quoted
from hf_trace.report.followed_pairs import UsualSteps
from hf_trace.report.page_texts import assumptions

COUNTED = "counted"
MEANING = {
    **{name: text.partition(": ")[2] for name, text in QUESTIONS.items()},
    COUNTED: "how often the effect begins after the cause, and not before it, without a model",
}
_TITLES = {"drives": "what drives what", "follows": "what follows what", COUNTED: "what follows what, counted"}
_NEXT = 2
_HUB = 2


@dataclass(frozen=True, repr=False)
class LogFindings:
    """All that is said of a log and its graphs.

    Attributes:
        title: Name of the log and the question.
        summary: Five sentences.
        questions: Edges in words, by question, the one that was asked first.
        assumed: What must hold, titles with texts.
        chosen: What was chosen and why, one line each.
        next: What to do next.
    """

    title: str
    summary: tuple[str, ...]
    questions: Mapping[str, Sequence[EdgeFinding]]
    assumed: Sequence[Mapping[str, str]]
    chosen: tuple[str, ...]
    next: tuple[str, ...]

    def __repr__(self) -> str:
        links = {question: len(found) for question, found in self.questions.items()}
        return f"LogFindings({self.title!r}, links={links})"

    def __str__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_dict(self) -> Document:
        """What a page shows."""
        return {
            "title": self.title,
            "summary": list(self.summary),
            "questions": {name: [each.to_dict() for each in found] for name, found in self.questions.items()},
            "assumed": [f"{each['title']}. {each['text']}" for each in self.assumed],
            "chosen": list(self.chosen),
            "next": list(self.next),
        }

    def to_markdown(self, picture: str | None = None) -> str:
        """As a text to read and to send.

        Args:
            picture: Path of the picture of the graph, beside the text.
        """
        lines = [f"# {_escaped(self.title)}", "", *(_escaped(each) for each in self.summary), ""]
        if picture is not None:
            lines += [f"![Causal graph]({picture})", ""]
        for question, found in self.questions.items():
            lines += [f"## {question.capitalize()}", "", f"{_sentence(MEANING[question])}", ""]
            lines += [*_numbered(found), ""] if found else ["Nothing is above the threshold.", ""]
        lines += ["## What was assumed", ""]
        lines += [f"* **{_escaped(each['title'])}.** {_escaped(each['text'])}" for each in self.assumed]
        lines += ["", "## What was chosen, and why", "", *(f"* {_escaped(each)}" for each in self.chosen)]
        lines += ["", "## What to do next", "", *(f"* {_escaped(each)}" for each in self.next)]
        return "\n".join(lines) + "\n"


def log_findings(
    name: str,
    graphs: Sequence[tuple[CausalGraph, EventLog]],
    *,
    verdict: str,
    chosen: Sequence[Finding] = (),
    advice: Sequence[str] = (),
) -> LogFindings:
    """Put a log and its graphs into words.

    Args:
        name: What the log is called.
        graphs: Population graphs with the log as in ``edge_findings``, one for each question; the first is what the
            reader wants to know.
        verdict: Whether the log is enough, in words.
        chosen: What was chosen for it.
        advice: What else could help, sentences.
    """
    found = {_question(graph): edge_findings(graph, log) for graph, log in graphs}
    graph, log = graphs[0]
    first = found[_question(graph)]
    return LogFindings(
        title=f"{name}: {_TITLES[_question(graph)]}",
        summary=(_scope(name, log, verdict), *_strongest(first), _structure(graph, log), _trust(graph)),
        questions=found,
        assumed=assumptions(graph, graph.metadata.get("settings", {})),
        chosen=tuple(line for each in chosen for line in each.lines()),
        next=(*_next_steps(first), *advice),
    )


def beats_counting(graph: CausalGraph) -> bool:
    """Whether the model of a graph predicts better than what is counted beside it; True where that is unknown."""
    oracle = graph.metadata.get("oracle", {})
    return bool(oracle.get("beats_bigram", True)) and bool(oracle.get("beats_additive", True))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _question(graph: CausalGraph) -> str:
    settings = graph.metadata.get("settings", {})
    return COUNTED if "method" in settings else settings.get("question") or "drives"


def _scope(name: str, log: EventLog, verdict: str) -> str:
    own = own_events(log)
    times = own.timestamps
    span = "" if times is None or not len(times) else f", over {duration(float(times.max() - times.min()))}"
    return (
        f"{name} holds {count(len(own.codes), 'event')} of {count(len(own.event_types), 'type')} in "
        f"{count(len(own), 'sequence')}{span}: {verdict[0].lower()}{verdict[1:]}."
    )


def _strongest(found: Sequence[EdgeFinding]) -> list[str]:
    """The first finding, and the next two."""
    if not found:
        return ["No link is strong enough to be named."]
    lines = [f"The first thing to know: {found[0].short}{_supported(found[0])}."]
    if others := found[1 : 1 + _NEXT]:
        lines.append(f"Next: {'; '.join(each.short + _supported(each) for each in others)}.")
    return lines


def _supported(finding: EdgeFinding) -> str:
    return ", but little speaks for it" if finding.weak else ""


def _structure(graph: CausalGraph, log: EventLog) -> str:
    """Where much begins and ends; of cases that run alike, how much is the usual order."""
    usual = UsualSteps.of(own_events(log))
    parts = [f"There {'is' if len(graph) == 1 else 'are'} {count(len(graph), 'link')}"]
    out = Counter(edge["cause"] for edge in graph.edges).most_common(1)
    into = Counter(edge["effect"] for edge in graph.edges).most_common(1)
    if out and out[0][1] >= _HUB:
        parts.append(f"most start at {quoted(out[0][0])} ({out[0][1]:,})")
    if into and into[0][1] >= _HUB:
        parts.append(f"most end at {quoted(into[0][0])} ({into[0][1]:,})")
    text = "; ".join(parts)
    if usual.is_workflow:
        text += f"; {percent(usual.predicts)} of all steps are simply the usual next one"
    return f"{text}."


def _trust(graph: CausalGraph) -> str:
    """How far to believe it."""
    oracle, ranks = graph.metadata.get("oracle", {}), onset_columns(graph).get("onset_rank")
    parts = []
    if "loss" in oracle:
        against = {"counting in time": oracle.get("additive"), "the last event alone": oracle.get("bigram")}
        beside = ", ".join(f"{what} {value:.3f}" for what, value in against.items() if value is not None)
        verb = "better" if beats_counting(graph) else "no better"
        parts.append(f"the model foresees events {verb} than counting ({oracle['loss']:.3f} nats; {beside})")
    if _question(graph) == COUNTED:
        parts.append("the model foresees events no better than counting, so that this is what counting says")
    elif ranks:
        agree = sum(rank <= len(graph) for rank in ranks)
        parts.append(f"counting alone would name {agree:,} of {count(len(graph), 'link')} too")
    parts.append("a link is what helps to foresee events, and no proof: test it before acting on it")
    return _sentence("; ".join(parts))


def _next_steps(found: Sequence[EdgeFinding]) -> list[str]:
    """What would tell more: sequences to look at, what to count on, what to compare with."""
    lines = []
    for each in [each for each in found if each.kind != USUAL][:_NEXT]:
        looked = (
            f"Look at {_sequences(each.pair.with_effect)}, where {quoted(each.effect)} came after {quoted(each.cause)}"
        )
        if each.pair.without_effect:
            looked += f", and at {_sequences(each.pair.without_effect)}, where it did not"
        lines.append(f"{looked}: what else differs?")
    if weak := [each for each in found if each.weak]:
        names = ", ".join(f"{quoted(each.cause)} → {quoted(each.effect)}" for each in weak[:3])
        lines.append(f"Collect more of {names} before relying on {'it' if len(weak) == 1 else 'them'}.")
    if found:
        strongest = found[0]
        lines.append(
            f"Keep {quoted(strongest.cause)} from happening at some places or for some time, and see whether "
            f"{quoted(strongest.effect)} becomes rarer: `hf-trace compare` tells a graph before from one after."
        )
    return lines


def _sequences(ids: Sequence[str]) -> str:
    return f"sequence{'' if len(ids) == 1 else 's'} {', '.join(ids)}"


def _numbered(found: Sequence[EdgeFinding]) -> list[str]:
    lines = []
    for number, each in enumerate(found, start=1):
        kind = f" [{each.kind}]" if each.kind else ""
        weak = " [weak]" if each.weak else ""
        caution = f" **Caution:** {_escaped(each.caution)}" if each.caution else ""
        lines.append(f"{number}.{weak}{kind} {_escaped(each.text)}{caution}")
    return lines


def _escaped(text: str) -> str:
    """Text of data as Markdown shows it."""
    return re.sub(r"([\\*_\[\]<>#|])", r"\\\1", " ".join(text.split()))
