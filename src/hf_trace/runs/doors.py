"""The door through which every config and model comes in: nobody is asked, no code runs unasked, nothing is missing.

Whatever is wrong with the files ends in one ``ModelLoadError`` that names the model.
"""

from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
import transformers
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    PretrainedConfig,
    PreTrainedModel,
    dynamic_module_utils,
)
from transformers.utils import CONFIG_NAME

from hf_trace.documents import Document, read_document
from hf_trace.errors import HfTraceError, ModelLoadError, NonFiniteError, first_line, preview
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.runs.weight_files import (
    HUB_OPTIONS,
    HeldTensors,
    ModelFlaw,
    SizeBound,
    check_counts,
    check_size,
    file_of,
    held_tensors,
)

_ADAPTER_FILE, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Weights of another shape, and missing ones, are told here; adapters are looked for nowhere, and added here.
_WHOLE: Document = {
    "use_safetensors": True,
    "ignore_mismatched_sizes": True,
    "output_loading_info": True,
    "adapter_kwargs": {"subfolder": "no-adapters"},
}
# Where code of a folder would have to run, Transformers asks on the terminal, and takes whatever is piped into it for
# an answer. Without time for one it raises an error instead, also in its own `pipeline`.
dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
_trusted: "WeakSet[PreTrainedModel]" = WeakSet()


class RefusedModel:
    """A model that was refused, on its way to the pipeline that raises why.

    ``pipeline`` of Transformers would take an error as a reason to try a class that checks nothing.
    """

    def __init__(self, error: HfTraceError) -> None:
        self.error = error


def admitted(model: Any) -> PreTrainedModel:
    """A model that a pipeline was given.

    Raises:
        ModelLoadError: If it was refused when it was loaded.
    """
    if isinstance(model, RefusedModel):
        raise model.error
    loaded: PreTrainedModel = model
    return loaded


def trusts(model: PreTrainedModel) -> bool:
    """Whether code of its own folder was allowed when a model was loaded, and so may be for what else is in it."""
    return model in _trusted


