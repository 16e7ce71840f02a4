"""Training runs: what is written, what is held out, and what an interruption leaves behind."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_trace.errors import EmptyLogError, NonFiniteError, OutputError, SettingsError, TimestampError
from hf_trace.graphs.counting import bigram_loss
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.quality import quality_warning
from hf_trace.runs.folders import load_model
from hf_trace.runs.training_samples import split_windows
from hf_trace.training.log_training import LogData, TrainingSettings, prepared, train
from hf_trace.training.loop import ProgressCallback


class Divergence(TrainerCallback):
    def on_optimizer_step(self, args, state, control, model, **kwargs):
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))


class Steps(TrainerCallback):
    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append(state.global_step)


@pytest.fixture
def short(tiny_settings):
    return replace(tiny_settings, epochs=4.0)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def sequences(*texts):
    return EventLog.from_sequences(EventSequence(tuple(text)) for text in texts)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_run_folder(tiny_run):
    assert names(tiny_run) == [
        *("config.json", "generation_config.json", "metrics.json", "model.safetensors", "tokenizer.json"),
        *("tokenizer_config.json", "training.json"),
    ]
    # Neither checkpoints nor temporary folders are left beside it.
    assert names(tiny_run.parent) == ["tiny"]


def test_metrics(tiny_run, tiny_log, tiny_settings):
    metrics = read(tiny_run / "metrics.json")
    assert metrics["sequences"] == {"training": 36, "validation": 4}
    assert metrics["event_types"] == 4
    assert metrics["parameters"] == load_model(tiny_run).num_parameters()
    assert metrics["epochs"] == 15
    assert metrics["seconds"] > 0
    # 36 sequences of 12 events, [BOS] and [EOS] each: batches of 128 / 14, about 9 sequences, so 4 steps a pass.
    assert metrics["steps"] == 60

    training, validation = split_windows(tiny_log, 0.1, seed=0)
    quality = metrics["validation"]
    expected = bigram_loss(training.codes, training.offsets, validation.codes, validation.offsets, 5)
    assert quality["bigram"] == pytest.approx(expected)
    assert quality["events"] == len(validation.codes) == 48
    assert quality["beats_bigram"] is (quality["loss"] < quality["bigram"])
    # Three free events of chance 1/3 each, and a certain B after every A: between 0 and ln 3 nats an event.
    assert 0 < quality["loss"] < np.log(3) < quality["unigram"] < np.log(4)

    stored = read(tiny_run / "training.json")
    assert (stored["kind"], stored["window_length"], stored["context_length"]) == ("log", 12, 14)
    again = TrainingSettings(**{name: stored[name] for name in vars(tiny_settings)})
    assert again == replace(tiny_settings, window_length=12)


def test_same_seed_same_weights(tmp_path, tiny_log, short):
    runs = [
        train(tiny_log, tmp_path / str(n), replace(short, epochs=1.0, seed=s)).folder for n, s in enumerate([0, 0, 1])
    ]
    first, again, other = ((run / "model.safetensors").read_bytes() for run in runs)
    assert first == again
    assert first != other


@pytest.mark.parametrize("stop", [pytest.param(3, marks=pytest.mark.slow), 7, pytest.param(14, marks=pytest.mark.slow)])
def test_resumed_training_gives_the_same_weights(tmp_path, tiny_log, short, stop, interruption):
    whole = train(tiny_log, tmp_path / "whole", short)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "cut", short, callbacks=[interruption(stop)])
    assert names(tmp_path) == [".cut-checkpoints", "whole"]

    steps = Steps()
    resumed = train(tiny_log, tmp_path / "cut", short, resume=True, callbacks=[steps])
    # There is a checkpoint every 2 steps: 4 passes of 4 steps, evaluated ten times or more, so every ceil(16 / 10).
    assert steps.seen[0] == (stop - 1) // 2 * 2 + 1
    assert names(tmp_path) == ["cut", "whole"]
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert resumed.quality == whole.quality
    assert resumed.metrics["steps"] == whole.metrics["steps"] == 16


def test_resumed_training_stops_as_early(tmp_path, tiny_log, short, interruption):
    # Large steps make the loss rise, so that patience ends the training.
    hasty = replace(short, epochs=60.0, learning_rate=0.3, patience=2)
    whole = train(tiny_log, tmp_path / "whole", hasty)
    assert whole.metrics["steps"] < 240
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "cut", hasty, callbacks=[interruption(whole.metrics["steps"] - 1)])
    resumed = train(tiny_log, tmp_path / "cut", hasty, resume=True)
    assert resumed.metrics["steps"] == whole.metrics["steps"]
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path, tiny_log, short, interruption):
    whole = train(tiny_log, tmp_path / "whole", short)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "cut", short, callbacks=[interruption(9)])
    # The trainer writes its state last.
    (tmp_path / ".cut-checkpoints" / "checkpoint-8" / "trainer_state.json").unlink()
    steps = Steps()
    resumed = train(tiny_log, tmp_path / "cut", short, resume=True, callbacks=[steps])
    assert steps.seen[0] == 7
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_without_resume_training_starts_anew(tmp_path, tiny_log, short, interruption):
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, tmp_path / "run", short, callbacks=[interruption(5)])
    steps = Steps()
    train(tiny_log, tmp_path / "run", short, callbacks=[steps])
    assert steps.seen[0] == 1
    assert names(tmp_path) == ["run"]


def test_resume_without_a_checkpoint_starts_anew(tmp_path, tiny_log, short):
    assert train(tiny_log, tmp_path / "run", replace(short, epochs=1.0), resume=True).metrics["steps"] == 4


def test_a_run_is_replaced_only_when_the_new_one_is_complete(tmp_path, tiny_log, short, interruption):
    folder = train(tiny_log, tmp_path / "run", replace(short, epochs=1.0)).folder
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(tiny_log, folder, replace(short, seed=1), callbacks=[interruption(1)])
    assert (folder / "model.safetensors").read_bytes() == before
    train(tiny_log, folder, replace(short, epochs=1.0, seed=1))
    assert (folder / "model.safetensors").read_bytes() != before


def test_other_folders_are_never_replaced(tmp_path, tiny_log, short):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "notes.txt").write_text("more work")
    for out in (tmp_path / "thesis", tmp_path / "notes.txt"):
        with pytest.raises(OutputError) as caught:
            train(tiny_log, out, short)
        assert str(caught.value) == (
            f"'{out}' exists and is not a run folder. Choose a new folder for `--out`, or move it away."
        )
    assert names(tmp_path) == ["notes.txt", "thesis"]
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_a_folder_that_cannot_be_made(tmp_path, tiny_log, short):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        train(tiny_log, tmp_path / "file" / "run", short)
    assert str(caught.value) == (
        f"Cannot write '{tmp_path / 'file' / 'run'}': File exists. Choose a folder you can write to."
    )
    assert names(tmp_path) == ["file"]


def test_a_diverged_training_leaves_nothing(tmp_path, tiny_log, short):
    with pytest.raises(NonFiniteError) as caught:
        train(tiny_log, tmp_path / "run", replace(short, epochs=1.0), callbacks=[Divergence()])
    assert str(caught.value) == (
        "The model returns NaN or infinite logits, expected finite ones. Load it with dtype='float32', or train it "
        "again with a lower learning rate."
    )
    assert not (tmp_path / "run").exists()


def test_gaps_are_written_when_there_are_timestamps(timed_run, tiny_run):
    assert read(timed_run / "training.json")["context_length"] == 26
    assert read(timed_run / "tokenizer_config.json")["gap_edges"][0] == 0
    assert read(tiny_run / "tokenizer_config.json")["gap_edges"] == []


def test_gaps_without_timestamps_are_refused(tmp_path, tiny_log, short):
    with pytest.raises(TimestampError):
        train(tiny_log, tmp_path / "run", replace(short, gaps=True))
    assert names(tmp_path) == []


def test_rare_types_are_read_as_unknown(tmp_path, tiny_config):
    log = sequences(*["abab"] * 5, "abaz")
    settings = TrainingSettings(model=str(tiny_config), min_count=2, epochs=1.0)
    trained = train(log, tmp_path / "run", settings)
    assert trained.metrics["event_types"] == 2
    assert "z" not in read(tmp_path / "run" / "tokenizer.json")["model"]["vocab"]


def test_one_sequence_is_not_enough(tmp_path, tiny_config):
    with pytest.raises(EmptyLogError) as caught:
        train(sequences("ab" * 20), tmp_path / "run", TrainingSettings(model=str(tiny_config)))
    assert str(caught.value) == (
        "The log has 1 sequences of two or more events, expected at least 2: one to learn from, one to check on. Name "
        "the case column, or cut a single stream with `--window-length`."
    )
    assert names(tmp_path) == []


def test_one_sequence_cut_into_windows_is(tmp_path, tiny_config):
    settings = TrainingSettings(model=str(tiny_config), window_length=8, epochs=1.0)
    trained = train(sequences("ab" * 20), tmp_path / "run", settings)
    # 40 events make 5 windows; a tenth of them, but at least one, is held out.
    assert trained.metrics["sequences"] == {"training": 4, "validation": 1}
    assert trained.quality.events == 8


def test_only_one_event_sequences(tmp_path, tiny_config):
    with pytest.raises(EmptyLogError) as caught:
        train(sequences(*"abcd"), tmp_path / "run", TrainingSettings(model=str(tiny_config)))
    assert str(caught.value) == (
        "None of the 4 windows has 2 events, expected at least one. Allow longer ones, or lower `min_length`."
    )


def test_windows_of_a_sequence_stay_on_one_side():
    windows = EventLog.from_sequences(
        EventSequence(("a", "b"), id=f"case{case}#{window}") for case in range(20) for window in range(3)
    )
    training, validation = split_windows(windows, 0.1, seed=3)
    sides = [{name.split("#")[0] for name in log.ids} for log in (training, validation)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 2
    assert (len(training), len(validation)) == (54, 6)


@pytest.mark.parametrize("count", [2, 9, 10, 30])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_both_sides_of_a_split_have_sequences(count, share):
    training, validation = split_windows(sequences(*["ab"] * count), share, seed=0)
    assert len(training) >= 1
    assert len(validation) >= 1
    assert sorted([*training.ids, *validation.ids], key=int) == [str(number) for number in range(count)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window_length": 1}, "window_length is 1, expected a whole number of at least 2."),
        ({"validation_share": 0.0}, "validation_share is 0.0, expected between 0 and 1."),
        ({"validation_share": 1.0}, "validation_share is 1.0, expected between 0 and 1."),
        ({"epochs": 0.0}, "epochs is 0.0, expected a number above 0."),
        ({"epochs": float("nan")}, "epochs is nan, expected a number above 0."),
        ({"min_count": 0}, "min_count is 0, expected a whole number of at least 1."),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected a number above 0."),
        ({"batch_tokens": 0}, "batch_tokens is 0, expected a whole number of at least 1."),
        ({"patience": 0}, "patience is 0, expected a whole number of at least 1."),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(SettingsError) as caught:
        TrainingSettings(**setting)
    assert str(caught.value) == message


def test_progress_goes_from_0_to_100(tmp_path, tiny_log, short):
    shares = []
    train(tiny_log, tmp_path / "run", replace(short, epochs=1.0), callbacks=[ProgressCallback(shares.append)])
    assert shares == [25, 50, 75, 100]


def test_training_says_nothing_on_stdout(tmp_path, tiny_log, short, capsys):
    train(tiny_log, tmp_path / "run", replace(short, epochs=1.0))
    assert capsys.readouterr().out == ""


def test_weights_are_float32_and_the_cache_is_on(tiny_run):
    assert {str(tensor.dtype) for tensor in load_file(tiny_run / "model.safetensors").values()} == {"torch.float32"}
    assert read(tiny_run / "config.json")["use_cache"] is True


def test_warning_about_an_oracle_that_knows_nothing():
    quality = {"loss": 1.5, "unigram": 2.0, "bigram": 1.25, "events": 10, "beats_bigram": False}
    assert quality_warning(quality) == (
        "The model predicts no better than the preceding event alone (loss 1.500, bigram 1.250 nats per event): its "
        "causal graph means little. Train longer or on more data."
    )
    assert quality_warning({**quality, "beats_bigram": True}) is None
    assert quality_warning({}) is None


def test_what_was_trained_in_bfloat16_is_measured_in_float32(tiny_log, tiny_settings, tmp_path, caplog):
    settings = replace(tiny_settings, epochs=1.0, bf16=True)
    train(tiny_log, tmp_path / "run", settings)
    assert "scored from its first token" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "windows", "expected"),
    [
        # 160 windows of 10 events, a start and an end: 1,920 tokens; 128 of them are 11 windows, so 15 steps a pass
        # and 192 / 15 passes.
        ({}, 160, (11, 15, 12.8, 15)),
        # 14,400 tokens: a 32nd of them, 450, are 38 windows, so 32 steps a pass, and ten passes.
        ({}, 1_200, (38, 32, 10.0, 32)),
        # 36,000 tokens: 1,024 of them in a step are 85 windows.
        ({}, 3_000, (85, 36, 10.0, 36)),
        # 480 tokens: at least 128 of them in a step, 11 windows, 4 steps a pass, and at most 20 passes.
        ({}, 40, (11, 4, 20.0, 4)),
        # A hidden size of 64: 512 tokens.
        ({"preset": "nano"}, 3_000, (43, 70, 10.0, 70)),
        ({"max_tokens": 36_000}, 3_000, (85, 36, 1.0, 8)),
        ({"batch_tokens": 120, "epochs": 2.0}, 1_200, (10, 120, 2.0, 48)),
    ],
)
def test_steps_of_a_preset_that_learns_quickly(settings, windows, expected):
    log = sequences(*["ab" * 5] * windows)
    found = TrainingSettings(gaps=False, window_length=10, quick=True, **settings)
    tokenizer, found = prepared(log, found)
    data = LogData(tokenizer, log, log.select([0, 1]), found)
    at_once, per_pass, epochs, every = expected
    assert (data.schedule.at_once, data.schedule.every) == (at_once, every)
    assert data.schedule.epochs == pytest.approx(epochs)
    assert data.schedule.steps == pytest.approx(per_pass * epochs)
    rate = 4e-3 * min(1, (192 / data.schedule.steps) ** 0.5)
    assert data.rates == (pytest.approx(rate), pytest.approx(2.5 * rate))


@pytest.mark.parametrize(
    ("settings", "windows", "expected"),
    [
        ({}, 1_001, False),
        ({"quick": None}, 1_000, True),  # 10 events of a token each
        ({"quick": None}, 999, False),
        ({"quick": None, "model": "gpt2"}, 1_000, False),
        ({"quick": True}, 2, True),
    ],
)
def test_a_large_log_is_learned_quickly_where_that_is_left_open(settings, windows, expected):
    log = sequences(*["ab" * 5] * windows)
    assert prepared(log, TrainingSettings(gaps=False, **settings))[1].quick is expected


def test_a_named_model_is_not_learned_quickly():
    with pytest.raises(SettingsError, match="quick is for presets, and the model 'gpt2' is named"):
        TrainingSettings(quick=True, model="gpt2")


def test_an_unknown_preset_is_refused_before_training(tmp_path):
    with pytest.raises(SettingsError, match="preset is 'huge'"):
        train(sequences("abab", "baba"), tmp_path / "run", TrainingSettings(preset="huge"))


def test_with_times_half_of_the_passes_are_enough():
    log = EventLog.from_sequences([EventSequence(tuple("ab" * 5), tuple(map(float, range(10))))] * 3_000)
    tokenizer, found = prepared(log, TrainingSettings(window_length=10, quick=True))
    assert LogData(tokenizer, log, log.select([0, 1]), found).schedule.epochs == 5.0
