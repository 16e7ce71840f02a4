"""``hf-trace train`` and ``hf-trace effect`` by several processes: one speaks, one writes, all work."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from tests.processes import ended, start
from transformers import AutoConfig, AutoModelForCausalLM

from hf_trace.cli.launching import exit_code_of
from hf_trace.errors import ProcessError
from hf_trace.logs.sources import read_log
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.quality import measure
from hf_trace.runs.folders import load_model
from hf_trace.runs.processes import LEFT_ALONE
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

pytestmark = pytest.mark.slow


@pytest.fixture
def training(place, tiny_config):
    options = ("--model", tiny_config, "--no-gaps", "--epochs", "100", "--window-length", "12")
    return ("train", "log.csv", *options)


@pytest.mark.parametrize("more", [(), ("--gradient-accumulation", "2", "--bf16"), ("--stream",)])
def test_training_by_two_processes(training, more):
    code, out, err = ended(start(*training, *more, "--out", "both", "--processes", "2", "--json"))
    assert code == 0, err
    metrics = json.loads(out)
    assert metrics == {"run": "both"} | json.loads(Path("both/metrics.json").read_text())
    # 36 of 40 sequences of 14 tokens are trained on; 73 of them make 1,024 tokens: one step a pass. A stream flows on
    # from pass to pass: 3,600 sequences, 37 for each process.
    assert metrics["steps"] == (49 if more == ("--stream",) else metrics["epochs"]) <= 100
    assert metrics["validation"]["loss"] < metrics["validation"]["unigram"]
    assert [path.name for path in Path().glob(".both*")] == []


def test_adapters_by_two_processes(training, tiny_config):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_config)).save_pretrained("base")
    training = ("train", "log.csv", "--model", "base", "--lora", *training[4:])
    code, _, err = ended(start(*training, "--out", "both", "--processes", "2"))
    assert code == 0, err
    assert sorted(path.name for path in Path("both/adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not Path("both/model.safetensors").exists()
    metrics = json.loads(Path("both/metrics.json").read_text())["validation"]
    assert metrics["loss"] < metrics["unigram"]
    log = read_log("log.csv")
    loaded = measure(Oracle(load_model("both")), EventTokenizer.from_pretrained("both"), log, log)
    assert loaded.loss < loaded.unigram  # what was written is what was trained


def test_training_with_accelerate_launch(training):
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "hf_trace")
    code, _, err = ended(start(*training, "--out", "both", launcher=launcher))
    assert (code, err.count("Wrote both"), err.count("event types")) == (0, 1, 1), err


def test_a_killed_process_ends_the_training_and_resume_finishes_it(training):
    training = (*training[:-4], "--epochs", "400", "--window-length", "12")
    process = start(*training, "--out", "both", "--processes", "2")
    while not list(Path().glob(".both-checkpoints/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    next(each for each in children if each.environ().get("RANK") == "1").kill()
    code, _, err = ended(process)
    assert (code, err.strip().splitlines()[-1]) == (
        1,
        "error: Process 2 of 2 was killed (SIGKILL), and the others were ended. What is finished is kept: start the "
        "same command again with `--resume`.",
    )
    assert not Path("both").exists()
    code, _, err = ended(start(*training, "--out", "both", "--processes", "2", "--resume"))
    assert (code, Path("both/config.json").exists()) == (0, True), err


ENDINGS = [  # exit codes by number, and what is told: a code, or a message
    ({0: 1}, 1),
    ({0: 1, 1: -signal.SIGTERM}, 1),
    ({0: 1, 1: 1}, 1),
    ({0: LEFT_ALONE, 1: 1}, "Process 2 of 3 failed and the first one did not, so the result may lack a part."),
    ({0: LEFT_ALONE, 1: -signal.SIGKILL}, "Process 2 of 3 was killed (SIGKILL), and the others were ended."),
    ({0: -signal.SIGTERM, 2: -signal.SIGSEGV}, "Process 3 of 3 was killed (SIGSEGV), and the others were ended."),
    ({0: LEFT_ALONE, 1: -signal.SIGTERM}, "Process 2 of 3 was killed (SIGTERM), and the others were ended."),
]


@pytest.mark.parametrize(("ended", "told"), ENDINGS)
def test_what_is_told_of_processes_that_failed(ended, told):
    if isinstance(told, int):
        assert exit_code_of(ended, 3) == told
        return
    with pytest.raises(ProcessError) as caught:
        exit_code_of(ended, 3)
    message = f"{told} What is finished is kept: start the same command again with `--resume`."
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGINT, 130, "error: Interrupted."),
        (
            signal.SIGTERM,
            1,
            "error: The run was stopped. What is finished is kept: start the same command again with `--resume`.",
        ),
    ],
)
def test_stopping_ends_all(training, number, status, message):
    process = start(*training[:-4], "--epochs", "400", "--window-length", "12", "--out", "both", "--processes", "2")
    while not list(Path().glob(".both-checkpoints/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    os.killpg(process.pid, number)
    code, out, err = ended(process)
    told = [line for line in err.splitlines() if "sequences" not in line and "longest" not in line]
    assert (code, out, told) == (status, "", [message])
    assert len(children) == 2
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert not Path("both").exists()


def test_questions_are_shared_out_and_the_answers_are_the_same(tmp_path, monkeypatch, hf_trace):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 2000)
    x = (rng.random(2000) < 0.2 + 0.6 * z).astype(int)
    y = (rng.random(2000) < 0.1 + 0.3 * x + 0.4 * z).astype(int)
    pd.DataFrame({"Z": z, "X": x, "Y": y}).astype(str).to_csv("table.csv", index=False)
    Path("dag.csv").write_text("cause,effect\nZ,X\nZ,Y\nX,Y\n")
    assert hf_trace("train", "table.csv", "--dag", "dag.csv", "--out", "run", "--epochs", "2")[0] == 0
    questions = [
        {"target": target, "do": {"X": value}, "given": given}
        for target in ("Y", "Z")
        for value in ("0", "1", "2")
        for given in ({}, {"Z": "0"}, {"Z": "1"})
    ]
    Path("questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    asked = ("effect", "run", "--queries", "questions.jsonl")
    assert hf_trace(*asked, "--out", "one.jsonl")[0] == 0
    code, _, err = ended(start(*asked, "--out", "both.jsonl", "--processes", "2"))
    assert (code, err.count(": 18 answers.")) == (0, 1), err
    answers = Path("both.jsonl").read_text()
    assert answers == Path("one.jsonl").read_text()
    assert sum("error" in line for line in answers.splitlines()) >= 6


def test_what_is_not_shared_out_is_done_by_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pd.DataFrame({"X": rng.integers(0, 2, 200), "Y": rng.integers(0, 2, 200)}).astype(str).to_csv(
        "table.csv", index=False
    )
    Path("dag.csv").write_text("cause,effect\nX,Y\n")
    training = ("train", "table.csv", "--dag", "dag.csv", "--out", "run", "--epochs", "1")
    code, _, err = ended(start(*training, "--processes", "2"))
    assert (code, err.count("warning: A table is trained on by one process")) == (0, 1), err
    code, out, err = ended(start("effect", "run", "--target", "Y", "--do", "X=1", "--processes", "2", "--json"))
    assert (code, err.count("warning: One question is answered by one process")) == (0, 1), err
    assert json.loads(out)["target"] == "Y"
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "hf_trace")
    code, _, err = ended(start("simulate", "small", "--sequences", "20", "--out", "world", launcher=launcher))
    assert (code, err.count("Wrote world")) == (0, 1), err
