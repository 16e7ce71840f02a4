"""Documents, networks and tables of other programs: every edge is read or refused, whichever door it comes through."""

import json

import networkx as nx
import numpy as np
import pytest

from hf_trace.errors import HfTraceError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.tables.dag_files import read_dag

EDGES = [["A", "D"], ["D", "E"]]
NAMES = ["A", "D", "E"]


def network(kind=nx.DiGraph):
    return kind([("A", "D"), ("D", "E")])


def numbered():
    graph = nx.DiGraph([(0, 1), (1, 2)])
    nx.set_node_attributes(graph, dict(enumerate(NAMES)), "name")
    return graph


def dag_of(path):
    source = read_dag(path)
    return source.names, set(source.edges)


def graph_of(path):
    graph = CausalGraph.load(path)
    return graph.events, {(edge["cause"], edge["effect"]) for edge in graph.edges}


DOORS = pytest.mark.parametrize("door", [dag_of, graph_of])


def write(tmp_path, content, name="g.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


DOCUMENTS = {
    "node link, edges": nx.node_link_data(network(), edges="edges"),
    "node link, links": nx.node_link_data(network(), edges="links"),
    "node link, several": nx.node_link_data(network(nx.MultiDiGraph), edges="links"),
    "node link, numbers": nx.node_link_data(numbered(), edges="links"),
    "node link, own names": nx.node_link_data(network(), source="from", target="to", name="name", edges="links"),
    "node link, places": {
        "nodes": [{"id": name} for name in NAMES],
        "links": [{"source": 0, "target": 1}, {"source": 1, "target": 2}],
    },
    "adjacency": nx.adjacency_data(network()),
    "adjacency, several": nx.adjacency_data(network(nx.MultiDiGraph)),
    "adjacency, numbers": nx.adjacency_data(numbered()),
    "cytoscape": nx.cytoscape_data(network()),
    "cytoscape, numbers": nx.cytoscape_data(numbered()),
    "cytoscape, one list": {
        "elements": [{"data": {"id": name}} for name in NAMES]
        + [{"data": {"id": f"{cause}{effect}", "source": cause, "target": effect}} for cause, effect in EDGES]
    },
    "tree": nx.tree_data(network(), root="A"),
    "JSON Graph Format": {
        "graph": {
            "directed": True,
            "nodes": {"A": {"label": "a"}, "D": {}, "E": {}},
            "edges": [{"source": "A", "target": "D"}, {"source": "D", "target": "E", "relation": "causes"}],
        }
    },
    "vis.js": {
        "nodes": [{"id": 1, "label": "A"}, {"id": 2, "label": "D"}, {"id": 3, "label": "E"}],
        "edges": [{"from": 1, "to": 2, "arrows": "to"}, {"from": 2, "to": 3, "arrows": "to"}],
    },
    "arcs": {"nodes": NAMES, "arcs": EDGES},
    "empty links": {"nodes": NAMES, "links": [], "edges": EDGES},
    "empty edges": {"nodes": NAMES, "edges": [], "links": EDGES},
    "no edges": {"nodes": NAMES, "edges": None, "links": EDGES},
    "the same twice": {"nodes": NAMES, "links": EDGES[::-1], "edges": EDGES},
    "effects by cause": {"adjacency": {"A": ["D"], "D": ["E"], "E": []}},
    "weights by cause": {"adjacency": {"A": {"D": 1, "E": 0}, "D": {"E": 0.5}, "E": {"A": False}}},
    "matrix": {"nodes": NAMES, "adjacency": [[0, 1, 0.0], [False, 0, True], [0, 0, 0]]},
    "parents of nodes": {"nodes": [{"id": "A"}, {"id": "D", "parents": ["A"]}, {"id": "E", "parents": ["D"]}]},
    "children of nodes": {"nodes": [{"id": "A", "children": ["D"]}, {"id": "D", "children": ["E"]}, {"id": "E"}]},
    "marks": {"edges": [["A", "-->", "D"], {"from": "D", "to": "E", "type": "directed", "weight": 0}]},
    "ends of edges": {
        "edges": [["A", "D", {"weight": 2}], {"source": "D", "target": "E", "endpoint1": "TAIL", "endpoint2": "ARROW"}]
    },
    "about": {"name": "x", "description": "y", "comment": "z", "metadata": {"edges": "none"}, "edges": EDGES},
}


@DOORS
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents(tmp_path, door, kind):
    names, edges = door(write(tmp_path, DOCUMENTS[kind]))
    assert sorted(names) == NAMES
    assert edges == {("A", "D"), ("D", "E")}


REFUSED = {
    "relationships": ({"nodes": NAMES, "relationships": EDGES}, "Unknown key of the document: 'relationships'"),
    "a typo": ({"nodes": NAMES, "edegs": EDGES}, "'edegs', expected edges under 'edges'. Did you mean 'edges'?"),
    "another case": ({"nodes": NAMES, "Edges": EDGES}, "Did you mean 'edges'?"),
    "a blank": ({"nodes": NAMES, "edges ": EDGES}, "Did you mean 'edges'?"),
    "one more list": ({"edges": EDGES[:1], "relationships": EDGES}, "'relationships'"),
    "by cause": (nx.to_dict_of_lists(network()), "Unknown key of the document: 'A', 'D', 'E', expected one of: "),
    "two lists": (
        {"nodes": NAMES, "edges": EDGES, "links": EDGES[:1]},
        "lists edges under 'edges' and others under 'links': D → E is in one of them",
    ),
    "parents and edges": (
        {"nodes": [{"id": "A"}, {"id": "D", "parents": ["E"]}, {"id": "E"}], "edges": EDGES[:1]},
        "The edges and the parents of 'D' disagree on A → D",
    ),
    "twice the key": ('{"edges": [["A", "D"]], "edges": []}', "it has the key 'edges' twice in one place"),
    "two pairs of ends": ({"edges": [{"source": "A", "target": "D", "from": "D", "to": "A"}]}, "expected one pair."),
    "causes of nodes": ({"nodes": ["A", {"id": "D", "causes": ["A"]}], "edges": []}, "'D' has the key 'causes'"),
    "short matrix": ({"nodes": NAMES, "adjacency": [[0, 1, 0]]}, '"adjacency" has 1 rows, expected one for each of'),
    "NaN": ('{"nodes": ["A", "D"], "adjacency": [[0, NaN], [0, 0]]}', "The adjacency of 'A' and 'D' is nan, expected"),
    "undirected": ({"directed": False, "edges": EDGES}, "The graph is undirected, expected directed edges"),
    "undirected, a text": ({"directed": "false", "edges": EDGES}, "The graph is undirected"),
    "undirected, a number": ({"directed": 0, "edges": EDGES}, "The graph is undirected"),
    "undirected type": ({"type": "undirected", "edges": EDGES}, "The graph is undirected"),
    "undirected within": ({"graph": {"directed": False, "nodes": ["A"], "edges": EDGES}}, "The graph is undirected"),
    "undirected apart": (
        {"edges": EDGES, "undirected_edges": EDGES},
        "the key 'undirected_edges', expected arrows only",
    ),
    "bidirected apart": ({"edges": EDGES, "bidirected": EDGES}, "the key 'bidirected', expected arrows only"),
    "deep": ('{"edges": ' + "[" * 100_000 + "]" * 100_000 + "}", "it is nested too deeply"),
    "rather deep": ('{"edges": [["A", "D"]], "metadata": ' + "[" * 500 + "]" * 500 + "}", "it is nested too deeply"),
    "a long number": ('{"edges": [["A", ' + "7" * 5000 + "]]}", "it holds a whole number of 5,000 digits"),
    "half a character": ('{"edges": [["A", "\\ud800"]]}', "half of a character"),
}


@DOORS
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_documents(tmp_path, door, kind):
    document, message = REFUSED[kind]
    with pytest.raises(HfTraceError) as error:
        door(write(tmp_path, document))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_nodes_alone(tmp_path):
    path = write(tmp_path, {"nodes": NAMES})
    assert dag_of(path) == (tuple(NAMES), set())
    with pytest.raises(HfTraceError, match="The document lists 3 nodes and no edges, expected"):
        graph_of(path)


NO_ARROWS = [
    {"type": "undirected"},
    {"type": "Bi-directed edge"},
    {"kind": "bidirected"},
    {"relation": "confounded"},
    {"directed": False},
    {"directed": "no"},
    {"bidirected": True},
    {"dir": "none"},
    {"dir": "both"},
    {"dir": "back"},
    {"arrows": "to, from"},
    {"arrowhead": "none"},
    {"mark": "---"},
    {"mark": "<->"},
    {"mark": "<--"},
    {"edge": "o->"},
    {"whatever": "o-o"},
    {"orientation": "x-x"},
    {"symbol": "↔"},
    {"endpoint1": "CIRCLE", "endpoint2": "ARROW"},
    {"endpoint1": {"name": "ARROW"}, "endpoint2": {"name": "ARROW"}},
    {"attributes": {"type": "undirected"}},
]


@DOORS
@pytest.mark.parametrize("said", NO_ARROWS, ids=str)
def test_edges_that_are_no_arrows(tmp_path, door, said):
    key = next(iter(said))
    with pytest.raises(HfTraceError, match="The edge of 'A' and 'D' has ") as error:
        door(write(tmp_path, {"edges": [["D", "E"], {"source": "A", "target": "D", **said}]}))
    shown = key if key != "attributes" else "type"
    assert f"{shown} " in str(error.value)
    assert ("`--latent`" in str(error.value)) == (door is dag_of)


@DOORS
@pytest.mark.parametrize(
    "said", [{"note": "---"}, {"type": "fault"}, {"label": "--"}, {"lag": -1}, {"weight": 0.0}], ids=str
)
def test_edges_of_which_other_things_are_said(tmp_path, door, said):
    assert door(write(tmp_path, {"edges": [{"source": "A", "target": "D", **said}]}))[1] == {("A", "D")}


GML = 'graph [ directed 1 node [ id 0 label "A" ] node [ id 1 label "D" ] edge [ source 0 target 1 MORE ] ]'
GRAPHML = (
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="t" for="edge" attr.name="type" '
    'attr.type="string"/><graph edgedefault="directed"><node id="A"/><node id="D"/>'
    '<edge source="A" target="D" MORE</edge></graph></graphml>'
)


@DOORS
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.gml", GML.replace("directed 1 ", "").replace("MORE", ""), "The graph is undirected"),
        ("g.gml", GML.replace("MORE", 'type "undirected"'), "The edge of 'A' and 'D' has type 'undirected'"),
        ("g.gml", GML.replace("MORE", 'dir "none"'), "The edge of 'A' and 'D' has dir 'none'"),
        ("g.gml", GML.replace("MORE", "") * 2, "more than one graph"),
        ("g.gml", GML.replace("MORE", "").replace('"D"', '"A"'), "node label 'A' is duplicated"),
        ("g.graphml", GRAPHML.replace('"directed"', '"undirected"').replace("MORE", ">"), "The graph is undirected"),
        ("g.graphml", GRAPHML.replace("MORE", 'directed="false">'), "directed=false edge found in directed graph"),
        ("g.graphml", GRAPHML.replace("MORE", '><data key="t">o-o</data>'), "The edge of 'A' and 'D' has type 'o-o'"),
        (
            "g.graphml",
            GRAPHML.replace("MORE", ">").replace("</graphml>", '<graph edgedefault="directed"/></graphml>'),
            "it holds 2 graphs",
        ),
        (
            "g.graphml",
            GRAPHML.replace("MORE", ">").replace(
                '<node id="A"/>',
                '<node id="A"><graph edgedefault="directed"><edge source="D" target="A"/></graph></node>',
            ),
            "it holds 2 graphs",
        ),
    ],
)
def test_refused_files_of_networks(tmp_path, door, name, content, message):
    with pytest.raises(HfTraceError) as error:
        door(write(tmp_path, content, name))
    assert message in str(error.value)


