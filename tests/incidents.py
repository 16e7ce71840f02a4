"""One incident on a page: A is followed by B, which it causes."""

from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.report.evidence import EvidenceCollector
from hf_trace.report.page import page_document

EVENTS = ("C", "D", "A", "B", "C", "D")
SEQUENCE = EventSequence(EVENTS, id="x")
LOG = EventLog.from_sequences([SEQUENCE])


def incident_page() -> Document:
    """The document of the page."""
    edge = {"cause": "A", "effect": "B", "cause_position": 2, "effect_position": 3, "cmi": 0.9, "direction": "excites"}
    evidence = EvidenceCollector()
    evidence.add_graph(SEQUENCE, CausalGraph("instance", EVENTS, (edge,)))
    graph = CausalGraph("population", ("A", "B", "C", "D"), ({"cause": "A", "effect": "B", "cmi": 0.9},))
    return page_document(graph, log=LOG, evidence=evidence)
