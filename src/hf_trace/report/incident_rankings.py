"""What is suspected of an event of an incident: earlier events by their effects, or states by their oddness."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hf_trace.documents import Document
from hf_trace.errors import HfTraceError
from hf_trace.logs.diagnosis.findings import percent
from hf_trace.logs.log import EventLog, count, duration
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import case_of
from hf_trace.questions.normal_states import NormalStates
from hf_trace.questions.ranking import RankSettings, rank
from hf_trace.questions.state_ranking import StateRankSettings, rank_states
from hf_trace.runs.event_model import NEAR, EventModel

_MOST_CAUSES = 5
# Of each event so many futures: a page has several incidents, and shows no small effects.
_FUTURES = 32


@dataclass(frozen=True)
class Suspects:
    """Who ranks the causes of events of incidents.

    Args:
        model: Ranks earlier events.
        log: The sequences of the incidents, by their ids.
        within: How many events after a suspect the event may come.
        normal: Ranks states in their place: what normal operation is like.
        whole: The log with all of each sequence, for states that began long before; None: ``log``.
    """

    model: EventModel
    log: EventLog
    within: int = 4
    normal: NormalStates | None = None
    whole: EventLog | None = None

    def added(self, document: Document, *, advance: Callable[[float], None] = lambda _: None) -> Document:
        """A page whose incidents say what is suspected of the last event that has a cause in the graph.

        Args:
            document: What ``page_document`` returned.
            advance: Called with the share of incidents done.

        Returns:
            The document, with ``ranked`` (position of the event, from the first one shown) and ``ranking`` (``cause``,
            ``score`` and ``sentence`` of at most five suspects that stand out of chance) of each incident where there
            are suspects. Scores are changes of probability, or nats of a state.
        """
        row = {name: number for number, name in enumerate(self.log.ids)}
        told = []
        for number, incident in enumerate(document["incidents"], start=1):
            at = max((link[1] for link in incident["links"]), default=0)
            ranking: list[Document] = []
            if at > 0 and incident["sequence"] in row:
                with suppress(HfTraceError):  # an event that the model does not know, or with nothing before it
                    ranking = self._of(self.log[row[incident["sequence"]]], incident["start"] + at)
            told.append(incident | ({"ranked": at, "ranking": ranking} if ranking else {}))
            advance(number / len(document["incidents"]))
        return document | {"incidents": told}

    def _of(self, sequence: EventSequence, position: int) -> list[Document]:
        outcome = sequence.events[position]
        if self.normal is not None:
            return self._states(self.normal, sequence, position)
        settings = RankSettings(within=str(self.within), by="effect", num_samples=_FUTURES)
        found = rank(self.model, sequence, outcome, settings, position=position)["causes"]
        return [_suspect(each) for each in found if each["stands_out"]][:_MOST_CAUSES]

    def _states(self, normal: NormalStates, sequence: EventSequence, position: int) -> list[Document]:
        log = self.log if self.whole is None else self.whole
        names = [name for name in (sequence.id, case_of(sequence.id or "")) if name in log.ids]
        states = normal.read(log.select([list(log.ids).index(names[0])]))
        time = None if sequence.timestamps is None else sequence.timestamps[position]
        settings = StateRankSettings(top=_MOST_CAUSES)
        found = rank_states(normal, states, 0, [sequence.events[position]], settings, time=time)["causes"]
        return [
            {"cause": f"{each['variable']}={each['value']}", "score": each["score"], "sentence": each["sentence"]}
            for each in found
            if each["stands_out"]
        ]


def _suspect(cause: Document) -> Document:
    ago = [f"{count(cause['lag'], 'event')} before"]
    if (seconds := cause.get("lag_seconds")) is not None:
        ago.append(f"{duration(seconds)} earlier")
    with_it, without = percent(cause["probability"]), percent(cause["probability_without"])
    return {
        "cause": f"{cause['event']}{' at a neighbour' if cause.get('place') == NEAR else ''} ({cause['position']})",
        "score": cause["effect"],
        "sentence": f"{', '.join(ago)}; with it the model gives the event {with_it}, without it {without}.",
    }
