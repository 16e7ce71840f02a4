"""Complete identification: the verdicts of other programs on random graphs, and formulas against enumeration."""

import functools
import itertools
import random

import networkx as nx
import numpy as np
import pytest

from hf_trace.effects.identifying.estimands import (
    Conditional,
    Product,
    Ratio,
    Total,
    as_latex,
    as_text,
    evaluated,
    ratio_of,
    total_of,
    variables_of,
)
from hf_trace.effects.identifying.formulas import CompleteQuestion, Hedge
from hf_trace.effects.identifying.projection import Projection

# Whether each of the questions below has a formula, a bit each behind a leading one: ananke-causal 0.5.0 (OneLineID)
# once every subset of the evidence had been tried for rule 2 of the do-calculus with the d-separation of networkx
# 3.6.1. y0 0.2.11 agrees on all 213 questions without evidence.
VERDICTS = (
    "1f2f7ffd9bebc7f3ffff7fbfffb3febddfefdddbbaf5dbffddf1fdfffbf5edbfe977adedefb9dffef4ffceffbf4f7af73fbfbfbfdff6ff7bfd"
    "fffbd7ff77fef97df992dfffef759ff7f17ff"
)


def questions(count, seed=22):
    """Graphs of 3 to 7 observed variables with arrows and latent causes of pairs; one treatment, up to two given."""
    rng = random.Random(seed)
    for _ in range(count):
        size = rng.randint(3, 7)
        names = [f"V{i}" for i in range(size)]
        density = rng.uniform(0.2, 0.75)
        order = rng.sample(names, size)
        arrows = [(a, b) for a, b in itertools.combinations(order, 2) if rng.random() < density]
        pairs = [pair for pair in itertools.combinations(names, 2) if rng.random() < rng.uniform(0.1, 0.5)]
        asked = rng.sample(names, min(size, 4))
        given = asked[2 : 2 + rng.randint(0, 2)]
        graph = nx.DiGraph()
        graph.add_nodes_from(order)
        graph.add_edges_from(arrows)
        graph.add_edges_from((f"U{i}", name) for i, pair in enumerate(pairs) for name in pair)
        sets = (frozenset(each) for each in (order, [asked[0]], [asked[1]], given))
        yield CompleteQuestion(graph, *sets)


def test_other_programs_say_the_same_of_600_graphs():
    bits = [not isinstance(question.formula(), Hedge) for question in questions(600)]
    assert f"{int('1' + ''.join(str(int(bit)) for bit in bits), 2):x}" == VERDICTS


def model(graph, rng):
    """p(variable | parents) of every variable of two values, at axes of all variables."""
    names = list(graph)
    for place, name in enumerate(names):
        shape = [2 if other in graph.predecessors(name) else 1 for other in names]
        chance = rng.uniform(0.05, 0.95, shape)
        yield name, np.concatenate([1 - chance, chance], axis=place)


def largest_error(question, formula, rng):
    """Of p(target | do, given) at all values of the three, with the latent variables in sight."""
    names, tables = list(question.graph), dict(model(question.graph, rng))

    def product(chosen):
        return functools.reduce(np.multiply, (tables[name] for name in chosen), np.ones([2] * len(names)))

    observed = [name for name in names if name in question.observed]
    latent = tuple(axis for axis, name in enumerate(names) if name not in question.observed)
    forced = product([name for name in names if name not in question.do])
    asked = question.targets | question.do | question.given
    gone = tuple(axis for axis, name in enumerate(names) if name not in asked)
    truth = np.squeeze(forced.sum(axis=gone, keepdims=True), axis=latent)
    target = tuple(observed.index(name) for name in question.targets)
    truth = truth / truth.sum(axis=target, keepdims=True)
    found = evaluated(formula, product(names).sum(axis=latent), observed)
    return np.abs(found - truth).max()


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.slow)])  # all: 12 s
def test_formulas_equal_enumeration(count):
    rng = np.random.default_rng(0)
    errors = []
    for question in questions(count):
        formulas = [question.formula(), question.simplest()]
        if isinstance(formulas[0], Hedge):
            assert isinstance(formulas[1], Hedge)
            continue
        assert variables_of(formulas[1]) <= question.observed
        assert formulas[1].free <= question.targets | question.do | question.given
        errors += [largest_error(question, formula, rng) for formula in formulas]
    assert len(errors) > count
    assert max(errors) < 1e-9


def test_every_hedge_is_one():
    """Definition 6 of Shpitser and Pearl: joined by latent causes, and all of it acts on the part within it."""
    met = 0
    for question in questions(200, seed=3):
        hedge = question.formula()
        if not isinstance(hedge, Hedge):
            continue
        met += 1
        inside = hedge.projection.among(hedge.whole)
        assert hedge.part < hedge.whole
        assert hedge.treatment in hedge.whole - hedge.part
        assert inside.districts() == [hedge.whole]
        assert inside.among(hedge.part).districts() == [hedge.part]
        assert inside.causes(hedge.part) == hedge.whole
        assert hedge.confounding[0] == hedge.acting[0] == hedge.treatment
        assert {hedge.confounding[-1], hedge.acting[-1]} <= hedge.part
        assert set(hedge.latent) <= set(question.graph) - question.observed
        assert question.suffices(set(question.graph))
    assert met > 20


def test_a_latent_variable_between_others_is_taken_out():
    graph = nx.DiGraph([("A", "U"), ("U", "B"), ("U", "C"), ("U2", "U"), ("U2", "D"), ("B", "D")])
    found = Projection.of(graph, "ABCD")
    assert set(found.arrows.edges) == {("A", "B"), ("A", "C"), ("B", "D")}
    assert {frozenset(edge) for edge in found.joined.edges} == {frozenset(pair) for pair in ("BC", "BD", "CD")}
    assert found.joined.edges["B", "C"]["latent"] == ["U2", "U"] or found.joined.edges["B", "C"]["latent"] == [
        "U",
        "U2",
    ]
    assert found.joined.edges["B", "D"]["latent"] == ["U2"]


def test_sums_are_spared_where_they_add_to_one():
    a, b_given_a = Conditional(("a",)), Conditional(("b",), ("a",))
    assert total_of(["b", "a"], Product((a, b_given_a))) == Product()
    assert total_of(["a"], Product((a, b_given_a))) == Conditional(("b",))
    kept = total_of(["a"], Product((a, b_given_a, Conditional(("c",), ("a",)))))
    assert as_text(kept) == "Σ_{a} p(a) p(b | a) p(c | a)"
    assert ratio_of(a, a) == Product()
    assert as_text(Product()) == "1"


def test_names_are_primed_where_two_would_be_one_and_escaped_for_latex():
    inner = Total(("x",), Product((Conditional(("x",)), Conditional(("y_1",), ("x", "m")))))
    formula = Total(("m",), Product((inner, Conditional(("m",), ("x",)))))
    assert as_text(formula) == "Σ_{m} p(m | x) Σ_{x'} p(x') p(y_1 | x', m)"
    assert as_latex(formula) == (
        r"\sum_{\mathrm{m}} p(\mathrm{m} \mid \mathrm{x}) \sum_{\mathrm{x}'} p(\mathrm{x}') "
        r"p(\mathrm{y\_1} \mid \mathrm{x}', \mathrm{m})"
    )
    assert as_text(Product((inner, Total(("m",), Conditional(("m",)))))).startswith("(Σ_{x} p(x) p(y_1 | x, m)) Σ_{m'}")
    assert as_text(Ratio(inner, Conditional(("m",)))) == "[Σ_{x} p(x) p(y_1 | x, m)] / [p(m)]"
