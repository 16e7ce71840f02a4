"""What is published of a run folder: which files go where, none of which names a folder of this machine."""

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from hf_trace.errors import HfTraceError, PublishError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.writing import Document
from hf_trace.publishing.model_card import CARD_FILE, GRAPH_FILE, RunFiles, is_folder, model_card, public_recipe
from hf_trace.runs.adapters import ADAPTER_FOLDER
from hf_trace.runs.folders import CUSTOM_PIPELINES, DAG_FILE, METRICS_FILE, TRAINING_FILE, read_json
from hf_trace.runs.members import FOLDS_FILE, MEMBERS

MODEL, DATA_SET = "model", "dataset"
SHIM_FILE = "hf_trace_pipeline.py"
_PIPELINES = {"causal-discovery": "CausalDiscoveryPipeline", "causal-effect": "CausalEffectPipeline"}
_ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# By name, as a run folder may also hold what was found in a log that is nobody else's concern.
_PUBLISHED = (
    *("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt"),
    *("event_tokenizer_backend.py", TRAINING_FILE, METRICS_FILE, DAG_FILE, FOLDS_FILE),
)
_FOLDERS = (ADAPTER_FOLDER, MEMBERS)
# What an update removes where it is not written anew; anything else in a repository may be its owner's.
_REPLACED = {
    MODEL: ("model*.safetensors", "model.safetensors.index.json", "adapter/*", "members/*"),
    DATA_SET: ("events/*.parquet", "true_pairs.parquet"),
}


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
    left_out: tuple[str, ...] = ()

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
    license: str | None = None,
    data: str | None = None,
) -> Publication:
    """The repository of a run: weights, tokenizer, recipe, metrics, graph, card and shim.

    Args:
        run: A run folder, or any folder of a causal language model with a tokenizer.
        repo_id: Its id on the Hub.
        graph: A discovered graph; by default ``graph.json`` of the folder, where there is one.
        license: Of the model and what it learned from, as the Hub spells it.
        data: What it was trained on, in words, for the card.

    Raises:
        PublishError: If the folder is not a run, or its adapters belong to a model that others do not have.
        GraphFormatError: If the graph is not one.
    """
    folder = Path(run)
    about = RunFiles.of(folder, _graph(folder, graph))
    _check_complete(folder, about)
    here = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: _without_folders(path, about) for name, path in here.items() if _is_published(name)}
    if about.graph is not None:
        files[GRAPH_FILE] = json_bytes(about.graph.to_dict())
    remote = None
    if about.loads_without_us:
        remote = f"{about.task}-remote"  # a name of its own: who imports hf_trace is never asked for trust
        files |= _shim(about, remote)
    card = model_card(folder, repo_id=repo_id, data=data, license=license, graph=about.graph, remote=remote)
    files[CARD_FILE] = card.encode()
    return Publication(MODEL, repo_id, files, tuple(sorted(here.keys() - files.keys())))


def json_bytes(document: Document) -> bytes:
    """A JSON file, as it is published."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _is_published(name: str) -> bool:
    top, _, rest = name.partition("/")
    return top in _FOLDERS if rest else any(fnmatch(name, pattern) for pattern in _PUBLISHED)


def _without_folders(path: Path, about: RunFiles) -> Path | bytes:
    """A file of a run, written anew where it may name a folder of this machine."""
    if path.name == TRAINING_FILE:
        return json_bytes(public_recipe(read_json(path.parent, path.name)))
    if path.name == _ADAPTER_CONFIG and about.is_adapter:
        base = {"base_model_name_or_path": about.config["base"]}
        return json_bytes({**read_json(path.parent, path.name), **base})
    return path


def _shim(about: RunFiles, remote: str) -> dict[str, Path | bytes]:
    """A module beside the model, one line as nothing is copied from the package, and a config that names it."""
    pipeline = _PIPELINES[about.task]
    module = (
        '"""Loads the pipeline of the installed package hf-trace; nothing else."""\n\n'
        f"from hf_trace import {pipeline}  # noqa: F401\n"
    )
    impl = f"{SHIM_FILE.removesuffix('.py')}.{pipeline}"
    entry = {"impl": impl, "pt": ["AutoModelForCausalLM"], "type": "text"}
    config: Document = {**about.config, CUSTOM_PIPELINES: {remote: entry}}
    written = json.dumps(config, indent=2, sort_keys=True) + "\n"
    return {"config.json": written.encode(), SHIM_FILE: module.encode()}


def _check_complete(folder: Path, about: RunFiles) -> None:
    if not about.config:
        raise PublishError(
            f"{str(folder)!r} is not a run folder: it holds no config.json. Expected what `hf-trace train` or "
            "`hf-trace simulate` wrote; to publish an event log, pass `--dataset`."
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
            f"{str(own)!r} is not a graph that `hf-trace discover --out` wrote: {error} Move it out of the run folder."
        ) from error
