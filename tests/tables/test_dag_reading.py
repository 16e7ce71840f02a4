import gzip
import json

import networkx as nx
import numpy as np
import pytest

from hf_trace.errors import DagFormatError
from hf_trace.tables.dag_files import read_dag
from hf_trace.tables.dag_source import VariableHint
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import MISSING, Variable

EDGES = (("u", "rain"), ("u", "wet"), ("rain", "wet"))


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def graph():
    graph = nx.DiGraph(EDGES)
    graph.nodes["u"]["latent"] = True
    graph.nodes["wet"]["kind"] = "ordinal"
    return graph


def check(source):
    assert set(source.names) == {"u", "rain", "wet"}
    assert set(source.edges) == set(EDGES)
    assert source.latent == {"u"}
    assert source.hint("wet").kind == "ordinal"
    assert source.hint("rain") == VariableHint()


def test_networkx_and_its_files(tmp_path, graph):
    check(read_dag(graph))
    nx.write_gml(graph, tmp_path / "g.gml")
    nx.write_graphml(graph, tmp_path / "g.graphml")
    for name in ("g.gml", "g.graphml"):
        check(read_dag(tmp_path / name))
        check(read_dag(str(tmp_path / name)))
    for key in ("edges", "links"):
        check(read_dag(write(tmp_path, "g.json", nx.node_link_data(graph, edges=key))))


def test_lists_of_values_in_files_without_lists(tmp_path):
    graph = nx.DiGraph([("a", "b")])
    graph.nodes["a"]["values"] = "low, high"
    graph.nodes["b"].update(values='["x, y", "z"]', latent="no", colour="red", label_size=3)
    nx.write_graphml(graph, tmp_path / "g.graphml")
    source = read_dag(tmp_path / "g.graphml")
    assert (source.hint("a").values, source.hint("b").values) == (("low", "high"), ("x, y", "z"))
    assert not source.latent


def test_names_beside_numbered_nodes():
    graph = nx.DiGraph([(0, 1)])
    assert read_dag(graph).edges == (("0", "1"),)
    nx.set_node_attributes(graph, {0: "rain", 1: "wet"}, "name")
    assert read_dag(graph).edges == (("rain", "wet"),)


def test_numpy_names_and_values():
    graph = nx.DiGraph()
    graph.add_edge(np.int64(3), "x")
    graph.nodes["x"].update(values=np.array([0, 1]), bins=np.int64(4), latent=np.bool_(True))
    source = read_dag(graph)
    assert source.edges == (("3", "x"),)
    assert source.hint("x") == VariableHint(values=("0", "1"), bins=4, latent=True)
    assert read_dag(np.array([["a", "b"]])).edges == (("a", "b"),)


def test_gml_by_hand(tmp_path):
    text = 'graph [ directed 1 node [ id 0 label "é" ] node [ id 1 label "b" ] edge [ source 0 target 1 ] ]'
    assert read_dag(write(tmp_path, "g.gml", text)).edges == (("é", "b"),)
    text = "graph [ directed 1 node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]"
    assert read_dag(write(tmp_path, "g.gml", text)).edges == (("0", "1"),)


def test_a_schema_is_read_whole(tmp_path):
    age = Variable("age", "numeric", ("x",), ("< 40", "≥ 40", MISSING), (40.0,), (31.0, 62.0, float("nan")))
    steps = Variable("steps", "sequence", values=("up",), max_length=3)
    schema = DagSchema((age, Variable("x", latent=True), steps))
    schema.save(tmp_path / "dag.json")
    for source in (schema, tmp_path / "dag.json", schema.to_dict(), read_dag(schema)):
        assert read_dag(source).to_schema() == schema


def test_light_documents():
    document = {
        "variables": {
            "u": {"latent": True},
            "x": {"kind": "numeric", "bins": 4, "parents": ["u"]},
            "y": {"values": [0, 1.0, "two"], "parents": ["x", "u"]},
            "z": None,
        }
    }
    source = read_dag(document)
    assert source.names == ("u", "x", "y", "z")
    assert source.edges == (("u", "x"), ("x", "y"), ("u", "y"))
    assert source.hint("x") == VariableHint("numeric", bins=4)
    assert source.hint("y").values == ("0", "1", "two")
    assert source.latent == {"u"}


