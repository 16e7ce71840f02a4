"""Worlds of joined places: what they cause where, and that histories with neighbours tell it."""

import numpy as np
import pytest

from hf_trace.errors import SettingsError
from hf_trace.graphs.hawkes import fit_hawkes
from hf_trace.logs.places.histories import with_neighbours
from hf_trace.logs.places.place_network import PlaceNetwork
from hf_trace.worlds.place_worlds import PlaceWorld, simulate_places
from hf_trace.worlds.process_spec import ProcessSpec
from hf_trace.worlds.process_truth import mean_rates

WHERE = {("a", "b"): "within", ("a", "c"): "between", ("a", "d"): "both"}


def ring(places=8, duration=40_000.0, weight=0.6, **more):
    """Places in a ring, at each of which an a brings about b there, c at neighbours and d at both."""
    types = [{"name": name, "rate": 0.002} for name in "abcd"]
    edges = [{"cause": one, "effect": other, "weight": weight, "delay": 5.0} for one, other in WHERE]
    spec = ProcessSpec.from_dict({"types": types, "edges": edges, "duration": duration})
    pairs = tuple((f"p{i}", f"p{(i + 1) % places}") for i in range(places))
    return PlaceWorld(spec, PlaceNetwork(pairs, **more), WHERE)


def test_every_place_has_the_rates_of_one_alone():
    world = ring()
    log = simulate_places(world, seed=1)
    assert log.ids == world.network.places
    # In a ring what goes to two neighbours comes from two: 8 x 40,000 x (rate + .6 x .002) of b, c and d.
    expected = 8 * 40_000 * mean_rates(world.spec)
    counts = np.bincount(log.codes)
    assert np.abs(counts - expected).max() < 4 * np.sqrt(2 * expected.max())
    np.testing.assert_allclose(mean_rates(world.whole()).reshape(8, 4), np.tile(mean_rates(world.spec), (8, 1)))


@pytest.mark.parametrize("directed", [False, True])
def test_a_hawkes_process_of_histories_finds_the_weights(directed):
    world = ring(directed=directed)
    seen = with_neighbours(simulate_places(world, seed=2), world.network)
    found = fit_hawkes(seen, horizon=15.0)
    place = {name: number for number, name in enumerate(seen.event_types)}
    weights = np.array(
        [[found.weights[place[cause], place[effect]] for effect in "bcd"] for cause in ("a", "<near:a>")]
    )
    # An a is seen by two neighbours, or by the one downstream; a horizon of three mean delays holds 95 %.
    near = 0.6 if directed else 0.3
    expected = 0.95 * np.array([[0.6, 0.0, 0.3], [0.0, near, near / 2]])
    np.testing.assert_allclose(weights, expected, atol=0.07)


def test_the_truth_says_where_edges_act():
    assert [(edge["effect"], edge["place"]) for edge in ring().truth().edges] == [(v, w) for (_, v), w in WHERE.items()]


@pytest.mark.parametrize(
    ("where", "says"),
    [({("b", "a"): "within"}, "has no edge 'b' -> 'a'"), ({("a", "b"): "here"}, "within, between, both")],
)
def test_what_is_not_understood_is_refused(where, says):
    world = ring()
    with pytest.raises(SettingsError, match=says):
        PlaceWorld(world.spec, world.network, where)
