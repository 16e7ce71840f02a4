"""Who is suspected of an event of an incident: B comes after A alone; and of states the one that normal times lack."""

import numpy as np
import pytest
from tests.dag_lm import JointConfig, JointLM
from tests.incidents import EVENTS, LOG, incident_page

from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.questions.normal_states import NormalStates
from hf_trace.questions.state_oracle import SnapshotOracle
from hf_trace.report.incident_rankings import Suspects
from hf_trace.report.page import page_text
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer


@pytest.fixture(scope="module")
def document():
    return incident_page()


def test_the_cause_is_suspected_and_says_why(document, discover):
    shares = []
    found = Suspects(discover.event_model, LOG, within=1).added(document, advance=shares.append)
    (incident,) = found["incidents"]
    assert incident["ranked"] == 3
    assert [each["cause"] for each in incident["ranking"]] == ["A (2)"]
    # B is certain after A; what stands in its place is A again as often as the model says, one time in four.
    assert incident["ranking"][0]["score"] == pytest.approx(0.75, abs=0.1)
    assert incident["ranking"][0]["sentence"].startswith("1 event before; with it the model gives the event ")
    assert shares == [1.0]
    assert '"ranked":3' in page_text(found)


def test_an_incident_that_is_not_in_the_log_stays_as_it_is(document, discover):
    others = EventLog.from_sequences([EventSequence(EVENTS, id="y")])
    assert Suspects(discover.event_model, others).added(document)["incidents"] == document["incidents"]


@pytest.fixture(scope="module")
def normal():
    """A pump that is on half of the time, and a filter that never was clogged."""
    schema = DagSchema((Variable("pump", values=("off", "on")),))
    tokenizer = DagTokenizer.from_schema(schema, history="full", order="random")
    model = JointLM(JointConfig(len(tokenizer)), np.array([0.5, 0.5]), list(tokenizer.variables.values())).eval()
    seconds = {"pump": {"off": 50.0, "on": 50.0}, "filter": {"ok": 100.0}}
    return NormalStates(seconds, 100.0, 1.0, SnapshotOracle(Oracle(model), tokenizer), bound=4.0)


@pytest.mark.parametrize("name", ["x", "x#7"])
def test_states_of_the_whole_sequence_are_suspected_at_the_moment_of_the_event(discover, normal, name):
    names, times = ("filter=clogged", "pump=on", "B", "filter=ok", "B"), (0.0, 1.0, 2.0, 3.0, 4.0)
    whole = EventLog.from_sequences([EventSequence(names, times, name)])
    window = EventLog.from_sequences([EventSequence(names[1:], times[1:], f"{name}#1")])
    suspects = Suspects(discover.event_model, window, normal=normal, whole=whole)

    def suspected(effect):
        incident = {"sequence": f"{name}#1", "start": 0, "links": [[0, effect, 0.9]], "events": [0] * 4}
        (found,) = suspects.added({"incidents": [incident]})["incidents"]
        return [each["cause"] for each in found.get("ranking", [])]

    assert suspected(1) == ["filter=clogged"]
    assert suspected(3) == []  # by then it is as usual
