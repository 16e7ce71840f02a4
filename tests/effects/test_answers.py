"""Interventional answers against enumeration, under oracles whose conditionals are known."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from tests.dag_lm import exact_conditionals, observed_joint, random_joint, true_answer

from hf_trace.effects.answers import AnswerSettings, answers
from hf_trace.effects.queries import Continue, Follow, Force, Query
from hf_trace.errors import NotIdentifiedError, OverlapError, QueryError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

LETTERS = "abcdefgh"


def variable(name, size, *parents, **kwargs):
    return Variable(name, values=() if kwargs.get("latent") else tuple(LETTERS[:size]), parents=parents, **kwargs)


def shapes(size):
    """Every directed acyclic graph of so many nodes, up to renaming."""
    pairs = list(itertools.combinations(range(size), 2))
    seen = {}
    for mask in itertools.product((0, 1), repeat=len(pairs)):
        graph = nx.DiGraph()
        graph.add_nodes_from(range(size))
        graph.add_edges_from(pair for pair, kept in zip(pairs, mask, strict=True) if kept)
        degrees = sorted((graph.in_degree(node), graph.out_degree(node)) for node in graph)
        alike = seen.setdefault(tuple(degrees), [])
        if not any(nx.is_isomorphic(graph, other) for other in alike):
            alike.append(graph)
            yield graph


SHAPES = [graph for size in (2, 3, 4, 5) for graph in shapes(size)]


def schema_of(graph):
    return DagSchema(
        tuple(variable(f"V{node}", 2, *(f"V{each}" for each in sorted(graph.predecessors(node)))) for node in graph)
    )


def random_query(schema, generator):
    """A question with one or two interventions, or evidence, anywhere in the graph."""
    names = list(generator.permutation([each.name for each in schema.variables]))
    target, treatment, rest = names[0], names[1], names[2:]
    do, given = {treatment: Force(int(generator.integers(2)))}, {}
    for name in rest[:2]:
        kind = generator.integers(3)
        if kind == 0:
            given[name] = int(generator.integers(2))
        elif kind == 1:
            do[name] = Force(int(generator.integers(2)))
    return Query(target, do, given)


def truth(schema, tables, query):
    do = {name: each.code for name, each in query.do.items()}
    return true_answer(schema, tables, query.target, do, query.given)


def test_there_are_as_many_shapes_as_mathematics_says():
    assert len(SHAPES) == 2 + 6 + 31 + 302  # OEIS A003087


@pytest.mark.slow  # 12 s
def test_every_shape_is_answered_exactly_and_within_its_errors():
    generator = np.random.default_rng(0)
    deviations = []
    for number, graph in enumerate(SHAPES):
        schema = schema_of(graph)
        joint, tables = random_joint(schema, number)
        query = random_query(schema, generator)
        conditionals = exact_conditionals(schema, observed_joint(schema, joint), parents_only=True)
        expected = truth(schema, tables, query)
        exact = answers(conditionals, [query])[0]
        np.testing.assert_allclose(exact.probabilities, expected, atol=2e-6)
        assert exact.draws == 0
        assert (exact.standard_error == 0).all()
        settings = AnswerSettings(num_samples=500, most_states=1, seed=number)
        sampled = answers(conditionals, [query], settings)[0]
        if sampled.standard_error[0] > 1e-9:
            deviations.append((sampled.probabilities[0] - expected[0]) / sampled.standard_error[0])
        else:
            np.testing.assert_allclose(sampled.probabilities, expected, atol=2e-6)
    assert len(deviations) > 100
    assert np.abs(deviations).max() < 4
    assert 0.85 < np.std(deviations) < 1.15


CONFOUNDED = DagSchema(
    (
        variable("Z", 3),
        variable("A", 2, "Z"),
        variable("M", 2, "A", "Z"),
        variable("Y", 3, "M", "A", "Z"),
        variable("C", 2, "A", "Y"),
    )
)
JOINT, TABLES = random_joint(CONFOUNDED, 3)


@pytest.fixture(scope="module", params=[True, False], ids=["parents only", "full history"])
def oracle(request):
    return exact_conditionals(CONFOUNDED, observed_joint(CONFOUNDED, JOINT), parents_only=request.param)


def test_both_histories_agree_with_enumeration(oracle):
    queries = [
        Query("Y", {"A": Force(1)}),
        Query("Y", {"A": Force(1)}, {"C": 0}),  # evidence after treatment and target
        Query("Y", {"A": Force(0)}, {"M": 1}),
        Query("Y", {"A": Force(0), "M": Force(1)}, {"Z": 2}),
        Query("Y", {}, {"C": 1}),
        Query("Z", {"A": Force(1)}, {"Y": 1, "C": 0}),
        Query("C", {"A": Force(1), "Y": Force(2)}),
    ]
    found = answers(oracle, queries)
    for query, answer in zip(queries, found, strict=True):
        np.testing.assert_allclose(answer.probabilities, truth(CONFOUNDED, TABLES, query), atol=2e-6)
        assert answer.effective_sample_size == math.inf


def test_full_histories_are_sampled_where_completions_are_many():
    conditionals = exact_conditionals(CONFOUNDED, observed_joint(CONFOUNDED, JOINT), parents_only=False)
    query = Query("Y", {"A": Force(1)}, {"C": 0})
    answer = answers(conditionals, [query], AnswerSettings(num_samples=800, most_states=2))[0]
    assert answer.draws == 800
    assert 30 < answer.effective_sample_size < 800
    deviation = answer.probabilities - truth(CONFOUNDED, TABLES, query)
    assert (np.abs(deviation) < 4 * answer.standard_error + 1e-9).all()


@pytest.mark.slow  # 6 s
def test_intervals_cover_the_truth_as_often_as_they_say(oracle):
    if not oracle.parents_only:
        pytest.skip("the estimator is the same, the oracle slower")
    query = Query("Y", {"A": Force(1)}, {"C": 0})
    expected = truth(CONFOUNDED, TABLES, query)
    covered = []
    for seed in range(500):
        settings = AnswerSettings(num_samples=300, most_states=1, seed=seed)
        answer = answers(oracle, [query], settings)[0]
        covered.append(np.abs(answer.probabilities - expected) < 1.96 * answer.standard_error)
    share = np.mean(covered, axis=0)
    assert ((share > 0.92) & (share < 0.98)).all(), share


def test_forcing_a_root_is_conditioning_on_it(oracle):
    forced = answers(oracle, [Query("Y", {"Z": Force(2)})])[0]
    given = answers(oracle, [Query("Y", {}, {"Z": 2})])[0]
    np.testing.assert_allclose(forced.probabilities, given.probabilities, atol=1e-9)


def test_forcing_a_collider_changes_nothing_before_it(oracle):
    for name in ("Z", "A", "M", "Y"):
        forced, free = answers(oracle, [Query(name, {"C": Force(1)}), Query(name)])
        np.testing.assert_allclose(forced.probabilities, free.probabilities, atol=1e-9)


def test_the_naive_conditional_is_another_number():
    """The net is confounded, so that a wrong estimator would be seen."""
    conditionals = exact_conditionals(CONFOUNDED, observed_joint(CONFOUNDED, JOINT), parents_only=True)
    forced, given = answers(conditionals, [Query("Y", {"A": Force(1)}), Query("Y", {}, {"A": 1})])
    assert np.abs(forced.probabilities - given.probabilities).max() > 0.02


def test_the_order_in_which_variables_are_listed_changes_nothing():
    expected = None
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 13):
        schema = DagSchema(tuple(CONFOUNDED.variables[index] for index in order))
        joint = JOINT.transpose(order)
        for parents_only in (True, False):
            conditionals = exact_conditionals(schema, observed_joint(schema, joint), parents_only=parents_only)
            found = answers(conditionals, [Query("Y", {"A": Force(0)}, {"C": 1})])[0].probabilities
            expected = found if expected is None else expected
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_policies_against_enumeration(oracle):
    """A is drawn from a policy that looks at Z."""
    policy = np.array([[0.9, 0.1], [0.3, 0.7], [0.0, 1.0]])
    query = Query("Y", {"A": Follow(("Z",), lambda codes: policy[codes[:, 0]])})
    tables = {**TABLES, "A": policy}
    expected = true_answer(CONFOUNDED, tables, "Y", {}, {})
    np.testing.assert_allclose(answers(oracle, [query])[0].probabilities, expected, atol=2e-6)
    sampled = answers(oracle, [query], AnswerSettings(num_samples=900, most_states=1))[0]
    assert (np.abs(sampled.probabilities - expected) < 4 * sampled.standard_error).all()


def test_the_treated_against_enumeration(oracle):
    """E[Y(a0) | A = a1] = sum_z p(z | a1) p(y | do(a0), z)."""
    query = Query("Y", {"A": Force(0)}, {}, {"A": 1})
    joint = observed_joint(CONFOUNDED, JOINT)
    treated = joint.sum(axis=(2, 3, 4))[:, 1]
    expected = sum(
        share * true_answer(CONFOUNDED, TABLES, "Y", {"A": 0}, {"Z": z})
        for z, share in enumerate(treated / treated.sum())
    )
    np.testing.assert_allclose(answers(oracle, [query])[0].probabilities, expected, atol=2e-6)


def test_overlap_is_the_probability_of_what_was_forced(oracle):
    answer = answers(oracle, [Query("Y", {"A": Force(1)})])[0]
    assert answer.overlap["A"].smallest == pytest.approx(TABLES["A"][:, 1].min(), abs=1e-6)
    assert answer.overlap["A"].mean == pytest.approx(TABLES["Z"] @ TABLES["A"][:, 1], abs=1e-6)


def test_the_probability_of_evidence(oracle):
    answer = answers(oracle, [Query("Y", {}, {"C": 1, "Z": 0})])[0]
    expected = observed_joint(CONFOUNDED, JOINT)[0, :, :, :, 1].sum()
    assert answer.evidence_probability == pytest.approx(expected, abs=1e-6)


def test_expectations_come_with_errors(oracle):
    numbers = np.array([10.0, 20.0, np.nan])
    query = Query("Y", {"A": Force(1)})
    answer = answers(oracle, [query])[0]
    known = answer.probabilities[:2]
    assert answer.expectation(numbers) == (pytest.approx(known @ [10, 20] / known.sum()), 0.0)
    sampled = answers(oracle, [query], AnswerSettings(num_samples=600, most_states=1))[0]
    mean, error = sampled.expectation(numbers)
    assert abs(mean - answer.expectation(numbers)[0]) < 4 * error


def test_many_questions_at_once_are_answered_as_alone(oracle):
    queries = [
        Query(target, {"A": Force(a)}, {"Z": z} if z < 3 else {})
        for target in ("M", "Y", "C")
        for a in (0, 1)
        for z in (0, 1, 2, 3)
    ]
    together = answers(oracle, queries)
    for query, answer in zip(queries, together, strict=True):
        assert answer.query is query
        np.testing.assert_allclose(answer.probabilities, answers(oracle, [query])[0].probabilities, atol=1e-12)


def test_draws_are_shared_so_that_differences_are_sharp(oracle):
    settings = AnswerSettings(num_samples=400, most_states=1)
    one, two = answers(oracle, [Query("Y", {"A": Force(0)}), Query("Y", {"A": Force(1)})], settings)
    apart = np.hypot(one.standard_error, two.standard_error)
    difference = (one.influence - two.influence).std(axis=0) / math.sqrt(400)
    assert (difference < apart).any()


LATENT = DagSchema(
    (variable("U", 2, latent=True), variable("A", 2, "U"), variable("Y", 2, "A", "U"), variable("B", 2, "U"))
)


def test_a_latent_confounder_is_refused():
    joint, _ = random_joint(LATENT, 0)
    conditionals = exact_conditionals(LATENT, observed_joint(LATENT, joint), parents_only=False)
    with pytest.raises(NotIdentifiedError, match="'U'"):
        answers(conditionals, [Query("Y", {"A": Force(1)})])
    answers(conditionals, [Query("Y", {"B": Force(1)})])


def test_a_latent_confounder_that_is_blocked_is_not_in_the_way():
    schema = DagSchema(
        (variable("U", 2, latent=True), variable("X", 3, "U"), variable("A", 2, "X"), variable("Y", 2, "A", "U"))
    )
    joint, tables = random_joint(schema, 1)
    conditionals = exact_conditionals(schema, observed_joint(schema, joint), parents_only=False)
    answer = answers(conditionals, [Query("Y", {"A": Force(1)})])[0]
    np.testing.assert_allclose(answer.probabilities, true_answer(schema, tables, "Y", {"A": 1}, {}), atol=2e-6)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query("y"), "no variable 'y'.*Did you mean 'Y'"),
        (Query("Y", {"Q": Force(0)}), "no variable 'Q'"),
        (Query("Y", {"Y": Force(0)}), "'Y' is the target and in `do`, expected one place"),
        (Query("Y", {}, {"Y": 0}), "'Y' is the target and in `given`"),
        (Query("Y", {"A": Force(0)}, {"A": 0}), "'A' is both in `do` and in `given`"),
        (Query("Y", {}, {}, {"A": 1}), "'A' is named as treated but not forced"),
        (Query("Y", {"A": Continue()}), "'A' is categorical, expected a sequence"),
        (Query("Y", {"A": Follow(("M",), lambda codes: codes)}), "looks at 'M', which 'A' causes"),
    ],
)
def test_questions_that_contradict_themselves(oracle, query, message):
    with pytest.raises(QueryError, match=message):
        answers(oracle, [query])


def test_what_the_data_cannot_support_is_refused():
    tables = {name: table.copy() for name, table in TABLES.items()}
    tables["A"] = np.array([[1.0, 0.0], [1 - 1e-6, 1e-6], [1.0, 0.0]])
    names = [each.name for each in CONFOUNDED.variables]
    from tests.dag_lm import product

    joint = product(CONFOUNDED, tables, names)
    conditionals = exact_conditionals(CONFOUNDED, observed_joint(CONFOUNDED, joint), parents_only=True)
    settings = AnswerSettings(training_rows=1000)
    with pytest.raises(OverlapError, match="less than one of 1000 training rows"):
        answers(conditionals, [Query("Y", {"A": Force(1)})], settings)
    with pytest.raises(QueryError, match="all but impossible"):
        answers(conditionals, [Query("Y", {"M": Force(1)}, {"A": 1})], settings)


def test_too_few_effective_draws_are_refused():
    conditionals = exact_conditionals(CONFOUNDED, observed_joint(CONFOUNDED, JOINT), parents_only=True)
    settings = AnswerSettings(num_samples=20, most_states=1)
    with pytest.raises(QueryError, match=r"fits .* of 20 draws, expected at least 30"):
        answers(conditionals, [Query("Z", {}, {"C": 0})], settings)
