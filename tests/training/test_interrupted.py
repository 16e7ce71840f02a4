"""What an interrupted training may be gone on with, and what it is gone on from."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from hf_trace.errors import OutputError, SettingsError
from hf_trace.tables.encoding import encode_table
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Variable
from hf_trace.training.interrupted import clear_unfinished, files_digest, is_intact, table_digest
from hf_trace.training.log_training import train
from hf_trace.training.stream_training import train_stream


@pytest.fixture
def short(tiny_settings):
    return replace(tiny_settings, epochs=2.0)


@pytest.fixture
def cut(tmp_path, tiny_log, short, interruption):
    """A training that was interrupted at step 7 of 8; there is a checkpoint at every step, and two are kept."""
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "run", short, callbacks=[interruption(7)])
    return tmp_path / ".run-checkpoints"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


SAME = "expected the same to go on with it. Give the settings it had, or leave out `--resume` to start over."


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"seed": 1}, "seed 0, now it is 1"),
        ({"epochs": 3.0}, "epochs 2.0, now it is 3.0"),
        ({"learning_rate": 0.1}, "learning_rate 0.01, now it is 0.1"),
        ({"validation_share": 0.3}, "validation_share 0.1, now it is 0.3"),
        ({"window_length": 6}, "window_length 12, now it is 6"),
        ({"min_count": 2}, "min_count 1, now it is 2"),
        ({"ensemble": 2}, "ensemble 1, now it is 2"),
        ({"model": "gpt2"}, "another model"),
    ],
)
def test_other_settings_are_refused_by_name(cut, tiny_log, short, changes, found):
    before = names(cut)
    message = refused(SettingsError, train, tiny_log, cut.parent / "run", replace(short, **changes), resume=True)
    assert message == f"The interrupted training had {found}, {SAME}"
    assert names(cut) == before
    assert names(cut.parent) == [".run-checkpoints"]


def test_another_log_is_refused(cut, tiny_log, short):
    for other in (tiny_log.select(range(39)), tiny_log.select([*range(1, 40), 0])):
        message = refused(SettingsError, train, other, cut.parent / "run", short, resume=True)
        assert message == f"The interrupted training had another log, {SAME}"


def test_another_model_of_the_same_name_is_refused(tmp_path, tiny_log, short, interruption):
    shutil.copytree(short.model, tmp_path / "base")
    settings = replace(short, model=str(tmp_path / "base"))
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "run", settings, callbacks=[interruption(3)])
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "rope_theta": 5.0}))
    message = refused(SettingsError, train, tiny_log, tmp_path / "run", settings, resume=True)
    assert message == f"The interrupted training had another model, {SAME}"


def test_checkpoints_of_older_versions_are_refused_and_kept(cut, tiny_log, short):
    (cut / "settings.json").unlink()
    before = names(cut)
    message = refused(OutputError, train, tiny_log, cut.parent / "run", short, resume=True)
    assert message.endswith("as those of older versions. Leave out `--resume` to start over.")
    assert names(cut) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "removed", "no sums", "more"])
def test_a_damaged_last_checkpoint_is_passed_over(cut, tiny_log, short, damage, caplog):
    whole = train(tiny_log, cut.parent / "whole", short)
    *_, earlier, last = sorted(cut.glob("checkpoint-*"))
    weights = last / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    if damage == "more":
        (last / "more").write_text("")
    elif damage == "no sums":
        (last / "sums.json").write_text("[]")
    elif damage == "removed":
        (last / "optimizer.pt").unlink()
    else:
        weights.write_bytes(content if damage == "flipped" else content[:1000])
    assert (is_intact(earlier), is_intact(last)) == (True, False)
    resumed = train(tiny_log, cut.parent / "run", short, resume=True)
    assert f"The checkpoint {last.name} is damaged; training goes on from an earlier one." in caplog.text
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert names(cut.parent) == ["run", "whole"]


def test_where_all_checkpoints_are_damaged_training_starts_anew(cut, tiny_log, short):
    whole = train(tiny_log, cut.parent / "whole", short)
    for checkpoint in cut.glob("checkpoint-*"):
        (checkpoint / "trainer_state.json").write_text("{")
    resumed = train(tiny_log, cut.parent / "run", short, resume=True)
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_checkpoints_may_be_moved(tmp_path, cut, tiny_log, short):
    whole = train(tiny_log, tmp_path / "whole", short)
    (tmp_path / "there").mkdir()
    cut.rename(tmp_path / "there" / cut.name)
    resumed = train(tiny_log, tmp_path / "there" / "run", short, resume=True)
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert names(tmp_path / "there") == ["run"]


def test_a_finished_run_is_left_as_it_is(tmp_path, tiny_log, short):
    first = train(tiny_log, tmp_path / "run", short)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    again = train(tiny_log, tmp_path / "run", short, resume=True, overwrite=False)
    assert (again.quality, again.metrics) == (first.quality, first.metrics)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before
    other = replace(short, seed=1)
    message = refused(SettingsError, train, tiny_log, tmp_path / "run", other, resume=True, overwrite=False)
    assert message == f"'{tmp_path / 'run'}' is finished and had seed 0, now it is 1, {SAME}"
    assert names(tmp_path) == ["run"]


def test_a_run_is_replaced_only_where_that_is_allowed(tmp_path, tiny_log, short):
    train(tiny_log, tmp_path / "run", short)
    message = refused(OutputError, train, tiny_log, tmp_path / "run", replace(short, seed=1), overwrite=False)
    assert message.startswith(f"'{tmp_path / 'run'}' holds a run already.")
    assert names(tmp_path) == ["run"]


def test_a_stream_is_known_again(tmp_path, place, tiny_config, interruption):
    from hf_trace.logs.columns import ColumnChoice
    from hf_trace.logs.streams import open_stream
    from hf_trace.training.log_training import TrainingSettings

    settings = TrainingSettings(model=str(tiny_config), window_length=12, batch_tokens=64, gaps=False)
    with pytest.raises(KeyboardInterrupt):
        train_stream(open_stream("log.csv", ColumnChoice()), "cut", settings, callbacks=[interruption(5)])
    rows = pd.read_csv("log.csv")
    rows[rows["case"] != "case3"].to_csv("other.csv", index=False)
    message = refused(
        SettingsError, train_stream, open_stream("other.csv", ColumnChoice()), "cut", settings, resume=True
    )
    assert message == f"The interrupted training had another log, {SAME}"


def test_digests_tell_tables_and_folders_apart(tmp_path):
    schema = DagSchema((Variable("x", values=("a", "b")), Variable("y", values=("a", "b"))))
    tables = [encode_table(schema, pd.DataFrame({"x": list("ab"), "y": list(y)})) for y in ("ab", "ab", "ba", "bb")]
    first, again, *others = map(table_digest, tables)
    assert first == again
    assert len({first, *others}) == 3
    (tmp_path / "a").write_text("1")
    one = files_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({one, files_digest(tmp_path), files_digest(tmp_path / "b")}) == 3


def test_what_was_cut_short_is_cleared(tmp_path, cut):
    (cut / "checkpoint-9").mkdir()
    clear_unfinished(cut)
    assert "checkpoint-9" not in names(cut)
    for checkpoint in cut.glob("checkpoint-*"):
        (checkpoint / "sums.json").unlink()
    clear_unfinished(cut)
    assert names(tmp_path) == []
