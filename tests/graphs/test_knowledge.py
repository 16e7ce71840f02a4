"""Rules about pairs of types: what they allow, how they are read, and one line for every mistake."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from hf_trace.discovery.pair_graphs import strongest_scores
from hf_trace.discovery.statistics import PairScores
from hf_trace.errors import SettingsError, UnknownEventError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.knowledge import BackgroundKnowledge, as_knowledge, with_required
from hf_trace.logs.sequence import EventSequence

DOCUMENT = {
    "forbidden": [["ticket", "*"], ["*", "start"], ["a", "b"]],
    "required": [["b", "a"]],
    "tiers": [["start"], ["a", "b"], ["repair"]],
    "groups": {"left": ["a", "b"], "middle": ["c"], "right": ["d"]},
    "neighbours": [["left", "middle"]],
}


def test_what_rules_allow():
    known = BackgroundKnowledge.from_dict(DOCUMENT)
    allowed = {
        ("a", "b"): False,  # forbidden
        ("b", "a"): True,
        ("a", "a"): True,
        ("ticket", "a"): False,  # forbidden as a cause of anything
        ("a", "ticket"): True,
        ("a", "start"): False,  # forbidden as an effect of anything
        ("start", "a"): True,  # an earlier tier
        ("repair", "a"): False,  # a later tier
        ("a", "repair"): True,
        ("repair", "repair"): True,
        ("a", "c"): True,  # neighbours
        ("c", "a"): True,  # in both directions
        ("a", "d"): False,  # no neighbours
        ("c", "d"): False,
        ("other", "d"): True,  # in no group
        ("other", "repair"): True,  # in no tier
        ("repair", "other"): True,
    }
    assert {pair: known.allows(*pair) for pair in allowed} == allowed
    assert BackgroundKnowledge().allows("x", "y")
    assert not BackgroundKnowledge(forbidden=(("*", "*"),)).allows("x", "y")


def test_required_pairs_of_a_graph():
    known = BackgroundKnowledge(required=(("a", "b"), ("x", "*"), ("*", "y"), ("c", "c")))
    assert known.required_among(("a", "b")) == {("a", "b")}
    assert known.required_among(("a",)) == set()
    # A rule for any type says nothing about a type and itself; a pair that is written out does.
    assert known.required_among(("x", "a", "c")) == {("x", "a"), ("x", "c"), ("c", "c")}
    assert known.required_among(("x", "y")) == {("x", "y")}


def test_it_is_frozen_and_reads_what_it_writes(tmp_path):
    known = BackgroundKnowledge.from_dict(DOCUMENT)
    with pytest.raises(FrozenInstanceError):
        known.tiers = ()
    assert known.to_dict() == DOCUMENT
    assert BackgroundKnowledge.from_dict(known.to_dict()) == known
    (tmp_path / "known.json").write_text(json.dumps(DOCUMENT))
    for value in (DOCUMENT, known, tmp_path / "known.json", str(tmp_path / "known.json")):
        assert as_knowledge(value) == known
    assert as_knowledge(None) is None
    assert as_knowledge({}) == BackgroundKnowledge()


MISTAKES = {
    "key": (
        {"forbiden": []},
        "Unknown key of the background knowledge: 'forbiden', expected one of: forbidden, required, tiers, groups, "
        "neighbours. Did you mean 'forbidden'?",
    ),
    "no mapping": (
        ["a"],
        "The background knowledge is of type list, expected a mapping with forbidden, required, tiers, groups, "
        "neighbours.",
    ),
    "no list": (
        {"forbidden": "a"},
        "`forbidden` of the background knowledge is 'a', expected a list.",
    ),
    "no pair": (
        {"required": [["a", "b", "c"]]},
        "`required` of the background knowledge holds ['a', 'b', 'c'], expected pairs of two names.",
    ),
    "text for a pair": (
        {"required": ["ab"]},
        "`required` of the background knowledge is 'ab', expected a list.",
    ),
    "no name": (
        {"tiers": [["a", 3]]},
        "`tiers` of the background knowledge holds 3, expected names of event types.",
    ),
    "groups without names": (
        {"groups": [["a"], ["b"]]},
        "`groups` of the background knowledge is [['a'], ['b']], expected a mapping from names of groups to lists of "
        "event types.",
    ),
    "two tiers": (
        {"tiers": [["a", "b"], ["b"]]},
        "`tiers` of the background knowledge has 'b' more than once, expected each type in one of the tiers at most.",
    ),
    "two groups": (
        {"groups": {"x": ["a"], "y": ["a"]}},
        "`groups` of the background knowledge has 'a' more than once, expected each type in one of the groups at most.",
    ),
    "no such group": (
        {"groups": {"rack 1": ["a"]}, "neighbours": [["rack 1", "rack1"]]},
        "Unknown group among `neighbours` of the background knowledge: 'rack1', expected one of: rack 1. "
        "Did you mean 'rack 1'?",
    ),
    "everything required": (
        {"required": [["*", "*"]]},
        "The background knowledge requires '*' -> '*', expected a type on one side at least. Name it.",
    ),
    "required and forbidden": (
        {"required": [["a", "b"]], "forbidden": [["a", "*"]]},
        "The background knowledge requires 'a' -> 'b' and forbids it: 'a' -> '*' is among `forbidden`. Expected one of "
        "the two; remove the other.",
    ),
    "required against tiers": (
        {"required": [["b", "a"]], "tiers": [["a"], ["b"]]},
        "The background knowledge requires 'b' -> 'a' and forbids it: 'b' is in a later tier. Expected one of the two; "
        "remove the other.",
    ),
    "required against groups": (
        {"required": [["a", "*"]], "groups": {"x": ["a"], "y": ["b"]}},
        "The background knowledge requires 'a' -> 'b' and forbids it: their groups 'x' and 'y' are not neighbours. "
        "Expected one of the two; remove the other.",
    ),
    "required of any type, forbidden of any type": (
        {"required": [["a", "*"]], "forbidden": [["*", "*"]]},
        "The background knowledge requires 'a' -> any type and forbids it: '*' -> '*' is among `forbidden`. Expected "
        "one of the two; remove the other.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case):
    document, message = MISTAKES[case]
    with pytest.raises(SettingsError) as refused:
        as_knowledge(document)
    assert str(refused.value) == message


def test_bad_files(tmp_path):
    (tmp_path / "text.json").write_text("not json")
    with pytest.raises(SettingsError, match=r"text.json' is not JSON \(.*\), expected background knowledge such as"):
        as_knowledge(tmp_path / "text.json")
    with pytest.raises(SettingsError) as refused:
        as_knowledge("absent.json")
    assert str(refused.value) == (
        "Cannot read 'absent.json' (no such file or directory), expected background knowledge such as "
        '{"forbidden": [["ticket", "*"]], "required": [["disk full", "reboot"]]}.'
    )


def test_unknown_names_come_with_the_closest():
    known = BackgroundKnowledge(forbidden=(("disk-ful", "*"), ("q", "w")), tiers=(("e", "reboot"),))
    with pytest.raises(UnknownEventError) as refused:
        known.check_names(("disk full", "reboot"))
    assert str(refused.value) == (
        "The background knowledge has 4 names that the model does not know: 'disk-ful', 'q', 'w' and 1 more. Expected "
        "some of its 2 event types; correct them. Did you mean 'disk full'?"
    )
    BackgroundKnowledge(forbidden=(("reboot", "*"),)).check_names(("disk full", "reboot"))


def test_required_edges_are_marked_and_added():
    edge = {"cause": "a", "effect": "b", "cmi": 0.4, "lags": [1], "support": 2}
    other = {"cause": "b", "effect": "c", "cmi": 0.3, "lags": [2], "support": 1}
    graph = CausalGraph("summary", ("a", "b", "c"), (edge, other))
    known = BackgroundKnowledge(required=(("a", "b"), ("c", "a"), ("a", "x")))
    found = with_required(graph, known, {("c", "a"): 0.01})
    assert found.edges == (
        {**edge, "required": True},
        other,
        {"cause": "c", "effect": "a", "cmi": 0.01, "lags": [], "support": 0, "required": True},
    )
    assert found.matrix()[2, 0] == 0.01
    assert with_required(graph, BackgroundKnowledge(), {}) == graph


def test_strongest_scores():
    scores = PairScores(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.1, 0.3, -0.2]), np.zeros(3), np.zeros(3))
    pairs = [("a", "b"), ("b", "b"), ("b", "a")]
    assert strongest_scores(EventSequence(("a", "b", "b")), scores, pairs) == {("a", "b"): 0.3, ("b", "b"): -0.2}
