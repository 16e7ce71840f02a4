"""Total effects through the pipeline and the command line: A is always followed by B, and nothing else brings B."""

import json

import numpy as np
import pytest

from hf_trace.errors import ContextLengthError, EmptyLogError, SettingsError
from hf_trace.graphs.graph import CausalGraph

TOTAL = {"effect": "total", "level": "population", "num_contexts": 12}


def plain(output):
    return json.loads(json.dumps(output))


def test_the_rule_is_found(discover, records):
    output = discover(records, **TOTAL, horizon="1", threshold="fixed:0.3", statistic="probability_gain")
    assert [(edge["cause"], edge["effect"]) for edge in output["edges"]] == [("A", "B")]
    edge = output["edges"][0]
    # After A the next event is B; after C or D it never is.
    assert edge["risk"] == pytest.approx(1, abs=0.1)
    assert edge["baseline_risk"] == pytest.approx(0, abs=0.1)
    assert (edge["direction"], edge["support"]) == ("excites", 12)
    graph = CausalGraph.from_dict(output["graph"])
    assert np.array(graph.metadata["scores"]["matrix"]).shape == (4, 4)
    assert output["settings"]["horizon"] == "1"


def test_a_longer_horizon_reaches_what_follows_by_itself(discover, records):
    risks = [
        discover(records, **TOTAL, horizon=horizon, threshold="fixed:0", statistic="risk")["edges"]
        for horizon in ("1", "4")
    ]
    short, long = ({(e["cause"], e["effect"]): e["risk"] for e in edges} for edges in risks)
    # B needs an A first, which C does not bring at once but may within four events.
    assert long["C", "B"] > short["C", "B"] + 0.2
    assert all(long[pair] >= short[pair] - 1e-9 for pair in short)


def test_equal_calls_give_equal_results(discover, records):
    call = {**TOTAL, "horizon": "3", "threshold": "margin:0"}
    output = discover(records, **call)
    assert plain(discover(records, **call)) == plain(output)
    assert plain(discover(records, **{**output["settings"], "min_support": 2})) == plain(output)
    assert plain(discover(records, **call, seed=1)) != plain(output)


def test_horizons_in_time_need_written_times(discover, discover_timed, records, timed_records):
    near, far = (
        discover_timed(timed_records, **TOTAL, horizon=horizon, threshold="fixed:0", statistic="risk")["edges"]
        for horizon in ("3,1s", "3,1d")
    )
    total = [sum(edge["risk"] for edge in edges) for edges in (near, far)]
    assert total[0] < 0.5 * total[1]
    with pytest.raises(SettingsError, match="trained without the time between events"):
        discover(records, **TOTAL, horizon="1h")


def test_what_cannot_be_answered_is_refused(discover, records):
    with pytest.raises(SettingsError, match="expected level='population'"):
        discover(records[0], effect="total")
    with pytest.raises(SettingsError, match="statistic of total effects is 'mean_of_kl'"):
        discover(records, **TOTAL, statistic="mean_of_kl")
    with pytest.raises(SettingsError, match="horizon is 'soon', expected a number of events"):
        discover(records, **TOTAL, horizon="soon")
    with pytest.raises(ContextLengthError, match="too few for 40 events ahead"):
        discover(records, **TOTAL, horizon="40")
    with pytest.raises(EmptyLogError, match="No event has another before it"):
        discover([{"events": ["A"]}], **TOTAL, horizon="2")


def test_command_line(place, hf_trace):
    options = ["--effect", "total", "--horizon", "2", "--num-contexts", 8, "--threshold", "fixed:0.05"]
    code, _, err = hf_trace("discover", "run", "plain.txt", *options, "--out", "total.json")
    assert code == 0, err
    graph = CausalGraph.load(place / "total.json")
    assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in graph.edges}
    assert graph.metadata["settings"]["effect"] == "total"
    assert "cooccurrence" in graph.metadata["baselines"]


def test_a_log_may_lack_types_of_the_model(place, hf_trace):
    """Every type of the model is forced, those too that the log never has: counting gives these nothing."""
    (place / "part.txt").write_text("C A B C A B\nC A B A B C\n")  # no D
    options = ["--effect", "total", "--horizon", "2", "--num-contexts", 8]
    code, out, err = hf_trace("discover", "run", "part.txt", *options, "--out", "total.json")
    assert code == 0, err
    (heading,) = [line for line in out.splitlines() if line.startswith("cause ")]
    assert " contexts" in heading
    assert " sequences" not in heading
    graph = CausalGraph.load(place / "total.json")
    assert graph.events == ("A", "B", "C", "D")
    counted = np.array(graph.metadata["baselines"]["cooccurrence"])
    assert counted[0, 1] > 0
    assert not counted[3].any()
    assert not counted[:, 3].any()
