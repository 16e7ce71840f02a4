"""Oracles of bootstrap samples: what is drawn, what is written, and what stays shared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_trace.errors import SettingsError
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.windows import cut_windows
from hf_trace.runs.folders import load_model, read_json
from hf_trace.runs.members import member_folders, member_seed
from hf_trace.runs.training_samples import bootstrap_sample
from hf_trace.tokenizers.event_tokenizer import EventTokenizer
from hf_trace.training.log_training import TrainingSettings, train
from hf_trace.training.loop import ProgressCallback

LOG = EventLog.from_sequences(EventSequence(("a", "b", "c", str(number))) for number in range(200))


def test_a_sample_is_as_large_and_repeats_some():
    sample = bootstrap_sample(LOG, seed=3)
    assert len(sample) == len(LOG)
    # A sequence is left out with chance (1 - 1/n)^n = 0.367: 73 of 200 on average, standard deviation 4.3.
    assert 55 < len(LOG) - len(set(sample.ids)) < 92
    originals = {sequence.id: sequence for sequence in LOG}
    assert all(sequence == originals[sequence.id] for sequence in sample)


def test_a_sample_follows_its_seed():
    assert bootstrap_sample(LOG, seed=3).ids == bootstrap_sample(LOG, seed=3).ids
    assert bootstrap_sample(LOG, seed=3).ids != bootstrap_sample(LOG, seed=4).ids
    assert len({member_seed(0, number) for number in range(50)} | {member_seed(1, 1)}) == 51


def test_windows_of_a_sequence_are_drawn_together():
    windows = cut_windows(LOG, length=2)
    counts = {name: bootstrap_sample(windows, seed=1).ids.count(name) for name in windows.ids}
    cases = {name.rpartition("#")[0] for name in windows.ids}
    for case in cases:
        assert len({count for name, count in counts.items() if name.rpartition("#")[0] == case}) == 1


def test_members_lie_in_the_run(tmp_path, tiny_log, tiny_settings):
    settings = replace(tiny_settings, epochs=1.0, ensemble=3)
    seen: list[float] = []
    run = train(tiny_log, tmp_path / "run", settings, callbacks=[ProgressCallback(seen.append, 3)]).folder
    folders = member_folders(run)
    assert [folder.name for folder in folders] == ["1", "2"]
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(100)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]

    alone = train(tiny_log, tmp_path / "alone", replace(settings, ensemble=1)).folder
    weights = [next(load_model(folder).parameters()) for folder in (run, alone, *folders)]
    assert torch.equal(weights[0], weights[1]), "the run is the same with members and without"
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[2], weights[3])
    main = EventTokenizer.from_pretrained(run)
    for number, folder in enumerate(folders, start=1):
        assert EventTokenizer.from_pretrained(folder).vocabulary == main.vocabulary
        training = read_json(folder, "training.json")
        assert (training["seed"], training["ensemble"]) == (member_seed(0, number), 1)
        held_out = read_json(folder, "metrics.json")["validation"]
        # All are measured on the same held-out events.
        assert held_out["events"] == read_json(run, "metrics.json")["validation"]["events"]
    assert member_folders(alone) == []


@pytest.mark.parametrize("ensemble", [0, -1])
def test_an_ensemble_has_an_oracle(ensemble):
    with pytest.raises(SettingsError, match=f"^ensemble is {ensemble}, expected a whole number of at least 1.$"):
        TrainingSettings(ensemble=ensemble)


def test_folders_are_in_order(tmp_path):
    for name in ("10", "2", "1", "notes"):
        (tmp_path / "members" / name).mkdir(parents=True)
    assert [path.name for path in member_folders(tmp_path)] == ["1", "2", "10"]
    assert np.all([path.parent.name == "members" for path in member_folders(tmp_path)])
