"""What reaches a terminal: nothing from data acts on it, and a stream that cannot be written is no traceback."""

import json
import os
import pty
import subprocess
import sys
import unicodedata
from contextlib import suppress

import pytest

from hf_trace.cli import console
from hf_trace.errors import QueryError, visible
from hf_trace.graphs.graph import CausalGraph

# A title, a colour, C1, a return, a line of our own, an end, directions, no width, half a character, a tag.
HOSTILE = (
    "\x1b]0;title\x07", "\x1b[31mred", "\x9b2J", "ok\rerror: x", "ok\nwarning: y", "\x7f", "\u202eabc\u202c",
    "\u2066abc\u2069", "a\u200bb", "\ufeff", "\udc9b", "\U000e0041",
)  # fmt: skip
NAME = "".join(HOSTILE)
PROGRAM = """
import sys
from hf_trace.cli import console
def work():
    console.say("a note …")
    console.print_table("title", ["größe", "n"], [["größe", 1234567], ["b", 2]])
    console.print_json({"größe": "→"})
sys.exit(console.run(work, KeyError))
"""


def acts(text):
    """What of a text a terminal would not just show."""
    return [char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_nothing_from_data_acts_on_a_terminal(capsys):
    def command():
        console.say(NAME)
        console.warn(NAME)
        console.print_table(NAME, [NAME], [[NAME], ["a"]])
        with console.progress(NAME, 2) as advance:
            advance(1)
        print(NAME, file=sys.stderr)
        print(NAME)
        raise QueryError(NAME)

    assert console.run(command, KeyError) == 1
    out, err = capsys.readouterr()
    assert acts(out) == acts(err) == []
    # A note, a warning and an error are a line each, whatever is in them.
    lines = err.splitlines()
    assert lines[:2] == [visible(NAME), f"warning: {visible(NAME)}"]
    assert lines[-1].startswith(r"error: \x1b]0;title\x07\x1b[31mred\x9b2Jok error: xok warning: y\x7f\u202eabc")


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_errors_of_use_are_one_clean_line(refused, name):
    for arguments in ([name + "x"], ["evaluate", name, "b.json"], ["evaluate", f"--o{name}", "b"]):
        with suppress(ValueError):  # a path cannot hold this
            assert acts(refused(*arguments)) == []


def test_json_is_json_and_shows_no_escapes(capsys, monkeypatch):
    document = {NAME: [NAME, float("nan"), "größe"]}
    console.print_json(document)
    out = capsys.readouterr().out
    assert acts(out) == []
    assert "größe" in out
    assert json.loads(out) == {NAME: [NAME, None, "größe"]}


def test_names_are_shown_as_they_are_where_they_only_show():
    for name in ("größe", "日本 語", "👩", "a\u3000b", "e\u0301", "back\\slash", ":fire: [b]x[/b]"):
        assert visible(name) == name


def run_program(program=PROGRAM, *, shell="", **environment):
    """A new process: exit code, stdout, stderr."""
    words = [sys.executable, "-c", program]
    line = " ".join(f"'{word}'" for word in words) + f" {shell}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env={**os.environ, **environment}, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        ("| true; exit ${PIPESTATUS[0]}", 141),
        ("2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", 0),
        ("2>/dev/full", 0),
    ],
)
def test_a_stream_that_cannot_be_written_is_no_traceback(shell, code):
    slow_to_end = PROGRAM.replace("def work():", "def work():\n    import time; time.sleep(0.3)")
    found, out, err = run_program(slow_to_end, shell=shell)
    assert found == code, err
    assert b"Traceback" not in out + err
    assert b"Exception ignored" not in err
    assert err in (b"", "a note …\n".encode())


def test_a_full_disk_is_one_line():
    code, _, err = run_program(shell=">/dev/full")
    assert (code, err.decode().splitlines()) == (
        1,
        ["a note …", "error: Cannot read or write: No space left on device."],
    )


def test_what_ascii_lacks_is_spelled(tmp_path):
    code, out, err = run_program(PYTHONIOENCODING="ascii")
    assert (code, err) == (0, b"a note ...\n")
    *table, document = out.decode("ascii").splitlines()
    assert json.loads(document) == {"größe": "→"}
    assert [line.rstrip() for line in table] == [
        "title",
        "gr\\xf6\\xdfe        n",
        "gr\\xf6\\xdfe  1234567",
        "b                  2",
    ]


