"""Run folders that hold adapters alone: what was trained, and the name of the pretrained model it belongs to.

``AutoModelForCausalLM.from_pretrained`` loads such a folder once ``hf_trace`` is imported: the pretrained model is
loaded, given rows for the new tokens, and the adapters are folded into its weights. The folder ``adapter`` inside is
PEFT's own format.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import CONFIG_NAME
from transformers.utils.hub import cached_file, extract_commit_hash

from hf_trace.errors import ModelLoadError, first_line, preview
from hf_trace.runs import (
    doors,
)  # its names are used later: while it loads Transformers, it may be what loads this module
from hf_trace.runs.weight_files import ModelFlaw, tensors_of

ADAPTER_FOLDER = "adapter"
_FILES = ("adapter_config.json", "adapter_model.safetensors")
# More new tokens than any vocabulary of events has.
_MOST_NEW_TOKENS = 2**20
_opening: ContextVar[tuple[str, ...]] = ContextVar("hf_trace_opening", default=())


class AdapterConfig(PretrainedConfig):
    """Configuration of a run folder with adapters alone.

    Args:
        base: Folder or Hub id of the pretrained model.
        base_revision: Its commit on the Hub; None for a folder.
        vocab_size: Tokens that the adapted model reads, new ones included.
    """

    model_type = "hf_trace_adapter"
    holds_adapters = True

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
        try:
            return cls._merged(run, config or AdapterConfig.from_pretrained(run), kwargs)
        except ModelFlaw as flaw:
            raise doors.not_loaded(run, flaw) from flaw

    @staticmethod
    def _merged(run: str, config: Any, kwargs: dict[str, Any]) -> PreTrainedModel:
        # What is said of the run's own files is not true of the base's.
        revision = kwargs.pop("revision", None)
        for name in ("adapter_kwargs", "subfolder", "gguf_file"):
            kwargs.pop(name, None)
        base, new = _base(run, config, kwargs)
        known = base.get_input_embeddings().weight.shape[0]
        if not 0 < config.vocab_size <= known + _MOST_NEW_TOKENS:
            raise ModelFlaw(
                f"its config asks for {config.vocab_size} tokens, where the pretrained model knows {known}. Take the "
                "config.json that was saved with the adapters"
            )
        base.resize_token_embeddings(config.vocab_size, mean_resizing=False)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(base.config, name, getattr(config, name, None))
            setattr(base.generation_config, name, getattr(config, name, None))
        adapted = _adapted(run, base, revision, new)
        loaded: PreTrainedModel = adapted.merge_and_unload()
        loaded.config._name_or_path = loaded.name_or_path = run
        return loaded.eval()


def _base(run: str, config: AdapterConfig, options: dict[str, Any]) -> tuple[PreTrainedModel, list[str]]:
    """The pretrained model, and its weights that start at random: an encoder's has no head."""
    base = config.base
    if not Path(base).is_absolute() and (Path(run) / base).exists():
        base = str(Path(run) / base)
    if not base or base in _opening.get():
        raise ModelFlaw(f"it holds adapters of {config.base!r}, which is no model of its own")
    trust = bool(options.pop("trust_remote_code", False))
    token = _opening.set((*_opening.get(), base))
    try:
        own = doors.open_config(base, trust_remote_code=trust, revision=config.base_revision)
        if hasattr(own, "is_decoder"):
            own.is_decoder = True
        options = {**options, "config": own, "revision": config.base_revision, "trust_remote_code": trust}
        model, new = doors.open_model(base, new_head=True, **options)
        weights = model.state_dict()
        return model, [name for name in new if weights[name].min() != weights[name].max()]
    except ModelLoadError as error:
        raise ModelLoadError(
            f"The run {run!r} holds adapters of {config.base!r}, which could not be loaded: {first_line(error)}. "
            "Put the pretrained model there, or train with --merge to have all weights in one folder."
        ) from error
    finally:
        _opening.reset(token)


def _adapted(run: str, base: PreTrainedModel, revision: str | None, new: list[str]) -> Any:
    from peft import PeftModel, get_peft_model_state_dict

    try:
        files = [cached_file(run, name, subfolder=ADAPTER_FOLDER, revision=revision) for name in _FILES]
    except OSError as error:
        raise ModelLoadError(f"The run {run!r} lacks its adapters: {first_line(error)}. Train again.") from error
    held = tensors_of([Path(files[1])])
    doors.check_adapters(Path(files[0]), held)
    with old_names(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # an error below
        adapted = PeftModel.from_pretrained(base, str(Path(files[0]).parent))
    # Where the rows of new tokens are not among the adapters, all rows are beside them.
    has_rows = adapted.active_peft_config.trainable_token_indices is None
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=has_rows)
    beside = [name for name in new if not any(each.endswith(f".{name}") for each in held.shapes)]
    if missing := [*sorted(set(expected) - set(held.shapes)), *beside]:
        raise ModelFlaw(f"its adapters lack {len(missing)} weights: {preview(missing)}. Train again")
    if unused := sorted(set(held.shapes) - set(expected)):
        raise ModelFlaw(f"its adapters hold {len(unused)} weights too many: {preview(unused)}. Train again")
    return adapted


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
