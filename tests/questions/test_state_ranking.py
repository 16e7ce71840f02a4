"""Oddness of states and the order of causes, against closed forms and an exact model of snapshots."""

import networkx as nx
import numpy as np
import pytest
from tests.dag_lm import JointConfig, JointLM

from hf_trace.errors import QueryError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.states.state_histories import seconds_held
from hf_trace.logs.states.state_log import StateLog
from hf_trace.oracle.engine import Oracle
from hf_trace.questions.normal_states import NormalStates, OddState
from hf_trace.questions.state_oracle import SnapshotOracle
from hf_trace.questions.state_ranking import (
    SeenIncident,
    StateRankSettings,
    ordered_causes,
    rank_states,
    variable_graph,
)
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer

SCHEMA = DagSchema(tuple(Variable(name, values=("off", "on")) for name in ("pump", "valve", "light")))
# The pump is on half of the time, the valve follows it nine times of ten, the light is by itself.
JOINT = np.array([[0.45, 0.05], [0.05, 0.45]])[:, :, None] * np.array([0.7, 0.3])


@pytest.fixture(scope="module")
def oracle():
    tokenizer = DagTokenizer.from_schema(SCHEMA, history="full", order="random")
    model = JointLM(JointConfig(len(tokenizer)), JOINT, list(tokenizer.variables.values())).eval()
    return SnapshotOracle(Oracle(model), tokenizer)


@pytest.fixture(scope="module")
def normal(oracle):
    seconds = {
        "pump": {"off": 50.0, "on": 50.0},
        "valve": {"off": 50.0, "on": 50.0},
        "light": {"off": 70.0, "on": 30.0},
        "filter": {"ok": 100.0},
    }
    # Surprises of normal moments: nine of ten as expected.
    seen = np.sort(np.r_[np.full(90, -np.log(0.9)), np.full(10, -np.log(0.1))])
    surprises = {"pump": seen, "valve": seen, "light": np.sort(np.repeat([-np.log(0.7), -np.log(0.3)], [70, 30]))}
    return NormalStates(seconds, 100.0, 1.0, oracle, surprises, bound=4.0)


def incident(normal, *events):
    names, times = zip(*events, strict=True)
    return normal.read(EventLog.from_sequences([EventSequence(names, times, "x")]))


def test_the_model_of_snapshots_gives_the_conditionals_of_the_joint(oracle):
    asked = [
        ("valve", {"pump": "on", "light": "off", "valve": "off"}),
        ("valve", {"other": "?"}),
        ("pump", {"valve": "on"}),
    ]
    found = [np.exp(each) for each in oracle.log_probs(asked)]
    np.testing.assert_allclose(found, [[0.1, 0.9], [0.5, 0.5], [0.1, 0.9]], atol=1e-5)
    assert oracle.log_probs([]) == []


def test_rarity_and_context_are_tail_shares(normal):
    assert normal.rarity("light", "on") == pytest.approx(-np.log(31 / 102))
    assert normal.rarity("filter", "clogged") == pytest.approx(-np.log(1 / 102))
    assert normal.context("valve", -np.log(0.1)) == pytest.approx(-np.log(11 / 101))
    assert normal.context("valve", 0.0) == 0.0
    assert normal.context("filter", np.inf) == pytest.approx(-np.log(1 / 101))


def test_a_state_is_judged_by_what_the_others_were_when_it_began(normal):
    start = [("pump=off", 0.0), ("valve=off", 0.0), ("light=off", 0.0), ("filter=ok", 0.0)]
    states = incident(normal, *start, ("valve=on", 5.0), ("pump=on", 5.5), ("A", 9.0))
    odd = {each.variable: each for each in normal.odd_states(states.histories[0], 9.0, ["A*"])}
    assert set(odd) == {"pump", "valve", "light"}  # the filter never varied and still does not
    # The valve opened while the pump was off; the pump then fitted the valve. At the alarm both fit each other.
    assert odd["valve"].surprise == pytest.approx(-np.log(0.1), abs=1e-4)
    assert odd["pump"].surprise == pytest.approx(-np.log(0.9), abs=1e-4)
    assert odd["valve"].expected == ("off", pytest.approx(0.9, abs=1e-4))
    assert normal.beside(states.histories[0], 9.0, odd["valve"]) == ("pump", "off")
    assert normal.beside(states.histories[0], 9.0, odd["light"]) is None
    assert odd["valve"].score == pytest.approx(-np.log(51 / 102) - np.log(11 / 101), abs=1e-3)


