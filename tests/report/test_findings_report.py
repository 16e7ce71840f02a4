"""Findings for somebody who decides: five sentences, figures of graph and log, names as they are written."""

import json

import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.diagnosis.findings import Suggestion
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.report.findings_report import COUNTED, beats_counting, log_findings

LOG = EventLog.from_sequences(
    [EventSequence(("leak", "stop"), (0.0, 10.0), f"pump {number}") for number in range(12)]
    + [EventSequence(("leak", "ping"), (0.0, 500.0), "pump 12")]
)
ORACLE = {"loss": 0.9, "bigram": 1.5, "additive": 1.1, "beats_bigram": True, "beats_additive": True}
EDGE = {"cause": "leak", "effect": "stop", "cmi": 0.4, "direction": "excites", "gain": 0.9}


def graph_of(*edges, **metadata):
    return CausalGraph("population", ("leak", "stop", "ping"), edges, {"settings": {"question": "drives"}, **metadata})


def findings_of(*graphs, **about):
    return log_findings("pumps.csv", [(graph, LOG) for graph in graphs], **{"verdict": "Enough to tell", **about})


def test_a_summary_has_the_size_the_first_finding_the_hubs_and_how_far_to_believe():
    table = [[0, 0.9, 0.1], [0, 0, 0], [0, 0, 0]]
    found = findings_of(graph_of(EDGE, oracle=ORACLE, baselines={"onset": table}))
    size, first, structure, trust = found.summary
    assert size == "pumps.csv holds 26 events of 3 types in 13 sequences, over 8.3 minutes: enough to tell."
    assert first.startswith("The first thing to know: after “leak”, “stop” comes within ")
    assert structure == "There is 1 link; 92 % of all steps are simply the usual next one."
    assert "The model foresees events better than counting (0.900 nats; counting in time 1.100" in trust
    assert "counting alone would name 1 of 1 link too" in trust


def test_nothing_found_is_said():
    found = findings_of(graph_of(oracle=ORACLE))
    assert found.summary[1] == "No link is strong enough to be named."
    assert "Nothing is above the threshold." in found.to_markdown()
    assert found.next == ()


@pytest.mark.parametrize("verdict", ["beats_bigram", "beats_additive"])
def test_a_model_that_foresees_no_better_than_counting_says_so(verdict):
    graph = graph_of(EDGE, oracle=ORACLE | {verdict: False})
    assert not beats_counting(graph)
    assert "no better than counting" in findings_of(graph).summary[-1]
    assert beats_counting(graph_of(EDGE))


def test_what_counting_says_has_a_place_of_its_own():
    counted = graph_of(EDGE).with_metadata(settings={"method": "onset"})
    found = findings_of(counted, graph_of(EDGE, oracle=ORACLE))
    assert list(found.questions) == [COUNTED, "drives"]
    assert "this is what counting says" in found.summary[-1]
    assert found.title == "pumps.csv: what follows what, counted"


def test_next_come_sequences_to_look_at_and_a_test():
    found = findings_of(graph_of(EDGE), advice=["'site' could be a context."])
    *looked, tried, advice = found.next
    assert looked == []  # it is the usual order
    assert "Keep “leak” from happening" in tried
    assert "hf-trace compare" in tried
    assert advice == "'site' could be a context."


def test_sequences_with_and_without_the_effect_are_named():
    mixed = [("leak", "stop"), ("leak", "ping"), ("ping", "leak"), ("stop", "leak"), ("stop", "ping"), ("ping", "stop")]
    records = [EventSequence(events, (0.0, 10.0), f"{number}") for number, events in enumerate(mixed * 9)]
    found = log_findings("log", [(graph_of(EDGE), EventLog.from_sequences(records))], verdict="Enough")
    assert found.next[0] == (
        "Look at sequences 0, 6, 12, where “stop” came after “leak”, and at sequences 1, 2, 3, where it did not: what "
        "else differs?"
    )


def test_a_page_gets_it_as_plain_values():
    made = findings_of(graph_of(EDGE), chosen=[Suggestion("train", "seed", "0", "luck")]).to_dict()
    assert json.loads(json.dumps(made)) == made
    assert made["chosen"] == ["--seed 0: luck."]
    assert set(made["questions"]["drives"][0]) == {
        *("cause", "effect", "direction", "place", "kind", "weak", "text", "caution")
    }


def test_names_are_shown_as_they_are_written():
    hostile = "a*b_[x](http://y) <script>"
    log = EventLog.from_sequences([EventSequence((hostile, "stop"), (0.0, 1.0), "s")] * 6)
    graph = CausalGraph.from_edges([(hostile, "stop")], level="population")
    text = log_findings("log", [(graph, log)], verdict="Enough").to_markdown("graph.png")
    assert r"“a\*b\_\[x\](http://y) \<script\>”" in text
    assert "<script" not in text.replace(r"\<", "")
    assert "![Causal graph](graph.png)" in text
