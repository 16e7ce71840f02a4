"""Help: options in panels, the most needed first; one name means one thing in all commands."""

import re
from collections import defaultdict

import pytest
import typer

import hf_trace as package
from hf_trace.cli import app
from hf_trace.cli.help_screens import MOST_SHOWN, PANELS, SHOWN, VALUES

COMMANDS = typer.main.get_command(app).commands
# What an option of this name is about differs with what is asked, and so does the sentence that says it.
OWN_WORDS = (
    *("out", "level", "threshold", "effect", "within", "horizon", "num_samples", "proposal", "min_frequency", "top"),
    *("outcome", "variable", "knowledge", "resume", "overwrite", "max_lag", "only", "preset", "html"),
)
PANEL = re.compile(r"^╭─ (.+?) ─+╮$")


def options(command):
    return [each for each in COMMANDS[command].params if each.param_type_name == "option"]


def panels_of(text):
    """Names of options of each panel of a help, in their order."""
    found, panel = defaultdict(list), None
    for line in text.splitlines():
        if title := PANEL.match(line):
            panel = title[1]
        elif name := re.match(r"│ (?:\*  )? *(--[a-z0-9-]+)", line):
            found[panel].append(name[1])
    return dict(found)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_few_options_and_help_all_every_one(hf_trace, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "160")
    code, out, err = hf_trace(command, "--help")
    shown = panels_of(out)
    assert (code, err) == (0, "")
    assert sum(map(len, shown.values())) <= MOST_SHOWN + 1  # and --help itself
    assert set(shown) <= set(PANELS)
    code, out, _ = hf_trace(command, "--help-all")
    assert code == 0
    everything = [name for names in panels_of(out).values() for name in names]
    assert sorted(everything) == sorted(["--help", *(each.opts[0] for each in options(command))])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_can_be_typed(command):
    title, *lines = COMMANDS[command].epilog.split("\n\n")
    assert title == "Examples:"
    spelled = {word for each in options(command) for word in (*each.opts, *each.secondary_opts)}
    for line in lines:
        assert line.startswith(f"`hf-trace {command}")
        assert line.endswith("`")
        assert set(re.findall(r"--[a-z-]+", line)) <= spelled


def test_an_option_means_the_same_in_all_commands():
    meanings = defaultdict(lambda: defaultdict(list))
    for command in COMMANDS:
        for each in options(command):
            words = "" if each.name in OWN_WORDS else each.help
            kind = getattr(each, "type_descriptor", each.type if hasattr(each, "type") else None)
            meaning = tuple(each.opts), each.metavar, str(getattr(kind, "annotation", kind)), words
            meanings[each.name][meaning].append(command)
    assert {name: dict(found) for name, found in meanings.items() if len(found) > 1} == {}


def test_every_option_has_a_panel_and_a_name_for_its_value():
    for command in COMMANDS:
        for each in options(command):
            assert each.rich_help_panel in PANELS, each.name
            assert bool(VALUES[each.name]) != bool(each.is_flag), each.name
    assert sum(map(len, PANELS.values())) == len(VALUES)


def test_what_is_shown_first_is_there():
    for command, names in SHOWN.items():
        assert len(names.split()) <= MOST_SHOWN
        known = {each.name for each in options(command)}
        assert set(names.split()) <= known, command


def test_the_most_needed_stand_on_top(hf_trace):
    shown = panels_of(hf_trace("discover", "-h")[1])
    assert list(shown)[:2] == ["Question", "Output"]
    assert shown["Question"] == ["--question", "--max-lag", "--level", "--variable"]


def test_the_version(hf_trace):
    assert hf_trace("--version") == (0, f"hf-trace {package.__version__}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(hf_trace, monkeypatch, shell):
    # The shell above a test runner may be any.
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    code, out, err = hf_trace("--show-completion")
    assert code == 0, err
    assert "_HF_TRACE_COMPLETE" in out
    assert "--install-completion" not in hf_trace("--help")[1]
    assert "--install-completion" in hf_trace("--help-all")[1]


def test_words_are_completed(hf_trace, monkeypatch):
    monkeypatch.setenv("_HF_TRACE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "hf-trace discover --max")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert hf_trace()[1].split() == ["--max-lag", "--max-edges", "--max-sequences"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "discover run log --maxlag 3",
            "No such option: --maxlag (Possible options: --max-edges, --max-lag). See `hf-trace discover",
        ),
        ("train", "Missing argument 'LOG'. See `hf-trace train"),
        ("count log --top many", "Invalid value for '--top': "),
        ("analyse", "No such command 'analyse'. See `hf-trace"),
        ("--verbose", "No such option: --verbose (Possible options: --version). See `hf-trace"),
    ],
)
def test_a_line_that_cannot_be_understood(hf_trace, line, message):
    code, out, err = hf_trace(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.endswith("--help`.\n")
