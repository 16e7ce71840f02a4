"""Run folders that hold adapters alone: what was trained, and the name of the pretrained model it belongs to.

``AutoModelForCausalLM.from_pretrained`` loads such a folder once ``hf_trace`` is imported: the pretrained model is
loaded, given rows for the new tokens, and the adapters are folded into its weights. The folder ``adapter`` inside is
PEFT's own format.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import CONFIG_NAME
from transformers.utils.hub import cached_file, extract_commit_hash

from hf_trace.errors import ModelLoadError, first_line

ADAPTER_FOLDER = "adapter"
_FILES = ("adapter_config.json", "adapter_model.safetensors")


class AdapterConfig(PretrainedConfig):
    """Configuration of a run folder with adapters alone.

    Args:
        base: Folder or Hub id of the pretrained model.
        base_revision: Its commit on the Hub; None for a folder.
        vocab_size: Tokens that the adapted model reads, new ones included.
    """

    model_type = "hf_trace_adapter"

    def __init__(self, base: str = "", base_revision: str | None = None, vocab_size: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base = base
        self.base_revision = base_revision
        self.vocab_size = vocab_size


class AdapterModel(PreTrainedModel):
    """Stands for the adapted model until it is loaded; ``from_pretrained`` returns a model of the base's own class."""

    config_class = AdapterConfig

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, *args: Any, config: Any = None, **kwargs: Any
    ) -> PreTrainedModel:
        """The pretrained model with the adapters folded in.

        Raises:
            ModelLoadError: If the pretrained model or the adapters are missing.
        """
        del args
        run = str(pretrained_model_name_or_path)
        config = config or AdapterConfig.from_pretrained(run)
        # What is said of the run's own files is not true of the base's.
        revision = kwargs.pop("revision", None)
        for name in ("adapter_kwargs", "subfolder", "gguf_file"):
            kwargs.pop(name, None)
        base = _base(run, config, kwargs)
        base.resize_token_embeddings(config.vocab_size, mean_resizing=False)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(base.config, name, getattr(config, name, None))
            setattr(base.generation_config, name, getattr(config, name, None))
        adapted = _adapted(run, base, revision)
        loaded: PreTrainedModel = adapted.merge_and_unload()
        loaded.config._name_or_path = loaded.name_or_path = run
        return loaded.eval()


def _base(run: str, config: AdapterConfig, options: dict[str, Any]) -> PreTrainedModel:
    base = config.base
    if not Path(base).is_absolute() and (Path(run) / base).exists():
        base = str(Path(run) / base)
    try:
        own = AutoConfig.from_pretrained(base, revision=config.base_revision)
        if hasattr(own, "is_decoder"):
            own.is_decoder = True
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base, config=own, revision=config.base_revision, **options
        )
    except (OSError, ValueError) as error:
        raise ModelLoadError(
            f"The run {run!r} holds adapters of {config.base!r}, which could not be loaded: {first_line(error)}. "
            "Put the pretrained model there, or train with --merge to have all weights in one folder."
        ) from error
    return model


def _adapted(run: str, base: PreTrainedModel, revision: str | None) -> Any:
    from peft import PeftModel

    try:
        files = [cached_file(run, name, subfolder=ADAPTER_FOLDER, revision=revision) for name in _FILES]
    except OSError as error:
        raise ModelLoadError(f"The run {run!r} lacks its adapters: {first_line(error)}. Train again.") from error
    with old_names():
        return PeftModel.from_pretrained(base, str(Path(files[0]).parent))


@contextmanager
def old_names() -> Iterator[None]:
    """PEFT asks models for names that Transformers is giving up; the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def folded(model: Any, keep: Path | None = None) -> PreTrainedModel:
    """The model with any adapters folded into its weights.

    Args:
        model: With or without adapters.
        keep: Where to write the adapters before.
    """
    if not hasattr(model, "merge_and_unload"):
        return model
    if keep is not None:
        shutil.rmtree(keep, ignore_errors=True)
        model.save_pretrained(keep)
        (keep / "README.md").unlink(missing_ok=True)
    with torch.no_grad():
        plain: PreTrainedModel = model.merge_and_unload()
    return plain


def adapter_config(model: PreTrainedModel, base: str) -> AdapterConfig:
    """What a run folder with adapters alone says of itself."""
    return AdapterConfig(
        base=str(Path(base).resolve()) if Path(base).exists() else base,
        base_revision=_commit(base),
        vocab_size=model.get_input_embeddings().weight.shape[0],
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        architectures=[AdapterModel.__name__],
    )


def _commit(base: str) -> str | None:
    """The commit of a Hub id that was loaded into the cache; None for a folder."""
    if Path(base).exists():
        return None
    found: str | None = extract_commit_hash(cached_file(base, CONFIG_NAME, local_files_only=True), None)
    return found


AutoConfig.register(AdapterConfig.model_type, AdapterConfig, exist_ok=True)
AutoModelForCausalLM.register(AdapterConfig, AdapterModel, exist_ok=True)
