"""All methods of counting: what they share, their graphs, and what is refused."""

import json

import numpy as np
import pytest

from hf_trace.errors import SettingsError, TimestampError
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings, baseline_tables, counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import evaluate_graph
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.logs.log import EventLog
from hf_trace.logs.places.topology import Topology
from hf_trace.logs.sequence import EventSequence


def log_of(*sequences):
    return EventLog.from_sequences(
        EventSequence(tuple(events), None if times is None else tuple(map(float, times)), str(number))
        for number, (events, times) in enumerate(sequences)
    )


def pairs_in_bursts(count=30, gap=100.0):
    """b one second after every a, and c alone."""
    times = np.sort([start + step for start in np.arange(count) * gap for step in (0.0, 1.0, 50.0)])
    return log_of(("abc" * count, times))


@pytest.mark.parametrize("name", BASELINES)
def test_empty_log(name):
    log = EventLog(("a", "b"), np.array([], np.int32), np.array([0]), None, ())
    found = BASELINES[name](log, CountingSettings(4)).scores
    assert found.shape == (2, 2)
    assert np.unique(found).tolist() == [1.0 if name == "lift" else 0.0]


@pytest.mark.parametrize("name", BASELINES)
def test_sequences_do_not_touch(name):
    apart, together = log_of(("a", None), ("b", None)), log_of(("ab", None))
    found = [BASELINES[name](log, CountingSettings(4)).scores[0, 1] for log in (apart, together)]
    assert found[1] > found[0]


@pytest.mark.parametrize("method", BASELINES)
def test_graph_of_each_method(method):
    graph = counted_graph(pairs_in_bursts(), method, CountingSettings(max_lag=1))
    assert ("a", "b") in {(edge["cause"], edge["effect"]) for edge in graph.edges}
    assert graph.level == "population"
    assert graph.metadata["settings"]["method"] == method
    assert graph.metadata["settings"]["edges"] == "own"
    matrix = np.array(graph.metadata["scores"]["matrix"])
    assert [edge["cmi"] for edge in graph.edges] == [
        matrix["abc".index(edge["cause"]), "abc".index(edge["effect"])] for edge in graph.edges
    ]
    assert graph.metadata["baselines"][method] == matrix.tolist()


@pytest.mark.parametrize("method", ["onset", "hawkes"])
def test_only_what_follows_in_time_is_an_edge(method):
    graph = counted_graph(pairs_in_bursts(), method)
    assert graph.metadata["settings"]["horizon_seconds"] == pytest.approx(0.2 * (29 * 100 + 50) / 89)
    assert [(edge["cause"], edge["effect"]) for edge in graph.edges] == [("a", "b")]
    edge = graph.edges[0]
    if method == "onset":
        assert (edge["confidence"], edge["begins"], edge["before"]) == (1.0, 30, 0)
        assert edge["cmi"] == pytest.approx(31 / 32)
    else:
        assert edge["cmi"] == pytest.approx(1.0, abs=0.01)
        assert edge["nats"] > 50


def test_evaluate_ranks_all_pairs_of_a_counted_graph():
    truth = CausalGraph.from_edges([("a", "b")], events=("a", "b", "c"))
    found = evaluate_graph(counted_graph(pairs_in_bursts()), truth)
    assert (found.ranked_by, found.scores.auroc, found.scores.f1) == ("scores", 1.0, 1.0)
    assert list(found.baselines) == ["bigram", "cooccurrence", "lift", "onset", "hawkes"]


def test_thresholds_and_numbers_of_edges():
    log = log_of(("aab", (0, 1, 2)), ("b", (0,)))
    settings = CountingSettings(horizon=1.0)
    assert [edge["effect"] for edge in counted_graph(log, settings=settings, top=1).edges] == ["b"]
    looped = counted_graph(log, settings=settings, threshold=0.2, self_loops=True)  # a -> a: 1/2 * 2/4
    assert [(edge["cause"], edge["effect"]) for edge in looped.edges] == [("a", "a"), ("a", "b")]
    assert len(counted_graph(log, settings=settings, top=99).edges) == 1  # b -> a never happens


