"""Graphs from a file in seconds: by-type effects without training beside counting, against known graphs."""

import time

import numpy as np
from known_graph import by_type, row
from known_logs import KnownLog
from scipy.stats import rankdata

from hf_trace.amortised.context_model import ContextForCausalLM
from hf_trace.amortised.zero_shot import zero_shot_model
from hf_trace.discovery.by_type.by_type_graph import by_type_graph
from hf_trace.discovery.by_type.by_type_run import by_type_effects, forward_shares, log_of_variables
from hf_trace.discovery.by_type.combined import combined_graph
from hf_trace.discovery.settings import COMBINED, DiscoveryRequest
from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.graphs.counted_graphs import BASELINES, CountingSettings
from hf_trace.logs.windows import sampled_sequences

COUNTED = ("onset", "hawkes", "bigram")
# The statistics are all shown; the first is the package's default.
STATISTICS = ("log_ratio", "gain", "kl")
RANKS = "mean rank of onset and zero-shot combined_follows"


def graph_rows(known: KnownLog, reader: ContextForCausalLM, windows: int) -> list[dict]:
    """A row for each method: how well it ranks pairs, what its own threshold names, seconds from log to graph."""
    log, found = known.task.log, []
    request = DiscoveryRequest().updated(level="population", construction="by-type", variable=known.variable)
    started = time.perf_counter()
    model = zero_shot_model(log, reader=reader)
    sample = sampled_sequences(model.windows(log).log, windows, 0)
    effects = by_type_effects(model, list(sample), request)
    forward = forward_shares(effects, log_of_variables(model, sample, request))
    seconds = time.perf_counter() - started
    for statistic in STATISTICS:
        graph = by_type_graph(
            effects, forward, parse_threshold(request.settings.threshold), statistic=statistic,
            min_support=request.min_support, knowledge=None, resamples=0, seed=0,
        )  # fmt: skip
        tables = (by_type(log, graph, values, known.owners) for values in (None, graph.adjacency()))
        found.append(row(known.task, f"zero-shot {statistic}", "", *tables, seconds))
    for statistic in COMBINED:
        asked = request.updated(statistic=statistic)
        whole = log_of_variables(model, log, asked)
        graph = combined_graph(effects, forward, whole, asked, plain=model.tokenizer.plain_name)
        scores, edges = (by_type(log, graph, values, known.owners) for values in (None, graph.adjacency()))
        seconds = time.perf_counter() - started
        found.append(row(known.task, f"zero-shot {statistic}", "", scores, edges, seconds))
    counted = log if known.by_node is None else known.by_node
    place = {event: number for number, event in enumerate(counted.event_types)}
    at = [place[owner] for owner in known.owners]
    for name in COUNTED:
        started = time.perf_counter()
        said = BASELINES[name](counted, CountingSettings())
        tables = [each[at][:, at] for each in (said.scores, said.edges())]
        found.append(row(known.task, name, "", *tables, time.perf_counter() - started))
        if name == "onset":
            ranks = np.mean([rankdata(each).reshape(each.shape) for each in (tables[0], scores)], axis=0)
            found.append(row(known.task, RANKS, "", ranks, np.zeros_like(ranks), seconds) | {"f1": None, "edges": None})
    return [{"log": known.name, **each} for each in found]
