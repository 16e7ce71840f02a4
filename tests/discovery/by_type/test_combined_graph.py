"""One score from all evidence: features by hand, what makes an edge, and a graph from a run that has learned a rule."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import AutoModel

from hf_trace.discovery.by_type import combined
from hf_trace.discovery.by_type.by_type_sums import ByTypeEffects
from hf_trace.discovery.by_type.combined import combined_graph
from hf_trace.discovery.by_type.pair_evidence import counted_tables, pair_features, told_tables
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import SettingsError
from hf_trace.graphs.counted_graphs import CountingSettings
from hf_trace.graphs.knowledge import BackgroundKnowledge
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.runs import edge_model
from hf_trace.runs.edge_model import SHIPPED, EdgeConfig, EdgeModel

NAMES = ("a", "b", "c")
ASKED = DiscoveryRequest().updated(level="population", construction="by-type", statistic="combined", min_support=1)


def some_log():
    events, times = ("a", "b", "c", "a", "b"), (0.0, 1.0, 5.0, 9.0, 10.0)
    return EventLog.from_sequences([EventSequence(events, times, id=str(number)) for number in range(3)])


def effects_of(names, rows, occurrences):
    """Pairs (cause, effect, told) in one unit and the same again in another."""
    pairs = [{"unit": unit, "cause": u, "effect": v, "told": told, "gain": 0.1 * told, "kl": told**2, "rarer": 0.0}
             for u, v, told in rows for unit in (0, 1)]  # fmt: skip
    causes = [{"unit": unit, "cause": cause, "occurrences": count / 2, "sequences": 1.0}
              for cause, count in enumerate(occurrences) for unit in (0, 1)]  # fmt: skip
    delays = pd.DataFrame(
        {"cause": [rows[0][0]], "effect": [rows[0][1]], "lag": [1], "seconds": [1.0], "gained": [1.0]}
    )
    return ByTypeEffects(names, pd.DataFrame(pairs), pd.DataFrame(causes), delays)


def test_effects_at_a_place_and_from_its_neighbours_are_averaged_over_all_occurrences():
    names = ("a", "b", "<near:a>")
    effects = effects_of(names, [(0, 1, 3.0), (2, 1, 1.0), (0, 2, 9.0)], (10, 20, 30))
    tables = told_tables(effects, None, NAMES)
    # Two units: sums 6 and 2 over 10 + 30 occurrences of a; what a does to neighbours is not an own effect.
    assert tables["told"][0, 1] == pytest.approx((6 + 2) / 40)
    assert tables["gain"][0, 1] == pytest.approx(0.8 / 40)
    assert tables["strength"][0, 1] == pytest.approx(0.5 * 8 / 40)
    assert np.count_nonzero(tables["told"]) == 1
    assert np.all(tables["forward"] == 0.5)


def test_without_a_topology_no_name_is_a_neighbours():
    names = ("a", "b", "<near:a>")
    effects = effects_of(names, [(0, 1, 3.0), (2, 1, 1.0), (0, 2, 9.0)], (10, 20, 40))
    tables = told_tables(effects, None, names, str)
    assert tables["told"][0].tolist() == pytest.approx([0, 0.6, 1.8])
    assert tables["told"][2].tolist() == pytest.approx([0, 0.05, 0])


def test_many_pairs_are_asked_in_parts(monkeypatch):
    features = np.random.default_rng(0).normal(size=(25, 63))
    model = EdgeModel.from_pretrained(SHIPPED).eval()
    whole = model.probabilities(features)
    monkeypatch.setattr(edge_model, "_PAIRS_AT_ONCE", 7)
    assert model.probabilities(features) == pytest.approx(whole, abs=1e-6)


def tables_of(seed, size=5):
    """Any tables, as if counted and told."""
    generator = np.random.default_rng(seed)
    counted = ("onset", "hawkes", "nats", "bigram", "lift", "cooccurrence")
    told = ("strength", "told", "gain", "kl", "rarer")
    errors = tuple(f"{name}_error" for name in told[1:])
    names = (*counted, *told, *errors, "begins", "before", "forward")
    found = {name: generator.random((size, size)) for name in names}
    occurrences = generator.integers(1, 50, size).astype(float)
    found["causes"], found["effects"] = np.broadcast_arrays(occurrences[:, None], occurrences[None])
    return found


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.permutations(range(5)))
def test_features_do_not_depend_on_the_order_of_types(seed, order):
    tables = tables_of(seed)
    features, off = pair_features(tables)
    moved, _ = pair_features({name: table[np.ix_(order, order)] for name, table in tables.items()})
    whole, other = (np.zeros((*off.shape, features.shape[1])) for _ in range(2))
    whole[off], other[off] = features, moved
    assert np.allclose(whole[np.ix_(order, order)], other)


@given(arrays(np.float64, (4, 4), elements=st.floats(-1e6, 1e6)))
def test_features_are_finite(table):
    tables = {name: table if "error" not in name else abs(table) for name in tables_of(0)}
    tables |= {name: abs(table) for name in ("begins", "before", "causes", "effects", "lift", "forward")}
    assert np.isfinite(pair_features(tables)[0]).all()


def test_a_pair_is_ranked_among_all_in_its_row_and_in_its_column():
    tables = tables_of(0, size=3)
    tables["onset"] = np.array([[9.0, 3.0, 1.0], [2.0, 9.0, 0.0], [5.0, 4.0, 9.0]])
    features, _ = pair_features(tables)
    odds, reverse, of_cause, of_effect = features[0, :4]  # the pair 0 -> 1, the fourth smallest of six
    assert odds == pytest.approx(np.log(3.5 / 2.5))
    assert reverse == pytest.approx(2.5 / 6)  # 1 -> 0 is the third
    assert (of_cause, of_effect) == (0.75, 0.25)  # the higher of its cause's two effects, the lower of two causes


class Stub:
    """Gives the probabilities it is told."""

    def __init__(self, table):
        self.table = np.asarray(table, dtype=float)

    def probabilities(self, features, question):
        assert question in ("drives", "follows")
        off = ~np.eye(len(self.table), dtype=bool)
        assert len(features) == off.sum()
        return self.table[off]


@pytest.fixture
def graph_of(monkeypatch):
    """The graph where these are the probabilities."""

    def made(table, **changes):
        monkeypatch.setattr(combined, "shipped_edge_model", lambda: Stub(table))
        effects = effects_of(NAMES, [(0, 1, 3.0)], (6, 6, 3))
        return combined_graph(effects, None, some_log(), ASKED.updated(**changes))

    return made


PROBABLE = [[0, 0.95, 0.9], [0.5, 0, 0.1], [0.6, 0.2, 0]]


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [
        ("fixed:0.5", {"ab", "ac", "ca"}),  # more than a half
        ("fixed:0.9", {"ab"}),
        ("fdr:0.1", {"ab", "ac"}),  # means of 1 - p: .05, .075, .183
        ("fdr:0.2", {"ab", "ac", "ca"}),  # then .2625
        ("quantile:0.5", {"ab", "ac", "ca"}),
    ],
)
def test_what_makes_an_edge(graph_of, threshold, kept):
    graph = graph_of(PROBABLE, threshold=threshold)
    assert {edge["cause"] + edge["effect"] for edge in graph.edges} == kept


def test_more_than_a_half_makes_an_edge_unless_said_otherwise():
    assert ASKED.settings.threshold == "fixed:0.5"
    named = DiscoveryRequest().updated(
        level="population", construction="by-type", statistic="combined", threshold="fixed:0.7"
    )
    assert named.settings.threshold == "fixed:0.7"
    assert named.updated(seed=3).settings.threshold == "fixed:0.7"


def test_an_edge_tells_what_speaks_for_it(graph_of):
    graph = graph_of(PROBABLE)
    ab, ac, _ = graph.edges
    assert ab["cmi"] == ab["probability"] == 0.95
    assert ab["by_type"] == pytest.approx(0.5 * 1.0)  # half of 2 * 3 nats over 6 occurrences
    assert (ab["lags"], ab["direction"]) == ([1], "excites")
    # Of a -> c the oracle says nothing; counting does.
    assert "lags" not in ac
    counted = counted_tables(some_log(), CountingSettings())
    assert (ac["onset"], ac["hawkes"]) == (counted["onset"][0, 2], counted["hawkes"][0, 2])
    assert graph.metadata["scores"]["matrix"] == PROBABLE
    assert json.dumps(graph.to_dict())


def test_support_and_knowledge(graph_of):
    assert not graph_of(PROBABLE, min_support=4).edges
    known = BackgroundKnowledge(forbidden=(("a", "b"),), required=(("b", "c"),))
    found = {edge["cause"] + edge["effect"]: edge for edge in graph_of(PROBABLE, knowledge=known).edges}
    assert set(found) == {"ac", "ca", "bc"}
    assert found["bc"]["required"]
    assert found["bc"]["cmi"] == 0.1


def test_what_cannot_be_combined():
    with pytest.raises(SettingsError, match="level='population'"):
        DiscoveryRequest().updated(construction="by-type", statistic="combined")
    with pytest.raises(SettingsError, match="--statistic combined_follows"):
        DiscoveryRequest().updated(level="population", question="follows", statistic="combined")
    with pytest.raises(SettingsError, match="statistic"):
        DiscoveryRequest().updated(construction="atomic", statistic="combined")
    many = EventLog.from_sequences([EventSequence(tuple(map(str, range(1001))), tuple(map(float, range(1001))))])
    with pytest.raises(SettingsError, match="1,001 types"):
        combined_graph(effects_of(("0", "1"), [(0, 1, 1.0)], (1, 1)), None, many, ASKED)


def test_members_are_averaged_over_standardised_features(tmp_path):
    model = EdgeModel(EdgeConfig(features=2, hidden=4, members=2)).eval()
    features = np.array([[1.0, 10.0], [3.0, 30.0]])
    model.standardise(torch.tensor(features, dtype=torch.float32))
    assert model.mean.tolist() == [2.0, 20.0]
    for member, bias in zip(model.members, (0.0, np.log(3)), strict=True):
        member[-1].weight.data.zero_()
        member[-1].bias.data.copy_(torch.tensor([bias, -50.0]))
    assert model.probabilities(features) == pytest.approx([0.625, 0.625])  # of 1/2 and 3/4
    assert model.probabilities(features, "follows") == pytest.approx([0, 0], abs=1e-9)
    model.save_pretrained(tmp_path)
    read = AutoModel.from_pretrained(tmp_path)
    assert read.probabilities(features) == pytest.approx([0.625, 0.625])


def test_the_shipped_model_fits_the_features():
    features, _ = pair_features(tables_of(0))
    found = EdgeModel.from_pretrained(SHIPPED).eval().probabilities(features)
    assert np.all((found >= 0) & (found <= 1))