@pytest.mark.parametrize(
    "document",
    [
        {"edges": [["u", "x"], ["u", "y"]], "latent": ["u"]},
        {"edges": [["u", "x"], ["u", "y"]], "nodes": ["x", "y"], "latent": ["u"]},
        {"edges": [{"from": "u", "to": "x"}, {"cause": "u", "effect": "y"}], "latent": ["u"]},
        {"nodes": [{"id": "u", "latent": True}, {"name": "x"}, "y"], "edges": [["u", "x"], ["u", "y"]]},
        {"variables": [{"name": "u", "latent": 1}, {"name": "x", "parents": ["u"]}, {"name": "y", "parents": ["u"]}]},
    ],
)
def test_edges_and_nodes(document):
    source = read_dag(document)
    assert set(source.names) == {"u", "x", "y"}
    assert set(source.edges) == {("u", "x"), ("u", "y")}
    assert source.latent == {"u"}


def test_pairs():
    assert read_dag([("b", "a"), ("b", "c")]).names == ("b", "a", "c")
    assert read_dag(iter([["b", "a"]])).edges == (("b", "a"),)
    assert read_dag([["b", "a"]]).with_latent(["b"]).latent == {"b"}


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("cause,effect\na,b\nb,c\n", (("a", "b"), ("b", "c"))),
        ("Target,Source\nb,a\n", (("a", "b"),)),
        ("weight;from;to\n1;a;b\n", (("a", "b"),)),
        ("parent,child\n a , b\n\n", (("a", "b"),)),
        ("tail,head\na,b\n", (("a", "b"),)),
        ("a,b\nb,c\n", (("a", "b"), ("b", "c"))),
        ('"a, x",b\n', (("a, x", "b"),)),
    ],
)
def test_edge_lists(tmp_path, text, edges):
    assert read_dag(write(tmp_path, "g.csv", text)).edges == edges
    if "\t" not in text and ";" not in text and '"' not in text:
        assert read_dag(write(tmp_path, "g.tsv", text.replace(",", "\t"))).edges == edges


