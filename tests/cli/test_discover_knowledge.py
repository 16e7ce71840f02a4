"""``hf-trace discover --knowledge``: what is known before the data, from a file."""

import json

import pytest

from hf_trace.graphs.graph import CausalGraph

RULES = {"forbidden": [["A", "B"]], "required": [["D", "C"]], "tiers": [["A"], ["D"]]}


@pytest.fixture
def rules(place):
    (place / "known.json").write_text(json.dumps(RULES))
    return "known.json"


def test_the_graph_obeys_it_and_records_it(place, hf_trace, rules):
    arguments = ["discover", "run", "plain.txt", "--proposal", "exhaustive", "--out"]
    assert hf_trace(*arguments, "free.json")[0] == 0
    assert hf_trace(*arguments, "known_graph.json", "--knowledge", rules, "--plot", "graph.png")[0] == 0
    free, known = (CausalGraph.load(name) for name in ("free.json", "known_graph.json"))
    pairs = {(edge["cause"], edge["effect"]) for edge in known.edges}
    assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in free.edges}
    assert ("A", "B") not in pairs
    assert ("D", "A") not in pairs
    assert [edge.get("required", False) for edge in known.edges if edge["cause"] == "D"] == [True]
    assert {key: value for key, value in known.metadata["settings"]["knowledge"].items() if value} == RULES
    assert (place / "graph.png").exists()
    for name in ("graph.graphml", "graph.csv", "graph.dot"):
        assert hf_trace(*arguments, name, "--knowledge", rules)[0] == 0
    assert hf_trace("evaluate", "known_graph.json", "free.json")[0] == 0


MISTAKES = {
    "no file": ("absent.json", None, "Cannot read 'absent.json' (no such file or directory), expected background "),
    "no JSON": ("bad.json", "{", "'bad.json' is not JSON ("),
    "no mapping": ("bad.json", "[]", "The background knowledge is of type list, expected a mapping with forbidden, "),
    "typo": (
        "bad.json",
        '{"tier": []}',
        "Unknown key of the background knowledge: 'tier', expected one of: ",
    ),
    "contradiction": (
        "bad.json",
        '{"required": [["A", "B"]], "forbidden": [["*", "B"]]}',
        "The background knowledge requires 'A' -> 'B' and forbids it: '*' -> 'B' is among `forbidden`.",
    ),
    "unknown name": (
        "bad.json",
        '{"tiers": [["A", "disk"]]}',
        "The background knowledge has 1 name that the model does not know: 'disk'. Expected some of its 4 event types; "
        "correct them.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(place, refused, case):
    name, text, message = MISTAKES[case]
    if text is not None:
        (place / name).write_text(text)
    before = sorted(place.rglob("*"))
    assert refused("discover", "run", "plain.txt", "--knowledge", name, "--out", "g.json").startswith(message)
    assert sorted(place.rglob("*")) == before