@DOORS
def test_files_of_networks(tmp_path, door):
    for name, content in (("g.gml", GML.replace("MORE", "")), ("g.graphml", GRAPHML.replace("MORE", ">"))):
        assert door(write(tmp_path, content, name)) == (("A", "D"), {("A", "D")})
    nx.write_graphml(numbered(), tmp_path / "n.graphml")
    assert door(tmp_path / "n.graphml") == (tuple(NAMES), {("A", "D"), ("D", "E")})


@DOORS
@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("A,D\nD,E\n", {("A", "D"), ("D", "E")}),
        ("A,-->,D\nD,-->,E\n", {("A", "D"), ("D", "E")}),
        ("source,target,mark\nA,D,-->\n", {("A", "D")}),
        ("from,to,weight\nA,D,0\n", {("A", "D")}),
        ("tail,head\nA,D\n", {("A", "D")}),
    ],
)
def test_tables(tmp_path, door, text, edges):
    assert door(write(tmp_path, text, "g.csv"))[1] == edges


@DOORS
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target,mark\nA,D,---\n", "The edge of 'A' and 'D' has mark '---'"),
        ("from,to,type\nA,D,undirected\n", "The edge of 'A' and 'D' has type 'undirected'"),
        ("from,to,directed\nD,E,True\nA,D,False\n", "The edge of 'A' and 'D' has directed 'False'"),
        ("A,-->,D\nD,<->,E\n", "The edge of 'D' and 'E' has mark '<->'"),
        ("source,source,target\nA,B,D\n", "The column 'source' is there twice"),
    ],
)
def test_refused_tables(tmp_path, door, text, message):
    with pytest.raises(HfTraceError) as error:
        door(write(tmp_path, text, "g.csv"))
    assert message in str(error.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(
    ("text", "edges"), [("A,D\nB,E\n", (("A", "D"), ("B", "E"))), ("A,D\n", (("A", "D"),)), ("A,D", (("A", "D"),))]
)
def test_edge_lists_without_a_header_keep_their_first_edge(tmp_path, suffix, text, edges):
    text = text if suffix == ".csv" else text.replace(",", "\t")
    assert read_dag(write(tmp_path, text, f"g{suffix}")).edges == edges


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, 1], [-1, 0]]), r"got -1 at \[1, 0\] and 1 at \[0, 1\]: marks at the ends of an edge"),
        (np.array([[0, np.nan], [0, 0]]), "got an array with NaN"),
        (np.array([["0", "1"], ["0", "0"]]), "got an array of <U1. Expected numbers"),
        (np.zeros((2, 2, 1)), r"got an array of shape \(2, 2, 1\)"),
    ],
)
def test_refused_adjacencies(tmp_path, array, message):
    np.save(tmp_path / "g.npy", array)
    with pytest.raises(HfTraceError, match=message):
        CausalGraph.load(tmp_path / "g.npy")


