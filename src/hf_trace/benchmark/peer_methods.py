"""Methods of other packages, each one function that runs where that package is installed.

This file is read by their interpreters, which know nothing of the package around it. Settings are those of the other
package, or follow from the log alone: bins are a third of the mean gap between events, lags up to three bins.
"""

import warnings
from itertools import pairwise
from typing import Any

import numpy as np

_MAX_LAG = 3
# What the environment of a peer must have, and the function that asks it.
PEERS = {"tigramite": "pcmci", "gcastle": "ttpm", "pm4py": "heuristics_miner"}


def pcmci(log: Any) -> tuple[np.ndarray, np.ndarray]:
    """PCMCI with partial correlation on counts of events in bins (tigramite; Runge et al. 2019)."""
    from tigramite.data_processing import DataFrame
    from tigramite.independence_tests.parcorr import ParCorr
    from tigramite.pcmci import PCMCI

    frame = DataFrame(dict(enumerate(binned(log))), analysis_mode="multiple")
    method = PCMCI(dataframe=frame, cond_ind_test=ParCorr(significance="analytic"), verbosity=0)
    found = method.run_pcmci(tau_min=1, tau_max=_MAX_LAG)
    return np.abs(np.nan_to_num(found["val_matrix"])).max(axis=2), (found["graph"] != "").any(axis=2)


def binned(log: Any) -> list[np.ndarray]:
    """Events per bin and type, from the first to the last event of every sequence that has room for all lags."""
    spans = list(pairwise(log.offsets))
    seconds = sum(log.timestamps[stop - 1] - log.timestamps[start] for start, stop in spans if stop > start)
    length = seconds / max(len(log.codes) - len(spans), 1) / _MAX_LAG
    series = []
    for start, stop in spans:
        if stop == start:
            continue
        bins = np.floor((log.timestamps[start:stop] - log.timestamps[start]) / length).astype(np.int64)
        counts = np.zeros((bins[-1] + 1, len(log.event_types)))
        np.add.at(counts, (bins, log.codes[start:stop]), 1.0)
        if len(counts) > 3 * _MAX_LAG:
            series.append(counts)
    return series


def ttpm(log: Any) -> tuple[np.ndarray, np.ndarray]:
    """TTPM, a topological Hawkes process searched edge by edge, by its defaults (gcastle; Cai et al. 2022)."""
    import pandas as pd
    from castle.algorithms import TTPM

    warnings.filterwarnings("ignore")
    sequences = len(log.offsets) - 1
    table = pd.DataFrame({
        "event": log.codes.astype(np.int64),
        "timestamp": log.timestamps,
        "node": np.repeat(np.arange(sequences), np.diff(log.offsets)),
    })  # fmt: skip
    # No sequence is joined to another, so that each is explained by itself.
    model = TTPM(np.zeros((sequences, sequences)))
    model.learn(table)
    found = np.asarray(model.causal_matrix) > 0
    strength = model._em(found.astype(float))[1].sum(axis=0)  # the package does not keep what it fitted
    edges, scores = (np.zeros((len(log.event_types),) * 2) for _ in range(2))
    present = np.unique(log.codes)  # it leaves out types without events
    edges[np.ix_(present, present)] = found
    scores[np.ix_(present, present)] = np.where(found, np.maximum(strength, np.finfo(float).tiny), 0.0)
    return scores, edges > 0


def heuristics_miner(log: Any) -> tuple[np.ndarray, np.ndarray]:
    """Dependency of what directly follows, (F - B) / (F + B + 1), at its default 0.5 (pm4py; Weijters et al. 2006)."""
    import pandas as pd
    import pm4py

    sequences = np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))
    table = pd.DataFrame({
        "case:concept:name": sequences.astype(str),
        "concept:name": log.codes.astype(str),
        "time:timestamp": pd.to_datetime(log.timestamps, unit="s", utc=True),
    })  # fmt: skip
    found = pm4py.discover_heuristics_net(table).dependency_matrix
    names = [str(code) for code in range(len(log.event_types))]
    scores = np.array([[found.get(one, {}).get(other, -1.0) for other in names] for one in names])
    return scores, scores >= 0.5
