import numpy as np
import pytest

from hf_trace.discovery.pair_graphs import instance_graph, summary_graph
from hf_trace.discovery.population.frequencies import wilson_interval
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.errors import SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.sequence import EventSequence

MARGIN = parse_threshold("margin:0.1")


def scores(*pairs: tuple[int, int, float, float]) -> PairScores:
    columns = np.array(pairs, dtype=float).reshape(-1, 4).T
    return PairScores(columns[0].astype(int), columns[1].astype(int), columns[2], columns[3], np.zeros(len(pairs)))


SEQUENCE = EventSequence(("a", "b", "a", "b", "b"), (0.0, 1.0, 4.0, 4.5, 9.0), "x")
SCORED = scores((0, 1, 0.5, 0.3), (0, 3, 0.05, 0.1), (2, 3, 0.2, 0.2), (1, 2, 0.3, -0.4), (3, 4, 0.9, 0.5))


def test_instance_edges_are_the_pairs_above_the_threshold():
    graph = instance_graph(SEQUENCE, SCORED, MARGIN)
    assert [(edge["cause_position"], edge["effect_position"]) for edge in graph.edges] == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
    ]
    first = graph.edges[0]
    assert (first["cause"], first["effect"], first["lag"], first["lag_seconds"]) == ("a", "b", 1, 1.0)
    assert [edge["direction"] for edge in graph.edges] == ["excites", "inhibits", "excites", "excites"]


def test_a_score_equal_to_the_threshold_is_no_edge():
    graph = instance_graph(SEQUENCE, scores((0, 1, 0.1, 0.3)), MARGIN)
    assert graph.edges == ()


def test_the_summary_merges_positions_and_drops_self_loops():
    graph = summary_graph(instance_graph(SEQUENCE, SCORED, MARGIN))
    assert [(edge["cause"], edge["effect"], edge["support"], edge["cmi"], edge["lags"]) for edge in graph.edges] == [
        ("a", "b", 2, 0.5, [1]),
        ("b", "a", 1, 0.3, [1]),
    ]
    assert len(summary_graph(instance_graph(SEQUENCE, SCORED, MARGIN), self_loops=True).edges) == 3


def test_the_summary_has_quantiles_of_its_delays_which_have_heavy_tails():
    times = (0.0, 38.0, 100.0, 138.0, 200.0, 80_200.0)
    pairs = scores((0, 1, 0.5, 0.3), (2, 3, 0.5, 0.3), (4, 5, 0.5, 0.3))
    instance = instance_graph(EventSequence(("a", "b") * 3, times, "x"), pairs, MARGIN)
    assert summary_graph(instance).edges[0]["lag_seconds_quantiles"] == {"0.1": 38.0, "0.5": 38.0, "0.9": 80_000.0}
    untimed = instance_graph(EventSequence(("a", "b") * 3), pairs, MARGIN)
    assert "lag_seconds_quantiles" not in summary_graph(untimed).edges[0]


def pooled(*added: tuple[EventSequence, PairScores], self_loops: bool = False) -> PopulationPool:
    pool = PopulationPool(MARGIN, self_loops=self_loops)
    for sequence, pairs in added:
        pool.add(sequence, pairs)
    return pool


def test_the_population_counts_sequences_not_pairs():
    other = EventSequence(("a", "b"), (0.0, 3.0), "y")
    pool = pooled((SEQUENCE, SCORED), (other, scores((0, 1, 0.02, 0.1))), (other, scores((0, 1, 0.4, 0.1))))
    graph = pool.graph(min_frequency=0.0)
    edge = next(edge for edge in graph.edges if edge["cause"] == "a")
    assert (edge["effect"], edge["support"], edge["frequency"]) == ("b", 3, pytest.approx(2 / 3))
    assert edge["cmi"] == pytest.approx((0.5 + 0.05 + 0.2 + 0.02 + 0.4) / 5)
    assert edge["edge_cmi"] == pytest.approx((0.5 + 0.2 + 0.4) / 3)
    assert edge["lag_seconds"] == pytest.approx((1.0 + 0.5 + 3.0) / 3)
    assert edge["lag_counts"] == {"1": 3}
    assert graph.metadata["sequences"] == 3
    assert graph.metadata["scores"]["matrix"][0][1] == pytest.approx(edge["cmi"])
    assert {(edge["cause"], edge["effect"]) for edge in graph.edges} == {("a", "b")}  # b -> a has support 1


def test_pooling_in_parts_changes_nothing(monkeypatch):
    from hf_trace.discovery.population import pool as population

    whole = pooled(*[(SEQUENCE, SCORED)] * 6).graph()
    monkeypatch.setattr(population, "_PAIRS_HELD", 3)
    parts = pooled(*[(SEQUENCE, SCORED)] * 6).graph()
    assert whole.to_dict() == parts.to_dict()


def test_an_empty_pool_is_an_empty_graph():
    assert PopulationPool(MARGIN).graph() == CausalGraph(
        "population", (), (), {"sequences": 0, "scores": {"events": [], "matrix": []}}
    )


def test_wilson_interval_by_hand():
    """5 of 20: centre (0.25 + 1.9208/20) / (1 + 3.8416/20), spread from the same formula."""
    low, high = wilson_interval([5], [20])
    weight = 3.8416 / 20
    spread = (weight * 0.25 * 0.75 + weight**2 / 4) ** 0.5
    assert low[0] == pytest.approx((0.25 + weight / 2 - spread) / (1 + weight))
    assert high[0] == pytest.approx((0.25 + weight / 2 + spread) / (1 + weight))
    assert wilson_interval(10, 10)[1] == 1.0


@pytest.mark.parametrize("spec", ["margin", "margin:x", "margin:-1", "nonsense:0.1", "margin:nan", ""])
def test_thresholds_that_mean_nothing_are_refused(spec):
    with pytest.raises(SettingsError, match=r"expected a kind and a value >= 0 such as 'margin:0.05'"):
        parse_threshold(spec)
