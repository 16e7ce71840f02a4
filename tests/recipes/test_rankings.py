"""Measures of rankings by hand, and rankings by counting."""

import pytest

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence


@pytest.fixture(scope="module")
def rankings(recipe):
    return recipe("root-causes", "rankings")


# Rankings and causes with AC@1, AC@3, AC@5, MAP@3 and Avg@5 worked out by hand.
CASES = [
    (["a", "b", "c"], ["a"], [1, 1, 1, 1, 1]),
    (["x", "a", "y", "z", "w"], ["a"], [0, 1, 1, 1 / 2, 4 / 5]),
    (["a", "x", "b", "y", "c"], ["a", "b", "c"], [1, 2 / 3, 1, (1 + 2 / 3) / 3, (1 + 1 / 2 + 2 / 3 * 2 + 1) / 5]),
    (["x", "y", "z"], ["a", "b"], [0, 0, 0, 0, 0]),
    (["a"], ["a", "b"], [1, 1 / 2, 1 / 2, 1 / 2, (1 + 4 / 2) / 5]),
]


@pytest.mark.parametrize(("ranked", "causes", "expected"), CASES)
def test_measures_by_hand(rankings, ranked, causes, expected):
    assert [measure(ranked, causes) for measure in rankings.MEASURES.values()] == pytest.approx(expected)


def test_repeated_names_count_once(rankings):
    assert rankings.average_precision_at(["a", "a", "b"], ["a", "b"], 3) == pytest.approx((1 + 2 / 3) / 2)
    assert rankings.accuracy_at(["a", "a"], ["a", "b"], 2) == 0.5


def test_means_have_intervals(rankings):
    found = rankings.ranking_scores([(ranked, causes) for ranked, causes, _ in CASES])
    assert found["AC@1"]["value"] == pytest.approx(3 / 5)
    assert 0 <= found["AC@1"]["low"] < 3 / 5 < found["AC@1"]["high"] <= 1
    assert found == rankings.ranking_scores([(ranked, causes) for ranked, causes, _ in CASES])


def test_counting_ranks(rankings):
    log = EventLog.from_sequences([EventSequence(tuple("abxcabxcdddd"))] * 3)
    ranks = rankings.CountingRanks(log, max_lag=2)
    events = list("dabxab")
    assert ranks.recency(events, "x").tolist() == [0, 1, 2, 3, 4, 5]
    assert ranks.frequency(events, "x").tolist() == [1, 2, 2, 1, 2, 2]
    lift = ranks.pair("lift", events, "x")
    assert lift[1] > 1
    assert lift[0] < 1
    assert ranks.pagerank(events, "x")[2] > 0
    assert ranks.pagerank(events, "unheard of").tolist() == [0] * 6
    assert ranks.pair("lift", ["unheard of"], "x").tolist() == [1]
    assert list(ranks.all) == ["recency", "frequency", "lift", "onset", "hawkes", "co-occurrence PageRank"]
