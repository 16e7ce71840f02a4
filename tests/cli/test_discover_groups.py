"""``--context-column``: tokens in training, groups in discovery."""

import csv
import json

import pytest
from tests.pipelines.test_contexts_in_runs import run, sites  # noqa: F401

from hf_trace.graphs.graph import CausalGraph


@pytest.fixture
def sites_log(place):
    rows = [
        {"case": sequence.id, "event": event, "site": dict(sequence.context)["site"]}
        for sequence in sites(60, 0)
        for event in sequence.events
    ]
    with (place / "sites.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return "sites.csv"


def test_trained_with_a_context_and_compared_by_it(place, hf_trace, sites_log, tiny_config, run):  # noqa: F811
    training = ["--model", tiny_config, "--epochs", 1, "--context-column", "site", "--out", "new"]
    assert hf_trace("train", sites_log, *training)[0] == 0
    trained = json.loads((place / "new" / "training.json").read_text())
    assert trained["context_columns"] == ["site"]
    options = ["--proposal", "exhaustive", "--max-lag", 2, "--out", "graph.csv"]
    # What the run was trained with is read without being named; groups are compared when they are.
    assert "holds in" not in hf_trace("discover", run, sites_log, *options)[1]
    comparing = ["--context-column", "site", "--groups", "groups.csv"]
    code, out, err = hf_trace("discover", run, sites_log, *options, *comparing)
    assert (code, "holds in" in out) == (0, True)
    assert "edges are not equally strong in all groups of site." in err
    edges = {(edge["cause"], edge["effect"]): edge for edge in CausalGraph.load("graph.csv").edges}
    assert edges["A", "B"]["groups"]["site"]["differs"]
    with (place / "groups.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["cause"], row["effect"]) == ("A", "B")]
    assert [(row["column"], row["group"], row["differs"]) for row in rows] == [
        ("site", "north", "True"),
        ("site", "south", "True"),
    ]
    assert float(rows[0]["cmi"]) > float(rows[1]["cmi"])
    # Other questions to the same run read the context too.
    asked = ["effect", "new", sites_log, "--id", "s0", "--do", "2=A", "--target", "B", "--within", 2, "--json"]
    assert hf_trace(*asked)[0] == 0


def test_groups_of_a_run_without_contexts(place, hf_trace):
    code, out, _ = hf_trace("discover", "timed", "log.csv", "--context-column", "@parts:2", "--json")
    assert code == 0
    edge = next(e for e in json.loads(out)["edges"] if (e["cause"], e["effect"]) == ("A", "B"))
    assert edge["groups"]["@parts:2"]["holds_in"] == ["1", "2"]
    assert not edge["groups"]["@parts:2"]["differs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--context-column", "plant"], "`context_column='plant'` is not one of the 3 columns"),
        (["--context-column", "@decade"], "`--context-column @decade` is not understood"),
        (["--groups", "groups.csv"], "`--groups` is the table of edges in groups of sequences, and nothing makes"),
        (["--groups", "groups.txt", "--context-column", "@month"], "Cannot write 'groups.txt': expected a name"),
    ],
)
def test_mistakes(place, refused, arguments, message):
    assert refused("discover", "timed", "log.csv", *arguments).startswith(message)
