# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Is my log large enough, and which lag? What `hf-trace doctor` says of simulated logs, and what is then found in them.

    python recipes/first-questions/first_questions.py --out runs/first-questions

Each world is simulated in several sizes. Of each log the doctor's verdict and suggested lag are noted, an oracle is
trained as `hf-trace train` does, and by-type graphs with several lags are compared with the known one, beside onsets
counted without a model. The doctor knows no truth.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import Recipe, Report, Size, kept, table
from known_graph import made_once
from matplotlib.figure import Figure

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.graphs.counted_graphs import counted_graph
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.log_power import LogPower
from hf_trace.graphs.metrics import evaluate_graph
from hf_trace.graphs.near_events import suggested_horizon
from hf_trace.logs.diagnosis.choices import StateVariables, discovery_choices
from hf_trace.logs.log import EventLog
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import TrainingSettings
from hf_trace.worlds.process_simulator import simulate_process
from hf_trace.worlds.process_worlds import process_world

WORLDS = ["hawkes", "bursts"]


def suggested_lag(log: EventLog) -> int:
    """The lag that the doctor names."""
    choices = discovery_choices(log, "drives", "", suggested_horizon(log, positions=0), StateVariables.of(()))
    return int(next(each.value for each in choices if each.option == "max_lag"))


def looked_at(world: str, sequences: int, options: argparse.Namespace) -> dict:
    """One log: what is said of it, and how good graphs of it are."""
    written = simulate_process(process_world(world), sequences, seed=0)
    log, types = written.log, written.log.event_types
    caused = [(edge["cause"], edge["effect"]) for edge in written.truth.edges if edge["kind"] != "state"]
    truth = CausalGraph.from_edges([pair for pair in caused if set(pair) <= set(types)], events=types)
    power = LogPower.of(log)
    training = TrainingSettings(window_length=64, max_tokens=options.tokens)
    model = EventModel.load(made_once(options.out / "oracles" / f"{world}-{sequences}", log, training))
    windows = model.windows(log).log
    graphs = {"onset": counted_graph(log)}
    for lag in options.lag:
        request = DiscoveryRequest(level="population").updated(question="drives", max_lag=lag)
        graphs[str(lag)] = log_result(model, windows, request).graph
    found = {name: scored(graph, truth) for name, graph in graphs.items()}
    return {
        "world": world, "sequences": sequences, "events": len(log.codes), "verdict": power.verdict,
        "least_share": power.least_share, "occurrences": power.occurrences, "lag": suggested_lag(log),
        "base_rate": next(iter(found.values()))["base_rate"], "graphs": found,
    }  # fmt: skip


def scored(graph: CausalGraph, truth: CausalGraph) -> dict:
    """How a graph agrees with the known one."""
    found = evaluate_graph(graph, truth).scores
    return {name: getattr(found, name) for name in ("auprc", "auroc", "f1", "base_rate")}


def measure(options: argparse.Namespace) -> Report:
    """All worlds and sizes."""
    rows = [
        kept(options.out / "parts" / f"{world}-{number}.json", lambda w=world, n=number: looked_at(w, n, options))
        for world in options.world
        for number in options.sequences
    ]
    lags = [str(lag) for lag in options.lag]
    columns = ("world", "events", "verdict", "told from", "base rate", "onset", *(f"lag {lag}" for lag in lags), "lag")
    lines = [
        [
            row["world"], f"{row['events']:,}", row["verdict"], f"{row['least_share']:.2f}",
            f"{row['base_rate']:.3f}", *(f"{row['graphs'][name]['auprc']:.3f}" for name in ("onset", *lags)),
            str(row["lag"]),
        ]
        for row in rows
    ]  # fmt: skip
    by_verdict = {
        verdict: [
            row["graphs"]["16" if "16" in lags else lags[-1]]["auprc"] for row in rows if row["verdict"] == verdict
        ]
        for verdict in ("enough", "little", "too little")
    }
    means = {f"{verdict}: AUPRC": (float(np.mean(found)), 0.1) for verdict, found in by_verdict.items() if found}
    return Report(rows, table(columns, lines), means, drawn(rows, lags))


def reference(lags: list[str]) -> str:
    """The default lag, where it was measured."""
    return "16" if "16" in lags else lags[-1]


def drawn(rows: list[dict], lags: list[str]) -> Figure:
    """AUPRC by the number of events, and by the lag."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    size, lag = figure.subplots(1, 2, sharey=True)
    for world in dict.fromkeys(row["world"] for row in rows):
        own = [row for row in rows if row["world"] == world]
        line = size.plot([row["events"] for row in own], [best(row, lags) for row in own], marker="o", label=world)[0]
        size.plot([row["events"] for row in own], [row["graphs"]["onset"]["auprc"] for row in own],
                  linestyle=":", color=line.get_color())  # fmt: skip
        lag.plot(lags, [own[-1]["graphs"][each]["auprc"] for each in lags], marker="o", color=line.get_color())
    size.set(xscale="log", xlabel="events in the log", ylabel="AUPRC", title="By type (dotted: onsets, no model)")
    lag.set(xlabel="--max-lag (largest log)", title="By lag")
    size.legend(frameon=False)
    return figure


def best(row: dict, lags: list[str]) -> float:
    """At the suggested lag, where it was measured."""
    name = str(row["lag"]) if str(row["lag"]) in lags else reference(lags)
    return row["graphs"][name]["auprc"]


RECIPE = Recipe(
    __file__,
    __doc__,
    "Is my log large enough, and which lag?",
    measure,
    {
        "world": Size(WORLDS, ["hawkes"], "worlds to simulate"),
        "sequences": Size([5, 15], [4], "sequences of each log"),
        "lag": Size([2, 4, 8, 16, 32], [2], "lags of the graphs"),
        "tokens": Size(TrainingSettings().max_tokens, 2_000, "tokens that each oracle is trained on"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
