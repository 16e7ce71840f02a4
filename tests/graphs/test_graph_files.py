import json

import networkx as nx
import numpy as np
import pytest

from hf_trace.errors import EventNameError, GraphFormatError, OutputError, UnknownEventError
from hf_trace.graphs.graph import CausalGraph

TRUTH = CausalGraph.from_edges([("a", "b"), ("b", "c")])


@pytest.fixture
def graph():
    edges = (
        {"cause": "=1+1", "effect": 'say "x"', "cmi": 0.5, "lags": [1, 2], "direction": "excites", "frequency": 0.3},
        {"cause": 'say "x"', "effect": "C:\\new\\users", "cmi": 0.25, "direction": "inhibits", "frequency": 0.2},
        {"cause": "C:\\new\\users", "effect": "<b>\x01&", "none": None, "yes": True, "text": "12", "frequency": 1},
    )
    events = ("=1+1", 'say "x"', "C:\\new\\users", "<b>\x01&")
    return CausalGraph("population", events, edges, {"source": "\\u0041 \x02", "scores": [1.5, None]})


@pytest.mark.parametrize("suffix", [".json", ".graphml", ".csv", ".JSON"])
def test_round_trip(tmp_path, graph, suffix):
    graph.save(tmp_path / f"g{suffix}")
    found = CausalGraph.load(tmp_path / f"g{suffix}")
    assert (found.level, found.events, found.edges) == (graph.level, graph.events, graph.edges)
    assert found.metadata == ({} if suffix == ".csv" else graph.metadata)


@pytest.mark.parametrize("suffix", [".json", ".graphml"])
def test_round_trip_of_positions_and_lonely_nodes(tmp_path, suffix):
    edge = {"cause": "a", "effect": "a", "cause_position": 0, "effect_position": 2, "lag": 2}
    graph = CausalGraph("instance", ("a", "", "a"), (edge,))
    graph.save(tmp_path / f"g{suffix}")
    assert CausalGraph.load(tmp_path / f"g{suffix}") == graph


def test_graphml_of_ordinary_names_reads_the_same_elsewhere(tmp_path):
    TRUTH.save(tmp_path / "g.graphml")
    assert list(nx.read_graphml(tmp_path / "g.graphml").edges) == [("a", "b"), ("b", "c")]


def test_dot_quotes_names_and_styles_edges(tmp_path, graph):
    graph.save(tmp_path / "g.dot")
    lines = (tmp_path / "g.dot").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "digraph causal {"
    assert lines[-1] == "}"
    assert '  n1 [label="say \\"x\\""];' in lines
    assert '  n2 [label="C:\\\\new\\\\users"];' in lines
    assert '  n3 [label="<b>\ufffd&amp;"];' in lines
    assert '  n0 -> n1 [penwidth=5, color="#0072B2", label="lag 1, 2"];' in lines
    assert '  n1 -> n2 [penwidth=3, color="#D55E00"];' in lines


def test_dot_of_positions_has_a_node_for_each(tmp_path):
    edge = {"cause": "a", "effect": "a", "cause_position": 0, "effect_position": 1, "lag": 1}
    CausalGraph("instance", ("a", "a"), (edge,)).save(tmp_path / "g.gv")
    assert 'n0 -> n1 [penwidth=1, color="#555555", label="lag 1"]' in (tmp_path / "g.gv").read_text()


@pytest.mark.parametrize("header", ["cause,effect", "source,target", "from,to", "\ufeffCause,Effect"])
def test_csv_of_other_programs(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\na,b\nb,c\n", encoding="utf-8")
    assert CausalGraph.load(tmp_path / "t.csv") == TRUTH


def test_csv_names_that_look_like_something_else_stay_text(tmp_path):
    (tmp_path / "t.csv").write_text("cause,effect\n007,NA\nnull,1e5\n")
    assert CausalGraph.load(tmp_path / "t.csv").events == ("007", "NA", "null", "1e5")


def test_csv_with_a_row_per_lag_keeps_the_strongest_and_all_lags(tmp_path):
    (tmp_path / "t.csv").write_text("cause,effect,lag,cmi\na,b,2,0.1\na,b,1,0.4\n")
    edge = {"cause": "a", "effect": "b", "lag": 1, "cmi": 0.4, "lags": [1, 2]}
    assert CausalGraph.load(tmp_path / "t.csv").edges == (edge,)


@pytest.mark.parametrize(
    "content",
    [
        [["a", "b"], ["b", "c"]],
        {"edges": [["a", "b"], ["b", "c"]]},
        {"edges": [{"source": "a", "target": "b"}, {"from": "b", "to": "c"}], "nodes": ["a", "b", "c"]},
    ],
)
def test_json_truths(tmp_path, content):
    (tmp_path / "t.json").write_text(json.dumps(content))
    assert CausalGraph.load(tmp_path / "t.json") == TRUTH


def test_graphml_and_gml_of_other_programs(tmp_path):
    network = nx.DiGraph([("a", "b"), ("b", "c")])
    nx.write_graphml(network, tmp_path / "t.graphml")
    nx.write_gml(network, tmp_path / "t.gml")
    assert CausalGraph.load(tmp_path / "t.graphml") == TRUTH
    assert CausalGraph.load(tmp_path / "t.gml") == TRUTH


def test_gml_without_labels(tmp_path):
    (tmp_path / "t.gml").write_text("graph [ directed 1 node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]")
    assert CausalGraph.load(tmp_path / "t.gml") == CausalGraph.from_edges([("0", "1")])


def test_npy_adjacency(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))
    assert CausalGraph.load(tmp_path / "t.npy") == CausalGraph.from_edges([("0", "1")], ["0", "1", "2"])


