"""What is published of an event log: its events in splits of whole sequences, its truth, its card."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import DatasetCardData

from hf_trace.errors import PublishError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.publishing.model_card import CARD_FILE
from hf_trace.publishing.publication import DATA_SET, Publication
from hf_trace.publishing.upload import publish
from hf_trace.runs.folders import TRAINING_FILE, read_json
from hf_trace.runs.simulated_worlds import EVENTS_FILE, PAIRS_FILE, SPLITS, TRUTH_FILE

_FOLDER = "events"
_COLUMNS = {"id": "the sequence", "event": "its type", "time": "seconds from the start of the log"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def is_world(folder: str | Path) -> bool:
    """Whether a folder is what ``hf-trace simulate`` wrote."""
    return (Path(folder) / EVENTS_FILE).exists() and "world" in read_json(folder, TRAINING_FILE)


def world_publication(folder: str | Path, repo_id: str, *, licence: str | None = None) -> Publication:
    """The data set of a simulated world: its events in splits, its truth, the exact scores of its pairs.

    Args:
        folder: What ``hf-trace simulate`` wrote.
        repo_id: Its id on the Hub.
        licence: As the Hub spells it; by default Apache-2.0.
    """
    folder = Path(folder)
    events = pd.read_parquet(folder / EVENTS_FILE)
    truth, recipe = CausalGraph.load(folder / TRUTH_FILE), read_json(folder, TRAINING_FILE)
    kept = {name: folder / name for name in (TRUTH_FILE, PAIRS_FILE, TRAINING_FILE) if (folder / name).exists()}
    about = {
        "entropy of the next event": f"{recipe['entropy']:.3f} nats",
        "true pairs of types": f"{len(truth.edges):,} ({truth.metadata['truth']})",
    }
    text = (
        "Written by `hf-trace simulate` from Eq. 21 of TRACE ([arXiv 2602.01135](https://arxiv.org/abs/2602.01135)). "
        f"The world, from which it can be made again:\n\n```json\n{json.dumps(recipe['world'])}\n```"
    )
    files = _files(events, kept, repo_id, about, text, licence or "apache-2.0")
    left = [str(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return Publication(DATA_SET, repo_id, files, tuple(name for name in left if name not in files))


def log_publication(
    log: EventLog,
    repo_id: str,
    *,
    truth: str | Path | CausalGraph | None = None,
    licence: str | None = None,
    data: str | None = None,
    seed: int = 0,
) -> Publication:
    """The data set of an event log; four fifths of its sequences are for training, a tenth each for the rest.

    Args:
        log: The sequences.
        repo_id: Its id on the Hub.
        truth: The known graph, where there is one.
        licence: As the Hub spells it.
        data: Where the log is from, in words.
        seed: Of the split.

    Raises:
        PublishError: If the log is empty.
    """
    if not len(log.codes):
        raise PublishError("The log has no events, expected some to publish.")
    graph = CausalGraph.load(truth) if isinstance(truth, (str, Path)) else truth
    kept: dict[str, Path | bytes] = {}
    about = {}
    if graph is not None:
        text = json.dumps(graph.to_dict(), indent=2, ensure_ascii=False) + "\n"
        kept[TRUTH_FILE] = text.encode()
        about["known edges"] = f"{len(graph.edges):,}"
    files = _files(events_table(log, seed=seed), kept, repo_id, about, data or "Not described by the author.", licence)
    return Publication(DATA_SET, repo_id, files)


def push_log(
    log: EventLog,
    repo_id: str,
    *,
    truth: str | Path | CausalGraph | None = None,
    licence: str | None = None,
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
        licence: As the Hub spells it.
        data: Where the log is from, in words.
        private: Whether only its owners see a new repository.
        update: Replace what is in a repository that exists.
        token: Of the Hub; by default that of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        The address of the repository.

    Raises:
        PublishError: See ``hf_trace.publishing.upload.publish``.
    """
    publication = log_publication(log, repo_id, truth=truth, licence=licence, data=data)
    return publish(publication, private=private, update=update, token=token)


