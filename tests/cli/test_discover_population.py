"""``hf-trace discover`` of a population: bootstrap, adaptive frequencies, pools that grow."""

import json

import pytest

from hf_trace.graphs.graph import CausalGraph

DISCOVER = ["discover", "run", "plain.txt", "--proposal", "exhaustive", "--max-lag", 3]


def test_bootstrap_and_adaptive_frequency(place, hf_trace):
    code, out, err = hf_trace(*DISCOVER, "--bootstrap", 50, "--min-frequency", "adaptive", "--out", "graph.csv")
    assert code == 0
    assert "Stability: halves of the sequences share " in err
    assert "in resamples" in out
    edge = next(e for e in CausalGraph.load("graph.csv").edges if (e["cause"], e["effect"]) == ("A", "B"))
    assert edge["resampled_share"] == 1
    assert 0 < edge["cmi_low"] < edge["cmi"] < edge["cmi_high"]


def test_a_pool_grows(place, hf_trace):
    lines = (place / "plain.txt").read_text().splitlines()
    for name, some in (("one.jsonl", lines[:20]), ("two.jsonl", lines[20:]), ("all.jsonl", lines)):
        first = 20 if name == "two.jsonl" else 0
        records = [{"id": str(first + n), "events": line.split()} for n, line in enumerate(some)]
        (place / name).write_text("\n".join(map(json.dumps, records)))
    options = ["--batch-size", 1, "--bootstrap", 10, "--json"]
    grown = ["--update", "pool.zip"]
    assert hf_trace("discover", "run", "one.jsonl", *options, *grown)[0] == 0
    code, out, err = hf_trace("discover", "run", "two.jsonl", *options, *grown)
    assert (code, "The pool has 20 sequences; 20 of the log are new, 0 are in it." in err) == (0, True)
    assert json.loads(out) == json.loads(hf_trace("discover", "run", "all.jsonl", *options)[1])
    # A second time nothing is new, and nothing changes.
    code, again, err = hf_trace("discover", "run", "two.jsonl", *options, *grown)
    assert (code, "0 of the log are new, 20 are in it." in err) == (0, True)
    assert json.loads(again) == json.loads(out)


def test_ties_in_both_orders(place, hf_trace):
    lines = (place / "plain.txt").read_text().splitlines()
    rows = [f"{n},{event},{i // 2}" for n, line in enumerate(lines) for i, event in enumerate(line.split())]
    (place / "ties.csv").write_text("\n".join(["case,event,time", *rows]))
    listed, both = (
        json.loads(hf_trace("discover", "run", "ties.csv", "--max-lag", 2, "--json", "--ties", ties)[1])
        for ties in ("listed", "both")
    )
    assert not any("order_difference" in edge for edge in listed["edges"])
    edge = next(edge for edge in both["edges"] if {edge["cause"], edge["effect"]} == {"A", "B"})
    # A precedes B at once: within a tie, or into the next one, which tells the direction.
    assert 0 < edge["tied_share"] < 1
    assert (edge["cause"], "undirected" in edge) == ("A", False)
    assert both["settings"]["ties"] == "both"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bootstrap", "-1"], "bootstrap is -1, expected a whole number of at least 0."),
        (
            ["--bootstrap", "9", "--level", "summary"],
            "`--bootstrap` is about population graphs, and the level is 'summary'.",
        ),
        (["--update", "absent/pool.zip"], "Cannot write 'absent/pool.zip': there is no folder 'absent'. Create it"),
        (
            ["--update", "pool.zip", "--level", "instance", "--id", "1"],
            "`--update` is about population graphs, and the level is 'instance'",
        ),
        (["--update", "log.csv"], "'log.csv' cannot be read as a population pool (File is not a zip file), expe"),
    ],
)
def test_mistakes(place, refused, arguments, message):
    assert refused(*DISCOVER, *arguments).startswith(message)
