"""``hf-trace count``: graphs of a log without a model, and one line for every mistake."""

import json

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from hf_trace.graphs.graph import CausalGraph

LINE = "count log.csv"


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    """Two pumps and a valve: every `leak` of a pump brings an `alarm` one second later, and a `shut` of the valve."""
    monkeypatch.chdir(tmp_path)
    rows = [
        (case, event, 1000 * hour + after)
        for hour in range(40)
        for case, event, after in (
            *((f"pump{hour % 2}", "leak", 0), (f"pump{hour % 2}", "alarm", 1)),
            *(("valve", "shut", 2), (f"pump{hour % 2}", "walk", 500 + 7 * hour)),
        )
    ]
    pd.DataFrame(rows, columns=["case", "event", "time"]).to_csv("log.csv", index=False)
    return tmp_path


def pairs(path):
    return {(edge["cause"], edge["effect"]) for edge in CausalGraph.load(path).edges}


def test_it_counts_writes_and_says_how(hf_trace):
    code, out, err = hf_trace(*LINE.split(), "--out", "graph.json", "--plot", "graph.png")
    assert code == 0, err
    assert "onset and direction" in out
    assert "Horizon: " in err
    assert pairs("graph.json") == {("leak", "alarm")}
    with open("graph.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.parametrize("suffix", [".json", ".graphml", ".csv", ".parquet"])
def test_all_formats_hold_the_same_edges(hf_trace, suffix):
    assert hf_trace(*LINE.split(), "--method", "hawkes", "--out", f"graph{suffix}")[0] == 0
    assert pairs(f"graph{suffix}") == {("leak", "alarm")}


def test_evaluate_shows_all_baselines(hf_trace):
    hf_trace(*LINE.split(), "--out", "graph.json")
    with open("truth.csv", "w") as file:
        file.write("cause,effect\nleak,alarm\n")
    code, out, _ = hf_trace("evaluate", "graph.json", "truth.csv", "--json")
    found = json.loads(out)
    assert (code, found["f1"], found["auroc"], found["ranked_by"]) == (0, 1.0, 1.0, "scores")
    assert list(found["baselines"]) == ["bigram", "cooccurrence", "lift", "onset", "hawkes"]


TOPOLOGIES = {
    "joined.csv": "pump0,valve\nvalve,pump1\n",
    "named.csv": "one,other\nvalve,pump0\npump1,valve\nvalve,pump1\n",
    "joined.tsv": "pump0\tvalve\npump1\tvalve\n",
    "joined.json": '[["pump0", "valve"], ["pump1", "valve"]]',
    "links.json": json.dumps(nx.node_link_data(nx.Graph([("pump0", "valve"), ("pump1", "valve")]), edges="links")),
    "joined.gml": "\n".join(nx.generate_gml(nx.Graph([("pump0", "valve"), ("pump1", "valve")]))),
    "joined.graphml": "\n".join(nx.generate_graphml(nx.Graph([("pump0", "valve"), ("pump1", "valve")]))),
}


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("method", ["onset", "hawkes"])
def test_neighbours_act_on_each_other(hf_trace, name, method):
    with open(name, "w") as file:
        file.write(TOPOLOGIES[name])
    code, _, err = hf_trace(
        *LINE.split(), "--topology", name, "--method", method, "--horizon", "10s", "--out", "g.json"
    )
    assert code == 0, err
    assert "2 pairs of sequences are joined; 0 have no neighbour." in err
    expected = {("leak", "alarm"), ("leak", "shut"), ("alarm", "shut")}
    found = pairs("g.json")
    assert found <= expected
    assert len(found & {("leak", "shut"), ("alarm", "shut")}) > 0


def test_an_adjacency_joins_numbered_places(hf_trace):
    table = pd.read_csv("log.csv")
    table["case"] = table["case"].map({"pump0": 0, "pump1": 1, "valve": 2})
    table.to_csv("log.csv", index=False)
    np.save("joined.npy", np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]]))
    code, _, err = hf_trace(*LINE.split(), "--topology", "joined.npy", "--horizon", "10s")
    assert code == 0, err
    assert "2 pairs of sequences are joined" in err


def test_without_times_positions_are_counted(hf_trace):
    pd.DataFrame({"case": [1] * 40, "event": list("ab" * 20)}).to_csv("log.csv", index=False)
    code, out, err = hf_trace(*LINE.split(), "--max-lag", "1", "--top", "1", "--json")
    assert code == 0, err
    assert "The log has no times; positions in the sequence are counted instead." in err
    assert json.loads(out)["metadata"]["settings"]["top"] == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--method onsets", "method is 'onsets', expected one of: bigram, cooccurrence, lift, onset, hawkes. Did you "
         "mean 'onset'?"),
        ("--horizon soon", "horizon is 'soon', expected a time above 0 such as 90 (seconds), 10m, 1.5h or 2d."),
        ("--horizon 0s", "horizon is '0s', expected a time above 0 such as 90 (seconds), 10m, 1.5h or 2d."),
        ("--topology none.csv", "Cannot read the topology 'none.csv': no such file or directory."),
        ("--topology x.xlsx", "The suffix of the topology 'x.xlsx' is '.xlsx', expected one of: .csv, .tsv, .txt, "
         ".json, .gml, .graphml, .npy."),
        ("--topology other.csv", "The topology joins no two sequences of the log: it names 'pump-0', 'pump-1', the log "
         "has 'pump0', 'valve', 'pump1'. Expected the names of the log's sequences (its case column) in both columns. "
         "Did you mean 'pump0'?"),
        ("--topology wide.csv", "Cannot read the topology 'wide.csv': The columns are 'a', 'b', 'c', expected `cause` "
         "and `effect` (or `source` and `target`, `from` and `to`, `parent` and `child`)."),
        ("--out log.csv", "`--out` is 'log.csv', which is, holds or would join what LOG reads ('log.csv'). Choose "
         "another name."),
        ("--topology other.csv --out other.csv", "`--out` is 'other.csv', which is, holds or would join what "
         "`--topology` reads ('other.csv'). Choose another name."),
        ("--out graph.txt", "Cannot write 'graph.txt': expected a name that ends in .json, .parquet, .graphml, .dot, "
         ".gv, .csv."),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(refused, log, more, message):
    (log / "other.csv").write_text("pump-0,pump-1\n")
    (log / "wide.csv").write_text("a,b,c\n1,2,3\n")
    before = {path: path.read_bytes() for path in log.iterdir()}
    assert refused(*LINE.split(), *more.split()) == message
    assert {path: path.read_bytes() for path in log.iterdir()} == before
