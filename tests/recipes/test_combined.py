"""The recipe combined: random worlds, what is kept of them, and the classifier that learns from them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.recipes.conftest import RECIPES

from hf_trace.discovery.results import log_result
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import sampled_sequences
from hf_trace.runs.edge_model import shipped_edge_model
from hf_trace.runs.event_model import EventModel

# Seeds of small worlds, by their kind.
SINGLE, PLACES, SIGNALS = 56, 43, 2


@pytest.fixture(scope="module")
def module(recipe):
    sys.path.insert(0, str(RECIPES))
    yield lambda name: recipe("combined", name)
    sys.path.remove(str(RECIPES))


@pytest.fixture(scope="module")
def evidence(module, tiny_run, tiny_log):
    log = module("labelled_logs").LabelledLog("rule", tiny_log, {tuple(tiny_log.event_types[:2]): np.nan})
    return module("log_evidence").evidence_of(log, EventModel.load(tiny_run), 5)


def test_a_seed_gives_one_log(module):
    worlds = module("random_worlds")
    for draw, seed in ((worlds.random_world, SINGLE), (worlds.random_signals, SIGNALS)):
        one, again = draw(seed), draw(seed)
        assert one.log.to_records() == again.log.to_records()
        assert one.edges == again.edges
        assert one.truth.any()
        assert one.network is None


def test_places_come_with_their_network(module):
    found = module("random_worlds").random_world(PLACES)
    assert found.kind == "places"
    assert set(found.log.ids) <= set(found.network.places)


def test_edges_of_values_are_of_their_variables(module):
    log = EventLog.from_sequences([EventSequence(("p=0", "q=1", "p=1", "r"))])
    edges = dict.fromkeys([("p=0", "q=1"), ("p=0", "p=1"), ("r", "p"), ("q=1", "never")], np.nan)
    labelled = module("labelled_logs").LabelledLog("by hand", log, edges, variable=("*=*",))
    assert labelled.counted.event_types == ("p", "q", "r")
    assert [labelled.counted.event_types[code] for code in labelled.counted.codes] == ["p", "q", "p", "r"]
    assert np.argwhere(labelled.truth).tolist() == [[0, 1], [2, 0]]
    by_value = replace(labelled, variable=())
    assert by_value.counted.event_types == ("p=0", "p=1", "q=1", "r")
    assert np.argwhere(by_value.truth).tolist() == [[0, 1], [0, 2]]
    assert (labelled.follows == labelled.truth).all()  # no weights are known


def test_what_follows_is_summed_over_all_ways(module):
    log = EventLog.from_sequences([EventSequence(("a", "b", "c", "d", "v=0", "v=1"))])
    edges = {("a", "b"): 0.5, ("b", "c"): 0.3, ("a", "c"): 0.0, ("c", "d"): 0.5, ("v=0", "d"): 0.15, ("d", "a"): 0.2}
    labelled = module("labelled_logs").LabelledLog("by hand", log, edges, variable=("v=*",))
    assert labelled.counted.event_types == ("a", "b", "c", "d", "v")
    follows = {tuple(pair) for pair in np.argwhere(labelled.follows).tolist()}
    # a -> b -> c .15, to d .075; b -> c -> d .15; c -> d -> a and d -> a -> b .1 and, once more around, just above;
    # one of two values of v brings d: .075 for each of its events.
    assert follows == {(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 0), (3, 0), (3, 1)}
    assert np.argwhere(labelled.truth).tolist() == [[0, 1], [0, 2], [1, 2], [2, 3], [3, 0], [4, 3]]


def test_the_classifier_is_asked_as_the_package_asks_it(module, evidence, tiny_run, tiny_log):
    model, request = EventModel.load(tiny_run), module("log_evidence").BY_TYPE
    drawn = sampled_sequences(model.windows(tiny_log).log, 5, 0)
    graph = log_result(model, drawn, request.updated(statistic="combined"), whole=tiny_log).graph
    place = [graph.events.index(name) for name in tiny_log.event_types]
    scores = np.array(graph.metadata["scores"]["matrix"])[np.ix_(place, place)]
    assert scores[evidence.off] == pytest.approx(shipped_edge_model().probabilities(evidence.features), abs=1e-6)


def test_what_is_kept_is_all_there_is(module, evidence, tmp_path):
    evidence.save(tmp_path / "worlds" / "one.npz")
    ((name, found),) = module("log_evidence").kept_evidence(tmp_path / "worlds")
    assert (name, found.kind) == ("one", "rule")
    assert (found.features == evidence.features).all()
    assert (found.labels() == evidence.labels()).all()
    assert (found.labels("follows") == evidence.labels("follows")).all()
    assert all((found.edges[name] == evidence.edges[name]).all() for name in ("onset", "hawkes"))


def worlds_of(module, evidence, count):
    """Worlds whose onsets say what is an edge; all else is noise."""
    found = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        tables = {name: generator.random((12, 12)) for name in evidence.tables}
        truth = generator.random((12, 12)) < 0.2
        np.fill_diagonal(truth, False)
        tables["onset"] = np.where(truth, 0.5, 0.1) * generator.uniform(0.8, 1.2, (12, 12))
        found.append(
            module("log_evidence").Evidence("made up", truth, truth, tables, {"onset": truth, "hawkes": truth})
        )
    return found


def test_it_learns_what_tells_edges_from_others(module, evidence):
    found = module("edge_training").cross_validated(worlds_of(module, evidence, 6), 1, 40)["drives"]
    row = found["auprc"]["all"]
    assert row["onset"] == pytest.approx(1)
    assert row["combined"] > 0.95
    assert row["bigram"] < 0.5
    assert found["brier"] < found["brier_base"] / 4
    assert found["worlds"] == found["auprc"]["made up"]["worlds"] == 6
    assert sum(each["pairs"] for each in found["reliability"]) == 6 * 12 * 11


def test_means_of_a_kind(module):
    rows = [{"onset": 0.5}, {"onset": 1.0}, {"onset": 0.0}]
    means = module("edge_training").means
    assert means(rows) == {"worlds": 3, "onset": 0.5}
    assert means(rows, ["a", "b", "b"], "b") == {"worlds": 2, "onset": 0.5}


def test_rows_of_a_log(module, evidence):
    (world,) = worlds_of(module, evidence, 1)
    rows = {row["method"]: row for row in module("judged_logs").scored(world, shipped_edge_model())}
    assert rows["onset"]["auprc"] == pytest.approx(1)
    assert rows["onset"]["f1"] == 1
    assert rows["onset"]["edges"] == world.truth.sum()
    assert rows["by-type"]["edges"] == (world.tables["strength"][world.off] > 0.05).sum()
    base = world.labels().mean()
    assert rows["combined"]["brier_base"] == pytest.approx(base * (1 - base))
    assert "f1" not in rows["mean rank of onset and combined_follows"]
