"""Edges in words: every figure is that of the log or the edge, every caution has its cause."""

from itertools import permutations

import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.histories import with_neighbours
from hf_trace.logs.sequence import EventSequence
from hf_trace.report.edge_findings import edge_findings

DELAY = {"0.1": 10.0, "0.5": 10.0, "0.9": 10.0}


def graph_of(*edges, types=("leak", "stop", "ping"), **metadata):
    made = tuple({"cause": "leak", "effect": "stop", "cmi": 0.4, "direction": "excites", **edge} for edge in edges)
    return CausalGraph("population", types, made, metadata)


def log_of(*sequences):
    return EventLog.from_sequences(
        [EventSequence(tuple(names), tuple(times), f"s{number}") for number, (names, times) in enumerate(sequences)]
    )


# All orders of four others: most steps are no usual ones, so that no case runs like another.
MIXED = log_of(
    *[(("leak", "stop", "ping", "stop"), (0.0, 10.0, 500.0, 900.0))] * 6,
    *[(("ping", "leak", "ping"), (0.0, 5.0, 400.0))] * 4,
    *[(order, (0.0, 1.0, 2.0, 3.0)) for order in permutations("wxyz")],
)


def test_a_sentence_says_what_the_log_shows_and_what_the_model_adds():
    (found,) = edge_findings(graph_of({"gain": 0.25, "lag_seconds_quantiles": DELAY}), MIXED)
    assert found.text == (
        "After “leak”, “stop” comes within 10 seconds in 60 % of 10 times (after other events in 0 %), typically after "
        "10 seconds. Seen in 6 of 10 sequences. Without “leak”, and all else as it was, the model expects 25 fewer "
        "“stop” for every 100 “leak”."
    )
    assert (found.weak, found.caution, found.kind) == (False, "", "")
    assert found.short == "after “leak”, “stop” comes within 10 seconds (60 % of 10 times, 0 % after other events)"
    assert found.pair.without_effect == ("s6", "s7", "s8")


def test_total_effects_are_told_by_their_risks():
    edge = {"risk": 1.04, "baseline_risk": 0.125, "lag_seconds_quantiles": DELAY}
    (found,) = edge_findings(graph_of(edge), MIXED)
    assert "Forced by the model, “leak” is followed by “stop” in 100 %, any other event in 12 %." in found.text
    (found,) = edge_findings(graph_of(edge | {"risk": 0.1}), MIXED)
    assert "no more likely after it than after others" in found.caution


def test_an_inhibition_comes_less_often():
    (found,) = edge_findings(graph_of({"direction": "inhibits", "gain": -0.5}), MIXED)
    assert "50 more “stop” for every 100 “leak”" in found.text
    assert "comes less often" in found.short


@pytest.mark.parametrize(
    ("edge", "words", "weak"),
    [
        ({"standard_error": 0.3}, "it may be chance", True),
        ({"standard_error": 0.1}, "", False),
        ({"forward": 0.55}, "which one is the cause is open", False),
        ({"forward": 0.9}, "", False),
    ],
)
def test_cautions(edge, words, weak):
    (found,) = edge_findings(graph_of({"lag_seconds_quantiles": DELAY, **edge}), MIXED)
    assert words in found.caution
    assert bool(words) == bool(found.caution)
    assert found.weak == weak


def test_few_sequences_and_equal_times_are_said():
    log = log_of(*[(("leak", "stop"), (0.0, 0.0))] * 3, (("ping", "ping"), (0.0, 9.0)))
    (found,) = edge_findings(graph_of({"lag_seconds_quantiles": dict.fromkeys(DELAY, 0.0)}), log)
    assert found.weak
    assert "Seen 3 times only." in found.caution
    assert "100 % of them come at the very time of the cause" in found.caution


def test_both_directions_are_said():
    back = {"cause": "stop", "effect": "leak", "cmi": 0.2}
    found = edge_findings(graph_of({"lag_seconds_quantiles": DELAY}, back), MIXED)
    assert all("the other direction too" in each.caution for each in found)


def test_counting_agrees_or_not():
    table = [[0, 0.1, 0.4], [0, 0, 0.3], [0.2, 0, 0]]
    (found,) = edge_findings(graph_of({}, baselines={"onset": table}), MIXED)
    assert "Counting disagrees (its number 4 of 6 pairs)" in found.text
    table[0][1] = 0.5
    (found,) = edge_findings(graph_of({}, baselines={"onset": table}), MIXED)
    assert "Counting agrees (its number 1 of 6 pairs)." in found.text


def test_usual_order_is_told_from_surprises():
    usual = [(tuple("abcd"), (0.0, 1.0, 2.0, 3.0))] * 9
    log = log_of(*usual, (tuple("abcbcd"), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)), (tuple("abd"), (0.0, 1.0, 2.0)))
    edges = [{"cause": cause, "effect": effect} for cause, effect in ("ab", "bd", "cb")]
    order, jump, back = edge_findings(graph_of(*edges, types=tuple("abcd")), log)  # the weak one comes last
    assert [order.kind, jump.kind, back.kind] == ["usual order", "usual order", "surprise"]
    assert "Nearly every case shows both in this order" in order.text
    assert "usually “b” comes before “c”" in back.text
    assert back.weak
    assert back.caution.startswith("Seen 1 time only.")


def test_what_is_no_usual_order_comes_first():
    usual = [(tuple("abcd"), (0.0, 1.0, 2.0, 3.0))] * 60
    log = log_of(
        *usual, *[(tuple("acd"), (0.0, 1.0, 2.0))] * 9, *[(tuple("abcbcd"), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))] * 9
    )
    edges = [{"cause": "a", "effect": "b", "cmi": 0.9}, {"cause": "c", "effect": "b", "cmi": 0.1}]
    assert [each.cause for each in edge_findings(graph_of(*edges, types=tuple("abcd")), log)] == ["c", "a"]


def test_a_cause_at_a_neighbour_is_counted_there():
    alone = [
        EventSequence(("leak", "ping"), (0.0, 100.0), "up"),
        EventSequence(("stop", "ping"), (10.0, 100.0), "down"),
    ]
    log = with_neighbours(EventLog.from_sequences(alone), [("up", "down")])
    (found,) = edge_findings(graph_of({"place": "between", "lag_seconds_quantiles": DELAY}), log)
    assert found.text.startswith("After “leak” at a neighbour, “stop” comes within 10 seconds in 100 % of 1 time ")
    both = {"place": "both", "within": 0.4, "between": 0.1, "lag_seconds_quantiles": DELAY}
    (found,) = edge_findings(graph_of(both), log)
    assert found.text.startswith("After “leak”, “stop” comes")
