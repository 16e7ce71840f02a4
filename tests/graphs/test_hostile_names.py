"""Event names that mean something to the programs that open a graph: they come back as they were, in every format."""

import csv
import re
from itertools import permutations
from xml.etree import ElementTree

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hf_trace.graphs.graph import CausalGraph

NAMES = (
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1:A9)",
    "\t=1+1",
    "a,b;c",
    'say "x"',
    "two\nlines",
    "three\r\nlines",
    "carriage\rreturn",
    "<script>alert('x')</script>",
    "]]></data><evil/>",
    "&amp;&#x41;",
    "back\\slash\\u0041\\",
    " space ",
    "NA",
    "null",
    "1e5",
    "007",
    "true",
    "[1]",
    "\u2028\u202e",
    "nul\x00",
    "x" * 2000,
    '"];evil [label="',
    "ß😀",
)


@pytest.fixture
def graph():
    pairs = list(permutations(NAMES, 2))[::7]
    ring = list(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
    edges = tuple(
        {"cause": cause, "effect": effect, "cmi": 0.25, "frequency": 0.5, "lags": [1, 2], "note": cause}
        for cause, effect in dict.fromkeys([*ring, *pairs])
    )
    return CausalGraph("population", NAMES, edges)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".graphml", ".parquet"])
def test_our_reader_gives_them_back(tmp_path, graph, suffix):
    graph.save(tmp_path / f"g{suffix}")
    found = CausalGraph.load(tmp_path / f"g{suffix}")
    key = str if suffix == ".csv" else None
    assert sorted(found.events, key=key) == sorted(graph.events, key=key)
    pairs = {(edge["cause"], edge["effect"]): edge for edge in found.edges}
    assert pairs == {(edge["cause"], edge["effect"]): edge for edge in graph.edges}


def test_other_readers_of_csv_and_parquet_give_them_back(tmp_path, graph):
    graph.save(tmp_path / "g.csv")
    graph.save(tmp_path / "g.parquet")
    expected = [(edge["cause"], edge["effect"]) for edge in graph.edges]
    with (tmp_path / "g.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["cause"], row["effect"]) for row in csv.DictReader(file)] == expected
    frame = pd.read_csv(tmp_path / "g.csv", dtype=str, keep_default_na=False)
    assert list(zip(frame["cause"], frame["effect"], strict=True)) == expected
    rows = pq.read_table(tmp_path / "g.parquet").to_pylist()
    assert [(row["cause"], row["effect"]) for row in rows] == expected


def test_formulas_are_kept_as_written_and_quoted(tmp_path):
    """A prefix against spreadsheets would change names that other programs join on."""
    edge = {"cause": "=1+1", "effect": "@x", "cmi": 0.5}
    CausalGraph("summary", ("=1+1", "@x"), (edge,)).save(tmp_path / "g.csv")
    assert (tmp_path / "g.csv").read_text() == '"cause","effect","cmi"\n"=1+1","@x",0.5\n'


def test_dot_labels_are_closed_strings(tmp_path, graph):
    graph.save(tmp_path / "g.dot")
    lines = (tmp_path / "g.dot").read_text(encoding="utf-8").split("\n")
    labels = [line for line in lines if re.match(r"  n\d+ \[", line)]
    assert len(labels) == len(NAMES)
    assert all(re.fullmatch(r'  n\d+ \[label="(?:[^"\\]|\\.)*"\];', line) for line in labels)
    edges = [line for line in lines if "->" in line and 'label="lag' in line]
    assert len(edges) == len(graph.edges)
    assert all(re.fullmatch(r"  n\d+ -> n\d+ \[[^\]]*\];", line) for line in edges)


def test_graphml_has_no_elements_but_its_own(tmp_path, graph):
    graph.save(tmp_path / "g.graphml")
    tags = {element.tag.partition("}")[2] for element in ElementTree.parse(tmp_path / "g.graphml").iter()}
    assert tags == {"graphml", "key", "graph", "node", "edge", "data"}


def test_many_rows_go_into_groups(tmp_path, monkeypatch):
    from hf_trace.graphs import graph_files as edge_tables

    monkeypatch.setattr(edge_tables, "ROWS_AT_ONCE", 10)
    names = tuple(map(str, range(8)))
    edges = tuple({"cause": cause, "effect": effect, "cmi": 0.5} for cause, effect in permutations(names, 2))
    graph = CausalGraph("summary", names, edges, {"source": "x"})
    graph.save(tmp_path / "g.parquet")
    assert pq.ParquetFile(tmp_path / "g.parquet").num_row_groups == 6
    assert CausalGraph.load(tmp_path / "g.parquet") == graph


def test_parquet_of_other_programs_and_of_many_sequences(tmp_path):
    from hf_trace.errors import GraphFormatError
    from hf_trace.graphs.graph_files import edge_table

    pd.DataFrame({"from": ["a"], "to": ["b"], "weight": [2.0]}).to_parquet(tmp_path / "g.parquet")
    assert CausalGraph.load(tmp_path / "g.parquet").edges == ({"cause": "a", "effect": "b", "weight": 2.0},)
    with edge_table(tmp_path / "many.parquet", level="summary") as table:
        table.add("x", [{"cause": "a", "effect": "b", "cmi": 0.5}])
        table.add("y", [])
    with pytest.raises(GraphFormatError, match="it holds the graphs of many sequences, expected one"):
        CausalGraph.load(tmp_path / "many.parquet")
    (tmp_path / "none.parquet").write_text("no table")
    with pytest.raises(GraphFormatError, match="it is not a Parquet file"):
        CausalGraph.load(tmp_path / "none.parquet")
