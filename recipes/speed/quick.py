# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""What do orthogonal steps cost a graph? Logs with known causes, each learned by AdamW and in fewer, larger steps.

    python recipes/speed/quick.py --out runs/quick --csl PATH/TO/csl_sample

Seconds of the processor that training takes with its evaluations and yardsticks, passes, nats per held-out event, and
the graph of what drives what, by the package's own threshold and as a ranking. Without the folder only the packaged
alarms and worlds are read. What is measured is kept in OUT/parts.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Recipe, Report, Size, kept, metrics, table
from known_graph import by_type, row
from known_logs import KnownLog, known_logs

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.runs.event_model import EventModel
from hf_trace.training.log_training import train

SEVERAL = ("alarms", "csl")  # the real ones: with several seeds
WAYS = {"AdamW": False, "quick": True}
COLUMNS = {
    "log": "log", "seed": "seed", "way": "way", "cpu": "CPU s", "epochs": "passes", "nats": "nats",
    "additive": "additive, nats",
    "auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "edges": "edges", "base_rate": "base rate",
}  # fmt: skip


def learned(known: KnownLog, way: str, seed: int) -> dict:
    """A log learned in one way, and the graph that comes of it."""
    settings = replace(known.task.training, quick=WAYS[way], seed=seed, ensemble=1)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        trained = train(known.task.log, Path(folder) / "run", settings)
        spent = time.process_time() - started
        model = EventModel.load(trained.folder)
        request = DiscoveryRequest(level="population").updated(question="drives", variable=known.variable)
        log = known.task.log
        graph = log_result(model, model.windows(log).log, request, whole=log).graph
    tables = (by_type(log, graph, values, known.owners) for values in (None, graph.adjacency()))
    quality = trained.quality
    found = {"log": known.name, "seed": seed, "way": way, "cpu": round(spent, 1), "epochs": trained.metrics["epochs"]}
    return {**row(known.task, way, "", *tables, spent), **found, "nats": quality.loss, "additive": quality.additive}


def learnings(options: argparse.Namespace) -> Iterator[dict]:
    """Every log, seed and way."""
    found = known_logs(options.csl, "", small=options.smoke)
    for name in (each for each in options.log if each in found):
        known = found[name]()
        for seed in range(options.seeds if name in SEVERAL else 1):
            for way in WAYS:
                path = options.out / "parts" / f"{name}-{seed}-{way}.json"
                yield kept(path, lambda k=known, w=way, s=seed: learned(k, w, s))


def measure(options: argparse.Namespace) -> Report:
    """All of them."""
    rows = []
    for each in learnings(options):
        print({key: each[key] for key in COLUMNS}, flush=True)
        rows.append(each)
    shown = {"auprc": ("AUPRC", 0.1), "nats": ("nats", 0.05)}
    return Report(
        rows,
        table(list(COLUMNS.values()), [[each[key] for key in COLUMNS] for each in rows]),
        metrics(rows, lambda each: f"{each['log']}, seed {each['seed']}, {each['way']}", shown),
    )


RECIPE = Recipe(
    __file__,
    __doc__,
    "What do orthogonal steps cost a graph?",
    measure,
    {
        "log": Size(["alarms", "csl", "hawkes", "signals", "together", "inhibition", "hidden"], ["alarms"], "to learn"),
        "seeds": Size(3, 1, "of the real logs"),
    },
    options=lambda parser: parser.add_argument("--csl", default="", help="folder of the CSL sample"),
    more="--csl PATH/TO/csl_sample",
)

if __name__ == "__main__":
    RECIPE.main()