def test_compressed_files_and_patterns(tmp_path):
    (tmp_path / "g.csv.gz").write_bytes(gzip.compress(b"cause,effect\na,b\n"))
    assert read_dag(tmp_path / "g.csv.gz").edges == (("a", "b"),)
    assert read_dag(tmp_path / "*.csv.gz").edges == (("a", "b"),)
    (tmp_path / "g.csv.gz").write_bytes(b"cause,effect\na,b\n")
    with pytest.raises(DagFormatError, match="not a complete gzip file"):
        read_dag(tmp_path / "g.csv.gz")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "The graph has no variables, expected at least one. Add edges or nodes."),
        ([("a", "b"), ("b", "a")], "The graph has the cycle a → b → a, expected none."),
        ([("a", "a")], "The graph has the cycle a → a, expected none."),
        ([("a", "b"), ("a", "b")], "The edge a → b is listed twice, expected each once. Remove one."),
        (["ab"], "Got the edge 'ab', expected [cause, effect]."),
        ([("a", "")], "A variable is named '', expected a text that is not empty."),
        ([("a", 0.5)], "A variable is named 0.5, expected a text that is not empty."),
        (3, "Got a int, expected a graph."),
        (nx.Graph([("a", "b")]), "The graph is undirected, expected directed edges, cause → effect."),
        (nx.MultiDiGraph([("a", "b"), ("a", "b")]), "The edge a → b is listed twice"),
        (nx.DiGraph(), "The graph has no variables, expected at least one."),
        ({"directed": False, "nodes": [], "links": []}, "The graph is undirected"),
        ({"level": 1}, "The document has the keys 'level', expected {\"variables\""),
        (
            {"variables": {"x": {"vaules": []}}},
            "Unknown key of the variable 'x': 'vaules', expected one of: kind, values",
        ),
        ({"variables": {"x": ["y"]}}, "The variable 'x' is ['y'], expected {\"variables\""),
        ({"variables": "x"}, '"variables" is a str, expected {"variables"'),
        ({"variables": [{"kind": "text"}]}, "A variable is {'kind': 'text'}, expected a mapping with \"name\"."),
        ({"variables": [{"name": "x"}, {"name": "x"}]}, "The variable 'x' is listed twice"),
        ({"nodes": ["x", "x"], "edges": []}, "The variable 'x' is listed twice"),
        ({"variables": {"x": {"parents": "y"}}}, "parents of 'x' is 'y', expected a list of names."),
        ({"variables": {"smoke": {}, "lung": {"parents": ["smoker"]}}}, "The edge smoker → lung names 'smoker'"),
        ({"edges": [["x", "y"]], "latent": ["Y"]}, "'Y' is said to be latent, but is not a variable of the graph. Did"),
        ({"edges": "x"}, '"edges" is a str, expected a list.'),
        ({"variables": {"x": {"kind": "number"}}}, "kind of 'x' is 'number', expected one of: categorical"),
        ({"variables": {"x": {"bins": 2.5}}}, "bins of 'x' is 2.5, expected a whole number of at least 1."),
        ({"variables": {"x": {"edges": ["a"]}}}, "edges of 'x' are 'a', expected numbers."),
        ({"variables": {"x": {"latent": "perhaps"}}}, "latent of 'x' is 'perhaps', expected true or false."),
        ({"variables": {"x": {"values": [["a"]]}}}, "values of 'x' hold ['a'], expected texts or numbers."),
        ({"variables": {"x": {"values": 3}}}, "values of 'x' is 3, expected a list such as [1, 2]."),
        ({"format": "hf_trace.dag", "version": 9, "variables": []}, "The schema is of version 9, expected 1."),
    ],
)
def test_refused_graphs(source, message):
    with pytest.raises(DagFormatError) as error:
        read_dag(source)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.txt", "a,b", "Cannot read a graph from"),
        ("g.csv", "", "'g.csv' is empty, expected a graph."),
        ("g.csv", "cause,effect\n", "'g.csv': The graph has no variables"),
        ("g.csv", "cause,effect\na,\n", "'g.csv': Line 2 is 'a,', expected a cause and an effect."),
        ("g.csv", "x,y,z\na,b,c\n", "'g.csv': The columns are 'x', 'y', 'z', expected `cause` and `effect` (or"),
        ("g.csv", "cause,effect\na,b\nb,a\n", "'g.csv': The graph has the cycle a → b → a"),
        ("g.json", "{", "'g.json' cannot be read as json ("),
        ("g.json", "3", "'g.json': The document holds 3, expected"),
        ("g.gml", "graph [", "'g.gml' cannot be read as gml ("),
        ("g.gml", "graph [ node [ id 0 label 1 ] ]", "'g.gml': The graph is undirected"),
        ("g.graphml", "<graphml", "'g.graphml' cannot be read as graphml ("),
        ("g.bif", "hello", "'g.bif': Line 1 has 'hello', expected network, variable or probability."),
    ],
)
def test_refused_files(tmp_path, name, content, message):
    with pytest.raises(DagFormatError) as error:
        read_dag(write(tmp_path, name, content))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_missing_files(tmp_path):
    write(tmp_path, "sprinkler.json", "{}")
    with pytest.raises(DagFormatError, match=r"There is no file .* Did you mean .*sprinkler\.json"):
        read_dag(tmp_path / "sprinklers.json")
    with pytest.raises(DagFormatError, match="is a folder, expected a file"):
        read_dag(tmp_path)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DagFormatError, match=r"'b.json' is not UTF-8 text"):
        read_dag(tmp_path / "b.json")
    with pytest.raises(DagFormatError, match="2 files match"):
        read_dag(tmp_path / "*.json")


def test_an_incomplete_graph_is_no_schema():
    with pytest.raises(DagFormatError, match=r"'a' has no values. List them, or give a table"):
        read_dag([("a", "b")]).to_schema()
