"""Groups of sequences: Welch's test against scipy and simulation, and what is written beside an edge."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from hf_trace.discovery.population.group_comparison import welch_p_values
from hf_trace.discovery.population.pool import PopulationPool
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.errors import SettingsError
from hf_trace.logs.sequence import EventSequence

MARGIN = parse_threshold("margin:0.1")


def test_two_groups_are_welchs_t_test():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 30), rng.normal(0.5, 3, 50)
    moments = [np.array([[f(one), f(other)]]) for f in (len, np.mean, lambda x: np.var(x, ddof=1))]
    expected = ttest_ind(one, other, equal_var=False).pvalue
    assert welch_p_values(moments[0].astype(float), *moments[1:])[0] == pytest.approx(expected)


def test_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(1)
    # Skewed as cmi is, groups of different sizes and one without cases.
    sizes = np.array([40, 100, 0, 60])
    samples = [rng.exponential(0.1, (4000, size)) for size in sizes]
    mean = np.stack([s.mean(1) if s.shape[1] else np.zeros(4000) for s in samples], axis=1)
    variance = np.stack([s.var(1, ddof=1) if s.shape[1] else np.zeros(4000) for s in samples], axis=1)
    p_values = welch_p_values(np.tile(sizes.astype(float), (4000, 1)), mean, variance)
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.025)
    assert (p_values < 0.5).mean() == pytest.approx(0.5, abs=0.04)


def test_differences_that_do_not_count():
    """Three groups whose means differ by 0.05 at most: no more false flags than promised, however many cases."""
    rng = np.random.default_rng(2)
    true, sizes = np.array([0.2, 0.25, 0.23]), np.array([400, 900, 200])
    samples = [mean + rng.exponential(0.1, (1000, size)) - 0.1 for mean, size in zip(true, sizes, strict=True)]
    moments = (
        np.tile(sizes.astype(float), (1000, 1)),
        np.stack([s.mean(1) for s in samples], axis=1),
        np.stack([s.var(1, ddof=1) for s in samples], axis=1),
    )
    assert (welch_p_values(*moments) < 0.05).mean() > 0.9
    assert (welch_p_values(*moments, least=0.05) < 0.05).mean() < 0.06
    assert (welch_p_values(*moments, least=0.02) < 0.05).mean() > 0.5


def test_two_groups_that_differ_by_more_by_hand():
    """t = (0.3 - 0.05) / sqrt(0.01 / 50 + 0.04 / 50), two-sided, with Welch's degrees of freedom."""
    from scipy.stats import t

    parts = np.array([0.01, 0.04]) / 50
    freedom = parts.sum() ** 2 / (parts**2 / 49).sum()
    expected = 2 * t.sf(0.25 / parts.sum() ** 0.5, freedom)
    found = welch_p_values(np.full((1, 2), 50.0), np.array([[0.1, 0.4]]), np.array([[0.01, 0.04]]), least=0.05)
    assert found[0] == pytest.approx(expected)


def test_small_groups_are_not_compared():
    few = np.array([[50.0, 9.0], [50.0, 10.0]])
    p_values = welch_p_values(few, np.array([[0.1, 0.9]] * 2), np.full((2, 2), 0.01))
    assert np.isnan(p_values[0])
    assert p_values[1] < 1e-6


def test_equal_values_do_not_differ():
    count, same = np.full((1, 3), 20.0), np.full((1, 3), 0.3)
    assert welch_p_values(count, same, np.zeros((1, 3)))[0] == pytest.approx(1.0)
    assert welch_p_values(count, np.array([[0.3, 0.3, 0.4]]), np.zeros((1, 3)))[0] < 1e-12


def pool_of_sites(*, sites=("north", "south"), cases=60, seed=0):
    """In the north a brings b about; everywhere c brings d about; e and f have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    pool = PopulationPool(MARGIN, keep_sequences=True)
    for number in range(cases):
        site = sites[number % len(sites)]
        for first, second, strength in (("a", "b", 0.4 * (site == "north")), ("c", "d", 0.4), ("e", "f", 0.0)):
            cmi = np.array([max(0.0, strength + rng.normal(0, 0.03))])
            one = np.ones(1)
            scores = PairScores(np.array([0]), np.array([1]), cmi, one, one * 0)
            sequence = EventSequence((first, second), id=f"case{number}#{first}", context=(("site", site),))
            pool.add(sequence, scores)
    return pool


def test_edges_that_hold_in_some_groups_are_told_apart():
    graph = pool_of_sites().graph(compare=["site"])
    groups = {(edge["cause"], edge["effect"]): edge["groups"]["site"] for edge in graph.edges}
    assert set(groups) == {("a", "b"), ("c", "d")}
    assert (groups["a", "b"]["differs"], groups["a", "b"]["holds_in"]) == (True, ["north"])
    assert groups["a", "b"]["cmi"]["north"] == pytest.approx(0.4, abs=0.03)
    assert groups["a", "b"]["support"] == {"north": 30, "south": 30}
    assert (groups["c", "d"]["differs"], groups["c", "d"]["holds_in"]) == (False, ["north", "south"])
    assert groups["c", "d"]["q"] > 0.05


def test_an_edge_of_one_group_alone_is_in_the_graph():
    """Carried in all 30 sequences of the north, 11 % of the whole: too few for a least share of 0.3."""
    pool = pool_of_sites(sites=("north", *["south"] * 8), cases=270)
    plain, compared = (pool.graph(min_frequency=0.3, compare=names) for names in ((), ("site",)))
    assert [(edge["cause"], edge["effect"]) for edge in plain.edges] == [("c", "d")]
    assert [(edge["cause"], edge["effect"]) for edge in compared.edges] == [("a", "b"), ("c", "d")]
    assert compared.edges[0]["groups"]["site"]["holds_in"] == ["north"]


def test_columns_that_are_not_there_are_refused():
    with pytest.raises(SettingsError, match="no context 'plant' whose groups could be compared; they have 'site'"):
        pool_of_sites(cases=12).graph(compare=["plant"])
    assert PopulationPool(MARGIN, keep_sequences=True).graph(compare=["plant"]).edges == ()


def test_a_stored_pool_keeps_groups(tmp_path):
    from hf_trace.discovery.population.pool_files import load_pool, save_pool

    pool = pool_of_sites()
    save_pool(pool.state(), {}, tmp_path / "pool.zip")
    again = PopulationPool.from_state(MARGIN, load_pool(tmp_path / "pool.zip")[0])
    assert again.graph(compare=["site"]).to_dict() == pool.graph(compare=["site"]).to_dict()
