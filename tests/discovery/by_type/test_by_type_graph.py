"""Sums over sequences with their errors, strengths, and the graph, by hand and from a run that has learned a rule."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hf_trace.discovery.by_type.by_type_graph import by_type_graph, strengths
from hf_trace.discovery.by_type.by_type_run import forward_shares
from hf_trace.discovery.by_type.by_type_sums import ByTypeEffects, ByTypeSums
from hf_trace.discovery.by_type.comparison import ByTypeScores
from hf_trace.discovery.by_type.event_variables import Variables, variable_names
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.errors import HfTraceError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import BackgroundKnowledge
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence

NAMES = ("a", "b", "c")


def scores_of(*, occurrences=(2,), told=(), gain=(), effect=1):
    """Cause a, effect b, with one place for each log ratio."""
    places, pairs = len(told), len(gain)
    return ByTypeScores(
        np.array([0]),
        np.array(occurrences),
        np.zeros(pairs, dtype=np.int64),
        np.full(pairs, effect),
        np.array(gain, dtype=float),
        np.array(gain, dtype=float) ** 2,
        np.zeros(pairs),
        np.zeros(places, dtype=np.int64),
        np.zeros(places, dtype=np.int64),
        np.arange(1, places + 1),
        np.array(told, dtype=float),
        np.full(places, 0.5),
        np.zeros(places),
    )


def collected(*items):
    sums = ByTypeSums(NAMES, dict(zip(NAMES, range(3), strict=True)))
    sequence = EventSequence(("a", *["b"] * 9), tuple(10.0 * at for at in range(10)))
    for unit, scores in enumerate(items):
        sums.add(unit, sequence, scores)
    return sums.effects()


def test_sums_are_per_occurrence_with_the_error_of_a_ratio():
    effects = collected(
        scores_of(occurrences=(2,), told=(1.0, 0.5), gain=(0.6,)), scores_of(occurrences=(1,), told=(0.3,))
    )
    (row,) = effects.pairs.to_dict("records")
    assert (row["cause"], row["effect"]) == (0, 1)
    assert row["told"] == pytest.approx(1.8 / 3)
    assert row["gain"] == pytest.approx(0.6 / 3)
    # Residuals: 1.5 - 2 * .6 = .3 and .3 - .6 = -.3; variance 2 / 1 * .18 / 9.
    assert row["told_error"] == pytest.approx(np.sqrt(2 * 0.18) / 3)
    assert effects.names == ("a", "b")  # c never occurred
    assert effects.occurrences.tolist() == [3, 0]
    assert effects.support.tolist() == [2, 0]


def test_direction_is_counted_whatever_the_number_of_types_that_do_not_occur():
    effects = collected(scores_of(told=(1.0,)))
    log = EventLog.from_sequences([EventSequence(("a", "b", "a", "b"))])
    many = replace(log, event_types=(*log.event_types, *(f"other {number}" for number in range(6000))))
    np.testing.assert_array_equal(forward_shares(effects, many), forward_shares(effects, log))


def test_one_unit_has_no_error():
    assert np.isnan(collected(scores_of(told=(1.0,))).pairs["told_error"].item())


@settings(max_examples=20)
@given(arrays(np.float64, st.integers(5, 12), elements=st.floats(-2, 2)))
def test_the_bootstrap_has_the_error_of_the_formula(told):
    told = told + np.linspace(0, 1, len(told))
    effects = collected(*(scores_of(occurrences=(1,), told=(each,)) for each in told))
    found = effects.resampled(2000, seed=0)
    # Of a mean of n numbers: both are sd / sqrt(n), the bootstrap without Bessel's correction.
    error = effects.pairs["told_error"].item() * np.sqrt((len(told) - 1) / len(told))
    assert found.mean() == pytest.approx(told.mean(), abs=5 * error / np.sqrt(2000) + 1e-9)
    assert found.std() == pytest.approx(error, rel=0.1)


def test_many_sequences_are_added_up_as_they_come():
    each = scores_of(occurrences=(1,), told=(0.5,), gain=(0.1,))
    effects = collected(*[each] * 600)
    (row,) = effects.pairs.to_dict("records")
    assert (row["told"], row["gain"]) == (pytest.approx(0.5), pytest.approx(0.1))
    assert row["told_error"] == pytest.approx(0, abs=1e-9)


def table(**columns):
    """One pair of a hundred causes a in two units."""
    by_unit = pd.DataFrame({"unit": [0, 1], "cause": 0, "effect": 1, **columns})
    causes = pd.DataFrame({"unit": [0, 1, 0], "cause": [0, 0, 1], "occurrences": [50.0, 50.0, 25.0], "sequences": 1.0})
    delays = pd.DataFrame({"cause": [0, 0], "effect": 1, "lag": [1, 2], "seconds": [3.0, 40.0], "gained": [0.2, 0.8]})
    return ByTypeEffects(NAMES, by_unit, causes, delays)


EXCITES = {"told": [30.0, 30.0], "gain": [5.0, 5.0], "kl": [8.0, 8.0], "rarer": [2.0, 2.0]}
INHIBITS = {"told": [-9.0, -9.0], "gain": [-5.0, -5.0], "kl": [8.0, 8.0], "rarer": [8.0, 8.0]}


@pytest.mark.parametrize(
    ("columns", "statistic", "strength", "inhibits"),
    [
        # With a direction share of .8: .8 * more + .2 * less.
        (EXCITES, "log_ratio", 0.8 * 0.6 + 0.2 * 0.04, False),
        (EXCITES, "gain", 0.8 * 0.1, False),
        (EXCITES, "kl", 0.8 * 0.12 + 0.2 * 0.04, False),
        (EXCITES, "association", 2 * (0.8 * 0.6 + 0.2 * 0.04), False),  # sqrt(100 / 25) = 2
        (INHIBITS, "log_ratio", 0.2 * 0.16, True),
        (INHIBITS, "gain", 0.2 * 0.1, True),
        (INHIBITS, "kl", 0.2 * 0.16, True),
    ],
)
def test_strengths_by_hand(columns, statistic, strength, inhibits):
    forward = np.full((3, 3), 0.8)
    (row,) = strengths(table(**columns), forward, statistic).to_dict("records")
    assert row["cmi"] == pytest.approx(strength)
    assert row["inhibits"] == inhibits
    (plain,) = strengths(table(**columns), None, statistic).to_dict("records")
    assert plain["forward"] == 0.5


def graph(effects, threshold="margin:0.05", **options):
    options = {"min_support": 1, "knowledge": None, "resamples": 0, "seed": 0} | options
    return by_type_graph(effects, None, parse_threshold(threshold), statistic="log_ratio", **options)


def test_an_edge_tells_what_is_known_of_it():
    (edge,) = graph(table(**EXCITES), resamples=20).edges
    assert edge["cmi"] == pytest.approx(0.5 * 0.6 + 0.5 * 0.04)
    assert (edge["direction"], edge["support"], edge["occurrences"]) == ("excites", 2, 100)
    assert edge["lags"] == [2, 1]  # most of the difference stands at lag 2
    assert edge["lag_seconds_quantiles"]["0.5"] == 40.0
    assert edge["log_ratio_low"] == pytest.approx(0.6)
    assert edge["resampled_share"] == 1.0


@pytest.mark.parametrize(
    ("threshold", "edges"),
    [("margin:0.3", 1), ("margin:0.33", 0), ("fixed:0.1", 1), ("fdr:0.1", 1), ("fdr:0.1,0.5", 0)],
)
def test_thresholds(threshold, edges):
    assert len(graph(table(**EXCITES), threshold).edges) == edges


def test_false_discoveries_are_few_where_nothing_is_to_be_found():
    """300 pairs without any effect: log ratios of mean 0 over 40 units."""
    rng = np.random.default_rng(0)
    names = tuple(map(str, range(301)))
    units, pairs = np.arange(40), np.arange(1, 301)
    grid = np.array(np.meshgrid(units, pairs)).reshape(2, -1)
    told = rng.normal(size=grid.shape[1])
    zeros = np.zeros(len(told))
    by_unit = pd.DataFrame(
        {"unit": grid[0], "cause": 0, "effect": grid[1], "told": told, "gain": zeros, "kl": zeros, "rarer": zeros}
    )
    causes = pd.DataFrame({"unit": units, "cause": 0, "occurrences": 1.0, "sequences": 1.0})
    delays = pd.DataFrame({"cause": [], "effect": [], "lag": [], "seconds": [], "gained": []})
    effects = ByTypeEffects(names, by_unit, causes, delays)
    assert len(graph(effects, "fdr:0.1,0").edges) <= 2
    assert len(graph(effects, "fixed:0").edges) > 100


def test_knowledge_rules_pairs_out_and_in():
    forbidden = BackgroundKnowledge.from_dict({"forbidden": [["a", "b"]]})
    required = BackgroundKnowledge.from_dict({"required": [["a", "b"]]})
    assert graph(table(**EXCITES), knowledge=forbidden).edges == ()
    (edge,) = graph(table(**EXCITES), "margin:9", knowledge=required).edges
    assert edge["required"]
    assert edge["cmi"] == pytest.approx(0.5 * 0.6 + 0.5 * 0.04)
    # What never moved is added too.
    other = BackgroundKnowledge.from_dict({"required": [["c", "a"]]})
    (edge,) = graph(table(**EXCITES), "margin:9", knowledge=other).edges
    assert (edge["cause"], edge["effect"], edge["cmi"]) == ("c", "a", 0.0)
    assert graph(table(**EXCITES), min_support=3).edges == ()


def test_values_of_a_signal_are_one_variable():
    types = ["pump=on", "pump=off", "alarm", "net.a", "net.b"]
    variables = Variables.of(types, np.arange(4, 9), ["pump=*", "net.*"])
    assert variables.names == ("pump", "alarm", "net")
    assert variables.of_token(np.array([0, 4, 5, 6, 8])).tolist() == [-1, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["pump"], "variable is 'pump', expected a pattern with `*` in place of the values, such as 'pump=*'"),
        (["valve=*"], "variable is 'valve=*', and none of the 3 event types is named so: 'pump=on', 'pump=off'"),
        (["*"], "variable is '*', which makes one variable of all 3 event types, so that nothing is left"),
    ],
)
def test_patterns_that_fit_nothing_or_everything_are_refused(patterns, message):
    with pytest.raises(SettingsError) as refused:
        variable_names(["pump=on", "pump=off", "alarm"], patterns)
    assert str(refused.value).startswith(message)


def test_a_run_finds_its_rule(discover, discover_timed, records, timed_records):
    """B comes right after every A and nowhere else."""
    for pipe, some in ((discover, records), (discover_timed, timed_records)):
        found = pipe(some, level="population", construction="by-type", max_lag=2)
        edges = {(edge["cause"], edge["effect"]): edge for edge in found["edges"]}
        strongest = max(edges, key=lambda pair: edges[pair]["cmi"])
        assert strongest == ("A", "B")
        assert edges["A", "B"]["lags"][0] == 1
        assert 0.5 < edges["A", "B"]["gain"] <= 1.01
        assert found["settings"]["proposal"] == "removal"


def test_one_sequence_at_a_time(discover, records):
    found = discover(records[0], construction="by-type", max_lag=3)
    pairs = {(edge["cause"], edge["effect"]) for edge in found["edges"]}
    assert ("A", "B") in pairs
    assert all(0 < edge["lag"] <= 3 for edge in found["edges"])
    events = records[0]["events"]
    for edge in found["edges"]:
        between = events[edge["cause_position"] + 1 : edge["effect_position"]]
        assert edge["cause"] not in between  # from the last event of the cause


def test_command_line(hf_trace, refused, tiny_run, tiny_log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write(tiny_log, "log.csv")
    asked = ("discover", tiny_run, "log.csv", "--construction", "by-type")
    code, out, _ = hf_trace(*asked, "--bootstrap", "10", "--out", "g.json", "--json", "--html", "page.html")
    assert code == 0
    printed = json.loads(out)
    graph = CausalGraph.load("g.json")
    assert graph.edges[0]["cause"] in "ABCD"
    assert graph.metadata["baselines"].keys() >= {"onset", "hawkes", "lift"}
    assert printed["settings"]["construction"] == "by-type"
    assert "none of the 4 event types is named so" in refused(*asked, "--variable", "x=*")
    assert "one variable of all 4 event types" in refused(*asked, "--variable", "*")
    assert "expected 'by-type'" in refused("discover", tiny_run, "log.csv", "--variable", "x=*")
    assert "adds up all lags" in refused(*asked, "--threshold", "per-lag:0.1")
    assert "neither their order" in refused(*asked, "--self-loops")


def _write(log, path):
    rows = [(sequence.id, event) for sequence in log for event in sequence.events]
    pd.DataFrame(rows, columns=["case", "event"]).to_csv(path, index=False)


def test_the_same_settings_are_written_as_before():
    assert "variable" not in DiscoveryRequest().to_dict()
    assert DiscoveryRequest().updated(construction="by-type", variable="a*").to_dict()["variable"] == ["a*"]


@pytest.mark.parametrize("level", ["instance", "summary", "population"])
def test_knowledge_holds_at_every_level(discover, records, level):
    known = {"forbidden": [["A", "B"]]}
    found = discover(records, level=level, construction="by-type", max_lag=2, threshold="fixed:-9", knowledge=known)
    edges = found["edges"] if level == "population" else [edge for each in found for edge in each["edges"]]
    pairs = {(edge["cause"], edge["effect"]) for edge in edges}
    assert ("A", "C") in pairs
    assert ("A", "B") not in pairs
    with pytest.raises(HfTraceError, match="nonsense"):
        discover(records, level=level, construction="by-type", knowledge={"forbidden": [["A", "nonsense"]]})


def test_what_reads_whole_sequences_does_not_slide():
    with pytest.raises(SettingsError, match="slide is on and construction 'by-type'"):
        DiscoveryRequest().updated(construction="by-type", slide=True)
