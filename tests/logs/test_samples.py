"""The alarms inside the package."""

import gzip
import json
from importlib import resources

import networkx
import numpy as np

from hf_trace.logs.samples import alarms_log, alarms_truth

FILES = resources.files("hf_trace.logs") / "files"


def test_alarms():
    log = alarms_log()
    assert len(log) == 55
    assert len(log.codes) == 34_838
    assert set(log.event_types) == {str(i) for i in range(18)}
    assert log.dropped_rows == 0
    assert np.diff(log.timestamps)[np.diff(np.repeat(np.arange(55), log.sequence_lengths)) == 0].min() >= 0
    device = log[log.ids.index("28")]
    assert (device.events[0], device.timestamps[0]) == ("11", 30685.0)


def test_truth_is_acyclic_and_about_the_same_alarms():
    edges = alarms_truth()
    assert len(set(edges)) == 69
    assert {name for edge in edges for name in edge} <= set(alarms_log().event_types)
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph(edges))
    assert json.loads((FILES / "alarms_truth.json").read_text())["nodes"] == [str(i) for i in range(18)]


def test_files_are_reproducible_and_licensed():
    packed = (FILES / "alarms.csv.gz").read_bytes()
    assert packed[4:8] == bytes(4)  # no time of compression in the header
    assert packed[3] == 0  # no file name either
    header = gzip.decompress(packed).split(b"\n", 1)[0]
    assert header == b"device_id,alarm_id,start_timestamp,end_timestamp"
    licence = (FILES / "ALARMS_LICENSE").read_text()
    assert "Copyright (c) 2021 gcastle-hub" in licence
    assert "MIT License" in licence