class AutoModelForCausalLM(transformers.AutoModelForCausalLM):
    """Loads what its parent loads, through the door, and remembers which commit of the Hub it is from.

    Models of Transformers do not know their commit, and what else a run holds is to be read from the very same one. It
    has the name of its parent, by which repositories name their own code.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *model_args: Any, **kwargs: Any) -> Any:
        """Load a model; its ``config._commit_hash`` is the commit or the revision that was asked for.

        Raises:
            ModelLoadError: If it cannot be used; for a pipeline, which would try other ways in, a ``RefusedModel`` is
                given back instead.
        """
        name = str(pretrained_model_name_or_path)
        try:
            model, _ = _opened(super().from_pretrained, name, *model_args, **kwargs)
        except HfTraceError as error:
            if "_from_pipeline" in kwargs:
                return RefusedModel(error)
            raise
        asked = kwargs.get("revision")
        found = getattr(asked, "resolved", asked) or getattr(model.config, "_commit_hash", None)
        if found is not None:
            model.config._commit_hash = str(found)
        return model


def open_model(
    name_or_path: str | PathLike[str], *, new_head: bool = False, **options: Any
) -> tuple[PreTrainedModel, list[str]]:
    """A causal language model with all its weights, and the names of those that start anew.

    Args:
        name_or_path: A folder or Hub id.
        new_head: Whether weights outside the body may be missing, because the model is to be trained.
        options: As for ``from_pretrained``: ``trust_remote_code``, ``config``, ``dtype``, …

    Raises:
        ModelLoadError: If there is no model, code of its own would have to run unasked, a weight is missing or of
            another shape, or its config asks for more than its files hold.
        NonFiniteError: If a weight is NaN or infinite.
    """
    return _opened(transformers.AutoModelForCausalLM.from_pretrained, str(name_or_path), new_head=new_head, **options)


def open_config(
    name_or_path: str | PathLike[str], *, trust_remote_code: bool = TRUST_REMOTE_CODE.default, **hub: Any
) -> PretrainedConfig:
    """The config of a model.

    Args:
        name_or_path: A folder, a file or a Hub id.
        trust_remote_code: Whether code of the folder may run.
        hub: What of ``HUB_OPTIONS`` is known.

    Raises:
        ModelLoadError: If there is none, or code of its own would have to run unasked.
    """
    try:
        return _checked_config(str(name_or_path), trust_remote_code, hub)[0]
    except Exception as error:
        raise not_loaded(name_or_path, error) from error


def not_loaded(name_or_path: str | PathLike[str], error: BaseException) -> ModelLoadError:
    """The error of a name that is neither a folder with a model nor one on the Hub; one that is clear stays."""
    if isinstance(error, ModelLoadError):
        return error
    where = "" if Path(name_or_path).exists() else ", which is no folder here"
    return ModelLoadError(
        f"No causal language model could be loaded from {str(name_or_path)!r}{where}: {_reason(error)}."
    )


def _reason(error: BaseException) -> str:
    """What another library said, in one line: its first, and what it announces."""
    line = first_line(error)
    return first_line(ValueError(" ".join(str(error).split())[:200])) if line.endswith(":") else line


def _opened(load: Any, name: str, *arguments: Any, new_head: bool = False, **options: Any) -> Any:
    """A model that ``load`` reads, checked before and after, and what of it starts anew."""
    trust = bool(options.pop("trust_remote_code", None))
    hub = {key: options[key] for key in HUB_OPTIONS if options.get(key) is not None}
    options.pop("output_loading_info", None)
    try:
        model, new = _read(load, name, arguments, hub, trust, new_head, options)
    except HfTraceError:
        raise
    except Exception as error:  # a damaged folder ends in any of them
        raise not_loaded(name, error) from error
    _check_finite(model, name)
    if trust:
        _trusted.add(model)
    return model, new


def _read(
    load: Any, name: str, arguments: Any, hub: Document, trust: bool, new_head: bool, options: Document
) -> tuple[PreTrainedModel, list[str]]:
    adapter = file_of(name, _ADAPTER_FILE, hub)
    base = name
    if adapter is not None and file_of(name, CONFIG_NAME, hub) is None:
        base, hub = _base_of(adapter), {}
        options = {key: value for key, value in options.items() if key not in HUB_OPTIONS}
    config, document = _checked_config(base, trust, hub)
    given = options.get("config")
    config = given if isinstance(given, PretrainedConfig) else config
    options = {**options, "trust_remote_code": trust}
    if getattr(type(config), "holds_adapters", False):  # it has its own way in, and comes back here for its base
        return load(name, *arguments, **options), []
    if "auto_map" in document and not trust and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise _has_code([document["auto_map"]])
    held = held_tensors(base, hub, file=document.get("transformers_weights"))
    is_own = not isinstance(config.model_type, str) or config.model_type not in CONFIG_MAPPING
    has_code = is_own or (trust and "auto_map" in document)
    weights = {} if has_code else check_size(config, SizeBound.of_files(held))
    _check_numbers(held, weights, config)
    model, loading = load(base, *arguments, **{**options, **_WHOLE})
    new = _check_complete(model, loading, new_head)
    if adapter is not None:
        _add_adapters(model, name, adapter)
    return model, new


def _checked_config(name: str, trust: bool, hub: Document) -> tuple[PretrainedConfig, Document]:
    path = Path(name) if Path(name).is_file() else file_of(name, CONFIG_NAME, hub)
    document = {} if path is None else _document(path, "the config of a model")
    check_counts(document)
    _check_no_code(document, trust)
    return AutoConfig.from_pretrained(name, trust_remote_code=trust, **hub), document


def _document(path: Path, expected: str) -> Document:
    try:
        found = read_document(path, expected, error=ModelLoadError)
    except ModelLoadError as error:
        raise ModelFlaw(first_line(error)) from error
    if not isinstance(found, dict):
        raise ModelFlaw(f"{path.name} is a {type(found).__name__}, expected an object, {expected}")
    return found


def _check_no_code(document: Mapping[str, Any], trust: bool) -> None:
    """Refuse a config that names code, where Transformers has none of its own for it."""
    kernels = [document.get(key) for key in ("attn_implementation", "_attn_implementation", "experts_implementation")]
    code = [str(each) for each in kernels if "/" in str(each)]
    mapped = document.get("auto_map")
    if mapped and not (isinstance(kind := document.get("model_type"), str) and kind in CONFIG_MAPPING):
        code += [str(each) for each in (mapped.values() if isinstance(mapped, dict) else [mapped])]
    if code and not trust:
        raise _has_code(code)


def _has_code(code: Collection[Any]) -> ModelFlaw:
    return ModelFlaw(
        f"it would have to run code of its own ({preview(code)}), which is never done unasked. Read that code, and if "
        "you trust it pass `--trust-remote-code` (`trust_remote_code=True`)"
    )


def _check_numbers(held: HeldTensors, weights: Mapping[str, torch.Tensor], config: PretrainedConfig) -> None:
    """Refuse integers, float8 and the like where numbers are expected: codes, which would be taken at face value."""
    if getattr(config, "quantization_config", None) is not None:
        return
    for name, kind in held.coded.items():
        fitting = [part for own, part in weights.items() if f".{own}".endswith(f".{name}")]
        if kind.startswith(("F", "C")) or any(part.is_floating_point() for part in fitting):
            raise ModelFlaw(
                f"the weight {name!r} is stored as {kind}, expected F32, F16, BF16 or F64. Store the weights as one of "
                "those"
            )


def _check_complete(model: PreTrainedModel, loading: Mapping[str, Any], new_head: bool) -> list[str]:
    """The names of weights that start anew, where that is allowed."""
    if mismatched := sorted(loading["mismatched_keys"], key=str):
        name, found, expected = mismatched[0]
        raise ModelFlaw(
            f"the weight {name!r} has the shape {tuple(found)}, its config asks for {tuple(expected)}. Take the "
            "config.json that was saved with the weights"
        )
    missing = sorted(loading["missing_keys"])
    body = f"{model.base_model_prefix}."
    lacking = [name for name in missing if not new_head or name.startswith(body) or model.base_model is model]
    if lacking:
        raise ModelFlaw(
            f"its files lack {len(lacking)} of the weights that its config asks for: {preview(lacking)}. Take all "
            "files that were saved together"
        )
    if unused := [name for name in sorted(loading["unexpected_keys"]) if _is_of_further_layer(model, name)]:
        raise ModelFlaw(
            f"its files hold layers that its config does not ask for: {preview(unused)}. Take the config.json that was "
            "saved with the weights"
        )
    return missing


def _is_of_further_layer(model: PreTrainedModel, name: str) -> bool:
    """Whether a tensor belongs to a layer after the last of a model, rather than to a part that it does not have."""
    for start in (model, model.base_model):
        module: Any = start
        for part in name.split("."):
            if isinstance(module, nn.ModuleList):
                return part.isdigit() and int(part) >= len(module) > 0
            module = getattr(module, part, None)
    return False


def _check_finite(model: PreTrainedModel, source: str) -> None:
    """Refuse weights that are NaN or infinite."""
    parameters = {name for name, _ in model.named_parameters()}
    for name, weight in model.state_dict().items():
        if weight.is_meta or not weight.is_floating_point():
            continue
        is_broken = ~torch.isfinite(weight) if name in parameters else torch.isnan(weight)
        if is_broken.any():
            count = int(is_broken.sum())
            raise NonFiniteError(
                f"{count:,} of the {weight.numel():,} numbers of the weight {name!r} of {source!r} are NaN or "
                "infinite, expected finite ones. Train it again with a lower learning rate, or take an earlier "
                "checkpoint."
            )


def _base_of(adapter: Path) -> str:
    """The pretrained model that a folder of PEFT names."""
    base = _document(adapter, "the config of adapters").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelFlaw(f"{adapter.name} names no `base_model_name_or_path`, expected the pretrained model's")
    return base


def _add_adapters(model: PreTrainedModel, name: str, adapter: Path) -> None:
    """Add the adapters of a folder of PEFT, as Transformers does, and see that they are whole."""
    check_adapters(adapter, held_tensors(name, file=_ADAPTER_WEIGHTS))
    missing: Collection[str] = model.load_adapter(name).missing_keys
    if missing:
        raise ModelFlaw(f"its adapters lack {len(missing)} weights: {preview(sorted(missing))}. Train again")


def check_adapters(config: Path, held: HeldTensors) -> None:
    """Refuse adapters of a higher rank than their weights have, for which memory would be taken.

    Args:
        config: Their ``adapter_config.json``.
        held: What their weight file holds.

    Raises:
        ModelFlaw: If they are not LoRA's, or of a higher rank, or the file is not JSON.
    """
    document = _document(config, "the config of adapters")
    if document.get("peft_type") != "LORA":
        raise ModelFlaw(f'{config.name} is not that of LoRA adapters, expected `"peft_type": "LORA"`')
    pattern = document.get("rank_pattern")
    ranks = [document.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    most = max((max(shape, default=0) for shape in held.shapes.values()), default=0)
    if not all(isinstance(rank, int) and 0 < rank <= most for rank in ranks):
        raise ModelFlaw(f"{config.name} asks for the ranks {preview(ranks)}, expected at most {most} by its weights")
