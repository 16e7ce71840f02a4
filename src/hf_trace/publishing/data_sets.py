"""What is published of an event log: its events in splits of whole sequences, its truth, its card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from huggingface_hub import DatasetCardData

from hf_trace.documents import Document
from hf_trace.errors import PublishError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.options import SEED
from hf_trace.publishing.model_card import CARD_FILE, NO_LICENSE, also_licence, as_code, as_markdown, as_prose, as_span
from hf_trace.publishing.publication import DATA_SET, Publication, json_bytes, publish
from hf_trace.runs.folders import TRAINING_FILE, read_json
from hf_trace.runs.simulated_worlds import (
    EQ_21,
    EVENTS_FILE,
    PAIRS_FILE,
    SPLITS,
    TRUTH_FILE,
    VARIABLES_FILE,
    world_facts,
)

_FOLDER = "events"
_COLUMNS = {"id": "the sequence", "event": "its type", "time": "seconds from the start of the log"}
_ARGUMENTS = {"id": "case_column", "event": "event_column", "time": "time_column"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def world_publication(folder: str | Path, repo_id: str, *, license: str | None = None) -> Publication:
    """The data set of a simulated world: its events in splits, its truth, the exact scores of its pairs.

    Args:
        folder: What ``hf-trace simulate`` wrote.
        repo_id: Its id on the Hub.
        license: As the Hub spells it; by default Apache-2.0.
    """
    folder = Path(folder)
    truth, recipe = CausalGraph.load(folder / TRUTH_FILE), read_json(folder, TRAINING_FILE)
    about = (
        f"Written by `hf-trace simulate` from {recipe.get('written_from', EQ_21)}. "
        f"The world, from which it can be made again:\n\n```json\n{as_code(recipe['world'])}\n```"
    )
    facts = world_facts(recipe, truth)
    names = (TRUTH_FILE, VARIABLES_FILE, PAIRS_FILE, TRAINING_FILE)
    beside = {name: folder / name for name in names if (folder / name).exists()}
    events = pd.read_parquet(folder / EVENTS_FILE)
    files = _DataSet(repo_id, events, beside, about, facts, license or "apache-2.0").files()
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return Publication(DATA_SET, repo_id, files, tuple(sorted(here - files.keys())))


def log_publication(
    log: EventLog,
    repo_id: str,
    *,
    truth: str | Path | CausalGraph | None = None,
    license: str | None = None,
    data: str | None = None,
) -> Publication:
    """The data set of an event log; four fifths of its sequences are for training, a tenth each for the rest.

    Args:
        log: The sequences.
        repo_id: Its id on the Hub.
        truth: The known graph, where there is one.
        license: As the Hub spells it.
        data: Where the log is from, in words.

    Raises:
        PublishError: If the log is empty.
    """
    if not len(log.codes):
        raise PublishError("The log has no events, expected some to publish.")
    graph = CausalGraph.load(truth) if isinstance(truth, (str, Path)) else truth
    beside, facts = {}, {}
    if graph is not None:
        beside[TRUTH_FILE] = json_bytes(graph.to_dict())
        facts["known edges"] = f"{len(graph):,}"
    about = as_prose(data or "Not described by the author.")
    files = _DataSet(repo_id, events_table(log, seed=SEED.default), beside, about, facts, license).files()
    return Publication(DATA_SET, repo_id, files)


@also_licence
def push_log(
    log: EventLog,
    repo_id: str,
    *,
    truth: str | Path | CausalGraph | None = None,
    license: str | None = None,
    data: str | None = None,
    private: bool = False,
    update: bool = False,
    token: str | None = None,
) -> str:
    """Publish an event log on the Hub as a data set with a card, splits and its known graph.

    Args:
        log: The sequences.
        repo_id: ``"ORG/NAME"``.
        truth: The known graph, where there is one.
        license: As the Hub spells it.
        data: Where the log is from, in words.
        private: Whether only its owners see a new repository.
        update: Replace what is in a repository that exists.
        token: Of the Hub; by default that of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        The address of the repository.

    Raises:
        PublishError: See ``hf_trace.publishing.publication.publish``.
    """
    publication = log_publication(log, repo_id, truth=truth, license=license, data=data)
    return publish(publication, private=private, update=update, token=token)


def events_table(log: EventLog, *, seed: int) -> pd.DataFrame:
    """One row per event, with the split of its sequence.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> events_table(EventLog.from_sequences([EventSequence(("a", "b"))]), seed=0).to_dict("list")
        {'id': ['0', '0'], 'event': ['a', 'b'], 'split': ['train', 'train']}
    """
    lengths, names = log.sequence_lengths, np.array(list(SPLITS), dtype=object)
    bounds = np.ceil(np.cumsum(list(SPLITS.values())) * len(log)).astype(int)
    split = np.empty(len(log), dtype=object)
    places = np.random.default_rng(seed).permutation(len(log))
    split[places] = names[np.searchsorted(bounds[:-1], np.arange(len(log)), "right")]
    columns = {
        "id": np.repeat(np.array(log.ids, dtype=object), lengths),
        "event": np.array(log.event_types, dtype=object)[log.codes],
    }
    if log.timestamps is not None:
        columns["time"] = log.timestamps
    for number, (name, _) in enumerate(log.contexts[0] if log.contexts else ()):
        values = np.array([context[number][1] for context in log.contexts], dtype=object)
        columns[name] = np.repeat(values, lengths)
    return pd.DataFrame({**columns, "split": np.repeat(split, lengths)})


@dataclass(frozen=True)
class _DataSet:
    """Events with their splits, the files beside them, and what the card says: a text and facts by name."""

    repo_id: str
    events: pd.DataFrame
    beside: Mapping[str, Path | bytes]
    about: str
    facts: Mapping[str, str]
    license: str | None

    def files(self) -> dict[str, Path | bytes]:
        parts = {name: self.events[self.events["split"] == name].drop(columns="split") for name in SPLITS}
        parts = {name: part for name, part in parts.items() if len(part)}
        files: dict[str, Path | bytes] = {
            f"{_FOLDER}/{name}.parquet": part.to_parquet(index=False) for name, part in parts.items()
        }
        return {**files, **self.beside, CARD_FILE: self.card(parts).encode()}

    def card(self, parts: Mapping[str, pd.DataFrame]) -> str:
        title = self.repo_id.rpartition("/")[2]
        columns = [name for name in self.events.columns if name != "split"]
        meanings = [
            f"{as_span(name)} ({_COLUMNS.get(name, 'what is known of the whole sequence')})" for name in columns
        ]
        rows = [f"| {name} | {part['id'].nunique():,} | {len(part):,} |" for name, part in parts.items()]
        facts = [f"{self.events['event'].nunique():,} event types"]
        facts += [f"{name}: {value}" for name, value in self.facts.items()]
        sections = [
            f"# {as_markdown(title)}",
            self.about,
            f"One row per event, in order: {', '.join(meanings)}. A sequence is in one split.",
            "| split | sequences | events |\n|---|---|---|\n" + "\n".join(rows),
            "\n".join(f"* {as_markdown(fact)}" for fact in facts),
            "## How to use\n\n```python\nimport hf_trace\nfrom datasets import load_dataset\n\n"
            f'data = load_dataset({as_code(self.repo_id)}, split="train")\n'
            f"log = hf_trace.read_log(data, {_named(columns)})\n```",
            *([self.truth()] if TRUTH_FILE in self.beside else []),
            f"## License\n\n{as_markdown(self.license or NO_LICENSE)}",
        ]
        return f"---\n{self.header(title, parts)}\n---\n" + "\n\n".join(sections) + "\n"

    def header(self, title: str, parts: Mapping[str, pd.DataFrame]) -> str:
        splits = [{"split": name, "path": f"{_FOLDER}/{name}.parquet"} for name in parts]
        configs: list[Document] = [{"config_name": _FOLDER, "default": True, "data_files": splits}]
        if PAIRS_FILE in self.beside:
            configs.append({"config_name": "true_pairs", "data_files": PAIRS_FILE})
        count = len(self.events)
        size = next((name for most, name in _SIZES if count < most), "1M<n<10M" if count < 1e7 else "n>10M")
        header = DatasetCardData(
            license=self.license,
            pretty_name=title,
            tags=["causal-discovery", "event-sequences", "hf_trace"],
            size_categories=[size],
            configs=configs,
        )
        return str(header.to_yaml())

    def truth(self) -> str:
        pairs = (
            f' `{PAIRS_FILE}` (`load_dataset(..., "true_pairs")`) has the exact score of every pair of events of the '
            "first sequences."
        )
        return (
            f"## Truth\n\n`{TRUTH_FILE}` holds the pairs of event types that are true causes; `hf-trace evaluate "
            f"graph.json {TRUTH_FILE}` compares a graph with it.{pairs if PAIRS_FILE in self.beside else ''}"
        )


def _named(columns: list[str]) -> str:
    """Arguments of ``read_log``, as code."""
    given = [f'{_ARGUMENTS[name]}="{name}"' for name in columns if name in _ARGUMENTS]
    contexts = [name for name in columns if name not in _ARGUMENTS]
    return ", ".join([*given, *([f"context_columns={as_code(contexts)}"] if contexts else [])])
