"""Answers by formulas of an oracle whose conditionals are known, against enumeration with the latent variables."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.dag_lm import exact_conditionals, observed_joint, random_joint, true_answer

from hf_trace.effects.answers import AnswerSettings, answers, error_of_mean
from hf_trace.effects.contrasts import Contrast, differences
from hf_trace.effects.formula_answers import ModelJoint, formula_answer, towards_rows
from hf_trace.effects.identification import identify
from hf_trace.effects.identifying.estimands import Conditional
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.errors import QueryError
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable


def schema(text, **sizes):
    """``"U X; X Y"``: an arrow each; names that begin with U are latent, others have two values unless said."""
    parents = {}
    for arrow in text.split(";"):
        *causes, effect = arrow.split()
        for name in (*causes, effect):
            parents.setdefault(name, [])
        parents[effect] += causes
    return DagSchema(
        tuple(
            Variable(
                name,
                values=() if name.startswith("U") else tuple("abc"[: sizes.get(name, 2)]),
                parents=tuple(causes),
                latent=name.startswith("U"),
            )
            for name, causes in parents.items()
        )
    )


FRONT_DOOR = schema("U X; U Y; X M; M Y", M=3)
GRAPHS = {
    "front-door": (FRONT_DOOR, "Y", "X", ""),
    "napkin": (schema("W Z; Z X; X Y; U1 W; U1 X; U2 W; U2 Y", Y=3), "Y", "X", ""),
    "front-door with evidence": (schema("A X; A Y; A M; U X; U Y; X M; M Y", X=3), "Y", "X", "A"),
    "evidence through a ratio": (schema("U X; U M; X Y; Y M"), "Y", "X", "M"),
    "idle treatment": (schema("B A; A Y; U B; U Y"), "Y", "AB", ""),
}


def oracle(graph, seed):
    joint, tables = random_joint(graph, seed)
    return exact_conditionals(graph, observed_joint(graph, joint), parents_only=False), tables


def queries(graph, target, do, given):
    names = [*do, *given]
    for codes in itertools.product(*(range(len(graph[name].values)) for name in names)):
        values = dict(zip(names, codes, strict=True))
        yield Query(target, {name: Force(values[name]) for name in do}, {name: values[name] for name in given})


@pytest.mark.parametrize("case", GRAPHS)
def test_every_value_equals_enumeration(case):
    graph, target, do, given = GRAPHS[case]
    conditionals, tables = oracle(graph, 1)
    asked = list(queries(graph, target, do, given))
    for query, answer in zip(asked, answers(conditionals, asked), strict=True):
        truth = true_answer(graph, tables, target, {name: each.code for name, each in query.do.items()}, query.given)
        np.testing.assert_allclose(answer.probabilities, truth, atol=3e-6)
        assert answer.draws == 0
        assert answer.identification.estimand is not None


def test_what_is_seen_is_not_what_is_done():
    conditionals, _ = oracle(FRONT_DOOR, 1)
    seen, done = answers(conditionals, [Query("Y", {}, {"X": 1}), Query("Y", {"X": Force(1)})])
    assert abs(seen.probabilities[0] - done.probabilities[0]) > 0.01


def test_where_values_are_many_the_others_are_drawn():
    # Six causes of the treatment tell of the latent variable; all are in the order, and none in the formula.
    graph = schema("; ".join(f"U A{i}; A{i} X" for i in range(6)) + "; U X; U Y; X M; M Y")
    conditionals, tables = oracle(graph, 3)
    query = Query("Y", {"X": Force(1)})
    truth = true_answer(graph, tables, "Y", {"X": 1}, {})
    exact = answers(conditionals, [query])[0]
    np.testing.assert_allclose(exact.probabilities, truth, atol=3e-6)
    deviations = []
    for seed in range(8):
        drawn = answers(conditionals, [query], AnswerSettings(num_samples=300, most_states=100, seed=seed))[0]
        assert drawn.draws == 300
        assert 30 < drawn.effective_sample_size <= 300
        deviations.append((drawn.probabilities[0] - truth[0]) / drawn.standard_error[0])
    assert np.abs(deviations).max() < 4
    assert np.std(deviations) > 0.2


def test_contrasts_by_formula():
    conditionals, tables = oracle(FRONT_DOOR, 5)
    scores = np.array([0.0, 1.0])
    ate = differences(conditionals, [Contrast("ate", Query("Y", {"X": Force(1)}), {"X": 0})], [scores])[0]
    truth = [true_answer(FRONT_DOOR, tables, "Y", {"X": code}, {}) for code in (0, 1)]
    assert ate.value == pytest.approx((truth[1] - truth[0]) @ scores, abs=3e-6)
    att = differences(conditionals, [Contrast("att", Query("Y", {"X": Force(1)}), {"X": 0})], [scores])[0]
    # E[Y(1) - Y(0) | X = 1] with the latent variable in sight: U given X = 1, then M given do(X), then Y.
    u_given_x = tables["U"] * tables["X"][:, 1]
    u_given_x = u_given_x / u_given_x.sum()
    parents = FRONT_DOOR["Y"].parents
    y = tables["Y"] if parents == ("U", "M") else tables["Y"].swapaxes(0, 1)
    means = [np.einsum("u,m,umy,y->", u_given_x, tables["M"][code], y, scores) for code in (0, 1)]
    assert att.value == pytest.approx(means[1] - means[0], abs=3e-6)


def test_a_policy_that_looks_at_nothing_is_a_mixture():
    conditionals, tables = oracle(FRONT_DOOR, 2)
    coin = Follow((), lambda codes: np.tile([0.25, 0.75], (len(codes), 1)))
    found = answers(conditionals, [Query("Y", {"X": coin})])[0].probabilities
    truth = [true_answer(FRONT_DOOR, tables, "Y", {"X": code}, {}) for code in (0, 1)]
    np.testing.assert_allclose(found, 0.25 * truth[0] + 0.75 * truth[1], atol=3e-6)


def test_a_policy_that_looks_is_refused():
    graph, *_ = GRAPHS["front-door with evidence"]
    conditionals, _ = oracle(graph, 2)
    policy = Follow(("A",), lambda codes: np.tile([0.25, 0.75, 0.0], (len(codes), 1)))
    with pytest.raises(QueryError, match="What is done to 'X' depends on other values, and the question is answered"):
        answers(conditionals, [Query("Y", {"X": policy})])


def rows_of(graph, joint, count, seed):
    """Rows drawn from a joint over the observed variables."""
    drawn = np.random.default_rng(seed).choice(joint.size, count, p=joint.ravel())
    codes = np.unravel_index(drawn, joint.shape)
    return DagTable(graph, dict(zip(graph.topological_order, codes, strict=True)), np.ones(count))


def test_counts_take_over_from_a_model_that_rows_contradict():
    joint = observed_joint(FRONT_DOOR, random_joint(FRONT_DOOR, 1)[0])
    names, wrong = FRONT_DOOR.topological_order, np.full(joint.shape, 1 / joint.size)
    rows = rows_of(FRONT_DOOR, joint, 5000, 0)
    counts = np.zeros(joint.shape)
    np.add.at(counts, tuple(rows.columns[name] for name in names), 1 / len(rows))
    found = towards_rows(ModelJoint(names, wrong), rows)
    assert found.probabilities.sum() == pytest.approx(1)
    assert np.abs(found.probabilities - counts).max() < 2e-3
    assert found.rows == 5000


def test_a_model_that_rows_confirm_fills_what_was_hardly_seen():
    joint = observed_joint(FRONT_DOOR, random_joint(FRONT_DOOR, 1)[0])
    names, off = FRONT_DOOR.topological_order, []
    for seed in range(30):
        rows = rows_of(FRONT_DOOR, joint, 100, seed)
        counts = np.zeros(joint.shape)
        np.add.at(counts, tuple(rows.columns[name] for name in names), 1 / len(rows))
        found = towards_rows(ModelJoint(names, joint), rows).probabilities
        off.append([np.abs(each - joint).sum() for each in (found, counts)])
    assert np.mean(off, axis=0)[0] < 0.85 * np.mean(off, axis=0)[1]


def test_the_error_of_counts_is_that_of_a_share():
    """Without a treatment the formula is a conditional, whose error is sqrt(p (1 - p) / n)."""
    graph = schema("X Y")
    joint = np.array([[0.3, 0.2], [0.1, 0.4]])
    model = ModelJoint(("X", "Y"), np.array([[0.49, 0.01], [0.01, 0.49]]))
    found = towards_rows(model, rows_of(graph, joint, 20_000, 0))
    answer = formula_answer(Query("Y", {"X": Force(1)}), Conditional(("Y",), ("X",)), found)
    share = answer.probabilities[1]
    assert share == pytest.approx(0.8, abs=0.02)
    error = error_of_mean(answer.influence[:, 1])
    assert error == pytest.approx(np.sqrt(share * (1 - share) / 10_000), rel=0.4)  # 19 degrees of freedom


def test_the_error_of_a_formula_is_that_of_tables_drawn_anew():
    joint, tables = random_joint(FRONT_DOOR, 4)
    exact, names = observed_joint(FRONT_DOOR, joint), FRONT_DOOR.topological_order
    formula = identify(FRONT_DOOR, target="Y", do=["X"]).estimand
    truth = true_answer(FRONT_DOOR, tables, "Y", {"X": 1}, {})[0]
    found = []
    for seed in range(30):
        moved = towards_rows(ModelJoint(names, exact), rows_of(FRONT_DOOR, exact, 3000, seed))
        drawn = replace(moved, probabilities=moved.without.mean(axis=0))
        answer = formula_answer(Query("Y", {"X": Force(1)}), formula, drawn)
        found.append((answer.probabilities[0] - truth, error_of_mean(answer.influence[:, 0])))
    off, errors = np.array(found).T
    assert errors.mean() == pytest.approx(off.std(), rel=0.4)
    assert np.mean(np.abs(off) < 2.09 * errors) > 0.8


def test_answers_of_a_model_with_rows_say_so():
    conditionals, tables = oracle(FRONT_DOOR, 1)
    joint = observed_joint(FRONT_DOOR, random_joint(FRONT_DOOR, 1)[0])
    with_rows = replace(conditionals, rows=rows_of(FRONT_DOOR, joint, 4000, 3))
    answer = answers(with_rows, [Query("Y", {"X": Force(1)})])[0]
    truth = true_answer(FRONT_DOOR, tables, "Y", {"X": 1}, {})
    assert answer.rows == 4000
    assert answer.draws == 0
    assert abs(answer.probabilities[0] - truth[0]) < 4 * answer.standard_error[0] < 0.2


def test_with_rows_what_a_walk_answers_is_a_formula_too():
    """So that rows can be counted; policies, and effects on the treated, are walked as before."""
    graph = schema("Z X; Z Y; X Y; U Z; U X", Z=3)
    joint, tables = random_joint(graph, 6)
    conditionals = exact_conditionals(graph, observed_joint(graph, joint), parents_only=False)
    with_rows = replace(conditionals, rows=rows_of(graph, observed_joint(graph, joint), 5000, 0))
    query = Query("Y", {"X": Force(1)})
    walked, counted = (answers(each, [query])[0] for each in (conditionals, with_rows))
    truth = true_answer(graph, tables, "Y", {"X": 1}, {})
    assert walked.identification.estimand is None
    assert (counted.rows, counted.identification.adjustment) == (5000, {})
    np.testing.assert_allclose(walked.probabilities, truth, atol=3e-6)
    assert abs(counted.probabilities[0] - truth[0]) < 4 * counted.standard_error[0]
    coin = Follow(("Z",), lambda codes: np.full((len(codes), 2), 0.5))
    assert answers(with_rows, [Query("Y", {"X": coin})])[0].rows == 0
    assert answers(with_rows, [query], AnswerSettings(most_states=5))[0].rows == 0


def test_formulas_of_too_many_values_are_refused():
    conditionals, _ = oracle(FRONT_DOOR, 2)
    with pytest.raises(QueryError, match=r"sums over 1.2e\+01 values of 'X', 'M', 'Y' together, expected at most 5."):
        answers(conditionals, [Query("Y", {"X": Force(1)})], AnswerSettings(most_states=5))
