import json
import math

import networkx as nx
import numpy as np
import pytest

from hf_trace.errors import DagFormatError, QueryError
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import DEFAULT_MAX_LENGTH, MISSING, Variable

YES_NO = ("no", "yes")


def variable(name, *parents, latent=False):
    return Variable(name, values=() if latent else YES_NO, parents=parents, latent=latent)


@pytest.fixture
def schema():
    """A hidden cause of x and y, one more between a and y, in an order that is not causal."""
    return DagSchema(
        (
            variable("y", "x", "u", "v"),
            variable("x", "u"),
            variable("u", latent=True),
            variable("v", "a", latent=True),
            variable("a"),
        )
    )


def test_order_puts_causes_first_and_keeps_the_users_order_otherwise(schema):
    assert schema.topological_order == ("x", "a", "y")
    assert DagSchema((variable("b"), variable("a"))).topological_order == ("b", "a")


def test_observed_graph_goes_through_latent_variables(schema):
    assert set(schema.observed_graph.edges) == {("x", "y"), ("a", "y")}
    assert set(schema.observed_graph.nodes) == {"x", "a", "y"}


def test_relatives(schema):
    assert schema.latent == {"u", "v"}
    assert schema.ancestors(["x"]) == {"x", "u"}
    assert schema.descendants("u") == {"x", "y"}


def test_a_cycle_is_spelled_out():
    with pytest.raises(DagFormatError) as error:
        DagSchema((variable("a", "c"), variable("b", "a"), variable("c", "b")))
    assert str(error.value) == (
        "The graph has the cycle a → b → c → a, expected none. Remove or turn one of its edges."
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ((), "The graph has no variables, expected at least one."),
        ((variable("a"), variable("a")), "The variable 'a' is listed twice, expected each once."),
        (
            (variable("smoke"), variable("lung", "smoker")),
            "'lung' has the parent 'smoker', which is not a variable. Did you mean 'smoke'?",
        ),
    ],
)
def test_refused_graphs(variables, message):
    with pytest.raises(DagFormatError) as error:
        DagSchema(variables)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"name": ""}, "A variable is named '', expected a text that is not empty."),
        ({"parents": ("p", "p")}, "The variable 'x' lists a parent twice, expected each once."),
        ({"parents": ("x",)}, "The variable 'x' is its own parent. Expected a graph without cycles."),
        ({"values": ("a", "a")}, "The variable 'x' lists a value twice, expected each once."),
        ({}, "The variable 'x' has no values. List them, or give a table to read them from."),
        ({"kind": "text", "max_length": 0}, "max_length of 'x' is 0, expected a whole number of at least 1."),
        (
            {"kind": "numeric", "values": ("low", "high"), "edges": (1.0, 2.0)},
            "The variable 'x' has 2 bins, 2 inner edges and 0 means; expected 1 edges and 2 means.",
        ),
        (
            {"kind": "numeric", "values": ("a", "b", "c"), "edges": (2.0, 1.0)},
            "The variable 'x' has the bin edges [2.0, 1.0], expected rising numbers.",
        ),
    ],
)
def test_refused_variables(parts, message):
    with pytest.raises(DagFormatError) as error:
        Variable(**{"name": "x", **parts})
    assert str(error.value) == message


def test_unknown_and_latent_names(schema):
    long = DagSchema((variable("smoke"), variable("lung", "smoke")))
    with pytest.raises(QueryError, match=r"no variable 'smokes', expected .* Did you mean 'smoke'\?"):
        long["smokes"]
    with pytest.raises(QueryError, match="'u' is latent"):
        schema.observed("u")
    assert schema.observed("x").name == "x"


def test_codes_of_values():
    smoke = variable("smoke")
    assert (smoke.code("no"), smoke.code("yes")) == (0, 1)
    with pytest.raises(QueryError) as error:
        smoke.code("yess")
    assert str(error.value) == "'smoke' has no value 'yess', expected one of 'no', 'yes'. Did you mean 'yes'?"


