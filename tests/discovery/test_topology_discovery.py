"""Graphs of places that are joined: what acts within a place comes out as that, and what acts between places too."""

from dataclasses import replace

import pytest
from tests.ring_world import RING, ring_rows


@pytest.fixture(scope="module")
def log():
    import pandas as pd

    from hf_trace import read_log

    frame = pd.DataFrame(ring_rows(), columns=["case", "event", "time"])
    return read_log(frame, time_column="time", topology=RING)


@pytest.fixture(scope="module")
def model(log, tiny_settings, tmp_path_factory):
    from hf_trace import train
    from hf_trace.runs.event_model import EventModel

    return EventModel.load(
        train(
            log, tmp_path_factory.mktemp("ring") / "run", replace(tiny_settings, learning_rate=5e-3, epochs=6.0)
        ).folder
    )


def found(model, log, **settings):
    from hf_trace.discovery.results import log_result
    from hf_trace.discovery.settings import DiscoveryRequest

    request = DiscoveryRequest().updated(level="population", max_lag=4, **settings)
    return log_result(model, model.windows(log).log, request, whole=log)


def test_the_vocabulary_and_the_run_know_the_topology(model, log):
    from hf_trace.runs.trained_network import trained_network

    assert set(model.tokenizer.event_types) >= {"leak", "<near:leak>", "flood", "<near:flood>"}
    assert trained_network(model.recipe) == log.network


def test_by_type_tells_within_from_between(model, log):
    result = found(model, log, construction="by-type")
    edges = {(edge["cause"], edge["effect"]): edge for edge in result.graph.edges}
    assert edges["spark", "alarm"]["place"] == "within"
    assert edges["leak", "flood"]["place"] == "between"
    strongest = sorted(edges, key=lambda pair: edges[pair]["cmi"])[-2:]
    assert set(strongest) == {("spark", "alarm"), ("leak", "flood")}
    # One event more in its own place, and one at each of two neighbours.
    assert 0.5 < edges["spark", "alarm"]["gain"] <= 1.01
    assert 0.5 < edges["leak", "flood"]["gain"] <= 1.01
    assert not any(name.startswith("<near:") for name in result.graph.events)
    assert result.graph.metadata["scores"]["events"] == list(result.graph.events)


def test_atomic_effects_too(model, log):
    result = found(model, log, num_samples=16)
    edges = {(edge["cause"], edge["effect"]): edge for edge in result.graph.edges}
    assert edges["spark", "alarm"]["place"] == "within"
    assert edges["leak", "flood"]["place"] == "between"
