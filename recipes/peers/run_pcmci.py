"""Runs tigramite's PCMCI on binned counts, inside its own environment. Called by peers.py."""

import argparse
import json
import time
from importlib.metadata import version
from itertools import pairwise

import numpy as np
from tigramite.data_processing import DataFrame
from tigramite.independence_tests.parcorr import ParCorr
from tigramite.pcmci import PCMCI


def main() -> None:
    """Read an event log as .npz and write scores and edges, ``[cause, effect]``, as .npz."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("answer")
    parser.add_argument("--bin", type=float, required=True, help="length of a bin in seconds")
    parser.add_argument("--max-lag", type=int, default=3, help="in bins")
    parser.add_argument("--pooled", action="store_true", help="one series for all sequences together")
    arguments = parser.parse_args()

    job = np.load(arguments.job)
    series = binned(job, arguments.bin, arguments.max_lag, pooled=arguments.pooled)
    started = time.process_time()
    frame = DataFrame(dict(enumerate(series)), analysis_mode="multiple")
    pcmci = PCMCI(dataframe=frame, cond_ind_test=ParCorr(significance="analytic"), verbosity=0)
    found = pcmci.run_pcmci(tau_min=1, tau_max=arguments.max_lag)
    seconds = time.process_time() - started
    scores, edges = summarised(found["val_matrix"], found["graph"])
    about = {
        "seconds": seconds,
        "rows": sum(map(len, series)),
        "series": len(series),
        "versions": {name: version(name) for name in ("tigramite", "numpy", "scipy")},
    }
    np.savez(arguments.answer, scores=scores, edges=edges, about=json.dumps(about))


def binned(job: dict, length: float, max_lag: int, *, pooled: bool) -> list[np.ndarray]:
    """Events per bin and type, from the first to the last event of every sequence."""
    codes, times, offsets, n_types = job["codes"], job["times"], job["offsets"], int(job["n_types"])
    spans = [(0, len(codes))] if pooled else list(pairwise(offsets))
    series = []
    for start, stop in spans:
        bins = np.floor((times[start:stop] - times[start:stop].min()) / length).astype(np.int64)
        counts = np.zeros((bins.max() + 1, n_types))
        np.add.at(counts, (bins, codes[start:stop]), 1.0)
        if len(counts) > 3 * max_lag:  # shorter ones hold no sample with all its lags
            series.append(counts)
    return series


def summarised(values: np.ndarray, graph: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest absolute partial correlation over the lags, and whether any lag has a link."""
    return np.abs(np.nan_to_num(values)).max(axis=2), (graph != "").any(axis=2)


main()
