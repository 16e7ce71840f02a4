import pytest

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.report import pair_places
from hf_trace.report.pair_places import PairPlaces, looked_up

DELAYS = {"lag_seconds_quantiles": {"0.1": 1.0, "0.5": 5.0, "0.9": 10.0}}


def edge(cause, effect, **more):
    return {"cause": cause, "effect": effect, "cmi": 0.5, "direction": "excites", **more}


def ends(graph, sequence):
    return [(link.cause, link.effect) for link in PairPlaces(graph).links(sequence)]


def population(*edges):
    names = dict.fromkeys(name for each in edges for name in (each["cause"], each["effect"]))
    return CausalGraph("population", tuple(names), edges)


def test_a_place_is_an_effect_with_the_latest_cause_in_its_usual_time():
    """By hand, of a -> b within 10 s: b at 4 s after the a at 3 s; not b at 30 s, whose latest a is 27 s before."""
    sequence = EventSequence(("a", "a", "b", "x", "b", "a"), (0.0, 3.0, 4.0, 9.0, 30.0, 31.0))
    assert ends(population(edge("a", "b", **DELAYS)), sequence) == [(1, 2)]


def test_without_delays_the_longest_lag_counts_and_without_lags_the_longest_tested():
    sequence = EventSequence(("a", "x", "b", "x", "b"))
    assert ends(population(edge("a", "b", lags=[1, 2])), sequence) == [(0, 2)]
    assert ends(population(edge("a", "b")), sequence) == [(0, 2), (0, 4)]
    short = population(edge("a", "b")).with_metadata(settings={"max_lag": 3})
    assert ends(short, sequence) == [(0, 2)]


@pytest.mark.parametrize(("place", "found"), [("within", [(1, 2)]), ("between", [(0, 2)]), ("both", [(1, 2), (0, 2)])])
def test_where_an_edge_acts_says_which_causes_count(place, found):
    sequence = EventSequence(("<near:a>", "a", "b"))
    assert ends(population(edge("a", "b", place=place)), sequence) == found


def test_evidence_is_looked_up_in_the_first_events_only(monkeypatch):
    log = EventLog.from_sequences([EventSequence(("a", "b"), (0.0, 5.0), str(i)) for i in range(10)])
    graph = population(edge("a", "b", **DELAYS))
    found = looked_up(graph, log)
    assert [example.sequence for example in found.examples(("a", "b"))] == ["0", "1", "2"]
    assert sum(found.seconds(("a", "b"))) == 10
    monkeypatch.setattr(pair_places, "_MOST_EVENTS", 6)
    assert sum(looked_up(graph, log).seconds(("a", "b"))) == 3
