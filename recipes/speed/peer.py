"""Times seq2cause, and scores given rows with it, inside its own environment. Called by speed.py."""

import contextlib
import io
import json
import resource
import statistics
import sys
import time

import numpy as np
import torch
from seq2cause.adapters import HFModelAdapter
from seq2cause.diagnostics import _predicted_true_token_probs, compute_cmi_matrix
from transformers import AutoModelForCausalLM


def main() -> None:
    """Read one job as JSON on standard input and answer with JSON on standard output."""
    job = json.load(sys.stdin)
    model = HFModelAdapter(AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval())
    sequence = torch.tensor(job["sequence"])
    with torch.inference_mode(), contextlib.redirect_stdout(io.StringIO()):
        answer = (rows if "rows" in job else timing)(model, sequence, job)
    json.dump(answer, sys.stdout)


def timing(model: HFModelAdapter, sequence: torch.Tensor, job: dict) -> dict:
    """Seconds of whole-sequence discovery and the process's peak memory."""
    seconds = []
    for _ in range(job["runs"] + 1):
        started = time.perf_counter()
        compute_cmi_matrix(model, sequence, job["prefix"], n_particles=job["draws"], strategy="atomic", max_pairs=None)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": statistics.median(seconds[1:]), "peak_bytes": peak}


def rows(model: HFModelAdapter, sequence: torch.Tensor, job: dict) -> dict:
    """Log-probabilities the peer's own forward gives the observed tokens of edited rows."""
    table = torch.from_numpy(np.load(job["rows"]))
    prefix = job["prefix"]
    scored = _predicted_true_token_probs(model, table, sequence[prefix:], prefix)
    np.save(job["out"], scored.double().log().numpy())
    return {}


main()
