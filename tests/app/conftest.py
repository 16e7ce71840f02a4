"""Logs to send, and a studied one whose figures can be counted by hand."""

import pytest
from tests.report.conftest import browser as browser


def units(names=("leak", "alarm"), cases=40):
    """As CSV: in every case a leak brings an alarm after one or two seconds, among noise 37 seconds apart."""
    leak, alarm = names
    lines = ["case,event,time"]
    for case in range(cases):
        start = 100_000 * case
        lines += [f"unit {case},noise {(case * number) % 3},{start + 37 * number}" for number in range(1, 5)]
        lines += [f"unit {case},{leak},{start + 300 + 11 * case}"]
        lines += [f"unit {case},{alarm},{start + 301 + 11 * case + case % 2}"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def units_csv():
    return units()


@pytest.fixture(scope="session")
def studies():
    from hf_trace.app.bounds import Bounds
    from hf_trace.app.studies import Studies

    return Studies(bounds=Bounds(tokens=20_000, futures=200))


@pytest.fixture(scope="session")
def study(studies, units_csv):
    from hf_trace.app.sent_logs import SentColumns

    return studies.study(studies.read(units_csv.encode(), "units.csv", SentColumns()))
