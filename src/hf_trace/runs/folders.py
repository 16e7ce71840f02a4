"""Run folders: one ``from_pretrained`` folder with model, tokenizer and what was measured, here or on the Hub."""

import json
import logging
import shutil
import warnings
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer, PreTrainedModel

from hf_trace.checks import one_of
from hf_trace.documents import Document
from hf_trace.errors import ModelLoadError, VocabularyMismatchError
from hf_trace.logs.writing import atomic_path
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.runs import adapters
from hf_trace.runs.doors import AutoModelForCausalLM
from hf_trace.runs.run_documents import read_run_document
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

_DOCUMENTS = ("*.json", "tokenizer*")
_MEMBERS = (*_DOCUMENTS, "members/*")


def local_run(name_or_path: str | PathLike[str], *, revision: str | None = None, members: bool = False) -> Path:
    """The folder with the documents of a run.

    Args:
        name_or_path: A folder, or a Hub id. What is neither is given back as it is.
        revision: Branch, tag or commit on the Hub.
        members: Also fetch the further models of the run.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> local_run(folder) == Path(folder)
        True
    """
    path = Path(name_or_path)
    if path.exists() or path.is_absolute() or len(path.parts) > 2:
        return path
    return _fetched(str(name_or_path), revision, _MEMBERS if members else _DOCUMENTS) or path