def test_failed_save_keeps_the_earlier_file(tmp_path, monkeypatch):
    TRUTH.save(tmp_path / "g.json")
    before = (tmp_path / "g.json").read_text()
    monkeypatch.setattr(json, "dumps", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        TRUTH.save(tmp_path / "g.json")
    assert [path.name for path in tmp_path.iterdir()] == ["g.json"]
    assert (tmp_path / "g.json").read_text() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.dot", "", "DOT files are written for drawing only. Save the graph as .json or .graphml."),
        ("t.json", "[", "as json: Expecting value: line 1 column 2 (char 1)."),
        (
            "t.json", "{}",
            'The document is empty, expected {"edges": [["a", "b"], …]} or a list of [cause, effect] pairs.',
        ),
        ("t.json", '[["a"]]', "Got the edge ['a'], expected [cause, effect]."),
        ("t.json", '[["a", null]]', "An event is named None, expected a text."),
        (
            "t.csv", "x,y\n1,2\n",
            "The columns are 'x', 'y', expected `cause` and `effect` "
            "(or `source` and `target`, `from` and `to`, `parent` and `child`).",
        ),
        ("t.csv", "cause,effect\na,b\na,\n", "Line 3 is 'a,', expected a cause and an effect."),
        ("t.csv", "cause,effect\na\n", "Line 2 is 'a', expected a cause and an effect."),
        (
            "t.csv", "cause,effect\na,b,c\n",
            "Line 2 has 3 cells, expected 2 as in the first line. Quote names that hold commas.",
        ),
        ("t.csv", "", "it is empty, expected edges."),
        ("t.graphml", "<graphml", "as graphml: unclosed token: line 1, column 0."),
        (
            "t.gml", "graph [ node [ id 0 ] ]",
            "The graph is undirected, expected directed edges, cause → effect. Orient it or remove it.",
        ),
    ],
)  # fmt: skip
def test_unreadable(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph.load(path)
    assert str(caught.value) in (f"Cannot read '{path}': {message}", f"Cannot read '{path}' {message}")


def test_unknown_event_in_a_file(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"edges": [["a", "b"]], "events": ["a"]}')
    with pytest.raises(UnknownEventError, match=r"t\.json': The effect of the edge 'a' -> 'b' is not one of"):
        CausalGraph.load(path)


def test_arrays_that_are_no_adjacency(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((2, 3)))
    with pytest.raises(GraphFormatError, match=r"got an array of shape \(2, 3\)\. Expected a square one"):
        CausalGraph.load(tmp_path / "t.npy")
    np.save(tmp_path / "o.npy", np.array([[None]], dtype=object), allow_pickle=True)
    with pytest.raises(GraphFormatError, match="allow_pickle=False"):
        CausalGraph.load(tmp_path / "o.npy")


def test_missing_file_and_unknown_suffix(tmp_path):
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph.load(tmp_path / "none.json")
    assert str(caught.value) == f"Cannot read '{tmp_path}/none.json': no such file or directory."
    with pytest.raises(GraphFormatError) as caught:
        CausalGraph.load(tmp_path / "g.xls")
    assert str(caught.value) == (
        f"Cannot read a graph from '{tmp_path}/g.xls'. "
        "Expected a name that ends in .json, .graphml, .gml, .csv, .parquet, .npy."
    )
    with pytest.raises(OutputError) as caught_output:
        TRUTH.save(tmp_path / "g.xls")
    assert str(caught_output.value) == (
        f"Cannot write a graph to '{tmp_path}/g.xls'. "
        "Expected a name that ends in .json, .graphml, .dot, .gv, .csv, .parquet, .xlsx."
    )


@pytest.mark.parametrize("suffix", [".json", ".graphml", ".csv", ".parquet", ".npy"])
def test_damaged_files_are_one_line(tmp_path, graph, suffix):
    path = tmp_path / f"g{suffix}"
    np.save(path, np.eye(3)) if suffix == ".npy" else graph.save(path)
    content, found = path.read_bytes(), []
    for place in range(0, len(content), max(1, len(content) // 20)):
        for damaged in (
            content[:place],
            content[:place] + b"\xff\0[" + content[place + 3 :],
            content[:place] + b"9" * 5000 + content[place:],
        ):
            path.write_bytes(damaged)
            try:
                CausalGraph.load(path)
            except (GraphFormatError, UnknownEventError, EventNameError) as error:
                found.append(str(error))
    assert len(found) > 20
    assert not any("\n" in message for message in found)


def test_a_cell_that_is_too_long(tmp_path):
    (tmp_path / "g.csv").write_text(f"cause,effect\na,{'b' * 200_000}\n")
    with pytest.raises(GraphFormatError, match=r"as csv: field larger than field limit"):
        CausalGraph.load(tmp_path / "g.csv")


def test_results_of_the_pipeline(tmp_path):
    result = {"id": "x", "edges": list(TRUTH.edges), "summary": [], "graph": TRUTH.to_dict(), "settings": {"seed": 0}}
    (tmp_path / "g.json").write_text(json.dumps(result))
    assert CausalGraph.load(tmp_path / "g.json") == TRUTH


def test_a_second_list_of_edges_in_an_own_graph(tmp_path):
    (tmp_path / "g.json").write_text(json.dumps({**TRUTH.to_dict(), "note": "mine"}))
    assert CausalGraph.load(tmp_path / "g.json") == TRUTH
    (tmp_path / "g.json").write_text(json.dumps({**TRUTH.to_dict(), "edges": [], "links": [["a", "b"]]}))
    with pytest.raises(GraphFormatError, match="Unknown key of the graph: 'links', expected one of: format, version"):
        CausalGraph.load(tmp_path / "g.json")
