"""Strengths of all pairs with their errors: what graphs keep, and what the errors are."""

import numpy as np
import pytest

from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.errors import GraphFormatError
from hf_trace.graphs.counted_graphs import CountingSettings, counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.hawkes import fit_hawkes
from hf_trace.graphs.onsets import onset_counts, onset_errors
from hf_trace.graphs.places_of_edges import fold_places
from hf_trace.graphs.score_tables import score_table, table_of
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence


def test_errors_are_left_out_where_none_is_known():
    assert "errors" not in score_table(["a"], np.ones((1, 1)), np.full((1, 1), np.nan))
    assert score_table(["a"], np.ones((1, 1)))["matrix"] == [[1.0]]


def test_a_table_that_does_not_fit_its_events_is_refused():
    with pytest.raises(GraphFormatError) as caught:
        table_of({"events": ["a", "b"], "matrix": [[1.0]]}, "matrix", ["a"])
    assert str(caught.value) == "`matrix` of the scores of a graph is no table of 2 by 2 numbers."


def test_a_pool_knows_the_error_of_each_mean():
    """Three sequences with 1, 1 and 2 tested pairs: means .1, .3, .4 a pair, so R = 1.2/4 = .3."""
    pool = PopulationPool(parse_threshold("margin:0.05"))
    for values in ([0.1], [0.3], [0.5, 0.3]):
        events = ("a", *("b" for _ in values))
        zeros, places = np.zeros(len(values), dtype=np.int64), np.arange(1, len(values) + 1)
        pool.add(EventSequence(events), PairScores(zeros, places, np.array(values), np.array(values), 0.0 * places))
    scores = pool.graph(min_frequency=0.0).metadata["scores"]
    # Residuals A - R n: .1 - .3, .3 - .3, .8 - .6.
    expected = np.sqrt(3 / 2 * (0.2**2 + 0.0 + 0.2**2)) / 4
    assert scores["matrix"][0][1] == pytest.approx(0.3)
    assert scores["errors"][0][1] == pytest.approx(expected, rel=1e-3)
    assert scores["errors"][1][0] is None


def test_errors_of_onsets_are_those_of_leaving_sequences_out():
    """Of eight sequences a b and b a in turn; by hand as the doctest has it, for eight."""
    sequences = [EventSequence(tuple(("ab", "ba")[number % 2]), (0.0, 1.0), str(number)) for number in range(8)]
    log = EventLog.from_sequences(sequences)
    counts = onset_counts(log, horizon=1.0)

    def score(begins, before, events):
        return begins / events * (begins + 1) / (begins + before + 2)

    left = np.array([score(3, 4, 7), score(4, 3, 7)] * 4)
    jackknife = np.sqrt(7 / 8 * ((left - left.mean()) ** 2).sum())
    assert onset_errors(log, counts)[0, 1] == pytest.approx(max(jackknife, counts.errors()[0, 1]))


def test_bursts_err_more_than_independent_events():
    """In half of the sequences all of ten a bring a b, in the others none does."""
    times = tuple(float(10 * number) for number in range(10))
    with_b = tuple(np.sort([*times, *(time + 1 for time in times)]).tolist())
    sequences = [
        EventSequence(("a", "b") * 10, with_b, str(number))
        if number % 2
        else EventSequence(("a",) * 10, times, str(number))
        for number in range(20)
    ]
    log = EventLog.from_sequences(sequences)
    counts = onset_counts(log, horizon=2.0)
    assert onset_errors(log, counts)[0, 1] > 2 * counts.errors()[0, 1]
    assert onset_errors(log.select([0, 1, 2]), counts)[0, 1] == counts.errors()[0, 1]


def test_counted_graphs_hold_errors_of_the_methods_that_know_them():
    log = EventLog.from_sequences([EventSequence(("a", "b"), (0.0, 1.0), str(number)) for number in range(6)])
    made = CountingSettings(horizon=2.0)
    errors = {
        name: counted_graph(log, name, made if name in ("onset", "hawkes") else None).metadata["scores"].get("errors")
        for name in ("onset", "hawkes", "bigram", "lift")
    }
    assert errors["bigram"] is errors["lift"] is None
    fit = fit_hawkes(log, horizon=2.0)
    assert errors["hawkes"][0][1] == pytest.approx(np.sqrt(fit.weights[0, 1] * 6 + 1) / 6, rel=1e-3)
    assert min(min(row) for row in errors["onset"]) > 0


def test_errors_of_own_and_near_causes_are_joined_as_their_strengths_are():
    names = ("a", "b", "<near:a>")
    tables = np.array([[0, 0.1, 0], [0, 0, 0], [0, 0.3, 0]]), np.array([[0, 0.01, 0], [0, 0, 0], [0, 0.02, 0]])
    graph = CausalGraph("population", names, (), {"scores": score_table(names, *tables)})
    stronger = fold_places(graph).metadata["scores"]
    assert stronger["errors"][0][1] == 0.02
    weighed = fold_places(graph, occurrences={"a": 1.0, "b": 5.0, "<near:a>": 3.0}).metadata["scores"]
    assert weighed["errors"][0][1] == pytest.approx(np.hypot(1 * 0.01, 3 * 0.02) / 4, rel=1e-3)


def test_errors_survive_a_file(tmp_path):
    graph = CausalGraph("population", ("a", "b"), (), {"scores": score_table(["a", "b"], np.eye(2), np.eye(2) / 3)})
    graph.save(tmp_path / "graph.json")
    assert CausalGraph.load(tmp_path / "graph.json").metadata["scores"]["errors"][0][0] == 0.3333
