"""The logs of the benchmark as one data set: events and known causes of each, a card, and a list of its tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from huggingface_hub import CardData, DatasetCardData

from hf_trace.benchmark.known_causes import KnownCauses
from hf_trace.documents import Document
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.writing import atomic_path
from hf_trace.publishing.model_card import CARD_FILE
from hf_trace.runs.simulated_worlds import EVENTS_FILE, TRUTH_FILE

NAME = "Event causality: logs whose causes are known"
TASKS_FILE, SPLIT, FRAMEWORK = "eval.yaml", "test", "hf-trace"
PROTOCOL = (
    "A method gets the events of one log (types, times, sequences) and nothing else: no known cause, no time window or "
    "threshold that was chosen with one in sight. What it learned from known causes of other logs, it says.",
    "It has one setting for all logs: its defaults, or a rule that reads the log alone.",
    "It gives a score for every ordered pair of different event types, and may name the pairs that it takes for edges.",
    "Known causes are opened when the scores of all methods on all logs have been written.",
    "AUROC and AUPRC rank all ordered pairs; chance is .5 and the base rate. F1 is of the edges that a method names, "
    "beside the F1 of naming every pair. Types that are in the known graph and never occur are left out.",
)
_ABOUT = (
    "Which event type causes which, from the log alone. Event logs of networks and machines, and of simulated worlds, "
    "each with the graph that experts drew or that wrote it."
)
_CITED = (
    "Experts' graphs are not the world: they are drawn of what was known, without a time or a strength, and miss what "
    "nobody looked for. A method that is right may be counted as wrong."
)


@dataclass(frozen=True)
class LogFacts:
    """What the card says of one log.

    Attributes:
        known: The log.
        sequences: Number of sequences.
        events: Number of events.
        types: Number of event types.
        edges: Number of known causes between types that occur.
    """

    known: KnownCauses
    sequences: int
    events: int
    types: int
    edges: int

    @property
    def base_rate(self) -> float:
        """Share of ordered pairs that are causes."""
        return self.edges / max(self.types * (self.types - 1), 1)

    def to_dict(self) -> Document:
        """As JSON."""
        counts = {name: getattr(self, name) for name in ("sequences", "events", "types", "edges", "base_rate")}
        return {"about": self.known.about, "license": self.known.license, **counts}


def write_log(known: KnownCauses, log: EventLog, folder: Path) -> LogFacts:
    """Write ``events.parquet`` and ``truth.json`` of one log.

    Args:
        known: The log; its causes are opened here.
        log: Its events.
        folder: Where to; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth = known.truth(log.event_types)
    pairs = [(log.event_types[cause], log.event_types[effect]) for cause, effect in np.argwhere(truth)]
    frame = pd.DataFrame({
        "id": np.repeat(np.array(log.ids, dtype=object), log.sequence_lengths),
        "event": np.array(log.event_types, dtype=object)[log.codes],
        "time": log.timestamps,
    })  # fmt: skip
    with atomic_path(folder / EVENTS_FILE) as unfinished:
        frame.to_parquet(unfinished, index=False)
    CausalGraph.from_edges(pairs, events=log.event_types).save(folder / TRUTH_FILE)
    return LogFacts(known, len(log), len(log.codes), len(log.event_types), len(pairs))


def write_card(facts: Sequence[LogFacts], folder: Path) -> None:
    """Write the card of the data set, and ``eval.yaml``, by which the Hub may list it as a benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {CARD_FILE: card(facts), TASKS_FILE: f"{CardData(**tasks(facts)).to_yaml()}\n"}
    for name, text in texts.items():
        with atomic_path(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def tasks(facts: Sequence[LogFacts]) -> Document:
    """What ``eval.yaml`` holds: a task for each log.

    Example:
        >>> list(tasks([]))
        ['name', 'description', 'evaluation_framework', 'tasks']
    """
    listed = [{"id": each.known.name, "config": each.known.name, "split": SPLIT} for each in facts]
    return {"name": NAME, "description": _ABOUT, "evaluation_framework": FRAMEWORK, "tasks": listed}


def card(facts: Sequence[LogFacts]) -> str:
    """The card of the data set."""
    configs = [
        {"config_name": each.known.name, "data_files": [{"split": SPLIT, "path": f"{each.known.name}/{EVENTS_FILE}"}]}
        for each in facts
    ]
    header = DatasetCardData(
        license=sorted({each.known.license for each in facts}),
        pretty_name=NAME,
        tags=["causal-discovery", "event-sequences", "hf_trace", "benchmark"],
        configs=configs,
    )
    rows = [
        f"| {each.known.name} | {each.sequences:,} | {each.events:,} | {each.types} | {each.edges} | "
        f"{each.base_rate:.3f} | {each.known.license} | {each.known.about} |"
        for each in facts
    ]
    head = "| log | sequences | events | types | causes | base rate | license | what it is |\n" + "|---" * 8 + "|"
    rules = "\n".join(f"{number}. {rule}" for number, rule in enumerate(PROTOCOL, 1))
    use = (
        f'```python\nfrom datasets import load_dataset\n\nevents = load_dataset("ORG/NAME", "alarms", split="{SPLIT}")'
        f"\n```\n\nOne row per event: `id` (the sequence), `event` (its type), `time` (seconds). `LOG/{TRUTH_FILE}` "
        f"holds the known causes; `hf-trace evaluate graph.json {TRUTH_FILE}` compares a graph with them."
    )
    sections = (
        f"# {NAME}\n\n{_ABOUT}",
        "\n".join([head, *rows]),
        f"## The protocol\n\n{rules}",
        f"## How to use\n\n{use}",
        f"## What to keep in mind\n\n{_CITED}",
        "## License\n\nEach log has its own, in the table; simulated ones are Apache-2.0.",
    )
    return f"---\n{header.to_yaml()}\n---\n" + "\n\n".join(sections) + "\n"
