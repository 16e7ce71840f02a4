"""Rows that were chosen: formulas for everybody against enumeration, and questions that chosen rows do not answer."""

import numpy as np
import pytest
from tests.dag_lm import exact_conditionals, product, random_joint, true_answer
from tests.effects.test_identification import random_question, random_schema
from tests.effects.test_response_types import schema

from hf_trace.effects.answers import answers
from hf_trace.effects.identification import identify
from hf_trace.effects.identifying.estimands import as_text, evaluated, variables_of
from hf_trace.effects.queries import Force, Query
from hf_trace.errors import NotIdentifiedError, QueryError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

# Names that begin with U are latent; US says which rows were chosen.
RECOVERED = {
    "the treatment leads to the choice": ("X Y; X US", "Y X", "p(Y | X)"),
    "a cause of the treatment does": ("A X; X Y; A US", "Y X", "p(Y | X)"),
    "its confounder does, and is given": ("Z X; Z Y; X Y; Z US", "Y X Z", "p(Y | Z, X)"),
    "nothing does": ("X Y; U X; U Z; UT US", "Y X", "p(Y | X)"),
    "seen and not done": ("X Y; U X; U Y; X US", "Y  X", "p(Y | X)"),
    "a mediator": ("X M; M Y; X US; A X; A US", "Y X", "p(Y | X)"),
}
REFUSED = {
    "the target leads to the choice": ("X Y; Y US", "Y X", "'Y' leads to the choice along 'Y' → 'US'"),
    "an effect of the target does": ("X Y; Y E; E US", "Y X", "'Y' leads to the choice along 'Y' → 'E' → 'US'"),
    "a confounder does": ("Z X; Z Y; X Y; Z US", "Y X", "so 'Z' can differ there"),
    "a latent cause of the target does": ("X Y; U Y; U US", "Y X", "'Y' can differ"),
    "confounded anyhow": ("X Y; U X; U Y; X US", "Y X", "leads to the choice"),
}


def question(text):
    target, do, given, *_ = [*text.split(" "), "", ""]
    return {"target": target, "do": [n for n in do.split(",") if n], "given": [n for n in given.split(",") if n]}


def chosen(graph, joint):
    """p(observed | US = 1), axes in topological order."""
    names = [each.name for each in graph.variables]
    part = np.take(joint, [1], axis=names.index("US"))
    latent = tuple(names.index(name) for name in graph.latent)
    left = [name for name in names if name not in graph.latent]
    table = part.sum(axis=latent).transpose([left.index(name) for name in graph.topological_order])
    return table / table.sum()


def assert_formula_is_right(graph, found, seed):
    _, tables = random_joint(graph, seed)
    joint = product(graph, tables, [each.name for each in graph.variables])
    order = graph.topological_order
    values = evaluated(found.estimand, chosen(graph, joint), order)
    asked = (*found.do, *found.given)
    for codes in np.ndindex(*(len(graph[name].values) for name in asked)):
        fixed = dict(zip(asked, codes, strict=True))
        index = tuple(slice(None) if name == found.target else fixed.get(name, 0) for name in order)
        index = tuple(each if size > 1 else 0 for each, size in zip(index, values.shape, strict=True))
        do, given = ({name: fixed[name] for name in names} for names in (found.do, found.given))
        truth = true_answer(graph, tables, found.target, do, given)
        np.testing.assert_allclose(np.broadcast_to(values[index], truth.shape), truth, atol=1e-9)


@pytest.mark.parametrize("case", RECOVERED)
def test_what_chosen_rows_tell(case):
    text, asked, formula = RECOVERED[case]
    graph = schema(text)
    found = identify(graph, **question(asked), selection="US")
    assert as_text(found.estimand) == formula
    assert found.explanation.endswith("all of it is as in rows that 'US' chose.")
    for seed in range(3):
        assert_formula_is_right(graph, found, seed)


@pytest.mark.parametrize("case", REFUSED)
def test_what_chosen_rows_do_not_tell(case):
    text, asked, words = REFUSED[case]
    with pytest.raises(NotIdentifiedError) as refused:
        identify(schema(text), **question(asked), selection="US")
    assert words in str(refused.value)
    assert str(refused.value).startswith("No formula of chosen rows is found for p(Y | do(X)")


def with_choice(graph, rng):
    """A graph in which one or two variables lead to the choice."""
    parents = [str(name) for name in rng.choice([each.name for each in graph.variables], int(rng.integers(1, 3)))]
    return DagSchema((*graph.variables, Variable("US", parents=tuple(dict.fromkeys(parents)), latent=True)))


@pytest.mark.parametrize("seed", range(4))
def test_every_formula_of_random_graphs_equals_enumeration(seed):
    rng = np.random.default_rng(seed)
    found = refused = 0
    for _ in range(60):
        graph = with_choice(random_schema(rng, int(rng.integers(3, 6)), int(rng.integers(0, 3))), rng)
        asked = random_question(rng, graph, int(rng.integers(0, 3)), int(rng.integers(0, 2)))
        try:
            answer = identify(graph, **asked, selection="US")
        except NotIdentifiedError:
            refused += 1
            continue
        found += 1
        assert variables_of(answer.estimand) <= set(answer.order)
        assert_formula_is_right(graph, answer, int(rng.integers(1000)))
    assert found > 5
    assert refused > 5


def test_a_model_of_chosen_rows_answers_for_everybody():
    graph = schema("Z X; Z Y; X Y; Z US")
    _, tables = random_joint(graph, 1)
    table = chosen(graph, product(graph, tables, [each.name for each in graph.variables]))
    conditionals = exact_conditionals(graph, table, parents_only=False)
    query = Query("Y", {"X": Force(1)}, {"Z": 0}, selection="US")
    found = answers(conditionals, [query])[0]
    np.testing.assert_allclose(found.probabilities, true_answer(graph, tables, "Y", {"X": 1}, {"Z": 0}), atol=3e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [("X Y; X S", "'S' is observed, so the table has rows of all its values"), ("X Y; US X", "which causes 'X'")],
)
def test_what_rows_cannot_be_chosen_by(text, message):
    with pytest.raises(QueryError, match=message):
        identify(schema(text), target="Y", do=["X"], selection="S" if " S" in text else "US")
