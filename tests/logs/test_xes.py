"""XES documents."""

import gzip
import io

import pytest

from hf_trace.errors import EmptyLogError, LogFormatError
from hf_trace.logs.sources import read_log
from hf_trace.logs.xes import read_xes

XES = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1.0" xmlns="http://www.xes-standard.org/">
  <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
  <global scope="event"><string key="concept:name" value="default"/></global>
  <trace>
    <string key="concept:name" value="order 1"/>
    <int key="amount" value="007"/>
    <event>
      <string key="concept:name" value="ship &amp; bill"/>
      <date key="time:timestamp" value="1970-01-01T01:00:05.000+01:00"/>
      <boolean key="late" value="false"/>
    </event>
    <event>
      <string key="concept:name" value="order"/>
      <date key="time:timestamp" value="1970-01-01T00:00:00.500Z"/>
      <list key="parts"><string key="part" value="ignored"/></list>
      <float key="cost" value="1.50"/>
      <id key="id" value="e2"/>
    </event>
  </trace>
  <trace><event><string key="concept:name" value="order"/>
    <date key="time:timestamp" value="1970-01-01T00:00:01Z"/></event></trace>
</log>
"""


def test_table():
    frame = read_xes(io.BytesIO(XES.encode()))
    assert len(frame) == 3
    assert frame.loc[0].dropna().to_dict() == {
        "case:concept:name": "order 1",
        "case:amount": "007",
        "concept:name": "ship & bill",
        "time:timestamp": "1970-01-01T01:00:05.000+01:00",
        "late": "false",
    }
    assert frame.loc[1, ["cost", "id"]].tolist() == ["1.50", "e2"]
    assert "part" not in frame
    assert frame.loc[2, "case:concept:name"] == "2"


@pytest.mark.parametrize("suffix", [".xes", ".XES", ".xes.gz"])
def test_log(tmp_path, suffix):
    path = tmp_path / f"orders{suffix}"
    path.write_bytes(gzip.compress(XES.encode()) if suffix.endswith(".gz") else XES.encode())
    assert read_log(path).to_records() == [
        {"id": "order 1", "events": ["order", "ship & bill"], "timestamps": [0.5, 5.0]},
        {"id": "2", "events": ["order"], "timestamps": [1.0]},
    ]


def test_not_xml(tmp_path):
    path = tmp_path / "log.xes"
    path.write_text("case,event\n1,a\n")
    with pytest.raises(LogFormatError, match=r"^'log.xes' is not well-formed XML \(.*\), expected an XES log\. Export"):
        read_log(path)
    path.write_text(XES[:-40])
    with pytest.raises(LogFormatError, match=r"not well-formed XML \(.*line \d+"):
        read_log(path)


def test_xml_without_traces(tmp_path):
    path = tmp_path / "log.xes"
    path.write_text("<html/>")
    with pytest.raises(LogFormatError, match=r"XML without a <trace> element, expected an XES log\. Export the log"):
        read_log(path)


def test_traces_without_events(tmp_path):
    path = tmp_path / "log.xes"
    path.write_text("<log><trace/></log>")
    with pytest.raises(EmptyLogError, match=r"0 rows, expected at least one event"):
        read_log(path)


def test_broken_gzip(tmp_path):
    path = tmp_path / "log.xes.gz"
    path.write_bytes(gzip.compress(XES.encode())[:-20])
    with pytest.raises(LogFormatError, match=r"'log.xes.gz' is not a complete gzip file"):
        read_log(path)


def trace(name, event):
    shown = "" if name is None else f'<string key="concept:name" value="{name}"/>'
    return f'<trace>{shown}<event><string key="concept:name" value="{event}"/></event></trace>'


def test_traces_of_equal_or_no_name_stay_apart(tmp_path, caplog):
    path = tmp_path / "log.xes"
    path.write_text(f"<log>{trace('o', 'a')}{trace('o', 'b')}{trace('4', 'c')}{trace(None, 'd')}{trace('', 'e')}</log>")
    log = read_log(path)
    assert [(sequence.id, *sequence.events) for sequence in log] == [
        *(("o", "a"), ("o (2)", "b"), ("4", "c"), ("4 (2)", "d"), ("5", "e"))
    ]
    assert caplog.messages == [
        "'log.xes': 2 of 5 traces have no name and are named by their number.",
        "'log.xes': 2 of 5 traces have a name that another had before; they stay apart, the second 'o' as 'o (2)'. If "
        "they belong together, name another `--case-column`.",
    ]
    caplog.clear()
    path.write_text(f"<log>{trace('o', 'a')}{trace('o (2)', 'b')}{trace('o', 'c')}</log>")
    assert read_log(path).ids == ("o", "o (2)", "o (3)")


@pytest.mark.parametrize("encoding", ["foo", "shift_jis"])
def test_encodings_that_are_not_known(tmp_path, encoding):
    path = tmp_path / "log.xes"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><log>{trace("o", "a")}</log>')
    with pytest.raises(
        LogFormatError, match=r"^'log\.xes' is not well-formed XML \(.*encoding.*\), expected an XES log"
    ):
        read_log(path)
