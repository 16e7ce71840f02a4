"""What strangers send: formats are known by their names, everything is bounded, and nothing of the machine is read."""

import gzip
import random

import pytest

from hf_trace.app.bounds import Bounds
from hf_trace.app.sent_logs import SUFFIXES, SentColumns, read_sent, sent_text
from hf_trace.errors import ColumnError, EmptyLogError, HfTraceError, LogFormatError, SettingsError
from hf_trace.logs.sources import read_log


def test_a_sent_log_is_read_as_a_file_is(units_csv, tmp_path):
    (tmp_path / "log.csv").write_text(units_csv)
    expected = read_log(tmp_path / "log.csv")
    for data, name in ((units_csv.encode(), "a.csv"), (gzip.compress(units_csv.encode()), "a.csv.gz")):
        sent = read_sent(data, name)
        assert sent.log.to_records() == expected.to_records()
    assert sent.report.possible_case is None
    assert sent.report.section("columns")[1][0].startswith("case: 'case'")


def test_columns_are_chosen_and_what_is_wrong_with_them_is_told_by_the_name_that_was_sent(units_csv):
    sent = read_sent(units_csv.encode(), "units.csv", SentColumns(case="event", event="case"))
    assert set(sent.log.ids) == {"leak", "alarm", "noise 0", "noise 1", "noise 2"}
    with pytest.raises(ColumnError, match="evnt"):
        read_sent(units_csv.encode(), "units.csv", SentColumns(event="evnt"))


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "passwd", "log.xlsx", "log.csv.exe", "", ".csv/..", "C:\\x.pkl"]
)
def test_what_is_not_named_as_a_log_is_refused(name):
    with pytest.raises(LogFormatError, match="is not named as a log, expected a name that ends in one of"):
        read_sent(b"a b\n", name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/etc/../srv/a.csv", "a.csv"),
        ("C:\\logs\\a.csv", "a.csv"),
        ("<img src=x onerror=alert(1)>.csv", "_img src_x onerror_alert(1)_.csv"),
        ("\u202egpj.csv", "u202egpj.csv"),
        ("x" * 300 + ".csv", "x" * 56 + ".csv"),
        ("`rm -rf $HOME`.csv", "_rm -rf _HOME_.csv"),
    ],
)
def test_names_are_made_harmless(units_csv, name, shown):
    assert read_sent(units_csv.encode(), name).name == shown


def test_ten_megabytes_of_noise_are_too_much_and_less_of_it_is_no_log():
    noise = random.Random(0).randbytes(10_000_000)
    with pytest.raises(LogFormatError, match=r"The log has 10,000,000 bytes, and up to 5,000,000 are taken here"):
        read_sent(noise, "noise.csv")
    for suffix in (*SUFFIXES, ".csv.gz", ".xes.gz"):
        with pytest.raises(HfTraceError) as caught:
            read_sent(noise[:100_000], f"noise{suffix}")
        assert "hf-trace-log-" not in str(caught.value)  # the folder in which it is read
        assert "\n" not in str(caught.value)


def test_what_unpacks_to_too_much_is_not_unpacked():
    bomb = gzip.compress(b"case,event\n" + b"x,a\n" * 20_000_000)
    with pytest.raises(LogFormatError, match="unpack"):
        read_sent(bomb, "bomb.csv.gz")


def test_entities_of_xml_lead_nowhere():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    event = '<event><string key="concept:name" value="&x;"/></event>'
    for declared in (f'<!ENTITY l0 "ha">{laughs}<!ENTITY x "&l9;">', '<!ENTITY x SYSTEM "file:///etc/passwd">'):
        text = f"<?xml version='1.0'?><!DOCTYPE log [{declared}]><log><trace>{event * 2}</trace></log>"
        with pytest.raises(LogFormatError, match="is not well-formed XML"):
            read_sent(text.encode(), "log.xes")


def test_too_many_events_and_types_are_refused_with_what_to_do():
    rows = "".join(f"x{number} " for number in range(301)).encode()
    with pytest.raises(SettingsError, match="The log has 301 event types, and up to 300 are taken here"):
        read_sent(rows, "log.txt")
    with pytest.raises(SettingsError, match="The log has 12 events, and up to 10 are taken here"):
        read_sent(b"a b " * 6, "log.txt", bounds=Bounds(events=10))


@pytest.mark.parametrize(
    "text", ["/etc/passwd", "~/.ssh/id_rsa", "../log.csv", "file:///etc/passwd", "https://x.org/a.csv", "C:\\log.csv",
             "  logs/alarms.csv  ", "hf://datasets/x"],
)  # fmt: skip
def test_places_are_not_opened(text):
    with pytest.raises(LogFormatError, match="no path and no address is opened here"):
        sent_text(text)


def test_a_text_of_nothing_is_told():
    with pytest.raises(EmptyLogError, match="Nothing was sent"):
        read_sent(*sent_text(""))


def test_keys_differ_where_anything_does(units_csv):
    data = units_csv.encode()
    sent = [
        read_sent(data, "a.csv"),
        read_sent(data, "b.csv"),
        read_sent(data + b"unit 1,leak,7\n", "a.csv"),
        read_sent(data, "a.csv", SentColumns(case="case")),
    ]
    assert len({each.key for each in sent}) == 4
    assert read_sent(data, "a.csv").key == sent[0].key
