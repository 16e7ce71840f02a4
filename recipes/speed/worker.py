"""Times the engine in a process of its own: a job as JSON on standard input, the answer on standard output."""

import json
import os
import resource
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.scoring import sliding_windows
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet

PREFIX = 4
SPECIAL = 4


def measured(job: dict) -> dict:
    """Time discovery on ``job["sequences"]`` in this process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    oracle = Oracle(model.to(device))
    types = model.config.vocab_size
    alphabet = Alphabet(torch.arange(SPECIAL, types), torch.ones(types - SPECIAL))
    settings = DiscoverySettings(max_lag=job["max_lag"], num_samples=job["draws"], prefix_length=PREFIX)
    encoded = [EncodedSequence(np.array(sequence), np.arange(len(sequence))) for sequence in job["sequences"]]
    windows = [
        (EncodedSequence(each.input_ids[w.start : w.stop], np.arange(w.stop - w.start)), w.tested(PREFIX))
        for each in encoded
        for w in sliding_windows(len(each.input_ids), length=oracle.context_length, max_lag=job["max_lag"])
    ]
    seconds = []
    for _ in range(job["runs"] + (job["runs"] > 1)):  # the first of several is a warm-up
        started = time.perf_counter()
        for start in range(0, len(windows), 32):
            block = windows[start : start + 32]
            tested = [causes for _, causes in block]
            score_pairs(oracle, [each for each, _ in block], alphabet, settings, tested=tested)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    middle = statistics.median(seconds[-job["runs"] :])
    return {"seconds": middle, "peak_bytes": peak, **work(job, model.config, middle)}


def work(job: dict, config: object, seconds: float) -> dict:
    """Tail tokens read, and the floating-point rate that their matrix products alone amount to."""
    tokens = 0
    for sequence in job["sequences"]:
        last = len(sequence) - 1
        reach = job["max_lag"] or last
        tokens += job["draws"] * sum(min(reach, last - cause) for cause in range(PREFIX, last))
    hidden, inner = config.hidden_size, config.intermediate_size
    body = config.num_hidden_layers * (4 * hidden**2 + 3 * hidden * inner)
    flop = 2 * tokens * (body + hidden * config.vocab_size)
    return {"tokens": tokens, "tokens_per_second": tokens / seconds, "flop_per_second": flop / seconds}


if __name__ == "__main__":
    json.dump(measured(json.load(sys.stdin)), sys.stdout)