@lru_cache(maxsize=64)
def _fetched(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path | None:
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except (OSError, ValueError):  # no such repository, no network, no name of one
        return None


def run_of(model: PreTrainedModel, *, members: bool = False) -> str:
    """The folder of the run that a model was loaded from, of the very revision; empty where it is from none.

    Args:
        model: As ``from_pretrained`` gave it.
        members: Also fetch the further models of the run.
    """
    name = str(getattr(model.config, "_name_or_path", "") or "")
    revision = getattr(model.config, "_commit_hash", None)
    return str(local_run(name, revision=revision, members=members)) if name else ""


CUSTOM_PIPELINES = "custom_pipelines"
logger = logging.getLogger(__name__)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
METRICS_FILE, DAG_FILE = "metrics.json", "dag.json"
TRAINING_FILE = "training.json"
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
_SHIM = """# Some model types make AutoTokenizer ignore `tokenizer_class`; this names the class once more.
from transformers import TokenizersBackend


class EventTokenizerBackend(TokenizersBackend):
    pass
"""


Kept = TypeVar("Kept", EventTokenizer, DagTokenizer)


@runtime_checkable
class RunTokenizer(Protocol):
    """What a run folder keeps beside its model: an ``EventTokenizer`` or a ``DagTokenizer``."""

    vocabulary: dict[str, int]

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write it into a folder."""
        ...

    def agrees_with(self, other: Any) -> bool:
        """Whether a tokenizer that ``AutoTokenizer`` made gives the same ids."""
        ...


def load_model(
    name_or_path: str | PathLike[str],
    *,
    dtype: str = "float32",
    device: str | torch.device | None = None,
    device_map: str | dict[str, Any] | None = None,
    trust_remote_code: bool = TRUST_REMOTE_CODE.default,
) -> PreTrainedModel:
    """Load any causal language model with all its weights, in float32 unless asked otherwise.

    Args:
        name_or_path: A run folder, any checkpoint folder, or a Hub id.
        dtype: ``float32`` or ``bfloat16``; scores in bfloat16 are off by up to 0.016 nats per token.
        device: Where to put it; the first accelerator, else the CPU.
        device_map: Instead, how to spread it over several accelerators, and over memory and disk where these are full:
            ``"auto"``, or what else Transformers knows.
        trust_remote_code: Whether code that the model brings along may run here; it is refused otherwise.

    Raises:
        SettingsError: If ``dtype`` is neither, or there is no such map.
        ModelLoadError: If there is no model, or only one in another format than safetensors, or one with missing or
            broken weights, or with code that is not trusted.
    """
    one_of("dtype", dtype, DTYPES)
    if isinstance(device_map, str):
        one_of("device_map", device_map, DEVICE_MAPS)
    path = Path(name_or_path)
    known = ("config.json", "adapter_config.json")
    if path.is_dir() and not any((path / name).exists() for name in known):
        raise ModelLoadError(
            f"The folder {str(path)!r} holds no config.json. Expected a run folder written by `hf-trace train`, or "
            "any folder of a causal language model."
        )
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        str(name_or_path), dtype=DTYPES[dtype], device_map=device_map, trust_remote_code=trust_remote_code
    )
    if device_map is not None:  # it has been put where it belongs
        return model
    if device is None and torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator()
    return model.to(device or "cpu")


def check_vocabulary(tokenizer: RunTokenizer | DagTokenizer, model: PreTrainedModel) -> None:
    """Refuse a tokenizer and a model that were not made for each other.

    A model may have more rows than the tokenizer has tokens only where it was padded to a multiple of 64.

    Raises:
        VocabularyMismatchError: If the sizes disagree.
    """
    tokens = max(tokenizer.vocabulary.values(), default=-1) + 1
    rows = int(model.config.vocab_size)
    if rows not in (tokens, -(-tokens // 64) * 64):
        raise VocabularyMismatchError(
            f"The tokenizer has {tokens} tokens but the model predicts {rows}. They were not saved together: load "
            "both from one run folder."
        )


def own_tokenizer(kind: type[Kept], model: PreTrainedModel, tokenizer: Any = None) -> Kept:
    """The vocabulary of a model, as one of the package's own tokenizers.

    Args:
        kind: ``EventTokenizer`` or ``DagTokenizer``.
        model: As ``from_pretrained`` gave it.
        tokenizer: One of that kind, a tokenizer of Transformers, or a folder; by default that of the model's run.

    Raises:
        ModelLoadError: If there is no tokenizer, or another kind of one.
        VocabularyMismatchError: If model and tokenizer do not belong together.
    """
    run = run_of(model)
    if tokenizer is None and not run:
        raise ModelLoadError("The model has no tokenizer, and no folder to read one from. Pass `tokenizer=`.")
    if not isinstance(tokenizer, kind):
        is_folder = tokenizer is None or isinstance(tokenizer, (str, PathLike))
        tokenizer = kind.from_pretrained(tokenizer or run) if is_folder else kind(tokenizer)
    check_vocabulary(tokenizer, model)
    return tokenizer


def save_run(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: RunTokenizer,
    *,
    adapter: Path | None = None,
    base: str | None = None,
    **documents: Document,
) -> None:
    """Write model, tokenizer and one JSON file per document into ``folder``.

    Args:
        folder: Where to.
        model: With all its weights.
        tokenizer: Its vocabulary.
        adapter: Where its adapters are, here or elsewhere, to write these alone.
        base: The pretrained model that they belong to.
        **documents: By name of their files, without ``.json``.
    """
    model.config.use_cache = True
    if hasattr(model.config, CUSTOM_PIPELINES):  # the shim of the model it started from
        delattr(model.config, CUSTOM_PIPELINES)
    if adapter is None or base is None:
        model.save_pretrained(folder)
    else:
        if adapter != folder / adapters.ADAPTER_FOLDER:
            shutil.copytree(adapter, folder / adapters.ADAPTER_FOLDER)
        adapters.adapter_config(model, base).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ensure_auto_tokenizer(folder, tokenizer)
    for name, document in documents.items():
        write_json(folder / f"{name}.json", document)


def ensure_auto_tokenizer(folder: Path, tokenizer: RunTokenizer) -> None:
    """Make ``AutoTokenizer`` read the folder right beside every model type.

    Beside qwen2 and a few more, Transformers ignores ``tokenizer_class`` and builds a byte-pair tokenizer in
    which all events vanish. Naming a class in ``auto_map`` takes another branch there; elsewhere it would ask
    for trust, so it is written only where an encoding comes out wrong.
    """
    if _auto_tokenizer_agrees(folder, tokenizer):
        return
    config_file = folder / "tokenizer_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoTokenizer": [None, "event_tokenizer_backend.EventTokenizerBackend"]}
    config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "event_tokenizer_backend.py").write_text(_SHIM, encoding="utf-8")
    if not _auto_tokenizer_agrees(folder, tokenizer):
        logger.warning("AutoTokenizer misreads %s; load it with hf_trace.%s.", folder, type(tokenizer).__name__)


def _auto_tokenizer_agrees(folder: Path, tokenizer: RunTokenizer) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tokenizer.agrees_with(AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False))


def write_json(path: Path, document: Document) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(name_or_path: str | PathLike[str], file: str) -> Document:
    """Read a JSON file of a run folder; empty where there is none.

    Raises:
        ModelLoadError: If it is not JSON, or holds something else where something is read from it.
    """
    path = Path(name_or_path) / file
    return read_run_document(path) if path.exists() else {}


def recipe_of(run: str | PathLike[str]) -> Document:
    """How a run was trained; empty where that is not known.

    Args:
        run: A run folder or a Hub id.

    Raises:
        ModelLoadError: If it is not said in the way that ``hf-trace train`` does.
    """
    return read_json(local_run(run), TRAINING_FILE)


def run_kind(folder: str | PathLike[str]) -> str:
    """What a run was trained on: ``"log"``, ``"table"``, ``"world"`` (simulated), or ``"model"`` for any other model.

    Runs say it in ``training.json``. Those written before they did are known by what only their kind has.

    Raises:
        ModelLoadError: If ``training.json`` is damaged.
    """
    recipe = read_json(folder, TRAINING_FILE)
    if "kind" in recipe:
        return str(recipe["kind"])
    if "world" in recipe:
        return "world"
    if (Path(folder) / DAG_FILE).exists():
        return "table"
    return "log" if "window_length" in recipe else "model"