def test_weights_of_either_sign_are_edges(tmp_path):
    np.save(tmp_path / "g.npy", np.array([[0.0, -0.5, 0.0], [0.0, 0.0, 2.0], [0.0, -0.0, 0.0]]))
    assert graph_of(tmp_path / "g.npy")[1] == {("0", "1"), ("1", "2")}


@pytest.mark.parametrize("suffix", [".json", ".csv", ".graphml", ".parquet"])
def test_edges_within_ties_stay_undirected_in_own_files_and_are_no_arrows_of_variables(tmp_path, suffix):
    edge = {"cause": "A", "effect": "D", "frequency": 0.5, "undirected": True}
    graph = CausalGraph("population", ("A", "D"), (edge,))
    graph.save(tmp_path / f"g{suffix}")
    assert CausalGraph.load(tmp_path / f"g{suffix}") == graph
    if suffix in (".json", ".csv", ".graphml"):
        with pytest.raises(HfTraceError, match="The edge of 'A' and 'D' has undirected "):
            read_dag(tmp_path / f"g{suffix}")
    nx.write_graphml(graph.to_networkx(), tmp_path / "other.graphml")
    with pytest.raises(HfTraceError, match="The edge of 'A' and 'D' has undirected True"):
        CausalGraph.load(tmp_path / "other.graphml")
