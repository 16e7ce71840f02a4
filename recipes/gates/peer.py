"""Scores sequences of a world with seq2cause and its own defaults, in its environment; see against_peer.py."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import torch
from seq2cause.adapters import HFModelAdapter
from seq2cause.diagnostics import compute_cmi_matrix
from seq2cause.threshold import AdaptiveThreshold

from hf_trace.worlds.world import World, WorldSpec, pasts


def main() -> None:
    """Read one job as JSON on standard input; write matrices and kept pairs as an npz file."""
    job = json.load(sys.stdin)
    world = World(WorldSpec.from_dict(job["world"]))

    def model(input_ids: torch.Tensor) -> SimpleNamespace:
        after = torch.nn.functional.pad(input_ids, (0, 1), value=world.nothing)
        past = pasts(after, world.spec.memory, world.nothing)[:, 1:]
        return SimpleNamespace(logits=world.log_probs(past.flatten(0, 1)).view(*past.shape[:2], -1))

    adapter = HFModelAdapter(model, vocab_size=world.spec.types)
    torch.manual_seed(job["seed"])
    matrices = [
        compute_cmi_matrix(
            adapter, torch.tensor(codes), job["prefix"], n_particles=job["draws"], strategy=job["strategy"]
        )
        for codes in job["codes"]
    ]
    # As its command line does: one threshold per lag, fitted on the scores of all sequences.
    threshold = AdaptiveThreshold(method="percentile")
    place = torch.arange(matrices[0].shape[-1])
    lag = place[None] - place[:, None]
    scores = torch.cat([matrix[lag > 0] for matrix in matrices])
    bounds = threshold.tau_by_lag(scores, lag[lag > 0].repeat(len(matrices)), max_lag=int(lag.max()))
    kept = [threshold.apply_tau_by_lag(matrix, bounds) for matrix in matrices]
    np.savez(job["out"], scores=torch.stack(matrices).numpy(), kept=torch.stack(kept).bool().numpy())


main()
