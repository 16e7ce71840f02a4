"""Real logs inside the package, with the causal graph their source gives. Nothing simulated lives here."""

from importlib import resources

from hf_trace.documents import parse_json
from hf_trace.logs.log import EventLog
from hf_trace.logs.sources import read_log


def alarms_log() -> EventLog:
    """Telecom alarms: 34,838 alarms of 18 types on 55 devices of a wireless network, one sequence per device.

    From gcastle-hub/dataset (PCIC 2021), MIT license; times are seconds from the start of the recording.

    Example:
        >>> print(alarms_log().summary().lines()[0])
        55 sequences, 34,838 events, 18 event types, spanning 240.1 days; 554 ties (1.6 %)
    """
    with resources.as_file(resources.files(__package__) / "files" / "alarms.csv.gz") as path:
        return read_log(path, case_column="device_id", event_column="alarm_id", time_column="start_timestamp")


def alarms_truth() -> list[tuple[str, str]]:
    """List the causal edges between alarm types that the source calls the ground truth, as (cause, effect).

    Example:
        >>> len(alarms_truth())
        69
    """
    text = (resources.files(__package__) / "files" / "alarms_truth.json").read_text(encoding="utf-8")
    return [(edge["cause"], edge["effect"]) for edge in parse_json(text)["edges"]]
