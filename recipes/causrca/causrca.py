# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Direct and total effects on the event log of a lathe, against its expert graph (causRCA).

    python recipes/causrca/causrca.py --data PATH/TO/causrca --out runs/causrca

An event is a change of a binary variable or an alarm (``node=value``); the expert graph joins nodes. A pair of nodes
has the largest score of its pairs of events. Only nodes that occur in the log are judged.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Recipe, Report, Size
from known_graph import Task, measured
from lathe import WHERE, expert_graph, made_up, normal_operation

from hf_trace.training.log_training import TrainingSettings


def causrca_task(data: Path) -> Task:
    """The recordings of normal operation."""
    log = normal_operation(data)
    graph = expert_graph(data, log)
    return Task(
        log=log,
        truth=graph.truth,
        fold=graph.fold,
        training=TrainingSettings(),
        direct={"max_lag": 8, "num_samples": 16},
        horizons=("8", "8,1s", "8,5s"),
        follow_seconds=5.0,
    )


def measure(options: argparse.Namespace) -> Report:
    """All methods."""
    return measured(causrca_task(Path(options.data)), options, "Lathe events against the expert graph")


RECIPE = Recipe(
    __file__,
    __doc__,
    "The log of a lathe against an expert graph?",
    measure,
    {
        "oracles": Size(5, 1, "oracles that total effects are averaged over"),
        "windows": Size(150, 2, "windows in which direct effects are scored"),
        "contexts": Size(256, 2, "places in which total effects are sampled"),
    },
    data=WHERE,
    tiny_data=made_up,
)

if __name__ == "__main__":
    RECIPE.main()
