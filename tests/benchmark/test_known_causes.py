"""The logs of the benchmark: their known causes by hand, and what is missing."""

import numpy as np
import pytest

from hf_trace.benchmark.known_causes import known_causes
from hf_trace.errors import LogFormatError
from hf_trace.worlds.process_worlds import PROCESS_WORLDS, process_world


def test_packaged_and_simulated_logs():
    found = known_causes()
    assert list(found) == ["alarms", *PROCESS_WORLDS]
    assert [name for name, known in found.items() if known.is_simulated] == list(PROCESS_WORLDS)
    assert {known.license for known in found.values()} == {"mit", "apache-2.0"}


def test_what_makes_room_for_other_values_is_no_cause():
    known = known_causes(small=False)["signals"]
    world = process_world("signals", world_seed=2026)
    assert set(known.causes()) == {(edge.cause, edge.effect) for edge in world.edges}
    assert not {pair for variable in world.variables for pair in [variable, variable[::-1]]} & set(known.causes())


def test_other_logs_are_read_from_a_folder(tmp_path):
    csl, lathe = tmp_path / "csl_sample", tmp_path / "causrca"
    for folder in (csl, lathe / "real_op", lathe / "expert_graph"):
        folder.mkdir(parents=True)
    rows = "\n".join(f"{alarm},{device},{10 * n}" for n, (alarm, device) in enumerate([(2, "a"), (0, "a"), (2, "b")]))
    (csl / "alarm.csv").write_text(f"alarm_id,device_id,start_timestamp\n{rows}\n")
    np.save(csl / "true_graph.npy", np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]]))
    for number in range(2):
        (lathe / "real_op" / f"{number}.csv").write_text(
            "time_s,node,value,type\n0.0,X,1,Binary\n1.0,P,True,Binary\n2.0,V,False,Binary\n2.5,T,7.1,Continuous\n"
        )
    (lathe / "expert_graph" / "all_edges.csv").write_text("source_label,target_label\nP,V\nV,V\nP,Gone\n")
    found = known_causes(tmp_path, small=True)
    assert list(found) == ["alarms", "csl_sample", "causrca", "hawkes"]
    # Type 1 never occurs, so that its edge cannot be found.
    types = found["csl_sample"].log().event_types
    assert types == ("0", "2")
    assert found["csl_sample"].truth(types).tolist() == [[False, False], [True, False]]
    log = found["causrca"].log()
    assert (log.event_types, len(log)) == (("P", "V"), 2)
    assert found["causrca"].truth(log.event_types).tolist() == [[False, True], [False, False]]


def test_a_folder_without_logs(tmp_path):
    with pytest.raises(LogFormatError, match="holds neither of the folders csl_sample, causrca, expected one"):
        known_causes(tmp_path)
