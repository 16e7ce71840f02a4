"""Two proxies of a latent confounder: enumeration, the formula for a known error of measurement, and its error."""

import numpy as np
import pytest
from tests.dag_lm import observed_joint, product, random_joint, true_answer
from tests.effects.test_response_types import schema

from hf_trace.effects.identifying.formulas import CompleteQuestion
from hf_trace.effects.identifying.proxies import ProxyPair, proxy_effect, proxy_pairs

PLAIN = schema("U X; U Y; X Y; U Z; U W; Z X; W Y", Z=2, W=2)
GRAPHS = {
    "both joined": (PLAIN, [("Z", "W")]),
    "neither joined": (schema("U X; U Y; X Y; U Z; U W"), [("Z", "W"), ("W", "Z")]),
    "a covariate of all": (schema("C X; C Y; C Z; C W; U X; U Y; X Y; U Z; U W; Z X; W Y", C=3), [("Z", "W")]),
    "the proxy of the treatment is its effect": (schema("U X; U Y; X Y; U Z; U W; X Z; W Y"), [("Z", "W")]),
    "an effect of the treatment is no proxy of the target": (schema("U X; U Y; X Y; U Z; U W; X W"), [("W", "Z")]),
    "proxies act on each other": (schema("U X; U Y; X Y; U Z; U W; Z W; Z X"), []),
    "a proxy that shows nothing": (schema("U X; U Y; X Y; U Z; V W; Z X"), []),
    "a second confounder": (schema("U X; U Y; X Y; U Z; U W; U2 X; U2 Y"), []),
}


def question(graph):
    sets = frozenset(graph.topological_order), frozenset("Y"), frozenset("X")
    return CompleteQuestion(graph.graph, *sets)


def means(graph, tables, scores):
    return [true_answer(graph, tables, "Y", {"X": arm}, {}) @ scores for arm in range(len(graph["X"].values))]


@pytest.mark.parametrize("case", GRAPHS)
def test_the_graph_says_what_is_a_proxy(case):
    graph, expected = GRAPHS[case]
    found = proxy_pairs(question(graph))
    assert [(pair.of_treatment, pair.of_target) for pair in found] == expected
    assert all(pair.covariates == (("C",) if "C" in graph.by_name else ()) for pair in found)


@pytest.mark.parametrize("case", [name for name, (_, pairs) in GRAPHS.items() if pairs])
@pytest.mark.parametrize("seed", range(5))
def test_exact_probabilities_give_the_exact_effect(case, seed):
    graph, _ = GRAPHS[case]
    joint, tables = random_joint(graph, seed)
    scores = np.array([-1.0, 2.0])
    for pair in proxy_pairs(question(graph)):
        found = proxy_effect(
            question(graph), pair, observed_joint(graph, joint), graph.topological_order, [(1, scores), (0, -scores)]
        )
        truth = means(graph, tables, scores)
        assert found.value == pytest.approx(truth[1] - truth[0], abs=1e-9 * found.condition**2)
        assert found.values == 2
        assert found.condition >= 1


@pytest.mark.parametrize("seed", range(5))
def test_proxies_with_more_values_than_the_confounder(seed):
    graph = schema("U X; U Y; X Y; U Z; U W; Z X; W Y", Z=4, W=3, Y=3)
    joint, tables = random_joint(graph, seed)
    (pair,) = proxy_pairs(question(graph))
    exact = observed_joint(graph, joint)
    asked = question(graph), pair, exact, graph.topological_order, [(1, np.arange(3.0))]
    found = proxy_effect(*asked, values=2)
    assert found.value == pytest.approx(means(graph, tables, np.arange(3.0))[1], abs=1e-9 * found.condition**2)
    assert "has no more than 2 values, which 'Z' and 'W' tell apart (completeness)" in found.assumes
    # A confounder of two values leaves the third canonical correlation at zero.
    assert proxy_effect(*asked) is None


def test_a_known_error_of_measurement_gives_the_same():
    """The matrix adjustment of Kuroki and Pearl (2014): p(a, y, u) from p(a, y, w) and p(w | u), by inversion."""
    graph = schema("U X; U Y; X Y; U Z; U W")
    joint, tables = random_joint(graph, 3)
    exact = observed_joint(graph, joint)
    order = graph.topological_order
    table = np.einsum(exact, [order.index(name) for name in order], [order.index(name) for name in "XYW"])
    with_u = np.einsum("xyw,wu->xyu", table, np.linalg.inv(tables["W"]))
    by_matrix = sum(with_u[..., u].sum() * with_u[1, 1, u] / with_u[1, :, u].sum() for u in range(2))
    found = proxy_effect(question(graph), ProxyPair("U", "Z", "W"), exact, order, [(1, np.array([0.0, 1.0]))])
    assert found.value == pytest.approx(by_matrix, abs=1e-9)


def test_the_standard_error_is_that_of_tables_drawn_anew():
    _, tables = random_joint(PLAIN, 7)
    tables["Z"] = np.array([[0.8, 0.2], [0.2, 0.8]])
    tables["W"] = np.array([[0.9, 0.1], [0.3, 0.7]])
    tables["X"] = np.array([[[0.8, 0.2], [0.5, 0.5]], [[0.6, 0.4], [0.3, 0.7]]])
    exact = observed_joint(PLAIN, product(PLAIN, tables, [each.name for each in PLAIN.variables]))
    rows = 20_000
    scores = np.array([0.0, 1.0])
    asked = question(PLAIN), ProxyPair("U", "Z", "W")
    arms = [(1, scores), (0, -scores)]
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(rows, exact.ravel(), size=400).reshape(400, *exact.shape) / rows
    found = [proxy_effect(*asked, each, PLAIN.topological_order, arms, rows=rows) for each in drawn]
    truth = np.subtract(*means(PLAIN, tables, scores)[::-1])
    assert np.std([each.value for each in found]) == pytest.approx(found[0].standard_error, rel=0.15)
    held = [abs(each.value - truth) < 1.96 * each.standard_error for each in found]
    assert 0.92 < np.mean(held) < 0.98
    assert not any(each.is_weak for each in found)
    assert all(proxy_effect(*asked, each, PLAIN.topological_order, arms, rows=100).is_weak for each in drawn[:9])


def test_without_rows_no_error_is_made_up():
    joint, _ = random_joint(PLAIN, 1)
    asked = question(PLAIN), ProxyPair("U", "Z", "W"), observed_joint(PLAIN, joint), PLAIN.topological_order
    assert proxy_effect(*asked, [(1, np.array([0.0, 1.0]))]).standard_error is None


def test_proxies_that_tell_nothing_apart_say_nothing():
    joint = np.full((2, 2, 2, 2), 1 / 16)
    asked = question(PLAIN), ProxyPair("U", "Z", "W"), joint, PLAIN.topological_order
    assert proxy_effect(*asked, [(1, np.array([0.0, 1.0]))]) is None