def test_tables_are_in_the_order_of_the_graph_and_0_for_what_the_log_lacks():
    tables = baseline_tables(log_of(("ab", (0, 1))), ["x", "b", "a"], CountingSettings(horizon=2.0))
    assert tables["onset"] == [[0, 0, 0], [0, 0, 0], [0, pytest.approx(2 / 3), 0]]
    json.dumps(tables)


def test_no_tables_of_too_many_types_nor_of_what_takes_too_much(monkeypatch):
    log = log_of(("abab", (0, 1, 2, 3)))
    monkeypatch.setattr("hf_trace.graphs.hawkes._MOST_ENTRIES", 1)
    assert list(baseline_tables(log, ["a", "b"], CountingSettings(horizon=9.0))) == [
        "bigram",
        "cooccurrence",
        "lift",
        "onset",
    ]
    monkeypatch.setattr("hf_trace.graphs.counted_graphs.MOST_SCORED_TYPES", 1)
    assert baseline_tables(log, ["a", "b"], CountingSettings()) == {}
    assert set(counted_graph(log).metadata) == {"settings", "strength", "question"}


def test_the_suggested_horizon_is_a_fifth_of_the_mean_gap():
    log = log_of(("ab", (0, 10)), ("abc", (100, 100, 130)), ("a", (7,)))
    assert suggested_horizon(log, positions=16) == pytest.approx(0.2 * 40 / 3)
    assert suggested_horizon(log_of(("ab", None)), positions=16) == 16.0


def test_edges_may_run_between_neighbours():
    log = log_of(("a" * 30, np.arange(30) * 100), ("b" * 30, np.arange(30) * 100 + 1), ("c" * 30, np.arange(30) * 100))
    joined = CountingSettings(topology=Topology(np.array([[0, 1]]), 3))
    for method in ("onset", "hawkes"):
        graph = counted_graph(log, method, joined)
        assert [(edge["cause"], edge["effect"]) for edge in graph.edges] == [("a", "b")]
        assert graph.metadata["settings"]["joined"] == 1
        assert not counted_graph(log, method).edges


TOPOLOGY = Topology(np.array([[0, 1]]), 2)


@pytest.mark.parametrize(
    ("sequences", "method", "settings", "options", "error", "message"),
    [
        (
            [("ab", (0, 1))], "onsets", {}, {}, SettingsError,
            "method is 'onsets', expected one of: bigram, cooccurrence, lift, onset, hawkes. Did you mean 'onset'?",
        ),
        (
            [("ab", (0, 1))], "lift", {"horizon": 3.0}, {}, SettingsError,
            "A horizon is given, and 'lift' counts by order alone. Leave it out, or choose the method onset or hawkes.",
        ),
        (
            [("ab", (1, 1)), ("a", (0,))], "onset", {}, {}, SettingsError,
            "No event of this log follows another one of its sequence at a later time, so that there is no horizon. "
            "Name a case column that joins events, the column of a finer time, or a horizon in seconds.",
        ),
        (
            [("ab", None)], "onset", {"horizon": 60.0}, {}, SettingsError,
            "The horizon is 60 seconds and the log has no times. Name the time column, or leave the horizon out and "
            "say with max_lag how many events ahead to look.",
        ),
        (
            [("a", None), ("b", None)], "hawkes", {"topology": TOPOLOGY}, {}, TimestampError,
            "The log has no times, expected some with a topology: they say in which order events of neighbours "
            "happened. Name the time column, or leave the topology out.",
        ),
        (
            [("ab", (0, 1))], "onset", {}, {"top": 1, "threshold": 0.1}, SettingsError,
            "A threshold and a number of edges (top) are given, expected one of them.",
        ),
        ([("ab", (0, 1))], "onset", {}, {"top": 0}, SettingsError, "top is 0, expected a whole number of at least 1."),
    ],
)  # fmt: skip
def test_refusals(sequences, method, settings, options, error, message):
    with pytest.raises(error) as caught:
        counted_graph(log_of(*sequences), method, CountingSettings(**settings), **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("horizon", [0.0, -1.0, float("nan"), float("inf")])
def test_horizons_are_numbers_above_0(horizon):
    with pytest.raises(SettingsError, match="expected a number of seconds above 0"):
        CountingSettings(horizon=horizon)
