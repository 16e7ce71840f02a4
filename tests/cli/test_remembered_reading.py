"""A run remembers how its log was read: nothing is typed again, and something else only for another log."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

READING = {"case_column": "device", "event_column": "node,value", "time_column": "when", "query": "level != 'INFO'"}
TYPED = [word for name, value in READING.items() for word in (f"--{name.replace('_', '-')}", value)]


def csv(records, columns="device,node,value,when,level,code", unit=1):
    """Rows whose usual columns are no use: events are a node and its value."""
    rows = [columns]
    for record in records:
        for event, time in zip(record["events"], record["timestamps"], strict=True):
            rows += [f"{record['id']},{event},on,{time * unit:.0f},WARN,x"]
        rows.append(f"{record['id']},noise,on,{record['timestamps'][-1] * unit:.0f},INFO,x")
    return "\n".join([*rows, ""])


@pytest.fixture(scope="module")
def taught(tmp_path_factory, timed_log, tiny_settings):
    """A run of such a log."""
    from hf_trace.logs.sources import read_log
    from hf_trace.training.log_training import train

    folder = tmp_path_factory.mktemp("taught")
    (folder / "log.csv").write_text(csv(timed_log.to_records()))
    log = read_log(folder / "log.csv", **{**READING, "event_column": ["node", "value"]})
    assert log.event_types == ("A=on", "B=on", "C=on", "D=on")
    return train(log, folder / "run", replace(tiny_settings, epochs=2.0, reading=READING)).folder


@pytest.fixture
def here(tmp_path, monkeypatch, timed_log, taught):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(taught)
    (tmp_path / "log.csv").write_text(csv(timed_log.to_records()))
    return tmp_path


COMMANDS = {
    "discover": ["discover", "run", "log.csv", "--sample", "2", "--num-samples", "2"],
    "rank": ["rank", "run", "log.csv", "--outcome", "B=on", "--id", "case1", "--num-samples", "2"],
    "outcomes": ["outcomes", "run", "log.csv", "--outcome", "B=on", "--sample", "2", "--num-samples", "2"],
    "effect": ["effect", "run", "log.csv", "--id", "case1", "--do", "3", "--target", "B=on", "--within", "2"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_typed_again_and_typing_it_changes_nothing(here, hf_trace, command):
    once, again = (hf_trace(*COMMANDS[command], "--json", *more) for more in ([], TYPED))
    assert once[0] == 0, once[2]
    assert "480 events" in once[2]
    assert once[1] == again[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_something_else_is_refused(here, refused, command):
    line = refused(*COMMANDS[command], "--event-column", "node")
    assert line == (
        "`--event-column` is 'node', and the run was trained with 'node,value', which this log has too: it would be "
        "read otherwise than in training. Leave it out, or train again with `--event-column`."
    )


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--case-column", "code"], "`--case-column` is 'code', and the run was trained with 'device', which this log"),
        (["--query", "level == 'WARN'"], '`--query` is "level == \'WARN\'", and the run was trained with "level != '),
        (
            ["--time-unit", "ms"],
            "`--time-unit` is 'ms', and the run was trained with 's'. Leave it out; for another log, whose times are "
            "written otherwise, add `--time-column`.",
        ),
        (["--stream"], "The run was trained with `--query \"level != 'INFO'\"`, and logs that are read in parts have"),
    ],
)
def test_what_training_used_is_said(here, refused, typed, message):
    assert refused("discover", "run", "log.csv", *typed).startswith(message)


def test_another_log_is_told_by_its_columns(here, hf_trace, refused, timed_log):
    (here / "other.csv").write_text(csv(timed_log.to_records(), "unit,part,state,at,grade,code", unit=1000))
    line = refused("discover", "run", "other.csv")
    assert line.startswith("`case_column='device'` is not one of the 6 columns 'unit', 'part', 'state'")
    assert line.endswith("So the run was trained; for a log that is written otherwise type `--case-column`.")
    columns = ["--case-column", "unit", "--event-column", "part,state", "--time-column", "at", "--time-unit", "ms"]
    arguments = ["--sample", 2, "--num-samples", 2, "--json"]
    line = refused("discover", "run", "other.csv", *columns)
    assert line.startswith("`query=\"level != 'INFO'\"` cannot be evaluated")
    typed = [*columns, "--query", "grade == 'WARN'"]
    code, out, err = hf_trace("discover", "run", "other.csv", *typed, *arguments)
    assert code == 0, err
    assert json.loads(out)["graph"] == json.loads(hf_trace("discover", "run", "log.csv", *arguments)[1])["graph"]


def test_plain_text_has_no_columns(here, refused):
    (here / "plain.txt").write_text("A=on B=on\n")
    assert "has no timestamps" in refused("discover", "run", "plain.txt")


def test_older_runs_remember_nothing(here, refused, taught):
    (here / "old").mkdir()
    for file in Path(taught).iterdir():
        if file.name != "training.json":
            (here / "old" / file.name).symlink_to(file)
    recipe = json.loads((taught / "training.json").read_text())
    assert recipe.pop("reading") == READING
    (here / "old" / "training.json").write_text(json.dumps(recipe))
    assert refused("discover", "old", "log.csv").startswith("Found the 6 columns 'device', 'node', 'value'")


def test_training_records_what_was_typed(here, hf_trace, tiny_config):
    model = ["--model", tiny_config, "--epochs", 1]
    assert hf_trace("train", "log.csv", *TYPED, "--time-unit", "s", "--out", "new", *model)[0] == 0
    recipe = json.loads((here / "new" / "training.json").read_text())
    assert recipe["reading"] == {**READING, "time_unit": "s"}


def test_states_remember_too(here, hf_trace, refused):
    names = ("pump=on", "fan=on", "pump=off", "fan=off", "pump=on", "alarm")
    rows = [f"{line},{number},{name}" for line in "xyz" for number, name in enumerate(names * 3)]
    (here / "states.csv").write_text("\n".join(["line,when,what", *rows, ""]))
    columns = ["--case-column", "line", "--event-column", "what", "--time-column", "when"]
    code, _, err = hf_trace("train", "states.csv", "--states", *columns, "--out", "normal", "--epochs", 1)
    assert code == 0, err
    asked = ["rank", "normal", "states.csv", "--outcome", "alarm"]
    assert "`--case-column` is 'what', and the run was trained with 'line'" in refused(*asked, "--case-column", "what")
    code, _, err = hf_trace(*asked)
    assert code == 0, err
