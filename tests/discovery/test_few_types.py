"""Total effects where few types can be forced: what has nothing to be compared with is no edge, and that is said."""

import numpy as np
import pytest
import torch
from transformers import pipeline

from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.discovery.total_effects import (
    TOTAL_STATISTICS,
    Horizon,
    TotalEffects,
    divergence_error,
    total_effects,
    total_graph,
)
from hf_trace.errors import SettingsError
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.walks import Slots
from hf_trace.runs.simulated_worlds import simulate_folder
from hf_trace.runs.world_model import WorldModel
from hf_trace.worlds.world import World, WorldSpec

RECORDS = [{"events": ["e0", "e1"] * 4}, {"events": ["e1", "e0", "e0"] * 2}]
ASKED = {"effect": "total", "level": "population", "num_contexts": 8, "horizon": "2", "threshold": "fixed:-9"}


def few(types, ends=()):
    """Effects in a world in which the first type brings the last, some of whose types end a sequence."""
    model = WorldModel.of(World(WorldSpec(types=types, memory=1, edges=((0, types - 1, 2.5),), length=6)))
    slots = Slots(
        torch.arange(4, 4 + types), torch.empty(0, dtype=torch.long), torch.empty(0, 2), torch.tensor(ends).long()
    )
    return total_effects(Oracle(model), [np.array([1, 4])] * 20, slots, Horizon(2), seed=0)


def edges(found, statistic, **more):
    names = [f"e{number}" for number in range(len(found.risk))]
    graph = total_graph(found, names, parse_threshold("fixed:-9"), statistic=statistic, **more)
    return {(edge["cause"], edge["effect"]) for edge in graph.edges}


@pytest.mark.parametrize("statistic", ["kl_to_mixture", "probability_gain", "log_ratio"])
def test_of_two_types_each_is_compared_with_itself_alone(statistic):
    found = few(2)
    assert np.isnan(found.baseline).tolist() == [[False, True], [True, False]]
    assert np.isfinite(found.risk).all()
    assert edges(found, statistic) == set()
    assert edges(found, statistic, self_loops=True) == {("e0", "e0"), ("e1", "e1")}
    assert np.isfinite(TOTAL_STATISTICS[statistic](few(3))).all()


def test_the_risk_alone_needs_no_comparison():
    assert edges(few(2), "risk") == {("e0", "e1"), ("e1", "e0")}


@pytest.mark.parametrize("statistic", TOTAL_STATISTICS)
def test_a_label_is_an_effect_of_two_types_and_no_cause(statistic):
    found = few(3, ends=[2])
    assert np.isnan(found.risk).all(1).tolist() == [False, False, True]
    between = {("e0", "e1"), ("e1", "e0")} if statistic == "risk" else set()
    assert edges(found, statistic) == {("e0", "e2"), ("e1", "e2")} | between
    assert found.gain[0, 2] == pytest.approx(found.risk[0, 2] - found.risk[1, 2])


def test_one_type_and_a_label_have_nothing_to_compare_with():
    found = few(2, ends=[1])
    assert np.isnan(found.baseline[0]).all()
    assert edges(found, "kl_to_mixture", self_loops=True) == set()


def test_the_most_likely_share_is_of_pairs_that_have_a_score():
    names, found = ["e0", "e1", "e2"], few(3, ends=[2])
    graph = total_graph(found, names, parse_threshold("quantile:0.7"))
    assert len(graph.edges) == 1  # of four: two types after themselves, and the label after each
    assert graph.edges[0]["effect"] == "e2"


def test_certain_and_impossible_effects_have_finite_scores():
    sure, never = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    for found, expected in [
        (TotalEffects(sure, sure, np.zeros((2, 2)), 5), {"kl_to_mixture": 0.0, "log_ratio": 0.0}),
        # p ln(p / r) with r = 1e-9 is 9 ln 10, and so with 1 - p; ln of a risk of 1e-9 over 1 is -9 ln 10.
        (
            TotalEffects(sure, never, np.zeros((2, 2)), 5),
            {"kl_to_mixture": 9 * np.log(10), "log_ratio": 9 * np.log(10)},
        ),
    ]:
        for statistic, value in expected.items():
            scores = TOTAL_STATISTICS[statistic](found)
            assert np.abs(scores[1]) == pytest.approx([value, value], rel=1e-6, abs=1e-12)
            assert not scores[0].any()
        assert not divergence_error(found).any()


@pytest.fixture(scope="module")
def discover(tmp_path_factory):
    """By number of types, the exact oracle of a small world."""
    folder = tmp_path_factory.mktemp("few")

    def of(types):
        place = folder / str(types)
        if not place.exists():
            simulate_folder(WorldSpec(types=types, memory=1, edges=((0, 1, 2.0),), length=6), place, sequences=20)
        return pipeline("causal-discovery", model=str(place / "oracle"))

    return of


def test_two_types_are_refused_with_the_remedy(discover):
    two = discover(2)
    with pytest.raises(SettingsError) as caught:
        two(RECORDS, **ASKED)
    assert str(caught.value) == (
        "Total effects compare what follows an event type with what follows the others, leaving out the effect, and "
        "the model can force 'e0', 'e1' alone, expected at least 3 types. Use direct effects, or the statistic "
        "'risk', which compares with nothing."
    )
    found = two(RECORDS, **ASKED, statistic="risk")
    assert {(edge["cause"], edge["effect"]) for edge in found["edges"]} == {("e0", "e1"), ("e1", "e0")}
    assert all(edge["baseline_risk"] is None for edge in found["graph"]["edges"])


def test_types_after_themselves_are_compared_and_the_rest_is_named(discover, caplog):
    found = discover(2)(RECORDS, **ASKED, self_loops=True)
    assert {(edge["cause"], edge["effect"]) for edge in found["edges"]} == {("e0", "e0"), ("e1", "e1")}
    assert found["graph"]["metadata"]["scores"]["matrix"][0][1] is None
    assert "Between 'e0', 'e1' there is no third type to compare with" in caplog.text


def test_three_types_need_no_word(discover, caplog):
    found = discover(3)(RECORDS, **ASKED)
    assert len(found["edges"]) == 6
    assert not caplog.records
