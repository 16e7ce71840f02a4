# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Direct and total effects on 34,838 real alarms, against the known graph of their 18 types.

    python recipes/alarms/alarms.py --out runs/alarms

Oracles differ in their seed; total effects are averaged over them. Nothing is fitted to the known graph, but see the
README for what was seen of it before the settings were written down.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Recipe, Report, Size
from known_graph import Task, measured

from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.samples import alarms_log, alarms_truth
from hf_trace.training.log_training import TrainingSettings


def measure(options: argparse.Namespace) -> Report:
    """The packaged telecom alarms."""
    log = alarms_log()
    if options.smoke:
        log = EventLog.from_sequences(log.select(range(4)))
    truth = [edge for edge in alarms_truth() if set(edge) <= set(log.event_types)]
    task = Task(
        log=log,
        truth=CausalGraph.from_edges(truth, events=log.event_types).adjacency(),
        fold=lambda scores: scores,
        training=TrainingSettings(window_length=64),
        direct={"proposal": "exhaustive", "max_lag": 8},
        horizons=("16", "16,5m", "16,1h"),
        follow_seconds=3600.0,
    )
    return measured(task, options, "Telecom alarms against the known graph")


RECIPE = Recipe(
    __file__,
    __doc__,
    "Direct or total effects on real alarms?",
    measure,
    {
        "oracles": Size(5, 1, "oracles that total effects are averaged over"),
        "windows": Size(200, 2, "windows in which direct effects are scored"),
        "contexts": Size(256, 2, "places in which total effects are sampled"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
