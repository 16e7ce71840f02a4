"""Direct and total effects on the event log of a lathe, against its expert graph (causRCA).

    python recipes/causrca/causrca.py --data PATH/TO/causrca --out runs/causrca

An event is a change of a binary variable or an alarm (``node=value``); the expert graph joins nodes. A pair of nodes
has the largest score of its pairs of events. Only nodes that occur in the log are judged.
"""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "alarms"))

import numpy as np
from alarms import Task, arguments, measure, write

from hf_trace.errors import HfTraceError
from hf_trace.logs.sources import read_log
from hf_trace.training.log_training import TrainingSettings


def causrca_task(data: Path) -> Task:
    """The recordings of normal operation."""
    log = read_log(data / "real_op", event_column=["node", "value"], query="type in ['Binary', 'Alarm'] and time_s > 0")
    node_of_type = [name.rpartition("=")[0] for name in log.event_types]
    nodes = sorted(set(node_of_type))
    places = np.array([nodes.index(name) for name in node_of_type])

    def fold(scores: np.ndarray) -> np.ndarray:
        table = np.full((len(nodes), len(nodes)), scores.min())
        np.maximum.at(table, (places[:, None], places[None]), scores)
        return table

    truth = np.zeros((len(nodes), len(nodes)), dtype=bool)
    with (data / "expert_graph" / "all_edges.csv").open(encoding="utf-8") as file:
        for edge in csv.DictReader(file):
            ends = edge["source_label"], edge["target_label"]
            if ends[0] != ends[1] and set(ends) <= set(nodes):
                truth[nodes.index(ends[0]), nodes.index(ends[1])] = True
    direct = {"max_lag": 8, "num_samples": 16}
    horizons = ("8", "8,1s", "8,5s")
    return Task("causrca", log, truth, fold, TrainingSettings(), 150, direct, horizons, 5.0)


def main() -> None:
    """Measure and write."""
    options = arguments("runs/causrca", __doc__)
    if options.data is None:
        sys.exit("Name the folder of the data set: --data PATH/TO/causrca (Apache-2.0, from causalgraph/causRCA).")
    try:
        task = causrca_task(options.data)
    except (HfTraceError, OSError) as error:
        sys.exit(f"The data set cannot be read: {error}")
    rows = measure(task, options.out, oracles=options.oracles, contexts=options.contexts)
    write(rows, task.name, "Lathe events against the expert graph", options.out)


if __name__ == "__main__":
    main()
