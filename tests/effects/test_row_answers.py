"""A single row asked of a model whose conditionals are known."""

import numpy as np
import pytest
from tests.dag_lm import exact_conditionals, observed_joint, random_joint
from tests.effects.test_response_types import schema

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.counterfactuals.mechanisms import Mechanisms
from hf_trace.effects.counterfactuals.row_answers import RowQuestion, counterfactual_of_row, possible_rows
from hf_trace.effects.queries import Follow, Force, Query
from hf_trace.errors import NotIdentifiedError, QueryError
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable

GRAPH = schema("C X; C Y; X M; M Y; X Y; Y E", C=3)
ORDER = GRAPH.topological_order


def model(parents_only, seed=0):
    joint, tables = random_joint(GRAPH, seed)
    return exact_conditionals(GRAPH, observed_joint(GRAPH, joint), parents_only=parents_only), joint, tables


def mechanisms(tables):
    causes = {name: tuple(sorted(GRAPH[name].parents, key=ORDER.index)) for name in ORDER}
    moved = {
        name: tables[name].transpose([*(GRAPH[name].parents.index(each) for each in causes[name]), len(causes[name])])
        for name in ORDER
    }
    return Mechanisms(causes, moved)


def asked(factual, monotone=False):
    return RowQuestion(Query("Y", {"X": Force(1)}), factual, monotone)


@pytest.mark.parametrize("parents_only", [True, False])
def test_a_whole_row(parents_only):
    conditionals, _, tables = model(parents_only)
    row = {"C": 1, "X": 0, "M": 1, "Y": 0, "E": 1}
    found = counterfactual_of_row(conditionals, asked(row), AnswerSettings())
    for code, value in enumerate("ab"):
        expected = mechanisms(tables).in_row(row, {"X": 1}, "Y", np.eye(2)[code])
        assert found["counterfactual"][value] == pytest.approx([expected.low, expected.high], abs=3e-6)
    assert found["bounds_are_sharp"]
    assert "distribution" not in found
    certain = counterfactual_of_row(conditionals, asked(row, monotone=True), AnswerSettings())
    low, high = found["counterfactual"]["a"]
    assert low - 1e-6 <= certain["distribution"]["a"] <= high + 1e-6
    assert sum(certain["distribution"].values()) == pytest.approx(1)
    assert len(certain["assumes"]) == 2


def test_what_is_not_known_of_a_row_is_averaged():
    """An effect of the target tells of it, too."""
    conditionals, joint, tables = model(parents_only=True)
    factual = {"X": 0, "E": 1}
    names = [each.name for each in GRAPH.variables]
    low = high = total = 0.0
    for codes in np.ndindex(joint.shape):
        row = dict(zip(names, codes, strict=True))
        if any(row[name] != code for name, code in factual.items()):
            continue
        expected = mechanisms(tables).in_row(row, {"X": 1}, "Y", np.array([0.0, 1.0]))
        total += joint[codes]
        low, high = low + joint[codes] * expected.low, high + joint[codes] * expected.high
    found = counterfactual_of_row(conditionals, asked(factual), AnswerSettings())
    assert found["method"] == "enumeration"
    assert found["counterfactual"]["b"] == pytest.approx([low / total, high / total], abs=3e-6)
    assert found["evidence_probability"] == pytest.approx(total, abs=3e-6)
    assert not found["bounds_are_sharp"]
    # Twelve rows are possible: with fewer draws they are drawn and weighed.
    few = [AnswerSettings(num_samples=11, least_effective=0.0, seed=seed) for seed in range(15)]
    drawn = [counterfactual_of_row(conditionals, asked(factual), each) for each in few]
    assert {each["method"] for each in drawn} == {"sampling"}
    mean = np.mean([each["counterfactual"]["b"] for each in drawn], axis=0)
    assert mean == pytest.approx([low / total, high / total], abs=0.08)


def test_drawn_rows_are_those_that_are_enumerated():
    conditionals, *_ = model(parents_only=False)
    question = asked({"X": 0, "E": 1})
    whole = possible_rows(conditionals, question, AnswerSettings())
    drawn = possible_rows(conditionals, question, AnswerSettings(num_samples=11, least_effective=0.0))
    many = possible_rows(conditionals, question, AnswerSettings(num_samples=12, least_effective=0.0))
    assert len(whole.rows) == len(many.rows) == 12
    assert np.isinf(whole.effective)
    assert drawn.effective <= 11
    assert {tuple(row.items()) for row in drawn.rows} <= {tuple(row.items()) for row in whole.rows}


def refused(graph, question, settings=None):
    joint, _ = random_joint(graph, 0)
    conditionals = exact_conditionals(graph, observed_joint(graph, joint), parents_only=False)
    with pytest.raises(QueryError) as error:
        counterfactual_of_row(conditionals, question, settings or AnswerSettings())
    return error


def test_refusals():
    hidden = refused(schema("U X; U Y; X Y"), asked({"X": 0, "Y": 1}))
    assert hidden.type is NotIdentifiedError
    assert "the latent 'U' causes both 'X' and 'Y'" in str(hidden.value)
    assert "needs what was seen" in str(refused(GRAPH, asked({})).value)
    given = RowQuestion(Query("Y", {"X": Force(1)}, {"C": 0}), {"X": 0})
    assert "Name it as `factual`" in str(refused(GRAPH, given).value)
    policy = RowQuestion(Query("Y", {"X": Follow((), lambda codes: np.full((len(codes), 2), 0.5))}), {"X": 0})
    assert "is no value" in str(refused(GRAPH, policy).value)
    rare = AnswerSettings(training_rows=1)
    assert "the model has met no such row" in str(refused(GRAPH, asked({"X": 0, "E": 1}), rare).value)


def test_a_text_in_between_is_refused():
    letter = Variable("letter", "sequence", values=("a", "b"), parents=("X",))
    graph = DagSchema((Variable("X", values=("0", "1")), letter, Variable("Y", values=("0", "1"), parents=("letter",))))
    conditionals = exact_conditionals(GRAPH, observed_joint(GRAPH, random_joint(GRAPH, 0)[0]), parents_only=True)
    conditionals.schema = graph
    with pytest.raises(QueryError, match="'letter' is a sequence, and its noise in a row cannot be told"):
        counterfactual_of_row(conditionals, asked({"X": 0, "Y": 1}), AnswerSettings())
