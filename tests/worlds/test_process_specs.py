"""What defines a world in continuous time, its known graph by hand, and one line for every mistake."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.errors import SettingsError
from hf_trace.worlds.process_intensity import intensity
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_spec import Flood, Inhibition, ProcessEdge, ProcessSpec, ProcessType
from hf_trace.worlds.process_truth import process_truth, variable_truth
from hf_trace.worlds.process_worlds import PROCESS_WORLDS, load_world, process_world

TYPES = [{"name": "a", "rate": 0.1}, {"name": "b"}, {"name": "c"}]


def edges_of(graph, *keys):
    return {(edge["cause"], edge["effect"]): tuple(edge[key] for key in keys) for edge in graph.edges}


@pytest.mark.parametrize("name", PROCESS_WORLDS)
def test_a_world_is_read_as_it_was_written(name, tmp_path):
    spec = process_world(name, world_seed=3)
    (tmp_path / "world.json").write_text(json.dumps(spec.to_dict()))
    assert load_world(tmp_path / "world.json") == spec
    assert process_world(name, world_seed=4) != spec


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(PROCESS_WORLDS)), world_seed=st.integers(0, 10_000))
def test_named_worlds_look_like_logs_and_have_edges_enough(name, world_seed):
    spec = process_world(name, world_seed=world_seed, weight=0.2)
    truth = process_truth(spec)
    assert 10 <= len(truth.events) <= 30
    assert 15 <= len(truth) <= 60
    assert all(edge["weight"] > 0 or edge["direction"] == "inhibits" for edge in truth.edges)


def test_truth_by_hand():
    types = (
        ProcessType("a", 0.1),
        ProcessType("b", repeats=3),
        ProcessType("c", 0.2),
        ProcessType("h", 1, hidden=True),
    )
    edges = (
        ProcessEdge("a", "b", 0.5, 4.0), ProcessEdge("b", "c", 0.4, 9.0, needs="a"), ProcessEdge("a", "a", 0.5),
        ProcessEdge("h", "a", 0.1), ProcessEdge("h", "c", 0.1),
    )  # fmt: skip
    spec = ProcessSpec(types, edges, (Inhibition("c", "a", 0.25, 10.0),))
    truth = process_truth(spec)
    assert truth.events == ("a", "b", "c")
    # (.1 + .1) / (1 - .5) events of a in a second, of which three quarters are missing for ten.
    assert edges_of(truth, "weight", "delay", "direction", "kind") == {
        ("a", "b"): (0.5 * 4, 4.0, "excites", "causes"),
        ("a", "c"): (0.4, 9.0, "excites", "together"),
        ("b", "c"): (0.4 / 4, 9.0, "excites", "together"),
        ("c", "a"): (pytest.approx(-0.75 * 10 * 0.4), 10.0, "inhibits", "inhibits"),
    }
    assert variable_truth(spec) is None


def test_truth_between_values_and_between_variables():
    types = tuple(ProcessType(name, 0.1) for name in ("p=off", "p=on", "q=off", "q=on", "x"))
    edges = (ProcessEdge("p=on", "q=on", 0.9), ProcessEdge("p=off", "q=off", 0.5), ProcessEdge("x", "p=on", 0.2))
    spec = ProcessSpec(types, edges, variables=(("p=off", "p=on"), ("q=off", "q=on")))
    within = {
        (f"{name}={one}", f"{name}={other}"): ("state",)
        for name in "pq"
        for one, other in (("on", "off"), ("off", "on"))
    }
    between = {(edge.cause, edge.effect): ("causes",) for edge in edges}
    assert edges_of(process_truth(spec), "kind") == {**within, **between}
    assert process_truth(spec).metadata["variables"] == {"p": ["p=off", "p=on"], "q": ["q=off", "q=on"]}
    assert edges_of(variable_truth(spec), "weight", "support") == {("p", "q"): (0.9, 2), ("x", "p"): (0.2, 1)}


def test_the_signs_of_a_hidden_world_and_of_two_causes():
    hidden = process_world("hidden")
    drives = {}
    for edge in hidden.edges:
        if edge.cause.startswith("hidden"):
            drives.setdefault(edge.cause, []).append(edge)
    known = edges_of(process_truth(hidden), "kind")
    for early, late in drives.values():
        assert late.delay == 4 * early.delay
        assert not {(early.effect, late.effect), (late.effect, early.effect)} & known.keys()
    together = process_world("together")
    needing = [edge for edge in together.edges if edge.needs]
    assert {(edge.cause, edge.needs, edge.effect) for edge in needing} == {
        (edge.needs, edge.cause, edge.effect) for edge in needing
    }


A, B = ProcessType("a", 0.1), ProcessType("b")
SPEC = ProcessSpec((A, B))
WRONG = {
    "rate": (lambda: ProcessType("a", -1.0), "rate of 'a' is -1.0, expected a number of at least 0."),
    "no name": (lambda: ProcessType(""), "The name of a type is '', expected a text."),
    "gap": (lambda: ProcessType("a", gap=0.0), "gap of 'a' is 0.0, expected a number above 0."),
    "periodic with a rate": (
        lambda: ProcessType("a", 0.1, period=5.0),
        "'a' is periodic and has a rate or repeats, expected one of the two.",
    ),
    "weight": (lambda: ProcessEdge("a", "b", -0.5), "weight of 'a' -> 'b' is -0.5, expected a number of at least 0."),
    "kernel": (
        lambda: ProcessEdge("a", "b", kernel="gama"),
        "kernel is 'gama', expected one of: exponential, gamma, shifted, lognormal. Did you mean 'gamma'?",
    ),
    "factor": (lambda: Inhibition("a", "b", 1.5), "factor of 'a' -> 'b' is 1.5, expected a number from 0 to 1."),
    "flood": (lambda: Flood(0.1, factor=0.5), "factor of the flood is 0.5, expected a number of at least 1."),
    "one type": (lambda: ProcessSpec((A,)), "The types are 'a', expected at least two, each with a name of its own."),
    "all hidden": (
        lambda: ProcessSpec((replace(A, hidden=True), replace(B, hidden=True))),
        "All types are hidden, so that nothing would be recorded. Record at least one.",
    ),
    "unknown effect": (lambda: replace(SPEC, edges=(ProcessEdge("a", "x"),)), "effect is 'x', expected one of: a, b."),
    "twice": (
        lambda: replace(SPEC, edges=(ProcessEdge("a", "b"), ProcessEdge("a", "b"))),
        "The edge 'a' -> 'b' is there twice, expected each pair once.",
    ),
    "needs itself": (
        lambda: replace(SPEC, edges=(ProcessEdge("a", "b", needs="b"),)),
        "'a' -> 'b' needs one of the two, expected a third type.",
    ),
    "explosive": (
        lambda: replace(SPEC, edges=(ProcessEdge("a", "b", 2.0), ProcessEdge("b", "a", 0.72))),
        "Events cause ever more events (the spectral radius of the weights is 1.20), expected less than 1. Give the "
        "edges smaller weights, or a world by name another `world_seed`.",
    ),
    "hidden effect": (
        lambda: ProcessSpec((A, replace(B, hidden=True)), (ProcessEdge("a", "b"),)),
        "'b' is hidden and an effect, expected hidden types without a cause.",
    ),
    "periodic effect": (
        lambda: ProcessSpec((A, replace(B, period=5.0)), (ProcessEdge("a", "b"),)),
        "'b' is periodic and an effect or a value, expected neither.",
    ),
    "one value": (
        lambda: replace(SPEC, variables=(("a",),)),
        "A variable has the values ['a'], expected at least two.",
    ),
    "two variables": (
        lambda: replace(SPEC, variables=(("a", "b"), ("b", "a"))),
        "'a' is a value of two variables, expected one.",
    ),
    "repeated value": (
        lambda: ProcessSpec((A, replace(B, repeats=2.0)), variables=(("a", "b"),)),
        "'b' is a value and repeated or hidden, expected neither.",
    ),
    "typo": (
        lambda: ProcessSpec.from_dict({"types": TYPES, "edgs": []}),
        "Unknown world setting 'edgs', expected one of: types, edges, inhibitions, variables, flood, duration. "
        "Did you mean 'edges'?",
    ),
    "no object": (
        lambda: ProcessSpec.from_dict({"types": TYPES, "flood": 3}),
        "flood of the world holds 3, expected an object of settings.",
    ),
    "no list": (
        lambda: ProcessSpec.from_dict({"types": TYPES, "edges": 5}),
        "The world cannot be read: 'int' object is not iterable.",
    ),
    "few": (lambda: process_world("hawkes", types=5), "types is 5, expected a whole number of at least 6."),
    "many edges": (lambda: process_world("hawkes", edges=96), "edges is 96, expected at most 95 among 20 types."),
    "unknown world": (
        lambda: process_world("signal"),
        "world is 'signal', expected one of: hawkes, bursts, periodic, signals, chatter, together, inhibition, hidden. "
        "Did you mean 'signals'?",
    ),
    "another world": (
        lambda: load_world("small", types=30),
        "types is for the worlds hawkes, bursts, periodic, signals, chatter, together, inhibition, hidden, not for "
        "'small'. Leave it out, or write it into the file of the world.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes(case):
    make, message = WRONG[case]
    with pytest.raises(SettingsError) as caught:
        make()
    assert str(caught.value) == message


def test_effects_that_one_event_has_add_up_to_its_row():
    spec = process_world("hawkes")
    weights = spec.branching()
    assert weights.shape == (20, 20)
    assert np.count_nonzero(weights) == 30
    assert weights.sum() == pytest.approx(sum(edge.weight for edge in spec.edges))


def test_whole_numbers_are_numbers():
    document = {
        "types": [{"name": "v=0", "rate": 1}, {"name": "v=1", "rate": 1}, {"name": "t", "period": 5}, {"name": "b"}],
        "edges": [{"cause": "t", "effect": "b", "weight": 1, "delay": 2, "needs": "v=1", "window": 3}],
        "inhibitions": [{"cause": "t", "effect": "v=1", "factor": 0, "seconds": 2}],
        "variables": [["v=0", "v=1"]],
        "duration": 50,
    }
    spec = ProcessSpec.from_dict(document)
    (sequence,) = simulate_process(spec, 1, seed=1).log
    assert intensity(spec, sequence, sequence.timestamps).shape == (len(sequence), 4)
    floods = {**document, "flood": {"rate": 1, "seconds": 2, "factor": 3}, "edges": [], "inhibitions": []}
    assert len(simulate_process(ProcessSpec.from_dict(floods), 1, seed=1).log.codes) > 20
