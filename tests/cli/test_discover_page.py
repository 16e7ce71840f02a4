"""``hf-trace discover --html``: the page of every level, and one line for every mistake."""

import json
import re

import pytest

DISCOVER = ["discover", "run", "plain.txt", "--proposal", "exhaustive"]


def embedded(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])


def test_population(place, hf_trace):
    code, _, err = hf_trace(*DISCOVER, "--html", "report.html", "--self-loops")
    assert code == 0
    assert "Wrote report.html (" in err
    document = embedded(place / "report.html")
    names, edges = document["names"], document["edges"]
    number = [(names[c], names[e]) for c, e in zip(edges["cause"], edges["effect"], strict=True)].index(("A", "B"))
    assert (
        document["command"] == "hf-trace discover run plain.txt --proposal exhaustive --html report.html --self-loops"
    )
    assert document["level"] == "population"
    assert len(document["incidents"]) == 8
    assert document["log"][0]["value"] == "40"
    assert document["counts"][names.index("A")] > 0
    for example in document["examples"][str(number)]:
        cause, effect = (names[example["events"][at - example["start"]]] for at in example["positions"])
        assert (cause, effect) == ("A", "B")


@pytest.mark.parametrize("level", ["instance", "summary"])
def test_one_sequence(place, hf_trace, level):
    code, *_ = hf_trace(*DISCOVER, "--html", "report.html", "--level", level, "--sample", 1)
    assert code == 0
    document = embedded(place / "report.html")
    (incident,) = document["incidents"]
    names = document["names"]
    assert document["title"] == f"What causes what in {incident['sequence']}"
    assert {(names[incident["events"][c]], names[incident["events"][e]]) for c, e, *_ in incident["links"]}


def test_incidents_of_total_effects_are_looked_up(place, hf_trace):
    arguments = ["--html", "report.html", "--effect", "total", "--num-contexts", 8, "--horizon", 2]
    code, *_ = hf_trace("discover", "run", "plain.txt", *arguments)
    assert code == 0
    document = embedded(place / "report.html")
    assert document["looked_up"]
    assert all(incident["links"] for incident in document["incidents"])
    assert document["metadata"]["contexts"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "report.pdf"], "expected a name that ends in .html, .htm"),
        (["--html", "missing/report.html"], "there is no folder 'missing'"),
        (["--html", "report.html", "--level", "instance"], "There are 40 graphs for one file 'report.html'"),
    ],
)
def test_mistakes(place, hf_trace, arguments, message):
    code, _, err = hf_trace(*DISCOVER, *arguments)
    assert code == 1
    assert message in err
    assert not list(place.glob("report.*"))
