"""Tables of the recipe by-type, by hand; what it averages, against the package itself."""

import sys

import numpy as np
import pytest
from tests.recipes.conftest import RECIPES

from hf_trace.discovery.by_type.by_type_run import by_type_effects
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs.event_model import EventModel
from hf_trace.worlds.simulator import replacement_scores
from hf_trace.worlds.world import World, WorldSpec


@pytest.fixture(scope="module")
def module(recipe):
    sys.path.insert(0, str(RECIPES))
    yield lambda name: recipe("by-type", name)
    sys.path.remove(str(RECIPES))


def test_values_have_the_scores_of_their_variable(module):
    log = EventLog.from_sequences([EventSequence(("p=0", "q=1", "p=1", "r"))])
    scores = {"events": ["q", "p"], "matrix": [[0, 0.2], [0.7, 0]]}
    graph = CausalGraph.from_edges([("p", "q")], events=["q", "p"]).with_metadata(scores=scores)
    owners = ["p", "p", "q", "r"]  # of p=0, p=1, q=1, r
    by_type = module("known_graph").by_type
    assert by_type(log, graph, None, owners)[:, 2].tolist() == [0.7, 0.7, 0, 0]
    assert by_type(log, graph, graph.adjacency(), owners).astype(int).tolist() == [
        [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_run):
    return EventModel.load(tiny_run)


def test_one_oracle_averaged_is_that_oracle(module, model, tiny_log):
    methods = module("graph_methods")
    windows = model.windows(tiny_log).log.select(range(4))
    found = methods.averaged(model, [model.oracle], windows, np.ones((1, 4), dtype=bool), methods.BY_TYPE)
    expected = by_type_effects(model, list(windows), methods.BY_TYPE)
    assert found.pairs.to_numpy() == pytest.approx(expected.pairs.to_numpy(), nan_ok=True)


def test_a_window_counts_once_whoever_scores_it(module, model, tiny_log):
    methods = module("graph_methods")
    windows = model.windows(tiny_log).log.select(range(3))
    scored = np.array([[True, True, False], [True, False, False]])
    found = methods.averaged(model, [model.oracle] * 2, windows, scored, methods.BY_TYPE)
    expected = by_type_effects(model, list(windows.select(range(2))), methods.BY_TYPE)
    assert found.occurrences.tolist() == expected.occurrences.tolist()
    assert found.pairs["gain"].to_numpy() == pytest.approx(expected.pairs["gain"].to_numpy())


def test_true_effects_stand_where_their_pairs_do(module):
    exact = module("exact_worlds")
    world = World(WorldSpec(types=3, sparsity=0.0))
    codes = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 2])
    near = exact.Near(codes[None], 3)
    effects = replacement_scores(world, codes, num_samples=2, seed=0)
    found = dict(zip(zip(*near.pairs, strict=True), near.mean(exact.effects_in_order(effects)), strict=True))
    # Causes from position 6 on: types 0, 1, 2, 2; of type 0 is 1 the next, and 2 the two after that.
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    assert found[0, 1] == effects[6, 0]
    assert found[0, 2] == pytest.approx((effects[6, 1] + effects[6, 2]) / 2)


def test_tables(module):
    by_type = module("by_type")
    row = {"log": "a", "method": "lift", "auroc": 0.5, "base_rate": 0.25, "predict_all_f1": 0.4}
    text = by_type.crossed([row, row | {"log": "b", "auroc": 1.0}], lambda each: by_type.dotless(each["auroc"]))
    assert text.splitlines()[2:] == [
        "| lift | .500 | 1.000 |",
        "| base rate | .250 | .250 |",
        "| every pair: F1 | .400 | .400 |",
    ]
    assert module("graph_methods").false_share({"precision": 0.75, "edges": 4}) == 0.25
    assert module("graph_methods").false_share({"precision": 0.0, "edges": 0}) is None