def test_causes_paths_sentences_and_what_never_was(normal):
    start = [("pump=on", 0.0), ("valve=on", 0.0), ("light=off", 0.0), ("filter=ok", 0.0)]
    states = incident(normal, *start, ("filter=clogged", 4.0), ("pump=off", 4.5), ("A", 9.0), ("B", 12.0))
    graph = variable_graph(nx.DiGraph([("filter=clogged", "pump"), ("pump", "A")]), states)
    ranking = rank_states(normal, states, 0, ["B", "A", "A"], StateRankSettings(top=2), graph=graph)
    assert [(each["event"], each["time"]) for each in ranking["alarms"]] == [("A", 9.0), ("B", 12.0)]
    first, second = ranking["causes"]
    assert (first["variable"], first["path"], first["stands_out"]) == ("filter", ["filter", "pump", "A"], True)
    assert first["sentence"] == (
        "filter is clogged since 8.0 s before the alarm; in 100.0 s of normal operation it never was. It leads there "
        "by filter → pump → A."
    )
    assert (second["variable"], second["explained_by"], "note" in ranking) == ("pump", "filter", False)
    assert "Beside valve = on when it began, on was expected (90.0%). It follows filter." in second["sentence"]
    calm = incident(normal, *start, ("A", 9.0))
    assert "Nothing stands out" in rank_states(normal, calm, 0, ["A"], StateRankSettings())["note"]


def test_what_explains_comes_before_within_the_horizon_and_is_about_as_odd():
    def order(*states, **options):
        odd = [OddState(name, "on", onset, onset, rarity) for name, onset, rarity in states]
        return [(each.state.variable, each.explained_by) for each in ordered_causes(odd, 1.0, **options)]

    assert order(("late", 2.0, 9.0), ("early", 1.5, 7.0)) == [("early", None), ("late", "early")]
    assert order(("late", 2.0, 9.0), ("early", 1.5, 5.0)) == [("late", None), ("early", None)]  # not odd enough
    assert order(("late", 3.0, 9.0), ("early", 1.5, 9.0)) == [("early", None), ("late", None)]  # too long ago
    chain = nx.DiGraph([("early", "mid"), ("mid", "late"), ("late", "A"), ("x", "y")])
    found = order(("late", 9.0, 9.0), ("early", 1.5, 9.0), ("x", 0.1, 50.0), alarms=["A"], graph=chain)
    assert found == [("early", None), ("late", "early"), ("x", None)]
    with pytest.raises(QueryError, match="no node 'B'"):
        order(("late", 9.0, 9.0), alarms=["B"], graph=chain)


def test_states_of_other_incidents_tell_causes_from_what_all_faults_bring():
    odd = [OddState(name, "on", onset, onset, 9.0) for name, onset in (("stop", 1.0), ("leak", 5.0))]
    other = [SeenIncident(frozenset({"B"}), {"stop": "on", "leak": "off"})] * 3
    first, last = ordered_causes(odd, 1.0, raised=frozenset({"A"}), seen=other)
    assert (first.state.variable, last.state.variable) == ("leak", "stop")
    assert first.seen == pytest.approx(np.log(0.5 / 1) - np.log(0.5 / 4))
    assert last.seen == pytest.approx(np.log(0.5 / 1) - np.log(3.5 / 4))


def test_what_is_odd_stands_out_of_one_in_twenty_normal_moments_at_most(oracle):
    rng, sequences = np.random.default_rng(0), []
    for number in range(12):
        events, times = ["pump=off", "valve=off", "light=off"], [0.0, 0.0, 0.0]
        for moment in range(1, 40):
            pump = "on" if rng.random() < 0.5 else "off"
            valve = pump if rng.random() < 0.9 else {"on": "off", "off": "on"}[pump]
            events += [f"pump={pump}", f"valve={valve}", f"light={'on' if rng.random() < 0.3 else 'off'}"]
            times += [float(moment)] * 3
        sequences.append(EventSequence(tuple(events), tuple(times), str(number)))
    histories = StateLog.of(EventLog.from_sequences(sequences)).histories
    plain = NormalStates(seconds_held(histories), 12 * 39.0, 1.0, oracle)
    scale = plain.calibrated(histories[:6], seed=0)
    moments = [(each, float(time)) for each in histories[6:] for time in rng.uniform(1, 39, 25)]
    loud = [max(odd.score for odd in scale.odd_states(*moment)) > scale.bound for moment in moments]
    assert np.mean(loud) <= 0.05
    again = NormalStates.from_dict(scale.to_dict(), oracle)
    assert again.bound == scale.bound
    np.testing.assert_array_equal(again.surprises["pump"], scale.surprises["pump"])
