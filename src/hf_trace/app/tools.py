"""Five questions about a log for agents: what they read of each, and what is taken from them."""

from hf_trace.app.log_answers import change_of, comparison_of, graph_of, incident_of, ranking_of, summary_of, what_if_of
from hf_trace.app.sent_logs import SentColumns, SentLog, sent_text
from hf_trace.app.studies import Studies
from hf_trace.checks import one_of, whole
from hf_trace.documents import Document
from hf_trace.options import AUTO, QUESTIONS
from hf_trace.questions.what_if import REMOVED

_MOST_EDGES, _MOST_CAUSES = 50, 20


class LogTools:
    """What can be asked. Names and docstrings are what agents read of them.

    Args:
        studies: Reads and studies the logs.
    """

    def __init__(self, studies: Studies) -> None:
        self._studies = studies

    def summarise_log(
        self, log: str = "", case_column: str = "", event_column: str = "", time_column: str = ""
    ) -> Document:
        """Look at an event log before anything is learned from it: is it read right, is it enough, what to choose.

        Ask this first; it takes a second or two. A log is a table with a row for each event (case, event, time), or
        plain text with one sequence a line; 34,838 telecom alarms are the example where the app has one. Nothing is
        opened by a path or an address.

        Args:
            log: The text of the log itself (CSV, JSON Lines, XES, or plain text), no path; empty: the example, if any.
            case_column: Column that names the sequence; empty: recognized.
            event_column: Column that names the event; empty: recognized.
            time_column: Column with the time; empty: recognized.

        Returns:
            A verdict, the most frequent events as evidence, and what counting tells from chance as the baseline.
        """
        return summary_of(self._read(log, case_column, event_column, time_column))

    def graph_with_evidence(
        self,
        log: str = "",
        question: str = AUTO,
        most_edges: int = 10,
        case_column: str = "",
        event_column: str = "",
        time_column: str = "",
    ) -> Document:
        """Find which event types of a log drive or precede which, by asking a language model of event sequences.

        A log that the model of this app does not know is learned first, which takes up to a few minutes; the next
        question about the same text is answered at once.

        Args:
            log: The text of the log itself (CSV, JSON Lines, XES, or plain text), no path; empty: the example, if any.
            question: "drives" (direct, given the rest), "follows" (total), or "auto": what the log is fit to answer.
            most_edges: How many links, the strongest first, up to 50.
            case_column: Column that names the sequence; empty: recognized.
            event_column: Column that names the event; empty: recognized.
            time_column: Column with the time; empty: recognized.

        Returns:
            Links in words, places in the log as evidence, and as the baseline what counting says of the same links.
        """
        whole("most_edges", most_edges, most=_MOST_EDGES)
        one_of("question", question, (*QUESTIONS, AUTO))
        study = self._studies.study(self._read(log, case_column, event_column, time_column))
        return graph_of(study, most_edges, question)

    def rank_incident(
        self,
        outcome: str,
        log: str = "",
        sequence: str = "",
        top: int = 5,
        case_column: str = "",
        event_column: str = "",
        time_column: str = "",
    ) -> Document:
        """Rank which earlier events of one sequence most likely brought an event about (root causes).

        Args:
            outcome: The event type to explain, such as an alarm; its first occurrence that something precedes.
            log: The text of the log itself (CSV, JSON Lines, XES, or plain text), no path; empty: the example, if any.
            sequence: Id of the sequence; empty: the first one in which something precedes the outcome.
            top: How many causes, up to 20.
            case_column: Column that names the sequence; empty: recognized.
            event_column: Column that names the event; empty: recognized.
            time_column: Column with the time; empty: recognized.

        Returns:
            Causes, effects with standard errors as evidence, and as the baseline how counting orders them.
        """
        whole("top", top, most=_MOST_CAUSES)
        sent = self._read(log, case_column, event_column, time_column)
        incident, study = incident_of(sent.log, outcome, sequence), self._studies.study(sent)
        with self._studies.turn():
            return ranking_of(study, outcome, incident, top)

    def what_if(  # noqa: PLR0913 - a question needs as many words
        self,
        event: str,
        target: str,
        log: str = "",
        instead: str = REMOVED,
        sequence: str = "",
        within: str = "",
        case_column: str = "",
        event_column: str = "",
        time_column: str = "",
    ) -> Document:
        """How likely a target follows in one sequence, as observed and had one event been another, or not happened.

        Args:
            event: Which event is changed: its name ("T06", "T06#2" for its second one) or its position from 0.
            target: The event type whose probability is asked for.
            log: The text of the log itself (CSV, JSON Lines, XES, or plain text), no path; empty: the example, if any.
            instead: The event type to put there, or "removed".
            sequence: Id of the sequence; empty: the first one that has the event.
            within: How soon the target follows: a number of events ("8") or a time ("300s", "1h"); empty: up to 16.
            case_column: Column that names the sequence; empty: recognized.
            event_column: Column that names the event; empty: recognized.
            time_column: Column with the time; empty: recognized.

        Returns:
            Both probabilities, the events around as evidence, and as the baseline how often it follows, counted.
        """
        sent = self._read(log, case_column, event_column, time_column)
        changed, study = change_of(sent.log, event, instead, target, sequence), self._studies.study(sent)
        with self._studies.turn():
            return what_if_of(study, changed, target, within, self._studies.bounds.futures)

    def compare_with_counting(
        self, log: str = "", case_column: str = "", event_column: str = "", time_column: str = ""
    ) -> Document:
        """Where the language model and counting without any model agree about what follows what, and where they differ.

        Args:
            log: The text of the log itself (CSV, JSON Lines, XES, or plain text), no path; empty: the example, if any.
            case_column: Column that names the sequence; empty: recognized.
            event_column: Column that names the event; empty: recognized.
            time_column: Column with the time; empty: recognized.

        Returns:
            Links of both and of each alone, counts as evidence, and as the baseline how well each foresees events.
        """
        return comparison_of(self._studies.study(self._read(log, case_column, event_column, time_column)))

    def _read(self, log: str, *columns: str) -> SentLog:
        if not log.strip():
            return self._studies.example()
        return self._studies.read(*sent_text(log), SentColumns.of(*columns))
