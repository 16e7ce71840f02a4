"""Answers for another population, against the other population's own model."""

import numpy as np
import pandas as pd
import pytest
from tests.dag_lm import exact_conditionals, observed_joint, product, random_joint, true_answer
from tests.effects.test_response_types import schema

from hf_trace.effects.answers import AnswerSettings
from hf_trace.effects.identifying.transport import OtherPopulation, check_transported, transported
from hf_trace.effects.queries import Force, Query
from hf_trace.errors import NotIdentifiedError, OverlapError, QueryError, TableError

GRAPH = schema("Z X; Z Y; X Y; U X; U M; X M; M E", Z=3)
DONE = Query("Y", {"X": Force(1)})


def table(graph, shares, rows=1000):
    """Rows of Z alone, as often as they are in another population."""
    values = graph["Z"].values
    return pd.DataFrame({"Z": np.repeat(values, (np.asarray(shares) * rows).round().astype(int))})


def ask(graph, query, frame, seed=1, settings=None):
    joint, tables = random_joint(graph, seed)
    conditionals = exact_conditionals(graph, observed_joint(graph, joint), parents_only=False)
    population = OtherPopulation.read(graph, query, frame)
    return transported(conditionals, query, population, settings or AnswerSettings()), tables


@pytest.mark.parametrize("seed", range(3))
def test_the_answer_is_that_of_the_other_population(seed):
    elsewhere = np.array([0.7, 0.2, 0.1])
    found, tables = ask(GRAPH, DONE, table(GRAPH, elsewhere), seed)
    truth = true_answer(GRAPH, {**tables, "Z": elsewhere}, "Y", {"X": 1}, {})
    np.testing.assert_allclose(found.probabilities, truth, atol=3e-6)
    here = true_answer(GRAPH, tables, "Y", {"X": 1}, {})
    assert np.abs(found.probabilities - here).max() > 1e-3


def test_evidence_chooses_rows_of_the_population():
    query = Query("Y", {"X": Force(1)}, {"Z": 2})
    found, tables = ask(GRAPH, query, table(GRAPH, [0.5, 0.3, 0.2]))
    np.testing.assert_allclose(found.probabilities, true_answer(GRAPH, tables, "Y", {"X": 1}, {"Z": 2}), atol=3e-6)


def test_chosen_rows_and_a_table_of_everybody():
    """Rows were chosen by a confounder: no formula of theirs, but with how often it occurs there is one."""
    graph = schema("Z X; Z Y; X Y; Z US", Z=3)
    _, tables = random_joint(graph, 2)
    joint = product(graph, tables, [each.name for each in graph.variables])
    names = [each.name for each in graph.variables]
    part = np.take(joint, 1, axis=names.index("US"))
    left = [name for name in names if name != "US"]
    chosen = part.transpose([left.index(name) for name in graph.topological_order])
    conditionals = exact_conditionals(graph, chosen / chosen.sum(), parents_only=False)
    query = Query("Y", {"X": Force(1)}, selection="US")
    shares = np.round(tables["Z"], 3)
    population = OtherPopulation.read(graph, query, table(graph, shares))
    found = transported(conditionals, query, population, AnswerSettings())
    truth = true_answer(graph, {**tables, "Z": population.shares}, "Y", {"X": 1}, {})
    np.testing.assert_allclose(found.probabilities, truth, atol=3e-6)


def test_draws_keep_their_error():
    graph = schema("; ".join(f"U A{i}; A{i} X" for i in range(6)) + "; U X; U Y; Z X; Z Y; X M; M Y", Z=3)
    settings = AnswerSettings(num_samples=300, most_states=100)
    elsewhere = np.array([0.6, 0.3, 0.1])
    found, tables = ask(graph, DONE, table(graph, elsewhere), settings=settings)
    truth = true_answer(graph, {**tables, "Z": elsewhere}, "Y", {"X": 1}, {})
    assert 0 < found.standard_error[0] < 0.1
    assert abs(found.probabilities[0] - truth[0]) < 4 * found.standard_error[0]


def test_what_differs_and_tells_of_the_target_is_refused():
    with pytest.raises(NotIdentifiedError, match="what makes 'Z' differ there tells of 'Y' along 'Z' ← 'U' → 'Y'"):
        check_transported(schema("U Z; U Y; Z X; X Y"), DONE, ["Z"])
    check_transported(schema("U Z; U X; Z X; X Y; Z Y"), DONE, ["Z"])


def test_refusals():
    frame = table(GRAPH, [0.5, 0.3, 0.2])
    with pytest.raises(TableError, match="expected at least one variable of the graph that what is done does not"):
        OtherPopulation.read(GRAPH, DONE, frame.rename(columns={"Z": "M"}))
    with pytest.raises(QueryError, match="'M' is given, and the table of the population does not tell how often"):
        OtherPopulation.read(GRAPH, Query("Y", {"X": Force(1)}, {"M": 0}), frame)
    with pytest.raises(TableError, match="No row of the population has what is given"):
        OtherPopulation.read(GRAPH, Query("Y", {"X": Force(1)}, {"Z": 2}), table(GRAPH, [0.5, 0.5, 0.0]))
    with pytest.raises(OverlapError, match="of the population have values of Z of which the first tells nothing"):
        ask(GRAPH, DONE, frame, settings=AnswerSettings(training_rows=2))