def events_table(log: EventLog, *, seed: int = 0) -> pd.DataFrame:
    """One row per event, with the split of its sequence.

    Example:
        >>> from hf_trace.logs.sequence import EventSequence
        >>> events_table(EventLog.from_sequences([EventSequence(("a", "b"))])).to_dict("list")
        {'id': ['0', '0'], 'event': ['a', 'b'], 'split': ['train', 'train']}
    """
    lengths, names = log.sequence_lengths, np.array(list(SPLITS), dtype=object)
    bounds = np.ceil(np.cumsum(list(SPLITS.values())) * len(log)).astype(int)
    split = np.empty(len(log), dtype=object)
    places = np.random.default_rng(seed).permutation(len(log))
    split[places] = names[np.searchsorted(bounds[:-1], np.arange(len(log)), "right")]
    columns: dict[str, Any] = {
        "id": np.repeat(np.array(log.ids, dtype=object), lengths),
        "event": np.array(log.event_types, dtype=object)[log.codes],
    }
    if log.timestamps is not None:
        columns["time"] = log.timestamps
    for number, (name, _) in enumerate(log.contexts[0] if log.contexts else ()):
        values = np.array([context[number][1] for context in log.contexts], dtype=object)
        columns[name] = np.repeat(values, lengths)
    return pd.DataFrame({**columns, "split": np.repeat(split, lengths)})


def _files(
    events: pd.DataFrame,
    kept: Mapping[str, Path | bytes],
    repo_id: str,
    about: Mapping[str, str],
    text: str,
    licence: str | None,
) -> dict[str, Path | bytes]:
    parts = {name: part.drop(columns="split") for name in SPLITS if len(part := events[events["split"] == name])}
    files: dict[str, Path | bytes] = {f"{_FOLDER}/{name}.parquet": _parquet(part) for name, part in parts.items()}
    card = _card(parts, kept, repo_id, about, text, licence)
    return {**files, **kept, CARD_FILE: card.encode()}


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _card(
    parts: Mapping[str, pd.DataFrame],
    kept: Mapping[str, Path | bytes],
    repo_id: str,
    about: Mapping[str, str],
    text: str,
    licence: str | None,
) -> str:
    title = repo_id.rpartition("/")[2]
    count = sum(map(len, parts.values()))
    configs: list[dict[str, Any]] = [
        {
            "config_name": _FOLDER,
            "default": True,
            "data_files": [{"split": name, "path": f"{_FOLDER}/{name}.parquet"} for name in parts],
        }
    ]
    if PAIRS_FILE in kept:
        configs.append({"config_name": "true_pairs", "data_files": PAIRS_FILE})
    header = DatasetCardData(
        license=licence,
        pretty_name=title,
        tags=["causal-discovery", "event-sequences", "hf_trace"],
        size_categories=[next((name for most, name in _SIZES if count < most), "1M<n<10M" if count < 1e7 else "n>10M")],
        configs=configs,
    )
    columns = next(iter(parts.values())).columns
    rows = [f"| {name} | {part['id'].nunique():,} | {len(part):,} |" for name, part in parts.items()]
    types = pd.concat([part["event"] for part in parts.values()]).nunique()
    facts = [f"* {types:,} event types", *(f"* {name}: {value}" for name, value in about.items())]
    meanings = [f"`{name}` ({_COLUMNS.get(name, 'what is known of the whole sequence')})" for name in columns]
    sections = [
        f"# {title}",
        text,
        f"One row per event, in order: {', '.join(meanings)}. A sequence is in one split.",
        "| split | sequences | events |\n|---|---|---|\n" + "\n".join(rows),
        "\n".join(facts),
        "## How to use\n\n```python\nimport hf_trace\nfrom datasets import load_dataset\n\n"
        f'data = load_dataset("{repo_id}", split="train")\nlog = hf_trace.read_log(data, {_named(columns)})\n```',
        _truth_text(kept),
        f"## Licence\n\n{licence or 'Not stated by the author: ask before you use it.'}",
    ]
    return f"---\n{header.to_yaml()}\n---\n" + "\n\n".join(each for each in sections if each) + "\n"


def _named(columns: Iterable[str]) -> str:
    """Arguments of ``read_log``, as code."""
    names = {"id": "case_column", "event": "event_column", "time": "time_column"}
    given = [f'{names[name]}="{name}"' for name in columns if name in names]
    contexts = [name for name in columns if name not in names]
    return ", ".join([*given, *([f"context_columns={contexts}"] if contexts else [])])


def _truth_text(kept: Mapping[str, Path | bytes]) -> str:
    if TRUTH_FILE not in kept:
        return ""
    pairs = (
        f' `{PAIRS_FILE}` (`load_dataset(..., "true_pairs")`) has the exact score of every pair of events of the '
        "first sequences."
        if PAIRS_FILE in kept
        else ""
    )
    return (
        f"## Truth\n\n`{TRUTH_FILE}` holds the pairs of event types that are true causes; `hf-trace evaluate "
        f"graph.json {TRUTH_FILE}` compares a graph with it.{pairs}"
    )