def terminal(program=PROGRAM, **environment):
    """What a process writes that is on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    found = b""
    with suppress(OSError):  # the end
        while part := os.read(ours, 65536):
            found += part
    os.close(ours)
    assert process.wait(timeout=60) == 0, found
    return found.decode()


@pytest.mark.parametrize("columns", ["0", "1", "9", "nonsense"])
def test_no_number_is_cut_however_narrow_a_terminal_is(columns):
    assert "1234567" in terminal(COLUMNS=columns)


def test_no_color():
    assert "\x1b[33m" not in terminal(NO_COLOR="1")


BESIDE_A_BAR = """
import logging, sys, warnings
from hf_trace.cli import console
def work():
    logging.basicConfig(format="%(message)s")
    with console.progress("b\\x9bar", 3) as advance:
        advance(1)
        logging.warning("lib \\x1bc \\r rary")
        warnings.warn("of \\x9b Python")
        print("begun \\x1b[2J", end="")
    print(" and ended")
sys.exit(console.run(work, KeyError))
"""


def test_libraries_are_guarded_beside_a_bar_too():
    shown = terminal(BESIDE_A_BAR)
    for text in ("b\\x9bar", "UserWarning: of \\x9b Python\r\n", "lib \\x1bc \\r rary\r\n", "begun \\x1b[2J and ended"):
        assert text in shown
    assert "\x1bc" not in shown
    assert "\x1b[2J" not in shown


def test_delays_are_medians_and_counts_say_of_what(capsys):
    ends = {"cause": "a", "effect": "b", "cmi": 0.3}
    times = {"lag_seconds": 80_280.0, "lag_seconds_quantiles": {"0.1": 2.0, "0.5": 38.0, "0.9": 79_200.0}}
    of_pairs = {"support": 2, "lag_seconds_quantiles": times["lag_seconds_quantiles"]}
    of_positions = {"cause_position": 0, "effect_position": 1, "lag_seconds": 38.0}
    console.print_graphs([
        CausalGraph("population", ("a", "b"), ({**ends, **times, "support": 3},)),
        CausalGraph("population", ("a", "b"), ({**ends, "support": 256},), {"contexts": 256}),
        CausalGraph("summary", ("a", "b"), ({**ends, **of_pairs},)),
        CausalGraph("population", ("a", "b"), ({**ends, "lag_seconds": 80_280.0},)),  # of an earlier version
        CausalGraph("instance", ("a", "b"), ({**ends, **of_positions},)),
    ])  # fmt: skip
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in shown if " graph: " not in line] == [
        "cause effect cmi (nats) sequences after (median) 10-90 %",
        "a b 0.300 3 38 seconds 2 seconds to 22.0 hours",
        "cause effect cmi (nats) contexts",
        "a b 0.300 256",
        "cause effect cmi (nats) pairs after (median) 10-90 %",
        "a b 0.300 2 38 seconds 2 seconds to 22.0 hours",
        "cause effect cmi (nats) after (mean)",
        "a b 0.300 22.3 hours",
        "cause effect cmi (nats) after",
        "a b 0.300 38 seconds",
    ]


def test_an_edge_without_a_finite_strength_is_shown(capsys):
    edges = ({"cause": "a", "effect": "b", "cmi": float("inf")}, {"cause": "b", "effect": "a", "cmi": 0.1})
    console.print_graphs([CausalGraph("population", ("a", "b"), edges)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [["b", "a", "0.100"], ["a", "b", "-"]]


def test_without_a_terminal_lines_tell_how_long_work_takes(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress("training (%)", 100) as advance:
        # From 20 % on (an interrupted run had done that much), a percent a second.
        for second in range(81):
            clock[0] = float(second)
            advance(20.0 + second)
    assert capsys.readouterr().err.splitlines() == [
        "training: 25% done, about 75 s left.",
        "training: 55% done, about 45 s left.",
        "training: 85% done, about 15 s left.",
    ]


def test_lines_become_seldom_and_short_work_has_none(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress("ranking", 10) as advance:
        for done in range(10):
            clock[0] = done * 0.4
            advance(done)
    assert capsys.readouterr().err == ""
    clock[0] = 0.0
    with console.progress("reading (events)", None) as advance:
        for minute in range(600):
            clock[0] = minute * 60.0
            advance(1000 * minute)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading (events): 1,000 so far."
    assert 40 < len(lines) < 70  # ten hours


@pytest.mark.parametrize(("seconds", "text"), [(1.2, "1 s"), (99, "99 s"), (150, "2 min"), (7200, "2.0 h")])
def test_times_are_said_roughly(capsys, monkeypatch, seconds, text):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress("scoring", 2) as advance:
        for now, done in ((0.0, 0), (5.0, 2 * 5 / (5 + seconds))):
            clock[0] = now
            advance(done)
    assert capsys.readouterr().err.endswith(f"about {text} left.\n")
