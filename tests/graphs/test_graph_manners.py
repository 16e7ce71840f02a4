"""What people do with a graph in a notebook: loop, ask, look, compare, hand on to other packages, open in a sheet."""

import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from tests.graphs.test_hostile_names import NAMES

from hf_trace.errors import GraphFormatError, OutputError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.pictures.figure import draw_graph

EDGES = (
    {"cause": "a", "effect": "b", "cmi": 0.2, "direction": "excites", "lags": [1, 3]},
    {"cause": "b", "effect": "c", "cmi": 0.7, "direction": "inhibits", "lag": 2},
    {"cause": "a", "effect": "c"},
)
GRAPH = CausalGraph("summary", ("a", "b", "c", "alone"), EDGES)
MOMENTS = CausalGraph(
    "instance", ("a", "a", "b"), ({"cause": "a", "effect": "b", "cause_position": 1, "effect_position": 2, "lag": 1},)
)
CYCLE = CausalGraph.from_edges([("a", "b"), ("b", "c"), ("c", "b")])


def test_a_graph_is_its_edges():
    assert list(GRAPH) == list(GRAPH.edges)
    assert ("a", "b") in GRAPH
    assert ("b", "a") not in GRAPH
    assert (1, 2) in MOMENTS
    assert "a" not in GRAPH
    pd.testing.assert_frame_equal(GRAPH.to_pandas(), GRAPH.to_frame())


def test_what_is_made_of_a_graph_is_of_its_class():
    made = [GRAPH.strongest(1), GRAPH.with_edges(()), GRAPH.with_metadata(a=1), CausalGraph.from_dict(GRAPH.to_dict())]
    assert {type(each) for each in made} == {CausalGraph}


def test_a_notebook_shows_the_picture_and_the_strongest_edges_first():
    shown = GRAPH._repr_html_()
    assert "data:image/png;base64,iVBORw0KGgo" in shown
    assert "CausalGraph(level=&#x27;summary&#x27;, nodes=4, edges=3)" in shown
    assert shown.index("0.7") < shown.index("0.2")
    many = CausalGraph.from_edges([(f"t{n}", f"t{n + 1}") for n in range(40)])
    assert "10 of 40 rows" in many._repr_html_()


def test_no_name_becomes_markup():
    graph = CausalGraph.from_edges([("<script>alert(1)</script>", "<img src=x>")])
    assert "<script" not in graph._repr_html_()
    assert "<img src=x" not in graph._repr_html_()
    assert "No causal edge" not in graph._repr_html_()


def test_the_plot_is_the_picture_in_the_file(tmp_path):
    draw_graph(GRAPH, tmp_path / "graph.png", title="T", max_edges=1)
    plot = GRAPH.plot(title="T", max_edges=1)
    assert plot.png() == plot._repr_png_() == (tmp_path / "graph.png").read_bytes()


def test_compare_tells_what_is_new():
    def graph(strength):
        scores = {"events": ["a", "b"], "matrix": [[0, strength], [0, 0]], "errors": [[None, 0.02], [None, None]]}
        edges = ({"cause": "a", "effect": "b", "cmi": strength},) if strength > 0.05 else ()
        return CausalGraph("population", ("a", "b"), edges, {"scores": scores})

    found = graph(0.02).compare(graph(0.31))
    assert found.sentences() == ["a → b is new: 0.02 before, 0.31 after (difference 0.29 ± 0.055)."]
    assert repr(found) == "GraphChanges(new=1, edges=1)"
    assert "is new: 0.02 before" in found._repr_html_()
    assert type(found.graph()) is CausalGraph
    assert graph(0.02).compare(graph(0.31), least=0.3).sentences() == []


def test_other_packages_get_names_and_arrows():
    network = GRAPH.to_dowhy()
    assert set(network.nodes) == set(GRAPH.events)
    assert set(network.edges) == {("a", "b"), ("b", "c"), ("a", "c")}
    assert nx.is_directed_acyclic_graph(network)
    assert sorted(GRAPH.to_pgmpy()) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert MOMENTS.to_pgmpy() == [("1: a", "2: b")]
    for make in (CYCLE.to_dowhy, CYCLE.to_pgmpy):
        with pytest.raises(GraphFormatError, match=r"has the cycle 'b' -> 'c' -> 'b', expected none, as \w+ reads"):
            make()


def test_tigramite_gets_arrows_at_lags():
    found = GRAPH.to_tigramite()
    assert found["var_names"] == ["a", "b", "c", "alone"]
    assert found["graph"].shape == found["val_matrix"].shape == (4, 4, 4)
    assert {tuple(place) for place in np.argwhere(found["graph"] == "-->").tolist()} == {
        *((0, 1, 1), (0, 1, 3)), (1, 2, 2), (0, 2, 1)
    }  # fmt: skip
    assert found["val_matrix"][0, 1, 3] == 0.2
    assert found["val_matrix"][1, 2, 2] == -0.7
    with pytest.raises(GraphFormatError, match="Got an instance graph, whose nodes are single events"):
        MOMENTS.to_tigramite()


def test_a_workbook_holds_edges_events_and_what_is_known(tmp_path):
    GRAPH.with_metadata(question="drives: x", settings={"seed": 0}, scores={"matrix": []}).save(tmp_path / "g.xlsx")
    sheets = pd.read_excel(tmp_path / "g.xlsx", sheet_name=None)
    assert list(sheets) == ["edges", "events", "about"]
    assert sheets["edges"].columns.tolist() == ["cause", "effect", "cmi", "direction", "lags", "lag"]
    assert sheets["edges"].iloc[0, :5].tolist() == ["a", "b", 0.2, "excites", "[1, 3]"]
    assert sheets["events"]["event"].tolist() == list(GRAPH.events)
    assert dict(sheets["about"].values) == {
        "level": "summary", "question": "drives: x", "settings": '{"seed": 0}'
    }  # fmt: skip
    with pytest.raises(GraphFormatError, match="workbooks are written for reading only"):
        CausalGraph.load(tmp_path / "g.xlsx")


def test_no_name_becomes_a_formula(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    CausalGraph("population", NAMES).save(tmp_path / "g.xlsx")
    cells = [cell for (cell,) in openpyxl.load_workbook(tmp_path / "g.xlsx")["events"].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.value for cell in cells][:4] == list(NAMES[:4])
    assert all(cell.quotePrefix for cell in cells[:5])


def test_without_openpyxl_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(OutputError) as caught:
        GRAPH.save(tmp_path / "g.xlsx")
    assert str(caught.value) == (
        "Workbooks are written by openpyxl, which is not installed. Run `pip install 'hf-trace[excel]'`, or save the "
        "graph as .csv."
    )
    assert not list(tmp_path.iterdir())
