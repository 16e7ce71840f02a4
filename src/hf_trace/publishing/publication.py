"""What is published of a run folder, none of it naming a folder of this machine; and one upload of it to the Hub."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from hf_trace.documents import Document
from hf_trace.errors import HfTraceError, PublishError, first_line
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.metrics import GraphComparison, evaluate_graph
from hf_trace.graphs.pictures.figure import graph_figure
from hf_trace.publishing.eval_results import FOLDER, HubData, eval_files
from hf_trace.publishing.model_card import (
    CARD_FILE,
    GRAPH_FILE,
    PICTURE_FILE,
    RunFiles,
    card_text,
    is_folder,
    public_recipe,
)
from hf_trace.runs.adapters import ADAPTER_FOLDER
from hf_trace.runs.folders import CUSTOM_PIPELINES, DAG_FILE, METRICS_FILE, TRAINING_FILE, read_json
from hf_trace.runs.members import FOLDS_FILE, MEMBERS

MODEL, DATA_SET, SPACE = "model", "dataset", "space"
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
    MODEL: (
        *("model*.safetensors", "model.safetensors.index.json", "adapter/*", "members/*"),
        *(f"{FOLDER}/next-event.yaml", f"{FOLDER}/known-graph.yaml"),
    ),
    DATA_SET: ("events/*.parquet", "true_pairs.parquet"),
    SPACE: ("run/*", "hf_trace-*.whl"),
}


@dataclass(frozen=True)
class Publication:
    """A repository as it is going to be.

    Attributes:
        kind: ``"model"``, ``"dataset"`` or ``"space"``.
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
    data_repo: str | None = None,
    truth: str | Path | None = None,
) -> Publication:
    """The repository of a run: weights, tokenizer, recipe, metrics, graph and its picture, results, card and shim.

    Args:
        run: A run folder, or any folder of a causal language model with a tokenizer.
        repo_id: Its id on the Hub.
        graph: A discovered graph; by default ``graph.json`` of the folder, where there is one.
        license: Of the model and what it learned from, as the Hub spells it.
        data: What it was trained on, in words, for the card.
        data_repo: The data set on the Hub that it was trained on, ``ORG/NAME`` or of a benchmark ``ORG/NAME:TASK``: the
            card names it, and results are listed under it.
        truth: A known graph, which the card sets beside the discovered one.

    Raises:
        PublishError: If the folder is not a run, its adapters belong to a model that others do not have, the data set
            is no id, or a known graph is given and no discovered one.
        GraphFormatError: If a graph is not one, or the two share no event type.
    """
    folder = Path(run)
    about = RunFiles.of(folder, _graph(folder, graph))
    on_hub = None if data_repo is None else HubData.named(data_repo)
    about = replace(about, known=_beside(about.graph, truth), data_repo=on_hub.repo_id if on_hub else None)
    _check_complete(folder, about)
    here = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: _without_folders(path, about) for name, path in here.items() if _is_published(name)}
    picture = None
    if about.graph is not None:
        picture = PICTURE_FILE
        files |= {GRAPH_FILE: json_bytes(about.graph.to_dict()), picture: graph_figure(about.graph).png()}
    if on_hub is not None:
        files |= eval_files(on_hub, repo_id, about.metrics.get("validation") or {}, about.known)
    remote = None
    if about.loads_without_us:
        remote = f"{about.task}-remote"  # a name of its own: who imports hf_trace is never asked for trust
        files |= _shim(about, remote)
    card = card_text(about, repo_id, data=data, license=license, remote=remote, picture=picture)
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


def _beside(graph: CausalGraph | None, truth: str | Path | None) -> GraphComparison | None:
    """A discovered graph beside a known one."""
    if truth is None:
        return None
    if graph is None:
        raise PublishError(
            "A known graph is given, and no discovered one to set beside it. Name that one: `--graph graph.json`."
        )
    return evaluate_graph(graph, CausalGraph.load(truth))


