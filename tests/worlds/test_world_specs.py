"""What a world accepts, and one line for everything else."""

import json

import pytest

from hf_trace.errors import SettingsError
from hf_trace.worlds.world import WORLDS, WorldSpec, load_spec

BAD = {
    "types": ({"types": 1}, "types is 1, expected a whole number of at least 2."),
    "bool": ({"memory": True}, "memory is True, expected a whole number of at least 1."),
    "ties": ({"ties": 0}, "ties is 0, expected a whole number of at least 1."),
    "seed": ({"seed": -1}, "seed is -1, expected a whole number of at least 0."),
    "noise": ({"noise": 1.5}, "noise is 1.5, expected a number from 0 to 1."),
    "drift": ({"drift": -0.1}, "drift is -0.1, expected a number from 0 to 1."),
    "nan": ({"weight": float("nan")}, "weight is nan, expected a number of at least 0."),
    "infinite": ({"bias": float("inf")}, "bias is inf, expected a number of at least 0."),
    "decay": ({"decay": -2.0}, "decay is -2.0, expected a number of at least 0."),
    "kind": ({"nonlinearity": "cubic"}, "nonlinearity is 'cubic', expected one of: none, relu, product, threshold."),
    "end": ({"types": 3, "edges": [[0, 3, 1.0]]}, "Type 3 is not one of the 3 types from 0."),
    "hidden": ({"types": 3, "hidden": [-1]}, "Type -1 is not one of the 3 types from 0."),
    "all hidden": (
        {"types": 2, "hidden": [0, 1]},
        "All types are hidden, so that nothing would be recorded. Leave one out of `hidden`.",
    ),
    "edge weight": (
        {"types": 3, "edges": [[0, 1, float("inf")]]},
        "The weight of an edge is not finite, expected a number such as 2.5.",
    ),
    "drift of edges": (
        {"types": 3, "edges": [[0, 1, 1.0]], "drift": 0.5},
        "drift replaces random weights, but the world has `edges`. Give one of the two.",
    ),
    "short edge": (
        {"edges": [[0, 1]]},
        "The world cannot be read: not enough values to unpack (expected 3, got 2).",
    ),
    "no list": ({"hidden": 5}, "The world cannot be read: 'int' object is not iterable."),
    "unknown": (
        {"tpyes": 3},
        "Unknown world setting 'tpyes', expected one of: types, memory, decay, weight, sparsity, bias, nonlinearity, "
        "edges, noise, drift, ties, hidden, length, seed. Did you mean 'types'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_world_is_refused_in_one_line(case):
    document, message = BAD[case]
    with pytest.raises(SettingsError) as caught:
        WorldSpec.from_dict(document)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["not json", "[1]", b"\xff\xfe{}"])
def test_a_file_that_holds_no_world(tmp_path, text):
    path = tmp_path / "world.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=r"world.json' (is not JSON|holds a list)") as caught:
        load_spec(path)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_nothing():
    with pytest.raises(SettingsError, match=r"'stepe' is neither a world .* nor a file"):
        load_spec("stepe")


def test_a_world_survives_json(tmp_path):
    spec = WorldSpec(types=6, edges=((0, 1, 2.5), (4, 5, -1.0)), hidden=(3,), noise=0.1)
    (tmp_path / "w.json").write_text(json.dumps(spec.to_dict()))
    assert load_spec(tmp_path / "w.json") == spec
    assert all(WorldSpec.from_dict(each.to_dict()) == each == load_spec(name) for name, each in WORLDS.items())


@pytest.mark.parametrize("change", [{"hidden": (1,)}, {"drift": 0.1}, {"ties": 2}])
def test_what_is_not_recorded_as_it_happens_is_not_exact(change):
    assert WorldSpec(noise=0.2, nonlinearity="product").is_exact
    assert not WorldSpec(**change).is_exact
