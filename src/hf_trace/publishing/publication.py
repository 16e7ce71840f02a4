"""What is published of a run folder: which files go where, none of which names a folder of this machine."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hf_trace.errors import HfTraceError, PublishError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.publishing.model_card import (
    CARD_FILE,
    DAG_FILE,
    GRAPH_FILE,
    RunFiles,
    is_folder,
    model_card,
    public_recipe,
)
from hf_trace.runs.adapters import ADAPTER_FOLDER
from hf_trace.runs.folders import CUSTOM_PIPELINES, METRICS_FILE, TRAINING_FILE, read_json
from hf_trace.runs.members import FOLDS_FILE

SHIM_FILE = "hf_trace_pipeline.py"
_PIPELINES = {"causal-discovery": "CausalDiscoveryPipeline", "causal-effect": "CausalEffectPipeline"}


def remote_task(task: str) -> str:
    """The name of a task for those who trust remote code.

    Example:
        >>> remote_task("causal-effect")
        'causal-effect-remote'
    """
    return f"{task}-remote"


def shim(task: str) -> str:
    """The module that is published beside the model: one line, as nothing is copied from the package."""
    return (
        '"""Loads the pipeline of the installed package hf-trace; nothing else."""\n\n'
        f"from hf_trace import {_PIPELINES[task]}  # noqa: F401\n"
    )


def with_shim(config: Mapping[str, Any], task: str) -> bytes:
    """A ``config.json`` that names the shim."""
    entry = {
        "impl": f"{SHIM_FILE.removesuffix('.py')}.{_PIPELINES[task]}",
        "pt": ["AutoModelForCausalLM"],
        "type": "text",
    }
    document = {**config, CUSTOM_PIPELINES: {remote_task(task): entry}}
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


MODEL, DATA_SET = "model", "dataset"
_BACKEND = "event_tokenizer_backend.py"
# By name, as a run folder may also hold what was found in a log that is nobody else's concern.
_PUBLISHED = (
    *("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", _BACKEND),
    *(TRAINING_FILE, METRICS_FILE, DAG_FILE, FOLDS_FILE),
)
_FOLDERS = (ADAPTER_FOLDER, "members")
# What an update removes where it is not written anew; anything else in a repository may be its owner's.
_REPLACED = {
    MODEL: ("model*.safetensors", "model.safetensors.index.json", "adapter/*", "members/*"),
    DATA_SET: ("events/*.parquet", "true_pairs.parquet"),
}
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True)
class Publication:
    """A repository as it is going to be.

    Attributes:
        kind: ``"model"`` or ``"dataset"``.
        repo_id: Its id on the Hub.
        files: By path in the repository: a file here, or what is written.
        left_out: Files of the folder that stay here.
    """

    kind: str
    repo_id: str
    files: dict[str, Path | bytes]
    left_out: tuple[str, ...] = field(default=())

    def replaces(self, name: str) -> bool:
        """Whether a file that is in the repository now is an older one of ours, to be removed.

        Example:
            >>> Publication("dataset", "org/w", {}).replaces("events/train.parquet")
            True
        """
        return name not in self.files and any(fnmatch(name, pattern) for pattern in _REPLACED[self.kind])

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by its path in the repository.

        Example:
            >>> Publication("model", "org/alarms", {"README.md": b"# alarms"}).sizes()
            {'README.md': 8}
        """
        return {
            name: len(source) if isinstance(source, bytes) else source.stat().st_size
            for name, source in sorted(self.files.items())
        }


def run_publication(
    run: str | Path,
    repo_id: str,
    *,
    graph: str | Path | None = None,
    licence: str | None = None,
    data: str | None = None,
) -> Publication:
    """The repository of a run: weights, tokenizer, recipe, metrics, graph, card and shim.

    Args:
        run: A run folder, or any folder of a causal language model with a tokenizer.
        repo_id: Its id on the Hub.
        graph: A discovered graph; by default ``graph.json`` of the folder, where there is one.
        licence: Of the model and what it learned from, as the Hub spells it.
        data: What it was trained on, in words, for the card.

    Raises:
        PublishError: If the folder is no run, or its adapters belong to a model that others do not have.
        GraphFormatError: If the graph is none.
    """
    folder = Path(run)
    found = _graph(folder, graph)
    about = RunFiles.of(folder, found)
    _check_complete(folder, about)
    chosen = {str(path.relative_to(folder).as_posix()): path for path in _files(folder)}
    files: dict[str, Path | bytes] = {name: path for name, path in chosen.items() if _is_published(name)}
    if about.is_adapter:
        for name in (name for name in chosen if name.endswith("adapter_config.json") and name in files):
            files[name] = _as_json({**_json(chosen[name]), "base_model_name_or_path": about.config["base"]})
    remote = remote_task(about.task) if about.is_known_to_the_host else None
    if remote is not None:
        files["config.json"] = with_shim(about.config, about.task)
        files[SHIM_FILE] = shim(about.task).encode()
    for name in (name for name in chosen if name.split("/")[-1] == TRAINING_FILE and name in files):
        files[name] = _as_json(public_recipe(_json(chosen[name])))
    if found is not None:
        files[GRAPH_FILE] = _as_json(found.to_dict())
    card = model_card(folder, repo_id=repo_id, data=data, licence=licence, graph=found, remote=remote)
    files[CARD_FILE] = card.encode()
    return Publication(MODEL, repo_id, files, tuple(sorted(set(chosen) - set(files))))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _is_published(name: str) -> bool:
    top, _, rest = name.partition("/")
    return top in _FOLDERS if rest else any(fnmatch(name, pattern) for pattern in _PUBLISHED)


def _check_complete(folder: Path, about: RunFiles) -> None:
    if not about.config:
        raise PublishError(
            f"{str(folder)!r} is no run folder: it holds no config.json. Expected what `hf-trace train` or `hf-trace "
            "simulate` wrote; to publish an event log, pass `--dataset`."
        )
    if about.is_adapter:
        base = str(about.config.get("base", ""))
        if not base or is_folder(base):
            raise PublishError(
                f"The run {str(folder)!r} holds adapters of {base!r}, a folder that others do not have. Train from a "
                "Hub id (`--model ORG/NAME --lora`), or with `--merge` to have all weights in one folder."
            )
        return
    if not any((folder / name).exists() for name in _WEIGHTS):
        raise PublishError(f"The run {str(folder)!r} holds no {_WEIGHTS[0]}. Expected the weights; train again.")


def _graph(folder: Path, graph: str | Path | None) -> CausalGraph | None:
    if graph is not None:
        return CausalGraph.load(graph)
    own = folder / GRAPH_FILE
    if not own.exists():
        return None
    try:
        return CausalGraph.load(own)
    except HfTraceError as error:
        raise PublishError(
            f"{str(own)!r} is no graph that `hf-trace discover --out` wrote: {error} Move it out of the run folder."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    return read_json(path.parent, path.name)


def _as_json(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