def check_repo_id(repo_id: str) -> None:
    """Refuse a name that the Hub does not accept.

    Raises:
        PublishError: If the Hub does not.

    Example:
        >>> check_repo_id("org/alarms")
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(
            f"{repo_id!r} is not a repository name. Expected ORG/NAME of letters, digits, '-', '_' and '.', at most "
            "96 in all, without '--' or '..' and with no '-' or '.' at either end."
        ) from error


def publish(
    publication: Publication,
    *,
    private: bool = False,
    update: bool = False,
    token: str | None = None,
    message: str | None = None,
    revision: str | None = None,
) -> str:
    """Create the repository and upload everything in one commit.

    Args:
        publication: What goes where.
        private: Whether only its owners see a new repository.
        update: Replace what is in a repository that exists.
        token: Of the Hub; by default that of ``hf auth login`` or ``HF_TOKEN``.
        message: Of the commit.
        revision: Branch to commit to; by default ``main``.

    Returns:
        The address of the repository.

    Raises:
        PublishError: If the name is wrong, nobody is logged in, the Hub cannot be reached, the repository exists
            and is not to be updated, or it may not be written.
    """
    check_repo_id(publication.repo_id)
    if not (token or get_token()):
        raise PublishError(
            "Nobody is logged in to the Hub: there is no token. Run `hf auth login`, or set HF_TOKEN to a token that "
            "may write."
        )
    api = HfApi(token=token)
    kind, repo_id = publication.kind, publication.repo_id
    with _refusals_in_one_line(repo_id):
        account = api.whoami()
        repo_id = repo_id if "/" in repo_id else f"{account['name']}/{repo_id}"
        exists = api.repo_exists(repo_id, repo_type=kind)
        _check_owner(repo_id, account, exists=exists, update=update)
    with _refusals_in_one_line(repo_id, made=not exists):
        sdk = "gradio" if kind == SPACE else None
        made = api.create_repo(repo_id, repo_type=kind, private=private or None, exist_ok=update, space_sdk=sdk)
        address = str(made)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, repo_type=kind, exist_ok=True)
        there = api.list_repo_files(repo_id, repo_type=kind, revision=revision) if exists else []
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(name, source) for name, source in sorted(publication.files.items())),
            *(CommitOperationDelete(name) for name in filter(publication.replaces, there)),
        ]
        api.create_commit(
            repo_id,
            operations,
            commit_message=message or f"Upload with hf-trace: {len(publication.files)} files",
            repo_type=kind,
            revision=revision,
        )
    return address


def collect(publication: Publication, title: str, *, private: bool = False, token: str | None = None) -> str:
    """Put a repository into a collection of its owner, which is made where there is none of this title.

    Run, data set and Space that are put into one are found from each other.

    Args:
        publication: What was published.
        title: Of the collection.
        private: Whether only its owner sees a new collection.
        token: See ``publish``.

    Returns:
        The address of the collection.

    Raises:
        PublishError: If the Hub refuses it.
    """
    api, repo_id, kind = HfApi(token=token), publication.repo_id, publication.kind
    try:
        with _refusals_in_one_line(repo_id):
            found = api.create_collection(title, namespace=repo_id.partition("/")[0], private=private, exists_ok=True)
            return str(api.add_collection_item(found.slug, repo_id, cast(Any, kind), exists_ok=True).url)
    except PublishError as error:
        reason = str(error).removesuffix(" Nothing was published.")
        raise PublishError(f"{repo_id} is published, and not in the collection {title!r}: {reason}") from error


def _check_owner(repo_id: str, account: Document, *, exists: bool, update: bool) -> None:
    """Refuse to write over a repository that is there, and say whose it is."""
    owner = repo_id.partition("/")[0]
    is_ours = owner in {account["name"], *(each["name"] for each in account.get("orgs", ()))}
    if exists and not is_ours:
        raise PublishError(
            f"The repository {repo_id!r} exists and belongs to {owner!r}, of which {account['name']!r} is not a "
            "member. Choose another name."
        )
    if exists and not update:
        raise PublishError(
            f"The repository {repo_id!r} exists already, and it is yours. Choose another name, or pass `--overwrite` "
            "to replace what is in it."
        )
    if not is_ours:
        raise PublishError(
            f"{account['name']!r} is logged in and not a member of {owner!r}. Expected a name such as "
            f"{account['name']}/{repo_id.partition('/')[2]}."
        )


@contextmanager
def _refusals_in_one_line(repo_id: str, *, made: bool = False) -> Iterator[None]:
    state = " The repository may be there and empty: go on with `--overwrite`." if made else ""
    refusals: tuple[type[Exception], ...] = (HfHubHTTPError, RuntimeError, *_transport_errors())
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PublishError("HF_HUB_OFFLINE is set, so nothing can be published. Unset it.") from error
    except refusals as error:
        # A large file that could not be sent is reported as a RuntimeError.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise PublishError(_refusal(repo_id, cause) + state) from error


def _refusal(repo_id: str, error: BaseException) -> str:
    if isinstance(error, _transport_errors()) and not isinstance(error, HfHubHTTPError):
        return (
            f"The Hub cannot be reached ({first_line(error)}). Check the network (and HF_ENDPOINT, where you set it), "
            "or see what would be published with `--dry-run`."
        )
    response = getattr(error, "response", None)
    status = None if response is None else response.status_code
    if status == 401:
        return "The Hub does not accept the token: it is wrong or has expired. Run `hf auth login` again."
    if status == 403:
        return (
            f"The token may not write {repo_id!r}. Use one with the right to write there (`hf auth login`), or choose "
            "another name."
        )
    return f"The Hub refused {repo_id!r}: {first_line(error)}. Nothing was published."


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client of huggingface_hub raises when nobody answers; which client depends on its version."""
    names = [name for name in ("httpx", "httpx2") if find_spec(name)]
    return (*(importlib.import_module(name).TransportError for name in names), ConnectionError, TimeoutError)
