"""Times the engine in a process of its own: a job as JSON on standard input, the answer on standard output."""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from hf_trace.discovery.by_type.by_type_run import by_type_effects
from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.scoring import sliding_windows
from hf_trace.discovery.settings import DiscoveryRequest, DiscoverySettings
from hf_trace.logs.sequence import EncodedSequence, EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.runs.event_model import EventModel
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

PREFIX = 4
SPECIAL = 4


def measured(job: dict) -> dict:
    """Time discovery on ``job["sequences"]`` in this process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    is_by_type = job.get("by_type", False)
    once = (by_type if is_by_type else atomic)(Oracle(model.to(device)), job)
    seconds = []
    for _ in range(job["runs"] + (job["runs"] > 1)):  # the first of several is a warm-up
        started = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    middle = statistics.median(seconds[-job["runs"] :])
    return {"seconds": middle, "peak_bytes": peak, **({} if is_by_type else work(job, model.config, middle))}


def atomic(oracle: Oracle, job: dict) -> Callable[[], object]:
    """Every event of the sequences replaced, one at a time."""
    alphabet = Alphabet(torch.arange(SPECIAL, oracle.vocab_size), torch.ones(oracle.vocab_size - SPECIAL))
    settings = DiscoverySettings(max_lag=job["max_lag"], num_samples=job["draws"], prefix_length=PREFIX)
    encoded = [EncodedSequence(np.array(sequence), np.arange(len(sequence))) for sequence in job["sequences"]]
    windows = [
        (EncodedSequence(each.input_ids[w.start : w.stop], np.arange(w.stop - w.start)), w.tested(PREFIX))
        for each in encoded
        for w in sliding_windows(len(each.input_ids), length=oracle.context_length, max_lag=job["max_lag"])
    ]

    def once() -> None:
        for start in range(0, len(windows), 32):
            block = windows[start : start + 32]
            tested = [causes for _, causes in block]
            score_pairs(oracle, [each for each, _ in block], alphabet, settings, tested=tested)

    return once


def by_type(oracle: Oracle, job: dict) -> Callable[[], object]:
    """All events of every type taken out of the sequences, and the whole prediction of everything after it compared."""
    names = [f"e{token}" for token in range(SPECIAL, oracle.vocab_size)]
    model = EventModel(oracle, EventTokenizer.from_event_types(names))
    request = DiscoveryRequest().updated(
        construction="by-type", max_lag=job["max_lag"], prefix_length=PREFIX - 1, level="population"
    )
    sequences = [
        EventSequence(tuple(names[token - SPECIAL] for token in tokens[1:]), id=str(number))
        for number, tokens in enumerate(job["sequences"])
    ]
    return lambda: by_type_effects(model, sequences, request).pairs


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