def test_codes_of_numbers_do_not_depend_on_their_spelling():
    dose = Variable("dose", values=("0.0", "1.0", "two", MISSING))
    assert dose.find(1) is None, "not all values are numbers"
    assert Variable("dose", values=("0.0", "1.0", MISSING)).code(1) == 1
    assert Variable("dose", values=("007", "12")).code(7) == 0
    assert Variable("dose", values=("1", "1.0")).code("1.0") == 1
    assert Variable("dose", values=("1", "1.0")).find("1.00") is None
    assert Variable("on", values=("0", "1")).code(True) == 1
    assert Variable("on", values=("0", "1")).find(math.nan) is None


def test_codes_of_bins():
    age = Variable("age", "numeric", values=("< 40", "≥ 40", MISSING), edges=(40.0,), means=(31.0, 62.0, math.nan))
    assert [age.code(value) for value in (39.9, 40, "40", "≥ 40", MISSING)] == [0, 1, 1, 1, 2]
    for wrong in (math.inf, math.nan, "old", None):
        with pytest.raises(QueryError, match="expected a number or one of '< 40'"):
            age.code(wrong)
    np.testing.assert_array_equal(age.numbers, [31.0, 62.0, math.nan])


def test_numbers_of_values():
    assert Variable("grade", "ordinal", values=("1", "2.5")).numbers.tolist() == [1.0, 2.5]
    assert variable("x").numbers is None
    assert Variable("note", "text").numbers is None
    assert Variable("note", "text").max_length == DEFAULT_MAX_LENGTH


def test_round_trip(tmp_path, schema):
    age = Variable("age", "numeric", ("a",), ("< 40", "≥ 40", MISSING), (40.0,), (31.0, 62.0, float("nan")))
    steps = Variable("steps", "sequence", ("age",), values=("up", "down"), max_length=7)
    whole = DagSchema((*schema.variables, age, steps, Variable("note", "text", max_length=9)))
    assert DagSchema.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole
    whole.save(tmp_path / "dag.json")
    assert DagSchema.load(tmp_path / "dag.json") == whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "Cannot read '.*dag.json' .no such file"),
        ("{", "is not JSON"),
        ("[]", "The document has no list of variables"),
        (
            '{"variables": [{"name": "x", "value": ["a"]}]}',
            "key of the variable 'x': 'value', .* Did you mean 'values'",
        ),
        ('{"variables": [{"name": "x", "values": 2}]}', "values of 'x' is 2, expected a list"),
        ('{"variables": [{"name": 0.5}]}', "A variable is named 0.5"),
        ('{"variables": [{"name": "x", "values": ["a"], "means": ["m"]}]}', "means of 'x' are 'm', expected numbers"),
        (
            '{"variables": [{"name": "x", "values": ["a"], "max_length": "m"}]}',
            "max_length of 'x' is 'm', expected a whole number",
        ),
    ],
)
def test_unreadable_documents(tmp_path, text, message):
    path = tmp_path / "dag.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DagFormatError, match=message):
        DagSchema.load(path)


def test_networkx_carries_what_is_known(schema):
    graph = schema.to_networkx()
    assert nx.is_directed_acyclic_graph(graph)
    assert graph.nodes["u"]["latent"]
    assert graph.nodes["x"]["values"] == ["no", "yes"]


def test_other_parents(schema):
    assert schema.with_parents({"y": ["a"]})["y"].parents == ("a",)


def test_rows_of_a_table():
    schema = DagSchema((variable("x"), Variable("note", "text")))
    table = DagTable(schema, {"x": np.array([0, 1, 1]), "note": ["a", "b", "c"]}, np.array([1.0, 2.0, 3.0]))
    for chosen in (np.array([False, True, True]), np.array([1, 2])):
        part = table.select(chosen)
        assert (len(part), part.columns["x"].tolist(), part.columns["note"]) == (2, [1, 1], ["b", "c"])
        assert part.weights.tolist() == [2.0, 3.0]
