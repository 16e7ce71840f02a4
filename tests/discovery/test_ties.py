"""Events at the same time: no order is invented, whatever the source lists first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exact_lm import Rule, rule_lm

from hf_trace.discovery.pair_graphs import instance_graph, summary_graph
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.population.pool_files import load_pool, save_pool
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.ties import in_both_orders, longest_tie, reversed_ties, tie_numbers
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EventSequence

MARGIN = parse_threshold("margin:0.1")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_turning_ties_twice_changes_nothing(steps):
    times = tuple(np.cumsum(np.array(steps) % 2).astype(float).tolist())
    sequence = EventSequence(tuple(f"e{step}{n}" for n, step in enumerate(steps)), times)
    other, positions = reversed_ties(sequence)
    assert [sequence.events[position] for position in positions] == list(other.events)
    assert reversed_ties(other)[0] == sequence
    # Every pair of a tie changes its order, no other pair does.
    place = np.argsort(positions)
    ties = tie_numbers(sequence)
    for first in range(len(sequence)):
        for second in range(first + 1, len(sequence)):
            assert (place[first] > place[second]) == (ties[first] == ties[second])


def test_without_times_nothing_is_tied():
    sequence = EventSequence(("a", "b"))
    assert (longest_tie(sequence), reversed_ties(sequence)[0]) == (1, sequence)


def scores(*pairs):
    """Pairs of (cause, effect, cmi)."""
    columns = np.array(pairs, dtype=float).reshape(-1, 3).T
    error = np.full(len(pairs), 0.03)
    return PairScores(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[2], error)


SEQUENCE = EventSequence(("a", "b", "c"), (0.0, 0.0, 1.0), "x")


def tied(listed, other, *, sequence=SEQUENCE):
    return in_both_orders(sequence, listed, other, reversed_ties(sequence)[1])


def test_a_pair_of_a_tie_has_the_mean_of_both_orders():
    found = tied(scores((0, 1, 0.5), (0, 2, 0.3), (1, 2, 0.2)), scores((0, 1, 0.1)))
    assert found.cmi.tolist() == pytest.approx([0.3, 0.3, 0.2])
    assert found.tied.tolist() == [True, False, False]
    assert found.order_difference[0] == pytest.approx(0.4)
    assert found.order_error[0] == pytest.approx(0.03 * 2**0.5)
    assert found.standard_error.tolist() == pytest.approx([0.03 / 2**0.5, 0.03, 0.03])
    # The same events, listed the other way round: the same but for the sign of the difference.
    turned = EventSequence(("b", "a", "c"), (0.0, 0.0, 1.0), "x")
    again = tied(scores((0, 1, 0.1), (0, 2, 0.2), (1, 2, 0.3)), scores((0, 1, 0.5)), sequence=turned)
    assert again.cmi[0] == pytest.approx(found.cmi[0])
    assert again.order_difference[0] == pytest.approx(-0.4)


def test_its_instance_edge_is_undirected_and_says_what_speaks_for_an_order():
    found = tied(scores((0, 1, 0.5), (0, 2, 0.3), (1, 2, 0.05)), scores((0, 1, 0.1)))
    first, second = instance_graph(SEQUENCE, found, MARGIN).edges
    assert (first["undirected"], first["order_difference"]) == (True, pytest.approx(0.4))
    assert "undirected" not in second
    summary = summary_graph(instance_graph(SEQUENCE, found, MARGIN))
    assert [edge.get("undirected", False) for edge in summary.edges] == [True, False]


def pool_of(*found):
    pool = PopulationPool(MARGIN, keep_sequences=True)
    for sequence, each in found:
        pool.add(sequence, each)
    return pool


APART = EventSequence(("a", "b"), (0.0, 1.0))
TOGETHER = EventSequence(("b", "a"), (0.0, 0.0))


def test_edges_within_ties_alone_have_no_direction(tmp_path):
    pool = pool_of(*[(TOGETHER, tied(scores((0, 1, 0.5)), scores((0, 1, 0.1)), sequence=TOGETHER))] * 6)
    (edge,) = pool.graph(min_frequency=0.2, resamples=5).edges
    assert (edge["undirected"], edge["tied_share"], edge["support"], edge["frequency"]) == (True, 1.0, 6, 1.0)
    assert edge["cmi"] == pytest.approx(0.3)
    # b is listed first and its order has the larger cmi.
    assert edge["order_difference"] * (1 if edge["cause"] == "b" else -1) == pytest.approx(0.4)
    save_pool(pool.state(), {}, tmp_path / "pool.zip")
    again = PopulationPool.from_state(MARGIN, load_pool(tmp_path / "pool.zip")[0])
    assert again.graph().to_dict() == pool.graph().to_dict()


def test_what_happened_at_different_times_gives_the_direction():
    within = (TOGETHER, tied(scores((0, 1, 0.5)), scores((0, 1, 0.1)), sequence=TOGETHER))
    between = (APART, tied(scores((0, 1, 0.6)), scores(), sequence=APART))
    (edge,) = pool_of(*[within] * 6, *[between] * 2).graph(min_frequency=0.1).edges
    assert (edge["cause"], edge["effect"], "undirected" in edge) == ("a", "b", False)
    assert edge["tied_share"] == pytest.approx(6 / 8)
    assert edge["order_difference"] == pytest.approx(-0.4)
    assert edge["cmi"] == pytest.approx(0.6)


def test_the_listed_order_decides_nothing():
    """An exact oracle, and a sequence whose ties are listed in all ways: the same graph of types."""
    from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
    from hf_trace.tokenizers.event_tokenizer import EventTokenizer

    tokenizer = EventTokenizer.from_event_types(["a", "b", "c", "z"])
    a, b, c, filler = tokenizer.event_ids.tolist()
    model = rule_lm([a, b, c], filler, [Rule(a, b, 1, 0.5), Rule(b, c, 2, 0.3)])
    discover = CausalDiscoveryPipeline(model=model, tokenizer=tokenizer)
    options = {"ties": "both", "proposal": "exhaustive", "level": "population", "min_support": 1}
    times = [0.0, 0.0, 1.0, 2.0, 2.0, 3.0]
    listed = [("a", "b", "z", "b", "z", "c"), ("b", "a", "z", "b", "z", "c"), ("b", "a", "z", "z", "b", "c")]
    graphs = [discover([{"events": events, "timestamps": times}] * 4, **options)["edges"] for events in listed[:2]]
    found = [[e for e in edges if {e["cause"], e["effect"]} == {"a", "b"}] for edges in graphs]
    assert found[0][0]["undirected"]
    assert found[0][0]["cmi"] == pytest.approx(found[1][0]["cmi"], abs=1e-6)


def test_total_effects_are_refused():
    with pytest.raises(SettingsError, match="only direct effects are scored in both orders"):
        DiscoverySettings(ties="both", effect="total", statistic="risk")
    with pytest.raises(SettingsError, match="ties is 'none', expected one of: listed, both"):
        DiscoverySettings(ties="none")
