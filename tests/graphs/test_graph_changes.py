"""What changed between two graphs: exact numbers, few false alarms, and changes of worlds that are found."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hf_trace.errors import SettingsError
from hf_trace.graphs.counted_graphs import CountingSettings, counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.graph_changes import change_sentence, graph_changes
from hf_trace.graphs.score_tables import score_table
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_worlds import process_world

NAMES = ("a", "b", "c")
ERROR = 0.02


def graph(strengths, *, names=NAMES, errors=ERROR, above=0.05, **settings):
    """A graph whose edges are the pairs above a strength."""
    table = np.zeros((len(names), len(names)))
    for (cause, effect), strength in strengths.items():
        table[names.index(cause), names.index(effect)] = strength
    kept = [pair for pair, strength in strengths.items() if strength > above]
    edges = tuple({"cause": one, "effect": other, "cmi": strengths[one, other]} for one, other in kept)
    scores = score_table(names, table, np.full_like(table, errors))
    return CausalGraph("population", names, edges, {"scores": scores, "settings": settings})


def changes(before, after, **options):
    return {
        (row["cause"], row["effect"]): row for row in graph_changes(before, after, **options).pairs.to_dict("records")
    }


def test_each_kind_of_change_with_its_numbers():
    before = graph({("a", "b"): 0.02, ("b", "c"): 0.4, ("c", "a"): 0.2, ("a", "c"): 0.5, ("b", "a"): 0.3})
    after = graph({("a", "b"): 0.3, ("b", "c"): 0.01, ("c", "a"): 0.5, ("a", "c"): 0.2, ("b", "a"): 0.31})
    found = changes(before, after)
    kinds = {pair: row["change"] for pair, row in found.items()}
    assert kinds == {
        ("a", "b"): "new", ("b", "c"): "gone", ("c", "a"): "stronger", ("a", "c"): "weaker", ("b", "a"): "same",
    }  # fmt: skip
    row, spread = found["b", "a"], ERROR * np.sqrt(2)
    assert (row["before"], row["after"], row["difference"]) == (0.3, 0.31, pytest.approx(0.01))
    assert (row["low"], row["high"]) == pytest.approx((0.01 - 1.959964 * spread, 0.01 + 1.959964 * spread))
    assert row["p"] == pytest.approx(2 * norm.sf(0.01 / spread))
    # The largest of five p-values counts as it is.
    assert row["q"] == pytest.approx(row["p"])


def test_the_strongest_change_comes_first_and_is_said():
    found = graph_changes(graph({("a", "b"): 0.02, ("b", "c"): 0.4}), graph({("a", "b"): 0.31, ("b", "c"): 0.1}))
    assert found.summary() == (
        "2 of 2 edges changed (1 new, 1 weaker); 2 pairs were tested, at a false discovery rate of 5 %."
    )
    assert found.sentences() == [
        "a → b is new: 0.02 before, 0.31 after (difference 0.29 ± 0.055).",
        "b → c is weaker: 0.4 before, 0.1 after (difference -0.3 ± 0.055).",
    ]
    merged = found.graph()
    assert [(edge["cause"], edge["change"], edge["before"], edge["after"]) for edge in merged.edges] == [
        ("a", "new", 0.02, 0.31), ("b", "weaker", 0.4, 0.1),
    ]  # fmt: skip
    assert [(each["cause"], each["kind"]) for each in found.findings()["questions"][""]] == [
        ("a", "new"),
        ("b", "weaker"),
    ]
    assert found.to_dict()["changes"] == {"new": 1, "gone": 0, "stronger": 0, "weaker": 1}


def test_what_is_gone_stays_in_the_graph_of_both():
    (edge,) = graph_changes(graph({("a", "b"): 0.4}), graph({("a", "b"): 0.01})).graph().edges
    assert (edge["change"], edge["cmi"]) == ("gone", 0.4)


def test_differences_up_to_the_least_are_none():
    before, after = graph({("a", "b"): 0.2}), graph({("a", "b"): 0.35})
    assert changes(before, after)["a", "b"]["change"] == "stronger"
    row = changes(before, after, least=0.12)["a", "b"]
    spread = ERROR * np.sqrt(2)
    assert row["p"] == pytest.approx(norm.sf(0.03 / spread) + norm.sf(0.27 / spread))
    assert row["change"] == "same"


def test_an_edge_of_one_graph_alone_is_not_new_where_strengths_hardly_differ():
    found = graph_changes(graph({("a", "b"): 0.04}), graph({("a", "b"): 0.06}))
    assert (found.edges["change"].tolist(), found.unsure) == (["same"], 1)
    assert found.summary().startswith("No edge changed; 1 pairs were tested")
    assert found.remarks() == [
        "1 of the edges are in one graph only, though their strengths differ by no more than chance explains: of those "
        "nothing is known."
    ]


def test_pairs_that_are_no_edge_before_or_after_are_tested_and_not_told():
    found = graph_changes(graph({("a", "b"): 0.0001}, errors=1e-6), graph({("a", "b"): 0.04}, errors=1e-6))
    assert (found.pairs["q"].max() < 1e-9, len(found.edges), len(found.changed)) == (True, 0, 0)


def test_errors_come_from_edges_and_the_other_graph_where_tables_lack_them():
    plain = graph({("a", "b"): 0.4}, errors=np.nan)
    edge = plain.edges[0]
    by_error = plain.with_edges([edge | {"standard_error": 0.03}])
    by_interval = plain.with_edges([edge | {"cmi_low": 0.4 - 1.959964 * 0.03, "cmi_high": 0.4 + 1.959964 * 0.03}])
    for given_ in (by_error, by_interval):
        row = changes(given_, graph({("a", "b"): 0.1}, errors=np.nan))["a", "b"]
        assert row["high"] - row["low"] == pytest.approx(2 * 1.959964 * 0.03 * np.sqrt(2))


def test_types_of_one_graph_alone_are_named_and_their_edges_not_tested():
    before, after = graph({("a", "b"): 0.4}), graph({("a", "d"): 0.4, ("a", "b"): 0.4}, names=("a", "b", "d"))
    found = graph_changes(before, after)
    assert {row["effect"]: row["change"] for row in found.edges.to_dict("records")} == {"b": "same", "d": "untested"}
    assert len(found.changed) == 0
    assert found.notes == (
        "Only the first graph has 'c', whose edges cannot be compared.",
        "Only the second graph has 'd', whose edges cannot be compared.",
    )


PAIR = {("a", "b"): 0.4}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            CausalGraph("summary", NAMES),
            graph(PAIR),
            "The first graph is of level 'summary', expected two graphs of many sequences: make both with `--level "
            "population`.",
        ),
        (
            graph(PAIR, method="onset"),
            graph(PAIR, construction="by-type"),
            "The construction of the two graphs is 'None' and 'by-type', and their strengths are two different things. "
            "Make both with the same options.",
        ),
        (
            graph(PAIR).with_metadata(question="drives: of what"),
            graph(PAIR).with_metadata(question="follows: after"),
            "The question of the two graphs is 'drives' and 'follows', and their strengths are two different things. "
            "Make both with the same options.",
        ),
        (
            graph(PAIR),
            graph({("x", "y"): 0.4}, names=("x", "y")),
            "The two graphs share no event type: 'a', 'b', 'c' against 'x', 'y'. Expected the same names in both.",
        ),
        (
            graph(PAIR, errors=np.nan),
            graph(PAIR, errors=np.nan),
            "Neither graph holds standard errors, without which chance cannot be told from change. Make both again "
            "with this version: `hf-trace discover` (not `--statistic combined`), or `hf-trace count` with onset or "
            "hawkes.",
        ),
    ],
)
def test_what_cannot_be_compared(before, after, message):
    with pytest.raises(SettingsError) as caught:
        graph_changes(before, after)
    assert str(caught.value) == message


def test_other_settings_are_noted_and_seeds_do_not_matter():
    found = graph_changes(graph(PAIR, horizon_seconds=10.0, seed=0), graph(PAIR, horizon_seconds=12.5, seed=1))
    assert found.notes == (
        "horizon_seconds is 10 before and 12.5 after, and strengths depend on it. Give both the same `--horizon`.",
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.2))
def test_turned_around_everything_is_turned_around(seed, least):
    generator = np.random.default_rng(seed)
    names = tuple("abcdef")
    pairs = [(one, other) for one in names for other in names if one != other]
    before, after = (graph(dict(zip(pairs, generator.random(30).tolist(), strict=True)), names=names) for _ in range(2))
    there, back = changes(before, after, least=least), changes(after, before, least=least)
    turned = {"new": "gone", "gone": "new", "stronger": "weaker", "weaker": "stronger", "same": "same"}
    assert {pair: turned[row["change"]] for pair, row in back.items()} == {
        pair: row["change"] for pair, row in there.items()
    }
    for pair, row in there.items():
        assert row["difference"] == -back[pair]["difference"]
        assert row["p"] == back[pair]["p"]


def noisy(generator, strengths, spread, told):
    """Strengths with normal errors of a spread, and the errors that are told."""
    names = tuple(map(str, range(len(strengths))))
    table = np.abs(strengths + spread * generator.standard_normal(strengths.shape))
    np.fill_diagonal(table, 0)
    edges = tuple(
        {"cause": names[one], "effect": names[other], "cmi": table[one, other]}
        for one, other in np.argwhere(table > 0.05)
    )
    return CausalGraph("population", names, edges, {"scores": score_table(names, table, np.full_like(table, told))})


def test_what_two_oracles_add_to_errors_is_said():
    generator = np.random.default_rng(0)
    one, other = (noisy(generator, np.full((10, 10), 0.3), 0.02, 0.005) for _ in range(2))
    found = graph_changes(one, other)
    assert found.inflation == pytest.approx(16, rel=0.5)  # errors four times as large as told
    assert found.remarks()[-1].startswith("Most pairs moved more than their errors explain (the variance is ")


@pytest.mark.parametrize("told", [0.02, 0.005])
def test_normal_errors_raise_few_alarms_even_where_they_are_told_too_small(told):
    """With true or four times too small errors: of 60 comparisons of one truth with itself about 3 flag anything."""
    generator = np.random.default_rng(0)
    flagged = 0
    for _ in range(60):
        strengths = generator.choice([0.0, 0.3], p=[0.8, 0.2], size=(10, 10))
        one, other = (noisy(generator, strengths, 0.02, told) for _ in range(2))
        flagged += len(graph_changes(one, other).changed) > 0
    assert flagged <= 7  # P(more than 7 of 60 at 5 %) = 0.01


def halves(world, seed):
    """Graphs of two halves of a simulated log."""
    spec = process_world(world, types=10, edges=10, duration=1200, world_seed=seed)
    log = simulate_process(spec, 24, seed=seed).log
    parts = np.arange(0, len(log), 2), np.arange(1, len(log), 2)
    return [counted_graph(log.select(part), settings=CountingSettings(horizon=60.0)) for part in parts]


@pytest.mark.parametrize("world", ["hawkes", "bursts"])
def test_two_halves_of_one_log_are_hardly_ever_told_apart(world):
    flagged = 0
    for seed in range(12):
        flagged += len(graph_changes(*halves(world, seed)).changed) > 0
    assert flagged <= 2  # P(more than 2 of 12 at 5 %) = 0.02


def test_an_edge_that_a_world_lost_is_found():
    """The one that brings about most within a minute, of ten that all come soon: in 5 of 6 worlds, and little else."""
    hits, others = 0, 0
    for seed in range(6):
        spec = process_world("hawkes", types=10, edges=10, duration=3600, weight=0.4, delay=10, world_seed=seed)
        lost = max(spec.edges, key=lambda edge: edge.weight * np.exp(-edge.delay / 60))
        without = replace(spec, edges=tuple(edge for edge in spec.edges if edge != lost))
        one, other = (
            counted_graph(simulate_process(world, 60, seed=number).log, settings=CountingSettings(horizon=60.0))
            for world, number in ((spec, seed), (without, 1000 + seed))
        )
        changed = graph_changes(one, other).changed
        hit = (changed["cause"] == lost.cause) & (changed["effect"] == lost.effect)
        hits, others = hits + int(hit.any()), others + int((~hit).sum())
    assert hits >= 5
    assert others <= 3  # also what the lost edge brought about in turn


def test_sentences_hold_any_name():
    row = {"change": "gone", "before": 1.0, "after": 0.0, "difference": -1.0, "low": -1.1, "high": -0.9}
    assert change_sentence(row | {"cause": "a {b}", "effect": "%s"}).startswith("a {b} → %s is gone: 1 before, 0 after")
