"""Runs gcastle's TTPM, inside its own environment. Called by peers.py."""

import argparse
import json
import logging
import time
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
from castle.algorithms import TTPM


def main() -> None:
    """Read an event log as .npz and write scores and edges, ``[cause, effect]``, as .npz."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("answer")
    parser.add_argument("--delta", type=float, help="decay per second; the library's default when left out")
    parser.add_argument("--iterations", type=int, help="most edges to add; likewise")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    warnings.filterwarnings("ignore")

    job = np.load(arguments.job)
    n_types, n_sequences = int(job["n_types"]), len(job["offsets"]) - 1
    table = pd.DataFrame(
        {
            "event": job["codes"].astype(np.int64),
            "timestamp": job["times"],
            "node": np.repeat(np.arange(n_sequences), np.diff(job["offsets"])),
        }
    )
    given = {"delta": arguments.delta, "max_iter": arguments.iterations}
    settings = {key: value for key, value in given.items() if value is not None}
    # How the sequences are connected is not known: no links between them, and each explained by itself.
    model = TTPM(np.zeros((n_sequences, n_sequences)), **settings)
    started = time.process_time()
    model.learn(table)
    seconds = time.process_time() - started
    found = np.asarray(model.causal_matrix) > 0
    strength = model._em(found.astype(float))[1].sum(axis=0)  # the library does not keep what it fitted
    edges, scores = np.zeros((n_types, n_types), dtype=bool), np.zeros((n_types, n_types))
    present = np.unique(job["codes"])  # the library leaves out types without events
    edges[np.ix_(present, present)] = found
    scores[np.ix_(present, present)] = np.where(found, np.maximum(strength, np.finfo(float).tiny), 0.0)
    names = ("gcastle", "torch", "numpy", "pandas", "networkx")
    about = {"seconds": seconds, "rows": len(table), "versions": {name: version(name) for name in names}}
    np.savez(arguments.answer, scores=scores, edges=edges, about=json.dumps(about))


main()
