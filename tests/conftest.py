"""Settings and runs that all tests share. The package is imported inside fixtures, after the type checks are on."""

import gc
import importlib
import os
import signal
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("MPLBACKEND", "agg")
# Shells let what they start in the background ignore Ctrl-C, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from hypothesis import settings

# What the package imports is imported here first: from inside a type-checked module Python would compile it anew, as
# jaxtyping makes it look for compiled files under names of its own.
for name in (
    *(
        "beartype.door",
        "datasets",
        "matplotlib.pyplot",
        "networkx",
        "pandas",
        "peft",
        "pyarrow.parquet",
        "rich.console",
    ),
    *("scipy.optimize", "scipy.stats", "sklearn.ensemble", "sklearn.metrics", "torch.distributed", "typer"),
    *("transformers.pipelines", "transformers.trainer"),
):
    importlib.import_module(name)

# How long an example takes says nothing of whether it is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The rule of every tiny run: A is always followed by B, and nothing else brings B.
WINDOW_LENGTH = 12
CONTEXT_LENGTH = 2 * WINDOW_LENGTH + 2


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Threads of tiny models only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _imported_things_are_no_garbage():
    """Each tiny training collects garbage several times, and looks through all that was ever imported."""
    gc.freeze()


def rule_records(count, *, seed=0, timed=False):
    """Sequences of A, B, C and D in which B comes right after every A and nowhere else."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(count):
        events = []
        while len(events) < WINDOW_LENGTH:
            event = str(rng.choice(["A", "C", "D"]))
            events += [event, "B"] if event == "A" else [event]
        record = {"id": f"case{number}", "events": events[:WINDOW_LENGTH]}
        if timed:
            record["timestamps"] = np.cumsum(rng.integers(1, 100, WINDOW_LENGTH)).astype(float).tolist()
        records.append(record)
    return records


@pytest.fixture(scope="session")
def records():
    """Six sequences that follow the rule, none of them trained on."""
    return rule_records(6, seed=1)


@pytest.fixture(scope="session")
def timed_records():
    return rule_records(6, seed=1, timed=True)


@pytest.fixture(scope="session")
def tiny_log():
    return _log(rule_records(40))


@pytest.fixture(scope="session")
def timed_log():
    return _log(rule_records(40, timed=True))


def _log(records):
    from hf_trace.logs.log import EventLog

    return EventLog.from_dataset(iter(records))


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    """A folder with the config of a Llama of 21,000 parameters, without weights."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("config")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaConfig(vocab_size=8, max_position_embeddings=CONTEXT_LENGTH, **shape).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_settings(tiny_config):
    """How tiny runs are trained: a second, until the rule is known."""
    from hf_trace.training.log_training import TrainingSettings

    return TrainingSettings(model=str(tiny_config), epochs=15.0, batch_tokens=128, learning_rate=1e-2)


@pytest.fixture(scope="session")
def interruption():
    """A callback that stops a training at a step, as a kill would."""
    from transformers import TrainerCallback

    class Interruption(TrainerCallback):
        def __init__(self, step):
            self.step = step

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == self.step:
                raise KeyboardInterrupt

    return Interruption


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_log, tiny_settings):
    """A run folder whose model has learned the rule; it reads up to 25 events and no times."""
    from hf_trace.training.log_training import train

    return train(tiny_log, tmp_path_factory.mktemp("runs") / "tiny", tiny_settings).folder


@pytest.fixture(scope="session")
def timed_run(tmp_path_factory, timed_log, tiny_settings):
    """As ``tiny_run``, but gaps between events are written; it reads up to 13 events."""
    from hf_trace.training.log_training import train

    return train(timed_log, tmp_path_factory.mktemp("runs") / "timed", tiny_settings).folder


@pytest.fixture(scope="session")
def discover(tiny_run):
    """The pipeline of ``tiny_run``; calls leave it as it was."""
    from transformers import pipeline

    import hf_trace  # noqa: F401

    return pipeline("causal-discovery", model=str(tiny_run))


@pytest.fixture(scope="session")
def discover_timed(timed_run):
    from transformers import pipeline

    import hf_trace  # noqa: F401

    return pipeline("causal-discovery", model=str(timed_run))


@pytest.fixture
def hf_trace(monkeypatch, capsys):
    """Run a command line; gives the exit code, stdout and stderr."""
    from hf_trace.cli import main

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["hf-trace", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        return exited.value.code, *capsys.readouterr()

    return command


@pytest.fixture
def refused(hf_trace):
    """Run a command line that must fail; gives its one line."""

    def command(*arguments):
        code, out, err = hf_trace(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (out, len(lines)) == ("", 1), err
        # What cannot be understood at all tells of the help.
        assert code == (2 if lines[0].endswith("--help`.") else 1)
        assert err.endswith(lines[0] + "\n")
        assert "Traceback" not in err
        return lines[0].removeprefix("error: ")

    return command


def _csv(records):
    rows = [
        f"{record['id']},{event},{time}"
        for record in records
        for event, time in zip(record["events"], record["timestamps"], strict=True)
    ]
    return "\n".join(["case,event,time", *rows, ""])


@pytest.fixture
def place(tmp_path, monkeypatch, timed_log, tiny_run, timed_run):
    """A working folder with a log, a log without times and two runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text(_csv(timed_log.to_records()))
    texts = (" ".join(record["events"]) for record in timed_log.to_records())
    (tmp_path / "plain.txt").write_text("\n".join(texts))
    (tmp_path / "run").symlink_to(tiny_run)
    (tmp_path / "timed").symlink_to(timed_run)
    return tmp_path
