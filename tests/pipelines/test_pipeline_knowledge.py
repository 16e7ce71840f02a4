"""Background knowledge as a call parameter: what it changes in the graphs, and how it is recorded."""

import json

import pytest
from transformers import pipeline

from hf_trace.errors import SettingsError, UnknownEventError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import BackgroundKnowledge

RECORD = {"id": "one", "events": ["C", "A", "B", "D", "C", "A", "B", "D"]}
RULES = {"forbidden": [["A", "B"], ["*", "C"]], "required": [["D", "A"], ["C", "A"]]}
# Everything but what is forbidden.
EVERYTHING = {"threshold": "fixed:-1", "proposal": "exhaustive"}


def plain(output):
    return json.loads(json.dumps(output))


def pairs(edges):
    return {(edge["cause"], edge["effect"]) for edge in edges}


def test_edges_obey_it_and_all_others_stay(discover):
    free = discover(RECORD, **EVERYTHING)
    output = discover(RECORD, knowledge=RULES, **EVERYTHING)
    assert ("A", "B") in pairs(free["edges"])
    known = BackgroundKnowledge.from_dict(RULES)
    assert pairs(output["edges"]) == {pair for pair in pairs(free["edges"]) if known.allows(*pair)}
    scores = {(edge["cause_position"], edge["effect_position"]): edge["cmi"] for edge in free["edges"]}
    for edge in output["edges"]:
        assert edge["cmi"] == pytest.approx(scores[edge["cause_position"], edge["effect_position"]], abs=1e-6)
    assert {edge["cause"] for edge in output["summary"]} == {"A", "B", "C", "D"}


def test_required_edges_are_in_the_summary_found_or_not(discover):
    free = discover(RECORD, threshold="fixed:-1")["edges"]
    between = [edge["cmi"] for edge in free if (edge["cause"], edge["effect"]) == ("D", "A")]
    output = discover(RECORD, knowledge=RULES, threshold="margin:50")
    assert output["edges"] == []
    assert pairs(output["summary"]) == {("D", "A"), ("C", "A")}
    edge = next(edge for edge in output["summary"] if edge["cause"] == "D")
    assert edge == {
        "cause": "D", "effect": "A", "cmi": pytest.approx(max(between), abs=1e-6), "lags": [], "support": 0,
        "required": True,
    }  # fmt: skip
    found = discover(RECORD, knowledge=RULES, **EVERYTHING)["summary"]
    assert pairs(edge for edge in found if edge.get("required")) == {("D", "A"), ("C", "A")}
    assert len(found) > 2
    assert all(edge["support"] > 0 for edge in found)
    # A required edge is one only where both of its types are.
    assert discover({"events": ["A", "B"]}, knowledge=RULES, threshold="margin:50")["summary"] == []


def test_required_edges_are_in_the_population_found_or_not(discover, records):
    required = [["C", "D"], ["A", "*"]]
    output = discover(records, level="population", knowledge={"required": required}, proposal="exhaustive")
    edges = {(edge["cause"], edge["effect"]): edge for edge in output["edges"]}
    assert {pair for pair, edge in edges.items() if edge.get("required")} == {
        ("C", "D"), ("A", "B"), ("A", "C"), ("A", "D"),
    }  # fmt: skip
    free = discover(records, level="population", proposal="exhaustive")
    without = {(edge["cause"], edge["effect"]): edge for edge in free["edges"]}
    assert without[("A", "B")] == {key: value for key, value in edges[("A", "B")].items() if key != "required"}
    assert without.keys() <= edges.keys()
    below = edges[("C", "D")]
    assert ("C", "D") not in without
    # What was measured is there, and nothing that was not.
    assert (below["frequency"], below["lags"], below["support"]) == (0, [], 6)
    assert "direction" not in below
    matrix = free["graph"]["metadata"]["scores"]
    cause, effect = (matrix["events"].index(name) for name in "CD")
    assert below["cmi"] == pytest.approx(matrix["matrix"][cause][effect])
    assert CausalGraph.from_dict(output["graph"]).matrix().shape == (4, 4)


def test_a_required_edge_that_was_never_tested_has_no_support(discover):
    output = discover([{"events": ["A", "B"]}] * 2, level="population", knowledge={"required": [["B", "A"]]})
    edge = next(edge for edge in output["edges"] if edge["cause"] == "B")
    assert edge == {"cause": "B", "effect": "A", "cmi": 0.0, "lags": [], "support": 0, "required": True}


def test_every_form_gives_the_same_and_is_recorded(discover, tiny_run, tmp_path):
    (tmp_path / "known.json").write_text(json.dumps(RULES))
    known = BackgroundKnowledge.from_dict(RULES)
    outputs = [
        plain(discover(RECORD, knowledge=form))
        for form in (RULES, known, tmp_path / "known.json", str(tmp_path / "known.json"))
    ]
    assert all(output == outputs[0] for output in outputs)
    assert outputs[0]["settings"]["knowledge"] == known.to_dict()
    assert outputs[0]["graph"]["metadata"]["settings"] == outputs[0]["settings"]
    assert plain(discover(RECORD, **outputs[0]["settings"])) == outputs[0]
    made = pipeline("causal-discovery", model=str(tiny_run), knowledge=RULES)
    assert plain(made(RECORD)) == outputs[0]
    assert made(RECORD, knowledge=None)["settings"]["knowledge"] is None
    assert discover(RECORD)["settings"]["knowledge"] is None


def test_staircase_and_sliding_windows_obey_it(discover):
    long = {"events": ["A", "B", "C"] * 12}
    options = {"max_lag": 4, "slide": True, "threshold": "fixed:-1", "knowledge": RULES}
    for construction, statistic in (("atomic", "kl_to_mixture"), ("staircase", "library")):
        edges = discover(long, construction=construction, statistic=statistic, **options)["edges"]
        assert pairs(edges) == {("A", "A"), ("B", "A"), ("B", "B"), ("C", "A"), ("C", "B")}


@pytest.mark.parametrize(
    ("knowledge", "error", "message"),
    [
        (
            {"forbidden": [["A", "E"]]},
            UnknownEventError,
            "The background knowledge has 1 name that the model does not know: 'E'. Expected some of its 4 event "
            "types; correct them.",
        ),
        (3, SettingsError, "The background knowledge is of type int, expected a mapping with forbidden, "),
        ("absent.json", SettingsError, "Cannot read 'absent.json' (no such file or directory), expected background"),
    ],
)
def test_mistakes(discover, knowledge, error, message):
    with pytest.raises(error) as refused:
        discover(RECORD, knowledge=knowledge)
    assert str(refused.value).startswith(message)


def test_total_effects_do_not_ignore_it_in_silence(discover):
    with pytest.raises(SettingsError, match="knowledge is given and effect 'total'"):
        discover([RECORD], effect="total", level="population", knowledge={"forbidden": [["A", "B"]]})
